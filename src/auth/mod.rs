//! Who is let in.
//!
//! *Owns* the judgement of login data and the thread on which it waits: for a hash, a webhook, a disk, keys.
//! *Promises* one verdict for every login handed in, whatever happens; that no core waits for one; and that a way of
//! logging in which is slow delays nobody who does not use it. *Does not* read sockets or know sessions: the engine
//! asks, the core passes the answer on.
//!
//! Open login is answered on the core that asks. Everything else goes to one thread with an asynchronous runtime
//! (`logins`), where a login is a task: waiting costs it memory, not a thread. Hashing alone uses CPU for longer; it
//! has threads of its own, as many as the services have CPUs (`compute`).
//!
//! Strangers take turns at everything of which there is only so much: those threads, a webhook, the store (`turns`), and
//! the room for logins on their way (`shares`). Who is refused too often is judged late, then not (`guesses`).

mod combine;
mod compute;
mod counts;
mod fetch;
mod file;
mod guesses;
mod http;
mod jose;
mod jwt;
mod logins;
mod method;
mod open;
mod origin;
mod records;
mod shares;
mod storage;
mod turns;
mod verdict;

pub use counts::Counters;
pub use guesses::GuessLimits;
pub use logins::{Auth, Client, Options, Tools, start};
pub use method::{Judging, Method};
pub use records::StorageBell;
pub use verdict::{Accepted, Barred, Request, Verdict};
