//! The table of all actions: topic, action, wire code, name, word of the text protocol.
//!
//! Codes and names are those of the protobuf protocol (docs/protobuf-protocol.md §3, §4), words those of the text
//! protocol (docs/text-grammar.md §4). To add an action, add a row. For an action of clients the row says how it is
//! handled, and the compiler then reports every `match` that has to decide about it: that is why no `match` over
//! actions has a `_` arm.

/// What a message is about. The discriminant is the wire code (docs/protobuf-protocol.md §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Topic {
    /// Errors about messages that could not be understood; only sent by the server.
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

/// How an action of a client is handled by the core that receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is about the connection itself, and goes no further.
    Session,
    /// It is about one name, whose owner executes and answers it.
    Single,
    /// It is about one name, and belongs to a call: that has a correlation id.
    Call,
    /// It is about many names: each owner handles its own, and there is one answer.
    Bulk,
    /// It begins subscriptions to many names.
    Subscribe,
    /// It ends subscriptions to many names.
    Unsubscribe,
    /// It begins listening to a pattern, which all cores have to know.
    Listen,
    /// It ends that.
    Unlisten,
    /// A listener says whether it provides a name.
    ListenAnswer,
    /// It is about all users, of whom each core knows some.
    Everybody,
    /// It ends that, which needs no permission.
    UnsubscribeAll,
    /// Only the server sends it. Two of these are in the schema but never sent.
    Server,
}

macro_rules! actions {
    ($($topic:ident $all:ident {
        $(clients $request:ident { $($client:ident $said:ident $code:literal $kind:ident $name:literal $letters:literal,)* })?
        server { $($server:ident $told:ident $server_code:literal $server_name:literal,)* }
    })*) => {
        /// An action. Variants begin with their topic.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the table below is the documentation")]
        pub enum Action { $($($($client,)*)? $($server,)*)* }

        /// An action, by its topic.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "topics are documented where they are")]
        pub enum ByTopic { $($topic($all),)* }

        /// An action of clients, by its topic.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "topics are documented where they are")]
        pub enum Request { $($($topic($request),)?)* }

        $(
            /// All actions of a topic.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[repr(u8)]
            #[allow(missing_docs, reason = "the table below is the documentation")]
            pub enum $all {
                $($($said = Action::$client as u8,)*)?
                $($told = Action::$server as u8,)*
            }

            $(
                /// The actions of clients on a topic.
                #[derive(Clone, Copy, Debug, PartialEq, Eq)]
                #[repr(u8)]
                #[allow(missing_docs, reason = "the table below is the documentation")]
                pub enum $request { $($said = Action::$client as u8,)* }
            )?
        )*

        impl Action {
            /// Every action, in table order.
            pub const ALL: &'static [Self] = &[$($($(Self::$client,)*)? $(Self::$server,)*)*];

            /// The topic this action belongs to.
            #[inline]
            pub fn topic(self) -> Topic {
                match self { $($($(Self::$client => Topic::$topic,)*)? $(Self::$server => Topic::$topic,)*)* }
            }

            /// How it is handled if a client sends it.
            #[inline]
            pub fn kind(self) -> Kind {
                match self { $($($(Self::$client => Kind::$kind,)*)? $(Self::$server => Kind::Server,)*)* }
            }

            /// The action as a variant of its topic's enum, for code that decides about all actions.
            #[inline]
            pub fn by_topic(self) -> ByTopic {
                match self {
                    $($($(Self::$client => ByTopic::$topic($all::$said),)*)?
                    $(Self::$server => ByTopic::$topic($all::$told),)*)*
                }
            }

            /// The action as a variant of its topic's enum of client actions, for code that executes them. `None`: only
            /// the server sends it.
            #[inline(always)]
            #[allow(clippy::inline_always, reason = "becomes one jump with the match over it: 1 % of an emit or a read")]
            pub fn request(self) -> Option<Request> {
                match self {
                    $($($(Self::$client => Some(Request::$topic($request::$said)),)*)?
                    $(Self::$server => None,)*)*
                }
            }

            /// Wire code within the topic (docs/protobuf-protocol.md §4).
            pub fn code(self) -> u8 {
                match self { $($($(Self::$client => $code,)*)? $(Self::$server => $server_code,)*)* }
            }

            /// Upper-case name as in logs and in client callbacks.
            pub fn name(self) -> &'static str {
                match self { $($($(Self::$client => $name,)*)? $(Self::$server => $server_name,)*)* }
            }

            /// Its word in the text protocol if clients send it; else empty. Actions that differ in their parameters
            /// share a word (docs/text-grammar.md §4).
            pub fn letters(self) -> &'static str {
                match self { $($($(Self::$client => $letters,)*)? $(Self::$server => "",)*)* }
            }

            /// The action a client means by a word of the text protocol. Of several that share it, the first of the table.
            #[allow(unreachable_patterns, reason = "words are shared, and some rows have none")]
            pub fn from_letters(topic: Topic, letters: &str) -> Option<Self> {
                match (topic, letters) {
                    (_, "") => None,
                    $($($((Topic::$topic, $letters) => Some(Self::$client),)*)?)*
                    _ => None,
                }
            }

            /// The action of a wire code; `None` where the topic has no such action.
            #[inline]
            pub fn from_code(topic: Topic, code: u32) -> Option<Self> {
                match (topic, code) {
                    $($($((Topic::$topic, $code) => Some(Self::$client),)*)?
                    $((Topic::$topic, $server_code) => Some(Self::$server),)*)*
                    _ => None,
                }
            }
        }
    };
}

// Actions of clients: the action, its name within the topic, code, kind, name, word of the text protocol. Actions of
// the server: the action, its name within the topic, code, name.
actions! {
    Parser ParserAction {
        server {
            ParserUnknownTopic             UnknownTopic             1   "UNKNOWN_TOPIC",
            ParserUnknownAction            UnknownAction            2   "UNKNOWN_ACTION",
            ParserInvalidMessage           InvalidMessage           3   "INVALID_MESSAGE",
            ParserMessageParseError        MessageParseError        4   "MESSAGE_PARSE_ERROR",
            ParserMaximumMessageSize       MaximumMessageSize       5   "MAXIMUM_MESSAGE_SIZE_EXCEEDED",
            ParserError                    Error                    6   "ERROR",
            ParserInvalidMetaParams        InvalidMetaParams        7   "INVALID_META_PARAMS",
        }
    }

    Connection ConnectionAction {
        clients ConnectionRequest {
            ConnectionPing                 Ping                     2   Session      "PING"                    "PI",
            ConnectionPong                 Pong                     3   Session      "PONG"                    "PO",
            ConnectionChallenge            Challenge                5   Session      "CHALLENGE"               "CHR",
        }
        server {
            ConnectionError                Error                    1   "ERROR",
            ConnectionAccept               Accept                   4   "ACCEPT",
            ConnectionReject               Reject                   6   "REJECT",
            ConnectionRedirect             Redirect                 7   "REDIRECT",
            ConnectionClosing              Closing                  8   "CLOSING",
            ConnectionClosed               Closed                   9   "CLOSED",
            ConnectionAuthTimeout          AuthTimeout              100 "AUTHENTICATION_TIMEOUT",
            ConnectionInvalidMessage       InvalidMessage           101 "INVALID_MESSAGE",
        }
    }

    Auth AuthAction {
        clients AuthRequest {
            AuthRequest                    Request                  2   Session      "REQUEST"                 "REQ",
        }
        server {
            AuthError                      Error                    1   "ERROR",
            AuthSuccessful                 Successful               3   "AUTH_SUCCESSFUL",
            AuthUnsuccessful               Unsuccessful             4   "AUTH_UNSUCCESSFUL",
            AuthTooManyAttempts            TooManyAttempts          100 "TOO_MANY_AUTH_ATTEMPTS",
            AuthInvalidMessage             InvalidMessage           101 "INVALID_MESSAGE",
            AuthInvalidMessageData         InvalidMessageData       102 "INVALID_MESSAGE_DATA",
        }
    }

    Event EventAction {
        clients EventRequest {
            EventEmit                      Emit                     2   Single       "EMIT"                    "EVT",
            EventSubscribe                 Subscribe                3   Subscribe    "SUBSCRIBE"               "S",
            EventUnsubscribe               Unsubscribe              4   Unsubscribe  "UNSUBSCRIBE"             "US",
            EventListen                    Listen                   5   Listen       "LISTEN"                  "L",
            EventUnlisten                  Unlisten                 6   Unlisten     "UNLISTEN"                "UL",
            EventListenAccept              ListenAccept             7   ListenAnswer "LISTEN_ACCEPT"           "LA",
            EventListenReject              ListenReject             8   ListenAnswer "LISTEN_REJECT"           "LR",
        }
        server {
            EventError                     Error                    1   "ERROR",
            EventHasProvider               HasProvider              9   "SUBSCRIPTION_HAS_PROVIDER",
            EventHasNoProvider             HasNoProvider            10  "SUBSCRIPTION_HAS_NO_PROVIDER",
            EventPatternFound              PatternFound             11  "SUBSCRIPTION_FOR_PATTERN_FOUND",
            EventPatternRemoved            PatternRemoved           12  "SUBSCRIPTION_FOR_PATTERN_REMOVED",
            EventInvalidListenRegex        InvalidListenRegex       100 "INVALID_LISTEN_REGEX",
            EventListenResponseTimeout     ListenResponseTimeout    101 "LISTEN_RESPONSE_TIMEOUT",
            EventListenUnsuccessful        ListenUnsuccessful       102 "LISTEN_UNSUCCESSFUL",
            EventPermissionError           PermissionError          103 "MESSAGE_PERMISSION_ERROR",
            EventDenied                    Denied                   104 "MESSAGE_DENIED",
            EventInvalidMessageData        InvalidMessageData       105 "INVALID_MESSAGE_DATA",
            EventMultipleSubscriptions     MultipleSubscriptions    106 "MULTIPLE_SUBSCRIPTIONS",
            EventNotSubscribed             NotSubscribed            107 "NOT_SUBSCRIBED",
        }
    }

    Record RecordAction {
        clients RecordRequest {
            RecordNotify                   Notify                   2   Bulk         "NOTIFY"                  "",
            RecordRead                     Read                     3   Single       "READ"                    "SN",
            RecordHead                     Head                     5   Single       "HEAD"                    "HD",
            RecordDelete                   Delete                   9   Single       "DELETE"                  "D",
            RecordCreateAndUpdate          CreateAndUpdate          16  Single       "CREATEANDUPDATE"         "CU",
            RecordCreateAndPatch           CreateAndPatch           17  Single       "CREATEANDPATCH"          "CU",
            RecordUpdate                   Update                   18  Single       "UPDATE"                  "U",
            RecordPatch                    Patch                    19  Single       "PATCH"                   "P",
            RecordErase                    Erase                    20  Single       "ERASE"                   "P",
            RecordSubscribeAndHead         SubscribeAndHead         21  Subscribe    "SUBSCRIBEANDHEAD"        "",
            RecordSubscribeAndRead         SubscribeAndRead         22  Subscribe    "SUBSCRIBEANDREAD"        "",
            RecordSubscribeCreateAndRead   SubscribeCreateAndRead   23  Subscribe    "SUBSCRIBECREATEANDREAD"  "CR",
            RecordSubscribe                Subscribe                25  Subscribe    "SUBSCRIBE"               "S",
            RecordUnsubscribe              Unsubscribe              26  Unsubscribe  "UNSUBSCRIBE"             "US",
            RecordListen                   Listen                   27  Listen       "LISTEN"                  "L",
            RecordUnlisten                 Unlisten                 28  Unlisten     "UNLISTEN"                "UL",
            RecordListenAccept             ListenAccept             29  ListenAnswer "LISTEN_ACCEPT"           "LA",
            RecordListenReject             ListenReject             30  ListenAnswer "LISTEN_REJECT"           "LR",
            RecordPatchMulti               PatchMulti               35  Single       "PATCH_MULTI"             "",
        }
        server {
            RecordError                    Error                    1   "ERROR",
            RecordReadResponse             ReadResponse             4   "READ_RESPONSE",
            RecordHeadResponse             HeadResponse             6   "HEAD_RESPONSE",
            RecordHeadBulk                 HeadBulk                 7   "HEAD_BULK",
            RecordHeadResponseBulk         HeadResponseBulk         8   "HEAD_RESPONSE_BULK",
            RecordDeleteSuccess            DeleteSuccess            10  "DELETE_SUCCESS",
            RecordDeleteBulk               DeleteBulk               11  "DELETE_BULK",
            RecordDeleteBulkSuccess        DeleteBulkSuccess        12  "DELETE_BULK_SUCCESS",
            RecordDeleted                  Deleted                  13  "DELETED",
            RecordWriteAcknowledgement     WriteAcknowledgement     14  "WRITE_ACKNOWLEDGEMENT",
            RecordCreate                   Create                   15  "CREATE",
            RecordSubscribeCreateAndUpdate SubscribeCreateAndUpdate 24  "SUBSCRIBECREATEANDUPDATE",
            RecordHasProvider              HasProvider              31  "SUBSCRIPTION_HAS_PROVIDER",
            RecordHasNoProvider            HasNoProvider            32  "SUBSCRIPTION_HAS_NO_PROVIDER",
            RecordPatternFound             PatternFound             33  "SUBSCRIPTION_FOR_PATTERN_FOUND",
            RecordPatternRemoved           PatternRemoved           34  "SUBSCRIPTION_FOR_PATTERN_REMOVED",
            RecordCacheRetrievalTimeout    CacheRetrievalTimeout    100 "CACHE_RETRIEVAL_TIMEOUT",
            RecordStorageRetrievalTimeout  StorageRetrievalTimeout  101 "STORAGE_RETRIEVAL_TIMEOUT",
            RecordVersionExists            VersionExists            102 "VERSION_EXISTS",
            RecordLoadError                LoadError                103 "RECORD_LOAD_ERROR",
            RecordCreateError              CreateError              104 "RECORD_CREATE_ERROR",
            RecordUpdateError              UpdateError              105 "RECORD_UPDATE_ERROR",
            RecordDeleteError              DeleteError              106 "RECORD_DELETE_ERROR",
            RecordNotFound                 NotFound                 107 "RECORD_NOT_FOUND",
            RecordInvalidVersion           InvalidVersion           108 "INVALID_VERSION",
            RecordInvalidPatchOnHotpath    InvalidPatchOnHotpath    109 "INVALID_PATCH_ON_HOTPATH",
            RecordInvalidListenRegex       InvalidListenRegex       110 "INVALID_LISTEN_REGEX",
            RecordListenResponseTimeout    ListenResponseTimeout    111 "LISTEN_RESPONSE_TIMEOUT",
            RecordListenUnsuccessful       ListenUnsuccessful       112 "LISTEN_UNSUCCESSFUL",
            RecordNotifyError              NotifyError              113 "RECORD_NOTIFY_ERROR",
            RecordPermissionError          PermissionError          114 "MESSAGE_PERMISSION_ERROR",
            RecordDenied                   Denied                   115 "MESSAGE_DENIED",
            RecordInvalidMessageData       InvalidMessageData       116 "INVALID_MESSAGE_DATA",
            RecordMultipleSubscriptions    MultipleSubscriptions    117 "MULTIPLE_SUBSCRIPTIONS",
            RecordNotSubscribed            NotSubscribed            118 "NOT_SUBSCRIBED",
        }
    }

    Rpc RpcAction {
        clients RpcRequest {
            RpcRequest                     Request                  2   Call         "REQUEST"                 "REQ",
            RpcAccept                      Accept                   4   Call         "ACCEPT"                  "A",
            RpcResponse                    Response                 5   Call         "RESPONSE"                "RES",
            RpcReject                      Reject                   6   Call         "REJECT"                  "REJ",
            RpcRequestError                RequestError             7   Call         "REQUEST_ERROR"           "E",
            RpcProvide                     Provide                  8   Bulk         "PROVIDE"                 "S",
            RpcUnprovide                   Unprovide                9   Bulk         "UNPROVIDE"               "US",
        }
        server {
            RpcError                       Error                    1   "ERROR",
            RpcNoProvider                  NoProvider               100 "NO_RPC_PROVIDER",
            RpcAcceptTimeout               AcceptTimeout            101 "ACCEPT_TIMEOUT",
            RpcMultipleAccept              MultipleAccept           102 "MULTIPLE_ACCEPT",
            RpcInvalidCorrelationId        InvalidCorrelationId     103 "INVALID_RPC_CORRELATION_ID",
            RpcResponseTimeout             ResponseTimeout          104 "RESPONSE_TIMEOUT",
            RpcMultipleResponse            MultipleResponse         105 "MULTIPLE_RESPONSE",
            RpcPermissionError             PermissionError          106 "MESSAGE_PERMISSION_ERROR",
            RpcDenied                      Denied                   107 "MESSAGE_DENIED",
            RpcInvalidMessageData          InvalidMessageData       108 "INVALID_MESSAGE_DATA",
            RpcMultipleProviders           MultipleProviders        109 "MULTIPLE_PROVIDERS",
            RpcNotProvided                 NotProvided              110 "NOT_PROVIDED",
        }
    }

    Presence PresenceAction {
        clients PresenceRequest {
            PresenceQueryAll               QueryAll                 2   Everybody    "QUERY_ALL"               "Q",
            PresenceQuery                  Query                    4   Bulk         "QUERY"                   "Q",
            PresenceSubscribe              Subscribe                10  Subscribe    "SUBSCRIBE"               "S",
            PresenceUnsubscribe            Unsubscribe              11  Unsubscribe  "UNSUBSCRIBE"             "US",
            PresenceSubscribeAll           SubscribeAll             12  Everybody    "SUBSCRIBE_ALL"           "S",
            PresenceUnsubscribeAll         UnsubscribeAll           13  UnsubscribeAll "UNSUBSCRIBE_ALL"         "US",
        }
        server {
            PresenceError                  Error                    1   "ERROR",
            PresenceQueryAllResponse       QueryAllResponse         3   "QUERY_ALL_RESPONSE",
            PresenceQueryResponse          QueryResponse            5   "QUERY_RESPONSE",
            PresenceJoin                   Join                     6   "PRESENCE_JOIN",
            PresenceJoinAll                JoinAll                  7   "PRESENCE_JOIN_ALL",
            PresenceLeave                  Leave                    8   "PRESENCE_LEAVE",
            PresenceLeaveAll               LeaveAll                 9   "PRESENCE_LEAVE_ALL",
            PresenceInvalidUsers           InvalidUsers             100 "INVALID_PRESENCE_USERS",
            PresencePermissionError        PermissionError          101 "MESSAGE_PERMISSION_ERROR",
            PresenceDenied                 Denied                   102 "MESSAGE_DENIED",
            PresenceMultipleSubscriptions  MultipleSubscriptions    103 "MULTIPLE_SUBSCRIPTIONS",
            PresenceNotSubscribed          NotSubscribed            104 "NOT_SUBSCRIBED",
        }
    }
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

    #[test]
    fn what_clients_say_is_what_has_a_kind() {
        for &action in Action::ALL {
            assert_eq!(action.request().is_some(), action.kind() != Kind::Server, "{action:?}");
            assert!(action.letters().is_empty() || action.request().is_some(), "{action:?}");
        }
    }

    #[test]
    fn actions_by_topic_are_the_bytes_that_actions_are() {
        assert_eq!(Action::RecordRead.by_topic(), ByTopic::Record(RecordAction::Read));
        assert_eq!(Action::RecordRead.request(), Some(Request::Record(RecordRequest::Read)));
        assert_eq!(RecordAction::NotSubscribed as u8, Action::RecordNotSubscribed as u8);
        assert_eq!(RecordRequest::Read as u8, Action::RecordRead as u8);
    }
}
