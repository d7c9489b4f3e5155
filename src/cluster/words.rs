//! *Owns* the log lines of a node: upstream's events for who comes and goes, and words for what an operator is to do. *Promises* nothing
//! beyond that. *Does not* decide what is said how often, but for what strangers send.

use crate::log::{Level, note};
use crate::storage::Trouble;
use deepstream_cluster::{NoFrame, Note};
use deepstream_engine::Nanos;

/// The event of all lines that upstream has none for.
pub(super) const EVENT: &str = "CLUSTER";
/// What strangers send is told once in that time, by kind.
const STRANGERS_NS: u64 = 60_000_000_000;

/// What a node said. `name` is the node's own.
pub(super) fn told(name: &str, what: &Note) {
    let (level, event, text) = match what {
        Note::Joined(_, other) => (Level::Info, "CLUSTER_JOIN", other.to_string()),
        Note::Left(_, other) => (Level::Info, "CLUSTER_LEAVE", other.to_string()),
        Note::Size(count) => (Level::Info, "CLUSTER_SIZE", format!("The cluster size is now {count}")),
        Note::RulesDiffer(other) => {
            let text = format!(
                "{other} goes by other permission rules than {name}: bring the same to all nodes and reload them"
            );
            (Level::Warn, EVENT, text)
        }
        Note::FormDiffers(other) => {
            let text = format!(
                "{other} is of another release, whose nodes do not understand {name}: it is not taken as a member"
            );
            (Level::Error, EVENT, text)
        }
        Note::NameTaken => {
            let text = format!(
                "a living process is called {name} already: waiting until its lease is over. If it is no earlier one of this node, give \
                 each node a serverName of its own"
            );
            (Level::Warn, EVENT, text)
        }
        Note::Suspended => {
            (Level::Warn, EVENT, format!("{name} is no member any more, and serves nothing until it is"))
        }
        Note::RegistryForgot => {
            let text = "the registry has lost what it held: it is written anew";
            (Level::Error, EVENT, text.to_owned())
        }
        Note::OtherCluster => {
            let text = "the registry holds another cluster than this node became a member of: start the node again";
            (Level::Fatal, EVENT, text.to_owned())
        }
        Note::NumberTaken => {
            let text = "the registry lost that this process is a member, and gave its number to another one: start the node again";
            (Level::Fatal, EVENT, text.to_owned())
        }
        Note::TwoClusters => {
            let text = "another cluster writes to this storage: whatever this one claims there is claimed again by the other. Give \
                        each a storage of its own, then start the nodes again";
            (Level::Fatal, EVENT, text.to_owned())
        }
        Note::ClaimedByOthers => {
            let text = "others have claimed in storage what this cluster owns: either the registry lost data, or two clusters \
                        are configured with one storage; give each a storage of its own";
            (Level::Error, EVENT, text.to_owned())
        }
    };
    note(level, event, &text);
}

/// A call that failed while the registry or the bus was there.
pub(super) fn refused(place: &str, why: &Trouble) {
    note(Level::Error, EVENT, &format!("{place}: {}", why.words()));
}

/// Packets that no node of this cluster and release sends.
#[derive(Default)]
pub(super) struct Strangers {
    counts: [u64; KINDS],
    told: [Option<Nanos>; KINDS],
}

const KINDS: usize = 4;

impl Strangers {
    /// A packet was no frame.
    pub(super) fn frame(&mut self, now: Nanos, why: NoFrame) {
        let (kind, what) = match why {
            NoFrame::Foreign => (
                0,
                "something that is no node of this cluster sends to the same bus: give each cluster a name of its own",
            ),
            NoFrame::Form(_) => {
                (1, "a node of another release sends to this cluster: stop it, or bring all nodes to one release")
            }
            NoFrame::Malformed => (2, "a packet of the bus makes no sense, and was dropped"),
        };
        self.count(now, kind, what);
    }

    /// A bundle of a member made no sense.
    pub(super) fn bundle(&mut self, now: Nanos) {
        self.count(now, 3, "a node sends what makes no sense here: are all of one release?");
    }

    fn count(&mut self, now: Nanos, kind: usize, what: &str) {
        self.counts[kind] += 1;
        if self.told[kind].is_none_or(|at| now.since(at) >= STRANGERS_NS) {
            self.told[kind] = Some(now);
            note(Level::Warn, EVENT, &format!("{what} ({} times so far)", self.counts[kind]));
        }
    }
}
