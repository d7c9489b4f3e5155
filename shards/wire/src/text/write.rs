//! Messages to text (docs/text-grammar.md §5).
//!
//! What the protocol has no form for is an error by its name, never an empty frame: `T|E|NAME|name`.

use deepstream_json::{get_member, string_of};

use super::{END, HAS, PART, UNTYPED, typed};
use crate::action::{
    Action, AuthAction, ByTopic, ConnectionAction, EventAction, ParserAction, PresenceAction, RecordAction, RpcAction,
    Topic,
};
use crate::encode::put_number;
use crate::message::Outgoing;

/// Stands in the place of what is not there, as the servers of releases 2 and 3 had it.
const NOTHING: &[u8] = b"undefined";

/// Appends one message with its end. Where [`settles_writer`] says so, another is to follow.
pub(crate) fn write(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    match message.action.by_topic() {
        ByTopic::Connection(_) | ByTopic::Auth(_) | ByTopic::Parser(_) => session(message, out),
        _ if message.is_ack => acknowledgement(message, out),
        ByTopic::Event(action) => event(action, message, out),
        ByTopic::Record(action) => record(action, message, out),
        ByTopic::Rpc(action) => call(action, message, out),
        ByTopic::Presence(action) => presence(action, message, out),
    }
}

/// The same for the SDKs for Java and iOS. They wait for acknowledgements of the presence of all that name the topic, as releases 2
/// and 3 of the server sent them, and take those for errors that JavaScript clients wait for.
pub(crate) fn write_for_sdks(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    if message.is_ack && is_of_all(message.action) {
        let word = message.action.letters().as_bytes();
        Line::new(Topic::Presence, "A", out).plain(word).plain(&[Topic::Presence.letter()]).end();
    } else {
        write(message, out);
    }
}

/// A message being written.
struct Line<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Line<'o> {
    #[allow(
        clippy::inline_always,
        reason = "a word of known length is written by one store only where the compiler sees it"
    )]
    #[inline(always)]
    fn new(topic: Topic, word: &str, out: &'o mut Vec<u8>) -> Self {
        out.extend_from_slice(&[topic.letter(), PART]);
        out.extend_from_slice(word.as_bytes());
        Self { out }
    }

    /// Text that may come from another client: what would end the part is replaced.
    #[inline]
    fn text(self, text: &[u8]) -> Self {
        self.out.push(PART);
        self.more(text)
    }

    /// The same, as the rest of a part.
    fn more(self, text: &[u8]) -> Self {
        // Names are short: all bytes are looked at, without an exit, so that the compiler takes sixteen at a time.
        if text.iter().fold(false, |found, byte| found | is_separator(*byte)) {
            put_without_separators(text, self.out);
        } else {
            self.out.extend_from_slice(text);
        }
        self
    }

    #[inline]
    fn name(self, message: &Outgoing<'_>) -> Self {
        self.text(message.name.unwrap_or_default())
    }

    /// Of an error: what it is about, or that there is none.
    fn some_text(self, text: &[u8]) -> Self {
        self.text(if text.is_empty() { NOTHING } else { text })
    }

    fn some_name(self, message: &Outgoing<'_>) -> Self {
        self.some_text(message.name.unwrap_or_default())
    }

    fn id(self, message: &Outgoing<'_>) -> Self {
        self.text(message.correlation_id.unwrap_or_default())
    }

    /// Our own words, or JSON, in which the separators cannot stand.
    #[inline]
    fn plain(self, text: &[u8]) -> Self {
        self.out.push(PART);
        self.out.extend_from_slice(text);
        self
    }

    #[inline]
    fn version(self, version: Option<i32>) -> Self {
        self.out.push(PART);
        put_number(version.unwrap_or_default(), self.out);
        self
    }

    #[inline]
    fn typed(self, json: Option<&[u8]>) -> Self {
        self.out.push(PART);
        typed::write(json, self.out);
        self
    }

    /// Clients in Java drop the empty parts at the end of a message, and do not survive that they are gone; those in C++ take them
    /// for broken. So there is none.
    #[allow(
        clippy::inline_always,
        reason = "a word of known length is written by one store only where the compiler sees it"
    )]
    #[inline(always)]
    fn end(self) {
        if self.out.last() == Some(&PART) {
            self.out.extend_from_slice(NOTHING);
        }
        self.out.push(END);
    }
}

#[inline]
const fn is_separator(byte: u8) -> bool {
    byte == END || byte == PART
}

#[cold]
fn put_without_separators(text: &[u8], out: &mut Vec<u8>) {
    for (index, piece) in text.split(|byte| is_separator(*byte)).enumerate() {
        if index > 0 {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
        out.extend_from_slice(piece);
    }
}

fn session(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    const REFUSED: &[u8] = b"INVALID_AUTH_DATA";
    let topic = message.action.topic();
    let line = match message.action.by_topic() {
        ByTopic::Connection(ConnectionAction::Ping) => Line::new(topic, "PI", out),
        ByTopic::Connection(ConnectionAction::Pong) => Line::new(topic, "PO", out),
        ByTopic::Connection(ConnectionAction::Accept) => Line::new(topic, "A", out),
        ByTopic::Connection(ConnectionAction::Challenge) => Line::new(topic, "CH", out),
        ByTopic::Connection(ConnectionAction::Reject) => {
            Line::new(topic, "REJ", out).text(message.data.unwrap_or_default())
        }
        ByTopic::Connection(ConnectionAction::Redirect) => {
            Line::new(topic, "RED", out).text(message.data.unwrap_or_default())
        }
        ByTopic::Connection(ConnectionAction::AuthTimeout) => {
            let words = b"Sconnection has not authenticated successfully in the expected time";
            Line::new(topic, "E", out).plain(b"CONNECTION_AUTHENTICATION_TIMEOUT").plain(words)
        }
        ByTopic::Auth(AuthAction::Successful) => match message.data {
            Some(data) => Line::new(topic, "A", out).typed(Some(data)),
            None => Line::new(topic, "A", out),
        },
        // Webhooks of these clients' time name what is theirs; the others are told all of it.
        ByTopic::Auth(AuthAction::Unsuccessful) => {
            let own = |data| get_member(data, b"clientData").unwrap_or(data);
            Line::new(topic, "E", out).plain(REFUSED).typed(message.data.map(own))
        }
        // Of this alone its clients do not connect again, to say the same again.
        ByTopic::Auth(AuthAction::InvalidMessageData) => {
            Line::new(topic, "E", out).plain(b"INVALID_AUTH_MSG").plain(b"invalid authentication message")
        }
        // Some clients read the third part whether it is there or not.
        ByTopic::Auth(AuthAction::TooManyAttempts) => {
            let name = message.action.name().as_bytes();
            Line::new(topic, "E", out).plain(name).plain(b"Stoo many authentication attempts")
        }
        // Not on AUTH: there a client takes every error for the answer to its login.
        ByTopic::Connection(ConnectionAction::InvalidMessage) | ByTopic::Auth(AuthAction::InvalidMessage) => {
            Line::new(Topic::Connection, "E", out).plain(b"INVALID_MESSAGE").plain(b"invalid connection message")
        }
        ByTopic::Parser(ParserAction::UnknownAction) => {
            let on = message.original_topic.unwrap_or(topic);
            let line = Line::new(on, "E", out).plain(message.action.name().as_bytes()).plain(b"unknown action ");
            let Some(word) = message.name.filter(|word| !word.is_empty()) else {
                line.out.extend_from_slice(NOTHING);
                return line.end();
            };
            line.more(word)
        }
        ByTopic::Connection(ConnectionAction::Error | ConnectionAction::Closing | ConnectionAction::Closed)
        | ByTopic::Auth(AuthAction::Request | AuthAction::Error)
        | ByTopic::Parser(
            ParserAction::UnknownTopic
            | ParserAction::InvalidMessage
            | ParserAction::MessageParseError
            | ParserAction::MaximumMessageSize
            | ParserAction::Error
            | ParserAction::InvalidMetaParams,
        )
        | ByTopic::Event(_)
        | ByTopic::Record(_)
        | ByTopic::Rpc(_)
        | ByTopic::Presence(_) => {
            let line = Line::new(Topic::Parser, "E", out).plain(message.action.name().as_bytes());
            match (message.original_topic, message.name) {
                (Some(original), _) if topic == Topic::Parser => line.plain(&[original.letter()]),
                (None, Some(word)) => line.some_text(word),
                _ => line.plain(topic.name().as_bytes()),
            }
        }
    };
    line.end();
}

fn acknowledgement(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    let action = message.action;
    let line = Line::new(action.topic(), "A", out);
    let line = if is_of_all(action) {
        let word = action.letters().as_bytes();
        line.plain(word).plain(word)
    } else if action == Action::RecordSubscribeCreateAndRead {
        line.plain(Action::RecordSubscribe.letters().as_bytes()).id(message)
    } else {
        let named = message.correlation_id.or(message.name).unwrap_or_default();
        line.plain(action.letters().as_bytes()).text(named)
    };
    line.end();
}

fn is_of_all(action: Action) -> bool {
    matches!(action, Action::PresenceSubscribeAll | Action::PresenceUnsubscribeAll)
}

fn event(action: EventAction, message: &Outgoing<'_>, out: &mut Vec<u8>) {
    match action {
        EventAction::Emit => {
            let line = Line::new(Topic::Event, "EVT", out).name(message);
            // Without data there is no part for it: a client in Java would be handed an object for `undefined`. Where
            // that is what was sent, it is passed on: a listener in JavaScript is called with an argument then.
            let has_part = message.data.is_some() || message.is_undefined;
            if has_part { line.typed(message.data).end() } else { line.end() }
        }
        EventAction::PatternFound | EventAction::PatternRemoved => pattern(message, out),
        EventAction::ListenResponseTimeout => late_listener(out),
        EventAction::Denied | EventAction::PermissionError => denial(message, out),
        EventAction::InvalidListenRegex => no_pattern(message, out),
        EventAction::InvalidMessageData => no_sense(message, out),
        EventAction::Subscribe
        | EventAction::Unsubscribe
        | EventAction::Listen
        | EventAction::Unlisten
        | EventAction::ListenAccept
        | EventAction::ListenReject
        | EventAction::Error
        | EventAction::HasProvider
        | EventAction::HasNoProvider
        | EventAction::ListenUnsuccessful
        | EventAction::MultipleSubscriptions
        | EventAction::NotSubscribed => error(message, out),
    }
}

/// A listener is told that somebody wants, or nobody wants any more, a name that its pattern fits.
fn pattern(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    let found = matches!(message.action, Action::EventPatternFound | Action::RecordPatternFound);
    let line = Line::new(message.action.topic(), if found { "SP" } else { "SR" }, out).name(message);
    line.text(message.subscription.unwrap_or_default()).end();
}

fn record(action: RecordAction, message: &Outgoing<'_>, out: &mut Vec<u8>) {
    let version = message.version;
    let data = message.data.unwrap_or(b"null");
    let line = |word, out| Line::new(Topic::Record, word, out);
    match action {
        RecordAction::Update => line("U", out).name(message).version(version).plain(data).end(),
        RecordAction::Patch => {
            let line = line("P", out).name(message).version(version).text(message.path.unwrap_or_default());
            line.typed(message.data).end();
        }
        RecordAction::ReadResponse => line("R", out).name(message).version(version).plain(data).end(),
        RecordAction::HeadResponse if message.correlation_id == Some(HAS) => {
            let exists = version.is_some_and(|version| version >= 0);
            line("H", out).name(message).plain(if exists { b"T" } else { b"F" }).end();
        }
        RecordAction::HeadResponse => line("HD", out).name(message).version(version).end(),
        RecordAction::WriteAcknowledgement => written(message, "L", out),
        RecordAction::DeleteSuccess | RecordAction::Deleted => line("A", out).plain(b"D").name(message).end(),
        RecordAction::HasProvider => line("SH", out).name(message).plain(b"T").end(),
        RecordAction::HasNoProvider => line("SH", out).name(message).plain(b"F").end(),
        RecordAction::PatternFound | RecordAction::PatternRemoved => pattern(message, out),
        RecordAction::VersionExists => {
            let line = line("E", out).plain(message.action.name().as_bytes()).name(message).version(version);
            let line = line.plain(data);
            // With it a client moves the callback of its latest write to the merged one. It stands only where the write of a path
            // conflicts, as the servers these clients were made for have it: of several whole documents on their way, one
            // would take the place of another, whose callback was never called.
            let by_path = message.original_action == Some(Action::RecordPatch);
            if message.is_write_ack && by_path { line.plain(super::WRITE_ACK).end() } else { line.end() }
        }
        RecordAction::InvalidVersion => {
            line("E", out).plain(message.action.name().as_bytes()).name(message).version(version).end();
        }
        RecordAction::ListenResponseTimeout => late_listener(out),
        RecordAction::NotFound
        | RecordAction::LoadError
        | RecordAction::CacheRetrievalTimeout
        | RecordAction::StorageRetrievalTimeout => {
            if !asked_once(message, out) {
                error(message, out);
            }
        }
        RecordAction::Denied | RecordAction::PermissionError => {
            if !asked_once(message, out) {
                denial(message, out);
            }
        }
        RecordAction::InvalidListenRegex => no_pattern(message, out),
        RecordAction::InvalidMessageData => no_sense(message, out),
        RecordAction::UpdateError => match reason_of(message) {
            Some(why) => named(message, out).text(&why).end(),
            None => error(message, out),
        },
        RecordAction::Notify
        | RecordAction::Read
        | RecordAction::Head
        | RecordAction::Delete
        | RecordAction::CreateAndUpdate
        | RecordAction::CreateAndPatch
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
        | RecordAction::Create
        | RecordAction::SubscribeCreateAndUpdate
        | RecordAction::CreateError
        | RecordAction::DeleteError
        | RecordAction::InvalidPatchOnHotpath
        | RecordAction::ListenUnsuccessful
        | RecordAction::NotifyError
        | RecordAction::MultipleSubscriptions
        | RecordAction::NotSubscribed => error(message, out),
    }
}

fn call(action: RpcAction, message: &Outgoing<'_>, out: &mut Vec<u8>) {
    let line = |word, out| Line::new(Topic::Rpc, word, out);
    match action {
        RpcAction::Request => line("REQ", out).name(message).id(message).typed(message.data).end(),
        RpcAction::Response => line("RES", out).name(message).id(message).typed(message.data).end(),
        RpcAction::Accept => line("A", out).plain(b"REQ").name(message).id(message).end(),
        RpcAction::Reject => line("REJ", out).name(message).id(message).end(),
        RpcAction::RequestError => {
            // The caller is given this part as it stands, so a string goes without quotes and without its type.
            let data = message.data.unwrap_or_default();
            let text = string_of(data);
            let line = line("E", out).text(text.as_deref().unwrap_or(data)).some_name(message);
            line.some_text(message.correlation_id.unwrap_or_default()).end();
        }
        // Clients look for the id of a call in this place.
        RpcAction::PermissionError if id_of(message).is_some() => call_error(message.action.name(), message, out),
        RpcAction::Denied | RpcAction::PermissionError => denial(message, out),
        RpcAction::MultipleProviders => line("E", out).plain(b"MULTIPLE_SUBSCRIPTIONS").some_name(message).end(),
        RpcAction::NotProvided => line("E", out).plain(b"NOT_SUBSCRIBED").some_name(message).end(),
        RpcAction::AcceptTimeout => call_error("ACK_TIMEOUT", message, out),
        RpcAction::MultipleAccept => call_error("MULTIPLE_ACK", message, out),
        RpcAction::Provide
        | RpcAction::Unprovide
        | RpcAction::Error
        | RpcAction::NoProvider
        | RpcAction::InvalidCorrelationId
        | RpcAction::ResponseTimeout
        | RpcAction::MultipleResponse
        | RpcAction::InvalidMessageData => call_error(message.action.name(), message, out),
    }
}

fn presence(action: PresenceAction, message: &Outgoing<'_>, out: &mut Vec<u8>) {
    let line = |word, out| Line::new(Topic::Presence, word, out);
    match action {
        PresenceAction::Join | PresenceAction::JoinAll => line("PNJ", out).name(message).end(),
        PresenceAction::Leave | PresenceAction::LeaveAll => line("PNL", out).name(message).end(),
        PresenceAction::QueryResponse => line("Q", out).id(message).plain(message.data.unwrap_or(b"{}")).end(),
        PresenceAction::QueryAllResponse => {
            message.names.iter().fold(line("Q", out), |line, user| line.text(user)).end();
        }
        // Everybody has no name, and is named by the word of the question.
        PresenceAction::Denied | PresenceAction::PermissionError if is_nameless(message) => {
            let word = denied_word(message).as_bytes();
            line("E", out).plain(message.action.name().as_bytes()).some_text(word).some_text(word).end();
        }
        PresenceAction::Denied | PresenceAction::PermissionError => denial(message, out),
        PresenceAction::InvalidUsers => {
            let words = b"users are required to be a json array of usernames";
            line("E", out).plain(message.action.name().as_bytes()).plain(words).end();
        }
        PresenceAction::MultipleSubscriptions if is_nameless(message) => {
            line("E", out).plain(message.action.name().as_bytes()).plain(b"U").end();
        }
        PresenceAction::QueryAll
        | PresenceAction::Query
        | PresenceAction::Subscribe
        | PresenceAction::Unsubscribe
        | PresenceAction::SubscribeAll
        | PresenceAction::UnsubscribeAll
        | PresenceAction::Error
        | PresenceAction::MultipleSubscriptions
        | PresenceAction::NotSubscribed => error(message, out),
    }
}

fn is_nameless(message: &Outgoing<'_>) -> bool {
    message.name.is_none_or(<[u8]>::is_empty)
}

/// `T|E|NAME|name`.
fn error(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    named(message, out).end();
}

/// An error by its name, and what it is about.
fn named<'o>(message: &Outgoing<'_>, out: &'o mut Vec<u8>) -> Line<'o> {
    let line = Line::new(message.action.topic(), "E", out);
    line.plain(message.action.name().as_bytes()).some_name(message)
}

/// An error of a call, which is found by its id.
fn call_error(name: &str, message: &Outgoing<'_>, out: &mut Vec<u8>) {
    let line = Line::new(Topic::Rpc, "E", out).plain(name.as_bytes()).some_name(message);
    with(line, id_of(message)).end();
}

/// The correlation id that an error repeats. Of what names one thing, or creates it, it is our own invention, and says nothing new.
fn id_of<'m>(message: &Outgoing<'m>) -> Option<&'m [u8]> {
    let creates = matches!(message.original_action, Some(Action::RecordCreateAndUpdate | Action::RecordCreateAndPatch));
    let topic = message.action.topic();
    let invented = topic != Topic::Presence && ["S", "US", "R", "H", "C"].contains(&denied_word(message));
    message.correlation_id.filter(|_| !invented && !creates)
}

/// No client of this protocol knows that a listener did not answer in time, and one that listens for no errors would not
/// survive it. This is what upstream sends in its place, and what clients pass over.
fn late_listener(out: &mut Vec<u8>) {
    Line::new(Topic::Connection, "PO", out).end();
}

/// What may not be done, or could not be judged.
fn denial(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    with(named(message, out).some_text(denied_word(message).as_bytes()), id_of(message)).end();
}

/// Who asks once is answered under the word of the question: its callback is found by that, and by nothing else. Whether
/// it was asked so.
fn asked_once(message: &Outgoing<'_>, out: &mut Vec<u8>) -> bool {
    let once = matches!(message.original_action, Some(Action::RecordRead | Action::RecordHead));
    if once {
        let line = Line::new(Topic::Record, "E", out).plain(denied_word(message).as_bytes()).some_name(message);
        line.plain(message.action.name().as_bytes()).end();
    }
    once
}

/// To its clients a pattern is data like other, and the words those of what compiles theirs.
fn no_pattern(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    let line = Line::new(message.action.topic(), "E", out).plain(b"INVALID_MESSAGE_DATA");
    let line = line.plain(b"SyntaxError: Invalid regular expression: /");
    let line = line.more(message.name.unwrap_or_default()).more(b"/: ");
    line.more(message.data.unwrap_or(b"not a pattern")).end();
}

fn no_sense(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    let line = Line::new(message.action.topic(), "E", out);
    if let Some(version) = no_version(message) {
        return line.plain(error_name(message)).some_name(message).some_text(version).end();
    }
    let told = message.data.map(|data| data.strip_prefix(&[UNTYPED]).unwrap_or(data));
    let told = told.filter(|data| !data.is_empty()).or(message.name).unwrap_or_default();
    line.plain(message.action.name().as_bytes()).some_text(told).end();
}

/// What an error calls the message it answers. What creates is named by what it comes to.
fn denied_word(message: &Outgoing<'_>) -> &'static str {
    match message.original_action {
        Some(Action::RecordHead) if message.correlation_id == Some(HAS) => "H",
        Some(Action::RecordSubscribeCreateAndRead) => "R",
        Some(Action::RecordCreateAndUpdate | Action::RecordCreateAndPatch) => "U",
        Some(Action::RecordCreate) => "C",
        original => original.map_or("", Action::letters),
    }
}

fn with<'o>(line: Line<'o>, id: Option<&[u8]>) -> Line<'o> {
    match id {
        Some(id) => line.some_text(id),
        None => line,
    }
}

/// Whether a writer waits for more than the error that its write is answered.
pub(crate) fn settles_writer(message: &Outgoing<'_>) -> bool {
    let refused = message.is_error || message.action == Action::RecordVersionExists;
    message.is_write_ack && refused && !message.is_ack && message.action.topic() == Topic::Record
}

/// After the error of a write whose writer waits: the acknowledgement it waits for, with the error in it. A conflict begins a
/// merge, whose outcome is the write's; its acknowledgement is a success.
pub(crate) fn settle_writer(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    if message.action == Action::RecordVersionExists {
        return written(message, "L", out);
    }
    written(message, "S", out);
    let end = out.pop();
    debug_assert_eq!(end, Some(END), "a message has its end");
    out.extend_from_slice(error_name(message));
    if let Some(why) = reason_of(message) {
        out.extend_from_slice(b": ");
        out.extend(why.iter().map(|byte| if [PART, END].contains(byte) { b' ' } else { *byte }));
    }
    out.push(END);
}

/// What an error is called.
fn error_name(message: &Outgoing<'_>) -> &'static [u8] {
    match no_version(message) {
        Some(_) => b"INVALID_VERSION",
        None => message.action.name().as_bytes(),
    }
}

/// Of a write that makes no sense: what it has in the place of a version, if that is none.
fn no_version<'m>(message: &Outgoing<'m>) -> Option<&'m [u8]> {
    message.data.filter(|_| message.action == Action::RecordInvalidMessageData)?;
    let version = message.correlation_id?;
    let is_none = str::from_utf8(version).ok().and_then(|text| text.parse::<i32>().ok()).is_none();
    let writes = matches!(
        message.original_action,
        Some(Action::RecordUpdate | Action::RecordPatch | Action::RecordCreateAndUpdate | Action::RecordCreateAndPatch)
    );
    (writes && is_none).then_some(version)
}

/// Why a write is refused, where that is said.
fn reason_of<'m>(message: &Outgoing<'m>) -> Option<std::borrow::Cow<'m, [u8]>> {
    message.data.filter(|_| message.action == Action::RecordUpdateError).and_then(string_of)
}

/// `R|WA|name|[version]|…`; the version is the correlation id, as the decoder chose it.
fn written(message: &Outgoing<'_>, outcome: &str, out: &mut Vec<u8>) {
    let version = message.correlation_id.and_then(|id| str::from_utf8(id).ok()).and_then(|id| id.parse::<i32>().ok());
    let line = Line::new(Topic::Record, "WA", out).name(message).plain(b"[");
    if let Some(version) = version {
        put_number(version, line.out);
    }
    line.out.push(b']');
    line.plain(outcome.as_bytes()).end();
}
