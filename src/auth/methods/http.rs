//! *Owns* `type: http`: an HTTP server decides. *Promises* to send upstream's request and to read the answer as
//! upstream does; that a webhook which is down, slow, broken (any status of 500 and above) or answers nonsense leads to
//! "cannot be judged", after the configured retries, and never counts as a wrong password; that an acceptance which
//! names no user is a refusal unless configured otherwise; and that at most a fixed number of requests to it are under
//! way. *Does not* cache verdicts: every login is asked about.
//!
//! A permitted status without a body is accepted under no name, which upstream documents: such servers are written on
//! purpose. An object without an id, or with a null one, is what a server typically answers that looked for a user and
//! found none. Upstream lets it in as the user `OPEN`, which rules may allow a lot.

use super::fetch;
use crate::auth::logins::Tools;
use crate::auth::method::{Judging, Method};
use crate::auth::open::text_of_truthy;
use crate::auth::settings::Settings;
use crate::auth::turns::{Turn, Turns};
use crate::auth::verdict::{Accepted, Request, Verdict, id_of, is_truthy};
use crate::config::HttpAuth;
use crate::log::{Level, note};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::sleep;

const EXHAUSTED: &str = "AUTH_RETRY_ATTEMPTS_EXCEEDED";
/// What a client is told if the webhook's answer cannot be understood, or is a server error.
const BROKEN: &str = "AUTH_SERVER_ERROR";
/// Longest user id; a longer text is more likely an error page.
const ID_BYTES_MAX: usize = 1024;

/// See the module.
pub(super) struct Webhook {
    client: Client,
    settings: HttpAuth,
    promoted: Vec<(String, HeaderName)>,
    turns: Turns,
}

/// What a server answered.
struct Answer {
    status: StatusCode,
    body: Body,
}

enum Body {
    Empty,
    Text(String),
    Json(Value),
    /// Its content type is JSON, its body is not.
    Nonsense,
}

impl Settings for HttpAuth {
    fn description(&self) -> String {
        format!("http webhook to {}", fetch::without_credentials(&self.endpoint_url))
    }

    fn build(&self, tools: &Tools) -> Result<Arc<dyn Method>, String> {
        Ok(Arc::new(Webhook::new(self, tools.webhooks_max)?))
    }

    fn asks_elsewhere(&self) -> bool {
        true
    }
}

impl Method for Webhook {
    fn judge<'j>(&'j self, request: &'j Request, tools: &'j Tools) -> Judging<'j> {
        Box::pin(self.judge(request, tools))
    }

    fn wants_headers(&self) -> bool {
        true
    }
}

impl Webhook {
    fn new(settings: &HttpAuth, webhooks_max: usize) -> Result<Self, String> {
        let client = fetch::client(settings.request_timeout)?;
        let header = |name: &String| {
            HeaderName::from_bytes(name.as_bytes())
                .map(|header| (name.clone(), header))
                .map_err(|error| format!("promoteToHeader: {error}"))
        };
        let promoted = settings.promote_to_header.iter().map(header).collect::<Result<_, _>>()?;
        Ok(Self { client, settings: settings.clone(), promoted, turns: Turns::new(webhooks_max) })
    }

    async fn judge(&self, request: &Request, tools: &Tools) -> Option<Verdict> {
        let Ok(headers) = self.headers(&request.data) else {
            return Verdict::no(self.settings.report, Some("a field of the login cannot be a header"));
        };
        let body = body_of(request);
        for attempt in 0..=self.settings.retry_attempts {
            if attempt > 0 {
                // The turn was given back before this pause, so that another request can use it.
                sleep(self.settings.retry_interval).await;
            }
            let turn = self.turns.take(request.origin).await;
            if let Err(barred) = tools.admit(request) {
                return Some(Verdict::Barred(barred));
            }
            match self.ask(turn, headers.clone(), body.clone()).await {
                Err(error) => note(Level::Warn, "AUTH_ERROR", &format!("http auth error: {error}")),
                Ok(answer) => {
                    if answer.status.is_server_error() {
                        let text = format!("http auth server error: {}", answer.body.text());
                        note(Level::Warn, "AUTH_ERROR", &text);
                    }
                    if !self.settings.retry_status_codes.contains(&answer.status.as_u16()) {
                        return self.verdict(answer);
                    }
                }
            }
        }
        if !self.settings.report {
            let text = format!("http auth gave up after {} requests", u64::from(self.settings.retry_attempts) + 1);
            note(Level::Warn, "AUTH_ERROR", &text);
        }
        Some(Verdict::unable(self.settings.report, EXHAUSTED))
    }

    /// Fields of the login that are sent as headers too.
    fn headers(&self, data: &Value) -> Result<HeaderMap, reqwest::header::InvalidHeaderValue> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (field, name) in &self.promoted {
            if let Some(text) = data.get(field).and_then(text_of_truthy) {
                headers.insert(name.clone(), HeaderValue::from_str(&text)?);
            }
        }
        Ok(headers)
    }

    async fn ask(&self, _turn: Turn, headers: HeaderMap, body: Vec<u8>) -> Result<Answer, String> {
        let request = self.client.post(&self.settings.endpoint_url).headers(headers).body(body);
        let response = request.send().await.map_err(|error| fetch::words(&error))?;
        let status = response.status();
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_json = kind.is_some_and(|kind| kind.to_ascii_lowercase().contains("json"));
        let body = fetch::body(response).await?;
        Ok(Answer { status, body: Body::read(&body, is_json) })
    }

    fn verdict(&self, Answer { status, body }: Answer) -> Option<Verdict> {
        let report = self.settings.report;
        if !self.settings.permitted_status_codes.contains(&status.as_u16()) {
            let told = match body {
                Body::Text(text) | Body::Json(Value::String(text)) => Some(json!({ "error": text })),
                Body::Json(Value::Object(object)) if object.is_empty() => None,
                Body::Json(value @ (Value::Object(_) | Value::Array(_))) => Some(value),
                Body::Json(_) | Body::Empty | Body::Nonsense => None,
            };
            if status.is_server_error() {
                return Some(match told {
                    Some(told) => Verdict::Unable { told, last: report },
                    None => Verdict::unable(report, BROKEN),
                });
            }
            return report.then_some(Verdict::Refused(told));
        }
        match body {
            Body::Empty => Some(Verdict::Accepted(Accepted::default())),
            Body::Text(text) => Some(self.named(text)),
            Body::Json(value) => match id_of(&value) {
                Some(text) => Some(self.named(text)),
                None => self.account(&value),
            },
            Body::Nonsense => Some(self.nonsense("it says it is JSON and is not")),
        }
    }

    /// The verdict for a permitted answer that is nothing but the user's id.
    fn named(&self, id: String) -> Verdict {
        if id.len() > ID_BYTES_MAX || id.contains(char::is_control) {
            return self.nonsense("its text is no user id");
        }
        Verdict::Accepted(Accepted { id: Some(id), ..Accepted::default() })
    }

    /// The verdict for a permitted answer with a JSON body.
    fn account(&self, value: &Value) -> Option<Verdict> {
        let data = |key: &str| value.get(key).filter(|data| is_truthy(data)).cloned();
        // The body can still refuse: if `isValid` is there, only `true` accepts.
        if value.get("isValid").is_some_and(|valid| *valid != Value::Bool(true)) {
            return self.settings.report.then(|| Verdict::Refused(data("clientData")));
        }
        // Releases before 5 named the id `username`.
        let says_something = |id: &&Value| is_truthy(id) || id.is_number();
        let said = ["id", "username"].into_iter().filter_map(|key| value.get(key)).find(says_something);
        let id = said.and_then(id_of);
        if id.as_ref().is_some_and(|id| id.len() > ID_BYTES_MAX) {
            return Some(self.nonsense("its user id is too long"));
        }
        if id.is_none() && said.is_some() {
            return Some(self.nonsense("its user id is no text or number"));
        }
        if id.is_none() && !self.settings.id_optional {
            const NO_ID: &str = "the http auth server said yes and to whom it did not: nobody is let in; idOptional: true \
                                 among its options makes whoever has no id the user OPEN";
            note(Level::Warn, "AUTH_ERROR", NO_ID);
            return Verdict::no(self.settings.report, None);
        }
        let (client_data, server_data) = (data("clientData"), data("serverData"));
        Some(Verdict::Accepted(Accepted { id, client_data, server_data, token: data("token"), expiry: None }))
    }

    fn nonsense(&self, why: &str) -> Verdict {
        note(Level::Warn, "AUTH_ERROR", &format!("http auth answer makes no sense: {why}"));
        Verdict::unable(self.settings.report, BROKEN)
    }
}

impl Body {
    fn read(bytes: &[u8], is_json: bool) -> Self {
        if bytes.is_empty() {
            return Self::Empty;
        }
        // Without a content type, what looks like a JSON object is taken for one.
        if is_json || bytes.first() == Some(&b'{') {
            return serde_json::from_slice(bytes).map_or(Self::Nonsense, Self::Json);
        }
        Self::Text(String::from_utf8_lossy(bytes).into_owned())
    }

    fn text(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => Value::String(text.clone()).to_string(),
            Self::Json(value) => value.to_string(),
            Self::Nonsense => "no JSON".to_owned(),
        }
    }
}

/// The body of the request.
fn body_of(request: &Request) -> Vec<u8> {
    let peer = &request.peer;
    let headers: serde_json::Map<String, Value> =
        peer.headers.iter().map(|(name, value)| (name.to_string(), Value::from(&**value))).collect();
    let mut connection = json!({ "remoteAddress": &*peer.remote, "headers": headers });
    if !peer.referer.is_empty() {
        connection["referer"] = Value::from(&*peer.referer);
    }
    json!({ "connectionData": connection, "authData": request.data }).to_string().into_bytes()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
