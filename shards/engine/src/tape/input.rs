//! What stands on a tape: the inputs of a shard, one after the other.

use crate::codec::{Get, byte};
use crate::ident::{ConnId, Nanos, NodeId, Place};
use crate::output::{Completion, Headers, Peer};
use crate::packet::{Lane, Packet};
use crate::permissions::Permissions;
use crate::view::View;
use deepstream_wire::{Message, Unreadable, Wire};
use std::sync::Arc;

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

        /// A call of one of the [`Shard`](crate::Shard)'s entry points.
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
    /// [`Shard::connected`](crate::Shard::connected).
    1 Connected(peer: Peer),
    /// [`Shard::upgraded`](crate::Shard::upgraded).
    2 Upgraded(conn: ConnId, wire: Wire, referer: &'a str, headers: Headers),
    /// [`Shard::introduced`](crate::Shard::introduced).
    3 Introduced(conn: ConnId, client: &'a [u8], silence_ns_max: Option<u64>),
    /// [`Shard::speaks_for`](crate::Shard::speaks_for).
    4 SpeaksFor(conn: ConnId, remote: &'a str),
    /// [`Shard::became_http`](crate::Shard::became_http).
    5 BecameHttp(conn: ConnId),
    /// [`Shard::received`](crate::Shard::received).
    6 Received(conn: ConnId, message: Message<&'a [u8]>),
    /// [`Shard::will`](crate::Shard::will).
    7 Will(conn: ConnId, message: Message<&'a [u8]>),
    /// [`Shard::unreadable`](crate::Shard::unreadable).
    8 Unreadable(conn: ConnId, what: Unreadable),
    /// [`Shard::raw`](crate::Shard::raw).
    9 Raw(conn: ConnId, bytes: &'a [u8]),
    /// [`Shard::goodbye`](crate::Shard::goodbye).
    10 Goodbye(conn: ConnId, bytes: &'a [u8], oversized: bool),
    /// [`Shard::flushed`](crate::Shard::flushed).
    11 Flushed(conn: ConnId, bytes: usize),
    /// [`Shard::disconnected`](crate::Shard::disconnected).
    12 Disconnected(conn: ConnId),
    /// [`Shard::packet`](crate::Shard::packet).
    13 Packet(from_core: Place, packet: Packet),
    /// [`Shard::completed`](crate::Shard::completed).
    14 Completed(outcome: Completion),
    /// [`Shard::tick`](crate::Shard::tick).
    15 Tick(),
    /// [`Shard::adopt_permissions`](crate::Shard::adopt_permissions).
    16 Adopted(permissions: Arc<Permissions>),
    /// [`Shard::stop`](crate::Shard::stop).
    17 Stop(),
    /// [`Shard::dirty`](crate::Shard::dirty), where there was something.
    18 Dirty(),
    /// [`Shard::take_output`](crate::Shard::take_output).
    19 TakeOutput(conn: ConnId),
    /// [`Shard::closes`](crate::Shard::closes), where there was something.
    20 Closes(),
    /// [`Shard::resumed`](crate::Shard::resumed), where there was something.
    21 Resumed(),
    /// [`Shard::take_packets`](crate::Shard::take_packets), where so many were taken.
    22 TakePackets(to: Place, lane: Lane, count: usize),
    /// [`Shard::host_requests`](crate::Shard::host_requests), where there was something.
    23 HostRequests(),
    /// [`Shard::notes`](crate::Shard::notes), where there was something.
    24 Notes(),
    /// [`Shard::take_stores`](crate::Shard::take_stores), where there was something.
    25 TakeStores(),
    /// [`Shard::holds`](crate::Shard::holds).
    28 Holds(conn: ConnId, unsent: usize, received: usize),
    /// [`Shard::end_tape`](crate::Shard::end_tape), with what the shard held.
    26 End(census: &'a str),
    /// [`Shard::heard`](crate::Shard::heard).
    27 Heard(conn: ConnId),
    /// [`Shard::adopt_view`](crate::Shard::adopt_view).
    30 View(view: Arc<View>),
    /// [`Shard::claimed`](crate::Shard::claimed).
    31 Claimed(slots: Vec<u16>, generation: u64),
    /// [`Shard::leased`](crate::Shard::leased).
    32 Leased(since: u64, until: Nanos),
    /// [`Shard::restarted`](crate::Shard::restarted).
    33 Restarted(node: NodeId, since: u64, link: u32),
    /// [`Shard::reached`](crate::Shard::reached).
    34 Reached(node: NodeId, since: u64, heard: bool),
    /// [`Shard::suspended`](crate::Shard::suspended).
    35 Suspended(epoch: u64),
    /// [`Shard::turned`](crate::Shard::turned).
    29 Turned(conn: ConnId, wire: Wire),
}
