//! Checks permissions: nothing that is forbidden has an effect, and nothing that is allowed is denied.
//!
//! The expected answers of rules come from [`crate::rules`], which shares no code with the rule language. A message is
//! judged by the rules that were in force at its connection's core when it arrived, for all its names, wherever they
//! are owned; only if an owner has seen several rule changes meanwhile may it use newer ones. Subscriptions and the
//! like that exist when rules change are judged again at their connection's core, at once if no record has to be read
//! for that.

use crate::oracle::Oracle;
use crate::oracle::record::text;
use crate::plan::Plan;
use crate::rules::{Question, Rules, Says, number_of};
use deepstream_valve::Right;
use deepstream_wire::client::original_action;
use deepstream_wire::{Action, Flags, Message, Topic};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

/// How many rule changes a message may meet on its way and still be judged by the rules under which it arrived.
const REMEMBERED: u32 = 4;

/// A message that was heard, as far as rules go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// The rules in force where it came in.
    pub(super) rules: u32,
    action: Action,
    /// It creates the record if there is none.
    creates: bool,
    /// It is a write, and its answer waited for room.
    waited: bool,
    number: Option<u64>,
}

/// Something lasting that was granted, such as a subscription: its connection, the action that asked for it, and the
/// name; `None`: presence of all users.
pub(super) type Grant = (usize, Action, Option<Box<[u8]>>);

/// A connection, the kind of question, and the name.
type Single = (usize, u8, Box<[u8]>);

/// A message with a correlation id.
#[derive(Debug)]
struct Asked {
    claim: Claim,
    /// What it asked for and was not denied.
    names: Vec<Box<[u8]>>,
    /// Another one had its id: which of them is denied cannot be told.
    twin: bool,
}

/// What a connection emits on one name.
#[derive(Debug, Default)]
struct Emits {
    claims: BTreeMap<u64, Claim>,
    noted: usize,
    denied: usize,
}

/// All permissions of a world.
#[derive(Debug)]
pub(super) struct Permit {
    rules: Vec<Rules>,
    /// The rules in force on each core.
    at: Vec<u32>,
    newest: u32,
    /// Messages may be turned away because too many wait.
    crowded: bool,
    /// Readings may wait for room, and are judged once more then.
    narrow: bool,
    asked: BTreeMap<(usize, Box<[u8]>), Vec<Asked>>,
    /// Reads, heads and deletions that are not answered, in order.
    singles: BTreeMap<Single, VecDeque<Claim>>,
    emits: BTreeMap<(usize, Box<[u8]>), Emits>,
    users: Vec<String>,
}

impl Permit {
    pub(super) fn new(plan: &Plan) -> Self {
        let limits = &plan.options.limits;
        Self {
            rules: plan.rules.clone(),
            at: vec![0; plan.cores as usize],
            newest: 0,
            narrow: plan.is_narrow(),
            crowded: limits.parked_messages_max < 100 || limits.parked_bytes_max < 100_000,
            asked: BTreeMap::new(),
            singles: BTreeMap::new(),
            emits: BTreeMap::new(),
            users: plan.users.clone(),
        }
    }

    /// Whether messages may be turned away for want of room.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Whether there are rules in this world.
    pub(super) fn ruled(&self) -> bool {
        !self.rules.is_empty()
    }

    /// The rules that a message may be judged by.
    fn of(&self, claim: &Claim) -> RangeInclusive<u32> {
        // What is judged where it came in goes by the rules in force once what it waits for is there.
        let edge = matches!(
            claim.action,
            Action::EventListen | Action::RecordListen | Action::PresenceQueryAll | Action::PresenceSubscribeAll
        );
        let late = self.narrow && deepstream_engine::is_reading(claim.action);
        let last = if edge || late || self.newest > claim.rules + REMEMBERED { self.newest } else { claim.rules };
        claim.rules..=last
    }
}

/// The rights a message needs; creating aside, which depends on the record.
fn rights_of(action: Action) -> &'static [Right] {
    match action {
        Action::EventEmit => &[Right::EventPublish],
        Action::EventSubscribe => &[Right::EventSubscribe],
        Action::EventListen => &[Right::EventListen],
        Action::RecordListen => &[Right::RecordListen],
        Action::RpcProvide => &[Right::RpcProvide],
        Action::RpcRequest => &[Right::RpcRequest],
        Action::PresenceSubscribe | Action::PresenceSubscribeAll | Action::PresenceQuery | Action::PresenceQueryAll => {
            &[Right::PresenceAllow]
        }
        Action::RecordUpdate | Action::RecordPatch | Action::RecordPatchMulti => &[Right::RecordWrite],
        Action::RecordCreateAndUpdate | Action::RecordCreateAndPatch => &[Right::RecordCreate, Right::RecordWrite],
        Action::RecordErase | Action::RecordDelete => &[Right::RecordDelete],
        Action::RecordNotify => &[Right::RecordNotify],
        Action::RecordRead
        | Action::RecordHead
        | Action::RecordSubscribe
        | Action::RecordSubscribeAndHead
        | Action::RecordSubscribeAndRead
        | Action::RecordSubscribeCreateAndRead => &[Right::RecordRead],
        _ => &[],
    }
}

/// Whether a message is a denial.
pub(crate) fn is_denial(action: Action) -> bool {
    fails(action)
        || matches!(action, Action::EventDenied | Action::RecordDenied | Action::RpcDenied | Action::PresenceDenied)
}

fn fails(action: Action) -> bool {
    matches!(
        action,
        Action::EventPermissionError
            | Action::RecordPermissionError
            | Action::RpcPermissionError
            | Action::PresencePermissionError
    )
}

fn is_single(action: Action) -> bool {
    matches!(
        action,
        Action::RecordRead
            | Action::RecordHead
            | Action::RecordDelete
            | Action::RecordSubscribeAndRead
            | Action::RecordSubscribeCreateAndRead
    )
}

/// Reading forms of subscriptions are answered like reads.
fn kind_of(action: Action) -> u8 {
    match action {
        Action::RecordSubscribeAndRead | Action::RecordSubscribeCreateAndRead => Action::RecordRead.code(),
        action => action.code(),
    }
}

/// Which rules are in force.
impl Oracle {
    /// There are newer rules.
    pub(crate) fn issued(&mut self, rules: u32) {
        self.permit.newest = rules;
        self.providers_in_doubt(rules);
    }

    /// A core is about to be told of rules; `false` if it knows them, or newer ones.
    pub(crate) fn adopts(&mut self, core: usize, rules: u32) -> bool {
        let newer = self.permit.at[core] < rules;
        self.permit.at[core] = self.permit.at[core].max(rules);
        newer
    }

    /// There is a core more, which goes by these rules.
    pub(crate) fn core_begins(&mut self, rules: u32) {
        self.permit.at.push(rules);
    }

    /// The newest rules, by which some cores may not go yet.
    pub(super) fn newest_rules(&self) -> u32 {
        self.permit.newest
    }

    /// The rules that a core goes by.
    pub(super) fn rules_of_core(&self, core: usize) -> u32 {
        self.permit.at[core]
    }

    /// The oldest rules that some core goes by.
    pub(crate) fn oldest_rules(&self) -> u32 {
        self.permit.at.iter().copied().min().unwrap_or_default()
    }
}

/// What rules say.
impl Oracle {
    fn says(&self, conn: usize, right: Right, name: Option<&[u8]>, number: Option<u64>, rules: u32) -> Says {
        let Some(user) = self.conns[conn].user else { return Says { yes: true, no: true, slow: true } };
        let question = Question { right, user: &self.permit.users[user], name, number, document: None };
        self.permit.rules[rules as usize].say(question)
    }

    /// The rules in force at a connection's core.
    pub(super) fn rules_at(&self, conn: usize) -> u32 {
        self.permit.at[self.conns[conn].core]
    }

    /// The rules that the document may be judged by which a message is answered with.
    pub(super) fn rules_of(&self, claim: &Claim) -> RangeInclusive<u32> {
        let rules = self.permit.of(claim);
        // What a write conflicts with is judged when it is told.
        if claim.waited { *rules.start()..=self.permit.newest } else { rules }
    }

    /// What a write conflicts with is told later.
    pub(super) fn claim_waits(&mut self, conn: usize, correlation_id: &[u8]) {
        let asked = self.permit.asked.get_mut(&(conn, correlation_id.into()));
        asked.into_iter().flatten().for_each(|asked| asked.claim.waited = true);
    }

    /// Whether a record may be read; where it is told what it is, by that.
    pub(super) fn reads(&self, conn: usize, name: &[u8], document: Option<&Value>, rules: u32) -> Says {
        let Some(user) = self.conns[conn].user else { return Says { yes: true, no: true, slow: true } };
        let question = Question {
            right: Right::RecordRead,
            user: &self.permit.users[user],
            name: Some(name),
            number: None,
            document,
        };
        self.permit.rules[rules as usize].say(question)
    }

    /// What the first of the reads of a name that are not answered went by; nothing if it cannot be told which is the first.
    pub(super) fn read_claim(&self, conn: usize, name: &[u8]) -> Option<Claim> {
        let key = (conn, Action::RecordRead.code(), name.into());
        self.permit.singles.get(&key).and_then(VecDeque::front).copied().filter(|_| !self.permit.crowded)
    }

    /// Whether what goes on may go on under these rules.
    pub(super) fn stands(&self, conn: usize, action: Action, name: Option<&[u8]>, rules: u32) -> Says {
        rights_of(action).iter().fold(Says { yes: true, no: false, slow: false }, |says, &right| {
            let more = self.says(conn, right, name, None, rules);
            Says { yes: says.yes && more.yes, no: says.no || more.no, slow: says.slow || more.slow }
        })
    }

    /// Whether a message can have been allowed, denied, and judged with the help of records.
    fn judged_by(&self, conn: usize, claim: &Claim, name: Option<&[u8]>) -> Says {
        let mut all = Says { yes: false, no: false, slow: false };
        for rules in self.permit.of(claim) {
            let mut one = Says { yes: true, no: false, slow: false };
            for &right in rights_of(claim.action) {
                let says = self.says(conn, right, name, claim.number, rules);
                one = Says { yes: one.yes && says.yes, no: one.no || says.no, slow: one.slow || says.slow };
            }
            if claim.creates {
                let says = self.says(conn, Right::RecordCreate, name, None, rules);
                one.no |= says.no;
                one.slow |= says.slow;
            }
            all = Says { yes: all.yes || one.yes, no: all.no || one.no, slow: all.slow || one.slow };
        }
        all
    }

    /// Something came of a message, which must have been allowed.
    pub(super) fn granted(&mut self, conn: usize, claim: &Claim, name: Option<&[u8]>, what: &str) {
        if self.permit.ruled() && self.judged_by(conn, claim, name).never() {
            let name = name.map_or("everybody".into(), text);
            self.fail(format!("conn {conn} may not, and {what}: {name} {claim:?}"));
        }
    }

    /// A message was denied, which must not have been allowed.
    fn refused_by(&mut self, conn: usize, claim: &Claim, name: Option<&[u8]>, message: &Message<&[u8]>) {
        let says = self.judged_by(conn, claim, name);
        let line = || crate::trace::describe(message);
        let failed = fails(message.head.action);
        let turned_away = failed && self.permit.crowded;
        self.check(!says.always() || turned_away, || format!("conn {conn} may, and was denied: {} {claim:?}", line()));
        self.check(!failed || says.slow || turned_away, || {
            format!("conn {conn} was told that a rule failed that reads nothing: {} {claim:?}", line())
        });
    }

    /// A connection is told something on account of what it began earlier: the rules in force at its core must let that
    /// go on, unless they have to read records to find out.
    pub(super) fn goes_on(&mut self, conn: usize, action: Action, name: Option<&[u8]>) {
        if !self.permit.ruled() {
            return;
        }
        let rules = self.permit.at[self.conns[conn].core];
        let says = self.stands(conn, action, name, rules);
        self.check(!says.never() || says.slow, || {
            let name = name.map_or("everybody".into(), text);
            format!("conn {conn} was told of {name} what rules {rules} forbid at its core")
        });
    }
}

/// What is heard.
impl Oracle {
    fn claim(&self, conn: usize, message: &Message<&[u8]>) -> Claim {
        let action = message.head.action;
        let number = match action {
            Action::EventEmit => number_of(Right::EventPublish, message.data()),
            Action::RpcRequest => number_of(Right::RpcRequest, message.data()),
            Action::RecordUpdate | Action::RecordCreateAndUpdate => number_of(Right::RecordWrite, message.data()),
            _ => None,
        };
        let forces = message.head.flags.has(Flags::IS_WRITE_ACK) && message.head.version == -1;
        let creates = match action {
            Action::RecordSubscribeCreateAndRead => true,
            Action::RecordUpdate | Action::RecordPatch | Action::RecordPatchMulti | Action::RecordErase => forces,
            _ => false,
        };
        Claim { rules: self.permit.at[self.conns[conn].core], action, creates, waited: false, number }
    }

    pub(super) fn claim_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        let action = message.head.action;
        if !self.permit.ruled() || rights_of(action).is_empty() {
            return;
        }
        let claim = self.claim(conn, message);
        if action == Action::EventEmit {
            if let Some(number) = claim.number.filter(|_| self.is_name(message.name())) {
                let emits = self.permit.emits.entry((conn, message.name().into())).or_default();
                emits.claims.insert(number, claim);
            }
            return;
        }
        if is_single(action) && message.names().count().max(1) <= self.limits.names_per_message_max {
            let named = message.head.flags.has(Flags::NAME).then_some(message.name());
            for name in message.names().chain(named) {
                self.permit.singles.entry((conn, kind_of(action), name.into())).or_default().push_back(claim);
            }
        }
        let key = (conn, message.correlation_id().unwrap_or_default().into());
        let asked = self.permit.asked.entry(key).or_default();
        if message.correlation_id().is_none() {
            // Only the last one can still be open.
            asked.retain(|asked| asked.claim.action != action);
        }
        let mut names: Vec<Box<[u8]>> = message.names().map(Into::into).collect();
        if names.is_empty() {
            names.push(message.name().into());
        }
        let twin = !asked.is_empty();
        for other in asked.iter_mut() {
            other.twin = true;
        }
        asked.push(Asked { claim, names, twin });
    }

    /// The first of the reads, heads or deletions of one name is answered.
    pub(super) fn single_answered(&mut self, conn: usize, action: Action, name: &[u8], what: Option<&str>) {
        let Some(waiting) = self.permit.singles.get_mut(&(conn, kind_of(action), name.into())) else { return };
        let first = waiting.pop_front();
        if let (Some(claim), Some(what)) = (first, what)
            && !self.permit.crowded
        {
            self.granted(conn, &claim, Some(name), what);
        }
    }

    /// What is known of a message by its correlation id.
    pub(super) fn claim_of(&self, conn: usize, correlation_id: &[u8]) -> Option<Claim> {
        let asked = self.permit.asked.get(&(conn, correlation_id.into()))?;
        // Of two with one id nothing can be told.
        if asked.len() == 1 { asked.first().map(|asked| asked.claim) } else { None }
    }

    /// The same, and it must have been allowed.
    pub(super) fn granted_to(&mut self, conn: usize, correlation_id: &[u8], name: Option<&[u8]>, what: &str) {
        if let Some(claim) = self.claim_of(conn, correlation_id) {
            self.granted(conn, &claim, name, what);
        }
    }

    /// An owner took an event.
    pub(super) fn emit_granted(&mut self, conn: usize, name: &[u8], number: u64) {
        let Some(emits) = self.permit.emits.get_mut(&(conn, name.into())) else { return };
        emits.noted += 1;
        if let Some(claim) = emits.claims.get(&number).copied() {
            self.granted(conn, &claim, Some(name), "its event is published");
        }
    }
}

/// What is said.
impl Oracle {
    /// A denial: of a message, if it bears its correlation id or the message had none; otherwise of what went on.
    pub(super) fn denial_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        let line = || crate::trace::describe(message);
        let Some(action) = original_action(message).filter(|_| self.permit.ruled()) else {
            return self.fail(format!("conn {conn} was denied nothing it can know: {}", line()));
        };
        let name = message.head.flags.has(Flags::NAME).then_some(message.name());
        match action {
            Action::EventEmit => self.emit_denied(conn, message),
            Action::RecordRead | Action::RecordHead | Action::RecordDelete => {
                let key = (conn, kind_of(action), message.name().into());
                let first = self.permit.singles.get(&key).and_then(VecDeque::front).copied();
                if let Some(claim) = first.filter(|_| !self.permit.crowded) {
                    self.refused_by(conn, &claim, name, message);
                }
            }
            Action::EventListen | Action::RecordListen => self.grants_denied(conn, action, name, message),
            // Only a second one, behind one that waits, and only where too many wait.
            Action::RpcUnprovide if self.permit.crowded && fails(message.head.action) => {}
            _ => match message.correlation_id() {
                Some(correlation_id) => self.message_denied(conn, correlation_id, name, message),
                None => self.grants_denied(conn, action, name, message),
            },
        }
        match action.topic() {
            _ if Self::is_about_listening(action) => self.listening_denied(conn, action, message),
            Topic::Event => self.event_denied(conn, action, message),
            Topic::Record => self.record_denied(conn, action, message),
            Topic::Rpc => self.rpc_denied(conn, action, message),
            Topic::Presence => self.presence_denied(conn, action, message),
            _ => self.fail(format!("conn {conn} was denied what no rule is about: {}", line())),
        }
    }

    fn emit_denied(&mut self, conn: usize, message: &Message<&[u8]>) {
        let emits = self.permit.emits.entry((conn, message.name().into())).or_default();
        emits.denied += 1;
        let (denied, heard) = (emits.denied, emits.claims.len());
        let claims: Vec<Claim> = emits.claims.values().copied().collect();
        let name = Some(message.name());
        // It does not say which.
        let some = claims.iter().any(|claim| !self.judged_by(conn, claim, name).always()) || self.permit.crowded;
        self.check(denied <= heard && some, || {
            format!("conn {conn} was denied {denied} of {heard} events: {}", crate::trace::describe(message))
        });
    }

    fn message_denied(&mut self, conn: usize, correlation_id: &[u8], name: Option<&[u8]>, message: &Message<&[u8]>) {
        let line = || crate::trace::describe(message);
        let key = (conn, correlation_id.into());
        let plain: Box<[u8]> = name.unwrap_or_default().into();
        let all = self.permit.asked.get(&key).map_or(&[][..], |asked| asked);
        let chosen = (0..all.len()).find(|&index| all[index].names.contains(&plain));
        let found = chosen.and_then(|index| {
            let asked = self.permit.asked.get_mut(&key)?.get_mut(index)?;
            let place = asked.names.iter().position(|name| *name == plain)?;
            asked.names.swap_remove(place);
            Some((asked.claim, asked.twin))
        });
        match found {
            Some((_, true)) => {}
            Some((claim, false)) => self.refused_by(conn, &claim, name, message),
            None => self.fail(format!("conn {conn} is denied again, or what it did not ask: {}", line())),
        }
    }

    /// Whether some rules there were may end what goes on.
    pub(super) fn ends_by_rules(&self, conn: usize, action: Action, name: &[u8]) -> bool {
        self.permit.ruled() && self.may_end(conn, action, Some(name))
    }

    fn may_end(&self, conn: usize, action: Action, name: Option<&[u8]>) -> bool {
        (0..=self.permit.newest).any(|rules| !self.stands(conn, action, name, rules).always())
    }

    /// What went on, or was to begin where its connection is, ends.
    fn grants_denied(&mut self, conn: usize, action: Action, name: Option<&[u8]>, message: &Message<&[u8]>) {
        let possible = self.may_end(conn, action, name);
        self.check(possible, || {
            format!("conn {conn} may go on under all rules, and is ended: {}", crate::trace::describe(message))
        });
    }

    /// Nothing is under way: every core goes by the newest rules, and nothing goes on that they forbid.
    pub(super) fn permissions_at_rest(&mut self) {
        if !self.permit.ruled() {
            return;
        }
        let newest = self.permit.newest;
        let grant = self.grant();
        let wrong = grant.into_iter().find(|(conn, action, name)| {
            self.sound(*conn) && self.stands(*conn, *action, name.as_deref(), newest).never()
        });
        if let Some((conn, action, name)) = wrong {
            let name = name.map_or("everybody".into(), |name| text(&name));
            self.fail(format!("conn {conn} still has its {action:?} of {name}, which rules {newest} forbid"));
        }
        let lost = self
            .permit
            .emits
            .iter()
            .find(|((conn, _), emits)| self.sound(*conn) && emits.noted + emits.denied != emits.claims.len());
        if let Some(((conn, name), emits)) = lost {
            let what = format!("conn {conn}: events on {} were neither published nor denied: {emits:?}", text(name));
            self.fail(what);
        }
    }

    /// Everything that goes on: whose, what it was asked for with, and the name.
    fn grant(&self) -> Vec<Grant> {
        let mut grant = Vec::new();
        self.granted_events(&mut grant);
        self.granted_records(&mut grant);
        self.granted_presence(&mut grant);
        self.granted_listeners(&mut grant);
        self.granted_assignments(&mut grant);
        self.granted_providers(&mut grant);
        grant
    }
}
