//! *Owns* keys that tokens are verified with. *Promises* that a key is only ever used with algorithms of its own kind
//! (a public key is never taken for a shared secret), and that `none` is no algorithm. *Does not* fetch or read files.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header};
use std::str::FromStr;

/// Where the keys of tokens are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// Not configured.
    #[default]
    Missing,
    /// A shared secret.
    Secret(String),
    /// A public key or certificate as PEM text.
    Pem(String),
    /// A JSON Web Key Set as JSON text.
    Jwks(String),
    /// A JSON Web Key Set to be fetched.
    Url(String),
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

impl Keys {
    /// The keys of a source that is not fetched; `algorithms` empty: all that fit them.
    pub fn of(source: &KeySource, algorithms: &[String]) -> Result<Self, String> {
        match source {
            KeySource::Missing | KeySource::Url(_) => Self::check_algorithms(algorithms).map(|()| Self::default()),
            KeySource::Secret(secret) if secret.is_empty() => Err("the secret is empty".to_owned()),
            KeySource::Secret(secret) => Self::one(DecodingKey::from_secret(secret.as_bytes()), algorithms),
            KeySource::Pem(text) => Self::one(of_pem(text)?, algorithms),
            KeySource::Jwks(text) => Self::of_set(text, algorithms, true),
        }
    }

    /// Whether these are names of algorithms.
    pub fn check_algorithms(algorithms: &[String]) -> Result<(), String> {
        named(algorithms).map(drop)
    }

    fn one(key: DecodingKey, algorithms: &[String]) -> Result<Self, String> {
        let algorithms = fitting(key.family().algorithms(), &named(algorithms)?);
        if algorithms.is_empty() {
            let fit: Vec<_> = key.family().algorithms().iter().map(|fit| format!("{fit:?}")).collect();
            return Err(format!("this key fits none of the algorithms; it fits {}", fit.join(", ")));
        }
        Ok(Self(vec![Key { id: None, algorithms, decoding: key }]))
    }

    /// The usable keys of a JSON Web Key Set. Keys for something else, or of kinds unknown here, are passed over;
    /// shared secrets are too unless `secrets`: the server behind a URL must not choose them.
    pub(crate) fn of_set(text: &str, algorithms: &[String], secrets: bool) -> Result<Self, String> {
        let allowed = named(algorithms)?;
        let set: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("no key set: {error}"))?;
        let Some(keys) = set.get("keys").and_then(serde_json::Value::as_array) else {
            return Err("no key set: it has no list `keys`".to_owned());
        };
        let known = keys.iter().filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
        let keys: Vec<Key> = known.filter_map(|key| of_jwk(&key, &allowed, secrets)).collect();
        if keys.is_empty() {
            return Err("the key set has no key that can verify a token".to_owned());
        }
        Ok(Self(keys))
    }

    /// Whether there is a key of this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys with which a token of this header may be signed, all of which allow its algorithm.
    pub(crate) fn candidates<'k>(&'k self, header: &'k Header) -> impl Iterator<Item = &'k DecodingKey> {
        self.0
            .iter()
            .filter(|key| key.algorithms.contains(&header.alg))
            // A key without an id, such as one of a PEM file, is tried for all tokens.
            .filter(|key| key.id.is_none() || header.kid.is_none() || key.id == header.kid)
            .map(|key| &key.decoding)
    }
}

fn named(algorithms: &[String]) -> Result<Vec<Algorithm>, String> {
    let algorithm = |name: &String| {
        Algorithm::from_str(name).map_err(|_| {
            format!(
                "{name:?} is no algorithm for tokens; there are HS256, HS384, HS512, RS256, RS384, RS512, PS256, \
                 PS384, PS512, ES256, ES384 and EdDSA"
            )
        })
    };
    algorithms.iter().map(algorithm).collect()
}

/// The algorithms that fit a key and are allowed; an empty list allows all.
fn fitting(fit: &[Algorithm], allowed: &[Algorithm]) -> Vec<Algorithm> {
    fit.iter().copied().filter(|algorithm| allowed.is_empty() || allowed.contains(algorithm)).collect()
}

fn of_pem(text: &str) -> Result<DecodingKey, String> {
    if text.contains("PRIVATE KEY") {
        return Err("this is a private key; give the public one, the private one stays with who signs".to_owned());
    }
    let pem = text.as_bytes();
    DecodingKey::from_rsa_pem(pem)
        .or_else(|_| DecodingKey::from_ec_pem(pem))
        .or_else(|_| DecodingKey::from_ed_pem(pem))
        .map_err(|_| "this is not the PEM text of a public RSA, EC or Ed25519 key".to_owned())
}

fn of_jwk(jwk: &Jwk, allowed: &[Algorithm], secrets: bool) -> Option<Key> {
    let common = &jwk.common;
    let for_else = matches!(&common.public_key_use, Some(purpose) if *purpose != PublicKeyUse::Signature)
        || matches!(&common.key_operations, Some(operations) if !operations.contains(&KeyOperations::Verify));
    if for_else {
        return None;
    }
    let fit: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms(),
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => &[Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => &[Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
        AlgorithmParameters::OctetKey(_) if secrets => AlgorithmFamily::Hmac.algorithms(),
        _ => return None,
    };
    let own: Vec<Algorithm> = match common.key_algorithm {
        Some(algorithm) => vec![Algorithm::try_from(algorithm).ok()?],
        None => Vec::new(),
    };
    let algorithms = fitting(&fitting(fit, &own), allowed);
    let decoding = DecodingKey::from_jwk(jwk).ok()?;
    (!algorithms.is_empty()).then(|| Key { id: common.key_id.clone(), algorithms, decoding })
}
