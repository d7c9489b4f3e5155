//! Hashed passwords, and the keys that tokens are signed with.
//!
//! *Owns* hashing and keys, apart from `auth`, so that the configuration can check them too. *Promises* that the time
//! of a comparison does not reveal how much of a guess was right. *Does not* judge a login: that is `auth`.

mod hash;
mod keys;

pub(crate) use hash::same;
pub use hash::{Digest, PasswordHash};
pub use keys::{KeySource, Keys};
