use super::*;
use crate::credentials::{Digest, KeySource, PasswordHash};

const HASH: &str = "rCOSZxJrgze2AZdVQh12c6ErDMOG0M+Rx5Yu7S5d91c=GS4SbTQYmoaGwjm2shEobg==";
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

fn methods(text: &str) -> Vec<AuthMethod> {
    good(text).config.auth
}

fn file(text: &str) -> FileAuth {
    first(text)
}

/// The settings of the first entry.
fn first<T: Clone + 'static>(text: &str) -> T {
    let methods = methods(text);
    methods[0].get::<T>().unwrap_or_else(|| panic!("{methods:?}")).clone()
}

/// A configuration beside a users file.
fn with_users(name: &str, options: &str, users: &str) -> (Scratch, Result<Loaded, ConfigErrors>) {
    let scratch = Scratch::new(name);
    scratch.write("users.yml", users);
    let text = format!("\nauth:\n  - type: file\n    options:\n{options}");
    let config = scratch.write("config.yml", &text);
    let loaded = read(&config, &text, &StartArguments::default(), &|_| None);
    (scratch, loaded)
}

#[test]
fn without_a_word_everybody_may_log_in() {
    assert_eq!(methods(""), [AuthMethod::open()]);
    assert_eq!(methods("auth: {type: none}"), [AuthMethod::open()]);
    assert_eq!(methods("auth: [{type: none}, null]"), [AuthMethod::open()]);
}

#[test]
fn users_are_read_with_their_data() {
    let users = "userA:\n  password: x\n  serverData: {role: admin}\n  clientData: 0\nuserB: {password: 'y'}\n";
    for options in [
        "      users: fileLoad(users.yml)\n",
        "      path: ./users.yml\n",
        "      path: users.yml\n      hash: false\n",
    ] {
        let (_scratch, loaded) = with_users("users", options, users);
        let loaded = loaded.unwrap();
        assert!(loaded.loaded[0].starts_with("Loaded content from "), "{:?}", loaded.loaded);
        let file: &FileAuth = loaded.config.auth[0].get().unwrap();
        assert_eq!((file.hash, file.report), (None, true));
        let mut users = file.users.clone();
        users.sort_by(|one, other| one.name.cmp(&other.name));
        let user = |name: &str, password: &str, server_data: Option<&str>| User {
            name: name.to_owned(),
            password: password.to_owned(),
            server_data: server_data.map(str::to_owned),
            client_data: None,
        };
        assert_eq!(users, [user("userA", "x", Some(r#"{"role":"admin"}"#)), user("userB", "y", None)]);
    }
}

#[test]
fn hashes_are_as_upstream_names_them() {
    let text = format!(
        "auth: {{type: file, options: {{users: {{a: {{password: {HASH}}}}}, hash: RSA-MD5, iterations: 100, keyLength: 32}}}}"
    );
    assert_eq!(file(&text).hash, Some(PasswordHash { digest: Digest::Md5, iterations: 100, key_length: 32 }));
    for unset in ["false", "null", "~"] {
        let text =
            format!("auth: {{type: file, options: {{users: {{a: {{password: b}}}}, hash: {unset}, iterations: 1}}}}");
        assert_eq!(file(&text).hash, None);
    }
}

#[test]
fn among_several_a_no_is_an_answer_only_where_asked_for() {
    let entry = |report: &str| format!("{{type: file, options: {{users: {{a: {{password: b}}}}{report}}}}}");
    let reports = |text: String| -> Vec<bool> {
        methods(&text).iter().map(|method| method.get::<FileAuth>().unwrap().report).collect()
    };
    let (unset, yes, no) =
        (entry(""), entry(", reportInvalidParameters: true"), entry(", reportInvalidParameters: false"));
    assert_eq!(reports(format!("auth: [{unset}]")), [true]);
    assert_eq!(reports(format!("auth: [{no}]")), [false]);
    assert_eq!(reports(format!("auth: [{unset}, {yes}, {no}]")), [false, true, false]);
}

#[test]
fn every_option_of_a_webhook_counts_and_old_files_have_fewer() {
    let text = "auth: [{type: http, options: {endpointUrl: 'https://a.b/c', permittedStatusCodes: [200, 201], \
                requestTimeout: 7, retryStatusCodes: [503], retryAttempts: 2, retryInterval: 9, promoteToHeader: [token], \
                reportInvalidParameters: true}}]";
    let http: HttpAuth = first(text);
    assert_eq!(http.endpoint_url, "https://a.b/c");
    assert_eq!((http.permitted_status_codes, http.retry_status_codes), (vec![200, 201], vec![503]));
    assert_eq!((http.request_timeout, http.retry_interval), (Duration::from_millis(7), Duration::from_millis(9)));
    assert_eq!((http.retry_attempts, http.promote_to_header, http.report), (2, vec!["token".to_owned()], true));
    let old = "auth: {type: http, options: {endpointUrl: 'http://h', permittedStatusCodes: [200], requestTimeout: 1}}";
    let http: HttpAuth = first(old);
    assert_eq!((http.retry_attempts, http.retry_interval, http.retry_status_codes), (0, Duration::ZERO, vec![]));
}

#[test]
fn tokens_have_one_source_of_keys() {
    let scratch = Scratch::new("jwt");
    scratch.write("key.pem", PUBLIC_KEY);
    let text = "auth: [{type: jwt, options: {publicKey: fileLoad(key.pem), algorithms: EdDSA, issuer: i, audience: [a, b], \
                clockTolerance: 0, tokenField: t, idClaim: user.id, serverDataClaims: [role], clientDataClaims: false, \
                requireExpiry: false, expiryWarning: 5, jwksRefreshInterval: 1000, requestTimeout: 9}}]";
    let config = scratch.write("config.yml", text);
    let loaded = read(&config, text, &StartArguments::default(), &|_| None).unwrap();
    let jwt: &JwtAuth = loaded.config.auth[0].get().unwrap();
    assert_eq!(jwt.keys, KeySource::Pem(PUBLIC_KEY.to_owned()));
    assert_eq!(jwt.id_claim, ["user", "id"]);
    assert_eq!((&jwt.server_data, &jwt.client_data), (&Claims::Some(vec!["role".to_owned()]), &Claims::None));
    assert_eq!((jwt.require_expiry, jwt.expiry_warning), (false, Duration::from_millis(5)));
    assert_eq!(jwt.audience, ["a", "b"]);
}

#[test]
fn what_cannot_work_is_refused_where_it_stands() {
    let file = |options: &str| format!("auth:\n - type: file\n   options: {{{options}}}\n");
    let jwt = |options: &str| format!("auth:\n - type: jwt\n   options: {{{options}}}\n");
    for (text, said) in [
        ("auth: [{type: file}]".to_owned(), "no users present in user file"),
        (file(""), "config.yml:3: auth[0].options: no users present in user file"),
        (file("users: {}"), "config.yml:3: auth[0].options.users: no users present"),
        (file("users: 7"), "expected a section with a user per key"),
        (file("users: {a: {}}"), "config.yml:3: auth[0].options.users.a.password: missing password for a"),
        (file("users: {a: {password: [7]}}"), "expected text, found a list"),
        (file("users: {a: x}"), "config.yml:3: auth[0].options.users.a: expected a section with a password"),
        (file("users: {a: {password: x, role: y}}"), "users.a.role: unknown key"),
        (file("users: {a: {password: x}}, hash: md5"), "Missing key iterations"),
        (file("users: {a: {password: x}}, hash: md6"), "false or the name of a hash: md5, sha1"),
        (
            file("users: {a: {password: x}}, hash: md5, iterations: 1, keyLength: 32"),
            "no password has this hash: it is shorter",
        ),
        (file("users: {a: {password: x}}, path: y"), "users and path are both given"),
        ("auth: [{type: http}]".to_owned(), "Missing key endpointUrl"),
        ("auth: [{type: http, options: {endpointUrl: a.b}}]".to_owned(), "an address that begins with http://"),
        ("auth: [{type: http, options: {permittedStatusCodes: [20]}}]".to_owned(), "a list of HTTP status codes"),
        ("auth: [{type: http, options: {promoteToHeader: ['a b']}}]".to_owned(), "names that can be HTTP headers"),
        ("auth: [{type: storage, options: {createUser: true}}]".to_owned(), "Missing key table"),
        (
            "auth: [{type: storage, options: {table: u}}]\nstorage: {type: memory}".to_owned(),
            "there is no storage to keep users in",
        ),
        (jwt(""), "tokens cannot be verified without a key"),
        (jwt("secret: a, jwksUrl: 'http://b'"), "only one of secret, publicKey, jwks and jwksUrl"),
        (jwt("secret: a, algorithms: [RS256]"), "this key fits none of the algorithms; it fits HS256, HS384, HS512"),
        (jwt("secret: a, algorithms: none"), "\"none\" is no algorithm for tokens"),
        (
            jwt("jwksUrl: 'http://b', algorithms: [RS9]"),
            "config.yml:3: auth[0].options.algorithms: \"RS9\" is no algorithm",
        ),
        (jwt("publicKey: x"), "this is not the PEM text of a public"),
        (jwt("publicKey: '-----BEGIN PRIVATE KEY-----'"), "this is a private key"),
        (jwt("jwks: {keys: []}"), "the key set has no key that can verify a token"),
        ("auth: [{type: oauth}]".to_owned(), "unknown type \"oauth\""),
    ] {
        let lines = bad(&text);
        assert!(lines.contains(said), "{text}\n{lines}");
    }
}

#[test]
fn what_is_wrong_with_a_users_file_is_told_by_its_line_and_column() {
    let options = "      users: fileLoad(users.yml)\n      hash: md5\n      iterations: 100\n      keyLength: 32\n";
    let users =
        format!("# users\nann:\n  password: {HASH}\nbob:\n  clientData: 1\n  password: short\ncid:\n  password:\n");
    let (scratch, loaded) = with_users("bad-users", options, &users);
    let said = loaded.unwrap_err().to_string();
    let at = |place: &str| format!("{}:{place}", scratch.path().join("users.yml").display());
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with(&at("6:3: bob.password: no password has this hash")), "{said}");
    assert!(lines[1].starts_with(&at("8:")) && lines[1].contains("cid.password: missing password"), "{said}");
    let (scratch, loaded) = with_users("broken-users", options, "ann:\n  password: [\n");
    let said = loaded.unwrap_err().to_string();
    let file = scratch.path().join("users.yml").display().to_string();
    assert!(said.starts_with(&file) && said.contains("cannot be parsed"), "{said}");
    let (_scratch, loaded) = with_users("no-users", "      path: nobody.yml\n", "");
    assert!(loaded.unwrap_err().to_string().contains(":5: Error loading config file, missing file"));
}

#[test]
fn the_shipped_users_are_those_of_the_manual() {
    let text = include_str!("../../conf/users.yml");
    let options = "      users: fileLoad(users.yml)\n      hash: md5\n      iterations: 100\n      keyLength: 32\n";
    let (_scratch, loaded) = with_users("shipped-users", options, text);
    let loaded = loaded.unwrap();
    let file: &FileAuth = loaded.config.auth[0].get().unwrap();
    assert_eq!(file.users[0].name, "userA");
    assert!(file.hash.unwrap().verify("password", &file.users[0].password));
}

#[test]
fn a_way_of_logging_in_is_a_file_and_a_row() {
    let text = "auth: [{type: none}, {type: toy, options: {word: please, reportInvalidParameters: true}}]";
    let methods = methods(text);
    let toy = methods[1].get::<ToyAuth>().unwrap();
    assert_eq!((toy.word.as_str(), toy.report), ("please", true));
    assert_eq!(methods[1].description(), "Toy");
    assert_eq!(methods[1], methods[1].clone());
    assert!(
        methods[1] != methods[0] && methods[1] != AuthMethod::of(ToyAuth { word: "now".to_owned(), ..toy.clone() })
    );
    for (text, said) in [
        (
            "\nauth:\n - type: toy\n   options: {wrod: please}",
            "config.yml:4: auth[0].options.wrod: unknown key; did you mean word?",
        ),
        ("auth: {type: toy, options: {word: please, users: {}}}", "config.yml:1: auth.options.users: unknown key"),
        (
            "auth: {type: tyo, options: {word: please}}",
            "config.yml:1: auth.type: unknown type \"tyo\"; did you mean toy?",
        ),
        ("auth: {type: toy, options: {}}", "config.yml:1: auth.options: Missing key word"),
    ] {
        let errors = bad(text);
        assert!(errors.lines().any(|line| line.contains(said)), "{text}: {errors}");
    }
}
