//! Who is let in.
//!
//! *Owns* the judgement of login data and the thread on which it waits: for a hash, a webhook, a disk, keys.
//! *Promises* one verdict for every login handed in, whatever happens; that no core waits for one; and that a way of
//! logging in which is slow delays nobody who does not use it. *Does not* read sockets or know sessions: the engine
//! asks, the core passes the answer on.
//!
//! Open login is answered on the core that asks. Everything else goes to one thread with an asynchronous runtime
//! (`desk`), where a login is a task: waiting costs it memory, not a thread. Hashing alone uses CPU for longer; it
//! has threads of its own, as many as the services have CPUs (`compute`).

mod combine;
mod compute;
mod desk;
mod fetch;
mod file;
mod hash;
mod http;
mod jose;
mod jwt;
mod keys;
mod open;
mod records;
mod storage;
mod verdict;

pub use desk::{Auth, Client, Options, start};
pub use hash::{Digest, PasswordHash};
pub use keys::Keys;
pub use records::StorageBell;
