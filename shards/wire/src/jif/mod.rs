//! JSON bodies of the HTTP API: a batch of requests to messages, their answers to one body (docs/http-api.md §3).
//!
//! *Owns* the shape of both. *Promises* that every reason for a refusal names what is wrong with which entry, and that an
//! answer finds its entry: the correlation id of a message is the index of its entry. *Does not* know HTTP.

mod read;
mod write;

pub use read::{Batch, Post, check_body, login};
pub use write::Answers;

/// What is answered to a call of which the server heard nothing in time.
pub const TIMED_OUT: &str = r#"{"success":false,"error":"Request exceeded timeout before a response was received.","errorTopic":"connection","errorEvent":"HTTP_REQUEST_TIMEOUT"}"#;
/// What is answered to an entry that the server has no time left for.
pub const STOPPING: &str = r#"{"success":false,"error":"The server closed the request before a response was received.","errorTopic":"connection","errorEvent":"HTTP_REQUEST_CLOSED"}"#;
/// What is answered to an entry whose answer no longer fits.
pub const TOO_LARGE: &str = r#"{"success":false,"error":"The response to this request is too large.","errorTopic":"connection","errorEvent":"HTTP_RESPONSE_TOO_LARGE"}"#;
