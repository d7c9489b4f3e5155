//! *Owns* how this server asks others over HTTP. *Promises* that an answer is bounded in time and bytes, that only
//! certificates this machine trusts are, and that nothing is remembered between requests but connections. *Does not*
//! know what is asked.

use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use std::time::Duration;

/// Bytes of an answer; a verdict or a key set is far smaller.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Redirects that are followed, as upstream does.
const REDIRECTS_MAX: usize = 2;

/// A client whose requests take this long at most, from looking up the host to the last byte of the answer.
pub(super) fn client(timeout: Duration) -> Result<Client, String> {
    Client::builder()
        .timeout(timeout)
        .redirect(Policy::limited(REDIRECTS_MAX))
        // What an operator's shell says of proxies is not meant for this.
        .no_proxy()
        .user_agent(concat!("deepstream/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| words(&error))
}

/// The whole body.
pub(super) async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| words(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An error with its causes.
pub(super) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
