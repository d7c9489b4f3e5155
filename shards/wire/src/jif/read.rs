//! Requests.

use std::str::from_utf8;

use deepstream_json::{Kind, Scratch, check, elements, get_member, kind_of, members, string_of, unescape};

use crate::action::Action;
use crate::draft::Draft;
use crate::message::{Flags, Head, Message, Span};

/// A body that may be executed once its login is accepted.
#[derive(Debug)]
pub struct Post {
    /// What to log in with: a JSON object.
    pub login: Vec<u8>,
    /// The batch, unread.
    pub body: Vec<u8>,
}

impl Post {
    /// Reads a body that is known to be JSON. The error is the answer to the client.
    pub fn read(text: &[u8], allow_auth_data: bool) -> Result<Self, &'static str> {
        let body = get_member(text, b"body").ok_or(r#"Invalid message: the "body" parameter must exist."#)?;
        if kind_of(body) != Some(Kind::Array) || elements(body).next().is_none() {
            return Err(r#"Invalid message: the "body" parameter must be a non-empty array of Objects."#);
        }
        let login = match (get_member(text, b"authData"), get_member(text, b"token")) {
            (Some(_), _) if !allow_auth_data => {
                return Err("Authentication using authData is disabled. Try using a token instead.");
            }
            (Some(data), _) if kind_of(data) == Some(Kind::Object) => data.to_vec(),
            (Some(_), _) => return Err(r#"Invalid message: the "authData" parameter must be an object"#),
            (None, Some(token)) => {
                if string_of(token).is_none_or(|token| token.is_empty()) {
                    return Err(r#"Invalid message: the "token" parameter must be a non-empty string"#);
                }
                [b"{\"token\":", token, b"}"].concat()
            }
            (None, None) => b"{}".to_vec(),
        };
        Ok(Self { login, body: body.to_vec() })
    }
}

/// Checks that a body is JSON, and not a mere scalar. The error says why not. How deeply the data of its entries may be
/// nested is checked by the engine, for each entry.
pub fn check_body(text: &[u8]) -> Result<(), String> {
    match check(text, &mut Scratch::with_depth_max(usize::MAX)) {
        Ok(Kind::Object | Kind::Array) => Ok(()),
        Ok(_) => Err("an object is expected".to_owned()),
        Err(bad) => Err(bad.to_string()),
    }
}

/// A login as a message.
pub fn login(data: &[u8]) -> Message<&[u8]> {
    let mut head = Head::new(Action::AuthRequest);
    head.data = Span { start: 0, len: data.len() as u32 };
    head.flags.set(Flags::DATA);
    Message { head, bytes: data }
}

/// Messages, one for each entry.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    head: Head,
    start: usize,
    end: usize,
    /// The immediate answer, if nothing has to be executed.
    settled: Option<&'static str>,
}

impl Batch {
    /// Reads the array of a [`Post`], of at most `entries_max` entries. The error is the answer to the client.
    pub fn read(body: &[u8], entries_max: usize) -> Result<Self, String> {
        let mut batch = Self::default();
        for (index, entry) in elements(body).enumerate() {
            if index == entries_max {
                return Err(format!("Invalid message: the \"body\" parameter has more than {entries_max} entries."));
            }
            batch
                .push(index, entry)
                .map_err(|reason| format!("Failed to parse JIF object at index {index}.{reason}"))?;
        }
        Ok(batch)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The message of an entry, or its answer if nothing has to be executed.
    pub fn message(&self, index: usize) -> Result<Message<&[u8]>, &'static str> {
        let entry = &self.entries[index];
        match entry.settled {
            Some(answer) => Err(answer),
            None => Ok(Message { head: entry.head, bytes: &self.bytes[entry.start..entry.end] }),
        }
    }

    /// The action of an entry.
    pub fn action(&self, index: usize) -> Option<Action> {
        self.entries.get(index).map(|entry| entry.head.action)
    }

    /// The action and the name of an entry.
    pub(super) fn key(&self, index: usize) -> (u8, &[u8]) {
        let entry = &self.entries[index];
        (entry.head.action as u8, entry.head.name.of(&self.bytes[entry.start..entry.end]))
    }

    fn push(&mut self, index: usize, entry: &[u8]) -> Result<(), String> {
        let request = Request::read(entry)?;
        let start = self.bytes.len();
        let mut draft = Draft::new(request.action, &mut self.bytes);
        let mut settled = None;
        draft.correlation_id(index.to_string().as_bytes());
        if let Some(name) = request.name {
            draft.name(&string_of(name).unwrap_or_default());
        }
        if let Some(names) = request.names {
            elements(names).for_each(|name| draft.push_name(&string_of(name).unwrap_or_default()));
            if elements(names).next().is_none() {
                let is_query = request.action == Action::PresenceQuery;
                settled = Some(if is_query { r#"{"users":{},"success":true}"# } else { r#"{"success":true}"# });
            }
        }
        if let Some(path) = request.path {
            draft.path(&string_of(path).unwrap_or_default());
        }
        if let Some(data) = request.data {
            draft.data(|out| out.extend_from_slice(data));
        }
        if matches!(request.action, Action::RecordCreateAndUpdate | Action::RecordCreateAndPatch) {
            draft.version(request.version);
            draft.flag(Flags::IS_WRITE_ACK);
        }
        if request.action == Action::EventEmit {
            // Publishing an event has no answer; clients of HTTP get one anyway.
            draft.flag(if request.data.is_none() { Flags::IS_ACK | Flags::UNDEFINED } else { Flags::IS_ACK });
        }
        let head = draft.finish().head;
        self.entries.push(Entry { head, start, end: self.bytes.len(), settled });
        Ok(())
    }
}

/// One entry, judged.
struct Request<'e> {
    action: Action,
    name: Option<&'e [u8]>,
    names: Option<&'e [u8]>,
    path: Option<&'e [u8]>,
    data: Option<&'e [u8]>,
    version: i32,
}

/// The keys that an entry may have beside topic and action.
struct Shape {
    action: Action,
    /// A name, under this key; it has to be there.
    name: Option<&'static str>,
    /// Names, under this key, and whether they have to be there.
    names: Option<(&'static str, bool)>,
    data: Data,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Data {
    None,
    Any,
    /// A record's, or anything where there is a path; with a version.
    Record,
    /// An array of texts; with a version.
    List,
}

/// THE TABLE of requests.
fn shape(topic: &[u8], action: &[u8], has_names: bool) -> Option<Shape> {
    let named = |action, name, data| Some(Shape { action, name: Some(name), names: None, data });
    match (topic, action) {
        (b"event", b"emit") => named(Action::EventEmit, "eventName", Data::Any),
        (b"rpc", b"make") => named(Action::RpcRequest, "rpcName", Data::Any),
        (b"record", b"read") => named(Action::RecordRead, "recordName", Data::None),
        (b"record", b"head") => named(Action::RecordHead, "recordName", Data::None),
        (b"record", b"write") => named(Action::RecordCreateAndUpdate, "recordName", Data::Record),
        (b"record", b"delete") => named(Action::RecordDelete, "recordName", Data::None),
        (b"list", b"read") => named(Action::RecordRead, "listName", Data::None),
        (b"list", b"write") => named(Action::RecordCreateAndUpdate, "listName", Data::List),
        (b"list", b"delete") => named(Action::RecordDelete, "listName", Data::None),
        (b"record", b"notify") => Some(Shape {
            action: Action::RecordNotify,
            name: None,
            names: Some(("recordNames", true)),
            data: Data::None,
        }),
        (b"presence", b"query") => Some(Shape {
            action: if has_names { Action::PresenceQuery } else { Action::PresenceQueryAll },
            name: None,
            names: Some(("names", false)),
            data: Data::None,
        }),
        _ => None,
    }
}

impl<'e> Request<'e> {
    /// The error is empty or ` Reason: …`.
    fn read(entry: &'e [u8]) -> Result<Self, String> {
        if kind_of(entry) != Some(Kind::Object) {
            return Err(reason("an entry must be object"));
        }
        let text = |key: &str| {
            let value =
                get_member(entry, key.as_bytes()).ok_or_else(|| reason(&format!("property '{key}' is required")))?;
            string_of(value).ok_or_else(|| must_be(key, "string"))
        };
        let (topic, action) = (text("topic")?, text("action")?);
        let shape = shape(&topic, &action, get_member(entry, b"names").is_some()).ok_or_else(|| {
            let (topic, action) = (String::from_utf8_lossy(&topic), String::from_utf8_lossy(&action));
            reason(&format!("there is no action '{action}' of topic '{topic}'"))
        })?;
        let topic = String::from_utf8_lossy(&topic);
        let mut request = Self { action: shape.action, name: None, names: None, path: None, data: None, version: -1 };
        let mut version = None;
        for (key, value) in members(entry) {
            let key = String::from_utf8_lossy(&unescape(key)).into_owned();
            let writes = matches!(shape.data, Data::Record | Data::List);
            match key.as_str() {
                "topic" | "action" => {}
                "data" if shape.data != Data::None => request.data = Some(value),
                "version" if writes => version = Some(value),
                "path" if shape.data == Data::Record => request.path = Some(value),
                key if shape.name == Some(key) => request.name = Some(value),
                key if shape.names.is_some_and(|(names, _)| names == key) => request.names = Some(value),
                key => return Err(reason(&format!("property '{key}' is unknown for topic '{topic}'"))),
            }
        }
        request.check(&shape, version).map_err(|problem| match problem {
            Problem::Missing(key) => reason(&format!("property '{key}' is required for topic '{topic}'")),
            Problem::Not(key, what) => must_be(key, what),
        })?;
        Ok(request)
    }

    fn check(&mut self, shape: &Shape, version: Option<&[u8]>) -> Result<(), Problem> {
        if let Some(key) = shape.name {
            let name = self.name.ok_or(Problem::Missing(key))?;
            let name = string_of(name).ok_or(Problem::Not(key, "string"))?;
            if name.is_empty() {
                return Err(Problem::Not(key, "string of at least one character"));
            }
        }
        match (shape.names, self.names) {
            (Some((key, true)), None) => return Err(Problem::Missing(key)),
            (Some((key, _)), Some(names)) if !is_texts(names) => return Err(Problem::Not(key, "array of strings")),
            _ => {}
        }
        if let Some(path) = self.path.take() {
            let text = string_of(path).ok_or(Problem::Not("path", "string"))?;
            // An empty path is no path.
            if !text.is_empty() {
                self.path = Some(path);
                self.action = Action::RecordCreateAndPatch;
            }
        }
        if matches!(shape.data, Data::Record | Data::List) {
            let data = self.data.ok_or(Problem::Missing("data"))?;
            if shape.data == Data::List && !is_texts(data) {
                return Err(Problem::Not("data", "array of strings"));
            }
            if self.path.is_none() && !matches!(kind_of(data), Some(Kind::Object | Kind::Array)) {
                return Err(Problem::Not("data", "object or array"));
            }
        }
        if let Some(version) = version {
            let number: Option<i32> = from_utf8(version).ok().and_then(|text| text.parse().ok());
            let number =
                number.filter(|number| *number >= -1).ok_or(Problem::Not("version", "integer of at least -1"))?;
            // Upstream treats version 0 as none.
            self.version = if number == 0 { -1 } else { number };
        }
        Ok(())
    }
}

enum Problem {
    Missing(&'static str),
    Not(&'static str, &'static str),
}

fn is_texts(value: &[u8]) -> bool {
    kind_of(value) == Some(Kind::Array) && elements(value).all(|entry| string_of(entry).is_some())
}

fn reason(text: &str) -> String {
    format!(" Reason: {text}")
}

fn must_be(key: &str, what: &str) -> String {
    reason(&format!("property '{key}' must be {what}"))
}
