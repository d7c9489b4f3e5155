//! Logs connections that the server closed, each with its user, its address and its endpoint, up to a number of each
//! kind in a minute.
//!
//! *Owns* how many of each kind were logged on this core, and how many left out. *Promises* that every connection
//! closed for breaking a rule has a line or is counted in one, and that lines which clients can provoke do not crowd
//! out the others. *Does not* decide which connections are closed, nor word the lines: [`crate::note`] does.

use super::ring::Key;
use super::socket::Sockets;
use crate::log::{Level, is_enabled, note, note_from};
use crate::note::{self, Ending, Party};
use deepstream_engine::{ConnId, Nanos, Note, Shard};
use deepstream_wire::{LinkConfig, Medium};

/// Most lines of one kind in a minute, on one core.
const TOLD_MAX: u32 = 30;
const MINUTE_NS: u64 = 60_000_000_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Endings {
    kinds: Vec<Kind>,
}

/// One kind of closed connections, in the minute that began with the first of them.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    level: Level,
    event: &'static str,
    since: Nanos,
    told: u32,
    left_out: u64,
}

impl Endings {
    /// Whether one more is logged. If not, it is counted.
    fn admits(&mut self, now: Nanos, (name, level, event): (&'static str, Level, &'static str)) -> bool {
        let at = self.kinds.iter().position(|kind| kind.name == name).unwrap_or_else(|| {
            self.kinds.push(Kind { name, level, event, since: now, told: 0, left_out: 0 });
            self.kinds.len() - 1
        });
        let kind = &mut self.kinds[at];
        if kind.left_out == 0 && now >= kind.since.after(MINUTE_NS) {
            (kind.since, kind.told) = (now, 0);
        }
        let told = kind.told < TOLD_MAX;
        if told {
            kind.told += 1;
        } else {
            kind.left_out += 1;
        }
        told
    }

    /// When the next minute is over in which some were left out.
    pub(super) fn next(&self) -> Option<Nanos> {
        self.kinds.iter().filter(|kind| kind.left_out > 0).map(|kind| kind.since.after(MINUTE_NS)).min()
    }

    /// Logs how many were left out in minutes that are over.
    pub(super) fn tell_left_out(&mut self, now: Nanos) {
        for kind in self.kinds.iter_mut().filter(|kind| kind.left_out > 0 && kind.since.after(MINUTE_NS) <= now) {
            let count = std::mem::take(&mut kind.left_out);
            let text =
                format!("{count} more on this core: {}; only the first {TOLD_MAX} of a minute are told", kind.name);
            note(kind.level, kind.event, &text);
        }
    }
}

/// Everything that a line of the log may say of a connection, and the moment of the line.
pub(super) struct Known<'c> {
    pub(super) now: Nanos,
    pub(super) shard: &'c Shard,
    pub(super) sockets: &'c mut Sockets,
    pub(super) links: &'c LinkConfig,
}

impl Known<'_> {
    fn party_at(&mut self, key: Option<Key>) -> Party {
        let Self { sockets, shard, links, .. } = self;
        let Some(socket) = key.and_then(|key| sockets.get(key)) else { return Party::default() };
        let endpoint = match socket.link.upgraded_on(links) {
            Some(endpoint) => endpoint.path.as_str(),
            None if socket.medium == Medium::Mqtt => "mqtt",
            None if socket.http.is_some() => "http",
            None => "",
        };
        Party {
            user: shard.user(socket.conn).map(Into::into),
            address: socket.address.map(|address| address.to_string()).unwrap_or_default().into(),
            endpoint: endpoint.into(),
        }
    }

    /// The details of one of the shard's connections, which may be a request of HTTP.
    fn party(&mut self, conn: ConnId) -> Party {
        let key = self.sockets.key(conn).or_else(|| self.sockets.asked_by(conn));
        self.party_at(key)
    }
}

impl Endings {
    /// Logs that a connection was closed, or is about to be.
    fn tell(&mut self, known: &Known<'_>, ending: Ending<'_>, party: &Party) {
        let Some(told) = ending.told(known.links) else { return };
        if is_enabled(told.level) && self.admits(known.now, (told.kind, told.level, told.event)) {
            note_from(told.level, told.event, &told.line(party), &party.address);
        }
    }

    /// Logs that the host or the link closes the connection of a socket.
    pub(super) fn tell_end_of(&mut self, mut known: Known<'_>, key: Key, ending: Ending<'_>) {
        let party = known.party_at(Some(key));
        self.tell(&known, ending, &party);
    }

    /// Logs that a client sent something invalid, up to the same number in a minute.
    fn write_odd(&mut self, known: &mut Known<'_>, conn: ConnId, event: &'static str, note: &Note) {
        if self.admits(known.now, (event, Level::Warn, event)) {
            let party = known.party(conn);
            note::write_of(note, &party);
        }
    }

    /// Logs the notes of the shard.
    pub(super) fn write(&mut self, mut known: Known<'_>, notes: Vec<Note>) {
        for note in notes {
            match note {
                Note::Closed { conn, user, remote, wire, reason, waited_ns } => {
                    let at = known.party(conn);
                    let address = if remote.is_empty() { at.address } else { remote };
                    let party = Party { user, address, endpoint: at.endpoint };
                    self.tell(&known, Ending::Shard(reason, wire, waited_ns), &party);
                }
                Note::ConnectionsFull { remote } => {
                    self.tell(&known, Ending::Full, &Party { address: remote, ..Party::default() });
                }
                Note::Unreadable { conn, .. } => self.write_odd(&mut known, conn, "MESSAGE_PARSE_ERROR", &note),
                Note::Unexpected { conn, event, .. } => self.write_odd(&mut known, conn, event, &note),
                _ => note::write(&note),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_is_counted_and_hides_no_other() {
        let mut endings = Endings::default();
        let (one, other) = (("one", Level::Warn, "A"), ("other", Level::Info, "B"));
        let second = |number: u64| Nanos(number * 1_000_000_000);
        let told = (0..100).filter(|_| endings.admits(second(5), one)).count();
        assert_eq!(told, TOLD_MAX as usize);
        assert!(endings.admits(second(6), other));
        assert_eq!(endings.next(), Some(second(65)));
        assert!(!endings.admits(second(70), one), "the count of the minute before was not told yet");
        endings.tell_left_out(second(70));
        assert_eq!(endings.next(), None);
        assert!(endings.admits(second(70), one), "a fresh minute");
    }
}
