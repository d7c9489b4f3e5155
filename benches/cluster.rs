//! What packets between nodes cost on their way: written as a bundle, read again, and carried by a link.

mod common;

use bytes::Bytes;
use common::Case;
use deepstream_cluster::{Frame, Link, LinkSettings, Session};
use deepstream_engine::{Bundle, BundleWriter, ConnId, Frames, Lane, Nanos, NodeId, Packet, Place};
use deepstream_wire::Wire;

fn main() {
    common::main(vec![
        write("cluster/bundle_write_1", 1),
        write("cluster/bundle_write_32", 32),
        read("cluster/bundle_read_1", 1),
        read("cluster/bundle_read_32", 32),
        send_and_hear("cluster/link_send_and_hear"),
        beat("cluster/link_beat"),
    ]);
}

/// Fan-outs of bodies of their own, as of so many events.
fn packets(count: u32) -> Vec<Packet> {
    let except = ConnId { core: Place::of(NodeId(2), 1), generation: 3, slot: 4 };
    let packet = |slot| {
        let frames = [const { Bytes::new() }; Wire::COUNT].map(|_| Bytes::from(vec![b'x'; 100]));
        Packet::FanOut { slot, end: false, except, frames: Frames::new(frames) }
    };
    (0..count).map(packet).collect()
}

fn bundle(writer: &mut BundleWriter, packets: &[Packet]) -> Bytes {
    writer.begin(7, 1);
    assert_eq!(writer.section(3, packets), Ok(packets.len()));
    writer.end().expect("something was put in")
}

fn write(name: &'static str, count: u32) -> Case {
    let packets = packets(count);
    let mut writer = BundleWriter::default();
    Case::once(name, move || bundle(&mut writer, &packets).len() as u64)
}

fn read(name: &'static str, count: u32) -> Case {
    let bytes = bundle(&mut BundleWriter::default(), &packets(count));
    Case::once(name, move || {
        let head = Bundle::read(&bytes).expect("a bundle");
        let mut read = 0;
        for (_, at) in head.sections {
            Bundle::read_section(&bytes, at, |_| read += 1).expect("a section");
        }
        read
    })
}

fn pair() -> [Link; 2] {
    let session = |node| Session { node: NodeId(node), since: 5, reset: 0 };
    [0, 1].map(|at| Link::new(Nanos(0), session(at), session(1 - at), LinkSettings::default()))
}

/// Carries what an end has to the other.
fn carry(now: Nanos, from: &mut Link, to: &mut Link, frame: &mut Vec<u8>) {
    while from.next_frame(now, 7, frame) {
        let bytes = Bytes::from(std::mem::take(frame));
        let read = Frame::read(&bytes).expect("a link writes frames");
        to.heard(now, &read, &bytes);
    }
}

/// A bundle there, and its acknowledgement back.
fn send_and_hear(name: &'static str) -> Case {
    let [mut a, mut b] = pair();
    let bundle = bundle(&mut BundleWriter::default(), &packets(1));
    let (mut now, mut frame) = (Nanos(1), Vec::new());
    Case::once(name, move || {
        a.send(Lane::Deliveries, bundle.clone());
        carry(now, &mut a, &mut b, &mut frame);
        let taken = b.take(now, Lane::Deliveries).expect("it came");
        now = now.after(2_000_000);
        carry(now, &mut b, &mut a, &mut frame);
        assert_eq!(a.census().held_bytes, 0);
        taken.len() as u64
    })
}

fn beat(name: &'static str) -> Case {
    let [mut a, mut b] = pair();
    let mut frame = Vec::new();
    Case::once(name, move || {
        a.beat(5, 7, 3);
        carry(Nanos(1), &mut a, &mut b, &mut frame);
        b.census().in_flight as u64
    })
}
