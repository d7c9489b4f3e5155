//! The keys by which a method of authentication says how its passwords are hashed, for all methods that have passwords.

use super::{Settling, entries, rows};
use crate::config::node::Node;
use crate::credentials::{Digest, PasswordHash};

/// More takes a CPU minutes for one login.
pub const ITERATIONS_MAX: u64 = 100_000_000;
/// Bytes; nobody needs more.
pub const KEY_LENGTH_MAX: u64 = 4096;

/// `hash`, `iterations` and `keyLength` as they were read, before it is known whether they fit together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RawHash {
    digest: Option<String>,
    pub(super) iterations: Option<u32>,
    pub(super) key_length: Option<usize>,
}

impl RawHash {
    /// Reads `hash`.
    pub(super) fn name(&mut self, node: &Node) -> Result<(), String> {
        self.digest = match node {
            // Upstream's manual has null or false for passwords in plain text.
            Node::Null | Node::Flag(false) => None,
            Node::Text(name) if Digest::from_name(name).is_some() => Some(name.clone()),
            _ => return Err(format!("false or the name of a hash: {}", Digest::names().join(", "))),
        };
        Ok(())
    }
}

impl Settling<'_> {
    pub(super) fn hash(&mut self, raw: &RawHash) -> Option<PasswordHash> {
        let digest = Digest::from_name(raw.digest.as_deref()?)?;
        self.demand("iterations");
        self.demand("keyLength");
        Some(PasswordHash { digest, iterations: raw.iterations?, key_length: raw.key_length? })
    }
}

/// Whether entries of this type have the key `hash`.
fn keeps_hashes(kind: &str) -> bool {
    let key = format!("auth[{kind}].options.hash");
    rows().any(|row| row.path == key)
}

/// How the first entry that keeps hashed passwords hashes them. Other faults of the section are ignored: this is asked
/// by the `hash` command, which may be run before the section is complete.
pub(crate) fn hashing(root: &Node) -> Result<Option<PasswordHash>, String> {
    for (_, entry) in entries(root) {
        let Some(options) = entry.get("options") else { continue };
        let kind = entry.get("type").and_then(Node::text).unwrap_or_default();
        let name = options.get("hash").map(Node::typed);
        let Some(Node::Text(name)) = name.filter(|_| keeps_hashes(&kind)) else { continue };
        let digest = Digest::from_name(&name).ok_or_else(|| {
            format!("auth.options.hash: {name} is the name of no hash; known are {}", Digest::names().join(", "))
        })?;
        let number = |key: &str, max: u64| match options.get(key).map(Node::typed) {
            Some(Node::Integer(number)) if u64::try_from(number).is_ok_and(|n| (1..=max).contains(&n)) => Ok(number),
            _ => Err(format!("auth.options.{key}: expected a whole number from 1 to {max} beside hash")),
        };
        let iterations = number("iterations", ITERATIONS_MAX)? as u32;
        let key_length = number("keyLength", KEY_LENGTH_MAX)? as usize;
        return Ok(Some(PasswordHash { digest, iterations, key_length }));
    }
    Ok(None)
}
