//! Checks records: each has one history, which every subscriber sees without gaps.
//!
//! Owners note what they do, which gives a history. For every connection and name the oracle keeps the set of moments
//! of the history that the connection can have reached: mostly one, sometimes several that look alike from outside.
//! What the connection is told must be possible from at least one of them; the others are then dropped. If a value
//! never existed, or a change is skipped, repeated or out of order, no moment is left, and that is a failure.

mod denied;
mod taken_back;

use crate::oracle::Oracle;
use crate::oracle::stored::Commits;
use crate::oracle::write::{Writes, change_of};
use crate::plan::Plan;
use crate::shadow::{Cause, Change, History, Moment};
use deepstream_wire::client::{original_action, versions};
use deepstream_wire::{Action, Message};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How far a subscription is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Asked for with a read, which is to be answered first.
    Reading,
    /// Asked for; may begin at any moment from this one on.
    Beginning(usize),
    /// Acknowledged before it was told anything: began at one of these.
    Began(usize, usize),
    /// Knows the record: as it is at one of these.
    Knows(Vec<usize>),
}

#[derive(Clone, Debug)]
struct Subscription {
    stage: Stage,
    /// The record was deleted since: the subscription ends when its connection hears of it.
    ending: bool,
    /// Correlation id of the message that asked for it.
    asked: Box<[u8]>,
    /// Asked for behind a deletion by the same connection, which does not end it.
    behind_deletion: bool,
}

/// The state between a connection and a name.
#[derive(Debug, Default)]
struct Tie {
    subscription: Option<Subscription>,
    /// What there was before the subscription that is being asked for.
    before: Option<Subscription>,
    /// Asked for by the message that is being handled.
    fresh: bool,
    /// Nothing older than this will be seen.
    floor: usize,
    /// Reads that are not answered, in order; those that belong to a subscription with what asked for it.
    reads: VecDeque<Option<Box<[u8]>>>,
    heads: u32,
    deletes: u32,
}

/// A bulk message: one acknowledgement, or one refusal per name.
#[derive(Debug)]
struct Bulk {
    action: Action,
    names: Vec<Box<[u8]>>,
    refused: usize,
    acks: u32,
}

/// All records of a world.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) histories: BTreeMap<Box<[u8]>, History>,
    ties: BTreeMap<(usize, Box<[u8]>), Tie>,
    bulks: BTreeMap<(usize, Box<[u8]>), Bulk>,
    pub(super) writes: Writes,
    /// Connections that were told versions, which are to be acknowledged next.
    versions_told: BTreeSet<usize>,
    names_max: usize,
    pub(super) commits: Commits,
}

impl Records {
    pub(super) fn new(plan: &Plan) -> Self {
        let origin = |(name, stored): &(Box<[u8]>, deepstream_engine::Stored)| {
            let value = serde_json::from_slice(&stored.value).unwrap_or_default();
            (name.clone(), History::stored(stored.version, value))
        };
        Self {
            histories: plan.stored.iter().map(origin).collect(),
            ties: BTreeMap::new(),
            bulks: BTreeMap::new(),
            writes: Writes::new(&plan.options),
            versions_told: BTreeSet::new(),
            names_max: plan.options.limits.names_per_message_max,
            commits: Commits::new(&plan.options),
        }
    }

    pub(super) fn history(&mut self, name: &[u8]) -> &mut History {
        if !self.histories.contains_key(name) {
            self.histories.insert(name.into(), History::default());
        }
        self.histories.get_mut(name).expect("it was put there just now")
    }

    pub(super) fn disconnected(&mut self, conn: usize) {
        self.ties.retain(|(other, _), _| *other != conn);
        self.bulks.retain(|(other, _), _| *other != conn);
    }

    fn tie(&mut self, conn: usize, name: &[u8]) -> &mut Tie {
        self.ties.entry((conn, name.into())).or_default()
    }
}

/// What owners note.
impl Oracle {
    /// A record was created by a subscription.
    pub(super) fn record_created(&mut self, name: &[u8]) {
        let history = self.records.history(name);
        let version = history.now().version;
        history.push(Cause::Created, 0, Value::Object(serde_json::Map::new()));
        self.check(version == -1, || format!("{} was created at version {version}", text(name)));
    }

    /// A record was deleted.
    pub(super) fn record_deleted(&mut self, name: &[u8]) {
        self.records.history(name).end(Cause::Deleted);
        self.storage_agrees(name);
        self.nobody_wants(name);
        for ((_, other), tie) in &mut self.records.ties {
            if **other == *name {
                tie.subscription.iter_mut().for_each(|subscription| subscription.ending = true);
            }
        }
    }
}

/// What connections ask.
impl Oracle {
    pub(super) fn record_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        let action = message.head.action;
        match action {
            Action::RecordSubscribe
            | Action::RecordSubscribeAndHead
            | Action::RecordSubscribeAndRead
            | Action::RecordSubscribeCreateAndRead => self.record_subscribe_heard(conn, message),
            Action::RecordUnsubscribe | Action::RecordNotify => {
                if action == Action::RecordNotify {
                    message.names().for_each(|name| self.records.writes.notify(name));
                }
                if action == Action::RecordUnsubscribe && message.names().count() <= self.records.names_max {
                    for name in message.names() {
                        self.records.tie(conn, name).subscription = None;
                        self.wants_no_more(conn, true, name);
                    }
                }
                self.bulk_heard(conn, message);
            }
            Action::RecordRead => self.records.tie(conn, message.name()).reads.push_back(None),
            Action::RecordHead => self.records.tie(conn, message.name()).heads += 1,
            Action::RecordDelete => self.records.tie(conn, message.name()).deletes += 1,
            _ => self.write_heard(conn, message),
        }
    }

    fn bulk_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        let action = message.head.action;
        let mut names: Vec<Box<[u8]>> = message.names().map(Into::into).collect();
        if names.len() > self.records.names_max {
            names = vec![Box::default()];
        }
        let key = (conn, message.correlation_id().unwrap_or_default().into());
        self.records.bulks.insert(key, Bulk { action, names, refused: 0, acks: 0 });
    }

    fn record_subscribe_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        self.bulk_heard(conn, message);
        if message.names().count() > self.records.names_max {
            return;
        }
        let action = message.head.action;
        let reads = matches!(action, Action::RecordSubscribeAndRead | Action::RecordSubscribeCreateAndRead);
        for name in message.names() {
            let last = self.records.history(name).last();
            let tie = self.records.tie(conn, name);
            let stage = if reads { Stage::Reading } else { Stage::Beginning(last) };
            let behind_deletion = tie.deletes > 0;
            let asked: Box<[u8]> = message.correlation_id().unwrap_or_default().into();
            tie.reads.extend(reads.then(|| Some(asked.clone())));
            tie.before = tie.subscription.replace(Subscription { stage, ending: false, asked, behind_deletion });
            tie.fresh = true;
        }
    }

    /// The shard is done with the last message it heard.
    pub(super) fn records_handled(&mut self, conn: usize) {
        let mut twice = None;
        for ((_, name), tie) in self.records.ties.range_mut((conn, Box::default())..(conn + 1, Box::default())) {
            if std::mem::take(&mut tie.fresh) && tie.before.take().is_some_and(|before| !before.ending) {
                twice.get_or_insert_with(|| name.clone());
            }
        }
        // Rules may have ended it a moment ago, and the word of that be on its way.
        let lasts = |name: &[u8]| !self.ends_by_rules(conn, Action::RecordSubscribe, name);
        if let Some(name) = twice.filter(|name| self.sound(conn) && lasts(name)) {
            self.fail(format!("conn {conn} subscribed twice to {} and was not told so", text(&name)));
        }
    }

    /// A subscription is not to be: what there was before stands.
    fn revert(&mut self, conn: usize, name: &[u8]) -> bool {
        let tie = self.records.tie(conn, name);
        if !std::mem::take(&mut tie.fresh) {
            return false;
        }
        tie.subscription = tie.before.take();
        tie.subscription.is_some()
    }
}

/// What connections are told.
impl Oracle {
    pub(super) fn record_said(&mut self, conn: usize, message: &Message<&[u8]>, store: &crate::store::Store) {
        let name = message.name();
        match message.head.action {
            Action::RecordUpdate | Action::RecordPatch | Action::RecordPatchMulti => self.change_said(conn, message),
            Action::RecordDeleted => self.deleted_said(conn, name),
            Action::RecordReadResponse => self.read_said(conn, message),
            Action::RecordNotFound => {
                self.single_answered(conn, Action::RecordRead, name, Some("reads"));
                self.read_failed(conn, name, None);
                self.seen(conn, name, "missing", |moment| moment.version == -1);
            }
            Action::RecordHeadResponse => {
                self.single_answered(conn, Action::RecordHead, name, Some("learns the version"));
                let heads = &mut self.records.tie(conn, name).heads;
                let owed = heads.checked_sub(1);
                *heads = owed.unwrap_or(0);
                self.check(owed.is_some(), || format!("conn {conn} asked for no version of {}", text(name)));
                let version = message.head.version;
                self.seen(conn, name, "version", |moment| moment.version == version);
            }
            Action::RecordDeleteSuccess => self.delete_succeeded(conn, name),
            Action::RecordDeleteError => {
                self.single_answered(conn, Action::RecordDelete, name, None);
                self.delete_paid(conn, name);
            }
            Action::RecordMultipleSubscriptions => {
                let stood = self.revert(conn, name);
                self.check(stood, || format!("conn {conn} is not subscribed to {}, and told so", text(name)));
            }
            Action::RecordHeadResponseBulk => self.versions_said(conn, message),
            Action::RecordStorageRetrievalTimeout | Action::RecordLoadError => self.load_failed(conn, message),
            // There can be no such record.
            Action::RecordUpdateError if original_action(message) == Some(Action::RecordSubscribeCreateAndRead) => {
                self.seen(conn, name, "missing", |moment| moment.version == -1);
                self.load_failed(conn, message);
            }
            Action::RecordInvalidMessageData if self.bulk_refused(conn, message) => {}
            action if message.head.flags.has(deepstream_wire::Flags::IS_ACK) => self.bulk_acked(conn, action, message),
            _ => self.write_answered(conn, message, store),
        }
    }

    /// The first read is answered. What asked for it, if that was a subscription.
    fn read_paid(&mut self, conn: usize, name: &[u8]) -> Option<Box<[u8]>> {
        let first = self.records.tie(conn, name).reads.pop_front();
        self.check(first.is_some(), || format!("conn {conn} read {} once and was answered twice", text(name)));
        first.flatten()
    }

    /// A read is answered that is known to be a plain one, or a subscription's, if it is told which.
    fn read_failed(&mut self, conn: usize, name: &[u8], asked: Option<&[u8]>) {
        let reads = &mut self.records.tie(conn, name).reads;
        let place = reads.iter().position(|read| read.as_deref() == asked);
        place.and_then(|place| reads.remove(place));
        self.check(place.is_some(), || format!("conn {conn} read {} once and was answered twice", text(name)));
    }

    /// The same, of a subscription: of several the first, unless they may have been turned away in another order.
    fn reading_failed(&mut self, conn: usize, name: &[u8]) {
        let crowded = self.permit.is_crowded();
        let tie = self.records.tie(conn, name);
        let first = tie.reads.iter().find_map(Clone::clone).unwrap_or_default();
        let begins = |it: &Subscription| it.stage == Stage::Reading && (crowded || it.asked == first);
        if tie.subscription.as_ref().is_some_and(begins) {
            tie.subscription = None;
            tie.fresh = false;
        }
        self.read_failed(conn, name, Some(&first));
    }

    fn delete_paid(&mut self, conn: usize, name: &[u8]) {
        let deletes = &mut self.records.tie(conn, name).deletes;
        let owed = deletes.checked_sub(1);
        *deletes = owed.unwrap_or(0);
        self.check(owed.is_some(), || format!("conn {conn} deleted {} once and was answered twice", text(name)));
    }

    /// A connection is shown what a record is: at one moment it was that, and not before what was known already.
    pub(super) fn seen(&mut self, conn: usize, name: &[u8], what: &str, fits: impl Fn(&Moment) -> bool) {
        let history = self.records.history(name);
        let last = history.last();
        let possible: Vec<usize> = (0..=last).filter(|&index| fits(history.at(index))).collect();
        let history = &self.records.histories[name];
        let tie = self.records.ties.entry((conn, name.into())).or_default();
        let mut left: Vec<usize> = match tie.subscription.as_ref().map(|subscription| &subscription.stage) {
            Some(Stage::Knows(known)) => known
                .iter()
                .flat_map(|&from| history.silent_after(from, conn))
                .filter(|index| possible.contains(index))
                .collect(),
            _ => possible.into_iter().filter(|&index| index >= tie.floor).collect(),
        };
        left.sort_unstable();
        left.dedup();
        if let Some(&first) = left.first() {
            tie.floor = tie.floor.max(first);
        }
        let (held, first) = (!left.is_empty(), left.first().copied());
        if let Some(Subscription { stage: Stage::Knows(known), ending, .. }) = &mut tie.subscription {
            // Of a record that is deleted, what comes after is not told on this subscription's account.
            if held || !*ending {
                *known = left;
            }
        }
        let ending = tie.subscription.as_ref().is_some_and(|subscription| subscription.ending);
        self.check(held || ending, || {
            format!("conn {conn} is shown a {what} of {} that it cannot see now", text(name))
        });
        self.told_moment(conn, name, first);
    }

    fn read_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        let name = message.name();
        let version = message.head.version;
        let value: Value = serde_json::from_slice(message.data().unwrap_or_default()).unwrap_or_default();
        self.single_answered(conn, Action::RecordRead, name, Some("reads"));
        let asked = self.read_paid(conn, name);
        self.seen(conn, name, "value", |moment| moment.version == version && moment.value == value);
        let history = &self.records.histories[name];
        let tie = self.records.ties.entry((conn, name.into())).or_default();
        let floor = tie.floor;
        if let Some(subscription) = &mut tie.subscription
            && subscription.stage == Stage::Reading
            && asked.is_some_and(|asked| asked == subscription.asked)
        {
            let fits = |index: &usize| {
                let moment = history.at(*index);
                moment.version == version && moment.value == value
            };
            let known: Vec<usize> = (floor..=history.last()).filter(fits).collect();
            let first = known.first().copied().unwrap_or(floor);
            subscription.ending = (first..=history.last()).any(|index| history.at(index).cause == Cause::Deleted);
            subscription.stage = Stage::Knows(known);
            if !subscription.ending && tie.deletes == 0 {
                self.wants(conn, true, name);
            }
        }
    }

    /// Whether a connection waits for the answer to a deletion.
    pub(super) fn is_deleting(&mut self, conn: usize, name: &[u8]) -> bool {
        self.records.tie(conn, name).deletes > 0
    }

    /// A change, told to a subscriber.
    fn change_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        let name = message.name();
        let line = || crate::trace::describe(message);
        self.goes_on(conn, Action::RecordSubscribe, Some(name));
        let Some(change) = change_of(message) else {
            return self.fail(format!("conn {conn} was told what is no change: {}", line()));
        };
        self.records.history(name);
        let history = &self.records.histories[name];
        let tie = self.records.ties.entry((conn, name.into())).or_default();
        let Some(subscription) = &mut tie.subscription else {
            return self.fail(format!("conn {conn} is not subscribed and was told {}", line()));
        };
        let froms: Vec<usize> = match &subscription.stage {
            Stage::Knows(known) => known.clone(),
            Stage::Beginning(from) => (*from..=history.last()).collect(),
            Stage::Began(from, to) => (*from..=*to).collect(),
            Stage::Reading => Vec::new(),
        };
        let version = message.head.version;
        let result = |index: &usize| {
            let moment = history.at(*index);
            let before = &history.at(index - 1).value;
            moment.version == version && change.apply(before) == moment.value
        };
        // A NOTIFY repeats what is, whole, to everybody.
        let repeated = |index: &usize| {
            let moment = history.at(*index);
            moment.version == version && change == Change::Whole(moment.value.clone())
        };
        let told = froms.iter().filter_map(|&from| history.next_told(from, conn)).filter(result);
        let again = froms.iter().flat_map(|&from| history.silent_after(from, conn)).filter(repeated);
        let notified = self.records.writes.notified(name);
        let mut left: Vec<usize> = told.chain(again.filter(|_| notified)).collect();
        left.sort_unstable();
        left.dedup();
        let held = !left.is_empty();
        // Whoever is told something before its deletion is answered did not subscribe behind it after all: a
        // subscription that cannot wait in the record's queue goes ahead of it.
        subscription.behind_deletion &= tie.deletes == 0;
        let first = left.first().copied();
        let stage = std::mem::replace(&mut subscription.stage, Stage::Knows(left));
        self.check(held, || format!("conn {conn} at {stage:?} cannot be told {}", line()));
        self.told_moment(conn, name, first);
    }

    fn deleted_said(&mut self, conn: usize, name: &[u8]) {
        self.goes_on(conn, Action::RecordSubscribe, Some(name));
        self.records.history(name);
        let history = &self.records.histories[name];
        let tie = self.records.ties.entry((conn, name.into())).or_default();
        let subscription = tie.subscription.take();
        let gone = (tie.floor..=history.last()).filter(|&index| history.at(index).version == -1);
        let first = gone.clone().next();
        tie.floor = first.unwrap_or(tie.floor).max(tie.floor);
        let fits = subscription.as_ref().is_some_and(|subscription| match &subscription.stage {
            Stage::Knows(known) => known.iter().any(|&from| {
                history.next_told(from, conn).is_some_and(|index| history.at(index).cause == Cause::Deleted)
                    || history.silent_after(from, conn).any(|index| history.at(index).version == -1)
            }),
            Stage::Reading => false,
            Stage::Beginning(_) | Stage::Began(..) => first.is_some(),
        });
        self.check(fits, || format!("conn {conn} at {subscription:?} cannot be told that {} is gone", text(name)));
    }

    fn delete_succeeded(&mut self, conn: usize, name: &[u8]) {
        self.single_answered(conn, Action::RecordDelete, name, Some("deletes"));
        self.delete_paid(conn, name);
        let tie = self.records.tie(conn, name);
        // One that began behind the deletion stays.
        if tie.subscription.as_ref().is_some_and(|it| it.ending && !it.behind_deletion && it.stage != Stage::Reading) {
            tie.subscription = None;
        } else if let Some(subscription) = &mut tie.subscription {
            subscription.behind_deletion = tie.deletes > 0;
        }
    }

    /// A value could not be had.
    fn load_failed(&mut self, conn: usize, message: &Message<&[u8]>) {
        let name = message.name();
        match original_action(message) {
            Some(Action::RecordRead) => {
                self.single_answered(conn, Action::RecordRead, name, None);
                self.read_failed(conn, name, None);
            }
            Some(Action::RecordSubscribeAndRead | Action::RecordSubscribeCreateAndRead) => {
                self.single_answered(conn, Action::RecordRead, name, None);
                self.reading_failed(conn, name);
            }
            Some(Action::RecordNotify) => {
                let refused = self.bulk_refused(conn, message);
                self.check(refused, || format!("conn {conn} has not notified of {}", text(name)));
            }
            Some(Action::RecordHead) => {
                // Also what SUBSCRIBEANDHEAD is told of a version that could not be had.
                let heads = &mut self.records.tie(conn, name).heads;
                if *heads > 0 {
                    *heads -= 1;
                    self.single_answered(conn, Action::RecordHead, name, None);
                }
            }
            _ => self.fail(format!("conn {conn} asked for no load: {}", crate::trace::describe(message))),
        }
    }

    /// One name of a bulk message was refused; `false` if the message is about something else.
    fn bulk_refused(&mut self, conn: usize, message: &Message<&[u8]>) -> bool {
        let key = (conn, message.correlation_id().unwrap_or_default().into());
        let Some(bulk) = self.records.bulks.get_mut(&key) else { return false };
        bulk.refused += 1;
        let reads = matches!(bulk.action, Action::RecordSubscribeAndRead | Action::RecordSubscribeCreateAndRead);
        let too_many = bulk.refused > bulk.names.len();
        self.check(!too_many, || format!("conn {conn} was refused more than it asked: {key:?}"));
        let name = message.name();
        let tie = self.records.tie(conn, name);
        if tie.fresh {
            if reads {
                tie.reads.pop_back();
            }
            self.revert(conn, name);
        }
        true
    }

    fn bulk_acked(&mut self, conn: usize, action: Action, message: &Message<&[u8]>) {
        let key = (conn, message.correlation_id().unwrap_or_default().into());
        let Some(bulk) = self.records.bulks.get_mut(&key) else {
            return self.fail(format!("conn {conn} asked for no {}", crate::trace::describe(message)));
        };
        bulk.acks += 1;
        let fits = bulk.acks == 1 && bulk.action == action;
        self.check(fits, || format!("conn {conn} was acknowledged twice: {}", crate::trace::describe(message)));
        if action == Action::RecordSubscribeAndHead {
            let told = self.records.versions_told.remove(&conn);
            self.check(told, || format!("conn {conn} was not told the versions it asked for"));
        }
        let names = self.records.bulks[&key].names.clone();
        if !matches!(action, Action::RecordSubscribe | Action::RecordSubscribeAndHead) {
            return;
        }
        for name in names {
            let last = self.records.history(&name).last();
            let tie = self.records.tie(conn, &name);
            let deleting = tie.deletes > 0;
            if let Some(subscription) = &mut tie.subscription
                && let Stage::Beginning(from) = subscription.stage
                && subscription.asked == key.1
            {
                subscription.stage = Stage::Began(from, last);
                if !subscription.ending && !deleting {
                    self.wants(conn, true, &name);
                }
            }
        }
    }

    fn versions_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        for (name, version) in versions(message) {
            let asked = self.records.tie(conn, name).subscription.as_ref().map(|it| it.asked.clone());
            if let Some(asked) = asked {
                self.granted_to(conn, &asked, Some(name), "learns the version");
            }
            let history = self.records.history(name);
            let was = (0..=history.last()).find(|&index| history.at(index).version == version);
            self.check(was.is_some(), || format!("conn {conn} is told that {} is at {version}", text(name)));
            self.told_moment(conn, name, was);
        }
        // The acknowledgement that follows tells which message was meant.
        let first = self.records.versions_told.insert(conn);
        self.check(first, || format!("conn {conn} was told versions twice"));
    }
}

/// What must have come by the time nothing is under way.
impl Oracle {
    pub(super) fn records_at_rest(&mut self) {
        let mut wrong = Vec::new();
        for ((conn, name), tie) in self.records.ties.iter().filter(|((conn, _), _)| self.sound(*conn)) {
            if tie.reads.len() as u32 + tie.heads + tie.deletes > 0 {
                wrong.push(format!("conn {conn} was never answered about {}: {tie:?}", text(name)));
            }
            let Some(subscription) = &tie.subscription else { continue };
            let history = &self.records.histories[name];
            let current = match &subscription.stage {
                // A deletion it asked for itself ends it too, one it subscribed again behind included if that came first.
                Stage::Knows(known) => known.iter().any(|&from| {
                    let deleted = || (from..=history.last()).any(|index| history.at(index).cause == Cause::Deleted);
                    history.next_told(from, *conn).is_none() || (subscription.ending && deleted())
                }),
                // It may have begun before a deletion, of which its own connection was told in another way.
                Stage::Began(..) if subscription.ending => true,
                Stage::Began(from, to) => (*from..=*to).any(|from| history.next_told(from, *conn).is_none()),
                Stage::Reading | Stage::Beginning(_) => false,
            };
            if !current {
                wrong.push(format!(
                    "conn {conn} does not know {} as it is: {tie:?}, now {:?}",
                    text(name),
                    history.now()
                ));
            }
        }
        for ((conn, correlation_id), bulk) in self.records.bulks.iter().filter(|((conn, _), _)| self.sound(*conn)) {
            let reads = matches!(bulk.action, Action::RecordSubscribeAndRead | Action::RecordSubscribeCreateAndRead);
            // A reading form is acknowledged when it comes in, whatever becomes of its names.
            let refused = !bulk.names.is_empty() && bulk.refused == bulk.names.len() && (!reads || bulk.acks == 0);
            if (bulk.acks == 1) == refused {
                wrong.push(format!("conn {conn} was never answered: {} {bulk:?}", text(correlation_id)));
            }
        }
        if let Some(first) = wrong.into_iter().next() {
            self.fail(first);
        }
    }
}

pub(super) fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
