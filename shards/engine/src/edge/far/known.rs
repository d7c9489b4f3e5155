//! What owners know of this core's connections that their edge need not remember on a server alone: a next owner is told of it.
//!
//! *Owns* the names of calls that connections provide. *Promises* that what an owner confirmed is there, until its connection takes it
//! back or is gone. *Does not* know whether rules allow it still: the next owner judges it, as after a change of rules.

use crate::edge::Edge;
use crate::ident::ConnId;
use crate::packet::ReplyTo;
use crate::sides::{Sides, ToOwner};
use crate::view::View;
use bytes::Bytes;
use deepstream_wire::{Action, Flags, Head, Message, Span};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Known {
    provided: BTreeMap<ConnId, BTreeSet<Box<[u8]>>>,
}

impl Edge {
    /// A part of a bulk message is done. If a connection provides a name from here on, or no more, that is remembered.
    #[inline]
    pub(in crate::edge) fn remember_provided(&mut self, conn: ConnId, reply_to: ReplyTo) {
        if self.far.is_some() {
            self.remember_provided_far(conn, reply_to);
        }
    }

    #[cold]
    fn remember_provided_far(&mut self, conn: ConnId, reply_to: ReplyTo) {
        let Some(far) = &mut self.far else { return };
        let Some(action) = self.bulk_requests.action_of(reply_to) else { return };
        if action == Action::RpcProvide && self.sessions.get(conn).is_some() {
            far.known.provided.entry(conn).or_default().extend(self.bulk_requests.name_of(reply_to));
        } else if action == Action::RpcUnprovide
            && let Some(names) = far.known.provided.get_mut(&conn)
            && let Some(name) = self.bulk_requests.name_of(reply_to)
        {
            names.remove(&name);
            if names.is_empty() {
                far.known.provided.remove(&conn);
            }
        }
    }

    /// A connection is gone.
    pub(in crate::edge) fn forget_provided(&mut self, conn: ConnId) {
        if let Some(far) = &mut self.far {
            far.known.provided.remove(&conn);
        }
    }
}

impl<O: ToOwner> Sides<Edge, O> {
    /// Owners are told which of their names are provided here.
    pub(super) fn tell_provided(&mut self, is_ready: impl Fn(u16) -> bool) {
        let Some(far) = &self.edges.here.far else { return };
        let all =
            far.known.provided.iter().flat_map(|(&conn, names)| names.iter().map(move |name| (conn, name.clone())));
        for (conn, name) in all.collect::<Vec<_>>() {
            let hash = self.cx.hash(&name);
            if !is_ready(View::slot_of(hash)) {
                continue;
            }
            let span = Span { start: 0, len: name.len() as u32 };
            let mut head = Head { name_hash: hash, name: span, ..Head::new(Action::RpcProvide) };
            head.flags.set(Flags::NAME);
            let owner = self.cx.owner_of(hash);
            let copy = || Bytes::copy_from_slice(&name);
            self.ask(owner, conn, ReplyTo::default(), &Message { head, bytes: &name[..] }, copy);
        }
    }
}
