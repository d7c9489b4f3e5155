//! Checks writes: each is applied or refused, and each acknowledgement is true.

use crate::oracle::Oracle;
use crate::oracle::record::text;
use crate::shadow::{Cause, Change};
use crate::store::Store;
use deepstream_engine::{Fault, Options, StoreBatch, Stored, Ticket};
use deepstream_wire::{Action, Flags, Message};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How far a write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Neither applied nor refused yet.
    Heard,
    /// Applied: this moment of the record's history.
    Applied(usize),
    /// Applied to what storage never took: it is told so.
    Lost,
    /// Told its end: refused, acknowledged, or unconfirmed.
    Answered,
}

#[derive(Debug)]
struct Write {
    conn: usize,
    correlation_id: Box<[u8]>,
    name: Box<[u8]>,
    version: i32,
    /// `None`: it makes no sense and must be refused.
    change: Option<Change>,
    wants_ack: bool,
    /// It was told that its version leaves some out, and this present one; that it is refused is to follow.
    conflict: Option<i32>,
    /// Its answer waited for room: it is told what there is by then.
    waited: bool,
    fate: Fate,
}

/// All writes of a world.
#[derive(Debug)]
pub(super) struct Writes {
    all: Vec<Write>,
    by_correlation: BTreeMap<(usize, Box<[u8]>), usize>,
    /// Per connection and name, those heard and not yet applied or passed over, in order.
    pending: BTreeMap<(usize, Box<[u8]>), Vec<usize>>,
    /// Names somebody notified of.
    notified: BTreeSet<Box<[u8]>>,
    /// Per name, the present at the moment its removal was last given to storage.
    removals: BTreeMap<Box<[u8]>, usize>,
    /// Names that storage removed without saying so.
    limbo: BTreeSet<Box<[u8]>>,
    /// Reads shards wait for.
    awaited: BTreeMap<Box<[u8]>, Ticket>,
    stored: bool,
    excluded: Vec<Box<[u8]>>,
}

impl Writes {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            all: Vec::new(),
            by_correlation: BTreeMap::new(),
            pending: BTreeMap::new(),
            notified: BTreeSet::new(),
            removals: BTreeMap::new(),
            limbo: BTreeSet::new(),
            awaited: BTreeMap::new(),
            stored: options.storage,
            excluded: options.storage_exclusion_prefixes.clone(),
        }
    }

    /// Whatever made a moment of a record after this one did nothing.
    pub(super) fn forget_after(&mut self, name: &[u8], index: usize) {
        // Those that conflicted with one of these, and were not told so yet, are done again.
        self.pending.retain(|(_, other), _| **other != *name);
        for (place, write) in self.all.iter_mut().enumerate().filter(|(_, write)| *write.name == *name) {
            match write.fate {
                Fate::Applied(moment) if moment > index => write.fate = Fate::Lost,
                Fate::Heard => self.pending.entry((write.conn, write.name.clone())).or_default().push(place),
                Fate::Applied(_) | Fate::Lost | Fate::Answered => {}
            }
        }
    }

    /// Whether a change may be told again.
    pub(super) fn notified(&self, name: &[u8]) -> bool {
        self.notified.contains(name)
    }

    pub(super) fn notify(&mut self, name: &[u8]) {
        self.notified.insert(name.into());
    }

    /// Two writes of one connection that say the same cannot be told apart when one of them is applied, only when the
    /// other is refused: then it was the later one.
    fn swap_with_twin(&mut self, index: usize, conn: usize, version: i32) {
        let write = &self.all[index];
        let twin = self.pending.get(&(conn, write.name.clone())).and_then(|waiting| {
            waiting.iter().copied().find(|&other| {
                let other = &self.all[other];
                let alike = other.change == write.change;
                let versioned = other.version == -1 || other.version == version;
                alike && versioned && other.fate == Fate::Heard
            })
        });
        if let Some(twin) = twin {
            let fate = std::mem::replace(&mut self.all[index].fate, Fate::Heard);
            self.all[twin].fate = fate;
            let waiting = self.pending.get_mut(&(conn, self.all[twin].name.clone()));
            if let Some(waiting) = waiting {
                waiting.retain(|&other| other != twin);
            }
        }
    }

    pub(super) fn is_stored(&self, name: &[u8]) -> bool {
        self.stored && !self.excluded.iter().any(|prefix| name.starts_with(prefix))
    }
}

impl Oracle {
    pub(super) fn write_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        self.marks_heard(conn, message);
        let Some(correlation_id) = message.correlation_id() else { return };
        let writes = &mut self.records.writes;
        let index = writes.all.len();
        let name: Box<[u8]> = message.name().into();
        writes.by_correlation.insert((conn, correlation_id.into()), index);
        writes.pending.entry((conn, name.clone())).or_default().push(index);
        writes.all.push(Write {
            conn,
            correlation_id: correlation_id.into(),
            name,
            version: message.head.version,
            change: change_of(message),
            wants_ack: message.head.flags.has(Flags::IS_WRITE_ACK),
            conflict: None,
            waited: false,
            fate: Fate::Heard,
        });
    }

    /// An owner applied a write of this connection.
    pub(super) fn written(&mut self, conn: usize, name: &[u8], version: i32, value: &[u8]) {
        let value: Value = serde_json::from_slice(value).unwrap_or_default();
        let history = self.records.history(name);
        let before = history.now().clone();
        history.push(Cause::Written(conn), version, value.clone());
        let moment = history.last();
        let expected = before.version.max(0) + 1;
        self.check(version == expected, || format!("{} went from version {} to {version}", text(name), before.version));
        let Writes { all: writes, pending, .. } = &mut self.records.writes;
        let waiting = pending.entry((conn, name.into())).or_default();
        let fits = |&index: &usize| {
            let write = &writes[index];
            // The hot path takes any version.
            let hot = name.starts_with(b"h") && matches!(write.change, Some(Change::Whole(_)));
            let versioned = hot || write.version == -1 || write.version == version;
            versioned && write.change.as_ref().is_some_and(|change| change.apply(&before.value) == value)
        };
        let Some(place) = waiting.iter().position(fits) else {
            return self.fail(format!("conn {conn} never wrote version {version} of {}: {value}", text(name)));
        };
        // Those before it can only have been refused.
        let index = waiting.drain(..=place).next_back().expect("the one that was found is among them");
        writes[index].fate = match writes[index].fate {
            Fate::Heard => Fate::Applied(moment),
            other => other,
        };
        let correlation_id = writes[index].correlation_id.clone();
        self.granted_to(conn, &correlation_id, Some(name), "writes");
    }

    /// The version that a write was to be.
    pub(crate) fn wanted(&self, conn: usize, correlation_id: &[u8]) -> Option<i32> {
        let writes = &self.records.writes;
        writes.by_correlation.get(&(conn, correlation_id.into())).map(|&index| writes.all[index].version)
    }

    /// What a message is answered with waits for room.
    pub(super) fn answer_waits(&mut self, conn: usize, correlation_id: &[u8]) {
        let writes = &mut self.records.writes;
        if let Some(&index) = writes.by_correlation.get(&(conn, correlation_id.into())) {
            writes.all[index].waited = true;
            self.claim_waits(conn, correlation_id);
        }
    }

    /// A write is denied.
    pub(super) fn write_denied(&mut self, conn: usize, message: &Message<&[u8]>) {
        let line = || crate::trace::describe(message);
        let key = (conn, message.correlation_id().unwrap_or_default().into());
        let Some(&index) = self.records.writes.by_correlation.get(&key) else {
            return self.fail(format!("conn {conn} wrote nothing that is denied with {}", line()));
        };
        let write = &mut self.records.writes.all[index];
        let fate = std::mem::replace(&mut write.fate, Fate::Answered);
        let name = write.name.clone();
        self.check(fate == Fate::Heard, || format!("conn {conn}: a write that is {fate:?} was denied: {}", line()));
        self.refused(conn, &name, index);
    }

    /// An answer to a write.
    pub(super) fn write_answered(&mut self, conn: usize, message: &Message<&[u8]>, store: &Store) {
        let line = || crate::trace::describe(message);
        let key = (conn, message.correlation_id().unwrap_or_default().into());
        let Some(&index) = self.records.writes.by_correlation.get(&key) else {
            return self.fail(format!("conn {conn} wrote nothing that is answered with {}", line()));
        };
        if message.head.action != Action::RecordWriteAcknowledgement
            && let Fate::Applied(moment) = self.records.writes.all[index].fate
        {
            let name = self.records.writes.all[index].name.clone();
            let version = self.records.history(&name).at(moment).version;
            self.records.writes.swap_with_twin(index, conn, version);
        }
        let action = message.head.action;
        let write = &mut self.records.writes.all[index];
        // Whoever waits for an acknowledgement is told first what there is, and then that it is refused.
        let first =
            action == Action::RecordVersionExists && write.wants_ack && !message.head.flags.has(Flags::IS_WRITE_ACK);
        let conflict = if first { write.conflict.replace(message.head.version) } else { write.conflict };
        let fate = if first { write.fate } else { std::mem::replace(&mut write.fate, Fate::Answered) };
        let (wants_ack, version, waited, name) = (write.wants_ack, write.version, write.waited, write.name.clone());
        let in_doubt = matches!(fate, Fate::Applied(moment) if self.is_in_doubt(&name, moment));
        let fits = match (fate, action) {
            (Fate::Applied(_), Action::RecordWriteAcknowledgement) => wants_ack,
            (Fate::Applied(_), Action::RecordUpdateError) => wants_ack || in_doubt,
            (Fate::Lost, Action::RecordUpdateError)
            | (
                Fate::Heard,
                Action::RecordVersionExists
                | Action::RecordInvalidVersion
                | Action::RecordInvalidMessageData
                | Action::RecordInvalidPatchOnHotpath
                | Action::RecordUpdateError,
            ) => true,
            _ => false,
        };
        self.check(fits, || format!("conn {conn}: a write that is {fate:?} was answered with {}", line()));
        if fate == Fate::Heard {
            self.refused(conn, &name, index);
        }
        self.check(conflict.is_none() || (!first && action == Action::RecordInvalidVersion), || {
            format!("conn {conn} was told of a conflict already, and now {}", line())
        });
        match (fate, action) {
            (Fate::Applied(moment), Action::RecordWriteAcknowledgement) => self.acknowledged(&name, moment, store),
            (_, Action::RecordVersionExists) => {
                let current = message.head.version;
                let value: Value = serde_json::from_slice(message.data().unwrap_or_default()).unwrap_or_default();
                let fits = version != current + 1 && first == (wants_ack && version > current) || waited;
                self.check(version != -1 && fits, || {
                    format!("conn {conn} wrote version {version}, and that is no answer: {}", line())
                });
                if self.is_withheld(conn, message, &value) {
                    return self.seen(conn, &name, "version", |moment| moment.version.max(0) == current);
                }
                self.seen(conn, &name, "value", |moment| moment.version.max(0) == current && moment.value == value);
            }
            (_, Action::RecordInvalidVersion) => {
                let current = message.head.version;
                let fits = version > current + 1 || waited;
                self.check(fits && conflict == Some(current), || {
                    format!("conn {conn} wrote version {version}, and knows of no conflict: {}", line())
                });
            }
            _ => {}
        }
    }

    /// Whether a conflict is answered without the document, which it must not be to who may read.
    fn is_withheld(&mut self, conn: usize, message: &Message<&[u8]>, value: &Value) -> bool {
        let (name, current) = (message.name(), message.head.version);
        let empty = value.as_object().is_some_and(serde_json::Map::is_empty);
        let history = self.records.history(name);
        let meant: Vec<Value> = (0..=history.last())
            .map(|index| history.at(index))
            .filter(|moment| moment.version.max(0) == current)
            .map(|moment| moment.value.clone())
            .collect();
        if !empty || meant.contains(value) || !self.permit.ruled() {
            return false;
        }
        let document = if let [document] = &meant[..] { Some(document) } else { None };
        if let Some(claim) = message.correlation_id().and_then(|id| self.claim_of(conn, id)) {
            let says = self.may_read(conn, &claim, name, document);
            self.check(!says.always(), || {
                format!("conn {conn} may read {}, and was not told what it conflicts with: {claim:?}", text(name))
            });
        }
        true
    }

    fn refused(&mut self, conn: usize, name: &[u8], index: usize) {
        if let Some(waiting) = self.records.writes.pending.get_mut(&(conn, name.into())) {
            waiting.retain(|&other| other != index);
        }
    }

    /// An acknowledged write must be in storage, or something newer.
    fn acknowledged(&mut self, name: &[u8], moment: usize, store: &Store) {
        if !self.records.writes.is_stored(name) {
            return;
        }
        let removed = self.records.writes.removals.get(name).is_some_and(|&at| at >= moment);
        let history = self.records.history(name);
        let later = moment..=history.last();
        let durable = match store.durable.get(name) {
            Some(stored) => later.clone().any(|index| is(history.at(index), stored)),
            None => removed || later.clone().any(|index| history.at(index).version == -1),
        };
        let found = store.durable.get(name).map(|stored| stored.version);
        self.check(durable, || format!("moment {moment} of {} was acknowledged and storage has {found:?}", text(name)));
    }

    /// A shard hands records to storage.
    pub(crate) fn storing(&mut self, core: usize, batch: &StoreBatch) {
        self.commits(core, batch);
        for entry in &batch.entries {
            let name = batch.name(entry);
            let history = self.records.history(name);
            let last = history.last();
            let Some(value) = batch.value(entry) else {
                self.records.writes.removals.insert(name.into(), last);
                continue;
            };
            let stored = Stored { version: entry.version, value: value.to_vec() };
            let present = is(history.now(), &stored);
            let version = history.now().version;
            self.records.writes.limbo.remove(name);
            self.check(present, || {
                format!("{} is stored as version {} while it is at {version}", text(name), entry.version)
            });
        }
    }

    /// Storage removed a record and said that it did not.
    pub(crate) fn removed_in_secret(&mut self, name: &[u8]) {
        self.records.writes.limbo.insert(name.into());
    }

    /// A shard asks for a record.
    pub(crate) fn loading(&mut self, name: &[u8], ticket: Ticket) {
        let other = self.records.writes.awaited.insert(name.into(), ticket);
        self.check(other.is_none(), || format!("{} is asked for twice at once", text(name)));
    }

    /// A shard no longer waits for a record.
    pub(super) fn load_given_up(&mut self, name: &[u8]) {
        self.records.writes.awaited.remove(name);
    }

    /// A shard was given, and took, what storage has.
    pub(crate) fn loaded(&mut self, name: &[u8], ticket: Ticket, result: &Result<Option<Stored>, Fault>) {
        if self.records.writes.awaited.get(name) != Some(&ticket) {
            // An answer nobody waits for any more is none.
            return;
        }
        self.records.writes.awaited.remove(name);
        let limbo = self.records.writes.limbo.remove(name);
        let history = self.records.history(name);
        let version = history.now().version;
        match result {
            Err(Fault::Unstorable(_)) => {
                self.check(version == -1, || format!("{} is at version {version} and cannot be", text(name)));
            }
            Err(_) => {
                if limbo {
                    self.records.writes.limbo.insert(name.into());
                }
            }
            Ok(Some(stored)) => {
                let present = is(history.now(), stored);
                self.check(present, || {
                    format!("{} is read back as version {} while it is at {version}", text(name), stored.version)
                });
            }
            Ok(None) if version == -1 => {}
            Ok(None) if limbo => history.end(Cause::Lapsed),
            Ok(None) => self.fail(format!("{} is at version {version} and storage has lost it", text(name))),
        }
        if result.is_ok() {
            self.storage_agrees(name);
        }
    }

    pub(super) fn writes_at_rest(&mut self) {
        let unanswered =
            self.records.writes.all.iter().filter(|write| self.sound(write.conn)).find(|write| match write.fate {
                Fate::Heard | Fate::Lost => true,
                Fate::Applied(_) => write.wants_ack,
                Fate::Answered => false,
            });
        if let Some(write) = unanswered {
            let what = format!("conn {} was never answered: {write:?}", write.conn);
            self.fail(what);
        }
    }

    /// Storage has had time: it has every record as it is.
    pub(crate) fn stored_at_rest(&mut self, store: &Store) {
        let wrong = self.records.histories.iter().filter(|(name, _)| self.records.writes.is_stored(name)).find(
            |(name, history)| match store.durable.get(*name) {
                Some(stored) => !is(history.now(), stored),
                None => history.now().version != -1 && !self.records.writes.limbo.contains(*name),
            },
        );
        if let Some((name, history)) = wrong {
            let found = store.durable.get(name).map(|stored| stored.version);
            let what = format!("{} is at {} and storage has {found:?}", text(name), history.now().version);
            self.fail(what);
        }
    }
}

fn is(moment: &crate::shadow::Moment, stored: &Stored) -> bool {
    let value: Value = serde_json::from_slice(&stored.value).unwrap_or_default();
    moment.version == stored.version && moment.value == value
}

/// The change a message tells of.
pub(super) fn change_of(message: &Message<&[u8]>) -> Option<Change> {
    let data = message.data().map(serde_json::from_slice::<Value>).transpose().ok()?;
    let path = || Some(std::str::from_utf8(message.path()?).ok()?.to_owned());
    match message.head.action {
        Action::RecordUpdate | Action::RecordCreateAndUpdate => data.map(Change::Whole),
        Action::RecordPatch | Action::RecordCreateAndPatch => Some(Change::At(path()?, data)),
        Action::RecordErase => Some(Change::At(path()?, None)),
        Action::RecordPatchMulti => Change::many(message.data()?),
        _ => None,
    }
}
