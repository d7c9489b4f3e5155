//! What happened, in stable text: two runs of one seed can be compared line by line.
//!
//! *Owns* the last lines of a run. *Promises* to cost nothing where nobody reads it: lines are made on demand.

use deepstream_engine::{ConnId, Packet};
use deepstream_wire::{Flags, Message};
use std::collections::VecDeque;
use std::fmt::Write;

/// How many lines are kept for the report of a failure.
const LINES_KEPT: usize = 100;

/// Whether and how a run is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// Not at all: the run is repeated if it fails.
    Off,
    /// The last lines are kept.
    Keep,
    /// Every line is printed as it is made.
    Print,
}

/// The lines of one run.
#[derive(Debug)]
pub(crate) struct Trace {
    tracing: Tracing,
    lines: VecDeque<String>,
}

impl Trace {
    pub(crate) fn new(tracing: Tracing) -> Self {
        Self { tracing, lines: VecDeque::new() }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, step: u64, line: impl FnOnce() -> String) {
        if self.tracing == Tracing::Off {
            return;
        }
        let line = format!("{step:>6} {}", line());
        if self.tracing == Tracing::Print {
            println!("{line}");
        }
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// What was kept.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

/// A message in a line.
pub(crate) fn describe(message: &Message<&[u8]>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
    let mut line = format!("{} {}", message.head.action.topic().name(), message.head.action.name());
    if message.head.flags.has(Flags::NAME) {
        write!(line, " name={}", text(message.name())).expect("a string takes everything");
    }
    if message.head.flags.has(Flags::NAMES) {
        let names: Vec<String> = message.names().map(text).collect();
        write!(line, " names={}", names.join(",")).expect("a string takes everything");
    }
    if message.head.flags.has(Flags::VERSION) {
        write!(line, " version={}", message.head.version).expect("a string takes everything");
    }
    for (key, value) in [
        ("for", message.subscription()),
        ("corr", message.correlation_id()),
        ("path", message.path()),
        ("data", message.data()),
    ] {
        if let Some(value) = value {
            write!(line, " {key}={}", text(value)).expect("a string takes everything");
        }
    }
    for (word, flag) in [("error", Flags::IS_ERROR), ("ack", Flags::IS_ACK), ("write-ack", Flags::IS_WRITE_ACK)] {
        if message.head.flags.has(flag) {
            line += " ";
            line += word;
        }
    }
    line
}

/// A packet in a line.
pub(crate) fn describe_packet(packet: &Packet) -> String {
    let conn = |conn: &ConnId| format!("{:?}.{}.{}", conn.core, conn.slot, conn.generation);
    match packet {
        Packet::Request(forwarded) => {
            let message = Message { head: forwarded.head, bytes: &forwarded.bytes[..] };
            format!("Request {} {}", conn(&forwarded.conn), describe(&message))
        }
        Packet::Introduce(who, _) => format!("Introduce {}", conn(who)),
        Packet::Farewell(who, _) => format!("Farewell {}", conn(who)),
        Packet::Presence { identity, online, .. } => format!("Presence {} online={online}", identity.user),
        Packet::HoldClientId { conn: who, on, .. } => format!("HoldClientId {} on={on}", conn(who)),
        Packet::TakenOver(who) => format!("TakenOver {}", conn(who)),
        Packet::Counted(who) => format!("Counted {}", conn(who)),
        Packet::Everyone { conn: who, on, .. } => format!("Everyone {} on={on}", conn(who)),
        Packet::Listen { conn: who, topic, pattern, on, .. } => {
            format!("Listen {} {} pattern={} on={on}", conn(who), topic.name(), pattern.source())
        }
        Packet::Users { conn: who, .. } => format!("Users {}", conn(who)),
        Packet::Online { users, .. } => format!("Online users={}", users.len()),
        Packet::Leave { conn: who, slot, epoch, .. } => format!("Leave {} slot={slot} epoch={epoch}", conn(who)),
        Packet::Reply(who, frame) => format!("Reply {} bytes={}", conn(who), frame.len()),
        Packet::FanOut { slot, end, except, .. } => format!("FanOut slot={slot} end={end} except={}", conn(except)),
        Packet::Announced { user, .. } => format!("Announced {}", String::from_utf8_lossy(user)),
        Packet::Joined { conn: who, reply_to, slot, epoch, .. } => {
            format!("Joined {} attempt={} slot={slot} epoch={epoch}", conn(who), reply_to.attempt)
        }
        Packet::RemoteRead { place, name, .. } => {
            format!("RemoteRead place={place} name={}", String::from_utf8_lossy(name))
        }
        Packet::RemoteReadDone { place, found, .. } => {
            format!("RemoteReadDone place={place} found={:?}", found.as_ref().map(Option::is_some))
        }
        Packet::Rules(permissions) => format!("Rules generation={}", permissions.generation),
        Packet::View(view) => format!("View epoch={}", view.epoch()),
        Packet::Flush { epoch } => format!("Flush epoch={epoch}"),
        Packet::Flushed { epoch } => format!("Flushed epoch={epoch}"),
        Packet::Told { epoch } => format!("Told epoch={epoch}"),
        Packet::Rejoin(names) => format!("Rejoin names={}", names.len()),
        Packet::Done { name_id, attempt } => format!("Done name_id={name_id} attempt={attempt}"),
        Packet::Rejoined(names) => format!("Rejoined names={}", names.len()),
        Packet::Astray(forwarded) => {
            let message = Message { head: forwarded.head, bytes: &forwarded.bytes[..] };
            format!("Astray {} {}", conn(&forwarded.conn), describe(&message))
        }
        Packet::Withheld(forwarded) => {
            let message = Message { head: forwarded.head, bytes: &forwarded.bytes[..] };
            format!("Withheld {} bytes={} {}", conn(&forwarded.conn), forwarded.reply_to.part, describe(&message))
        }
        Packet::Fetched(who, number) => format!("Fetched {} number={number}", conn(who)),
        Packet::Settled { conn: who, reply_to, refused, version } => {
            format!("Settled {} part={} refused={refused} version={version:?}", conn(who), reply_to.part)
        }
    }
}
