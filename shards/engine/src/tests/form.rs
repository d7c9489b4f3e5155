//! The bytes of packets: what was written is read, whatever is read is a packet or none.

use crate::ident::{ConnId, Nanos, NodeId, Place};
use crate::output::Frames;
use crate::packet::{Forwarded, Identity, NoPacket, Packet, Rejoin, Rejoined, ReplyTo};
use crate::pattern::NamePattern;
use crate::permissions::{Permissions, RuleLookupId, Shadow};
use crate::view::{Member, View};
use bytes::Bytes;
use deepstream_valve::Ruleset;
use deepstream_valve::check::check_rows;
use deepstream_wire::{Action, Flags, Head, Span, Topic, Wire};
use proptest::prelude::*;
use std::sync::Arc;

/// How many kinds of packets there are.
const KINDS: u8 = 30;
/// The kinds that are lists.
const LISTS: [u8; 5] = [9, 11, 23, 25, 28];

/// What packets are made of, drawn from bytes; nothing but zeros once they are used up.
struct Draw<'a> {
    left: &'a [u8],
    /// Bytes that were drawn to be carried.
    carried: usize,
}

impl Draw<'_> {
    fn number(&mut self) -> u64 {
        let (&width, rest) = self.left.split_first().unwrap_or((&0, &[]));
        let (number, rest) = rest.split_at(rest.len().min(usize::from(width % 9)));
        self.left = rest;
        number.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
    }

    fn small(&mut self) -> u32 {
        self.number() as u32
    }

    fn yes(&mut self) -> bool {
        self.number() & 1 == 1
    }

    fn bytes(&mut self) -> Bytes {
        let wanted = self.small() as usize % 300;
        let len = wanted.min(self.left.len());
        let (bytes, rest) = self.left.split_at(len);
        self.left = rest;
        self.carried += len;
        Bytes::copy_from_slice(bytes)
    }

    fn boxed(&mut self) -> Box<[u8]> {
        self.bytes().to_vec().into()
    }

    fn option<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.yes().then(|| draw(self))
    }

    fn text(&mut self) -> Box<str> {
        let text: String = "é.a-z/0".repeat(5).chars().take(self.small() as usize % 30).collect();
        self.carried += text.len();
        text.into()
    }

    fn conn(&mut self) -> ConnId {
        ConnId { core: Place(self.small() as u16), generation: self.small() as u16, slot: self.small() }
    }

    fn reply_to(&mut self) -> ReplyTo {
        let [name_id, attempt, bulk_request, bulk_generation, part, rules] = [(); 6].map(|()| self.small());
        ReplyTo { name_id, attempt, bulk_request, bulk_generation, part, rules }
    }

    fn identity(&mut self) -> Arc<Identity> {
        Arc::new(Identity {
            user: self.text(),
            wire: Wire::ALL[self.small() as usize % Wire::COUNT],
            client: self.option(Self::boxed),
            client_data: self.option(Self::boxed),
            server_data: self.option(Self::boxed),
        })
    }

    fn forwarded(&mut self) -> Forwarded {
        let action = [Action::EventEmit, Action::RecordPatch, Action::RpcRequest][self.small() as usize % 3];
        let [name, data, correlation_id, path, names] =
            [(); 5].map(|()| Span { start: self.small(), len: self.small() });
        let (version, flags) = (self.small().cast_signed(), Flags(self.small() as u16));
        let head = Head {
            name_hash: self.number(),
            version,
            flags,
            name,
            data,
            correlation_id,
            path,
            names,
            ..Head::new(action)
        };
        Forwarded { conn: self.conn(), reply_to: self.reply_to(), head, bytes: self.bytes() }
    }

    fn frames(&mut self) -> Frames {
        let mut frames = [const { Bytes::new() }; Wire::COUNT];
        for wire in 0..Wire::COUNT {
            frames[wire] = match self.option(Self::small) {
                Some(twin) if wire > 0 => frames[twin as usize % wire].clone(),
                _ => self.bytes(),
            };
        }
        Frames::new(frames)
    }

    fn ruleset(&mut self) -> Arc<Ruleset> {
        let text = ["true", "user.id === 'a'", "_('r/' + $x) !== null"][self.small() as usize % 3];
        Arc::new(check_rows(&[("record", "r/$x", "read", text)]).expect("good rules").ruleset)
    }

    fn permissions(&mut self) -> Arc<Permissions> {
        let shadow = |draw: &mut Self| {
            Arc::new(Shadow {
                ruleset: draw.ruleset(),
                file: draw.text(),
                live_file: draw.text(),
                samples_per_minute_max: draw.small(),
            })
        };
        Arc::new(Permissions {
            generation: self.small(),
            ruleset: self.option(Self::ruleset),
            shadow: self.option(shadow),
            rounds_max: self.small(),
            sweep_ns: self.number(),
            guarded: (0..self.small() % 4).map(|_| self.boxed()).collect(),
        })
    }

    fn rule_lookup(&mut self) -> RuleLookupId {
        RuleLookupId { index: self.small(), generation: self.small() }
    }

    fn rejoin(&mut self) -> Rejoin {
        Rejoin {
            topic: if self.yes() { Topic::Event } else { Topic::Record },
            hash: self.number(),
            name: self.boxed(),
            name_id: self.small(),
            attempt: self.small(),
            count: self.small(),
            sum: [self.number(), self.number()],
            wires: self.small() as u16,
            version: self.option(|draw| draw.small().cast_signed()),
        }
    }

    fn rejoined(&mut self) -> Rejoined {
        let [name_id, attempt, slot, epoch] = [(); 4].map(|()| self.small());
        Rejoined { name_id, attempt, slot, epoch }
    }

    fn view(&mut self) -> Arc<View> {
        let node = NodeId(self.small() as u8 % Place::NODES_MAX);
        let member = Member { node, cores: 1, incarnation: self.number(), since: 0 };
        let (epoch, seed) = (self.number(), [self.number(), self.number()]);
        let (slots, since) = (vec![node; View::SLOTS].into(), vec![0; View::SLOTS].into());
        Arc::new(View::new(epoch, seed, vec![member], slots, since).expect("a view"))
    }

    fn packet(&mut self, kind: u8) -> Packet {
        match kind {
            0 => Packet::Request(self.forwarded()),
            1 => Packet::Introduce(self.conn(), self.identity()),
            2 => Packet::Farewell(self.conn(), self.yes()),
            3 => Packet::Leave { conn: self.conn(), slot: self.small(), epoch: self.small() },
            4 => Packet::Presence { conn: self.conn(), identity: self.identity(), online: self.yes() },
            5 => Packet::Everyone { conn: self.conn(), reply_to: self.reply_to(), on: self.yes() },
            6 => {
                let topic = if self.yes() { Topic::Event } else { Topic::Record };
                let pattern = NamePattern::compile(&self.text()).expect("a pattern");
                Packet::Listen {
                    conn: self.conn(),
                    reply_to: self.reply_to(),
                    topic,
                    pattern: Arc::new(pattern),
                    on: self.yes(),
                }
            }
            7 => Packet::Users { conn: self.conn(), reply_to: self.reply_to() },
            8 => Packet::RemoteRead {
                rule_lookup: self.rule_lookup(),
                place: self.small(),
                hash: self.number(),
                name: self.boxed(),
            },
            9 => Packet::Rules(self.permissions()),
            10 => {
                let found = if self.yes() { Ok(self.option(Self::bytes)) } else { Err(()) };
                Packet::RemoteReadDone { rule_lookup: self.rule_lookup(), place: self.small(), found }
            }
            11 => {
                let users = (0..self.small() % 9).map(|_| self.boxed()).collect();
                Packet::Online { reply_to: self.reply_to(), users }
            }
            12 => Packet::Reply(self.conn(), self.bytes()),
            13 => {
                let (slot, end) = (self.small(), self.yes());
                Packet::FanOut { slot, end, except: self.conn(), frames: self.frames() }
            }
            14 => {
                let (conn, reply_to, provided) = (self.conn(), self.reply_to(), self.yes());
                Packet::Joined { conn, reply_to, slot: self.small(), epoch: self.small(), provided }
            }
            15 => {
                let version = self.option(|draw| draw.small().cast_signed());
                Packet::Settled { conn: self.conn(), reply_to: self.reply_to(), refused: self.yes(), version }
            }
            16 => {
                let at = Nanos(self.number());
                Packet::HoldClientId { conn: self.conn(), at, identity: self.identity(), on: self.yes() }
            }
            17 => Packet::TakenOver(self.conn()),
            18 => Packet::Counted(self.conn()),
            19 => Packet::Withheld(self.forwarded()),
            20 => Packet::Fetched(self.conn(), self.small()),
            21 => Packet::Announced { user: self.boxed(), frames: self.frames() },
            22 => Packet::Flush { epoch: self.number() },
            23 => Packet::Rejoin((0..self.small() % 4).map(|_| self.rejoin()).collect()),
            24 => Packet::Told { epoch: self.number() },
            25 => Packet::View(self.view()),
            26 => Packet::Astray(self.forwarded()),
            27 => Packet::Flushed { epoch: self.number() },
            28 => Packet::Rejoined((0..self.small() % 4).map(|_| self.rejoined()).collect()),
            _ => Packet::Done { name_id: self.small(), attempt: self.small() },
        }
    }
}

fn written(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.write(&mut bytes).expect("short enough");
    bytes
}

fn drawn() -> impl Strategy<Value = (u8, Vec<u8>)> {
    (0..KINDS, prop::collection::vec(any::<u8>(), 0..600))
}

proptest! {
    #[test]
    fn what_is_written_is_read((kind, bytes) in drawn()) {
        let mut draw = Draw { left: &bytes, carried: 0 };
        let packet = draw.packet(kind);
        let bytes = written(&packet);
        prop_assert_eq!(bytes[1], kind);
        if !LISTS.contains(&kind) {
            prop_assert!(bytes.len() <= draw.carried + Packet::OVERHEAD_BYTES_MAX, "{} of {packet:?}", bytes.len());
        }
        let read = Packet::read(&bytes).expect("what was written");
        prop_assert_eq!(format!("{:?}", &read), format!("{:?}", &packet));
        prop_assert_eq!(written(&read), &bytes[..]);
        // Nothing is left out, nothing left over.
        prop_assert_eq!(Packet::read(&bytes[..bytes.len() - 1]).unwrap_err(), NoPacket::Malformed);
        prop_assert_eq!(Packet::read(&[&bytes[..], &[0]].concat()).unwrap_err(), NoPacket::Malformed);
    }

    #[test]
    fn whatever_is_read_is_a_packet_or_none(
        (kind, bytes) in drawn(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = written(&Draw { left: &bytes, carried: 0 }.packet(kind));
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        match Packet::read(&bytes) {
            Ok(packet) => {
                // It may have been written at greater length, never at less.
                let again = written(&packet);
                prop_assert!(again.len() <= bytes.len());
                prop_assert_eq!(written(&Packet::read(&again).expect("what was written")), again);
            }
            Err(NoPacket::Form(form)) => prop_assert_eq!(form, bytes[0]),
            Err(why) => prop_assert_eq!(why, NoPacket::Malformed),
        }
    }

    #[test]
    fn noise_is_a_packet_or_none(kind in 0..=KINDS, noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let form = written(&Packet::Counted(ConnId::NOBODY))[0];
        let read = Packet::read(&[&[form, kind], &noise[..]].concat());
        prop_assert!(kind < KINDS || read.unwrap_err() == NoPacket::Malformed);
    }
}

#[test]
fn packet_of_another_form_is_told_from_what_is_none() {
    let mut bytes = written(&Packet::Counted(ConnId::NOBODY));
    bytes[0] += 1;
    assert_eq!(Packet::read(&bytes).unwrap_err(), NoPacket::Form(bytes[0]));
    assert_eq!(Packet::read(&[]).unwrap_err(), NoPacket::Malformed);
}

#[test]
fn number_of_too_many_bits_is_none() {
    let fetched = |number: &[u8]| Packet::read(&[&written(&Packet::Fetched(ConnId::NOBODY, 0))[..13], number].concat());
    assert!(matches!(fetched(&[0xff, 1]), Ok(Packet::Fetched(ConnId::NOBODY, 0xff))));
    let wide = |last| [&[0x80; 9][..], &[last]].concat();
    for number in [&wide(1)[..], &wide(2), &[0x80; 11], &[0x80, 0x80, 0x80, 0x80, 0x10]] {
        assert_eq!(fetched(number).unwrap_err(), NoPacket::Malformed, "{number:?}");
    }
}

#[test]
fn encoding_that_wires_share_is_written_once() {
    let frame = Bytes::from(vec![7; 10_000]);
    let frames = Frames::new([const { Bytes::new() }; Wire::COUNT].map(|_| frame.clone()));
    let packet = Packet::FanOut { slot: 0, end: false, except: ConnId::NOBODY, frames };
    let bytes = written(&packet);
    assert!(bytes.len() < frame.len() + Packet::OVERHEAD_BYTES_MAX, "{}", bytes.len());
    let Ok(Packet::FanOut { frames, .. }) = Packet::read(&bytes) else { panic!("what was written") };
    assert!(Wire::ALL.iter().all(|&wire| *frames.of(wire) == frame));
}
