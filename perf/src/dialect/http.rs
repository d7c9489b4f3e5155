//! deepstream's HTTP API, a request for every message: only for senders. Receivers speak protobuf.
//!
//! Requests are not waited for: as many follow each other on a connection as the scenario's window allows.

use super::{Incoming, Publication, Stage, Taker, end, json, number};
use crate::scenario::Kind;
use std::io::Write;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// Asks whether the server lives: the first answer says that requests are served.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(b"GET /health-check HTTP/1.1\r\nHost: x\r\n\r\n");
}

/// One answer; 0 if it is not whole.
pub(super) fn received(input: &[u8], stage: &mut Stage, out: &mut Vec<u8>, on: &mut impl Taker) -> usize {
    let Some(head_len) = input.windows(HEAD_END.len()).position(|part| part == HEAD_END) else { return 0 };
    let head = &input[..head_len];
    let at = head_len + HEAD_END.len();
    let len = head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(b"content-length:".len())?;
        if name.eq_ignore_ascii_case(b"content-length:") { number(value) } else { None }
    });
    let Some(body) = input.get(at..at + len.unwrap_or(0)) else { return 0 };
    if *stage != Stage::Ready {
        *stage = Stage::Ready;
        on(Incoming::Ready(0), out);
    } else if !head.starts_with(b"HTTP/1.1 200") {
        end(stage, out, on);
    } else if json::value(body, "result") != Some(b"\"SUCCESS\"") {
        on(Incoming::Refused(&String::from_utf8_lossy(body)), out);
    } else if let Some(data) = json::value(body, "data") {
        on(Incoming::Delivery(data, None), out);
    }
    at + body.len()
}

pub(super) fn publish(message: &Publication<'_>, out: &mut Vec<u8>) {
    let Publication { kind, topic, data, .. } = *message;
    let (before, after): (&[u8], &[u8]) = match kind {
        Kind::Event => (br#""event","action":"emit","eventName":""#, br#"","data":"#),
        Kind::Rpc => (br#""rpc","action":"make","rpcName":""#, br#"","data":"#),
        _ => (br#""record","action":"write","recordName":""#, br#"","path":"v","data":"#),
    };
    let parts = [br#"{"body":[{"topic":"#, before, topic, after, data, b"}]}"];
    let len: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ");
    // Writing to memory cannot fail.
    let _ = write!(out, "{len}\r\n\r\n");
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(input: &[u8], mut stage: Stage) -> (usize, Vec<String>) {
        let mut heard = Vec::new();
        let taken = received(input, &mut stage, &mut Vec::new(), &mut |incoming: Incoming<'_>, _: &mut _| {
            heard.push(match incoming {
                Incoming::Delivery(data, _) => String::from_utf8_lossy(data).into_owned(),
                other => format!("{other:?}"),
            });
        });
        (taken, heard)
    }

    #[test]
    fn answers_are_read_whole_and_one_at_a_time() {
        let answer = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let health = answer("");
        assert_eq!(heard(health.as_bytes(), Stage::Entering), (health.len(), vec!["Ready(0)".to_owned()]));
        let done = answer("{\"result\":\"SUCCESS\",\"body\":[{\"success\":true}]}\r\n\r\n");
        assert_eq!(heard((done.clone() + &done).as_bytes(), Stage::Ready), (done.len(), vec![]));
        for cut in 0..done.len() {
            assert_eq!(heard(&done.as_bytes()[..cut], Stage::Ready), (0, vec![]));
        }
        let called = answer("{\"result\":\"SUCCESS\",\"body\":[{\"data\":\"x\",\"success\":true}]}\r\n\r\n");
        assert_eq!(heard(called.as_bytes(), Stage::Ready).1, ["\"x\""]);
        let failed = answer("{\"result\":\"FAILURE\",\"body\":[{\"success\":false}]}\r\n\r\n");
        assert!(heard(failed.as_bytes(), Stage::Ready).1[0].starts_with("Refused"));
        assert_eq!(heard(b"HTTP/1.1 503 No\r\n\r\n", Stage::Ready).1, ["Closed"]);
    }

    #[test]
    fn requests_say_how_long_they_are() {
        for kind in [Kind::Event, Kind::RecordUpsert, Kind::Rpc] {
            let mut out = Vec::new();
            publish(&Publication { kind, topic: b"t", data: b"\"x\"", version: 0, correlation: None }, &mut out);
            let text = String::from_utf8(out).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
            let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert_eq!(body["body"][0]["data"], "x");
        }
    }
}
