//! Serves both generations of clients on one path.
//!
//! Clients of protobuf speak first. Those of the text protocol, whose default path is the same, wait for the server to
//! speak first. So a client that is silent for a while is sent the text challenge. A client of protobuf that was only
//! late ignores it, as every release does, and is answered in protobuf once it has spoken.
//!
//! *Promises* that no first message is lost or read in the wrong protocol. *Does not* know the time: the host says when
//! a client was silent for long enough.

use std::ops::ControlFlow;

use super::{Link, LinkConfig, LinkEvent, Phase, Turn, greet};
use crate::message::Wire;
use crate::upgrade::Upgrade;

/// Whether the protocol of a client is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is.
    None,
    /// It is on the shared path, and neither side has spoken.
    Silent,
    /// It was sent the text challenge and has not answered. If it turns out to speak protobuf, its endpoint is the one
    /// with this index.
    Greeted(u8),
}

impl Doubt {
    pub(super) fn of(upgrade: &Upgrade, config: &LinkConfig) -> Self {
        if upgrade.asked != upgrade.endpoint {
            Self::Greeted(upgrade.asked)
        } else if config.text_beside(usize::from(upgrade.asked)).is_some() {
            Self::Silent
        } else {
            Self::None
        }
    }
}

impl Link {
    /// Whether the client is on the shared path, and no byte of a message has arrived.
    pub fn is_silent(&self) -> bool {
        self.doubt == Doubt::Silent && self.held.is_none() && matches!(self.phase, Phase::WebSocket(_))
    }

    /// Appends the text challenge for a silent client to `replies`. Gives the wire from here on; `None` if the client
    /// was not silent.
    pub fn speak_first(&mut self, config: &LinkConfig, replies: &mut Vec<u8>) -> Option<Wire> {
        let Phase::WebSocket(asked) = self.phase else { return None };
        if !self.is_silent() {
            return None;
        }
        let text = config.text_beside(usize::from(asked))?;
        greet(Wire::Text, replies);
        self.serve(text as u8);
        self.doubt = Doubt::Greeted(asked);
        Some(Wire::Text)
    }

    /// Moves the connection to this endpoint.
    pub(super) fn serve(&mut self, endpoint: u8) {
        self.phase = Phase::WebSocket(endpoint);
        self.upgraded_on = Some(endpoint);
    }
}

impl<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>> Turn<'_, F> {
    /// Inspects the first byte of the first frame. Breaks if nothing more is to be processed now.
    #[cold]
    pub(super) fn settle(&mut self, input: &[u8]) -> ControlFlow<()> {
        const OPCODE: u8 = 0x0f;
        const TEXT: u8 = 1;
        const BINARY: u8 = 2;
        match (self.link.doubt, input.first().map(|byte| byte & OPCODE)) {
            (Doubt::Greeted(asked), Some(BINARY)) => self.turn(asked),
            (Doubt::Greeted(_), Some(TEXT)) | (Doubt::Silent, Some(BINARY)) => self.link.doubt = Doubt::None,
            _ => {}
        }
        if self.link.paused { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Whether a client on the shared path whose first message is of this wire is switched to it.
    #[cold]
    pub(super) fn turns_to(&mut self, wire: Wire) -> bool {
        let (Doubt::Silent, Phase::WebSocket(asked), Wire::Text) = (self.link.doubt, self.link.phase, wire) else {
            return false;
        };
        let Some(text) = self.config.text_beside(usize::from(asked)) else { return false };
        greet(Wire::Text, self.replies);
        self.turn(text as u8);
        true
    }

    fn turn(&mut self, endpoint: u8) {
        self.link.serve(endpoint);
        self.link.doubt = Doubt::None;
        self.endpoint = self.link.endpoint(self.config);
        if let Some(endpoint) = self.endpoint {
            self.tell(LinkEvent::Turned(endpoint.wire));
        }
    }
}
