//! NATS: PUB, SUB and MSG.

use super::{Incoming, Membership, Publication, Stage, Taker, line, number};
use std::io::Write;

pub(super) fn publish(message: &Publication<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(message.topic);
    // Writing to a vector cannot fail.
    let _ = write!(out, " {}\r\n", message.data.len());
    out.extend_from_slice(message.data);
    out.extend_from_slice(b"\r\n");
}

/// One line of the server, and what belongs to it.
pub(super) fn received(
    input: &[u8],
    stage: &mut Stage,
    membership: &Membership,
    out: &mut Vec<u8>,
    on: &mut impl Taker,
) -> usize {
    let Some((head, start)) = line(input) else { return 0 };
    if head.starts_with(b"MSG ") {
        let Some(len) = head.rsplit(|byte| *byte == b' ').next().and_then(number) else { return start };
        let end = start + len;
        if input.len() < end + 2 {
            return 0;
        }
        on(Incoming::Delivery(&input[start..end], None), out);
        return end + 2;
    }
    if head.starts_with(b"INFO") {
        *stage = Stage::Joining;
        out.extend_from_slice(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false}\r\n");
        if let Some(topic) = &membership.receives {
            let _ = write!(out, "SUB {topic} 1\r\n");
        }
        out.extend_from_slice(b"PING\r\n");
    } else if head == b"PONG" && *stage == Stage::Joining {
        *stage = Stage::Ready;
        on(Incoming::Ready(0), out);
    } else if head == b"PING" {
        out.extend_from_slice(b"PONG\r\n");
    } else if head.starts_with(b"-ERR") {
        on(Incoming::Refused(std::str::from_utf8(head).unwrap_or("-ERR")), out);
    }
    start
}
