//! Log lines: `EVENT | message` for humans, with the time in front of it in files; pino's JSON for machines.
//!
//! *Owns* the levels, the two formats and the thread that writes. *Promises* that a caller never waits for a terminal,
//! a pipe or a disk: lines go through a bounded queue, and lines that find it full are dropped, counted, and the count
//! is logged; that answers to an operator's request (`answer`) are not crowded out by lines that clients provoke; and
//! that one event is one line, whatever text from the network it contains. *Does not* format anything below the
//! configured level.
//!
//! All lines of this server are logged by [`note`] and its siblings, so each has a level and an event that can be
//! searched for. They become `tracing` events underneath, as the lines of libraries are; of those only warnings and
//! errors are written. Fatal lines and answers, for which `tracing` has no level, take the same way.

mod settings;

pub use settings::{Colors, LogFormat, LogSettings, Timestamps};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime as Stamp};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// How important a line is. Numbers and names are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// For debugging.
    Debug = 0,
    /// What normally happens.
    Info = 1,
    /// Something was refused or lost, and the server goes on.
    Warn = 2,
    /// Something failed that should not.
    Error = 3,
    /// The process ends.
    Fatal = 4,
    /// As a setting: nothing is written.
    Off = 100,
}

impl Level {
    /// The level of an upstream number.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal, Self::Off]
            .into_iter()
            .find(|level| i64::from(*level as u8) == number)
    }

    /// The level of an upstream name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal, Self::Off]
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(name))
    }

    /// Upstream's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Off => "OFF",
        }
    }

    /// SGR colour.
    fn color(self) -> u8 {
        match self {
            Self::Debug | Self::Off => 37,
            Self::Info => 32,
            Self::Warn => 33,
            Self::Error => 31,
            Self::Fatal => 34,
        }
    }

    /// pino's number.
    fn pino(self) -> u8 {
        (self as u8 + 2) * 10
    }
}

/// Lines below this level are not written. Off until a sink is installed.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Off as u8);
static DROPPED: AtomicU64 = AtomicU64::new(0);
static LINES: AtomicU64 = AtomicU64::new(0);
static WARNINGS: AtomicU64 = AtomicU64::new(0);
static ERRORS: AtomicU64 = AtomicU64::new(0);

/// How long a process that ends waits for its last lines to be read, if the reader is stuck.
const PATIENCE: Duration = Duration::from_secs(2);
/// Lines waiting for the writer; beyond that they are dropped.
const QUEUE_LINES: usize = 8192;
/// Additional room for answers to an operator's request.
const ANSWER_LINES: usize = 1024;
/// The `tracing` target of our own lines; a library's is its module.
const OURS: &str = "deepstream";

/// Whether lines of this level are written; ask before building a costly message.
#[inline]
pub fn is_enabled(level: Level) -> bool {
    level as u8 >= LEVEL.load(Ordering::Relaxed) && level != Level::Off
}

/// What became of log lines, in this process, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines written.
    pub lines: u64,
    /// Warnings among them.
    pub warnings: u64,
    /// Errors among them.
    pub errors: u64,
    /// Lines dropped because the queue was full.
    pub dropped_lines: u64,
}

/// What became of log lines so far.
pub fn counters() -> Counters {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Counters { lines: read(&LINES), warnings: read(&WARNINGS), errors: read(&ERRORS), dropped_lines: read(&DROPPED) }
}

/// Changes the level of a running server.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Logs `EVENT | message`.
pub fn note(level: Level, event: &str, message: &str) {
    emit(Urgency::Ordinary, "", level, event, message);
}

/// Logs `EVENT | message` that a client at this address has caused: in JSON the address is a field.
pub fn note_from(level: Level, event: &str, message: &str, address: &str) {
    emit(Urgency::Ordinary, address, level, event, message);
}

/// Logs `EVENT | message` because an operator asked for it: there is room for it even if ordinary lines are dropped.
pub fn answer(level: Level, event: &str, message: &str) {
    emit(Urgency::Answer, "", level, event, message);
}

/// What becomes of a line while the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Urgency {
    /// It is dropped.
    #[default]
    Ordinary,
    /// It may use the additional room.
    Answer,
    /// The caller waits until there is room.
    Fatal,
}

impl Urgency {
    fn of_number(number: u64) -> Self {
        [Self::Ordinary, Self::Answer, Self::Fatal][number.min(2) as usize]
    }
}

fn emit(urgency: Urgency, address: &str, level: Level, event: &str, message: &str) {
    if !is_enabled(level) {
        return;
    }
    let urgency = if level >= Level::Fatal { Urgency::Fatal } else { urgency } as u64;
    macro_rules! emit {
        ($level:ident) => {
            tracing::event!(target: OURS, tracing::Level::$level, urgency, address, event, message)
        };
    }
    match level {
        Level::Debug => emit!(DEBUG),
        Level::Info => emit!(INFO),
        Level::Warn => emit!(WARN),
        Level::Error | Level::Fatal | Level::Off => emit!(ERROR),
    }
}

/// Starts logging for the whole process. Keep the result until the end: dropping it writes what is queued. A second
/// start in one process changes nothing and returns a guard of its own.
pub fn start(settings: &LogSettings) -> Guard {
    let out = Output::of_process(settings);
    let (sink, guard) = sink(QUEUE_LINES, out);
    if tracing::subscriber::set_global_default(tracing_subscriber::registry().with(sink)).is_ok() {
        set_level(settings.level);
    }
    guard
}

/// Keeps the writer thread; see [`start`].
#[must_use = "logging ends when this is dropped"]
pub struct Guard {
    queue: Arc<Queue>,
    /// Closes when the writer has ended.
    ended: Receiver<()>,
}

impl Guard {
    /// Returns when everything queued so far has been written, or its reader has been stuck for [`PATIENCE`].
    pub fn flush(&self) {
        let (done, wait) = bounded(1);
        if self.queue.send(Command::Flush(done)) {
            // Either everything is written, or the reader is stuck and there is no point in waiting longer.
            let _ = wait.recv_timeout(PATIENCE);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The writer holds `_alive` until it has written everything. The wait is bounded, so that a slow reader of the
        // log does not keep a stopped server from ending.
        self.queue.close();
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

enum Command {
    Line(Level, Vec<u8>),
    Flush(Sender<()>),
}

/// The way to the writer thread.
struct Queue {
    /// As many lines may wait, and [`ANSWER_LINES`] answers more.
    lines_max: usize,
    sender: RwLock<Option<Sender<Command>>>,
    dropped: AtomicU64,
}

impl Queue {
    /// Queues a line, or counts it as dropped; a dropped line is not even formatted.
    fn offer(&self, urgency: Urgency, level: Level, line: impl FnOnce() -> Vec<u8>) {
        let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = sender.as_ref() else { return };
        let has_room = urgency == Urgency::Answer || sender.len() < self.lines_max;
        if !has_room || matches!(sender.try_send(Command::Line(level, line())), Err(TrySendError::Full(_))) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for room, [`PATIENCE`] at most. `false` if there was none, or logging has ended.
    fn send(&self, command: Command) -> bool {
        let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner).clone();
        sender.is_some_and(|sender| sender.send_timeout(command, PATIENCE).is_ok())
    }

    fn close(&self) {
        self.sender.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Builds the `tracing` layer and its writer thread.
fn sink(queue_lines: usize, output: Output) -> (Sink, Guard) {
    let (sender, receiver) = bounded(queue_lines + ANSWER_LINES);
    let queue =
        Arc::new(Queue { lines_max: queue_lines, sender: RwLock::new(Some(sender)), dropped: AtomicU64::new(0) });
    let form = output.form.clone();
    let shared = Arc::clone(&queue);
    let (alive, ended) = bounded(0);
    let body = move || {
        let _alive: Sender<()> = alive;
        write_all(&receiver, &shared, output);
    };
    // If the thread cannot be started (no memory) the server runs without a log: dropping the receiver closes the
    // queue.
    let _detached = std::thread::Builder::new().name("log".to_owned()).spawn(body);
    (Sink { form, queue: Arc::clone(&queue) }, Guard { queue, ended })
}

/// The body of the writer thread: writes until the queue is closed and empty.
fn write_all(receiver: &Receiver<Command>, queue: &Queue, mut output: Output) {
    while let Ok(first) = receiver.recv() {
        let mut waiting = Vec::new();
        for command in std::iter::once(first).chain(receiver.try_iter().take(QUEUE_LINES)) {
            match command {
                Command::Line(level, line) => output.write(level, &line),
                Command::Flush(done) => waiting.push(done),
            }
        }
        let dropped = queue.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let message = format!("{dropped} log lines were dropped because their reader is too slow");
            output.write(Level::Warn, &output.form.line(Level::Warn, ("", ""), "LOG_LINES_DROPPED", &message));
        }
        output.flush();
        for done in waiting {
            // If this fails the caller of `flush` has stopped waiting.
            let _ = done.send(());
        }
    }
}

/// Where lines go.
struct Output {
    form: Form,
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
}

impl Output {
    fn of_process(settings: &LogSettings) -> Self {
        let color = |terminal: bool| match settings.colors {
            Colors::Always => true,
            Colors::OnTerminal => terminal,
            Colors::Never => false,
        };
        let stamp = |file: bool| match settings.timestamps {
            Timestamps::Always => true,
            Timestamps::InFiles => file,
            Timestamps::Never => false,
        };
        let form = Form {
            format: settings.format,
            stamp_out: stamp(is_file(io::stdout())),
            stamp_err: stamp(is_file(io::stderr())),
            color_out: color(io::stdout().is_terminal()),
            color_err: color(io::stderr().is_terminal()),
            process: std::process::id(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        };
        Self { form, out: Box::new(io::BufWriter::new(io::stdout())), err: Box::new(io::BufWriter::new(io::stderr())) }
    }

    /// There is nowhere to report that a log line could not be written, so errors are ignored.
    fn write(&mut self, level: Level, line: &[u8]) {
        LINES.fetch_add(1, Ordering::Relaxed);
        match level {
            Level::Warn => drop(WARNINGS.fetch_add(1, Ordering::Relaxed)),
            Level::Error | Level::Fatal => drop(ERRORS.fetch_add(1, Ordering::Relaxed)),
            Level::Debug | Level::Info | Level::Off => {}
        }
        let _ = if self.form.goes_to_err(level) { self.err.write_all(line) } else { self.out.write_all(line) };
    }

    fn flush(&mut self) {
        let _ = self.out.flush();
        let _ = self.err.flush();
    }
}

fn is_file(stream: impl AsFd) -> bool {
    rustix::fs::fstat(stream).is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_file())
}

/// How lines look.
#[derive(Clone)]
struct Form {
    format: LogFormat,
    stamp_out: bool,
    stamp_err: bool,
    color_out: bool,
    color_err: bool,
    process: u32,
    host: String,
}

impl Form {
    /// pino writes everything to its standard output.
    fn goes_to_err(&self, level: Level) -> bool {
        level >= Level::Warn && self.format == LogFormat::Human
    }

    fn line(&self, level: Level, (namespace, address): (&str, &str), event: &str, message: &str) -> Vec<u8> {
        match self.format {
            LogFormat::Human => self.human(level, namespace, event, message),
            LogFormat::Json => self.json(level, (namespace, address), event, message),
        }
        .into_bytes()
    }

    fn human(&self, level: Level, namespace: &str, event: &str, message: &str) -> String {
        let (colored, stamped) =
            if self.goes_to_err(level) { (self.color_err, self.stamp_err) } else { (self.color_out, self.stamp_out) };
        let mut line = String::with_capacity(namespace.len() + event.len() + message.len() + 48);
        // After the time the line is as in upstream, for programs that look for `EVENT | message`.
        if stamped && Stamp.format_time(&mut Writer::new(&mut line)).is_ok() {
            line.push(' ');
        }
        if colored {
            let _ = write!(line, "\x1b[{}m", level.color());
        }
        for part in [namespace, event].into_iter().filter(|part| !part.is_empty()) {
            escape_into(&mut line, part);
            line.push_str(" | ");
        }
        escape_into(&mut line, message);
        line.push_str(if colored { "\x1b[39m\n" } else { "\n" });
        line
    }

    fn json(&self, level: Level, (namespace, address): (&str, &str), event: &str, message: &str) -> String {
        let quoted = |text: &str| {
            let json = serde_json::Value::from(text).to_string();
            let mut out = String::with_capacity(json.len());
            for c in json.chars() {
                // JSON itself escapes only some of them.
                if is_hostile(c) {
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                } else {
                    out.push(c);
                }
            }
            out
        };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let field = |name: &str, text: &str| {
            if text.is_empty() { String::new() } else { format!(",\"{name}\":{}", quoted(text)) }
        };
        let (namespace, address) = (field("namespace", namespace), field("address", address));
        format!(
            "{{\"level\":{},\"time\":{time},\"pid\":{},\"hostname\":{}{namespace}{address},\"event\":{},\"message\":{}}}\n",
            level.pino(),
            self.process,
            quoted(&self.host),
            quoted(event),
            quoted(message)
        )
    }
}

/// Control characters become visible: a user name with a line break must not forge a line, nor an escape sequence
/// reach a terminal.
fn escape_into(line: &mut String, text: &str) {
    for c in text.chars() {
        if is_hostile(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

/// Characters that control a terminal, count as the end of a line somewhere, or change the direction of text.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The layer that receives `tracing` events.
struct Sink {
    form: Form,
    queue: Arc<Queue>,
}

impl<S: tracing::Subscriber> Layer<S> for Sink {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && (metadata.target() == OURS || *metadata.level() <= tracing::Level::WARN)
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut parts = Parts::default();
        event.record(&mut parts);
        let level = match *metadata.level() {
            _ if parts.urgency == Urgency::Fatal => Level::Fatal,
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            _ => Level::Debug,
        };
        let ours = metadata.target() == OURS;
        if !ours && !is_enabled(level) {
            return;
        }
        let line = || {
            let (space, event) = if ours { ("", &*parts.event) } else { (metadata.target(), level.name()) };
            self.form.line(level, (space, &parts.address), event, &parts.message)
        };
        if parts.urgency == Urgency::Fatal {
            // Fatal lines are the last of a process, so they are waited for.
            self.queue.send(Command::Line(level, line()));
        } else {
            self.queue.offer(parts.urgency, level, line);
        }
    }
}

/// The fields of an event that a line is made of.
#[derive(Default)]
struct Parts {
    urgency: Urgency,
    address: String,
    event: String,
    message: String,
}

impl Visit for Parts {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "urgency" {
            self.urgency = Urgency::of_number(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "address" => value.clone_into(&mut self.address),
            "event" => value.clone_into(&mut self.event),
            "message" => value.clone_into(&mut self.message),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        }
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
