//! *Owns* the threads of services and their runtimes. *Promises* the life cycle described in the parent module. *Does
//! not* know what they do.

use crate::log::{Level, note};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::thread::{Builder, JoinHandle};
use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// Most helper threads of one service, for system calls that block, such as looking up host names.
const HELPERS_MAX: usize = 64;

/// Whether a thread runs on its CPUs; if not, why.
pub(crate) type Pinned = Result<(), String>;

/// The name of a service, and where it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'p> {
    /// Name of its thread, of which the kernel shows 15 bytes.
    pub(crate) name: &'p str,
    /// Name of its helper threads.
    pub(crate) helper: &'p str,
    /// Its CPUs; empty: wherever the kernel puts it.
    pub(crate) cpus: &'p [usize],
}

/// A runtime whose thread does not run yet.
pub(crate) struct Service {
    runtime: Runtime,
    name: String,
    cpus: Vec<usize>,
}

impl Service {
    pub(crate) fn new(plan: Plan<'_>) -> io::Result<Self> {
        let mut builder = runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().max_blocking_threads(HELPERS_MAX).thread_name(plan.helper).build()?;
        Ok(Self { runtime, name: plan.name.to_owned(), cpus: plan.cpus.to_vec() })
    }

    /// Spawns tasks on it, from any thread. They run once it is started.
    pub(crate) fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    /// Starts the thread. `main` is called on it and makes the future that is its life; that need not be [`Send`], and may
    /// spawn others on the thread that are not.
    pub(crate) fn start<F: Future<Output = ()>>(
        self,
        main: impl FnOnce(Pinned) -> F + Send + 'static,
    ) -> io::Result<Thread> {
        let Self { runtime, name, cpus } = self;
        let life = move |pinned| {
            LocalSet::new().block_on(&runtime, async move { main(pinned).await });
            // Drops the other tasks.
            runtime.shutdown_background();
        };
        let handle = worker(&name, &cpus, life)?;
        Ok(Thread { name, stop: None, handle: Some(handle) })
    }

    /// The same, for a future that can be dropped at any point: it ends when the thread is dropped.
    pub(crate) fn start_until_dropped<F: Future<Output = ()>>(
        self,
        main: impl FnOnce(Pinned) -> F + Send + 'static,
    ) -> io::Result<Thread> {
        let (stop, mut stopped) = oneshot::channel::<()>();
        let mut thread = self.start(move |pinned| async move {
            let mut main = pin!(main(pinned));
            std::future::poll_fn(|context| {
                if Pin::new(&mut stopped).poll(context).is_ready() {
                    return Poll::Ready(());
                }
                main.as_mut().poll(context)
            })
            .await;
        })?;
        thread.stop = Some(stop);
        Ok(thread)
    }
}

/// The running thread of a service. Dropped, it is waited for: a main future that is to end by itself must have been told so.
pub(crate) struct Thread {
    name: String,
    /// Tells a main future that does not end by itself; to be dropped.
    stop: Option<oneshot::Sender<()>>,
    handle: Option<JoinHandle<()>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(handle) = self.handle.take()
            && handle.join().is_err()
        {
            note(Level::Error, "INFO", &format!("the thread {} had ended early", self.name));
        }
    }
}

/// Starts a thread that waits for nothing but its own work: one that computes, or writes files.
pub(crate) fn worker(
    name: &str,
    cpus: &[usize],
    work: impl FnOnce(Pinned) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let cpus = cpus.to_vec();
    Builder::new().name(name.to_owned()).spawn(move || work(bind(&cpus)))
}

/// Binds the calling thread, and those it starts, to these CPUs.
fn bind(cpus: &[usize]) -> Pinned {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for &cpu in cpus {
        if cpu >= CpuSet::MAX_CPU {
            return Err("there is no such CPU".to_owned());
        }
        set.set(cpu);
    }
    sched_setaffinity(None, &set).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn service(cpus: &[usize]) -> Service {
        Service::new(Plan { name: "of-a-test", helper: "of-a-test-help", cpus }).unwrap()
    }

    /// Tells when it is dropped.
    struct Held(mpsc::Sender<&'static str>);

    impl Drop for Held {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    #[test]
    fn what_is_under_way_is_dropped_once_main_has_ended() {
        let (service, (tell, told)) = (service(&[]), mpsc::channel());
        let held = Held(tell);
        service.handle().spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = service.start(|_| async move { drop(stopped.await) }).unwrap();
        assert!(told.try_recv().is_err(), "it runs until main has ended");
        drop(stop);
        drop(thread);
        assert_eq!(told.try_recv(), Ok("dropped"), "and nothing is left once its thread has been waited for");
    }

    #[test]
    fn a_task_that_panics_ends_alone_and_what_it_held_is_dropped() {
        let (service, (tell, told)) = (service(&[]), mpsc::channel());
        let handle = service.handle();
        let thread = service.start_until_dropped(|_| std::future::pending()).unwrap();
        let held = Held(tell.clone());
        handle.spawn(async move {
            let _held = held;
            panic!("as planned");
        });
        assert_eq!(told.recv_timeout(PATIENCE), Ok("dropped"));
        handle.spawn(async move { tell.send("alive") });
        assert_eq!(told.recv_timeout(PATIENCE), Ok("alive"));
        drop(thread);
    }

    #[test]
    fn a_service_that_is_dropped_before_it_started_leaves_nothing() {
        let (service, (tell, told)) = (service(&[]), mpsc::channel());
        let held = Held(tell);
        service.handle().spawn(async move { drop(held) });
        drop(service);
        assert_eq!(told.try_recv(), Ok("dropped"));
    }

    #[test]
    fn main_is_told_whether_its_thread_runs_where_it_should() {
        for (cpus, is_well) in [(&[][..], true), (&[100_000], false)] {
            let (tell, told) = mpsc::channel();
            let thread = service(cpus).start(move |pinned| async move { tell.send(pinned.is_ok()).unwrap() }).unwrap();
            assert_eq!(told.recv_timeout(PATIENCE), Ok(is_well), "{cpus:?}");
            drop(thread);
        }
    }
}
