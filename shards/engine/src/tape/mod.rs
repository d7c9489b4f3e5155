//! A tape: every input of a shard, written down as it comes in, so that the same shard can live through it again.
//!
//! A shard is a pure state machine. So its options, and what was called when and with what, are all there is to know: a shard
//! that is given the same once more says the same. Each entry carries a digest of all that was said before it, and when the
//! shard wanted to be woken, by which the first difference is found.
//!
//! *Owns* the format: [`OPENING`], then frames; the first is the [`Header`], each further one an [`Entry`]. *Promises* that
//! whatever changes a shard is an entry, drains of its outputs included; that an entry is whole in the sink before its input
//! is acted upon; and that a shard without a tape pays one branch per input. *Does not* write files or play: the host and
//! the simulator do.

pub(crate) mod input;
mod read;
pub(crate) mod recorder;
mod shapes;

pub use input::{Entry, Input};
pub use read::Header;
pub use recorder::FrameHead;

use crate::codec::Put;
use crate::context::Options;
use crate::ident::{Nanos, Place};
use crate::output::Outbox;
use crate::shard::Shard;
use crate::view::View;
use input::Kind;
use recorder::Tape;
use std::fmt;
use std::sync::Arc;

/// How every tape begins; the number is that of the format.
pub const OPENING: &[u8] = b"deepstream tape 18\n";
/// What the hash that places names on cores makes of this tells two builds with different hashes apart.
const PLACED: &str = "deepstream";

impl Shard {
    /// From here on everything that comes in is written down, frame by frame, to `sink`. To be called right after the shard
    /// was made, at the moment it was made.
    pub fn begin_tape(&mut self, now: Nanos, mut sink: impl FnMut(&[u8]) + 'static) {
        debug_assert_eq!(self.sides.cx.outputs.now, Nanos::default(), "nothing has come in yet");
        sink(OPENING);
        let (sink, placed) = (Box::new(sink), placed(&self.sides.cx.options));
        let mut tape = Tape::new(now, sink);
        let version: &str = env!("CARGO_PKG_VERSION");
        tape.frame(|to| {
            (version, (self.sides.cx.core, self.sides.cx.places.of_tape()), (now, placed), &self.sides.cx.options)
                .put(to);
        });
        self.sides.cx.outputs.tape = Some(Box::new(tape));
    }

    /// Nothing more is written down. The last entry is what the shard holds.
    pub fn end_tape(&mut self) {
        let census = format!("{:?} {:?}", self.census(), self.sides.cx.outputs.counters);
        self.drained(Kind::End, &census);
        self.sides.cx.outputs.tape = None;
    }

    /// An input came in: its time is the present.
    #[inline]
    pub(crate) fn input(&mut self, now: Nanos, kind: Kind, what: &impl Put) {
        self.sides.cx.outputs.now = now;
        self.drained(kind, what);
    }

    /// Something was drained, or told without a time.
    #[inline]
    pub(crate) fn drained(&mut self, kind: Kind, what: &impl Put) {
        if self.sides.cx.outputs.tape.is_some() {
            self.write_down(kind, what);
        }
    }

    #[cold]
    #[inline(never)]
    fn write_down(&mut self, kind: Kind, what: &impl Put) {
        let due = self.sides.cx.timers.next_deadline();
        if let Some(tape) = &mut self.sides.cx.outputs.tape {
            tape.write(self.sides.cx.outputs.now, kind as u8, due, what);
        }
    }

    /// What it answers its host.
    #[inline]
    pub(crate) fn answers<T: fmt::Debug>(&mut self, answer: T) -> T {
        if self.sides.cx.outputs.tape.is_some() {
            self.show_answer(&answer);
        }
        answer
    }

    #[cold]
    #[inline(never)]
    fn show_answer(&mut self, answer: &impl fmt::Debug) {
        if let Some(tape) = &mut self.sides.cx.outputs.tape {
            tape.showed(answer);
        }
    }

    /// What a connection is sent.
    #[inline]
    pub(crate) fn says(&mut self, output: &Outbox) {
        if self.sides.cx.outputs.tape.is_some() {
            self.say_output(output);
        }
    }

    #[cold]
    #[inline(never)]
    fn say_output(&mut self, output: &Outbox) {
        if let Some(tape) = &mut self.sides.cx.outputs.tape {
            output.pieces().for_each(|piece| tape.said(&piece));
        }
    }
}

/// What a shard is made of.
fn placed(options: &Options) -> u64 {
    crate::context::hasher(options).hash_one(PLACED)
}

/// The parts of a header as they are put.
type Parts = (String, (Place, (u16, Option<Arc<View>>)), (Nanos, u64), Options);
