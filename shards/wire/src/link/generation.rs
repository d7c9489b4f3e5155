//! One path for both generations of clients.
//!
//! Clients of protobuf speak first. Those of the text protocol, whose default path is the same, wait until the server does. So
//! whoever is silent for a while is spoken to in text; and a client of protobuf that was only late passes over that, as every
//! release of them does, and is answered in protobuf once it has spoken.
//!
//! *Promises* that nobody's first message is lost or read as what it is not. *Does not* know the time: its host says when a
//! client was silent for long enough.

use std::ops::ControlFlow;

use super::{Link, LinkConfig, LinkEvent, Phase, Turn, greet};
use crate::message::Wire;
use crate::upgrade::Upgrade;

/// Whether it is certain what a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is.
    None,
    /// It came on the path of both, and neither side has said anything.
    Silent,
    /// It was spoken to in text and has not answered. On the endpoint of this index it would be one of protobuf.
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
    /// Whether the client is on the path of both generations, and nothing of a message has come.
    pub fn is_silent(&self) -> bool {
        self.doubt == Doubt::Silent && self.held.is_none() && matches!(self.phase, Phase::WebSocket(_))
    }

    /// Speaks to a silent client in text: what it is told is appended to `replies`. Gives the wire that is spoken from here on,
    /// unless the client was not silent.
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

    /// From here on it is a connection of this endpoint.
    pub(super) fn serve(&mut self, endpoint: u8) {
        self.phase = Phase::WebSocket(endpoint);
        self.upgraded_on = Some(endpoint);
    }
}

impl<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>> Turn<'_, F> {
    /// Looks at the first byte of a frame before the first message is known. Breaks if nothing more is to be dealt with now.
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

    /// Whether a client of the path of both generations that begins with a message of this wire is spoken to in that.
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
