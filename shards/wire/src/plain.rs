//! The JSON protocol: one object per text frame, in both directions (docs/connections.md).
//!
//! *Owns* the meaning of keys. *Promises* that a field of the wrong type is not treated as absent: such a message is
//! refused by the code of its topic, with its name and correlation id. Unknown keys are ignored; of duplicate keys the
//! last counts. *Does not* look into payloads: they are passed on as written.

use std::borrow::Cow;
use std::str::from_utf8;

use deepstream_json::{Scratch, check, elements, kind_of, members, string_of, unescape, write_string};

use crate::action::{Action, Topic};
use crate::draft::Draft;
use crate::encode::put_number;
use crate::message::{Flags, Message, Outgoing, Unreadable};

/// Data of a message with a field of the wrong type: no JSON begins like this, so the check of the data refuses it.
const MISTYPED: &[u8] = &[0];

/// Whether a frame holds JSON at all; one that does not ends its connection. How deeply its payload may be nested is
/// checked by the engine, which can tell the sender.
pub(crate) fn is_json(payload: &[u8]) -> bool {
    check(payload, &mut Scratch::with_depth_max(usize::MAX)).is_ok()
}

/// The message of a frame that holds JSON. It is built at the end of `buffer`.
pub(crate) fn read<'b>(payload: &[u8], buffer: &'b mut Vec<u8>) -> Result<Message<&'b [u8]>, Unreadable> {
    let fields = Fields::of(payload);
    let number = |field| number_of(field).unwrap_or(0);
    let topic = Topic::from_code(number(fields.topic)).ok_or(Unreadable::Topic(number(fields.topic)))?;
    let code = number(fields.action);
    let action = Action::from_code(topic, code).ok_or(Unreadable::Action(topic, code))?;
    let mut draft = Draft::new(action, buffer);
    if fields.put(&mut draft).is_none() {
        draft = Draft::new(action, draft.discard());
        fields.put_mistyped(&mut draft);
    }
    Ok(draft.finish())
}

/// The values of the known keys, as written. `null` counts as absent, except as a payload.
#[derive(Default)]
struct Fields<'p> {
    topic: Option<&'p [u8]>,
    action: Option<&'p [u8]>,
    name: Option<&'p [u8]>,
    names: Option<&'p [u8]>,
    data: Option<&'p [u8]>,
    parsed_data: Option<&'p [u8]>,
    correlation_id: Option<&'p [u8]>,
    path: Option<&'p [u8]>,
    subscription: Option<&'p [u8]>,
    version: Option<&'p [u8]>,
    is_write_ack: Option<&'p [u8]>,
    is_error: Option<&'p [u8]>,
    is_ack: Option<&'p [u8]>,
    url: Option<&'p [u8]>,
    sdk_version: Option<&'p [u8]>,
    sdk_type: Option<&'p [u8]>,
}

impl<'p> Fields<'p> {
    /// If it is not an object: no fields.
    fn of(payload: &'p [u8]) -> Self {
        let mut fields = Self::default();
        for (key, value) in members(payload) {
            let place = match &*unescape(key) {
                b"topic" => &mut fields.topic,
                b"action" => &mut fields.action,
                b"name" => &mut fields.name,
                b"names" => &mut fields.names,
                b"data" => &mut fields.data,
                b"parsedData" => {
                    fields.parsed_data = Some(value);
                    continue;
                }
                b"correlationId" => &mut fields.correlation_id,
                b"path" => &mut fields.path,
                b"subscription" => &mut fields.subscription,
                b"version" => &mut fields.version,
                b"isWriteAck" => &mut fields.is_write_ack,
                b"isError" => &mut fields.is_error,
                b"isAck" => &mut fields.is_ack,
                b"url" => &mut fields.url,
                b"sdkVersion" => &mut fields.sdk_version,
                b"sdkType" => &mut fields.sdk_type,
                _ => continue,
            };
            *place = Some(value).filter(|value| *value != b"null");
        }
        fields
    }

    /// Puts all fields into the draft; `None` if one is of the wrong type.
    fn put(&self, draft: &mut Draft<'_>) -> Option<()> {
        if draft.action() == Action::ConnectionChallenge {
            return self.put_challenge(draft);
        }
        each(self.name, text_of, |name| draft.name(&name))?;
        each(self.correlation_id, text_of, |id| draft.correlation_id(&id))?;
        each(self.subscription, text_of, |name| draft.subscription(&name))?;
        each(self.path, text_of, |path| draft.path(&path))?;
        each(self.version, |value| from_utf8(value).ok()?.parse().ok(), |version| draft.version(version))?;
        let flags =
            [(self.is_write_ack, Flags::IS_WRITE_ACK), (self.is_error, Flags::IS_ERROR), (self.is_ack, Flags::IS_ACK)];
        for (field, flag) in flags {
            match field.map(flag_of) {
                Some(Some(true)) => draft.flag(flag),
                Some(None) => return None,
                _ => {}
            }
        }
        self.put_names(draft)?;
        self.put_data(draft)
    }

    /// See [`Head`](crate::Head) for where these three are kept.
    fn put_challenge(&self, draft: &mut Draft<'_>) -> Option<()> {
        each(self.url, text_of, |url| draft.name(&url))?;
        each(self.sdk_version, text_of, |version| draft.correlation_id(&version))?;
        each(self.sdk_type, text_of, |kind| draft.path(&kind))
    }

    fn put_names(&self, draft: &mut Draft<'_>) -> Option<()> {
        let Some(names) = self.names else { return Some(()) };
        if kind_of(names) != Some(deepstream_json::Kind::Array) {
            return None;
        }
        for name in elements(names) {
            draft.push_name(&text_of(name)?);
        }
        Some(())
    }

    /// A payload comes as a value, or as JSON in a string; the string counts, unless it is empty.
    fn put_data(&self, draft: &mut Draft<'_>) -> Option<()> {
        let text = self.data.map(text_of);
        if text == Some(None) {
            return None;
        }
        match text.flatten().filter(|text| !text.is_empty()) {
            Some(text) => draft.data(|out| out.extend_from_slice(&text)),
            None => {
                if let Some(value) = self.parsed_data {
                    draft.data(|out| out.extend_from_slice(value));
                }
            }
        }
        Some(())
    }

    /// A message that will be refused; its answer needs name and correlation id.
    fn put_mistyped(&self, draft: &mut Draft<'_>) {
        let id = self.correlation_id.and_then(text_of);
        let name = self.name.and_then(text_of);
        each(name, Some, |name| draft.name(&name));
        each(id, Some, |id| draft.correlation_id(&id));
        if self.is_write_ack.and_then(flag_of) == Some(true) {
            draft.flag(Flags::IS_WRITE_ACK);
        }
        // An empty name is never valid, so a bulk message is refused too.
        draft.push_name(b"");
        draft.data(|out| out.extend_from_slice(MISTYPED));
    }
}

/// Gives a field to `put` if it is present and of the type that `read` expects.
fn each<F, T>(field: Option<F>, read: impl FnOnce(F) -> Option<T>, put: impl FnOnce(T)) -> Option<()> {
    if let Some(field) = field {
        put(read(field)?);
    }
    Some(())
}

fn text_of(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    string_of(value)
}

fn flag_of(value: &[u8]) -> Option<bool> {
    match value {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

fn number_of(field: Option<&[u8]>) -> Option<u32> {
    from_utf8(field?).ok()?.parse().ok()
}

/// Appends one message, with the field names of upstream's clients; a payload is always `parsedData`.
pub(crate) fn write(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"topic\":");
    put_number(message.action.topic() as i32, out);
    let mut object = Object { out };
    object.number("action", Some(i32::from(message.action.code())));
    object.text("name", message.name);
    object.names(message.names);
    object.number("version", message.version);
    object.versions(message.versions);
    object.text("path", message.path);
    object.text("subscription", message.subscription);
    object.json("parsedData", message.data.filter(|data| !data.is_empty()));
    object.text("correlationId", message.correlation_id);
    object.number("originalTopic", message.original_topic.map(|topic| topic as i32));
    object.number("originalAction", message.original_action.map(|action| i32::from(action.code())));
    object.text("requestorName", message.requestor_name);
    object.json("requestorData", message.requestor_data);
    object.flag("isError", message.is_error);
    object.flag("isAck", message.is_ack);
    object.flag("isWriteAck", message.is_write_ack);
    out.push(b'}');
}

/// A JSON object being written, which already has its first member.
struct Object<'o> {
    out: &'o mut Vec<u8>,
}

impl Object<'_> {
    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn number(&mut self, key: &str, number: Option<i32>) {
        if let Some(number) = number {
            put_number(number, self.key(key));
        }
    }

    fn text(&mut self, key: &str, text: Option<&[u8]>) {
        if let Some(text) = text {
            write_string(text, self.key(key));
        }
    }

    fn json(&mut self, key: &str, json: Option<&[u8]>) {
        if let Some(json) = json {
            self.key(key).extend_from_slice(json);
        }
    }

    fn flag(&mut self, key: &str, is_set: bool) {
        if is_set {
            self.key(key).extend_from_slice(b"true");
        }
    }

    fn names(&mut self, names: &[&[u8]]) {
        if names.is_empty() {
            return;
        }
        let out = self.key("names");
        for (index, name) in names.iter().enumerate() {
            out.push(if index == 0 { b'[' } else { b',' });
            write_string(name, out);
        }
        out.push(b']');
    }

    fn versions(&mut self, versions: &[(&[u8], i32)]) {
        if versions.is_empty() {
            return;
        }
        let out = self.key("versions");
        for (index, (name, version)) in versions.iter().enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            write_string(name, out);
            out.push(b':');
            put_number(*version, out);
        }
        out.push(b'}');
    }
}
