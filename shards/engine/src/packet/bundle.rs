//! What one core has for the cores of another node, as one message: what many are told stands in it once.
//!
//! A bundle is the epoch of the view by which it was written, the core that it is from, *bodies* (the encodings of fan-outs), and
//! *sections*: for each core that it is for, its packets, in which bodies are named by their numbers. A thread of the receiving
//! node reads the head alone, and gives each core the same bytes with the place of its section.
//!
//! *Owns* the form of bundles; packets are written by their own. *Promises* that reading is total, and takes memory in proportion to
//! the bytes; that packets of a section come out as they were put in, in their order. *Does not* know lanes: a bundle is of one.

use super::{NoPacket, Packet};
use crate::codec::{Get, Put, byte};
use crate::output::Frames;
use bytes::Bytes;
use std::ops::Range;

/// A packet by its own form; a fan-out, and an announcement, of a body.
const WHOLE: u8 = 0;
const FAN_OUT: u8 = 1;
const ANNOUNCED: u8 = 2;

/// Writes bundles, one after the other.
#[derive(Debug, Default)]
pub struct BundleWriter {
    head: Vec<u8>,
    bodies: Vec<Frames>,
    body_bytes: Vec<u8>,
    sections: Vec<u8>,
    section: Vec<u8>,
    count: usize,
}

/// The head of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Of the view by which it was written.
    pub epoch: u64,
    /// The core of the sender.
    pub from: u16,
    /// For each core that it is for, where its section is.
    pub sections: Vec<(u16, Range<usize>)>,
}

impl BundleWriter {
    /// A bundle takes no more packets once it has so many bytes: those of other cores need not wait behind them for long.
    pub const BYTES_MAX: usize = 256 << 10;

    /// Begins a bundle. The epoch comes first, eight bytes with the least first: whoever carries it may have to hold it until
    /// there is such a view.
    pub fn begin(&mut self, epoch: u64, from: u16) {
        self.head.clear();
        self.head.extend(epoch.to_le_bytes());
        from.put(&mut self.head);
        self.bodies.clear();
        self.body_bytes.clear();
        self.sections.clear();
        self.count = 0;
    }

    /// Puts in packets for a core, in order; returns how many. The others are for the next bundle. A packet that is too long for
    /// any is an error if it is the first; those before it are taken otherwise.
    pub fn section(&mut self, to: u16, packets: &[Packet]) -> Result<usize, NoPacket> {
        self.section.clear();
        // One body is not sent twice to the same core.
        let shared = self.bodies.len();
        let (mut taken, mut next) = (0, 0);
        for packet in packets {
            if self.len() >= Self::BYTES_MAX && (taken > 0 || self.count > 0) {
                break;
            }
            if let Err(why) = self.packet(packet, shared, &mut next) {
                if taken == 0 {
                    return Err(why);
                }
                break;
            }
            taken += 1;
        }
        if taken > 0 {
            to.put(&mut self.sections);
            self.section.put(&mut self.sections);
            self.count += 1;
        }
        Ok(taken)
    }

    fn len(&self) -> usize {
        self.body_bytes.len() + self.sections.len() + self.section.len()
    }

    fn packet(&mut self, packet: &Packet, shared: usize, next: &mut usize) -> Result<(), NoPacket> {
        if let Packet::FanOut { slot, end, except, frames } = packet {
            let body = self.body(frames, shared, next);
            self.section.push(FAN_OUT);
            (body, slot, end, except).put(&mut self.section);
        } else if let Packet::Announced { user, frames } = packet {
            let body = self.body(frames, shared, next);
            self.section.push(ANNOUNCED);
            (body, user).put(&mut self.section);
        } else {
            let before = self.section.len();
            self.section.push(WHOLE);
            packet.write(&mut self.section).inspect_err(|_| self.section.truncate(before))?;
        }
        Ok(())
    }

    /// The number of a body. Cores are told the same in the same order: the next of the shared ones is nearly always the one.
    fn body(&mut self, frames: &Frames, shared: usize, next: &mut usize) -> usize {
        let found = (*next..shared).chain(0..*next).find(|&at| self.bodies[at].is(frames));
        if let Some(at) = found {
            *next = at + 1;
            return at;
        }
        frames.put(&mut self.body_bytes);
        self.bodies.push(frames.clone());
        self.bodies.len() - 1
    }

    /// The bundle. Nothing if nothing was put in.
    pub fn end(&mut self) -> Option<Bytes> {
        if self.count == 0 {
            return None;
        }
        let mut bundle = Vec::with_capacity(self.head.len() + self.len() + 32);
        bundle.extend_from_slice(&self.head);
        self.bodies.len().put(&mut bundle);
        self.body_bytes.put(&mut bundle);
        self.count.put(&mut bundle);
        bundle.extend_from_slice(&self.sections);
        self.bodies.clear();
        Some(bundle.into())
    }
}

impl Bundle {
    /// Reads the head.
    pub fn read(bytes: &[u8]) -> Result<Self, NoPacket> {
        Self::get(bytes).map(|(bundle, _)| bundle).ok_or(NoPacket::Malformed)
    }

    /// The head, and how many bodies in what bytes.
    fn get(bytes: &[u8]) -> Option<(Self, (usize, &[u8]))> {
        let (epoch, mut from) = bytes.split_first_chunk()?;
        let rest = &mut from;
        let core = u16::get(rest)?;
        let bodies = (usize::get(rest)?, <&[u8]>::get(rest)?);
        let count = usize::get(rest)?;
        let mut sections = Vec::with_capacity(count.min(rest.len()));
        for _ in 0..count {
            let (to, section) = <(u16, &[u8])>::get(rest)?;
            let end = bytes.len() - rest.len();
            sections.push((to, end - section.len()..end));
        }
        let bundle = Self { epoch: u64::from_le_bytes(*epoch), from: core, sections };
        rest.is_empty().then_some((bundle, bodies))
    }

    /// Reads one section of a bundle, from the place that its head says.
    pub fn read_section(bytes: &[u8], at: Range<usize>, mut each: impl FnMut(Packet)) -> Result<(), NoPacket> {
        let (_, (count, mut bodies)) = Self::get(bytes).ok_or(NoPacket::Malformed)?;
        let mut rest = bytes.get(at).ok_or(NoPacket::Malformed)?;
        // Numbers of a section ascend nearly always: bodies are read as far as they are asked for.
        let mut read: Vec<Frames> = Vec::new();
        while !rest.is_empty() {
            let packet = Self::packet(&mut rest, count, &mut bodies, &mut read).ok_or(NoPacket::Malformed)?;
            each(packet);
        }
        Ok(())
    }

    fn packet(rest: &mut &[u8], count: usize, bodies: &mut &[u8], read: &mut Vec<Frames>) -> Option<Packet> {
        let kind = byte(rest)?;
        if kind == WHOLE {
            return Packet::get(rest);
        }
        let body = usize::get(rest).filter(|&body| body < count)?;
        while read.len() <= body {
            read.push(Frames::get(bodies)?);
        }
        let frames = read[body].clone();
        match kind {
            FAN_OUT => {
                Some(Packet::FanOut { slot: Get::get(rest)?, end: Get::get(rest)?, except: Get::get(rest)?, frames })
            }
            ANNOUNCED => Some(Packet::Announced { user: Get::get(rest)?, frames }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::{ConnId, NodeId, Place};
    use deepstream_wire::Wire;

    fn frames(text: &'static str) -> Frames {
        Frames::new([const { Bytes::from_static(b"") }; Wire::COUNT].map(|_| Bytes::from_static(text.as_bytes())))
    }

    fn fan_out(slot: u32, frames: &Frames) -> Packet {
        let except = ConnId { core: Place::of(NodeId(2), 1), generation: 3, slot };
        Packet::FanOut { slot, end: slot == 1, except, frames: frames.clone() }
    }

    fn told(slot: u32, [one, two]: &[Frames; 2]) -> Vec<Packet> {
        vec![
            fan_out(slot, one),
            Packet::Farewell(ConnId::NOBODY, false),
            fan_out(slot + 1, two),
            Packet::Announced { user: b"ann"[..].into(), frames: one.clone() },
        ]
    }

    fn read(bytes: &[u8]) -> Result<(Bundle, Vec<Vec<String>>), NoPacket> {
        let bundle = Bundle::read(bytes)?;
        let mut all = Vec::new();
        for (_, at) in &bundle.sections {
            let mut packets = Vec::new();
            Bundle::read_section(bytes, at.clone(), |packet| packets.push(format!("{packet:?}")))?;
            all.push(packets);
        }
        Ok((bundle, all))
    }

    fn written(shared: &[Frames; 2]) -> (Bytes, Vec<Vec<String>>) {
        let mut writer = BundleWriter::default();
        writer.begin(0x0102_0304_0506, 7);
        let mut put = Vec::new();
        for core in [3, 0, 9] {
            let packets = told(core.into(), shared);
            assert_eq!(writer.section(core, &packets), Ok(packets.len()));
            put.push(packets.iter().map(|packet| format!("{packet:?}")).collect());
        }
        (writer.end().unwrap(), put)
    }

    #[test]
    fn every_core_gets_its_packets_and_a_body_is_sent_once() {
        let shared = [frames("a body that many are told"), frames("and another one")];
        let (bytes, put) = written(&shared);
        let (bundle, all) = read(&bytes).unwrap();
        assert_eq!((bundle.epoch, bundle.from), (0x0102_0304_0506, 7));
        assert_eq!(bundle.sections.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [3, 0, 9]);
        assert_eq!(all, put);
        let text = String::from_utf8_lossy(&bytes);
        // An announcement is of its own body in the section that has it first.
        assert_eq!((text.matches("a body that").count(), text.matches("and another").count()), (2, 1));
    }

    #[test]
    fn a_bundle_takes_what_it_may_and_the_rest_later() {
        let large = Frames::new([const { Bytes::new() }; Wire::COUNT].map(|_| Bytes::from(vec![b'x'; 200 << 10])));
        let packets: Vec<Packet> = (0..4).map(|slot| fan_out(slot, &frames("small"))).collect();
        let mut writer = BundleWriter::default();
        writer.begin(1, 0);
        assert!(writer.end().is_none());
        writer.begin(1, 0);
        assert_eq!(writer.section(1, &[fan_out(0, &large), fan_out(1, &frames("small"))]), Ok(2));
        let other = Frames::new([const { Bytes::new() }; Wire::COUNT].map(|_| Bytes::from(vec![b'y'; 200 << 10])));
        assert_eq!(writer.section(2, &[fan_out(0, &other), fan_out(1, &other)]), Ok(1));
        assert_eq!(writer.section(3, &packets), Ok(0));
        assert_eq!(read(&writer.end().unwrap()).unwrap().1.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn whatever_bytes_come_they_are_a_bundle_or_none() {
        let (bytes, _) = written(&[frames("one"), frames("two")]);
        for at in 0..bytes.len() {
            assert!(read(&bytes[..at]).is_err(), "cut at {at}");
            for change in [1, 0x80, 0xff] {
                let mut changed = bytes.to_vec();
                changed[at] ^= change;
                drop(read(&changed));
            }
        }
        assert!(read(&[&bytes[..], &[0]].concat()).is_err());
        assert!(Bundle::read_section(&bytes, 5..usize::MAX, drop).is_err());
    }
}
