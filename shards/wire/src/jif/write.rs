//! Answers.

use deepstream_json::{string_of, write_string};

use super::{Batch, TOO_LARGE};
use crate::action::{Action, ByTopic, EventAction, PresenceAction, RecordAction, RpcAction, Topic};
use crate::client::original_action;
use crate::encode::put_number;
use crate::message::Message;

/// The answers to the entries of a batch, as they come in.
#[derive(Debug)]
pub struct Answers {
    entries: Vec<Option<Box<[u8]>>>,
    /// Entries whose answers carry no correlation id, sorted by action and name; the first of each kind also counts how
    /// many of its kind were answered. The sort is stable, so entries of one kind stay in order.
    by_name: Vec<(u32, u32)>,
    open: usize,
    succeeded: usize,
    bytes: usize,
    bytes_max: usize,
}

impl Answers {
    /// Expects answers for this many entries, which together may take `bytes_max` bytes.
    pub fn new(entries: usize, bytes_max: usize) -> Self {
        Self { entries: vec![None; entries], by_name: Vec::new(), open: entries, succeeded: 0, bytes: 0, bytes_max }
    }

    /// Whether every entry is answered.
    pub fn is_complete(&self) -> bool {
        self.open == 0
    }

    /// Takes a message as the answer to the entry of its correlation id. Messages that only say that something is under
    /// way are ignored, and so is everything after the first answer.
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

    /// The entry of an answer without a correlation id: reads and deletions of one name are answered in order.
    fn named(&mut self, batch: &Batch, message: &Message<&[u8]>) -> Option<usize> {
        let told = message.head.action;
        let asked = if told == Action::RecordReadResponse {
            Action::RecordRead
        } else if told == Action::RecordDeleteSuccess {
            Action::RecordDelete
        } else {
            original_action(message)?
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

/// Writes the answer to an entry with the action `asked`. Returns whether it is a success.
#[expect(clippy::too_many_lines, reason = "a table: one arm an action")]
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
    let failure = match message.head.action.by_topic() {
        ByTopic::Record(RecordAction::ReadResponse) => {
            member("version", &version());
            member("data", message.data().unwrap_or(b"null"));
            None
        }
        ByTopic::Record(RecordAction::HeadResponse) => {
            member("version", &version());
            None
        }
        ByTopic::Rpc(RpcAction::Response) => {
            if let Some(data) = message.data() {
                member("data", data);
            }
            None
        }
        ByTopic::Presence(PresenceAction::QueryResponse) => {
            member("users", message.data().unwrap_or(b"{}"));
            None
        }
        ByTopic::Presence(PresenceAction::QueryAllResponse) => {
            let mut users = vec![b'['];
            for (index, user) in message.names().enumerate() {
                if index > 0 {
                    users.push(b',');
                }
                write_string(user, &mut users);
            }
            users.push(b']');
            member("users", &users);
            None
        }
        ByTopic::Record(RecordAction::WriteAcknowledgement | RecordAction::DeleteSuccess) => None,
        _ if message.head.action == asked => None,
        ByTopic::Event(EventAction::Denied) => Some(Failure::Emit),
        ByTopic::Rpc(RpcAction::RequestError) => Some(Failure::Provider),
        ByTopic::Record(RecordAction::Denied)
        | ByTopic::Rpc(RpcAction::Denied)
        | ByTopic::Presence(PresenceAction::Denied) => Some(Failure::Denied),
        ByTopic::Record(RecordAction::VersionExists) => Some(Failure::Exists),
        ByTopic::Record(RecordAction::InvalidVersion) => Some(Failure::Ahead),
        ByTopic::Record(RecordAction::NotFound) => Some(Failure::NotFound),
        ByTopic::Rpc(RpcAction::NoProvider) => Some(Failure::NoProvider),
        ByTopic::Rpc(RpcAction::ResponseTimeout) => Some(Failure::Late),
        ByTopic::Record(RecordAction::UpdateError) => Some(Failure::Update),
        ByTopic::Event(
            EventAction::Emit
            | EventAction::Subscribe
            | EventAction::Unsubscribe
            | EventAction::Listen
            | EventAction::Unlisten
            | EventAction::ListenAccept
            | EventAction::ListenReject
            | EventAction::Error
            | EventAction::HasProvider
            | EventAction::HasNoProvider
            | EventAction::PatternFound
            | EventAction::PatternRemoved
            | EventAction::InvalidListenRegex
            | EventAction::ListenResponseTimeout
            | EventAction::ListenUnsuccessful
            | EventAction::PermissionError
            | EventAction::InvalidMessageData
            | EventAction::MultipleSubscriptions
            | EventAction::NotSubscribed,
        )
        | ByTopic::Record(
            RecordAction::Notify
            | RecordAction::Read
            | RecordAction::Head
            | RecordAction::Delete
            | RecordAction::CreateAndUpdate
            | RecordAction::CreateAndPatch
            | RecordAction::Update
            | RecordAction::Patch
            | RecordAction::Erase
            | RecordAction::SubscribeAndHead
            | RecordAction::SubscribeAndRead
            | RecordAction::SubscribeCreateAndRead
            | RecordAction::Subscribe
            | RecordAction::Unsubscribe
            | RecordAction::Listen
            | RecordAction::Unlisten
            | RecordAction::ListenAccept
            | RecordAction::ListenReject
            | RecordAction::PatchMulti
            | RecordAction::Error
            | RecordAction::HeadBulk
            | RecordAction::HeadResponseBulk
            | RecordAction::DeleteBulk
            | RecordAction::DeleteBulkSuccess
            | RecordAction::Deleted
            | RecordAction::Create
            | RecordAction::SubscribeCreateAndUpdate
            | RecordAction::HasProvider
            | RecordAction::HasNoProvider
            | RecordAction::PatternFound
            | RecordAction::PatternRemoved
            | RecordAction::CacheRetrievalTimeout
            | RecordAction::StorageRetrievalTimeout
            | RecordAction::LoadError
            | RecordAction::CreateError
            | RecordAction::DeleteError
            | RecordAction::InvalidPatchOnHotpath
            | RecordAction::InvalidListenRegex
            | RecordAction::ListenResponseTimeout
            | RecordAction::ListenUnsuccessful
            | RecordAction::NotifyError
            | RecordAction::PermissionError
            | RecordAction::InvalidMessageData
            | RecordAction::MultipleSubscriptions
            | RecordAction::NotSubscribed,
        )
        | ByTopic::Rpc(
            RpcAction::Request
            | RpcAction::Accept
            | RpcAction::Reject
            | RpcAction::Provide
            | RpcAction::Unprovide
            | RpcAction::Error
            | RpcAction::AcceptTimeout
            | RpcAction::MultipleAccept
            | RpcAction::InvalidCorrelationId
            | RpcAction::MultipleResponse
            | RpcAction::PermissionError
            | RpcAction::InvalidMessageData
            | RpcAction::MultipleProviders
            | RpcAction::NotProvided,
        )
        | ByTopic::Presence(
            PresenceAction::QueryAll
            | PresenceAction::Query
            | PresenceAction::Subscribe
            | PresenceAction::Unsubscribe
            | PresenceAction::SubscribeAll
            | PresenceAction::UnsubscribeAll
            | PresenceAction::Error
            | PresenceAction::Join
            | PresenceAction::JoinAll
            | PresenceAction::Leave
            | PresenceAction::LeaveAll
            | PresenceAction::InvalidUsers
            | PresenceAction::PermissionError
            | PresenceAction::MultipleSubscriptions
            | PresenceAction::NotSubscribed,
        )
        | ByTopic::Connection(_)
        | ByTopic::Auth(_)
        | ByTopic::Parser(_) => Some(Failure::Other),
    };
    if let Some(failure) = failure {
        write_error(&failure, asked, message, out);
        return false;
    }
    out.push(if out.is_empty() { b'{' } else { b',' });
    out.extend_from_slice(SUCCESS);
    true
}

/// The failures that have an answer of their own.
enum Failure {
    /// An event is denied.
    Emit,
    /// A provider says that it failed.
    Provider,
    Denied,
    /// A write's version exists already.
    Exists,
    /// A write's version skips some.
    Ahead,
    NotFound,
    NoProvider,
    /// A provider did not answer in time.
    Late,
    /// A write failed.
    Update,
    Other,
}

fn write_error(failure: &Failure, asked: Action, message: &Message<&[u8]>, out: &mut Vec<u8>) {
    let action = message.head.action;
    let topic = action.topic();
    let name = String::from_utf8_lossy(message.name());
    if matches!(failure, Failure::Emit) {
        out.extend_from_slice(
            br#"{"success":false,"error":"Message denied. Action 'emit' is not permitted.","errorEvent":"MESSAGE_DENIED","errorAction":"emit","errorTopic":"event"}"#,
        );
        return;
    }
    out.extend_from_slice(br#"{"errorTopic":""#);
    out.extend_from_slice(topic.name().to_ascii_lowercase().as_bytes());
    out.push(b'"');
    if matches!(failure, Failure::Provider) {
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
    let text = match failure {
        Failure::Denied => {
            format!("Message denied. Action \"{}\" is not permitted.", asked.name())
        }
        Failure::Exists => {
            format!("Record update failed. Version {version} exists for record \"{name}\".")
        }
        Failure::Ahead => {
            format!("Record update failed. Version {version} is not valid for record \"{name}\".")
        }
        Failure::NotFound => format!("Record read failed. Record \"{name}\" could not be found."),
        Failure::NoProvider => format!("No provider was available to handle the RPC \"{name}\"."),
        Failure::Late => "The RPC response timeout was exceeded by the provider.".to_owned(),
        Failure::Update if reason.is_some() => {
            let reason = String::from_utf8_lossy(reason.as_deref().unwrap_or_default());
            format!("Record update failed: {reason}.")
        }
        Failure::Update | Failure::Emit | Failure::Provider | Failure::Other => match &reason {
            Some(words) => format!("An error occurred: {}: {}.", action.name(), String::from_utf8_lossy(words)),
            None => format!("An error occurred: {}.", action.name()),
        },
    };
    write_string(text.as_bytes(), out);
    match failure {
        Failure::Denied => {
            out.extend_from_slice(br#","action":"#);
            put_number(i32::from(asked.code()), out);
        }
        Failure::Exists | Failure::Ahead => {
            out.extend_from_slice(br#","currentVersion":"#);
            put_number(version, out);
            // A client that may not read gets no data.
            if let Some(data) = message.data() {
                out.extend_from_slice(br#","currentData":"#);
                out.extend_from_slice(data);
            }
        }
        Failure::NotFound | Failure::NoProvider | Failure::Late => {}
        Failure::Update | Failure::Emit | Failure::Provider | Failure::Other => {
            if topic != Topic::Presence {
                out.extend_from_slice(br#","errorParams":"#);
                write_string(name.as_bytes(), out);
            }
        }
    }
    out.push(b'}');
}
