//! Checks presence: whether subscribers are told correctly that users came and went.
//!
//! Owners note when a user comes and goes, which gives a history. What a subscriber is told about a user must match
//! that history from about the moment of its subscription on. Answers must have been true at some moment between
//! question and answer. A client that asks for all users is only told about those that it may ask for by name.

use crate::oracle::Oracle;
use crate::oracle::permit::Grant;
use crate::oracle::record::text;
use crate::plan::Plan;
use deepstream_wire::{Action, Flags, Message};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// How often each user came or went.
type Moments = BTreeMap<Box<[u8]>, usize>;

/// What one connection wants to know: of one user, or of everybody.
#[derive(Debug, Default)]
struct Subscription {
    number: u64,
    /// Correlation id of the message that asked for it.
    by: Box<[u8]>,
    /// When it was asked for.
    asked: Moments,
    /// When it was acknowledged.
    acked: Option<Moments>,
    /// Per user, how often it was told something, and whether the last was that it came.
    told: BTreeMap<Box<[u8]>, (usize, bool)>,
}

/// A connection, and whose presence it wants to know; nobody stands for everybody.
type Wish = (usize, Option<Box<[u8]>>);

/// A name, and the correlation id of the message that asks for it.
type Asked = (Box<[u8]>, Box<[u8]>);

/// A wish, and which time it is wished.
type Numbered = (Wish, u64);

#[derive(Debug)]
struct Query {
    names: BTreeSet<Box<[u8]>>,
    asked: Moments,
}

/// All presence of a world.
#[derive(Debug)]
pub(super) struct Presence {
    /// How often each user came or went; odd: it is there.
    history: Moments,
    /// Connections of each user, as seen from outside.
    logins: Moments,
    subscriptions: BTreeMap<Wish, Subscription>,
    awaited: BTreeMap<(usize, Box<[u8]>), Vec<Numbered>>,
    queries: BTreeMap<(usize, Box<[u8]>), Query>,
    /// What the message at hand asks for although it is subscribed to.
    twice: Vec<Asked>,
    number: u64,
    names_max: usize,
    users: Vec<String>,
}

impl Presence {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            history: Moments::new(),
            logins: Moments::new(),
            subscriptions: BTreeMap::new(),
            awaited: BTreeMap::new(),
            queries: BTreeMap::new(),
            twice: Vec::new(),
            number: 0,
            names_max: plan.options.limits.names_per_message_max,
            users: plan.users.clone(),
        }
    }

    pub(super) fn disconnected(&mut self, conn: usize, user: Option<usize>) {
        self.subscriptions.retain(|(other, _), _| *other != conn);
        self.awaited.retain(|(other, _), _| *other != conn);
        self.queries.retain(|(other, _), _| *other != conn);
        if let Some(user) = user {
            *self.logins.entry(self.users[user].as_bytes().into()).or_default() -= 1;
        }
    }

    /// A wish that is to be acknowledged.
    fn begin(&mut self, wish: Wish, by: &[u8]) -> Numbered {
        self.number += 1;
        let (number, asked) = (self.number, self.history.clone());
        let subscription = Subscription { number, by: by.into(), asked, ..Subscription::default() };
        self.subscriptions.insert(wish.clone(), subscription);
        (wish, number)
    }

    fn count(&self, user: &[u8]) -> usize {
        self.history.get(user).copied().unwrap_or(0)
    }

    /// Whether a user was (not) there at some moment since.
    fn was(&self, user: &[u8], online: bool, since: &Moments) -> bool {
        let from = since.get(user).copied().unwrap_or(0);
        self.count(user) > from || (from % 2 == 1) == online
    }
}

impl Oracle {
    /// A login is accepted.
    pub(crate) fn judged(&mut self, conn: usize, user: usize) {
        if self.conns[conn].user.replace(user).is_none() && self.conns[conn].stays() {
            let name = self.presence.users[user].as_bytes().into();
            *self.presence.logins.entry(name).or_default() += 1;
        }
    }

    /// A connection is told that it is logged in: whoever asks from here on is to be told that its user is there.
    pub(super) fn welcomed(&mut self, conn: usize) {
        self.conns[conn].welcome = true;
        let user = self.conns[conn].user.map(|user| self.presence.users[user].clone()).unwrap_or_default();
        let there = user == "OPEN" || self.presence.count(user.as_bytes()) % 2 == 1;
        self.check(there, || format!("conn {conn} is logged in as {user}, of whom no owner knows"));
    }

    /// An owner says that a user came or went.
    pub(super) fn presence_noted(&mut self, user: &str, online: bool) {
        let count = self.presence.history.entry(user.as_bytes().into()).or_default();
        *count += 1;
        let fits = (*count % 2 == 1) == online && user != "OPEN";
        self.check(fits, || format!("{user} came or went twice: online={online}"));
    }

    pub(super) fn presence_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        let correlation_id = message.correlation_id();
        let action = message.head.action;
        match action {
            Action::PresenceSubscribeAll => {
                if self.presence.subscriptions.contains_key(&(conn, None)) {
                    self.conns[conn].answers.owe(Action::PresenceMultipleSubscriptions, None, None);
                    return self.conns[conn].answers.owe(action, None, correlation_id);
                }
                self.presence_awaits(conn, message, vec![None], false);
            }
            Action::PresenceUnsubscribeAll => {
                self.presence.subscriptions.remove(&(conn, None));
                self.conns[conn].answers.owe(action, None, correlation_id);
            }
            Action::PresenceSubscribe | Action::PresenceUnsubscribe | Action::PresenceQuery => {
                self.presence_names_heard(conn, message);
            }
            Action::PresenceQueryAll => {
                self.conns[conn].answers.owe(Action::PresenceQueryAllResponse, None, correlation_id);
                self.query_heard(conn, message, BTreeSet::new());
            }
            _ => {}
        }
    }

    fn presence_names_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        let correlation_id = message.correlation_id();
        let action = message.head.action;
        if message.names().count() > self.presence.names_max {
            return self.conns[conn].answers.owe(Action::PresenceInvalidUsers, None, correlation_id);
        }
        if action == Action::PresenceUnsubscribe {
            for name in message.names() {
                self.presence.subscriptions.remove(&(conn, Some(name.into())));
            }
            return self.conns[conn].answers.owe(action, None, correlation_id);
        }
        let (mut fresh, mut asked) = (Vec::new(), BTreeSet::new());
        let (mut named, mut refused, mut held) = (0, 0, false);
        for name in message.names() {
            named += 1;
            if !self.is_name(name) {
                refused += 1;
                self.conns[conn].answers.owe(Action::PresenceInvalidUsers, None, correlation_id);
            } else if action == Action::PresenceQuery {
                asked.insert(name.into());
            } else if fresh.contains(&Some(name.into()))
                || self.presence.subscriptions.contains_key(&(conn, Some(name.into())))
            {
                self.conns[conn].answers.owe(Action::PresenceMultipleSubscriptions, Some(name), None);
                self.presence.twice.push((name.into(), correlation_id.unwrap_or_default().into()));
                held = true;
            } else {
                fresh.push(Some(name.into()));
            }
        }
        if named > 0 && refused == named {
            return;
        }
        if action == Action::PresenceQuery {
            self.conns[conn].answers.owe(Action::PresenceQueryResponse, None, correlation_id);
            self.query_heard(conn, message, asked);
        } else {
            self.presence_awaits(conn, message, fresh, held);
        }
    }

    fn presence_awaits(&mut self, conn: usize, message: &Message<&[u8]>, fresh: Vec<Option<Box<[u8]>>>, held: bool) {
        let mut awaited = Vec::new();
        // One that is held already stands, whatever becomes of the others: nobody's name, which no denial takes away.
        if held {
            awaited.push(((conn, Some(Box::default())), 0));
        }
        for whose in fresh {
            awaited.push(self.presence.begin((conn, whose), message.correlation_id().unwrap_or_default()));
        }
        self.conns[conn].answers.owe(message.head.action, None, message.correlation_id());
        self.presence.awaited.insert((conn, message.correlation_id().unwrap_or_default().into()), awaited);
    }

    /// The shard is done with the last message it heard. Where a subscription was denied and the word of that is on its
    /// way, another that is asked for meanwhile is the first, not the second.
    pub(super) fn presence_handled(&mut self, conn: usize) {
        let twice = std::mem::take(&mut self.presence.twice);
        let Some(key) = twice.first().map(|(_, by)| (conn, by.clone())) else { return };
        let (mut begun, mut stands) = (Vec::new(), false);
        for (name, by) in twice {
            if self.ends_by_rules(conn, Action::PresenceSubscribe, &name)
                && self.conns[conn].answers.forgive(Action::PresenceMultipleSubscriptions, Some(&name), None)
            {
                begun.push(self.presence.begin((conn, Some(name)), &by));
            } else {
                stands = true;
            }
        }
        let awaited = self.presence.awaited.entry(key).or_default();
        awaited.retain(|((_, whose), _)| stands || whose.as_deref() != Some(b""));
        awaited.extend(begun);
    }

    fn query_heard(&mut self, conn: usize, message: &Message<&[u8]>, names: BTreeSet<Box<[u8]>>) {
        let asked = self.presence.history.clone();
        let key = (conn, message.correlation_id().unwrap_or_default().into());
        self.presence.queries.insert(key, Query { names, asked });
    }

    pub(super) fn presence_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        let action = message.head.action;
        match action {
            Action::PresenceJoin | Action::PresenceLeave => {
                self.presence_told(conn, Some(message.name().into()), message, action == Action::PresenceJoin);
            }
            Action::PresenceJoinAll | Action::PresenceLeaveAll => {
                self.presence_told(conn, None, message, action == Action::PresenceJoinAll);
            }
            Action::PresenceQueryResponse => self.query_said(conn, message),
            Action::PresenceQueryAllResponse => self.query_all_said(conn, message),
            _ => {
                self.settle(conn, message);
                if message.head.flags.has(Flags::IS_ACK) {
                    self.presence_acked(conn, message);
                }
            }
        }
    }

    /// A user may not be watched (any more), or not be asked for.
    pub(super) fn presence_denied(&mut self, conn: usize, action: Action, message: &Message<&[u8]>) {
        let correlation_id = message.correlation_id();
        let key = (conn, correlation_id.unwrap_or_default().into());
        let whose: Option<Box<[u8]>> = message.head.flags.has(Flags::NAME).then_some(message.name().into());
        match action {
            Action::PresenceQuery | Action::PresenceQueryAll => {
                let Some(query) = self.presence.queries.get_mut(&key) else { return };
                query.names.retain(|name| Some(name) != whose.as_ref());
                if query.names.is_empty() {
                    self.presence.queries.remove(&key);
                    let response = if action == Action::PresenceQuery {
                        Action::PresenceQueryResponse
                    } else {
                        Action::PresenceQueryAllResponse
                    };
                    self.conns[conn].answers.forgive(response, None, correlation_id);
                }
            }
            _ => {
                let wish = (conn, whose);
                let meant = |it: &Subscription| correlation_id.is_none_or(|id| *it.by == *id);
                if self.presence.subscriptions.get(&wish).is_some_and(meant) {
                    self.presence.subscriptions.remove(&wish);
                }
                let Some(awaited) = self.presence.awaited.get_mut(&key) else { return };
                awaited.retain(|(other, _)| *other != wish);
                if awaited.is_empty() {
                    self.presence.awaited.remove(&key);
                    self.conns[conn].answers.forgive(action, None, correlation_id);
                }
            }
        }
    }

    /// Who is watched, for whoever wants to know what goes on.
    pub(super) fn granted_presence(&self, grant: &mut Vec<Grant>) {
        for (conn, whose) in self.presence.subscriptions.keys() {
            let all = whose.is_none();
            let action = if all { Action::PresenceSubscribeAll } else { Action::PresenceSubscribe };
            grant.push((*conn, action, whose.clone()));
        }
    }

    fn presence_acked(&mut self, conn: usize, message: &Message<&[u8]>) {
        let key = (conn, message.correlation_id().unwrap_or_default().into());
        for (wish, number) in self.presence.awaited.remove(&key).unwrap_or_default() {
            if let Some(subscription) = self.presence.subscriptions.get_mut(&wish)
                && subscription.number == number
            {
                subscription.acked = Some(self.presence.history.clone());
            }
        }
    }

    fn presence_told(&mut self, conn: usize, whose: Option<Box<[u8]>>, message: &Message<&[u8]>, online: bool) {
        let line = || crate::trace::describe(message);
        self.goes_on(conn, Action::PresenceSubscribe, whose.as_deref());
        self.knows(conn, message.name());
        // New rules may have kept from it that somebody came or went in between.
        let may_miss = whose.is_none() && self.ends_by_rules(conn, Action::PresenceSubscribe, message.name());
        let Some(subscription) = self.presence.subscriptions.get_mut(&(conn, whose)) else {
            return self.fail(format!("conn {conn} is not subscribed and was told {}", line()));
        };
        let told = subscription.told.entry(message.name().into()).or_default();
        let again = told.0 > 0 && told.1 == online && !may_miss;
        *told = (told.0 + 1, online);
        self.check(!again, || format!("conn {conn} was told again {}", line()));
    }

    fn query_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        let line = || crate::trace::describe(message);
        self.settle(conn, message);
        let key = (conn, message.correlation_id().unwrap_or_default().into());
        let Some(query) = self.presence.queries.remove(&key) else { return };
        let told: Map<String, Value> = serde_json::from_slice(message.data().unwrap_or_default()).unwrap_or_default();
        let names: BTreeSet<Box<[u8]>> = told.keys().map(|name| name.as_bytes().into()).collect();
        for name in &names {
            self.granted_to(conn, &key.1, Some(name), "learns who is there");
        }
        self.check(names == query.names, || format!("conn {conn} asked for other users: {}", line()));
        let wrong = told.iter().find(|(name, online)| {
            !online.as_bool().is_some_and(|online| self.presence.was(name.as_bytes(), online, &query.asked))
        });
        let wrong = wrong.map(|(name, _)| name.clone());
        self.check(wrong.is_none(), || format!("conn {conn} is told of {wrong:?} what never was: {}", line()));
    }

    fn query_all_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        self.settle(conn, message);
        let key = (conn, message.correlation_id().unwrap_or_default().into());
        let Some(query) = self.presence.queries.remove(&key) else { return };
        self.granted_to(conn, &key.1, None, "learns who is there");
        let names: Vec<Box<[u8]>> = message.names().map(Into::into).collect();
        for name in &names {
            self.knows(conn, name);
        }
        let own = self.conns[conn].user.map(|user| Box::from(self.presence.users[user].as_bytes()));
        let known: BTreeSet<&Box<[u8]>> = self.presence.history.keys().chain(&names).collect();
        let wrong = known.into_iter().find(|name| {
            let listed = names.iter().filter(|other| other == name).count();
            if Some(*name) == own.as_ref() {
                return listed > 0;
            }
            if listed == 0 && self.may_not_know(conn, name) {
                return false;
            }
            listed > 1 || !self.presence.was(name, listed == 1, &query.asked)
        });
        let wrong = wrong.map(|name| text(name));
        self.check(wrong.is_none(), || format!("conn {conn} is told of {wrong:?} what never was, of all"));
    }

    /// A connection is told of a user.
    fn knows(&mut self, conn: usize, user: &[u8]) {
        if self.permit.ruled() {
            let says = self.stands(conn, Action::PresenceSubscribe, Some(user), self.rules_at(conn));
            // While records are read to find out, what goes on by the user's name goes on.
            self.check(!says.never() || says.slow, || {
                format!("conn {conn} may not know of {} and is told", text(user))
            });
        }
    }

    /// Whether the rules at a connection's core may keep a user from it.
    fn may_not_know(&self, conn: usize, user: &[u8]) -> bool {
        let rules = self.rules_at(conn);
        self.permit.ruled() && !self.stands(conn, Action::PresenceSubscribe, Some(user), rules).always()
    }

    /// Nothing is under way: owners know who is there, and whoever wanted to know was told.
    pub(super) fn presence_at_rest(&mut self) {
        let untold = (0..self.conns.len()).find(|&conn| {
            let view = &self.conns[conn];
            self.sound(conn) && view.user.is_some() && !view.welcome
        });
        if let Some(conn) = untold {
            return self.fail(format!("conn {conn} was let in and never told so"));
        }
        let presence = &self.presence;
        let users = presence.users.iter().map(String::as_bytes);
        let wrong = users.filter(|user| **user != *b"OPEN").find(|user| {
            let there = presence.logins.get(*user).is_some_and(|&count| count > 0);
            (presence.count(user) % 2 == 1) != there
        });
        if let Some(user) = wrong {
            let what = format!("{} came and went {} times, {:?}", text(user), presence.count(user), presence.logins);
            return self.fail(what);
        }
        let mut missed = None;
        for ((conn, whose), subscription) in presence.subscriptions.iter().filter(|((conn, _), _)| self.sound(*conn)) {
            let Some(acked) = &subscription.acked else {
                missed.get_or_insert_with(|| format!("conn {conn} never got its acknowledgement: {subscription:?}"));
                continue;
            };
            for (user, &count) in &presence.history {
                if whose.as_ref().is_some_and(|whose| whose != user) {
                    continue;
                }
                let (told, online) = subscription.told.get(user).copied().unwrap_or_default();
                let at = |moments: &Moments| moments.get(user).copied().unwrap_or(0);
                if told <= count && whose.is_none() && self.ends_by_rules(*conn, Action::PresenceSubscribe, user) {
                    continue;
                }
                let fits = told <= count && (at(&subscription.asked)..=at(acked)).contains(&(count - told));
                if !fits || told > 0 && online != (count % 2 == 1) {
                    missed.get_or_insert_with(|| {
                        format!("conn {conn} missed that {} came or went {count} times: {subscription:?}", text(user))
                    });
                }
            }
        }
        if let Some(what) = missed {
            self.fail(what);
        }
    }
}
