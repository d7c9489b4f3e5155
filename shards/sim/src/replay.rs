//! Replays tapes: a shard is given the recorded inputs of a shard of a running server, or of another world.
//!
//! The replaying shard is recorded too, and its tape must equal the given one byte for byte: each entry contains a
//! digest of all outputs before it.
//!
//! *Owns* the comparison. *Promises* to report the input that led to the first difference; and to distinguish files
//! that are no tape, are damaged or of another format from one that ends early, as a killed server leaves it. *Does
//! not* open files.

use crate::run::panic_text;
use crate::trace::{describe, describe_packet};
use deepstream_engine::tape::{Entry, FrameHead, Header, Input, OPENING};
use deepstream_engine::{Nanos, Options, Outbox, Place, Shard, StoreBatch};
use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// A tape that was played without a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// Which shard, of how many.
    pub shard: (Place, u16),
    /// Of the engine that wrote it.
    pub version: String,
    /// Entries.
    pub inputs: u64,
    /// Nanoseconds from its first moment to its last.
    pub lasted_ns: u64,
    /// Whether the server ended it; otherwise it was cut off, and what its last input led to was not compared.
    pub is_whole: bool,
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shard: (place, cores), version, inputs, is_whole, .. } = self;
        let seconds = self.lasted_ns as f64 / 1e9;
        let (node, core) = (place.node().0, place.core());
        let node = if node == 0 { String::new() } else { format!(" of node {node}") };
        write!(
            f,
            "shard {core} of {cores}{node}, written by {version}: {inputs} inputs in {seconds:.3} s, no difference"
        )?;
        if *is_whole { Ok(()) } else { write!(f, "; cut off, what followed the last input was not compared") }
    }
}

/// Why a tape was not played to its end.
#[derive(Debug)]
pub enum Unplayed {
    /// The file cannot be read.
    Io(io::Error),
    /// It does not begin as a tape does.
    NoTape,
    /// It is of another format.
    Format(String),
    /// The bytes after so many inputs are not those that were written.
    Damaged {
        /// Whole inputs before.
        after: u64,
    },
    /// Whole, but nothing that this program knows.
    Unknown {
        /// Whole inputs before.
        after: u64,
        /// Of the engine that wrote it, as far as that is known.
        version: Option<String>,
    },
    /// This build puts names on other cores.
    Placement,
    /// The shard did not do the same.
    Difference(Box<Difference>),
}

/// Where a shard went another way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The input that led to it, counted from 1; 0: the shard was another from the start.
    pub input: u64,
    /// When it came in, in nanoseconds since the tape began.
    pub at_ns: u64,
    /// What it was.
    pub what: String,
    /// What was different.
    pub how: String,
}

impl fmt::Display for Unplayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::NoTape => write!(f, "is no tape"),
            Self::Format(found) => {
                write!(f, "is of another format: it begins with {found:?}, not with {:?}", opening())
            }
            Self::Damaged { after } => write!(f, "is damaged after {after} inputs"),
            Self::Unknown { after, version } => {
                let version = version.as_deref().unwrap_or("an unknown version");
                write!(f, "holds something unknown after {after} inputs; it was written by {version}")
            }
            Self::Placement => write!(f, "was written by a build whose hash puts names on other cores"),
            Self::Difference(difference) => {
                let Difference { input, at_ns, what, how } = &**difference;
                write!(f, "differs at input {input}, {:.6} s after its beginning: {how}\n  {what}", *at_ns as f64 / 1e9)
            }
        }
    }
}

fn opening() -> String {
    String::from_utf8_lossy(OPENING).trim_end().to_owned()
}

/// Plays a tape.
pub fn replay(tape: impl Read) -> Result<Played, Unplayed> {
    replay_misled(tape, |_| {})
}

/// Plays a tape on a shard that is made otherwise than the tape says: a planted bug.
pub fn replay_misled(mut tape: impl Read, mislead: impl FnOnce(&mut Options)) -> Result<Played, Unplayed> {
    open(&mut tape)?;
    let mut frame = Vec::new();
    if next(&mut tape, &mut frame, 0)?.is_none() {
        return Err(Unplayed::Damaged { after: 0 });
    }
    let mut header = Header::read(&frame).ok_or(Unplayed::Unknown { after: 0, version: None })?;
    if !header.is_placed_alike() {
        return Err(Unplayed::Placement);
    }
    mislead(&mut header.options);
    let mut player = Player::new(&header);
    let mut inputs = 0;
    let (mut at, mut is_whole) = (header.begun, false);
    while let Some(head) = next(&mut tape, &mut frame, inputs)? {
        let unknown = || Unplayed::Unknown { after: inputs, version: Some(header.version.clone()) };
        let entry = Entry::read(&frame, at).filter(|_| !is_whole).ok_or_else(unknown)?;
        at = entry.at;
        is_whole = matches!(entry.input, Input::End(_));
        inputs += 1;
        player.play(inputs, at.since(header.begun), entry, &head, &frame)?;
    }
    Ok(Played {
        shard: (header.core, header.cores),
        version: header.version,
        inputs,
        lasted_ns: at.since(header.begun),
        is_whole,
    })
}

fn open(tape: &mut impl Read) -> Result<(), Unplayed> {
    let mut found = vec![0; OPENING.len()];
    let len = read_all(tape, &mut found)?;
    let format = found.iter().take_while(|byte| !byte.is_ascii_digit()).count();
    match &found[..len] {
        found if found == OPENING => Ok(()),
        found if found.get(..format) == OPENING.get(..format) && len == OPENING.len() => {
            // Numbers differ in length.
            let line = found.split(|&byte| byte == b'\n').next().unwrap_or_default();
            Err(Unplayed::Format(String::from_utf8_lossy(line).into_owned()))
        }
        _ => Err(Unplayed::NoTape),
    }
}

/// The next frame and its head; `None` where the tape ends, be it in the middle of one.
fn next(tape: &mut impl Read, frame: &mut Vec<u8>, after: u64) -> Result<Option<[u8; FrameHead::LEN]>, Unplayed> {
    let mut bytes = [0; FrameHead::LEN];
    if read_all(tape, &mut bytes)? < bytes.len() {
        return Ok(None);
    }
    let head = FrameHead::from_bytes(bytes).ok_or(Unplayed::Damaged { after })?;
    frame.clear();
    let len = tape.take(head.len.into()).read_to_end(frame).map_err(Unplayed::Io)?;
    if len < head.len as usize {
        return Ok(None);
    }
    if head.fits(frame) { Ok(Some(bytes)) } else { Err(Unplayed::Damaged { after }) }
}

/// Fills `into`, as far as there is something.
fn read_all(tape: &mut impl Read, into: &mut [u8]) -> Result<usize, Unplayed> {
    let mut len = 0;
    while len < into.len() {
        match tape.read(&mut into[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Unplayed::Io(error)),
        }
    }
    Ok(len)
}

/// A shard that lives through a tape, and what it writes down.
struct Player {
    shard: Shard,
    written: Rc<RefCell<Vec<u8>>>,
    outbox: Outbox,
    batch: StoreBatch,
    /// The input before: what is said to it shows with the next.
    before: Difference,
}

impl Player {
    fn new(header: &Header) -> Self {
        let (mut shard, written) = (header.shard(), Rc::default());
        let sink = Rc::<RefCell<Vec<u8>>>::clone(&written);
        shard.begin_tape(header.begun, move |bytes| sink.borrow_mut().extend_from_slice(bytes));
        written.borrow_mut().clear();
        let before = Difference { input: 0, at_ns: 0, what: "the shard was made".to_owned(), how: String::new() };
        Self { shard, written, outbox: Outbox::default(), batch: StoreBatch::default(), before }
    }

    fn play(&mut self, input: u64, at_ns: u64, entry: Entry<'_>, head: &[u8], frame: &[u8]) -> Result<(), Unplayed> {
        let what = describe_input(&entry.input);
        let here = Difference { input, at_ns, what, how: String::new() };
        let differs = |from: Difference, how: &str| {
            Err(Unplayed::Difference(Box::new(Difference { how: how.to_owned(), ..from })))
        };
        let Entry { at, input, .. } = entry;
        self.written.borrow_mut().clear();
        let fed = catch_unwind(AssertUnwindSafe(|| self.feed(at, input)));
        let written = self.written.borrow();
        let said = |bytes: &[u8]| bytes.get(FrameHead::LEN..FrameHead::LEN + size_of::<u32>()).map(<[u8]>::to_vec);
        if !written.is_empty() && said(&written).as_deref() != frame.get(..size_of::<u32>()) {
            drop(written);
            return differs(self.before.clone(), "something else was said, or is due at another time");
        }
        if let Err(panic) = fed {
            return differs(here, &format!("panicked: {}", panic_text(panic.as_ref())));
        }
        if written.is_empty() {
            return differs(here, "there was nothing to be taken");
        }
        if written.len() != head.len() + frame.len() || !written.starts_with(head) || !written.ends_with(frame) {
            return differs(here, "the shard holds, or was given, something else");
        }
        drop(written);
        self.before = here;
        Ok(())
    }

    fn feed(&mut self, now: Nanos, input: Input<'_>) {
        let shard = &mut self.shard;
        match input {
            Input::Connected(peer) => drop(shard.connected(now, peer)),
            Input::Upgraded(conn, wire, referer, headers) => shard.upgraded(now, conn, wire, referer, headers),
            Input::Turned(conn, wire) => shard.turned(now, conn, wire),
            Input::Introduced(conn, client, silence_ns_max) => shard.introduced(now, conn, client, silence_ns_max),
            Input::SpeaksFor(conn, remote) => shard.speaks_for(conn, remote),
            Input::Holds(conn, unsent, received) => drop(shard.holds(now, conn, unsent, received)),
            Input::BecameHttp(conn) => shard.became_http(now, conn),
            Input::Received(conn, message) => drop(shard.received(now, conn, &message)),
            Input::Will(conn, message) => shard.will(now, conn, &message),
            Input::Unreadable(conn, what) => drop(shard.unreadable(now, conn, what)),
            Input::Heard(conn) => shard.heard(now, conn),
            Input::Raw(conn, bytes) => shard.raw(now, conn, bytes),
            Input::Goodbye(conn, bytes, oversized) => shard.goodbye(now, conn, bytes, oversized),
            Input::Flushed(conn, bytes) => shard.flushed(now, conn, bytes),
            Input::Disconnected(conn) => shard.disconnected(now, conn),
            Input::Packet(from, packet) => shard.packet(now, from, packet),
            Input::View(view) => drop(shard.adopt_view(now, view)),
            Input::Claimed(slots, generation) => shard.claimed(now, &slots, generation),
            Input::Leased(since, until) => shard.leased(now, since, until),
            Input::Restarted(node, since, link) => shard.restarted(now, node, since, link),
            Input::Reached(node, since, heard) => shard.reached(now, node, since, heard),
            Input::Suspended(epoch) => shard.suspended(now, epoch),
            Input::Completed(outcome) => shard.completed(now, outcome),
            Input::Tick() => shard.tick(now),
            Input::Adopted(permissions) => shard.adopt_permissions(now, permissions),
            Input::Stop() => shard.stop(now),
            Input::Dirty() => drop(shard.dirty()),
            Input::TakeOutput(conn) => {
                shard.take_output(conn, &mut self.outbox);
                self.outbox.clear();
            }
            Input::Closes() => drop(shard.closes()),
            Input::Resumed() => drop(shard.resumed()),
            Input::TakePackets(to, lane, count) => {
                shard.take_packets(to, lane, |packets| drop(packets.drain(..count.min(packets.len()))));
            }
            Input::HostRequests() => drop(shard.host_requests()),
            Input::Notes() => drop(shard.notes()),
            Input::TakeStores() => drop(shard.take_stores(now, &mut self.batch)),
            Input::End(_) => shard.end_tape(),
        }
    }
}

/// Longest description of an input that has none of its own.
const SHOWN_MAX: usize = 300;

fn describe_input(input: &Input<'_>) -> String {
    match input {
        Input::Received(conn, message) => format!("received of {conn:?}: {}", describe(message)),
        Input::Will(conn, message) => format!("last words of {conn:?}: {}", describe(message)),
        Input::Packet(from, packet) => format!("packet from {from:?}: {}", describe_packet(packet)),
        Input::Adopted(permissions) => format!("permissions of generation {}", permissions.generation),
        other => {
            let mut shown = format!("{other:?}");
            let end = (0..=SHOWN_MAX.min(shown.len())).rev().find(|&end| shown.is_char_boundary(end));
            shown.truncate(end.unwrap_or_default());
            shown
        }
    }
}
