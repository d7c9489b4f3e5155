//! What stands on a tape.

use super::{Parts, placed};
use crate::codec::{Get, byte};
use crate::ident::{ConnId, Nanos, NodeId, Place};
use crate::output::{Completion, Headers, Peer};
use crate::packet::{Lane, Packet};
use crate::permissions::Permissions;
use crate::shard::{Options, Shard};
use crate::view::View;
use deepstream_wire::{Message, Unreadable, Wire};
use std::sync::Arc;

/// The first frame: which shard it was, and how it was made.
#[derive(Clone, Debug)]
pub struct Header {
    /// Of the engine that wrote it.
    pub version: String,
    /// Which shard.
    pub core: Place,
    /// Of how many of its node.
    pub cores: u16,
    /// The view it was made with; none: a server alone.
    pub view: Option<Arc<View>>,
    /// When it was made.
    pub begun: Nanos,
    /// What it was made with.
    pub options: Options,
    placed: u64,
}

impl Header {
    /// Reads it; `None` if it is no header.
    pub fn read(mut frame: &[u8]) -> Option<Self> {
        let (version, (core, (cores, view)), (begun, placed), options) = Parts::get(&mut frame)?;
        let is_placed = match &view {
            None => core.node() == NodeId(0) && core.core() < cores,
            Some(view) => view.has(core),
        };
        (frame.is_empty() && is_placed).then_some(Self { version, core, cores, view, begun, options, placed })
    }

    /// Whether this build places names on cores as the one that wrote it.
    pub fn is_placed_alike(&self) -> bool {
        placed(&self.options) == self.placed
    }

    /// The shard, as it began.
    pub fn shard(&self) -> Shard {
        match &self.view {
            None => Shard::new(self.begun, self.core, self.cores, self.options.clone()),
            Some(view) => Shard::member(self.begun, self.core, Arc::clone(view), self.options.clone()),
        }
    }
}

/// One input, and a digest of what was said before it.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Of everything said since the tape began.
    pub digest: u32,
    /// When it came in.
    pub at: Nanos,
    /// What came in.
    pub input: Input<'a>,
}

impl<'a> Entry<'a> {
    /// Reads one that follows an entry, or the beginning, of the moment `before`; `None` if it is no entry.
    pub fn read(frame: &'a [u8], before: Nanos) -> Option<Self> {
        let (digest, mut rest) = frame.split_first_chunk::<4>()?;
        let kind = byte(&mut rest)?;
        let at = Nanos(before.0.wrapping_add(u64::get(&mut rest)?));
        let input = Input::read(kind, &mut rest)?;
        rest.is_empty().then_some(Self { digest: u32::from_le_bytes(*digest), at, input })
    }
}

macro_rules! inputs {
    ($life:lifetime; $($(#[$doc:meta])* $number:literal $kind:ident($($name:ident: $type:ty),*),)*) => {
        /// Tells entries apart on a tape.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Kind { $($kind = $number,)* }

        /// A call of one of the [`Shard`]'s entry points.
        #[derive(Debug)]
        pub enum Input<$life> { $($(#[$doc])* $kind($($type),*),)* }

        impl<$life> Input<$life> {
            fn read(kind: u8, from: &mut &$life [u8]) -> Option<Self> {
                match kind {
                    $($number => {
                        $(let $name = Get::get(from)?;)*
                        Some(Self::$kind($($name),*))
                    })*
                    _ => None,
                }
            }
        }
    };
}

inputs! { 'a;
    /// [`Shard::connected`].
    1 Connected(peer: Peer),
    /// [`Shard::upgraded`].
    2 Upgraded(conn: ConnId, wire: Wire, referer: &'a str, headers: Headers),
    /// [`Shard::introduced`].
    3 Introduced(conn: ConnId, client: &'a [u8], silence_ns_max: Option<u64>),
    /// [`Shard::speaks_for`].
    4 SpeaksFor(conn: ConnId, remote: &'a str),
    /// [`Shard::became_http`].
    5 BecameHttp(conn: ConnId),
    /// [`Shard::received`].
    6 Received(conn: ConnId, message: Message<&'a [u8]>),
    /// [`Shard::will`].
    7 Will(conn: ConnId, message: Message<&'a [u8]>),
    /// [`Shard::unreadable`].
    8 Unreadable(conn: ConnId, what: Unreadable),
    /// [`Shard::raw`].
    9 Raw(conn: ConnId, bytes: &'a [u8]),
    /// [`Shard::goodbye`].
    10 Goodbye(conn: ConnId, bytes: &'a [u8], oversized: bool),
    /// [`Shard::flushed`].
    11 Flushed(conn: ConnId, bytes: usize),
    /// [`Shard::disconnected`].
    12 Disconnected(conn: ConnId),
    /// [`Shard::packet`].
    13 Packet(from_core: Place, packet: Packet),
    /// [`Shard::completed`].
    14 Completed(outcome: Completion),
    /// [`Shard::tick`].
    15 Tick(),
    /// [`Shard::adopt_permissions`].
    16 Adopted(permissions: Arc<Permissions>),
    /// [`Shard::stop`].
    17 Stop(),
    /// [`Shard::dirty`], where there was something.
    18 Dirty(),
    /// [`Shard::take_output`].
    19 TakeOutput(conn: ConnId),
    /// [`Shard::closes`], where there was something.
    20 Closes(),
    /// [`Shard::resumed`], where there was something.
    21 Resumed(),
    /// [`Shard::take_packets`], where so many were taken.
    22 TakePackets(to: Place, lane: Lane, count: usize),
    /// [`Shard::host_requests`], where there was something.
    23 HostRequests(),
    /// [`Shard::notes`], where there was something.
    24 Notes(),
    /// [`Shard::take_stores`], where there was something.
    25 TakeStores(),
    /// [`Shard::holds`].
    28 Holds(conn: ConnId, unsent: usize, received: usize),
    /// [`Shard::end_tape`], with what the shard held.
    26 End(census: &'a str),
    /// [`Shard::heard`].
    27 Heard(conn: ConnId),
    /// [`Shard::adopt_view`].
    30 View(view: Arc<View>),
    /// [`Shard::turned`].
    29 Turned(conn: ConnId, wire: Wire),
}
