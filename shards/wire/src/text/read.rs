//! Text to messages (docs/text-grammar.md §4).

use std::borrow::Cow;
use std::str::from_utf8;

use super::{HAS, PART, UNTYPED, WRITE_ACK, typed};
use crate::action::{
    Action, ConnectionRequest, EventRequest, PresenceRequest, RecordRequest, Request, RpcRequest, Topic,
};
use crate::draft::Draft;
use crate::message::{Flags, Message, Unreadable, Word};

/// The most parts any message has; further ones are counted, not looked at.
const PARTS_MAX: usize = 8;

/// One message without its end. What it becomes lies at the end of `buffer`, after what is there already.
pub(crate) fn read<'b>(message: &[u8], buffer: &'b mut Vec<u8>) -> Result<Message<&'b [u8]>, Unreadable> {
    let parts = Parts::cut(message);
    let topic = topic_of(parts.at(0)).ok_or_else(|| Unreadable::TopicWord(word(parts.at(0))))?;
    let action = action_of(topic, &parts).ok_or_else(|| Unreadable::ActionWord(topic, word(parts.at(1))))?;
    let mut draft = Draft::new(action, buffer);
    match action.request() {
        Some(Request::Auth(_)) => draft_raw(&mut draft, &parts, 2),
        Some(Request::Event(said)) => draft_event(&mut draft, said, &parts),
        Some(Request::Record(said)) => draft_record(&mut draft, said, &parts),
        Some(Request::Rpc(said)) => draft_call(&mut draft, said, &parts),
        Some(Request::Presence(said)) => draft_presence(&mut draft, said, &parts),
        // The URL that it connected to.
        Some(Request::Connection(ConnectionRequest::Challenge)) if parts.has(2) => draft.name(parts.at(2)),
        Some(Request::Connection(_)) | None => {}
    }
    Ok(draft.finish())
}

/// A message, cut at its separators.
struct Parts<'m> {
    list: [&'m [u8]; PARTS_MAX],
    count: usize,
}

impl<'m> Parts<'m> {
    fn cut(message: &'m [u8]) -> Self {
        let mut parts = Self { list: [&[]; PARTS_MAX], count: 0 };
        for part in message.split(|&byte| byte == PART) {
            if let Some(place) = parts.list.get_mut(parts.count) {
                *place = part;
            }
            parts.count += 1;
        }
        parts
    }

    /// A part that is not there is empty: what may not be empty is refused by whoever needs it.
    fn at(&self, index: usize) -> &'m [u8] {
        self.list.get(index).copied().unwrap_or_default()
    }

    fn has(&self, index: usize) -> bool {
        index < self.count
    }
}

fn word(part: &[u8]) -> Word {
    Word::new(from_utf8(part).unwrap_or_default())
}

fn topic_of(part: &[u8]) -> Option<Topic> {
    const TOPICS: [Topic; 7] =
        [Topic::Parser, Topic::Connection, Topic::Auth, Topic::Event, Topic::Record, Topic::Rpc, Topic::Presence];
    TOPICS.into_iter().find(|topic| part == [topic.letter()])
}

/// The action of a word. Some words mean one thing or another by what follows them.
fn action_of(topic: Topic, parts: &Parts<'_>) -> Option<Action> {
    let letters = parts.at(1);
    let action = match (topic, letters) {
        (Topic::Record, b"R") => Action::RecordRead,
        (Topic::Record, b"H") => Action::RecordHead,
        // Seven parts have a path and a value, six only a value.
        (Topic::Record, b"CU") if parts.count == 7 => Action::RecordCreateAndPatch,
        // Without users it is everybody, whatever stands in their place.
        (Topic::Presence, b"S") if parts.count <= 3 => Action::PresenceSubscribeAll,
        (Topic::Presence, b"US") if parts.count <= 3 => Action::PresenceUnsubscribeAll,
        (Topic::Presence, b"Q") if parts.count <= 3 => Action::PresenceQueryAll,
        (Topic::Presence, b"Q") => Action::PresenceQuery,
        _ => Action::from_letters(topic, from_utf8(letters).ok()?)?,
    };
    Some(action)
}

/// Nearly everything of events begins with a name.
fn draft_event(draft: &mut Draft<'_>, said: EventRequest, parts: &Parts<'_>) {
    let name = parts.at(2);
    match said {
        EventRequest::Subscribe | EventRequest::Unsubscribe => draft_bulk(draft, name),
        EventRequest::Emit => {
            draft.name(name);
            draft_typed(draft, parts, 3);
        }
        EventRequest::ListenAccept | EventRequest::ListenReject => {
            draft.name(name);
            draft.subscription(parts.at(3));
        }
        EventRequest::Listen | EventRequest::Unlisten => draft.name(name),
    }
}

/// The same of records.
fn draft_record(draft: &mut Draft<'_>, said: RecordRequest, parts: &Parts<'_>) {
    let name = parts.at(2);
    match said {
        RecordRequest::Subscribe | RecordRequest::SubscribeCreateAndRead | RecordRequest::Unsubscribe => {
            draft_bulk(draft, name);
        }
        RecordRequest::ListenAccept | RecordRequest::ListenReject => {
            draft.name(name);
            draft.subscription(parts.at(3));
        }
        RecordRequest::Head => {
            draft.name(name);
            if parts.at(1) == HAS {
                draft.correlation_id(HAS);
            }
        }
        RecordRequest::Update | RecordRequest::CreateAndUpdate => {
            draft.name(name);
            draft_version(draft, parts);
            draft_raw(draft, parts, 4);
            draft_config(draft, parts.at(5));
        }
        RecordRequest::Patch | RecordRequest::CreateAndPatch => {
            draft.name(name);
            draft_version(draft, parts);
            draft.path(parts.at(4));
            // No value is not `undefined`, which would remove what is there.
            if parts.has(5) {
                draft_typed(draft, parts, 5);
            } else {
                draft.data(|out| out.push(UNTYPED));
            }
            draft_config(draft, parts.at(6));
        }
        RecordRequest::Read | RecordRequest::Delete | RecordRequest::Listen | RecordRequest::Unlisten
        // This protocol has no word for these.
        | RecordRequest::Notify | RecordRequest::Erase | RecordRequest::PatchMulti
        | RecordRequest::SubscribeAndHead | RecordRequest::SubscribeAndRead => draft.name(name),
    }
}

/// One name where the engine takes many. It is the correlation id as well: an acknowledgement repeats that, and this
/// protocol's has to repeat the name.
fn draft_bulk(draft: &mut Draft<'_>, name: &[u8]) {
    draft.push_name(name);
    draft.correlation_id(name);
}

/// The version of a write. It is the correlation id as well, because an acknowledgement has to repeat it.
fn draft_version(draft: &mut Draft<'_>, parts: &Parts<'_>) {
    let text = parts.at(3);
    if let Some(version) = from_utf8(text).ok().and_then(|text| text.parse().ok()) {
        draft.version(version);
    }
    draft.correlation_id(text);
}

fn draft_config(draft: &mut Draft<'_>, config: &[u8]) {
    if config == WRITE_ACK {
        draft.flag(Flags::IS_WRITE_ACK);
    }
}

/// Data that is JSON already.
fn draft_raw(draft: &mut Draft<'_>, parts: &Parts<'_>, index: usize) {
    if parts.has(index) {
        draft.data(|out| out.extend_from_slice(parts.at(index)));
    }
}

/// Data with its type in front.
fn draft_typed(draft: &mut Draft<'_>, parts: &Parts<'_>, index: usize) {
    if !parts.has(index) {
        return;
    }
    // `undefined` is no data at all, as in the other protocols.
    if parts.at(index).first() == Some(&b'U') {
        if draft.action() == Action::EventEmit {
            draft.flag(Flags::UNDEFINED);
        }
        return;
    }
    draft.data(|out| {
        let start = out.len();
        if typed::read(parts.at(index), out).is_err() {
            out.truncate(start);
            out.push(UNTYPED);
            out.extend_from_slice(parts.at(index));
        }
    });
}

fn draft_call(draft: &mut Draft<'_>, said: RpcRequest, parts: &Parts<'_>) {
    let (name, id, data) = match said {
        RpcRequest::Provide | RpcRequest::Unprovide => return draft_bulk(draft, parts.at(2)),
        RpcRequest::Accept => (3, 4, None),
        RpcRequest::RequestError => {
            // The one value that comes without its type.
            draft.data(|out| deepstream_json::write_string(parts.at(2), out));
            (3, 4, None)
        }
        RpcRequest::Reject => (2, 3, None),
        RpcRequest::Request | RpcRequest::Response => (2, 3, Some(4)),
    };
    draft.name(parts.at(name));
    draft.correlation_id(parts.at(id));
    if let Some(data) = data {
        draft_typed(draft, parts, data);
    }
}

fn draft_presence(draft: &mut Draft<'_>, said: PresenceRequest, parts: &Parts<'_>) {
    match said {
        PresenceRequest::SubscribeAll | PresenceRequest::UnsubscribeAll | PresenceRequest::QueryAll => return,
        PresenceRequest::Subscribe | PresenceRequest::Unsubscribe | PresenceRequest::Query => {}
    }
    let users = parts.at(3);
    // A list nested deeper than this is none of users either.
    let checked = deepstream_json::check(users, &mut deepstream_json::Scratch::new());
    if checked == Ok(deepstream_json::Kind::Array) {
        for user in deepstream_json::elements(users) {
            // A user that is no text, like a list that is none, becomes a name nobody can have.
            draft.push_name(&deepstream_json::string_of(user).unwrap_or(Cow::Borrowed(b"")));
        }
    } else {
        draft.push_name(b"");
    }
    draft.correlation_id(parts.at(2));
}
