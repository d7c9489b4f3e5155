//! The bytes of frames between nodes. Any bytes are refused, or read as a frame that is the same after it was written and read
//! again. Reading takes no memory. A link takes any frame without holding more than its settings allow.

use allocation_counter::measure;
use bytes::Bytes;
use deepstream_cluster::{Frame, Link, LinkSettings, NoFrame, Session};
use deepstream_engine::{Lane, Nanos, NodeId};

/// What every frame begins with: random bytes would nearly never.
const BEGINNING: [u8; 2] = [0xd5, 1];

/// `input` is a frame without its first two bytes.
pub(crate) fn run(input: &[u8]) {
    let bytes = Bytes::from([&BEGINNING[..], input].concat());
    let mut read = Err(NoFrame::Malformed);
    let memory = measure(|| read = Frame::read(&bytes));
    assert_eq!(memory.count_total, 0, "reading takes memory");
    let Ok(frame) = read else { return };
    let mut again = Vec::new();
    frame.write(&mut again);
    assert!(again.len() <= bytes.len());
    assert_eq!(Frame::read(&again), Ok(frame));
    heard(&frame, &bytes);
}

/// Whatever the frame claims, of whoever it is.
fn heard(frame: &Frame<'_>, bytes: &Bytes) {
    let settings = LinkSettings { window_frames: 16, ..LinkSettings::default() };
    let own = Session { node: NodeId(1), since: 1, reset: 0 };
    for (own, peer) in [(own, own), (frame.to, frame.from)] {
        let mut link = Link::new(Nanos(0), own, peer, settings);
        link.send(Lane::Deliveries, Bytes::from_static(b"under way"));
        link.next_frame(Nanos(0), 0, &mut Vec::new());
        for at in 1..3 {
            link.heard(Nanos(at), frame, bytes);
            link.tick(Nanos(at));
            while link.next_frame(Nanos(at), 0, &mut Vec::new()) {}
        }
        let census = link.census();
        assert!(census.early <= 16 && census.in_flight <= 1, "{census:?}");
        for lane in Lane::ALL {
            while link.take(Nanos(3), lane).is_some() {}
        }
    }
}
