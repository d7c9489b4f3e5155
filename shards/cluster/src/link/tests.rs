use super::*;
use deepstream_engine::NodeId;

const CLUSTER: u64 = 7;
const MS: u64 = 1_000_000;

fn pair(settings: LinkSettings) -> [Link; 2] {
    let session = |node| Session { node: NodeId(node), since: 5, reset: 0 };
    [0, 1].map(|at| Link::new(Nanos(0), session(at), session(1 - at), settings))
}

fn small() -> LinkSettings {
    LinkSettings { frame_bytes_max: 4, window_frames: 8, window_bytes: 64, ..LinkSettings::default() }
}

fn frames(link: &mut Link, now: Nanos) -> Vec<Bytes> {
    let next = || {
        let mut bytes = Vec::new();
        link.next_frame(now, CLUSTER, &mut bytes).then(|| Bytes::from(bytes))
    };
    std::iter::from_fn(next).collect()
}

fn hear(link: &mut Link, now: Nanos, bytes: &Bytes) -> Heard {
    link.heard(now, &Frame::read(bytes).unwrap(), bytes)
}

#[test]
fn numbers_of_frames_wrap() {
    let [mut a, mut b] = pair(small());
    let close = u32::MAX - 2;
    a.outgoing[1].begin_at(close);
    b.incoming[1].begin_at(close);
    b.told[1].received = close;
    let mut now = Nanos(1);
    for bundle in 0..5_u8 {
        a.send(Lane::Deliveries, Bytes::from(vec![bundle; 9]));
        for frame in frames(&mut a, now) {
            assert_eq!(hear(&mut b, now, &frame), Heard::Taken);
            assert_eq!(hear(&mut b, now, &frame), Heard::Taken);
        }
        assert_eq!(b.take(now, Lane::Deliveries), Some(Bytes::from(vec![bundle; 9])));
        now = now.after(2 * MS);
        for frame in frames(&mut b, now) {
            hear(&mut a, now, &frame);
        }
        assert_eq!(a.census().held_bytes, 0);
    }
    assert_eq!((a.census().resent, b.census().repeated), (0, 15));
}

#[test]
fn what_is_missing_is_sent_again_before_its_time_once_later_frames_are_known() {
    let [mut a, mut b] = pair(small());
    a.send(Lane::Requests, Bytes::from_static(b"one two three four fi"));
    let sent = frames(&mut a, Nanos(1));
    assert_eq!(sent.len(), 6);
    for frame in &sent[1..] {
        hear(&mut b, Nanos(2), frame);
        for ack in frames(&mut b, Nanos(2)) {
            hear(&mut a, Nanos(3), &ack);
        }
    }
    let again = frames(&mut a, Nanos(4));
    assert_eq!((again.len(), a.census().resent), (1, 1));
    hear(&mut b, Nanos(5), &again[0]);
    assert_eq!(b.take(Nanos(5), Lane::Requests).unwrap(), "one two three four fi");
}

#[test]
fn what_nobody_takes_holds_up_its_own_stream_only() {
    let [mut a, mut b] = pair(small());
    for number in 0..20_u8 {
        a.send(Lane::Requests, Bytes::from(vec![number]));
    }
    let mut now = Nanos(0);
    let mut exchange = |a: &mut Link, b: &mut Link| {
        for _ in 0..10 {
            now = now.after(2 * MS);
            for frame in frames(a, now) {
                hear(b, now, &frame);
            }
            for frame in frames(b, now) {
                hear(a, now, &frame);
            }
        }
        now
    };
    exchange(&mut a, &mut b);
    assert_eq!((a.census().in_flight, a.census().held_bytes), (0, 12), "a window of eight waits over there");
    a.send(Lane::Deliveries, Bytes::from_static(b"by"));
    exchange(&mut a, &mut b);
    assert_eq!(b.take(Nanos(0), Lane::Deliveries).unwrap(), "by");
    for number in 0..20_u8 {
        let now = exchange(&mut a, &mut b);
        assert_eq!(b.take(now, Lane::Requests).unwrap()[..], [number]);
    }
}

#[test]
fn a_reset_is_noticed_by_the_other_side_and_nothing_from_before_arrives_after_it() {
    let [mut a, mut b] = pair(small());
    a.send(Lane::Requests, Bytes::from_static(b"old"));
    let old = frames(&mut a, Nanos(1));
    a.reset(3);
    a.send(Lane::Requests, Bytes::from_static(b"new"));
    let new = frames(&mut a, Nanos(2));
    assert_eq!(hear(&mut b, Nanos(3), &new[0]), Heard::Restarted);
    assert_eq!(hear(&mut b, Nanos(3), &old[0]), Heard::Stale);
    assert_eq!((a.number(), b.number()), (3, 3));
    assert_eq!(b.take(Nanos(3), Lane::Requests).unwrap(), "new");
    assert_eq!(b.take(Nanos(3), Lane::Requests), None);
    b.send(Lane::Requests, Bytes::from_static(b"back"));
    assert_eq!(hear(&mut a, Nanos(4), &frames(&mut b, Nanos(4))[0]), Heard::Taken);
    assert_eq!(a.take(Nanos(4), Lane::Requests).unwrap(), "back");
}

#[test]
fn who_is_of_another_membership_is_a_stranger() {
    let [mut a, b] = pair(small());
    a.beat(1, 1, 0);
    let beat = &frames(&mut a, Nanos(1))[0];
    let restarted = Session { since: 6, ..b.peer };
    let mut other = Link::new(Nanos(0), b.own, restarted, small());
    assert_eq!(hear(&mut other, Nanos(1), beat), Heard::Stranger);
    assert!(other.is_silent(Nanos(3_000 * MS)) && !other.is_silent(Nanos(1_000 * MS)));
}

#[test]
fn a_link_behind_whose_first_bundle_too_much_waits_says_so() {
    let [mut a, _] = pair(LinkSettings { held_bytes_max: 100, ..small() });
    a.send(Lane::Requests, Bytes::from(vec![0; 90]));
    assert!(!a.has_room(Lane::Requests) && a.has_room(Lane::Deliveries) && !a.is_overfull());
    a.send(Lane::Deliveries, Bytes::from(vec![0; 20]));
    a.send(Lane::Deliveries, Bytes::from(vec![0; 100]));
    assert!(!a.is_overfull(), "each stream has one in front");
    a.send(Lane::Requests, Bytes::from(vec![0; 1]));
    assert!(a.is_overfull());
    a.reset(1);
    assert!(!a.is_overfull() && a.has_room(Lane::Requests));
}

#[test]
fn whoever_sends_more_than_a_window_makes_an_end_hold_no_more() {
    let settings = LinkSettings { bundle_bytes_max: 100, ..small() };
    let data = |number, goes_on, len: usize| {
        let session = |node| Session { node: NodeId(node), since: 5, reset: 0 };
        let (acks, bytes) = (Default::default(), &vec![0; len][..]);
        let said = Said::Data { lane: Lane::Requests, number, goes_on, acks, bytes };
        let mut frame = Vec::new();
        Frame { cluster: CLUSTER, from: session(0), to: session(1), said }.write(&mut frame);
        Bytes::from(frame)
    };
    // In order and never taken, ahead of what never comes, of a bundle that never ends, and in parts of nothing.
    let floods: [&dyn Fn(u32) -> Bytes; 4] = [
        &|number| data(number, false, 50),
        &|number| data(1 + number % 7, false, 50),
        &|number| data(number, true, 50),
        &|number| data(number, true, 0),
    ];
    for (which, flood) in floods.iter().enumerate() {
        let [_, mut b] = pair(settings);
        for number in 0..100_000 {
            hear(&mut b, Nanos(1), &flood(number));
        }
        let incoming = &b.incoming[0];
        let (bytes, parts) = incoming.holds();
        assert!(bytes <= 64 * 4 + 100 + 50 && parts <= (1 << 16) + 8, "{which}: {bytes} bytes in {parts} parts");
        assert!(b.census().wrong > 0, "{which}");
    }
}

#[test]
fn a_bundle_larger_than_all_that_may_wait_comes_through() {
    let [mut a, mut b] = pair(LinkSettings { held_bytes_max: 100, ..small() });
    let large = Bytes::from(vec![7; 1000]);
    a.send(Lane::Deliveries, large.clone());
    a.send(Lane::Deliveries, Bytes::from_static(b"next"));
    let mut now = Nanos(0);
    let mut arrived = Vec::new();
    while arrived.len() < 2 && now < Nanos(1000 * MS) {
        assert!(!a.is_overfull(), "{:?}", a.census());
        now = now.after(2 * MS);
        for frame in frames(&mut a, now) {
            assert_eq!(hear(&mut b, now, &frame), Heard::Taken);
        }
        for frame in frames(&mut b, now) {
            hear(&mut a, now, &frame);
        }
        arrived.extend(b.take(now, Lane::Deliveries));
    }
    assert_eq!(arrived, [large, Bytes::from_static(b"next")]);
}
