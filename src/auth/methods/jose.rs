//! *Owns* what a token may look like, its signature aside (RFC 7515, 7519). *Promises* that a token which demands
//! something this server does not support is refused, and that none can be read in two ways: a name that occurs twice
//! in the header, or twice among the claims, is refused. *Does not* verify signatures.
//!
//! The `jsonwebtoken` crate ignores `crit`, by which a token lists extensions that must be understood. None is
//! understood here, so any token with `crit` is refused. Keys that a header brings or points to (`jwk`, `jku`, `x5c`,
//! `x5u`) are never used: only the operator chooses keys.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Header, decode_header};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::HashSet;
use std::fmt;

/// Whether this has the shape of a token: three parts that are not empty, of the letters of base64url.
pub(super) fn is_compact(text: &str) -> bool {
    let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let parts: Vec<&str> = text.splitn(4, '.').collect();
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && letters(part))
}

/// The header of a token, if it demands nothing that is not supported; else why not, for the log.
pub(super) fn header_of(token: &str) -> Result<Header, String> {
    if !is_compact(token) {
        return Err("it is not three parts of base64url with dots between them".to_owned());
    }
    let mut parts = token.split('.');
    let [head, claims] = [parts.next(), parts.next()].map(Option::unwrap_or_default);
    let names = names_of(head).map_err(|why| format!("its header: {why}"))?;
    names_of(claims).map_err(|why| format!("its claims: {why}"))?;
    for name in ["crit", "b64"] {
        if names.contains(name) {
            return Err(format!("its header says {name:?}, which demands what this server does not do"));
        }
    }
    decode_header(token).map_err(|error| format!("its header: {error}"))
}

fn names_of(part: &str) -> Result<HashSet<String>, String> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string())?;
    serde_json::from_slice::<Names>(&bytes).map(|names| names.0).map_err(|error| error.to_string())
}

/// The names of an object, each of which may stand there once.
struct Names(HashSet<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Names;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = HashSet::new();
                while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    if names.contains(&name) {
                        return Err(serde::de::Error::custom(format_args!("{name:?} stands there twice")));
                    }
                    names.insert(name);
                }
                Ok(Names(names))
            }
        }
        from.deserialize_map(Reader)
    }
}
