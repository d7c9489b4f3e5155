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
    pub(super) refusing: Rc<LinkConfig>,
}

impl Links {
    pub(super) fn new(open: LinkConfig) -> Self {
        let mut refusing = open.clone();
        refusing.gate.closed = Some(REFUSAL.into());
        refusing.mqtt.closed = Some(REFUSAL.into());
        Self { open: Rc::new(open), refusing: Rc::new(refusing) }
    }
}
