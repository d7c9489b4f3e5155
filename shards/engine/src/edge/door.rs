//! What the owner of this core says to its edge: which of the edge's functions each verb is.

use crate::edge::Edge;
use crate::edge::session::table::Session;
use crate::ident::{ConnId, NodeId, Place};
use crate::output::{Frames, Reason};
use crate::outputs::Outputs;
use crate::packet::{Forwarded, Identity, Rejoined, ReplyTo};
use crate::permit::{Found, Grant};
use crate::sides::{Joined, Left, Sides, ToEdge, ToOwner, UserQuery};
use crate::view::Change;
use bytes::Bytes;
use deepstream_wire::{Message, Topic, Wire};
use std::sync::Arc;

impl ToEdge for Edge {
    fn identity(&self, conn: ConnId) -> Option<&Arc<Identity>> {
        self.sessions.get(conn).and_then(|session| session.identity.as_ref())
    }

    fn wire(&self, conn: ConnId) -> Option<Wire> {
        self.sessions.get(conn).map(|session| session.wire)
    }

    fn is_told(&self, conn: ConnId) -> bool {
        self.sessions.get(conn).is_none_or(Session::is_told)
    }

    fn backlog(&self, conn: ConnId) -> usize {
        self.sessions.get(conn).map_or(0, Session::backlog)
    }

    fn has_room(&self, conn: ConnId, bytes: usize) -> bool {
        let high_water = self.sessions.high_water();
        let Some(session) = self.sessions.get(conn) else { return true };
        let fetched = session.withheld.as_ref().map_or(0, |withheld| withheld.fetched_bytes());
        let backlog = session.backlog() + fetched;
        backlog == 0 || backlog + bytes <= high_water
    }

    #[inline]
    fn tell(&mut self, outputs: &mut Outputs, conn: ConnId, put: impl FnOnce(Wire, &mut Vec<u8>)) {
        self.sessions.append(outputs, conn, |wire, outbox, spare| {
            let out = outbox.open(spare);
            let before = out.len();
            put(wire, out);
            out.len() - before
        });
    }

    #[inline]
    fn only_member(&self, slot: u32, except: ConnId) -> Option<u32> {
        self.sessions.only_one(self.subscribers.members(self.sessions.core(), slot), except)
    }

    #[inline]
    fn tell_member(&mut self, outputs: &mut Outputs, member: u32, except: ConnId, put: impl FnOnce(&mut Vec<u8>)) {
        self.sessions.tell_member(outputs, member, except, put);
    }

    #[inline]
    fn fan_out(
        &mut self,
        outputs: &mut Outputs,
        (owner, slot, except): (Place, u32, ConnId),
        frames: [&[u8]; Wire::COUNT],
        share: impl Fn() -> Frames,
    ) {
        self.sessions.fan_out_here(outputs, self.subscribers.members(owner, slot), except, frames, share);
    }

    fn end_subscriptions(&mut self, owner: Place, slot: u32) {
        self.subscribers.end(owner, slot);
    }

    fn deliver(&mut self, outputs: &mut Outputs, conn: ConnId, frame: Bytes) {
        self.sessions.deliver(outputs, conn, frame);
    }

    fn taken_over(&mut self, outputs: &mut Outputs, conn: ConnId) {
        self.close(outputs, conn, Reason::TakenOver);
    }

    fn counted<O>(sides: &mut Sides<Self, O>, conn: ConnId) {
        sides.admitted(conn);
    }

    #[inline]
    fn joined<O>(sides: &mut Sides<Self, O>, owner: Place, joined: Joined) -> Option<Left> {
        sides.joined(owner, joined)
    }

    fn subscription_of(&self, conn: ConnId, reply_to: ReplyTo) -> Option<Grant> {
        let name = self.subscribers.name_of(reply_to)?;
        Some(Grant::Subscription { conn, topic: name.topic, name: name.name.clone(), hash: name.hash })
    }

    #[inline]
    fn settled<O>(
        sides: &mut Sides<Self, O>,
        owner: Place,
        conn: ConnId,
        reply_to: ReplyTo,
        refused: bool,
        version: Option<i32>,
    ) {
        sides.settled(owner, conn, reply_to, refused, version);
    }

    fn withheld(&mut self, owner: Place, forwarded: Forwarded) -> Option<Forwarded> {
        self.request_done(owner, forwarded.reply_to);
        self.withheld(owner, forwarded)
    }

    fn next_fetch<O>(sides: &mut Sides<Self, O>, conn: ConnId) -> Option<(Place, Forwarded)> {
        sides.next_fetch(conn)
    }

    fn fetch_made(&mut self, conn: ConnId) {
        self.fetch_made(conn);
    }

    fn fetched(&mut self, conn: ConnId, number: u32) {
        self.fetched(conn, number);
    }

    fn online(&mut self, reply_to: ReplyTo, users: Box<[Box<[u8]>]>) -> Option<UserQuery> {
        self.users_online(reply_to, users)
    }

    fn answer_users<O>(sides: &mut Sides<Self, O>, query: UserQuery) {
        sides.answer_query_all(&query);
    }

    fn asks_far<O: ToOwner>(sides: &mut Sides<Self, O>, owner: Place, forwarded: Forwarded) -> Option<Forwarded> {
        sides.asks_far(owner, forwarded)
    }

    fn part_asked(&mut self, owner: Place, reply_to: ReplyTo, for_users: bool) {
        self.part_asked(owner, reply_to, for_users);
    }

    fn part_settled(&mut self, owner: Place, reply_to: ReplyTo) {
        self.part_settled(owner, reply_to);
    }

    fn done(&mut self, owner: Place, name_id: u32, attempt: u32) {
        self.request_done(owner, ReplyTo { name_id, attempt, ..ReplyTo::default() });
    }

    fn astray<O: ToOwner>(sides: &mut Sides<Self, O>, owner: Place, forwarded: Forwarded) {
        sides.came_back(owner, forwarded);
    }

    fn flushed<O: ToOwner>(sides: &mut Sides<Self, O>, owner: Place, epoch: u64) {
        sides.owner_flushed(owner, epoch);
    }

    fn rejoined<O: ToOwner>(sides: &mut Sides<Self, O>, owner: Place, names: &[Rejoined]) {
        sides.names_rejoined(owner, names);
    }

    fn view_changing<O: ToOwner>(sides: &mut Sides<Self, O>, change: &Change) {
        sides.view_changing(change);
    }

    fn view_changed<O: ToOwner>(sides: &mut Sides<Self, O>, change: &Change) {
        sides.view_changed(change);
    }

    fn restarted<O: ToOwner>(sides: &mut Sides<Self, O>, node: NodeId) {
        sides.member_restarted(node);
    }

    fn reached<O: ToOwner>(sides: &mut Sides<Self, O>, node: NodeId, heard: bool) {
        sides.member_reached(node, heard);
    }

    fn suspended<O: ToOwner>(_: &mut Sides<Self, O>) {}

    fn watcher_count(&self) -> usize {
        self.watchers.len()
    }

    fn watcher_at(&self, place: usize) -> Option<ConnId> {
        self.watchers.at(place)
    }

    fn watcher_of(&self, place: usize, index: usize) -> Option<ConnId> {
        self.watchers.confirmed_at(place, index)
    }

    fn end_watching(&mut self, conn: ConnId) -> Option<bool> {
        self.watch_no_more(conn)
    }

    fn introduce(&mut self, index: usize, conn: ConnId) -> Option<Arc<Identity>> {
        let session = self.sessions.get_mut(conn).filter(|session| session.identity.is_some())?;
        if session.introduce(index) { session.identity.clone() } else { None }
    }

    fn begin_again<O: ToOwner>(sides: &mut Sides<Self, O>, conn: ConnId, message: &Message<&[u8]>, found: Found) {
        sides.begin_again(conn, message, found);
    }

    fn subscription_slots(&self) -> u32 {
        self.subscribers.slots()
    }

    fn subscription_count(&self, slot: u32) -> usize {
        self.subscribers.count_at(slot)
    }

    fn subscription_at(&self, slot: u32, place: usize) -> Option<Grant> {
        let conn = self.sessions.id_at(slot)?;
        let name = self.subscribers.subscription(slot, place)?;
        Some(Grant::Subscription { conn, topic: name.topic, name: name.name.clone(), hash: name.hash })
    }

    fn end_subscription(&mut self, conn: ConnId, topic: Topic, name: &[u8], hash: u64) -> (bool, Option<Left>) {
        self.unsubscribe(conn, topic, name, hash)
    }
}

impl Edge {
    /// Ends a connection: what waits for it is sent, nothing more is read.
    pub(in crate::edge) fn close(&mut self, outputs: &mut Outputs, conn: ConnId, reason: Reason) {
        self.sessions.close(outputs, conn, reason);
    }
}
