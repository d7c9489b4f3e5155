use super::*;
use deepstream_engine::Peer;
use jsonwebtoken::{Algorithm, EncodingKey, encode};
use serde_json::json;

const SECRET: &str = "a secret that nobody knows";
const HOUR: u64 = 3600;

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

fn settings(keys: KeySource) -> JwtAuth {
    JwtAuth { keys, ..JwtAuth::default() }
}

fn secret() -> JwtAuth {
    settings(KeySource::Secret(SECRET.to_owned()))
}

fn signed(header: &Header, key: &EncodingKey, claims: &Value) -> String {
    encode(header, claims, key).unwrap()
}

/// A token of `claims`, signed with the secret.
fn token(claims: &Value) -> String {
    signed(&Header::new(Algorithm::HS256), &EncodingKey::from_secret(SECRET.as_bytes()), claims)
}

fn judged(settings: &JwtAuth, token: &str) -> Option<Verdict> {
    let tokens = Arc::new(Tokens::new(settings).unwrap());
    verdict(&tokens, json!({ "token": token }))
}

fn verdict(tokens: &Arc<Tokens>, data: Value) -> Option<Verdict> {
    let request = Request::new(data, Arc::new(Peer::default()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tokens.judge(&request))
}

fn accepted(settings: &JwtAuth, token: &str) -> Accepted {
    match judged(settings, token) {
        Some(Verdict::Accepted(accepted)) => accepted,
        other => panic!("{other:?}"),
    }
}

fn refused(settings: &JwtAuth, token: &str) -> String {
    match judged(settings, token) {
        Some(Verdict::Refused(Some(told))) => told["error"].as_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn good_claims() -> Value {
    json!({ "sub": "ann", "exp": now() + HOUR })
}

#[test]
fn every_kind_of_key_verifies_what_its_private_half_signed() {
    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
    let ec = EncodingKey::from_ec_pem(EC_PRIVATE.as_bytes()).unwrap();
    let ed = EncodingKey::from_ed_pem(ED_PRIVATE.as_bytes()).unwrap();
    for (algorithm, key, public, id) in [
        (Algorithm::RS256, &rsa, RSA_PUBLIC, "rsa"),
        (Algorithm::PS384, &rsa, RSA_PUBLIC, "rsa"),
        (Algorithm::ES256, &ec, EC_PUBLIC, "ec"),
        (Algorithm::EdDSA, &ed, ED_PUBLIC, "ed"),
    ] {
        let pem = || settings(KeySource::Pem(public.to_owned()));
        let set = || settings(KeySource::Jwks(SET.to_owned()));
        let plain = signed(&Header::new(algorithm), key, &good_claims());
        let named = signed(&Header { kid: Some(id.to_owned()), ..Header::new(algorithm) }, key, &good_claims());
        let misnamed = signed(&Header { kid: Some("enc".to_owned()), ..Header::new(algorithm) }, key, &good_claims());
        for (settings, token) in [(pem(), &plain), (pem(), &named), (set(), &plain), (set(), &named)] {
            assert_eq!(accepted(&settings, token).id.as_deref(), Some("ann"), "{algorithm:?}");
        }
        assert_eq!(refused(&set(), &misnamed), INVALID);
        let broken =
            format!("{}x.{}", &plain[..plain.rfind('.').unwrap() - 1], &plain[plain.rfind('.').unwrap() + 1..]);
        assert_eq!(refused(&pem(), &broken), INVALID);
    }
    let oct = EncodingKey::from_secret(b"shared secret of the set");
    let token = signed(&Header::new(Algorithm::HS512), &oct, &good_claims());
    assert_eq!(accepted(&settings(KeySource::Jwks(SET.to_owned())), &token).id.as_deref(), Some("ann"));
    let fetched = Keys::of_set(SET, &[], false).unwrap();
    assert!(fetched.candidates(&Header::new(Algorithm::HS512)).next().is_none(), "nobody far away chooses secrets");
    assert_eq!((fetched.len(), fetched.has("rsa"), fetched.has("enc"), fetched.has("oct")), (3, true, false, false));
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let forged = EncodingKey::from_secret(RSA_PUBLIC.as_bytes());
    let token = signed(&Header::new(Algorithm::HS256), &forged, &good_claims());
    assert_eq!(refused(&settings(KeySource::Pem(RSA_PUBLIC.to_owned())), &token), INVALID);
    assert_eq!(refused(&settings(KeySource::Jwks(SET.to_owned())), &token), INVALID);
}

#[test]
fn a_token_without_a_signature_or_shape_is_refused() {
    // {"alg":"none"} . {"sub":"ann","exp":99999999999} .
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJleHAiOjk5OTk5OTk5OTk5fQ.";
    let good = token(&good_claims());
    let cut = &good[..good.len() - 3];
    for token in [unsigned, cut, "", ".", "..", "a.b.c", "ü.ü.ü", &"a".repeat(60_000)] {
        assert_eq!(refused(&secret(), token), INVALID, "{token}");
    }
}

#[test]
fn times_are_held_to_with_the_tolerance_of_clocks() {
    let at = |claim: &str, seconds: i64| {
        let mut claims = good_claims();
        claims[claim] = json!(now() as i64 + seconds);
        token(&claims)
    };
    assert_eq!(refused(&secret(), &at("exp", -20)), EXPIRED);
    let just = accepted(&secret(), &at("exp", -2));
    assert!(just.expiry.unwrap().in_ns <= 4_000_000_000, "{just:?}");
    assert_eq!(refused(&secret(), &at("nbf", 20)), INVALID);
    accepted(&secret(), &at("nbf", 2));
    let without = token(&json!({ "sub": "ann" }));
    assert_eq!(refused(&secret(), &without), INVALID);
    assert_eq!(accepted(&JwtAuth { require_expiry: false, ..secret() }, &without).expiry, None);
    assert_eq!(refused(&JwtAuth { require_expiry: false, ..secret() }, &at("exp", -20)), EXPIRED);
    let expiry = accepted(&secret(), &at("exp", 100)).expiry.unwrap();
    let seconds = expiry.in_ns / 1_000_000_000;
    assert!((103..=105).contains(&seconds), "{seconds}");
    assert_eq!(expiry.warning_ns, 60_000_000_000);
    for odd in [json!("soon"), json!(-1), json!(1e300), json!(null)] {
        let claims = json!({ "sub": "ann", "exp": odd });
        let verdict = judged(&secret(), &token(&claims));
        let far = Some(3_200_000_000_u64 * 1_000_000_000);
        let accepted = matches!(&verdict, Some(Verdict::Accepted(a)) if a.expiry.map(|e| e.in_ns) == far);
        assert!(accepted || matches!(verdict, Some(Verdict::Refused(_))), "{claims}: {verdict:?}");
    }
}

#[test]
fn issuer_and_audience_are_demanded_where_configured() {
    let demanding = || JwtAuth { issuer: vec!["us".into()], audience: vec!["here".into(), "there".into()], ..secret() };
    let claims = |iss: Value, aud: Value| token(&json!({ "sub": "ann", "exp": now() + HOUR, "iss": iss, "aud": aud }));
    accepted(&demanding(), &claims(json!("us"), json!("there")));
    accepted(&demanding(), &claims(json!("us"), json!(["x", "here"])));
    assert_eq!(refused(&demanding(), &claims(json!("them"), json!("here"))), INVALID);
    assert_eq!(refused(&demanding(), &claims(json!("us"), json!("x"))), INVALID);
    assert_eq!(refused(&demanding(), &token(&good_claims())), INVALID);
    accepted(&secret(), &claims(json!("them"), json!("x")));
}

#[test]
fn claims_become_what_they_are_mapped_to() {
    let claims = json!({
        "sub": "ann", "exp": now() + HOUR, "role": "chief", "https://a.b/id": 7, "user": { "id": "u1" },
        "clientData": { "theme": "dark" },
    });
    let token = token(&claims);
    let plain = accepted(&secret(), &token);
    assert_eq!(plain.id.as_deref(), Some("ann"));
    assert_eq!((plain.server_data, plain.client_data), (Some(claims), Some(json!({ "theme": "dark" }))));
    let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    let mapped = accepted(
        &JwtAuth {
            id_claim: path("user.id"),
            server_data: Claims::Some(vec!["role".into(), "absent".into()]),
            client_data: Claims::None,
            ..secret()
        },
        &token,
    );
    assert_eq!(mapped.id.as_deref(), Some("u1"));
    assert_eq!((mapped.server_data, mapped.client_data), (Some(json!({ "role": "chief" })), None));
    let dotted = accepted(&JwtAuth { id_claim: path("https://a.b/id"), ..secret() }, &token);
    assert_eq!(dotted.id.as_deref(), Some("7"));
    assert_eq!(refused(&JwtAuth { id_claim: path("nobody"), ..secret() }, &token), INVALID);
}

#[test]
fn among_several_a_bad_token_is_left_to_the_next() {
    assert_eq!(judged(&JwtAuth { report: false, ..secret() }, "x"), None);
    let missing = JwtAuth { token_field: "jwt".into(), ..secret() };
    assert_eq!(refused(&missing, "x"), "missing authentication parameter: jwt");
}

/// A token whose parts are these texts, signed with the secret as they stand there.
fn raw(header: &str, claims: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// RFC 7515, 4.1.11: what is listed there is to be understood, or the token refused. RFC 7797: what is signed is another
/// text.
#[test]
fn a_header_that_demands_more_than_is_done_here_is_refused() {
    let claims = good_claims().to_string();
    accepted(&secret(), &raw(r#"{"alg":"HS256","typ":"JWT","unknown":{"a":1}}"#, &claims));
    for header in [
        r#"{"alg":"HS256","crit":["http://example.com/must"],"http://example.com/must":true}"#,
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":["alg"]}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","crit":"exp"}"#,
        r#"{"alg":"HS256","\u0063rit":["exp"]}"#,
        r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"HS256","b64":false}"#,
    ] {
        assert_eq!(refused(&secret(), &raw(header, &claims)), INVALID, "{header}");
    }
}

#[test]
fn a_name_that_stands_twice_means_nothing() {
    let claims = good_claims().to_string();
    for header in
        [r#"{"alg":"none","alg":"HS256"}"#, r#"{"alg":"HS256","alg":"HS256"}"#, r#"{"alg":"HS256","x":1,"x":2}"#]
    {
        assert_eq!(refused(&secret(), &raw(header, &claims)), INVALID, "{header}");
    }
    let exp = now() + HOUR;
    for claims in [
        format!(r#"{{"sub":"ann","exp":{exp},"sub":"root"}}"#),
        format!(r#"{{"sub":"ann","exp":1,"exp":{exp}}}"#),
        format!(r#"{{"sub":"ann","exp":{exp},"role":"user","r\u006fle":"admin"}}"#),
        format!(r#"[{{"sub":"ann","exp":{exp}}}]"#),
    ] {
        assert_eq!(refused(&secret(), &raw(r#"{"alg":"HS256"}"#, &claims)), INVALID, "{claims}");
    }
}

#[test]
fn only_the_letters_of_base64url_are_a_token() {
    let good = token(&good_claims());
    let at = good.find('.').unwrap();
    for bad in [
        format!(" {good}"),
        format!("{good}\n"),
        format!("{} {}", &good[..at], &good[at..]),
        format!("{}\t{}", &good[..3], &good[3..]),
        format!("{good}="),
        format!("{good}."),
        format!("{good}.{good}"),
        good.replacen('.', "..", 1),
        format!("Bearer {good}"),
    ] {
        assert_eq!(refused(&secret(), &bad), INVALID, "{bad:?}");
    }
}

#[test]
fn keys_that_a_token_brings_along_are_not_looked_at() {
    let own = EncodingKey::from_secret(b"the forger's own");
    for extra in [
        r#""jwk":{"kty":"oct","k":"dGhlIGZvcmdlcidzIG93bg"}"#,
        r#""jku":"http://127.0.0.1:1/keys","kid":"x""#,
        r#""x5u":"http://127.0.0.1:1/cert""#,
        r#""x5c":["AAAA"]"#,
        r#""kid":"../../../dev/null""#,
    ] {
        let with = raw(&format!(r#"{{"alg":"HS256",{extra}}}"#), &good_claims().to_string());
        accepted(&secret(), &with);
        let message = &with[..with.rfind('.').unwrap()];
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &own, Algorithm::HS256).unwrap();
        assert_eq!(refused(&secret(), &format!("{message}.{signature}")), INVALID, "{extra}");
        assert_eq!(refused(&settings(KeySource::Jwks(SET.to_owned())), &with), INVALID, "{extra}");
    }
}

#[test]
fn a_time_that_is_no_number_is_never_taken_for_none() {
    for require_expiry in [true, false] {
        let settings = JwtAuth { require_expiry, ..secret() };
        for odd in ["\"9999999999\"", "null", "-1", "1e400", "[9999999999]", "{\"a\":1}", "true"] {
            for claim in ["exp", "nbf"] {
                let exp = if claim == "exp" { String::new() } else { format!(r#""exp":{},"#, now() + HOUR) };
                let claims = format!(r#"{{"sub":"ann",{exp}"{claim}":{odd}}}"#);
                assert_eq!(refused(&settings, &raw(r#"{"alg":"HS256"}"#, &claims)), INVALID, "{claims}");
            }
        }
        let half = format!(r#"{{"sub":"ann","exp":{}.5}}"#, now() + HOUR);
        accepted(&settings, &raw(r#"{"alg":"HS256"}"#, &half));
    }
}

#[test]
fn the_user_is_a_text_or_a_number() {
    let sub = |sub: Value| token(&json!({ "sub": sub, "exp": now() + HOUR }));
    assert_eq!(accepted(&secret(), &sub(json!(0))).id.as_deref(), Some("0"));
    for odd in [json!({}), json!(["ann"]), json!(true), json!(""), json!(null)] {
        assert_eq!(refused(&secret(), &sub(odd)), INVALID);
    }
}

/// MQTT has a user name and a password.
#[test]
fn a_token_may_come_as_the_password() {
    let tokens = Arc::new(Tokens::new(&secret()).unwrap());
    let good = token(&good_claims());
    for data in [json!({ "username": "whoever", "password": good }), json!({ "password": good })] {
        assert!(matches!(verdict(&tokens, data), Some(Verdict::Accepted(a)) if a.id.as_deref() == Some("ann")));
    }
    let told = |data| match verdict(&tokens, data) {
        Some(Verdict::Refused(Some(told))) => told["error"].as_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(json!({ "username": "ann", "password": "a.b.c" })), INVALID);
    assert_eq!(told(json!({ "token": "x", "password": good })), INVALID, "the field of the token comes first");
    assert_eq!(told(json!({ "username": "ann", "password": "no token" })), format!("{MISSING}token"));
}

#[test]
fn without_keys_nobody_is_judged() {
    let away = JwtAuth { keys: KeySource::Url("http://127.0.0.1:1/keys".to_owned()), ..JwtAuth::default() };
    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
    let signed = signed(&Header::new(Algorithm::RS256), &rsa, &good_claims());
    let unable = |verdict: Option<Verdict>| match verdict {
        Some(Verdict::Unable { told, last }) => (told["error"].as_str() == Some(NO_KEYS)).then_some(last),
        _ => None,
    };
    assert_eq!(unable(judged(&away, &signed)), Some(true));
    assert_eq!(unable(judged(&JwtAuth { report: false, ..away.clone() }, &signed)), Some(false));
    assert_eq!(refused(&away, &token(&good_claims())), INVALID, "no key server gives shared secrets");
    assert_eq!(refused(&away, "nonsense"), INVALID);
}

const RSA_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCuf5AMfCqz7TZO\n\
3Icp4MxoCb5hi2mMatIHuU/NBnJRyOx83acR+XWypcwA88QAzP+6Oc7vz+QjAIiM\n\
47PZVYhwpZuCni0P7vPQBR+LQn+GfqoQNcxioBpWr8aiB5Q56kF4vZuR7sIutlwS\n\
YdYSR1Qw2/E8JXyjzDiXWQAElmKFG36Lfw06PqDhyxNJ1xugyVhORmN9Nj34Xl5H\n\
ZGrufA48OZGSSzgAb7YeseHZH70GFsZiOfwuuxq0y7Uib5BZ0USb0EqXCZIg33Vn\n\
MHpuY1230wPJHrXGUsJB4S/mcUYFqFwm42ONTsdOBffKHn36gcycybJo+nuk3FCo\n\
fYQnUUJPAgMBAAECggEAG9U8+hYpZDRHSqI3l6EY+X8/CVAIsIeuozdrrcguyTIY\n\
hnzUU972ZwhgVxvf/OtgiX5Zrjv6p5qY1+AkpQXU6CLXgH4PsfrrPhg9xSNWM/MA\n\
LUBng/5a384ptgPUy2gSCVrfoDyfvH5Z2+oUZdX6wnr9KhrQm/p3DFel08Ao9ryo\n\
OZCBQj2mEP1ltb7Y06IvmMpx8ZS8Ke3ITcoTMW4md3+lSouINTbfr1eBPvw+y7sP\n\
ThjYXC8KpdNR4HWW1WLhc9eOssQ8v4hacIKbOZaSqvAInhZNz5HEMoM+EuNsApso\n\
uyzqKzeSILyBBfh1N094FgeZIljT6Rb7BpckWtWQAQKBgQDoLa6vwUBGCA6uqIoE\n\
xUgvK19detXnSyrm2ysayOgNnh1MtmNJqhflzD5UG77/f96xmC9sPwu47k6YDIS8\n\
fc9X/Mm4n/i7bwT6X2leOXuPjgaQ9bZ+4bUFg1nL8Xp6i/x+wy2LUOkE6PH8awQP\n\
skZjeiax93xYaZpyRUcY+xbYXwKBgQDAZt+klszHrxJNb0uwAT41RpMrM1Kt9VEP\n\
kFhf7ipnqbdA88mxMUWJ5oUsA3KO1LykwsnhtP1SHQD5Vf7k1NjgDGOA/nBT/XvN\n\
wIksfuspjgrsu6l9ioEKe/7i5Hhjnxyyhi8u5Ng9nrYow5K2QVNT12lsFeKvuSl5\n\
WmiRIe2cEQKBgGTjpOrecM19ptOijQbxqyJEGJaIT/bHpQbX6e0jrCJuuJCjGJXk\n\
AaprjBIEVIS1zdEiLkk9RBzCAQj1N6CokrbLM+S0LuNTpLgfSawWEmkY8CWBgCG2\n\
dnDE2PpUHkKuHbP/oATPzdHCX5St8//WGdwUMkhXIINSsDhDfleOlCjFAoGBAKLk\n\
9iflPM87HCXPOqdzBfYZIHSM6U06yzyAGzJs9B38BJjLTlHkw1kzgEB5Ur42wthD\n\
yqR7lZW11KNE+Z9Hza4zDvOhd/zEOdNDVWAEvJjcF8fCQod1gjccL/ptMLg3eBZ1\n\
oPD081eITfVJT6dau2/aivjltpzMCZ8iujFWJlPhAoGBANre+nrVr4D0Y0K6Lo8u\n\
dX8Fu0JpMB6+BRUh+d9OiXeUcarok8wJLteELbwfLeyEFEnUZfQqsyIc6jzm0AFr\n\
I5rA3Jm5OJfIP0pPNNNGimKSARvQAgj5FlpOs1kb3Z6/mxpARTRkdr31QqHbwBtj\n\
zI2rSDONcEPMdE+irnZljswv\n\
-----END PRIVATE KEY-----\n";
const RSA_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArn+QDHwqs+02TtyHKeDM\n\
aAm+YYtpjGrSB7lPzQZyUcjsfN2nEfl1sqXMAPPEAMz/ujnO78/kIwCIjOOz2VWI\n\
cKWbgp4tD+7z0AUfi0J/hn6qEDXMYqAaVq/GogeUOepBeL2bke7CLrZcEmHWEkdU\n\
MNvxPCV8o8w4l1kABJZihRt+i38NOj6g4csTSdcboMlYTkZjfTY9+F5eR2Rq7nwO\n\
PDmRkks4AG+2HrHh2R+9BhbGYjn8LrsatMu1Im+QWdFEm9BKlwmSIN91ZzB6bmNd\n\
t9MDyR61xlLCQeEv5nFGBahcJuNjjU7HTgX3yh59+oHMnMmyaPp7pNxQqH2EJ1FC\n\
TwIDAQAB\n\
-----END PUBLIC KEY-----\n";
const EC_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5sQySoImYfakiIZB\n\
vRe5rYk+njsIM78xUW/GjclvbtehRANCAARxLVwwT8aB4pFJ46kLJyQil5uWFObo\n\
1jVkH4Xn19A4dMiJPAUINH0GDkl68kK0mkxNO2uyIEKTH2YJqKRp/8Nn\n\
-----END PRIVATE KEY-----\n";
const EC_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcS1cME/GgeKRSeOpCyckIpeblhTm\n\
6NY1ZB+F59fQOHTIiTwFCDR9Bg5JevJCtJpMTTtrsiBCkx9mCaikaf/DZw==\n\
-----END PUBLIC KEY-----\n";
const ED_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MC4CAQAwBQYDK2VwBCIEIPE4Q7iMQdzzt0HAFX4Vmljb1dsi5dqyvjSsZ5A4ADA/\n\
-----END PRIVATE KEY-----\n";
const ED_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MCowBQYDK2VwAyEAdtR2ohxD2bQq38Q0NNW2mcmelTXrEyE+Xd5VohYxnCY=\n\
-----END PUBLIC KEY-----\n";
const SET: &str = r#"{"keys":[{"kty":"RSA","n":"rn-QDHwqs-02TtyHKeDMaAm-YYtpjGrSB7lPzQZyUcjsfN2nEfl1sqXMAPPEAMz_ujnO78_kIwCIjOOz2VWIcKWbgp4tD-7z0AUfi0J_hn6qEDXMYqAaVq_GogeUOepBeL2bke7CLrZcEmHWEkdUMNvxPCV8o8w4l1kABJZihRt-i38NOj6g4csTSdcboMlYTkZjfTY9-F5eR2Rq7nwOPDmRkks4AG-2HrHh2R-9BhbGYjn8LrsatMu1Im-QWdFEm9BKlwmSIN91ZzB6bmNdt9MDyR61xlLCQeEv5nFGBahcJuNjjU7HTgX3yh59-oHMnMmyaPp7pNxQqH2EJ1FCTw","e":"AQAB","kid":"rsa","use":"sig"},{"kty":"EC","x":"cS1cME_GgeKRSeOpCyckIpeblhTm6NY1ZB-F59fQOHQ","y":"yIk8BQg0fQYOSXryQrSaTE07a7IgQpMfZgmopGn_w2c","crv":"P-256","kid":"ec"},{"crv":"Ed25519","x":"dtR2ohxD2bQq38Q0NNW2mcmelTXrEyE-Xd5VohYxnCY","kty":"OKP","kid":"ed","alg":"EdDSA"},{"kty":"oct","k":"c2hhcmVkIHNlY3JldCBvZiB0aGUgc2V0","kid":"oct"},{"kty":"EC","x":"4sISX5oQ1YIbM6jT91yaKpHXjHVxyvYbcfkxXpYeSwrIt0BAL4CnS80wXY-BwPHx","y":"9zZXOrusZ2QEiCdFVk67F801RDekY8hF5wUOuAMBgDEQ5n_DtF897OlX1Q_Ln6Mk","crv":"P-384","kid":"enc","use":"enc"},{"kty":"unknown","kid":"x"}]}"#;
