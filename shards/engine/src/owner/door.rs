//! What the edge of this core says to its owner, and what rules ask of it: which of the owner's functions each verb is.

use crate::context::Context;
use crate::ident::{AttemptId, ConnId, Nanos, Place};
use crate::owner::Owner;
use crate::packet::{Identity, Rejoin, ReplyTo};
use crate::pattern::NamePattern;
use crate::permit::{FindOrLoad, FindResident, Found, Grant, RuleReader};
use crate::sides::{Sides, ToEdge, ToOwner};
use deepstream_valve::Document;
use deepstream_wire::{Action, Message, Topic};
use std::sync::Arc;

impl ToOwner for Owner {
    #[inline]
    fn request<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) {
        sides.request(conn, reply_to, message);
    }

    fn left<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, slot: u32, epoch: u32) {
        sides.left(conn, slot, epoch);
    }

    fn farewell<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, oversized: bool) {
        sides.owner.unasked.forget(conn);
        sides.departed(conn, oversized);
        sides.listener_departed(conn);
    }

    fn presence<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, identity: &Identity, online: bool) {
        sides.count_presence(conn, identity, online);
    }

    fn hold_client_id<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, at: Nanos, key: Box<[u8]>, on: bool) {
        sides.borne(conn, at, key, on);
    }

    fn everyone<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, reply_to: ReplyTo, on: bool) {
        sides.everyone_on(conn, reply_to, on);
    }

    fn listen<E: ToEdge>(
        sides: &mut Sides<E, Self>,
        conn: ConnId,
        reply_to: ReplyTo,
        topic: Topic,
        pattern: &Arc<NamePattern>,
        on: bool,
    ) {
        sides.listen_changed(conn, reply_to, topic, pattern, on);
    }

    fn users<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, reply_to: ReplyTo) {
        sides.users(conn, reply_to);
    }

    fn flush<E: ToEdge>(sides: &mut Sides<E, Self>, from: Place, epoch: u64) {
        sides.flush(from, epoch);
    }

    fn rejoin<E: ToEdge>(sides: &mut Sides<E, Self>, from: Place, names: &[Rejoin]) {
        sides.rejoin(from, names);
    }

    fn told<E: ToEdge>(sides: &mut Sides<E, Self>, from: Place, epoch: u64) {
        sides.told(from, epoch);
    }

    fn listens(&self, conn: ConnId, topic: Topic, source: &str) -> Option<Arc<NamePattern>> {
        self.listening.listens(conn, topic, source)
    }

    fn pattern_count(&self, conn: ConnId) -> usize {
        self.listening.count_of(conn)
    }

    fn compiled(&self, topic: Topic, source: &str) -> Option<Arc<NamePattern>> {
        self.listening.compiled(topic, source)
    }

    fn listener_places(&self) -> usize {
        self.listening.listeners.capacity()
    }

    fn listener_at(&self, core: Place, place: usize) -> Option<(ConnId, Topic, Arc<NamePattern>)> {
        let listener = self.listening.listeners.get(place)?;
        let here = listener.conn.core == core && !listener.leaving;
        here.then(|| (listener.conn, listener.topic, listener.pattern.clone()))
    }

    fn name_slots(&self) -> u32 {
        self.names.slots()
    }

    fn provider_at(&self, slot: u32) -> Option<Grant> {
        let name = self.names.get(slot)?;
        let conn = name.providers().last()?.conn;
        Some(Grant::Provider { conn, name: name.name.clone(), hash: name.hash })
    }

    fn other_providers(&self, name: &[u8], hash: u64) -> Vec<ConnId> {
        let Some(slot) = self.names.find(Topic::Rpc, name, hash) else { return Vec::new() };
        self.names.at(slot).providers().iter().rev().skip(1).map(|provider| provider.conn).collect()
    }

    fn assignment_at(&self, slot: u32) -> Option<Grant> {
        self.granted_assignment(slot)
    }

    fn end_provider<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, name: &[u8], hash: u64) -> bool {
        let names = &sides.owner.names;
        let provides = |&slot: &u32| names.at(slot).providers().iter().any(|provider| provider.conn == conn);
        let Some(slot) = names.find(Topic::Rpc, name, hash).filter(provides) else { return false };
        sides.end_providing(conn, slot);
        true
    }

    fn end_assignment<E: ToEdge>(sides: &mut Sides<E, Self>, attempt: AttemptId) {
        sides.end_assignment(attempt);
    }

    fn rules_changed(&mut self, has_rules: bool, guarded: &[Box<[u8]>]) {
        self.filters.guard(has_rules, guarded);
    }

    fn reauthorized<E: ToEdge>(sides: &mut Sides<E, Self>) {
        sides.offer_anew();
    }

    fn go_on_at<E: ToEdge>(sides: &mut Sides<E, Self>, slot: u32, found: Found) {
        sides.go_on_at(slot, found);
    }

    fn offer_again<E: ToEdge>(sides: &mut Sides<E, Self>, attempt: AttemptId, found: Found) {
        sides.offer_again(attempt, found);
    }

    fn find_or_load<E: ToEdge>(sides: &mut Sides<E, Self>, name: &[u8], hash: u64) -> FindOrLoad {
        sides.find_or_load(name, hash)
    }

    fn find_resident(&self, cx: &Context, name: &[u8], hash: u64) -> FindResident {
        self.find_resident(cx, name, hash)
    }

    fn wait_for_value(&mut self, slot: u32, rule_reader: RuleReader) {
        self.wait_for_value(slot, rule_reader);
    }

    fn name_of(&self, slot: u32) -> &[u8] {
        &self.names.at(slot).name
    }

    fn value_of(&self, slot: u32) -> &[u8] {
        self.value_of(slot)
    }

    fn used(&mut self, slot: u32) {
        self.used(slot);
    }

    fn is_known(&self, slot: u32) -> bool {
        self.is_known(slot)
    }

    fn old_document(&self, slot: u32, action: Action) -> Document<'_> {
        self.old_document(slot, action)
    }

    fn merge<E: ToEdge>(sides: &mut Sides<E, Self>, slot: u32, message: &Message<&[u8]>) -> Result<(), String> {
        sides.merge(slot, message)
    }

    fn merged_document(&self) -> Document<'_> {
        self.merged_document()
    }
}
