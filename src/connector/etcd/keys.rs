//! *Owns* the names of keys, and what the keys of a cluster say together. *Promises* that no two clusters or nodes share a key. *Does
//! not* talk to etcd.

use super::gateway::{Key, Pair};
use crate::registry::{Holder, Seen};
use std::collections::BTreeMap;

/// The keys of one cluster.
pub(super) struct Keys {
    folder: String,
}

/// A part of a key: no slash in it, so that it ends where it is taken to end.
fn part(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

fn name(part: &str) -> String {
    part.replace("%2F", "/").replace("%25", "%")
}

/// What the key of a node holds: which process, and which of its leases.
pub(super) fn held(incarnation: u64, grant: u32) -> String {
    format!("{incarnation:016x} {grant}")
}

/// The same, read.
pub(super) fn read_held(value: &[u8]) -> (u64, u32) {
    let read = |value| {
        let (incarnation, grant) = str::from_utf8(value).ok()?.split_once(' ')?;
        Some((u64::from_str_radix(incarnation, 16).ok()?, grant.parse().ok()?))
    };
    read(value).unwrap_or_default()
}

impl Keys {
    pub(super) fn new(cluster: &str) -> Self {
        Self { folder: format!("/deepstream/{}/", part(cluster)) }
    }

    /// All keys of the cluster.
    pub(super) fn all(&self) -> Key {
        Key::below(&self.folder)
    }

    pub(super) fn view(&self) -> Key {
        Key::of(&format!("{}view", self.folder))
    }

    pub(super) fn node(&self, name: &str) -> Key {
        Key::of(&format!("{}nodes/{}", self.folder, part(name)))
    }

    pub(super) fn about(&self, name: &str) -> Key {
        Key::of(&format!("{}about/{}", self.folder, part(name)))
    }

    /// What all keys of the cluster say.
    pub(super) fn seen(&self, pairs: &[Pair], known: u64) -> Seen {
        let mut seen = Seen { revision: 0, view: None, stamp: 0, holders: Vec::new() };
        let (mut nodes, mut abouts) = (BTreeMap::new(), BTreeMap::new());
        for pair in pairs {
            // Each key has a revision that it never had before, so their sequence is another one after each change; etcd gives them
            // in the order of their names.
            seen.stamp = (seen.stamp.rotate_left(5) ^ pair.revision).wrapping_mul(0x517c_c1b7_2722_0a95);
            let Some(key) = str::from_utf8(&pair.key).ok().and_then(|key| key.strip_prefix(&*self.folder)) else {
                continue;
            };
            if key == "view" {
                seen.revision = pair.revision;
                seen.view = Some(pair.value.clone()).filter(|_| pair.revision != known);
            } else if let Some(node) = key.strip_prefix("nodes/") {
                nodes.insert(name(node), read_held(&pair.value));
            } else if let Some(node) = key.strip_prefix("about/") {
                abouts.insert(name(node), pair.value.clone());
            }
        }
        seen.holders = nodes
            .into_iter()
            .map(|(name, (incarnation, grant))| {
                let about = abouts.remove(&name).unwrap_or_default();
                Holder { name, incarnation, grant, about }
            })
            .collect();
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_share_a_part() {
        for odd in ["a/b", "a%2Fb", "%", "%25", "%252F", "/", "nodes/a", "a b\u{e9}"] {
            assert_eq!(name(&part(odd)), odd);
            assert!(!part(odd).contains('/'));
        }
    }
}
