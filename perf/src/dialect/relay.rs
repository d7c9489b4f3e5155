//! The relay's: a line to join, then messages of a fixed size with nothing around them.

use super::{Incoming, Membership, Stage, Taker, end};
use crate::relay::{WELCOME, join_line};

pub(super) fn begin(membership: &Membership, message_bytes: usize, out: &mut Vec<u8>) {
    let Membership { publishes, receives, .. } = membership;
    out.extend_from_slice(join_line(publishes.as_deref(), receives.as_deref(), message_bytes).as_bytes());
}

pub(super) fn received(
    mut bytes: &[u8],
    message_bytes: usize,
    held: &mut Vec<u8>,
    stage: &mut Stage,
    out: &mut Vec<u8>,
    on: &mut impl Taker,
) {
    if *stage == Stage::Joining {
        if bytes[0] != WELCOME {
            return end(stage, out, on);
        }
        *stage = Stage::Ready;
        bytes = &bytes[1..];
        on(Incoming::Ready(0), out);
    }
    if !held.is_empty() {
        let missing = (message_bytes - held.len()).min(bytes.len());
        held.extend_from_slice(&bytes[..missing]);
        bytes = &bytes[missing..];
        if held.len() < message_bytes {
            return;
        }
        on(Incoming::Delivery(held, None), out);
        held.clear();
    }
    let messages = bytes.chunks_exact(message_bytes);
    let rest = messages.remainder();
    messages.for_each(|message| on(Incoming::Delivery(message, None), out));
    held.extend_from_slice(rest);
}
