//! Redis: PUBLISH and SUBSCRIBE.

use super::{Incoming, Membership, Publication, Stage, Taker, end, line, number};

pub(super) fn begin(membership: &Membership, out: &mut Vec<u8>) {
    match &membership.receives {
        Some(topic) => command(&[b"SUBSCRIBE", topic.as_bytes()], out),
        None => command(&[b"PING"], out),
    }
}

pub(super) fn publish(message: &Publication<'_>, out: &mut Vec<u8>) {
    command(&[b"PUBLISH", message.topic, message.data], out);
}

fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    use std::io::Write;
    // Writing to a vector cannot fail.
    let _ = write!(out, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(out, "${}\r\n", word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// One reply or pushed message.
pub(super) fn received(input: &[u8], stage: &mut Stage, out: &mut Vec<u8>, on: &mut impl Taker) -> usize {
    let Some((head, mut at)) = line(input) else { return 0 };
    match head.first() {
        Some(b'+') => ready(stage, out, on),
        // How many a publication reached.
        Some(b':') => {}
        Some(b'-') => on(Incoming::Refused(std::str::from_utf8(&head[1..]).unwrap_or("-ERR")), out),
        Some(b'*') => {
            let mut words: [&[u8]; 3] = [b""; 3];
            for word in &mut words {
                let Some((text, taken)) = bulk(&input[at..]) else { return 0 };
                *word = text;
                at += taken;
            }
            match words[0] {
                b"message" => on(Incoming::Delivery(words[2], None), out),
                _ => ready(stage, out, on),
            }
        }
        _ => end(stage, out, on),
    }
    at
}

fn ready(stage: &mut Stage, out: &mut Vec<u8>, on: &mut impl Taker) {
    if *stage == Stage::Joining {
        *stage = Stage::Ready;
        on(Incoming::Ready(0), out);
    }
}

fn bulk(input: &[u8]) -> Option<(&[u8], usize)> {
    let (head, start) = line(input)?;
    if head.first() != Some(&b'$') {
        return Some((head, start));
    }
    let end = start + number(&head[1..])?;
    (input.len() >= end + 2).then(|| (&input[start..end], end + 2))
}
