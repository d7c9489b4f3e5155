//! JSON bodies of the HTTP API: a batch of requests to messages, their answers to one body (docs/http-api.md §3).
//!
//! *Owns* the shape of both. *Promises* that every refusal says what is wrong with which entry, and that answers are
//! assigned to their entries: the correlation id of a message is the index of its entry. *Does not* know HTTP.

mod read;
mod write;

pub use read::{Batch, Post, check_body, login};
pub use write::Answers;

/// The answer to a call that got no response in time.
pub const TIMED_OUT: &str = r#"{"success":false,"error":"Request exceeded timeout before a response was received.","errorTopic":"connection","errorEvent":"HTTP_REQUEST_TIMEOUT"}"#;
/// The answer to an entry when the server is stopping.
pub const STOPPING: &str = r#"{"success":false,"error":"The server closed the request before a response was received.","errorTopic":"connection","errorEvent":"HTTP_REQUEST_CLOSED"}"#;
/// The answer to an entry whose answer no longer fits.
pub const TOO_LARGE: &str = r#"{"success":false,"error":"The response to this request is too large.","errorTopic":"connection","errorEvent":"HTTP_RESPONSE_TOO_LARGE"}"#;
