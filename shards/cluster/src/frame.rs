//! The bytes on the bus: who says something, to whom, as of which session, and what.
//!
//! Any bus may carry them. One that several clusters share, or nodes of several releases, delivers what is meant for others: a
//! frame therefore begins with its form and its cluster.
//!
//! *Owns* the form. *Promises* that reading any bytes gives a frame or says why not, within the bytes there are. *Does not* know
//! what has been said before.

use deepstream_engine::codec::{Get, Put, byte, structs};
use deepstream_engine::{Lane, NodeId, Place};

/// Tells frames from whatever else is sent to an inbox.
const MAGIC: u8 = 0xd5;
/// Another form is another number. Nodes do not understand each other's forms.
const FORM: u8 = 1;

/// One side of a link. Whoever lost what it knew of the link is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session {
    /// Whose.
    pub node: NodeId,
    /// The epoch at which the node became a member.
    pub since: u64,
    /// How often this side began anew.
    pub reset: u32,
}

/// What a receiver has of the stream in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// All frames before this number are there.
    pub received: u32,
    /// So many of the last of them wait for being taken, and count for the window.
    pub waiting: u32,
    /// Whether later ones are there.
    pub gap: bool,
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A part of a stream, and what is there of the streams of the other direction.
    Data {
        /// Which stream.
        lane: Lane,
        /// Counts the frames of the stream, wrapping.
        number: u32,
        /// Whether the bundle goes on in the next frame.
        goes_on: bool,
        /// By lane.
        acks: [Ack; 2],
        /// Of one bundle.
        bytes: &'a [u8],
    },
    /// What is there of the streams of the other direction.
    Acks {
        /// By lane.
        acks: [Ack; 2],
    },
    /// Said at regular times, whether there is something to say or not.
    Beat {
        /// Of the charter that the node goes by: whoever has none that is so late is to look at the registry.
        epoch: u64,
        /// As on its [card](crate::Card::yielded).
        yielded: u64,
        /// Whom the node hears: a bit a node.
        hears: u64,
        /// By lane.
        acks: [Ack; 2],
    },
}

/// A frame that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The cluster, by a hash.
    pub cluster: u64,
    /// Who says it.
    pub from: Session,
    /// Whom the sender takes the receiver to be.
    pub to: Session,
    /// What.
    pub said: Said<'a>,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFrame {
    /// They begin like no frame.
    Foreign,
    /// A frame of another release.
    Form(u8),
    /// The rest makes no sense.
    Malformed,
}

structs! {
    Session { node: node, since: since, reset: reset }
    Ack { received: received, waiting: waiting, gap: gap }
}

// It borrows its bytes, as no type of the macros does.
impl Put for Said<'_> {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Data { lane, number, goes_on, acks, bytes } => {
                to.push(0);
                (lane, number, goes_on, (&acks[0], &acks[1])).put(to);
                bytes.put(to);
            }
            Self::Acks { acks } => {
                to.push(1);
                (&acks[0], &acks[1]).put(to);
            }
            Self::Beat { epoch, yielded, hears, acks } => {
                to.push(2);
                (epoch, yielded, hears, (&acks[0], &acks[1])).put(to);
            }
        }
    }
}

impl<'a> Get<'a> for Said<'a> {
    fn get(from: &mut &'a [u8]) -> Option<Self> {
        Some(match byte(from)? {
            0 => Self::Data {
                lane: Get::get(from)?,
                number: Get::get(from)?,
                goes_on: Get::get(from)?,
                acks: acks(from)?,
                bytes: Get::get(from)?,
            },
            1 => Self::Acks { acks: acks(from)? },
            2 => Self::Beat {
                epoch: Get::get(from)?,
                yielded: Get::get(from)?,
                hears: Get::get(from)?,
                acks: acks(from)?,
            },
            _ => return None,
        })
    }
}

/// Without a list on the heap, which an array of the codec's would be read by.
fn acks(from: &mut &[u8]) -> Option<[Ack; 2]> {
    Some([Get::get(from)?, Get::get(from)?])
}

impl<'a> Frame<'a> {
    /// The most bytes that a frame has beside those of its bundle.
    pub const OVERHEAD_BYTES_MAX: usize = 96;

    /// Writes it.
    pub fn write(&self, to: &mut Vec<u8>) {
        to.extend([MAGIC, FORM]);
        to.extend(self.cluster.to_le_bytes());
        (&self.from, &self.to).put(to);
        self.said.put(to);
    }

    /// Reads one.
    pub fn read(bytes: &'a [u8]) -> Result<Self, NoFrame> {
        match *bytes {
            [MAGIC, FORM, ref rest @ ..] => Self::rest(rest).ok_or(NoFrame::Malformed),
            [MAGIC, form, ..] => Err(NoFrame::Form(form)),
            _ => Err(NoFrame::Foreign),
        }
    }

    fn rest(bytes: &'a [u8]) -> Option<Self> {
        let (cluster, mut from) = bytes.split_first_chunk()?;
        let [sender, receiver] = [Session::get(&mut from)?, Session::get(&mut from)?];
        let said = Said::get(&mut from)?;
        let is_node = |session: Session| session.node.0 < Place::NODES_MAX;
        let whole = from.is_empty() && is_node(sender) && is_node(receiver);
        whole.then_some(Self { cluster: u64::from_le_bytes(*cluster), from: sender, to: receiver, said })
    }
}
