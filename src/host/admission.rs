//! Connections that are accepted only to be told that they are refused.
//!
//! *Owns* the link settings for them. *Promises* that they are told why. *Does not* decide who is refused, nor log it:
//! see `endings`.

use crate::config::REFUSAL;
use deepstream_wire::LinkConfig;
use std::rc::Rc;

/// The settings of links.
pub(super) struct Links {
    pub(super) open: Rc<LinkConfig>,
    /// For connections that are refused with a message.
    pub(super) shut: Rc<LinkConfig>,
}

impl Links {
    pub(super) fn new(open: LinkConfig) -> Self {
        let mut shut = open.clone();
        shut.gate.closed = Some(REFUSAL.into());
        shut.mqtt.closed = Some(REFUSAL.into());
        Self { open: Rc::new(open), shut: Rc::new(shut) }
    }
}
