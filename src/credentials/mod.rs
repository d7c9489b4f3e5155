//! What proves who somebody is: passwords as they are kept, and the keys that tokens are signed with.
//!
//! *Owns* hashing and keys, so that the configuration can refuse what no login could ever use. *Promises* that comparing
//! tells nobody how much of a guess was right. *Does not* judge a login: that is `auth`.

mod hash;
mod keys;

pub(crate) use hash::same;
pub use hash::{Digest, PasswordHash};
pub use keys::{KeySource, Keys};
