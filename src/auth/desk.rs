//! *Owns* the thread on which logins are judged, and every core's way to it and back. *Promises* that a core never
//! waits, that logins on their way are bounded in number and bytes (one more is refused at once), and an answer for
//! each of them, even if the thread goes away. *Does not* know how anybody is judged.

use super::combine::Chain;
use super::compute::Compute;
use super::open;
use super::records::{Records, StorageBell};
use super::verdict::Request;
use crate::config::AuthMethod;
use crate::log::{Level, note};
use crate::storage;
use bytes::Bytes;
use crossbeam::channel::{Receiver, Sender, unbounded};
use deepstream_engine::{ConnId, Headers, Login, Outcome, Peer};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};

/// Threads for looking up host names, which the system only does while the caller waits.
const LOOKUP_THREADS: usize = 64;
/// To a login that finds too many before it.
pub(super) const BUSY: &[u8] = br#"{"error":"too many logins are waiting, try again"}"#;
/// To a login that the server stops before it is judged.
const STOPPED: &[u8] = br#"{"error":"logins are not judged any more"}"#;

/// How to judge logins.
pub struct Options {
    /// Asked in this order.
    pub methods: Vec<AuthMethod>,
    /// Names of the request headers that webhooks are told, in lower case; empty: all.
    pub headers: Vec<String>,
    /// Logins of one shard that may be on their way.
    pub logins_max: usize,
    /// Bytes of their data.
    pub login_bytes_max: usize,
    /// Requests to one webhook at a time.
    pub webhooks_max: usize,
    /// How long storage may take for one read or write.
    pub storage_timeout: Duration,
    /// CPUs of the thread; empty: wherever the kernel puts it.
    pub cpus: Vec<usize>,
    /// Makes a core look at its answers; one per shard.
    pub wakers: Vec<storage::Waker>,
    /// The way to the store, if there is one, and what it was given to wake us.
    pub storage: Option<(storage::Client, StorageBell)>,
}

/// What is the same for all cores, and replaced by a reload.
struct Shared {
    chain: RwLock<Arc<Chain>>,
    /// Open login comes first: no login needs the thread.
    open: AtomicBool,
    /// Somebody wants to see request headers.
    wants_headers: AtomicBool,
    headers: Vec<String>,
}

impl Shared {
    fn put(&self, methods: &[AuthMethod], chain: Chain) {
        // Whoever is being judged keeps the old chain to the end.
        *self.chain.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(chain);
        self.open.store(matches!(methods.first(), Some(AuthMethod::Open) | None), Ordering::Release);
        let wanted = methods.iter().any(|method| matches!(method, AuthMethod::Http(_)));
        self.wants_headers.store(wanted, Ordering::Release);
    }
}

/// What ways of logging in need of the outside.
pub(super) struct Tools {
    pub(super) compute: Compute,
    pub(super) webhooks_max: usize,
    pub(super) storage_timeout: Duration,
    pub(super) records: Option<Records>,
}

/// A login on its way. Dropped unanswered, it answers that nobody judged it.
struct Ask {
    data: Bytes,
    peer: Arc<Peer>,
    reply: Reply,
}

struct Reply {
    conn: ConnId,
    bytes: usize,
    answers: Sender<Answer>,
    waker: storage::Waker,
    done: bool,
}

struct Answer {
    conn: ConnId,
    bytes: usize,
    login: Login,
}

impl Reply {
    fn send(mut self, login: Login) {
        self.answer(login);
    }

    fn answer(&mut self, login: Login) {
        self.done = true;
        // A core that is gone does not miss it.
        let _ = self.answers.send(Answer { conn: self.conn, bytes: self.bytes, login });
        (self.waker)();
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.done {
            self.answer(Login::Unjudged { client_data: STOPPED.into() });
        }
    }
}

/// One shard's way to the thread. Owned by its core.
pub struct Client {
    shared: Arc<Shared>,
    asks: mpsc::UnboundedSender<Ask>,
    answers_in: Sender<Answer>,
    answers: Receiver<Answer>,
    waker: storage::Waker,
    /// Logins on their way, and the bytes of their data.
    waiting: usize,
    waiting_bytes: usize,
    logins_max: usize,
    login_bytes_max: usize,
}

impl Client {
    /// The verdict, if it takes no waiting; else it comes with [`poll`](Self::poll).
    pub fn judge(&mut self, conn: ConnId, data: Bytes, peer: Arc<Peer>) -> Option<Login> {
        if self.shared.open.load(Ordering::Acquire) {
            return Some(open::open(&data));
        }
        let bytes = data.len();
        if self.waiting >= self.logins_max || self.waiting_bytes + bytes > self.login_bytes_max {
            return Some(Login::Unjudged { client_data: BUSY.into() });
        }
        self.waiting += 1;
        self.waiting_bytes += bytes;
        let (answers, waker) = (self.answers_in.clone(), self.waker.clone());
        let reply = Reply { conn, bytes, answers, waker, done: false };
        // If the thread is gone, dropping what was not sent answers it.
        drop(self.asks.send(Ask { data, peer, reply }));
        None
    }

    /// Whether [`poll`](Self::poll) would deliver something. A core looks once more before it sleeps.
    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Delivers the verdicts that are there.
    pub fn poll(&mut self, now: &mut impl FnMut(Outcome)) {
        while let Ok(Answer { conn, bytes, login }) = self.answers.try_recv() {
            self.waiting -= 1;
            self.waiting_bytes -= bytes;
            now(Outcome::Authenticated { conn, login });
        }
    }

    /// Of a request's headers, those that are to be kept until the login.
    pub fn headers_of<'h>(&self, headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> Headers {
        if !self.shared.wants_headers.load(Ordering::Acquire) {
            return Headers::default();
        }
        let wanted = &self.shared.headers;
        let listed = |name: &str| wanted.is_empty() || wanted.iter().any(|known| known == name);
        headers
            .filter(|(name, _)| listed(name))
            .map(|(name, value)| (name.into(), String::from_utf8_lossy(value).into()))
            .collect()
    }
}

/// The running thread.
pub struct Auth {
    /// One per shard, in order; to be taken by the cores.
    pub clients: Vec<Client>,
    shared: Arc<Shared>,
    tools: Arc<Tools>,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts judging logins.
pub fn start(options: Options) -> Result<Auth, String> {
    let Options { methods, headers, logins_max, login_bytes_max, webhooks_max, storage_timeout, .. } = options;
    let (cpus, wakers) = (options.cpus, options.wakers);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(LOOKUP_THREADS)
        .thread_name("auth-lookup")
        .build()
        .map_err(|error| error.to_string())?;
    let handle = runtime.handle().clone();
    let records = options.storage.map(|(client, bell)| Records::new(client, bell, &handle));
    let compute = Compute::start(&cpus).map_err(|error| error.to_string())?;
    let tools = Arc::new(Tools { compute, webhooks_max, storage_timeout, records });
    let chain = Chain::new(&methods, &tools)?;
    let shared = Arc::new(Shared {
        chain: RwLock::new(Arc::new(Chain::new(&[], &tools)?)),
        open: AtomicBool::new(false),
        wants_headers: AtomicBool::new(false),
        headers,
    });
    shared.put(&methods, chain);
    let (asks, mut to_judge) = mpsc::unbounded_channel::<Ask>();
    let client = |waker: storage::Waker| {
        let (answers_in, answers) = unbounded();
        let (shared, asks) = (shared.clone(), asks.clone());
        let (waiting, waiting_bytes) = (0, 0);
        Client { shared, asks, answers_in, answers, waker, waiting, waiting_bytes, logins_max, login_bytes_max }
    };
    let clients = wakers.into_iter().map(client).collect();
    let (stop, mut stopped) = oneshot::channel();
    let (for_thread, tools_of_thread) = (shared.clone(), tools.clone());
    let run = move || {
        if let Err(why) = crate::service::run_on(&cpus) {
            note(Level::Warn, "INFO", &format!("logins are judged on other CPUs than configured: {why}"));
        }
        runtime.block_on(async {
            current(&for_thread).warm_up();
            while let Some(ask) = next(&mut to_judge, &mut stopped).await {
                let (chain, tools) = (current(&for_thread), tools_of_thread.clone());
                tokio::spawn(async move {
                    let Ask { data, peer, reply } = ask;
                    let data = serde_json::from_slice(&data).unwrap_or_default();
                    reply.send(chain.judge(&Request::new(data, peer), &tools).await);
                });
            }
        });
        // Logins under way are dropped, which answers them; a host name being looked up is not waited for.
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("auth".into()).spawn(run).map_err(|error| error.to_string())?;
    Ok(Auth { clients, shared, tools, runtime: handle, stop: Some(stop), thread: Some(thread) })
}

fn current(shared: &Shared) -> Arc<Chain> {
    shared.chain.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The next login to judge; `None` once it is over.
async fn next(asks: &mut mpsc::UnboundedReceiver<Ask>, stopped: &mut oneshot::Receiver<()>) -> Option<Ask> {
    std::future::poll_fn(|context| {
        if std::pin::Pin::new(&mut *stopped).poll(context).is_ready() {
            return std::task::Poll::Ready(None);
        }
        asks.poll_recv(context)
    })
    .await
}

impl Auth {
    /// Builds what another configuration asks for, without using it yet. What it gives puts it in force, for all cores
    /// at once: a login is judged by the old ways or by the new ones, never by some of each.
    pub fn prepare(&self, methods: &[AuthMethod]) -> Result<impl FnOnce() + Send + use<>, String> {
        let _runtime = self.runtime.enter();
        let chain = Chain::new(methods, &self.tools)?;
        chain.inherit(&current(&self.shared));
        let (shared, methods) = (self.shared.clone(), methods.to_vec());
        let runtime = self.runtime.clone();
        Ok(move || {
            let _runtime = runtime.enter();
            chain.warm_up();
            shared.put(&methods, chain);
        })
    }
}

impl Drop for Auth {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            note(Level::Error, "INFO", "the thread that judges logins had ended early");
        }
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
