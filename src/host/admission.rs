//! Those who are not let in.
//!
//! *Owns* what their links go by. *Promises* that they are told why. *Does not* decide who is let in, nor tell the log: see
//! `endings`.

use crate::config::REFUSAL;
use deepstream_wire::LinkConfig;
use std::rc::Rc;

/// What links go by.
pub(super) struct Links {
    pub(super) open: Rc<LinkConfig>,
    /// Those of connections that are not let in, and told so.
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
