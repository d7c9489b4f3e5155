//! Records: documents with a version, changed one message at a time by the core that owns their name
//! (docs/records.md).
//!
//! *Owns* values, versions and what waits for them. *Promises* that messages about one name are handled in the order
//! they came, each on a state that nothing else changes; that a write is acknowledged or refused exactly once, and
//! acknowledged only when it is as durable as the configuration asks.
//! *Does not* wait: what needs a value that is not in memory is parked, and run again from the top when it came.
//!
//! A value is its JSON text. A write is applied at once, and fanned out at once or when it is stored (`gate.rs`); storing it
//! is batched, and its acknowledgement waits for the batch.

mod cache;
mod catch_up;
mod conflict;
mod gate;
mod loaded;
mod lose;
mod notify;
mod permit;
mod read;
mod remote_read;
mod remove;
mod store;
mod write;

use crate::context::{Context, Options};
use crate::ident::{ConnId, Place, Ticket};
use crate::output::Note;
use crate::owner::Owner;
use crate::owner::deed::{Deed, Reading};
use crate::owner::park::{Run, Step};
use crate::packet::{Forwarded, ReplyTo};
use crate::permit::{Judgement, RuleReader};
use crate::sides::{Sides, ToEdge};
use crate::timer::TimerId;
use ahash::RandomState;
use deepstream_wire::{Action, Flags, Message, Outgoing};
use gate::Held;
use hashbrown::HashMap;
use std::collections::VecDeque;
use store::{Ack, InFlight};

/// Whether a record's value is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Residence {
    /// Storage has to be asked.
    #[default]
    Unknown,
    /// Storage is being asked.
    Loading,
    /// There is no such record.
    Missing,
    /// `version` and `value` are the record.
    Resident,
    /// It is being removed from storage; `version` and `value` still stand.
    Removing,
}

/// A record, as its owner holds it.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) residence: Residence,
    /// Used since the eviction hand last passed.
    touched: bool,
    /// In the queue of what is to be stored.
    queued: bool,
    /// In the batch that storage works on.
    in_flight: bool,
    version: i32,
    value: Vec<u8>,
    /// Bytes this record is charged with against the memory budget.
    charged: usize,
    /// Bytes this record is charged with as not yet stored.
    unstored: usize,
    /// There is no such record and cannot be one, because storage keeps none under this name: why.
    barred: Option<Box<str>>,
    /// There while something waits.
    work: Option<Box<Work>>,
}

#[derive(Debug, Default)]
struct Work {
    /// Writes to acknowledge, in order of their versions.
    acks: VecDeque<Ack>,
    /// Permission rules that refer to the record, and wait for its value.
    rule_readers: Vec<RuleReader>,
    /// The removal under way.
    removal: Option<Removal>,
    /// Readings whose answers wait until they are fetched, and writes that conflicted.
    withheld: VecDeque<Forwarded>,
    /// Where subscribers came from a former owner, and which version they were told last, if that is known.
    catching_up: Vec<(Place, Option<i32>)>,
    /// What is said of it once storage has it, in order.
    held: VecDeque<Held>,
    /// Storage failed to take a version, or said so: it may have it all the same. Nothing was confirmed since.
    in_doubt: bool,
    /// Nobody was told of this version, nor of later ones, which storage may have: whoever subscribes is, once it is known.
    untold_from: Option<i32>,
}

impl Work {
    /// Whether nothing waits but what is for subscribers, of whom there may be none.
    fn is_done(&self) -> bool {
        let quiet =
            self.catching_up.is_empty() && self.acks.is_empty() && self.withheld.is_empty() && self.held.is_empty();
        quiet && self.rule_readers.is_empty() && self.removal.is_none()
    }
}

#[derive(Clone, Copy, Debug)]
struct Removal {
    /// Who asked for it; nobody, once they were told that it takes too long.
    conn: ConnId,
    /// The number of the request, where its edge waits for its end.
    asked: u32,
    /// The value was in memory, and stands again if the removal fails.
    known: bool,
    /// What was in memory has not been stored yet.
    unstored: bool,
    /// Who asked for it subscribed since.
    overtaken: bool,
}

impl Record {
    /// Whether nothing would be lost by forgetting this record.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.residence, Residence::Unknown | Residence::Missing)
            && self.work.as_ref().is_none_or(|work| work.is_done())
            && !self.queued
            && !self.in_flight
    }

    /// Whether messages have to wait.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.residence, Residence::Loading | Residence::Removing)
    }

    /// The version, or -1 where there is no record.
    fn head(&self) -> i32 {
        if self.residence == Residence::Resident { self.version } else { -1 }
    }

    /// Bytes of the value that a reading is answered with, roughly.
    pub(crate) fn answer_len(&self) -> usize {
        if self.residence == Residence::Resident { self.value.len() } else { 0 }
    }

    /// The first answer that is withheld from a connection.
    pub(crate) fn first_withheld(&self, conn: ConnId) -> Option<&Forwarded> {
        self.work.as_ref()?.withheld.iter().find(|forwarded| forwarded.conn == conn)
    }

    /// Whether there is one.
    pub(crate) fn withholds_from(&self, conn: ConnId) -> bool {
        self.first_withheld(conn).is_some()
    }

    /// Keeps a reading until it is fetched.
    pub(crate) fn withhold(&mut self, forwarded: Forwarded) {
        self.work().withheld.push_back(forwarded);
    }

    /// It is. `None`: there is no such reading any more.
    pub(crate) fn unwithhold(&mut self, conn: ConnId, reply_to: ReplyTo) -> Option<Forwarded> {
        let work = self.work.as_mut()?;
        let place =
            work.withheld.iter().position(|forwarded| forwarded.conn == conn && forwarded.reply_to.is_of(reply_to));
        let forwarded = place.and_then(|place| work.withheld.remove(place));
        self.rest();
        forwarded
    }

    fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    /// Gives the memory for waiting things back once nothing waits.
    pub(crate) fn rest(&mut self) {
        if self.work.as_ref().is_some_and(|work| work.is_done() && !work.in_doubt && work.untold_from.is_none()) {
            self.work = None;
        }
    }
}

/// What a shard's records have in common.
#[derive(Debug)]
pub(crate) struct Records {
    /// Reads from storage under way: the name's slot, and the timer that ends the wait.
    loads: HashMap<Ticket, (u32, TimerId), RandomState>,
    /// Slots to be stored or removed, oldest first.
    queue: VecDeque<u32>,
    /// The batch storage works on.
    batch: Option<(Ticket, TimerId)>,
    in_flight: Vec<InFlight>,
    /// Storage failed a moment ago; it is left alone until a timer fires.
    resting: bool,
    unstored_bytes: usize,
    resident: usize,
    resident_bytes: usize,
    pending_acks: usize,
    /// What is held back until storage has what it says.
    held: usize,
    held_bytes: usize,
    /// The message that is being done made a version.
    written: bool,
    /// What the message that is being done asked for is answered later.
    pub(crate) goes_on: bool,
    /// Where the eviction hand stands among the slots.
    hand: u32,
    path: deepstream_json::Path,
    value: Vec<u8>,
}

impl Records {
    pub(crate) fn new(options: &Options) -> Self {
        let [a, b, c, d] = options.seeds;
        Self {
            loads: HashMap::with_hasher(RandomState::with_seeds(a, b, c, d)),
            queue: VecDeque::new(),
            batch: None,
            in_flight: Vec::new(),
            resting: false,
            unstored_bytes: 0,
            resident: 0,
            resident_bytes: 0,
            pending_acks: 0,
            held: 0,
            held_bytes: 0,
            written: false,
            goes_on: false,
            hand: 0,
            path: deepstream_json::Path::default(),
            value: Vec::new(),
        }
    }

    /// Loads, acknowledgements and stores that are to come, what is held back until then, and values in memory with their bytes.
    pub(crate) fn counts(&self) -> [usize; 6] {
        let dirty = self.queue.len() + self.in_flight.len();
        [self.loads.len(), self.pending_acks, dirty, self.held, self.resident, self.resident_bytes]
    }
}

impl<E: ToEdge> Sides<E, Owner> {
    /// A message about a record this core owns.
    pub(crate) fn record(&mut self, conn: ConnId, reply_to: ReplyTo, (deed, message): (Deed, &Message<&[u8]>)) {
        let slot =
            self.owner.names.find_or_insert(deepstream_wire::Topic::Record, message.name(), message.head.name_hash);
        let fetched;
        let (deed, message) = if reply_to.is_fetch() && matches!(deed, Deed::Read(_) | Deed::Write(_)) {
            // The first that it was withheld of: of several that look alike to the edge, another may have been done since.
            let Some(forwarded) = self.takes_fetch(slot, conn, reply_to) else {
                self.owner.names.remove_if_idle(slot);
                self.fetch_over(conn, reply_to);
                return self.tell_done(conn, reply_to);
            };
            fetched = forwarded;
            (Deed::of(fetched.head.action).unwrap_or(deed), &Message { head: fetched.head, bytes: &fetched.bytes[..] })
        } else {
            (deed, message)
        };
        if self.owner.names.at(slot).is_busy() {
            self.park_withheld(slot, conn);
            let parked = self.parked(conn, reply_to, message);
            return self.park(slot, parked);
        }
        if self.comes_behind_withheld(slot, conn, reply_to, message) {
            return self.run_behind_withheld(slot, conn, reply_to, message);
        }
        match self.perform_deed(slot, conn, reply_to, (deed, message), &mut Run::default()) {
            Step::Done => self.owner.names.remove_if_idle(slot),
            Step::Wait => {
                let parked = self.parked(conn, reply_to, message);
                self.park(slot, parked);
                // If there was no room.
                self.owner.names.remove_if_idle(slot);
            }
        }
    }

    /// Handles one message now, or starts what has to come first.
    pub(crate) fn perform(
        &mut self,
        slot: u32,
        conn: ConnId,
        reply_to: ReplyTo,
        message: &Message<&[u8]>,
        run: &mut Run,
    ) -> Step {
        let Some(deed) = Deed::of(message.head.action) else {
            debug_assert!(false, "nothing else is asked of records");
            return Step::Done;
        };
        self.perform_deed(slot, conn, reply_to, (deed, message), run)
    }

    fn do_deed(
        &mut self,
        slot: u32,
        conn: ConnId,
        reply_to: ReplyTo,
        (deed, message): (Deed, &Message<&[u8]>),
        run: &mut Run,
    ) -> Step {
        let fetched = reply_to.is_fetch();
        if let Deed::Write(_) = deed
            && fetched
        {
            return self.withheld_conflict(slot, conn, reply_to, message, run);
        }
        if self.permit.judges()
            && let Some(step) = self.judge_record(slot, conn, reply_to, message, run)
        {
            return step;
        }
        let is_read = matches!(deed, Deed::Read(_));
        if self.has_shadow() && !(fetched && is_read) && !(deed == Deed::Notify && run.reloaded) {
            if deed.needs_value()
                && self.owner.names.at(slot).record().residence == Residence::Unknown
                && !self.load(slot)
            {
                return Step::Wait;
            }
            self.compare_record(slot, conn, reply_to, message, run, Judgement::Yes);
        }
        match deed {
            Deed::Subscribe => {
                self.join_or_settle(slot, conn, reply_to);
                return Step::Done;
            }
            Deed::Delete => {
                self.delete(slot, (conn, reply_to.name_id), run.overtaken);
                return Step::Done;
            }
            Deed::Notify => return self.notify(slot, conn, reply_to, run.reloaded),
            Deed::Read(_) | Deed::Write(_) | Deed::Head | Deed::SubscribeAndHead => {}
        }
        debug_assert!(deed.needs_value(), "the others are done");
        if self.owner.names.at(slot).record().residence == Residence::Unknown && !self.load(slot) {
            return Step::Wait;
        }
        self.owner.names.at_mut(slot).record_mut().touched = true;
        match deed {
            Deed::Read(reading) => {
                if !self.withhold(slot, conn, reply_to, message) {
                    self.do_reading(slot, conn, reply_to, reading);
                }
            }
            Deed::Write(write) => return self.write(slot, conn, reply_to, (write, message), run),
            Deed::Head => self.head(slot, conn, message),
            Deed::SubscribeAndHead => self.subscribe_and_head(slot, conn, reply_to),
            Deed::Subscribe | Deed::Delete | Deed::Notify => {}
        }
        Step::Done
    }

    /// Answers a reading with the value.
    pub(crate) fn do_reading(&mut self, slot: u32, conn: ConnId, reply_to: ReplyTo, reading: Reading) {
        match reading {
            Reading::Plain => self.read(slot, conn),
            Reading::Subscribe => self.subscribe_and_read(slot, conn, reply_to),
            Reading::SubscribeCreate => self.subscribe_create_and_read(slot, conn, reply_to),
        }
        self.fetch_over(conn, reply_to);
    }

    /// Whether a name's record goes to storage.
    fn is_stored(&self, slot: u32) -> bool {
        is_stored_name(&self.cx, &self.owner.names.at(slot).name)
    }

    /// Refuses to make a record of a name under which storage keeps none. `false`: it keeps one, for all that is known,
    /// and nothing was said.
    fn refuse_if_barred(&mut self, slot: u32, conn: ConnId, message: &Message<&[u8]>) -> bool {
        let Some(why) = self.owner.names.at(slot).record().barred.clone() else { return false };
        let user = self.edges.user(conn).unwrap_or_default().into();
        let name = String::from_utf8_lossy(message.name()).into();
        self.refuse_because(conn, message, Action::RecordUpdateError, Some(&told(&why)));
        self.cx.outputs.note(Note::Unstorable { user, name, why });
        true
    }

    /// Answers a message with an error of its own name and correlation.
    fn refuse(&mut self, conn: ConnId, message: &Message<&[u8]>, error: Action) {
        self.refuse_because(conn, message, error, None);
    }

    /// The same, with the reason, which is JSON.
    fn refuse_because(&mut self, conn: ConnId, message: &Message<&[u8]>, error: Action, why: Option<&[u8]>) {
        let answer = Outgoing {
            name: Some(message.name()),
            data: why,
            correlation_id: message.correlation_id(),
            original_action: Some(message.head.action),
            is_error: true,
            is_write_ack: message.head.flags.has(Flags::IS_WRITE_ACK),
            ..Outgoing::new(error)
        };
        self.edges.reply(&mut self.cx, conn, &answer);
    }
}

/// Whether the record of a name goes to storage.
fn is_stored_name(cx: &Context, name: &[u8]) -> bool {
    cx.options.storage && !cx.options.storage_exclusion_prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Words as the data of a message.
fn told(why: &str) -> Vec<u8> {
    let mut json = Vec::with_capacity(why.len() + 2);
    deepstream_json::write_string(why.as_bytes(), &mut json);
    json
}
