//! *Owns* the HTTP client with which webhooks and key servers are asked. *Promises* that an answer is bounded in time
//! and bytes, that only certificates which this machine trusts are accepted, and that nothing but open connections is
//! kept between requests. *Does not* know what is asked.

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
        // Proxies set in the environment (`HTTP_PROXY`) are meant for an operator's shell, not for a server.
        .no_proxy()
        .user_agent(concat!("deepstream/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| words(&error))
}

/// Reads the whole body.
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

/// An error with its causes, as one line.
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

/// An address for the log: user, password and query may be secrets.
pub(super) fn without_credentials(address: &str) -> String {
    let Ok(mut url) = reqwest::Url::parse(address) else { return "an address".to_owned() };
    let hidden = url.query().is_some();
    url.set_query(None);
    // This only fails for addresses without a host, which were refused before.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    if hidden { format!("{url}?…") } else { url.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_addresses_without_what_is_secret_in_them() {
        assert_eq!(without_credentials("https://example.com/login"), "https://example.com/login");
        assert_eq!(without_credentials("http://ann:secret@h:8080/a?key=secret"), "http://h:8080/a?…");
        assert_eq!(without_credentials("no address"), "an address");
    }
}
