//! How a tape begins: which shard it is of.

use super::{Parts, placed};
use crate::codec::Get;
use crate::context::Options;
use crate::ident::{Nanos, NodeId, Place};
use crate::shard::Shard;
use crate::view::View;
use std::sync::Arc;

/// The first frame: which shard it was, and how it was made.
#[derive(Clone, Debug)]
pub struct Header {
    /// Of the engine that wrote it.
    pub version: String,
    /// Which shard.
    pub core: Place,
    /// Of how many of its node.
    pub cores: u16,
    /// The view it was made with; none: a server alone.
    pub view: Option<Arc<View>>,
    /// When it was made.
    pub begun: Nanos,
    /// What it was made with.
    pub options: Options,
    placed: u64,
}

impl Header {
    /// Reads it; `None` if it is no header.
    pub fn read(mut frame: &[u8]) -> Option<Self> {
        let (version, (core, (cores, view)), (begun, placed), options) = Parts::get(&mut frame)?;
        let is_placed = match &view {
            None => core.node() == NodeId(0) && core.core() < cores,
            Some(view) => view.has(core),
        };
        (frame.is_empty() && is_placed).then_some(Self { version, core, cores, view, begun, options, placed })
    }

    /// Whether this build places names on cores as the one that wrote it.
    pub fn is_placed_alike(&self) -> bool {
        placed(&self.options) == self.placed
    }

    /// The shard, as it began.
    pub fn shard(&self) -> Shard {
        match &self.view {
            None => Shard::new(self.begun, self.core, self.cores, self.options.clone()),
            Some(view) => Shard::member(self.begun, self.core, Arc::clone(view), self.options.clone()),
        }
    }
}
