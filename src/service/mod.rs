//! What works beside the shards: it answers people and other programs, keeps records, judges logins, shows figures.
//!
//! *Owns* the threads of a running server that are no shard's, with the runtimes on them, and what wakes either side. *Promises*
//! that all of them begin, run and end in the one way that is written here. *Does not* know what a service does. The log alone
//! has a thread that is not started here: services write to it.
//!
//! ## What a service is
//!
//! A thread with a runtime of its own (`Service`), on the CPUs that the configuration gives to services. Services do not share
//! a thread, so that none waits for another: a login is judged while the embedded store blocks on a disk, and while somebody
//! reads figures. It is the kernel that divides the CPUs among them, and a thread that waits costs none. What computes for long,
//! such as a hash, has threads without a runtime (`worker`), so that it holds up not even its own service.
//!
//! ## Its life
//!
//! * **Start.** Its owner makes it, may spawn tasks on it, and starts it with its *main* future, which begins on the thread and
//!   is told whether that runs where it should.
//! * **Stop.** Its owner drops the `Thread`, which waits. A main future that leaves nothing undone is dropped where it stands
//!   (`start_until_dropped`); one that has to finish first, as storage, was told before, in a way of its own. Once main has ended,
//!   all other tasks are dropped where they stand. A server stops its shards first, then what shows figures, then
//!   authentication, which asks storage, and then storage.
//! * **Panic.** The program ends with the first one (`main.rs`). In another program, a task that panics ends alone. What it held is
//!   dropped, and so is, with main, everything on its thread: whoever owes a shard an answer gives it when he is dropped, or
//!   leaves an abandoned queue, which the shard takes for a failure. The shards go on, and once the server stops, the log says which
//!   thread it was.
//!
//! ## What shards hand over, and are handed
//!
//! A core never waits. It puts work into a queue whose other end the service has, and wakes it: with a runtime's own queue, or
//! where that is too slow by ringing a [`bell`], which costs one load while the service is awake. What comes of it goes into a
//! queue of that core, and only then is its [`Waker`] called.

pub(crate) mod bell;
pub mod process;
mod signals;
mod thread;

pub use signals::{Signal, on_signals};
pub(crate) use thread::{Pinned, Plan, Service, Thread, worker};

use std::sync::Arc;

/// Makes a core look at its answers. Called from threads of services, after the answers are there.
pub type Waker = Arc<dyn Fn() + Send + Sync>;
