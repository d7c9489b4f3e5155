use super::*;
use deepstream_engine::Peer;
use std::sync::Arc;
use std::time::Duration;

fn webhook(report: bool) -> Webhook {
    with_ids(report, false)
}

fn with_ids(report: bool, id_optional: bool) -> Webhook {
    let settings = HttpAuth {
        endpoint_url: "http://localhost/".to_owned(),
        permitted_status_codes: vec![200],
        request_timeout: Duration::from_secs(1),
        promote_to_header: vec!["token".to_owned(), "number".to_owned()],
        id_optional,
        report,
        ..HttpAuth::default()
    };
    Webhook {
        client: fetch::client(settings.request_timeout).unwrap(),
        promoted: vec![
            ("token".to_owned(), HeaderName::from_static("token")),
            ("number".to_owned(), HeaderName::from_static("number")),
        ],
        settings,
        turns: Turns::new(1),
    }
}

fn answer(status: u16, kind: &str, body: &str) -> Answer {
    let body = Body::read(body.as_bytes(), kind == "json");
    Answer { status: StatusCode::from_u16(status).unwrap(), body }
}

fn unable(report: bool) -> Verdict {
    Verdict::unable(report, BROKEN)
}

fn accepted(id: Option<&str>, client_data: Option<Value>, server_data: Option<Value>) -> Verdict {
    Verdict::Accepted(Accepted { id: id.map(str::to_owned), client_data, server_data, ..Accepted::default() })
}

#[test]
fn permitted_answers_say_who_it_is_in_any_of_upstreams_forms() {
    let long = "x".repeat(1025);
    for (kind, body, verdict) in [
        ("text", "", accepted(None, None, None)),
        ("text", "ann", accepted(Some("ann"), None, None)),
        ("json", r#""ann""#, accepted(Some("ann"), None, None)),
        ("json", "7", accepted(Some("7"), None, None)),
        ("json", "0", accepted(Some("0"), None, None)),
        ("json", r#"{"id":"ann"}"#, accepted(Some("ann"), None, None)),
        ("json", r#"{"id":0}"#, accepted(Some("0"), None, None)),
        ("json", r#"{"id":null,"username":"old"}"#, accepted(Some("old"), None, None)),
        ("text", r#"{"id":"ann"}"#, accepted(Some("ann"), None, None)),
        ("json", r#"{"id":5,"token":""}"#, accepted(Some("5"), None, None)),
        (
            "json",
            r#"{"id":5,"token":"t"}"#,
            Verdict::Accepted(Accepted { id: Some("5".into()), token: Some(json!("t")), ..Accepted::default() }),
        ),
        ("json", r#"{"username":"old"}"#, accepted(Some("old"), None, None)),
        ("json", r#"{"id":"new","username":"old"}"#, accepted(Some("new"), None, None)),
        (
            "json",
            r#"{"id":"a","clientData":{"b":1},"serverData":[2]}"#,
            accepted(Some("a"), Some(json!({ "b": 1 })), Some(json!([2]))),
        ),
        ("json", r#"{"id":"a","clientData":null,"serverData":0}"#, accepted(Some("a"), None, None)),
        ("json", r#"{"id":"a","isValid":true}"#, accepted(Some("a"), None, None)),
        ("json", r#"{"id":"a","isValid":"yes"}"#, Verdict::Refused(None)),
        ("json", r#"{"isValid":false,"clientData":"no"}"#, Verdict::Refused(Some(json!("no")))),
        ("json", r#"{"id":{}}"#, unable(true)),
        ("json", r#"{"id":["ann"]}"#, unable(true)),
        ("json", "{nonsense", unable(true)),
        ("text", "{nonsense", unable(true)),
        ("text", "<html>\n<body>", unable(true)),
        ("text", &long, unable(true)),
    ] {
        assert_eq!(webhook(true).verdict(answer(200, kind, body)), Some(verdict), "{kind} {body}");
    }
    assert_eq!(webhook(false).verdict(answer(200, "json", r#"{"isValid":false}"#)), None);
    assert_eq!(webhook(false).verdict(answer(200, "json", "{nonsense")), Some(unable(false)));
}

/// Typical answers of a server that looked for a user and found none.
#[test]
fn a_yes_that_does_not_say_to_whom_lets_in_nobody_unless_configured() {
    for body in [
        "{}",
        r#"{"id":null}"#,
        r#"{"id":""}"#,
        r#"{"id":null,"clientData":{"a":1}}"#,
        r#"{"id":false}"#,
        r#"{"isValid":true}"#,
        "null",
        "true",
        "[]",
        r#""""#,
    ] {
        assert_eq!(webhook(true).verdict(answer(200, "json", body)), Some(Verdict::Refused(None)), "{body}");
        assert_eq!(webhook(false).verdict(answer(200, "json", body)), None, "{body}");
        let told = with_ids(true, true).verdict(answer(200, "json", body));
        assert!(matches!(&told, Some(Verdict::Accepted(Accepted { id: None, .. }))), "{body}: {told:?}");
    }
}

#[test]
fn other_statuses_refuse_with_what_they_say() {
    for (kind, body, told) in [
        ("text", "", None),
        ("text", "go away", Some(json!({ "error": "go away" }))),
        ("json", "{}", None),
        ("json", r#"{"why":1}"#, Some(json!({ "why": 1 }))),
        ("json", r#"{"id":"ann","isValid":true}"#, Some(json!({ "id": "ann", "isValid": true }))),
        ("json", "{nonsense", None),
    ] {
        for status in [401, 201, 429] {
            let verdict = webhook(true).verdict(answer(status, kind, body));
            assert_eq!(verdict, Some(Verdict::Refused(told.clone())), "{status} {body}");
            assert_eq!(webhook(false).verdict(answer(status, kind, body)), None);
        }
        for (status, last) in [(500, true), (502, false), (503, true)] {
            let verdict = webhook(last).verdict(answer(status, kind, body));
            let unable = told.clone().map_or_else(|| unable(last), |told| Verdict::Unable { told, last });
            assert_eq!(verdict, Some(unable), "{status} {body}");
        }
    }
}

#[test]
fn the_server_is_told_where_a_login_comes_from() {
    let headers = [("cookie", "a=b"), ("x-forwarded-for", "1.2.3.4")];
    let headers = headers.map(|(name, value)| (name.into(), value.into())).into();
    let peer = Peer { remote: "127.0.0.1".into(), referer: "http://page".into(), headers, ..Peer::default() };
    let request = Request::new(json!({ "username": "ann" }), Arc::new(peer));
    let body: Value = serde_json::from_slice(&body_of(&request)).unwrap();
    let connection = json!({
        "remoteAddress": "127.0.0.1",
        "headers": { "cookie": "a=b", "x-forwarded-for": "1.2.3.4" },
        "referer": "http://page",
    });
    assert_eq!(body, json!({ "connectionData": connection, "authData": { "username": "ann" } }));
    let request = Request::new(json!({}), Arc::new(Peer { remote: "::1".into(), ..Peer::default() }));
    let body: Value = serde_json::from_slice(&body_of(&request)).unwrap();
    assert_eq!(body["connectionData"], json!({ "remoteAddress": "::1", "headers": {} }));
}

#[test]
fn promoted_fields_are_headers_if_they_can_be() {
    let headers = |data: Value| webhook(true).headers(&data);
    let told = headers(json!({ "token": "t", "number": 7, "other": "x" })).unwrap();
    assert_eq!((&told["token"], &told["number"], told.len()), (&"t".parse().unwrap(), &"7".parse().unwrap(), 3));
    assert_eq!(headers(json!({ "token": "" })).unwrap().len(), 1);
    assert!(headers(json!({ "token": "a\r\nx-admin: yes" })).is_err());
}
