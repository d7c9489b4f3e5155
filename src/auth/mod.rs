//! Judges who may log in.
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
//! Whatever is limited is shared fairly between client addresses (`origin`), so that one that floods the server delays
//! only itself: they take turns at the hashing threads, at a webhook and at the store (`turns`), and each has its share
//! of the room for pending logins (`shares`). An address that is refused too often is judged late, then not at all
//! (`guesses`).

mod combine;
mod compute;
mod counts;
mod guesses;
mod logins;
mod method;
mod methods;
mod open;
mod origin;
mod passwords;
mod records;
mod settings;
mod shares;
mod turns;
mod verdict;

pub use counts::Counters;
pub use guesses::GuessLimits;
pub use logins::{Auth, Client, Options, Tools, start};
pub use method::{Judging, Method};
pub use records::StorageBell;
pub use settings::{AuthMethod, Settings};
pub use verdict::{Accepted, Barred, Request, Verdict};
