//! *Owns* the keys. *Promises* that two names never share one, that what this server keeps for itself is under no key of
//! a record, and that what a client can write is never read as a record of release 1. *Does not* talk to Redis.
//!
//! The last byte pair tells what a key is, and the rest is the name, so that no two names can share one. Release 1 had the
//! record `a` under the key `a`. The key of release 1 for a record called `b_d` would be the value of the record `b`, which
//! a client may write as it likes: so a name that ends like one of our keys has no key of release 1.

use crate::config::Redis as Settings;

/// Versions.
const VERSION: &[u8] = b"_v";
/// Values.
const DATA: &[u8] = b"_d";
/// What was drawn when a record was cached.
const STAMP: &[u8] = b"_g";
/// A hash, so that it is never read as a record. It ends like no key of a record.
const GUARDS: &str = "deepstream:guards";

/// See the module.
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { prefix: settings.key_prefix.clone() }
    }

    fn of(&self, name: &[u8], end: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), name, end].concat()
    }

    /// Where the version of a record is.
    pub(super) fn version(&self, name: &[u8]) -> Vec<u8> {
        self.of(name, VERSION)
    }

    /// Where its value is.
    pub(super) fn data(&self, name: &[u8]) -> Vec<u8> {
        self.of(name, DATA)
    }

    /// Where it is said by what to believe what is cached.
    pub(super) fn stamp(&self, name: &[u8]) -> Vec<u8> {
        self.of(name, STAMP)
    }

    /// Where release 1 had it, if it can have had it.
    pub(super) fn first_release(&self, name: &[u8]) -> Option<Vec<u8>> {
        let taken = [VERSION, DATA, STAMP].iter().any(|end| name.ends_with(end));
        (!taken).then(|| self.of(name, b""))
    }

    /// Where it is said who may write.
    pub(super) fn guards(&self) -> Vec<u8> {
        self.of(GUARDS.as_bytes(), b"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn no_two_names_share_a_key_and_none_has_the_guards() {
        for prefix in ["", "app:", "a_d"] {
            let keys = Keys::new(&Settings { key_prefix: prefix.to_owned(), ..Settings::default() });
            let mut names: Vec<Vec<u8>> = vec![b"deepstream:guards".to_vec(), b"deepstream:guards_v".to_vec()];
            for name in ["a", "_", "_v", "_d", "v", "d"] {
                for ends in ["", "_v", "_d", "_g", "_v_d", "_d_v", "_d_d", "_v_v", "_g_d"] {
                    names.push([name.as_bytes(), ends.as_bytes()].concat());
                }
            }
            names.sort();
            names.dedup();
            let mut taken: HashMap<Vec<u8>, &[u8]> = HashMap::new();
            for name in &names {
                for key in
                    [keys.version(name), keys.data(name), keys.stamp(name)].into_iter().chain(keys.first_release(name))
                {
                    // The guards are a hash, and a key of release 1 is a string.
                    assert!(key != keys.guards() || name == b"deepstream:guards", "{name:?} is kept in the guards");
                    assert_eq!(taken.insert(key, name), None, "{:?} shares a key", String::from_utf8_lossy(name));
                }
            }
        }
    }
}
