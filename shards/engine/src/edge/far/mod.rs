//! Names whose owner changes, and owners that can be lost: what an edge of a cluster keeps that one of a server alone need not.
//!
//! Owners never pass a request on. What they do not own goes back to the edge that sent it; edges alone send it elsewhere, in
//! order. So what a connection says of one name is done in the order it was said, however often the name moves.
//!
//! * `asked.rs` keeps what was asked at other nodes until it is known to be over. What a node takes with it when it is lost is
//!   asked again if that does no harm, and answered with one error if it might (`lost.rs`).
//! * `moving.rs` holds what is said of a slot between two owners: the former owner is flushed, the next one is told which names are
//!   heard here (`rejoin.rs`), and then everything goes on.
//!
//! *Owns* those tables. *Promises* one answer for whatever was asked, whoever is lost; that nothing is said to an owner before it
//! was told what is heard here. *Does not* decide who owns what: that is the view's.

mod asked;
mod known;
mod lost;
mod moving;
mod rejoin;

use crate::ident::NodeId;
use crate::view::Row;
use ahash::RandomState;
use asked::Asked;
use known::Known;
use moving::Moving;
use std::collections::BTreeSet;

/// See the module. A server alone has none.
#[derive(Debug)]
pub(crate) struct Far {
    asked: Asked,
    moving: Moving,
    known: Known,
    /// Members that are not heard: nothing is asked of them.
    silent: BTreeSet<NodeId>,
}

impl Far {
    /// Of a member of a view.
    pub(crate) fn of(places: &Row, hasher: RandomState) -> Option<Box<Self>> {
        places.view()?;
        Some(Box::new(Self {
            asked: Asked::new(hasher),
            moving: Moving::default(),
            known: Known::default(),
            silent: BTreeSet::new(),
        }))
    }

    /// Requests to other nodes that are not over yet.
    pub(crate) fn asked_count(&self) -> usize {
        self.asked.len()
    }

    /// Messages that wait for the next owner of their name.
    pub(crate) fn held_count(&self) -> usize {
        self.moving.messages()
    }
}
