//! *Owns* the thread on which logins are judged, and the queues between it and the cores. *Promises* that a core never
//! waits; that pending logins are bounded in number and bytes, and that above the bounds the address with the most of
//! them loses its latest; that a login which nobody waits for any more is dropped at whatever point it is; and that
//! every other login is answered, even if the thread ends. *Does not* know how logins are judged.

use super::combine::Chain;
use super::compute::Compute;
use super::counts::{Counters, Counts};
use super::guesses::{GuessLimits, Guesses, Weighed};
use super::method::Method;
use super::open;
use super::origin::Origin;
use super::records::{Records, StorageBell};
use super::settings::AuthMethod;
use super::shares::Shares;
use super::verdict::{Answer as Told, Barred, Request, Verdict};
use crate::log::{Level, note, note_from};
use crate::proxies::Network;
use crate::service::{Pinned, Plan, Service, Thread, Waker};
use crate::storage;
use bytes::Bytes;
use crossbeam::channel::{Receiver, Sender, unbounded};
use deepstream_engine::{Completion, ConnId, Headers, Login, Peer};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// The answer to a login for which there is no room.
pub(super) const BUSY: &[u8] = br#"{"error":"too many logins are waiting, try again"}"#;
/// The answer to a login that the server did not judge before it stopped.
const STOPPED: &[u8] = br#"{"error":"logins are not judged any more"}"#;

/// How to judge logins.
pub struct Options {
    /// Asked in this order.
    pub methods: Vec<AuthMethod>,
    /// Names of the request headers that webhooks are told, in lower case; empty: all.
    pub headers: Vec<String>,
    /// Pending logins of one shard.
    pub logins_max: usize,
    /// Bytes of their data.
    pub login_bytes_max: usize,
    /// How many logins may be refused.
    pub guesses: GuessLimits,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<Network>,
    /// Requests to one webhook at a time.
    pub webhooks_max: usize,
    /// How long storage may take for one read or write.
    pub storage_timeout: Duration,
    /// Bytes of the name of a record, as those of users are.
    pub name_bytes_max: usize,
    /// CPUs of the thread; empty: wherever the kernel puts it.
    pub cpus: Vec<usize>,
    /// Wake a core so that it looks at its answers; one per shard.
    pub wakers: Vec<Waker>,
    /// The way to the store, if there is one, and what it was given to wake us.
    pub storage: Option<(storage::Client, StorageBell)>,
    /// Methods that the program brought, by name.
    pub members: HashMap<String, Arc<dyn Method>>,
}

/// What all cores share; a reload replaces parts of it.
struct Shared {
    chain: RwLock<Arc<Chain>>,
    /// The first method is open login, so no login needs the thread.
    open: AtomicBool,
    /// Some method looks at request headers.
    wants_headers: AtomicBool,
    headers: Vec<String>,
    counts: Counts,
}

impl Shared {
    fn put(&self, chain: Chain) {
        let (open, wants_headers) = (chain.is_open(), chain.wants_headers());
        // Logins that are being judged keep the old chain to the end.
        *self.chain.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(chain);
        self.open.store(open, Ordering::Release);
        self.wants_headers.store(wants_headers, Ordering::Release);
    }
}

/// What methods may use beside the login itself: hashing threads, HTTP client, store, guess counts.
pub struct Tools {
    pub(super) compute: Compute,
    pub(super) webhooks_max: usize,
    pub(super) storage_timeout: Duration,
    pub(super) name_bytes_max: usize,
    pub(super) records: Option<Records>,
    pub(super) members: HashMap<String, Arc<dyn Method>>,
    guesses: Mutex<Guesses>,
    proxies: Vec<Network>,
    began: Instant,
}

impl Tools {
    /// The method that the program brought under this name.
    pub(super) fn member(&self, name: &str) -> Option<Arc<dyn Method>> {
        self.members.get(name).cloned()
    }

    fn guesses(&self) -> (MutexGuard<'_, Guesses>, u64) {
        // Starts at 1, because 0 stands for "never".
        let now_ms = 1 + self.began.elapsed().as_millis() as u64;
        (self.guesses.lock().unwrap_or_else(PoisonError::into_inner), now_ms)
    }

    fn request(&self, data: &[u8], peer: Arc<Peer>) -> Request {
        let mut request = Request::new(serde_json::from_slice(data).unwrap_or_default(), peer);
        request.tried = Some(self.guesses().0.tried(request.origin, request.user().as_deref(), data));
        request
    }

    fn weigh(&self, request: &Request) -> Weighed {
        let (guesses, now_ms) = self.guesses();
        request.tried.as_ref().map_or(Weighed::Now, |tried| guesses.weigh(tried, now_ms))
    }

    /// Whether a login is still to be judged. To be asked again after a login has waited: others of its address may
    /// have been refused meanwhile.
    pub fn admit(&self, request: &Request) -> Result<(), Barred> {
        match self.weigh(request) {
            Weighed::Never(until) => Err(Barred(until)),
            Weighed::Now | Weighed::Late(_) => Ok(()),
        }
    }

    fn count(&self, request: &Request, verdict: Option<&Verdict>, ways: usize) {
        let Some(tried) = &request.tried else { return };
        let (mut guesses, now_ms) = self.guesses();
        if request.is_guess(verdict, ways) && guesses.refused(tried, now_ms) {
            let remote = &request.peer.remote;
            note_from(Level::Warn, "TOO_MANY_AUTH_ATTEMPTS", &not_judged(remote, &self.proxies), remote);
        }
        if let Some(Verdict::Accepted(_)) = verdict {
            guesses.accepted(tried, now_ms);
        }
    }
}

/// The log line when logins of an address are no longer judged, with what to do if the address is that of a proxy.
fn not_judged(remote: &str, proxies: &[Network]) -> String {
    let listed = remote.parse().is_ok_and(|address| proxies.iter().any(|network| network.holds(address)));
    let advice = if listed {
        "it is listed in httpServer.options.trustedProxies: if it is a proxy of yours, let it send X-Forwarded-For"
    } else {
        "if that is a proxy of yours, list it in httpServer.options.trustedProxies"
    };
    format!(
        "logins from {remote} are not judged for a while: limits.refusedLoginsPerAddressMax of them were refused; {advice}"
    )
}

/// Judges one login: late, or not at all, if too many like it were refused.
async fn judge(chain: Arc<Chain>, data: Bytes, peer: Arc<Peer>, tools: Arc<Tools>) -> Login {
    let request = tools.request(&data, peer);
    if let Weighed::Late(delay) = tools.weigh(&request) {
        // Only the data of this login is held meanwhile.
        tokio::time::sleep(delay).await;
    }
    let verdict = match tools.admit(&request) {
        Err(barred) => Some(Verdict::Barred(barred)),
        Ok(()) => chain.judge(&request, &tools).await,
    };
    tools.count(&request, verdict.as_ref(), chain.len());
    Told::from(verdict).0
}

/// The verdict, or `Err` if the login is called off before there is one: with `true` if it had to make room and must
/// still be answered, with `false` if nobody waits for it.
async fn unless_called_off(judging: impl Future<Output = Login>, off: oneshot::Receiver<()>) -> Result<Login, bool> {
    let (mut judging, mut off) = (pin!(judging), pin!(off));
    std::future::poll_fn(|context| {
        if let Poll::Ready(login) = judging.as_mut().poll(context) {
            return Poll::Ready(Ok(login));
        }
        off.as_mut().poll(context).map(|answered| Err(answered.is_ok()))
    })
    .await
}

/// A pending login. If it is dropped without an answer, its drop sends one: that it was not judged.
struct LoginRequest {
    data: Bytes,
    peer: Arc<Peer>,
    reply: Reply,
    /// Receives a message if this login has to make room for another; closed once nobody waits for it.
    off: oneshot::Receiver<()>,
}

struct Reply {
    conn: ConnId,
    shared: Arc<Shared>,
    answers: Sender<Answer>,
    waker: Waker,
    done: bool,
}

struct Answer {
    conn: ConnId,
    login: Login,
}

impl Reply {
    fn send(mut self, login: Login) {
        self.answer(login);
    }

    fn answer(&mut self, login: Login) {
        self.done = true;
        // Counted before the answer is sent, so that a client which then reads the counters finds itself in them.
        self.shared.counts.left();
        self.shared.counts.answered(&login);
        // If this fails the core has ended and needs no answer.
        let _ = self.answers.send(Answer { conn: self.conn, login });
        (self.waker)();
    }

    /// Drops it without an answer: nobody waits for one.
    fn forget(mut self) {
        self.done = true;
        self.shared.counts.left();
        self.shared.counts.called_off();
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.done {
            self.answer(Login::Unjudged { client_data: STOPPED.into() });
        }
    }
}

/// One shard's end of the queues. Owned by its core.
pub struct Client {
    shared: Arc<Shared>,
    login_requests: mpsc::UnboundedSender<LoginRequest>,
    answers_in: Sender<Answer>,
    answers: Receiver<Answer>,
    waker: Waker,
    /// Logins whose answer is awaited, each with the sender that calls it off; `None` once that was used.
    awaited: HashMap<ConnId, Option<oneshot::Sender<()>>>,
    shares: Shares,
}

impl Client {
    /// Judges a login. Gives the verdict if it is known at once; else it comes with [`poll`](Self::poll).
    pub fn judge(&mut self, conn: ConnId, data: Bytes, peer: Arc<Peer>) -> Option<Login> {
        if self.shared.open.load(Ordering::Acquire) {
            return Some(open::open(&data));
        }
        let (fits, others) = self.shares.admit(conn, Origin::of(&peer.remote), data.len());
        for other in others {
            if let Some(off) = self.awaited.get_mut(&other).and_then(Option::take) {
                // If this fails it was judged by now, and that is its answer.
                let _ = off.send(());
            }
        }
        if !fits {
            self.shared.counts.crowded_out();
            return Some(Login::Unjudged { client_data: BUSY.into() });
        }
        let (word, off) = oneshot::channel();
        self.awaited.insert(conn, Some(word));
        self.shared.counts.came();
        let (shared, answers, waker) = (self.shared.clone(), self.answers_in.clone(), self.waker.clone());
        let reply = Reply { conn, shared, answers, waker, done: false };
        // If the thread is gone, dropping the returned request answers it.
        drop(self.login_requests.send(LoginRequest { data, peer, reply, off }));
        None
    }

    /// Whether a login of this connection is on its way.
    pub fn is_awaited(&self, conn: ConnId) -> bool {
        self.awaited.contains_key(&conn)
    }

    /// Nobody waits for the login of this connection any more, if there is one.
    pub fn forget(&mut self, conn: ConnId) {
        if self.awaited.remove(&conn).is_some() {
            self.shares.remove(conn);
        }
    }

    /// Whether [`poll`](Self::poll) would deliver something. A core looks once more before it sleeps.
    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Delivers the verdicts that have arrived.
    pub fn poll(&mut self, now: &mut impl FnMut(Completion)) {
        while let Ok(Answer { conn, login }) = self.answers.try_recv() {
            if self.awaited.remove(&conn).is_some() {
                self.shares.remove(conn);
                now(Completion::Authenticated { conn, login });
            }
        }
    }

    /// Selects the headers of a request that are kept until the login.
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
    /// Dropped, it judges no more.
    _thread: Thread,
}

/// Starts judging logins.
pub fn start(options: Options) -> Result<Auth, String> {
    let Options { methods, headers, logins_max, login_bytes_max, webhooks_max, .. } = options;
    let (storage_timeout, name_bytes_max) = (options.storage_timeout, options.name_bytes_max);
    let (cpus, wakers) = (options.cpus, options.wakers);
    let service = Service::new(Plan { name: "auth", helper: "auth-lookup", cpus: &cpus });
    let service = service.map_err(|error| error.to_string())?;
    let runtime = service.handle();
    let members = options.members;
    let records = options.storage.map(|(client, bell)| Records::new(client, bell, &runtime));
    let compute = Compute::start(&cpus).map_err(|error| error.to_string())?;
    let (guesses, proxies, began) = (Mutex::new(Guesses::new(options.guesses)), options.proxies, Instant::now());
    let tools = Arc::new(Tools {
        compute,
        webhooks_max,
        storage_timeout,
        name_bytes_max,
        records,
        members,
        guesses,
        proxies,
        began,
    });
    let chain = Chain::new(&methods, &tools)?;
    let shared = Arc::new(Shared {
        chain: RwLock::new(Arc::new(Chain::new(&[], &tools)?)),
        open: AtomicBool::new(false),
        wants_headers: AtomicBool::new(false),
        headers,
        counts: Counts::default(),
    });
    shared.put(chain);
    let (login_requests, mut to_judge) = mpsc::unbounded_channel::<LoginRequest>();
    let client = |waker: Waker| {
        let (answers_in, answers) = unbounded();
        let (shared, login_requests) = (shared.clone(), login_requests.clone());
        let (awaited, shares) = (HashMap::new(), Shares::new(logins_max, login_bytes_max));
        Client { shared, login_requests, answers_in, answers, waker, awaited, shares }
    };
    let clients = wakers.into_iter().map(client).collect();
    let (for_thread, tools_of_thread) = (shared.clone(), tools.clone());
    // When this future is dropped, so are the logins under way, and their drop answers them.
    let main = move |pinned: Pinned| async move {
        if let Err(why) = pinned {
            note(Level::Warn, "INFO", &format!("logins are judged on other CPUs than configured: {why}"));
        }
        current(&for_thread).warm_up();
        while let Some(login_request) = to_judge.recv().await {
            let (chain, tools) = (current(&for_thread), tools_of_thread.clone());
            tokio::spawn(async move {
                let LoginRequest { data, peer, reply, off } = login_request;
                match unless_called_off(judge(chain, data, peer, tools), off).await {
                    Ok(login) => reply.send(login),
                    Err(true) => {
                        reply.shared.counts.crowded_out();
                        reply.send(Login::Unjudged { client_data: BUSY.into() });
                    }
                    Err(false) => reply.forget(),
                }
            });
        }
    };
    let thread = service.start_until_dropped(main).map_err(|error| error.to_string())?;
    Ok(Auth { clients, shared, tools, runtime, _thread: thread })
}

fn current(shared: &Shared) -> Arc<Chain> {
    shared.chain.read().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Auth {
    /// A reader of the counters, which stays valid after this service has ended.
    pub fn counters(&self) -> impl Fn() -> Counters + Send + Sync + use<> {
        let shared = self.shared.clone();
        move || shared.counts.read()
    }

    /// Builds the methods of another configuration without using them yet. The returned function puts them in force for
    /// all cores at once: a login is judged by the old methods or by the new ones, never by some of each.
    pub fn prepare(&self, methods: &[AuthMethod]) -> Result<impl FnOnce() + Send + use<>, String> {
        let _runtime = self.runtime.enter();
        let chain = Chain::new(methods, &self.tools)?;
        chain.inherit(&current(&self.shared));
        let (shared, runtime) = (self.shared.clone(), self.runtime.clone());
        Ok(move || {
            let _runtime = runtime.enter();
            chain.warm_up();
            shared.put(chain);
        })
    }
}

#[cfg(test)]
#[path = "logins_tests.rs"]
pub(super) mod tests;
