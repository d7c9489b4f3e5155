//! One connection of HTTP: hyper over bytes in memory, without a runtime.
//!
//! *Owns* hyper's connection, the bytes between it and the socket, and the request that is being executed. *Promises*
//! to run only when it is called: hyper's connection is a future, and the core's turn polls it by hand after bytes were
//! received or sent, or an answer has come. *Does not* execute requests, and knows no sockets.

use super::running::Running;
use crate::endpoint::body::{self, Coding, Flaw};
use crate::endpoint::http::{self, Answer, Purpose, Service, Verdict};
use crate::note::RequestFault;
use bytes::Bytes;
use deepstream_engine::Nanos;
use deepstream_wire::LinkConfig;
use deepstream_wire::jif::{Post, check_body};
use hyper::body::{Body, Incoming};
use hyper::header::UPGRADE;
use hyper::http::request::Parts;
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::{HeaderMap, Method, Request, StatusCode};
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// The smallest buffer for heads that hyper accepts.
const HEAD_BYTES_MIN: usize = 8192;
/// Bytes of answers waiting for the socket above which hyper has to wait.
const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// Unread bytes above which the socket is not read.
pub(super) const INPUT_BYTES_MAX: usize = 256 << 10;
/// How long a connection may be idle between two requests.
const KEEP_ALIVE_NS: u64 = 60_000_000_000;

/// What is to be executed.
pub(super) struct Job {
    pub(super) what: Work,
    pub(super) headers: HeaderMap,
}

/// What a body asks for.
pub(super) enum Work {
    Batch(Post),
    /// Credentials are to be judged: a JSON object.
    Login(Bytes),
}

/// The stage of the current request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none.
    #[default]
    Idle,
    /// Its head is arriving.
    Head,
    /// Its body is arriving.
    Body,
    /// It is being executed.
    Running,
}

/// See the module.
pub(super) struct Conversation {
    connection: Pin<Box<http1::Connection<Pipe, Api>>>,
    shared: Rc<RefCell<Shared>>,
    flag: Arc<Flag>,
    waker: Waker,
    /// The request that is being executed.
    pub(super) running: Option<Box<Running>>,
    /// The deadline of the current stage.
    pub(super) due: Nanos,
    /// The key of its entry in the list of deadlines.
    pub(super) watched_at: Option<Nanos>,
    stage: Stage,
    request_timeout_ns: u64,
}

/// The result of continuing a conversation.
#[derive(Default)]
pub(super) struct Step {
    pub(super) output: Vec<u8>,
    pub(super) job: Option<Job>,
    /// A request was refused, and nothing more is read behind it.
    pub(super) fault: Option<RequestFault>,
    /// A page was refused, for this reason.
    pub(super) forbidden: Option<String>,
    /// There will be no further request, and all output is in `output`.
    pub(super) over: bool,
    /// The client continues as a WebSocket, with the bytes that [`Conversation::into_rest`] gives.
    pub(super) upgrades: bool,
}

impl Conversation {
    pub(super) fn new(service: &Rc<Service>, links: &Rc<LinkConfig>) -> Self {
        let shared = Rc::new(RefCell::new(Shared::default()));
        let connection = connection(service, links, &shared);
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&flag));
        let request_timeout_ns = u64::try_from(service.request_timeout().as_nanos()).unwrap_or(u64::MAX);
        Self {
            connection,
            shared,
            flag,
            waker,
            running: None,
            due: Nanos::default(),
            watched_at: None,
            stage: Stage::Idle,
            request_timeout_ns,
        }
    }

    /// Bytes were received.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let mut shared = self.shared.borrow_mut();
        if shared.stage == Stage::Idle {
            shared.stage = Stage::Head;
        }
        shared.input.extend_from_slice(bytes);
    }

    /// No further bytes will come.
    pub(super) fn end(&mut self) {
        self.shared.borrow_mut().ended = true;
    }

    /// No further request is taken.
    pub(super) fn close(&mut self) {
        self.connection.as_mut().graceful_shutdown();
    }

    /// The answer to the job that was given.
    pub(super) fn answer(&mut self, answer: Answer) {
        let mut shared = self.shared.borrow_mut();
        shared.unwritten = usize::try_from(answer.body().size_hint().lower()).unwrap_or(usize::MAX);
        shared.answer = Some(answer);
    }

    /// The stage of the current request.
    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// Its body takes too long to arrive.
    pub(super) fn is_late(&mut self) {
        self.shared.borrow_mut().late = true;
    }

    /// Whether hyper waits for the socket to take what it wrote.
    pub(super) fn is_blocked(&self) -> bool {
        self.shared.borrow().blocked
    }

    /// Bytes that hyper has not read.
    pub(super) fn unread(&self) -> usize {
        let shared = self.shared.borrow();
        shared.input.len() - shared.input_at
    }

    /// Bytes in memory: of an answer that is not written yet; and of requests and their answers so far.
    pub(super) fn kept(&self) -> (usize, usize) {
        let shared = self.shared.borrow();
        let answers = self.running.as_ref().map_or(0, |running| running.answer_bytes());
        (shared.unwritten, shared.input.len() + shared.body_bytes + answers)
    }

    /// Continues as far as it can. While the socket is busy nothing is written.
    pub(super) fn go_on(&mut self, now: Nanos, busy: bool) -> Step {
        {
            let mut shared = self.shared.borrow_mut();
            (shared.busy, shared.blocked) = (busy, false);
        }
        let mut context = Context::from_waker(&self.waker);
        // hyper wakes itself when it pauses to let other tasks run, of which there are none here. Each round consumes
        // input or room for output, so the loop ends.
        let over = loop {
            self.flag.0.store(false, Ordering::Relaxed);
            match self.connection.as_mut().poll(&mut context) {
                Poll::Ready(Ok(())) => break true,
                Poll::Ready(Err(error)) => {
                    let broken =
                        if error.is_parse_too_large() { RequestFault::HeadTooLarge } else { RequestFault::Broken };
                    // Other errors are about bodies, which were reported already, or of a client that left in the
                    // middle.
                    self.shared.borrow_mut().fault = error.is_parse().then_some(broken);
                    break true;
                }
                Poll::Pending if !self.flag.0.load(Ordering::Relaxed) => break false,
                Poll::Pending => {}
            }
        };
        let mut shared = self.shared.borrow_mut();
        let stage = shared.stage;
        // A request has a time limit to arrive, including its body, and another one to be executed.
        if stage == Stage::Idle {
            self.due = now.after(KEEP_ALIVE_NS);
        } else if stage != self.stage && (self.stage, stage) != (Stage::Head, Stage::Body) {
            self.due = now.after(self.request_timeout_ns);
        }
        self.stage = stage;
        // Not before everything before it is answered, with the answers in `output`.
        let upgrades = shared.upgrade.is_some() && !shared.blocked;
        let (output, job, fault) = (std::mem::take(&mut shared.output), shared.job.take(), shared.fault.take());
        Step { output, job, fault, forbidden: shared.forbidden.take(), over, upgrades }
    }

    /// The upgrade request, and the bytes after it.
    pub(super) fn into_rest(self) -> Vec<u8> {
        let parts = Pin::into_inner(self.connection).into_parts();
        let mut shared = self.shared.borrow_mut();
        let mut rest = shared.upgrade.take().unwrap_or_default();
        rest.extend_from_slice(&parts.read_buf);
        rest.extend_from_slice(&shared.input[shared.input_at..]);
        rest
    }
}

fn connection(
    service: &Rc<Service>,
    links: &Rc<LinkConfig>,
    shared: &Rc<RefCell<Shared>>,
) -> Pin<Box<http1::Connection<Pipe, Api>>> {
    let api = Api { service: Rc::clone(service), links: Rc::clone(links), shared: Rc::clone(shared) };
    let mut builder = http1::Builder::new();
    // A client that has sent its last request and closed its side still wants the answer.
    builder.half_close(true).max_buf_size(links.max_request_bytes.max(HEAD_BYTES_MIN));
    Box::pin(builder.serve_connection(Pipe(Rc::clone(shared)), api))
}

/// Set by hyper when it wants to be polled again at once.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The state shared between hyper and the host.
#[derive(Default)]
struct Shared {
    input: Vec<u8>,
    /// The bytes before it were read.
    input_at: usize,
    ended: bool,
    output: Vec<u8>,
    busy: bool,
    blocked: bool,
    stage: Stage,
    late: bool,
    job: Option<Job>,
    fault: Option<RequestFault>,
    answer: Option<Answer>,
    forbidden: Option<String>,
    /// Bytes of its body that hyper has not written.
    unwritten: usize,
    /// Bytes of the body of the request, until it is answered.
    body_bytes: usize,
    /// The head of an upgrade request.
    upgrade: Option<Vec<u8>>,
}

/// What hyper takes for the socket.
struct Pipe(Rc<RefCell<Shared>>);

impl hyper::rt::Read for Pipe {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, mut into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.0.borrow_mut();
        let unread = &shared.input[shared.input_at..];
        if unread.is_empty() {
            return if shared.ended { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let count = unread.len().min(into.remaining());
        into.put_slice(&unread[..count]);
        shared.input_at += count;
        if shared.input_at == shared.input.len() {
            // Between two requests no buffer is kept.
            shared.input = Vec::new();
            shared.input_at = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = self.0.borrow_mut();
        let room = OUTPUT_BYTES_MAX.saturating_sub(shared.output.len());
        if shared.busy || room == 0 {
            shared.blocked = true;
            return Poll::Pending;
        }
        let count = bytes.len().min(room);
        shared.output.extend_from_slice(&bytes[..count]);
        shared.unwritten = shared.unwritten.saturating_sub(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The service that hyper calls for each request.
struct Api {
    service: Rc<Service>,
    links: Rc<LinkConfig>,
    shared: Rc<RefCell<Shared>>,
}

impl hyper::service::Service<Request<Incoming>> for Api {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (service, shared) = (Rc::clone(&self.service), Rc::clone(&self.shared));
        let (head, body) = request.into_parts();
        if let Some(head) = upgrade(&head, &self.links) {
            let mut shared = shared.borrow_mut();
            (shared.upgrade, shared.stage) = (Some(head), Stage::Idle);
            return Box::pin(pending());
        }
        shared.borrow_mut().stage = Stage::Body;
        Box::pin(async move {
            let origin = http::origin_value(&head.headers).cloned();
            let mut answer = match service.judge(&head) {
                Verdict::Forbidden(why) => {
                    let answer = http::last(http::text(StatusCode::FORBIDDEN, &why));
                    shared.borrow_mut().forbidden = Some(why);
                    answer
                }
                Verdict::Answer(answer) if body.is_end_stream() => answer,
                Verdict::Answer(answer) => http::last(answer),
                Verdict::Read(purpose, coding) => {
                    execute(&service, &shared, (purpose, coding), head.headers, body).await
                }
            };
            service.admit(origin.as_ref(), &mut answer);
            let mut shared = shared.borrow_mut();
            (shared.stage, shared.body_bytes) = (Stage::Idle, 0);
            Ok(answer)
        })
    }
}

/// The head of a request, if it asks for an upgrade, or its path is only for WebSockets: then the link judges it, as it
/// does the first request of a connection. Proxies that reuse connections send upgrades on ones that have carried
/// requests of HTTP.
fn upgrade(head: &Parts, links: &LinkConfig) -> Option<Vec<u8>> {
    let is_theirs = |path: &str| links.endpoints.iter().any(|endpoint| endpoint.serves(path));
    let means_to = || head.headers.contains_key(UPGRADE) || is_theirs(head.uri.path());
    if head.method != Method::GET || !means_to() {
        return None;
    }
    let mut bytes = format!("GET {} {:?}\r\n", head.uri, head.version).into_bytes();
    for (name, value) in &head.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    links.takes_over(&bytes).then_some(bytes)
}

async fn execute(
    service: &Service,
    shared: &RefCell<Shared>,
    (purpose, coding): (Purpose, Coding),
    headers: HeaderMap,
    body: Incoming,
) -> Answer {
    let body = match read(service, shared, coding, body).await {
        Ok(body) => body,
        Err((answer, fault)) => {
            shared.borrow_mut().fault = fault;
            return answer;
        }
    };
    let what = match service.read(purpose, body) {
        Ok(what) => what,
        Err(answer) => return *answer,
    };
    {
        let mut shared = shared.borrow_mut();
        shared.job = Some(Job { what, headers });
        shared.stage = Stage::Running;
    }
    poll_fn(|_| shared.borrow_mut().answer.take().map_or(Poll::Pending, Poll::Ready)).await
}

/// The whole body, or the answer to a client that sends too much or too slowly.
async fn read(
    service: &Service,
    shared: &RefCell<Shared>,
    coding: Coding,
    mut body: Incoming,
) -> Result<Vec<u8>, (Answer, Option<RequestFault>)> {
    const TOO_LARGE: Option<RequestFault> = Some(RequestFault::BodyTooLarge);
    let refused = |flaw: Flaw| match flaw {
        Flaw::TooLarge => (http::too_large(), TOO_LARGE),
        Flaw::Broken => (http::unreadable("it is not packed as its \"Content-Encoding\" header says"), None),
    };
    let last = |(answer, fault)| (http::last(answer), fault);
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > service.body_bytes_max {
        return Err(last(refused(Flaw::TooLarge)));
    }
    let mut whole = body::Body::new(coding, service.body_bytes_max);
    loop {
        let frame = poll_fn(|context| {
            if std::mem::take(&mut shared.borrow_mut().late) {
                return Poll::Ready(Err((http::too_slow(), Some(RequestFault::Late))));
            }
            Pin::new(&mut body).poll_frame(context).map(Ok)
        });
        match frame.await? {
            None => return whole.finish().map_err(refused),
            Some(Err(error)) => return Err((http::unreadable(&error.to_string()), None)),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                whole.push(&data).map_err(refused).map_err(last)?;
                shared.borrow_mut().body_bytes = whole.kept_bytes();
            }
        }
    }
}

impl Service {
    /// What a body asks for, or the answer if it is invalid.
    fn read(&self, purpose: Purpose, body: Vec<u8>) -> Result<Work, Box<Answer>> {
        check_body(&body).map_err(|why| Box::new(http::unreadable(&why)))?;
        match purpose {
            Purpose::Login => Ok(Work::Login(body.into())),
            Purpose::Batch => {
                let allow_auth_data = self.api.as_ref().is_some_and(|api| api.allow_auth_data);
                let post = Post::read(&body, allow_auth_data);
                post.map(Work::Batch).map_err(|why| Box::new(http::bad_request(why)))
            }
        }
    }
}
