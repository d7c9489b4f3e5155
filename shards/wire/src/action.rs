//! The table of everything that can be said: topic, action, wire code, name, word of the text protocol.
//!
//! Codes and names are those of the protobuf protocol (docs/protobuf-protocol.md §3, §4), words those of the text protocol
//! (docs/text-grammar.md §4). To add an action, add a row.

/// What a message is about. The discriminant is the wire code (docs/protobuf-protocol.md §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Topic {
    /// Complaints about messages that could not be understood; only ever sent by the server.
    Parser = 1,
    /// Handshake and heartbeat.
    Connection = 2,
    /// Login.
    Auth = 3,
    /// Publish and subscribe.
    Event = 4,
    /// Documents that sync.
    Record = 5,
    /// Request and response.
    Rpc = 6,
    /// Who is online.
    Presence = 7,
}

impl Topic {
    /// The topic of a wire code; `None` for codes no client may use.
    #[inline]
    pub fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Parser,
            2 => Self::Connection,
            3 => Self::Auth,
            4 => Self::Event,
            5 => Self::Record,
            6 => Self::Rpc,
            7 => Self::Presence,
            _ => return None,
        })
    }

    /// What the text protocol calls it.
    pub fn letter(self) -> u8 {
        match self {
            Self::Parser => b'X',
            Self::Connection => b'C',
            Self::Auth => b'A',
            Self::Event => b'E',
            Self::Record => b'R',
            Self::Rpc => b'P',
            Self::Presence => b'U',
        }
    }

    /// Upper-case name as in logs and in upstream's enum.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parser => "PARSER",
            Self::Connection => "CONNECTION",
            Self::Auth => "AUTH",
            Self::Event => "EVENT",
            Self::Record => "RECORD",
            Self::Rpc => "RPC",
            Self::Presence => "PRESENCE",
        }
    }
}

macro_rules! actions {
    ($($variant:ident $topic:ident $code:literal $name:literal $letters:literal,)*) => {
        /// One thing that can be said. Variants are named topic first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the table below is the documentation")]
        pub enum Action { $($variant,)* }

        impl Action {
            /// Every action, in table order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The topic this action belongs to.
            #[inline]
            pub fn topic(self) -> Topic {
                match self { $(Self::$variant => Topic::$topic,)* }
            }

            /// Wire code within the topic (docs/protobuf-protocol.md §4).
            pub fn code(self) -> u8 {
                match self { $(Self::$variant => $code,)* }
            }

            /// Upper-case name as in logs and in client callbacks.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What the text protocol calls it when a client says it; empty where no client does. Actions that differ in
            /// what comes with them share a word (docs/text-grammar.md §4).
            pub fn letters(self) -> &'static str {
                match self { $(Self::$variant => $letters,)* }
            }

            /// The action a client means by a word of the text protocol. Of several that share it, the first of the table.
            #[allow(unreachable_patterns, reason = "words are shared, and most rows have none")]
            pub fn from_letters(topic: Topic, letters: &str) -> Option<Self> {
                match (topic, letters) {
                    (_, "") => None,
                    $((Topic::$topic, $letters) => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The action of a wire code; `None` where the topic has no such action.
            #[inline]
            pub fn from_code(topic: Topic, code: u32) -> Option<Self> {
                match (topic, code) {
                    $((Topic::$topic, $code) => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

actions! {
    ParserUnknownTopic             Parser     1   "UNKNOWN_TOPIC"                    "",
    ParserUnknownAction            Parser     2   "UNKNOWN_ACTION"                   "",
    ParserInvalidMessage           Parser     3   "INVALID_MESSAGE"                  "",
    ParserMessageParseError        Parser     4   "MESSAGE_PARSE_ERROR"              "",
    ParserMaximumMessageSize       Parser     5   "MAXIMUM_MESSAGE_SIZE_EXCEEDED"    "",
    ParserError                    Parser     6   "ERROR"                            "",
    ParserInvalidMetaParams        Parser     7   "INVALID_META_PARAMS"              "",

    ConnectionError                Connection 1   "ERROR"                            "",
    ConnectionPing                 Connection 2   "PING"                             "PI",
    ConnectionPong                 Connection 3   "PONG"                             "PO",
    ConnectionAccept               Connection 4   "ACCEPT"                           "",
    ConnectionChallenge            Connection 5   "CHALLENGE"                        "CHR",
    ConnectionReject               Connection 6   "REJECT"                           "",
    ConnectionRedirect             Connection 7   "REDIRECT"                         "",
    ConnectionClosing              Connection 8   "CLOSING"                          "",
    ConnectionClosed               Connection 9   "CLOSED"                           "",
    ConnectionAuthTimeout          Connection 100 "AUTHENTICATION_TIMEOUT"           "",
    ConnectionInvalidMessage       Connection 101 "INVALID_MESSAGE"                  "",

    AuthError                      Auth       1   "ERROR"                            "",
    AuthRequest                    Auth       2   "REQUEST"                          "REQ",
    AuthSuccessful                 Auth       3   "AUTH_SUCCESSFUL"                  "",
    AuthUnsuccessful               Auth       4   "AUTH_UNSUCCESSFUL"                "",
    AuthTooManyAttempts            Auth       100 "TOO_MANY_AUTH_ATTEMPTS"           "",
    AuthInvalidMessage             Auth       101 "INVALID_MESSAGE"                  "",
    AuthInvalidMessageData         Auth       102 "INVALID_MESSAGE_DATA"             "",

    EventError                     Event      1   "ERROR"                            "",
    EventEmit                      Event      2   "EMIT"                             "EVT",
    EventSubscribe                 Event      3   "SUBSCRIBE"                        "S",
    EventUnsubscribe               Event      4   "UNSUBSCRIBE"                      "US",
    EventListen                    Event      5   "LISTEN"                           "L",
    EventUnlisten                  Event      6   "UNLISTEN"                         "UL",
    EventListenAccept              Event      7   "LISTEN_ACCEPT"                    "LA",
    EventListenReject              Event      8   "LISTEN_REJECT"                    "LR",
    EventHasProvider               Event      9   "SUBSCRIPTION_HAS_PROVIDER"        "",
    EventHasNoProvider             Event      10  "SUBSCRIPTION_HAS_NO_PROVIDER"     "",
    EventPatternFound              Event      11  "SUBSCRIPTION_FOR_PATTERN_FOUND"   "",
    EventPatternRemoved            Event      12  "SUBSCRIPTION_FOR_PATTERN_REMOVED" "",
    EventInvalidListenRegex        Event      100 "INVALID_LISTEN_REGEX"             "",
    EventListenResponseTimeout     Event      101 "LISTEN_RESPONSE_TIMEOUT"          "",
    EventListenUnsuccessful        Event      102 "LISTEN_UNSUCCESSFUL"              "",
    EventPermissionError           Event      103 "MESSAGE_PERMISSION_ERROR"         "",
    EventDenied                    Event      104 "MESSAGE_DENIED"                   "",
    EventInvalidMessageData        Event      105 "INVALID_MESSAGE_DATA"             "",
    EventMultipleSubscriptions     Event      106 "MULTIPLE_SUBSCRIPTIONS"           "",
    EventNotSubscribed             Event      107 "NOT_SUBSCRIBED"                   "",

    RecordError                    Record     1   "ERROR"                            "",
    RecordNotify                   Record     2   "NOTIFY"                           "",
    RecordRead                     Record     3   "READ"                             "SN",
    RecordReadResponse             Record     4   "READ_RESPONSE"                    "",
    RecordHead                     Record     5   "HEAD"                             "HD",
    RecordHeadResponse             Record     6   "HEAD_RESPONSE"                    "",
    RecordHeadBulk                 Record     7   "HEAD_BULK"                        "",
    RecordHeadResponseBulk         Record     8   "HEAD_RESPONSE_BULK"               "",
    RecordDelete                   Record     9   "DELETE"                           "D",
    RecordDeleteSuccess            Record     10  "DELETE_SUCCESS"                   "",
    RecordDeleteBulk               Record     11  "DELETE_BULK"                      "",
    RecordDeleteBulkSuccess        Record     12  "DELETE_BULK_SUCCESS"              "",
    RecordDeleted                  Record     13  "DELETED"                          "",
    RecordWriteAcknowledgement     Record     14  "WRITE_ACKNOWLEDGEMENT"            "",
    RecordCreate                   Record     15  "CREATE"                           "",
    RecordCreateAndUpdate          Record     16  "CREATEANDUPDATE"                  "CU",
    RecordCreateAndPatch           Record     17  "CREATEANDPATCH"                   "CU",
    RecordUpdate                   Record     18  "UPDATE"                           "U",
    RecordPatch                    Record     19  "PATCH"                            "P",
    RecordErase                    Record     20  "ERASE"                            "P",
    RecordSubscribeAndHead         Record     21  "SUBSCRIBEANDHEAD"                 "",
    RecordSubscribeAndRead         Record     22  "SUBSCRIBEANDREAD"                 "",
    RecordSubscribeCreateAndRead   Record     23  "SUBSCRIBECREATEANDREAD"           "CR",
    RecordSubscribeCreateAndUpdate Record     24  "SUBSCRIBECREATEANDUPDATE"         "",
    RecordSubscribe                Record     25  "SUBSCRIBE"                        "S",
    RecordUnsubscribe              Record     26  "UNSUBSCRIBE"                      "US",
    RecordListen                   Record     27  "LISTEN"                           "L",
    RecordUnlisten                 Record     28  "UNLISTEN"                         "UL",
    RecordListenAccept             Record     29  "LISTEN_ACCEPT"                    "LA",
    RecordListenReject             Record     30  "LISTEN_REJECT"                    "LR",
    RecordHasProvider              Record     31  "SUBSCRIPTION_HAS_PROVIDER"        "",
    RecordHasNoProvider            Record     32  "SUBSCRIPTION_HAS_NO_PROVIDER"     "",
    RecordPatternFound             Record     33  "SUBSCRIPTION_FOR_PATTERN_FOUND"   "",
    RecordPatternRemoved           Record     34  "SUBSCRIPTION_FOR_PATTERN_REMOVED" "",
    RecordPatchMulti               Record     35  "PATCH_MULTI"                      "",
    RecordCacheRetrievalTimeout    Record     100 "CACHE_RETRIEVAL_TIMEOUT"          "",
    RecordStorageRetrievalTimeout  Record     101 "STORAGE_RETRIEVAL_TIMEOUT"        "",
    RecordVersionExists            Record     102 "VERSION_EXISTS"                   "",
    RecordLoadError                Record     103 "RECORD_LOAD_ERROR"                "",
    RecordCreateError              Record     104 "RECORD_CREATE_ERROR"              "",
    RecordUpdateError              Record     105 "RECORD_UPDATE_ERROR"              "",
    RecordDeleteError              Record     106 "RECORD_DELETE_ERROR"              "",
    RecordNotFound                 Record     107 "RECORD_NOT_FOUND"                 "",
    RecordInvalidVersion           Record     108 "INVALID_VERSION"                  "",
    RecordInvalidPatchOnHotpath    Record     109 "INVALID_PATCH_ON_HOTPATH"         "",
    RecordInvalidListenRegex       Record     110 "INVALID_LISTEN_REGEX"             "",
    RecordListenResponseTimeout    Record     111 "LISTEN_RESPONSE_TIMEOUT"          "",
    RecordListenUnsuccessful       Record     112 "LISTEN_UNSUCCESSFUL"              "",
    RecordNotifyError              Record     113 "RECORD_NOTIFY_ERROR"              "",
    RecordPermissionError          Record     114 "MESSAGE_PERMISSION_ERROR"         "",
    RecordDenied                   Record     115 "MESSAGE_DENIED"                   "",
    RecordInvalidMessageData       Record     116 "INVALID_MESSAGE_DATA"             "",
    RecordMultipleSubscriptions    Record     117 "MULTIPLE_SUBSCRIPTIONS"           "",
    RecordNotSubscribed            Record     118 "NOT_SUBSCRIBED"                   "",

    RpcError                       Rpc        1   "ERROR"                            "",
    RpcRequest                     Rpc        2   "REQUEST"                          "REQ",
    RpcAccept                      Rpc        4   "ACCEPT"                           "A",
    RpcResponse                    Rpc        5   "RESPONSE"                         "RES",
    RpcReject                      Rpc        6   "REJECT"                           "REJ",
    RpcRequestError                Rpc        7   "REQUEST_ERROR"                    "E",
    RpcProvide                     Rpc        8   "PROVIDE"                          "S",
    RpcUnprovide                   Rpc        9   "UNPROVIDE"                        "US",
    RpcNoProvider                  Rpc        100 "NO_RPC_PROVIDER"                  "",
    RpcAcceptTimeout               Rpc        101 "ACCEPT_TIMEOUT"                   "",
    RpcMultipleAccept              Rpc        102 "MULTIPLE_ACCEPT"                  "",
    RpcInvalidCorrelationId        Rpc        103 "INVALID_RPC_CORRELATION_ID"       "",
    RpcResponseTimeout             Rpc        104 "RESPONSE_TIMEOUT"                 "",
    RpcMultipleResponse            Rpc        105 "MULTIPLE_RESPONSE"                "",
    RpcPermissionError             Rpc        106 "MESSAGE_PERMISSION_ERROR"         "",
    RpcDenied                      Rpc        107 "MESSAGE_DENIED"                   "",
    RpcInvalidMessageData          Rpc        108 "INVALID_MESSAGE_DATA"             "",
    RpcMultipleProviders           Rpc        109 "MULTIPLE_PROVIDERS"               "",
    RpcNotProvided                 Rpc        110 "NOT_PROVIDED"                     "",

    PresenceError                  Presence   1   "ERROR"                            "",
    PresenceQueryAll               Presence   2   "QUERY_ALL"                        "Q",
    PresenceQueryAllResponse       Presence   3   "QUERY_ALL_RESPONSE"               "",
    PresenceQuery                  Presence   4   "QUERY"                            "Q",
    PresenceQueryResponse          Presence   5   "QUERY_RESPONSE"                   "",
    PresenceJoin                   Presence   6   "PRESENCE_JOIN"                    "",
    PresenceJoinAll                Presence   7   "PRESENCE_JOIN_ALL"                "",
    PresenceLeave                  Presence   8   "PRESENCE_LEAVE"                   "",
    PresenceLeaveAll               Presence   9   "PRESENCE_LEAVE_ALL"               "",
    PresenceSubscribe              Presence   10  "SUBSCRIBE"                        "S",
    PresenceUnsubscribe            Presence   11  "UNSUBSCRIBE"                      "US",
    PresenceSubscribeAll           Presence   12  "SUBSCRIBE_ALL"                    "S",
    PresenceUnsubscribeAll         Presence   13  "UNSUBSCRIBE_ALL"                  "US",
    PresenceInvalidUsers           Presence   100 "INVALID_PRESENCE_USERS"           "",
    PresencePermissionError        Presence   101 "MESSAGE_PERMISSION_ERROR"         "",
    PresenceDenied                 Presence   102 "MESSAGE_DENIED"                   "",
    PresenceMultipleSubscriptions  Presence   103 "MULTIPLE_SUBSCRIPTIONS"           "",
    PresenceNotSubscribed          Presence   104 "NOT_SUBSCRIBED"                   "",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_found_by_its_topic_and_code() {
        for &action in Action::ALL {
            assert_eq!(Action::from_code(action.topic(), u32::from(action.code())), Some(action), "{action:?}");
        }
    }
}
