//! Answers.

use deepstream_json::{string_of, write_string};

use super::{Batch, TOO_LARGE};
use crate::action::{Action, Topic};
use crate::client::original_action;
use crate::encode::put_number;
use crate::message::Message;

/// The answers to the entries of a batch, as they come in.
#[derive(Debug)]
pub struct Answers {
    entries: Vec<Option<Box<[u8]>>>,
    /// Entries whose answers have no number, by what they ask and of whom; with the first of each, how many of its kind are
    /// answered. The sort is stable: those of one kind stay in their order.
    by_name: Vec<(u32, u32)>,
    open: usize,
    succeeded: usize,
    bytes: usize,
    bytes_max: usize,
}

impl Answers {
    /// None yet of so many, which may take so many bytes together.
    pub fn new(entries: usize, bytes_max: usize) -> Self {
        Self { entries: vec![None; entries], by_name: Vec::new(), open: entries, succeeded: 0, bytes: 0, bytes_max }
    }

    /// Whether every entry is answered.
    pub fn is_complete(&self) -> bool {
        self.open == 0
    }

    /// Takes a message for the answer to the entry whose number it has. One that only says that something is under way
    /// is passed over, and so is everything after the first answer.
    pub fn take(&mut self, batch: &Batch, message: &Message<&[u8]>) {
        if message.head.action == Action::RpcAccept {
            return;
        }
        let numbered = message.correlation_id().and_then(|id| str::from_utf8(id).ok()).and_then(|id| id.parse().ok());
        let index = numbered.or_else(|| self.named(batch, message));
        let Some((index, action)) = index.and_then(|index| Some((index, batch.action(index)?))) else { return };
        let mut text = Vec::new();
        let succeeded = write(action, message, &mut text);
        self.put(index, &text, succeeded);
    }

    /// The entry of an answer that has no number: reads and deletions of one name are answered in their order.
    fn named(&mut self, batch: &Batch, message: &Message<&[u8]>) -> Option<usize> {
        let asked = match message.head.action {
            Action::RecordReadResponse => Action::RecordRead,
            Action::RecordDeleteSuccess => Action::RecordDelete,
            _ => original_action(message)?,
        };
        if self.by_name.is_empty() {
            let nameless =
                |index: &u32| matches!(batch.action(*index as usize), Some(Action::RecordRead | Action::RecordDelete));
            self.by_name = (0..self.entries.len() as u32).filter(nameless).map(|index| (index, 0)).collect();
            self.by_name.sort_by_key(|&(index, _)| batch.key(index as usize));
        }
        let key = (asked as u8, message.name());
        let start = self.by_name.partition_point(|&(index, _)| batch.key(index as usize) < key);
        let place = self.by_name.get_mut(start).filter(|(index, _)| batch.key(*index as usize) == key)?;
        let skipped = place.1 as usize;
        place.1 += 1;
        let &(index, _) = self.by_name.get(start + skipped)?;
        (batch.key(index as usize) == key).then_some(index as usize)
    }

    /// Answers an entry with this, if it has no answer yet.
    pub fn put(&mut self, index: usize, text: &[u8], succeeded: bool) {
        let Some(place) = self.entries.get_mut(index).filter(|place| place.is_none()) else { return };
        let fits = self.bytes + text.len() <= self.bytes_max;
        let text = if fits { text } else { TOO_LARGE.as_bytes() };
        *place = Some(text.into());
        self.bytes += text.len();
        self.open -= 1;
        self.succeeded += usize::from(succeeded && fits);
    }

    /// Answers all that have no answer yet.
    pub fn put_rest(&mut self, text: &str) {
        (0..self.entries.len()).for_each(|index| self.put(index, text.as_bytes(), false));
    }

    /// Bytes of the answers there are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The body of the response, in the order of the requests.
    pub fn body(&self) -> Vec<u8> {
        let result = match self.succeeded {
            0 => "FAILURE",
            all if all == self.entries.len() => "SUCCESS",
            _ => "PARTIAL_SUCCESS",
        };
        let mut out = Vec::with_capacity(self.bytes + self.entries.len() + 64);
        out.extend_from_slice(br#"{"result":""#);
        out.extend_from_slice(result.as_bytes());
        out.extend_from_slice(br#"","body":["#);
        for (index, entry) in self.entries.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(entry.as_deref().unwrap_or(b"null"));
        }
        out.extend_from_slice(b"]}");
        out
    }
}

/// Writes the answer to an entry that asked for `asked`. Whether it is a success.
fn write(asked: Action, message: &Message<&[u8]>, out: &mut Vec<u8>) -> bool {
    const SUCCESS: &[u8] = br#""success":true}"#;
    let mut member = |key: &str, value: &[u8]| {
        out.push(if out.is_empty() { b'{' } else { b',' });
        write_string(key.as_bytes(), out);
        out.push(b':');
        out.extend_from_slice(value);
    };
    let version = || {
        let mut digits = Vec::new();
        put_number(message.head.version, &mut digits);
        digits
    };
    match message.head.action {
        Action::RecordReadResponse => {
            member("version", &version());
            member("data", message.data().unwrap_or(b"null"));
        }
        Action::RecordHeadResponse => member("version", &version()),
        Action::RpcResponse => {
            if let Some(data) = message.data() {
                member("data", data);
            }
        }
        Action::PresenceQueryResponse => member("users", message.data().unwrap_or(b"{}")),
        Action::PresenceQueryAllResponse => {
            let mut users = vec![b'['];
            for (index, user) in message.names().enumerate() {
                if index > 0 {
                    users.push(b',');
                }
                write_string(user, &mut users);
            }
            users.push(b']');
            member("users", &users);
        }
        Action::RecordWriteAcknowledgement | Action::RecordDeleteSuccess => {}
        action if action == asked => {}
        _ => {
            write_error(asked, message, out);
            return false;
        }
    }
    out.push(if out.is_empty() { b'{' } else { b',' });
    out.extend_from_slice(SUCCESS);
    true
}

fn write_error(asked: Action, message: &Message<&[u8]>, out: &mut Vec<u8>) {
    let action = message.head.action;
    let topic = action.topic();
    let name = String::from_utf8_lossy(message.name());
    if action == Action::EventDenied {
        out.extend_from_slice(
            br#"{"success":false,"error":"Message denied. Action 'emit' is not permitted.","errorEvent":"MESSAGE_DENIED","errorAction":"emit","errorTopic":"event"}"#,
        );
        return;
    }
    out.extend_from_slice(br#"{"errorTopic":""#);
    out.extend_from_slice(topic.name().to_ascii_lowercase().as_bytes());
    out.push(b'"');
    if action == Action::RpcRequestError {
        out.extend_from_slice(br#","error":"#);
        out.extend_from_slice(message.data().unwrap_or(b"null"));
        out.extend_from_slice(br#","success":false}"#);
        return;
    }
    out.extend_from_slice(br#","errorEvent":"#);
    put_number(i32::from(action.code()), out);
    out.extend_from_slice(br#","success":false,"error":"#);
    let version = message.head.version;
    let reason = message.data().and_then(string_of);
    let text = match action {
        Action::RecordDenied | Action::RpcDenied | Action::PresenceDenied => {
            format!("Message denied. Action \"{}\" is not permitted.", asked.name())
        }
        Action::RecordVersionExists => {
            format!("Record update failed. Version {version} exists for record \"{name}\".")
        }
        Action::RecordInvalidVersion => {
            format!("Record update failed. Version {version} is not valid for record \"{name}\".")
        }
        Action::RecordNotFound => format!("Record read failed. Record \"{name}\" could not be found."),
        Action::RpcNoProvider => format!("No provider was available to handle the RPC \"{name}\"."),
        Action::RpcResponseTimeout => "The RPC response timeout was exceeded by the provider.".to_owned(),
        Action::RecordUpdateError if reason.is_some() => {
            let reason = String::from_utf8_lossy(reason.as_deref().unwrap_or_default());
            format!("Record update failed: {reason}.")
        }
        _ => match &reason {
            Some(words) => format!("An error occurred: {}: {}.", action.name(), String::from_utf8_lossy(words)),
            None => format!("An error occurred: {}.", action.name()),
        },
    };
    write_string(text.as_bytes(), out);
    match action {
        Action::RecordDenied | Action::RpcDenied | Action::PresenceDenied => {
            out.extend_from_slice(br#","action":"#);
            put_number(i32::from(asked.code()), out);
        }
        Action::RecordVersionExists | Action::RecordInvalidVersion => {
            out.extend_from_slice(br#","currentVersion":"#);
            put_number(version, out);
            // Who may not read is not given it.
            if let Some(data) = message.data() {
                out.extend_from_slice(br#","currentData":"#);
                out.extend_from_slice(data);
            }
        }
        Action::RecordNotFound | Action::RpcNoProvider | Action::RpcResponseTimeout => {}
        _ if topic != Topic::Presence => {
            out.extend_from_slice(br#","errorParams":"#);
            write_string(name.as_bytes(), out);
        }
        _ => {}
    }
    out.push(b'}');
}
