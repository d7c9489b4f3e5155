//! Bodies of the HTTP API: what is asked, against a known parser's tree; and whatever is answered makes one body.

use deepstream_json::{Scratch, check};
use deepstream_wire::jif::{Answers, Batch, Post, TIMED_OUT, TOO_LARGE, check_body, login};
use deepstream_wire::{Action, Outgoing, binary, encode};
use serde_json::Value;

const ENTRIES_MAX: usize = 50;
const BYTES_MAX: usize = 2000;

/// A body, and behind a byte that no UTF-8 has what is answered.
pub(crate) fn run(input: &[u8]) {
    let mut parts = input.splitn(2, |&byte| byte == 0xff);
    let [text, said] = [(); 2].map(|()| parts.next().unwrap_or_default());
    if let Err(why) = check_body(text) {
        assert!(!why.is_empty());
        return;
    }
    let is_json = |text: &[u8]| check(text, &mut Scratch::new()).is_ok();
    let guarded = Post::read(text, false);
    let Ok(post) = Post::read(text, true) else { return assert!(guarded.is_err()) };
    assert!(is_json(&post.login) && is_json(&post.body), "{post:?}");
    assert_eq!(login(&post.login).data(), Some(&post.login[..]));
    let tree = serde_json::from_slice::<Value>(text).ok();
    if let (Some(tree), Ok(_)) = (&tree, guarded) {
        assert_eq!(tree.get("authData"), None);
    }
    let Ok(batch) = Batch::read(&post.body, ENTRIES_MAX) else { return };
    assert!((1..=ENTRIES_MAX).contains(&batch.len()));
    for index in 0..batch.len() {
        asked(&batch, index, tree.as_ref().map(|tree| &tree["body"][index]));
    }
    answered(&batch, said, tree.is_some());
}

/// What one entry became.
fn asked(batch: &Batch, index: usize, entry: Option<&Value>) {
    let Ok(message) = batch.message(index) else { return };
    assert_eq!(batch.action(index), Some(message.head.action));
    let id = index.to_string();
    assert_eq!(message.correlation_id(), Some(id.as_bytes()));
    let texts = [Some(message.name()), message.path()];
    assert!(texts.into_iter().flatten().chain(message.names()).all(|text| str::from_utf8(text).is_ok()));
    if let Some(data) = message.data() {
        assert!(check(data, &mut Scratch::new()).is_ok(), "{}", String::from_utf8_lossy(data));
    }
    // Half surrogate pairs and huge numbers are in no tree.
    let Some(entry) = entry else { return };
    let name = ["eventName", "rpcName", "recordName", "listName"].iter().find_map(|key| entry.get(key));
    assert_eq!(name.and_then(Value::as_str).unwrap_or_default().as_bytes(), message.name(), "{entry}");
    let names = entry.get("recordNames").or(entry.get("names")).and_then(Value::as_array);
    let names: Vec<&[u8]> = names.into_iter().flatten().filter_map(|name| name.as_str().map(str::as_bytes)).collect();
    assert_eq!(message.names().collect::<Vec<_>>(), names, "{entry}");
    let path = entry.get("path").and_then(Value::as_str).filter(|path| !path.is_empty());
    assert_eq!(message.path(), path.map(str::as_bytes), "{entry}");
    let data = message.data().and_then(|data| serde_json::from_slice::<Value>(data).ok());
    assert_eq!(data.as_ref(), entry.get("data"), "{entry}");
    if message.path().is_some() || message.head.action == Action::RecordCreateAndUpdate {
        let version = entry.get("version").and_then(Value::as_i64).filter(|&version| version != 0).unwrap_or(-1);
        assert_eq!(i64::from(message.head.version), version, "{entry}");
    }
}

/// Three bytes for each answer: of which action, to which entry, and with what.
fn answered(batch: &Batch, said: &[u8], plain: bool) {
    const DATA: [&[u8]; 5] = [b"", b"null", b"\"x \\\" y\"", b"{\"a\":[1]}", b"[\"a\",\"b\"]"];
    let mut answers = Answers::new(batch.len(), BYTES_MAX);
    for step in said.chunks_exact(3) {
        let &[action, index, how] = step else { break };
        let action = Action::ALL[usize::from(action) % Action::ALL.len()];
        let original = Action::ALL[usize::from(how) % Action::ALL.len()];
        let id = index.to_string();
        let entry = batch.message(usize::from(index) % batch.len()).ok();
        let data = DATA[usize::from(how) % DATA.len()];
        let message = Outgoing {
            name: entry.as_ref().map(deepstream_wire::Message::name).filter(|name| !name.is_empty()),
            names: if how & 64 == 0 { &[] } else { &[b"a", b"\"\\"] },
            data: Some(data).filter(|data| !data.is_empty()),
            correlation_id: (how & 32 == 0).then_some(id.as_bytes()),
            version: Some(i32::from(how)),
            original_action: (how & 16 != 0).then_some(original),
            is_error: how & 8 != 0,
            is_ack: how & 4 != 0,
            ..Outgoing::new(action)
        };
        let mut bytes = Vec::new();
        encode::encode_message(&message, &mut bytes);
        for message in binary::messages(&bytes) {
            answers.take(batch, &message.expect("what we write can be read"));
        }
    }
    let complete = answers.is_complete();
    answers.put_rest(TIMED_OUT);
    assert!(answers.is_complete());
    let body = answers.body();
    let room = BYTES_MAX + batch.len() * (TOO_LARGE.len().max(TIMED_OUT.len()) + 1) + 64;
    assert!(body.len() <= room, "{} bytes, of {room}", body.len());
    assert!(check(&body, &mut Scratch::new()).is_ok(), "{}", String::from_utf8_lossy(&body));
    // A name with half a surrogate pair is in no tree, but may be in an answer.
    if !plain {
        return;
    }
    let body: Value = serde_json::from_slice(&body).expect("an answer is JSON");
    let entries = body["body"].as_array().expect("an answer for each entry");
    assert_eq!(entries.len(), batch.len());
    let succeeded = entries.iter().filter(|entry| entry["success"] == true).count();
    assert_eq!(succeeded + entries.iter().filter(|entry| entry["success"] == false).count(), batch.len(), "{body}");
    let result = if succeeded == 0 {
        "FAILURE"
    } else if succeeded == batch.len() {
        "SUCCESS"
    } else {
        "PARTIAL_SUCCESS"
    };
    assert_eq!(body["result"], result);
    assert!(!complete || entries.iter().all(|entry| entry["errorEvent"] != "HTTP_REQUEST_TIMEOUT"));
}
