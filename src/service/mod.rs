//! Services: the threads beside the shards, which keep records, judge logins and show figures.
//!
//! *Owns* all threads of a running server that are not shards, with their runtimes, and the means by which shards and
//! services wake each other. *Promises* that all of them start, run and end as described here. *Does not* know what a
//! service does. Only the thread of the log is not started here, because services write to the log.
//!
//! ## What a service is
//!
//! A thread with a runtime of its own (`Service`), on the CPUs that the configuration gives to services. Services do
//! not share a thread, so that none waits for another: a login is judged while the embedded store blocks on a disk, and
//! while somebody reads figures. The kernel divides the CPUs among them, and a waiting thread uses none. Long
//! computations, such as hashing, have threads without a runtime (`worker`), so that they do not hold up even their own
//! service.
//!
//! ## Its life
//!
//! * **Start.** Its owner makes it, may spawn tasks on it, and starts it with its *main* future, which begins on the thread and
//!   is told whether that runs where it should.
//! * **Stop.** Its owner drops the `Thread`, which waits. A main future that leaves nothing undone is dropped where it stands
//!   (`start_until_dropped`); one that has to finish first, as storage, was told before, in a way of its own. Once main has ended,
//!   all other tasks are dropped where they stand. A server stops its shards first, then what shows figures, then
//!   authentication, which asks storage, and then storage.
//! * **Panic.** The program ends with the first one (`main.rs`). In another program only the task that panics ends; if
//!   it is *main*, everything else on its thread is dropped too. A value that owes a shard an answer sends it when it
//!   is dropped, or its queue is abandoned, which the shard treats as a failure. The shards go on, and when the server
//!   stops the log says which thread panicked.
//!
//! ## What shards hand over, and are handed
//!
//! A core never waits. It puts work into a queue and wakes the service: through a queue of the runtime, which wakes by
//! itself, or where that is too slow by ringing a [`bell`], which costs one load while the service is awake. The answer
//! goes into a queue of that core, and then its [`Waker`] is called.

pub(crate) mod bell;
pub mod process;
mod signals;
mod thread;

pub use signals::{Signal, on_signals};
pub(crate) use thread::{Pinned, Plan, Service, Thread, worker};

use std::sync::Arc;

/// Makes a core look at its answers. Called from threads of services, after the answers are there.
pub type Waker = Arc<dyn Fn() + Send + Sync>;
