//! Two ends of a link over a bus that loses, repeats, reorders and is cut, while ends begin anew and processes start again: what
//! arrives is whole, once and in order, what was sent last arrives, and neither end holds more than it may.

use bytes::Bytes;
use deepstream_cluster::{Frame, Heard, Link, LinkSettings, Said, Session};
use deepstream_engine::{Lane, Nanos, NodeId};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use std::collections::VecDeque;

const CLUSTER: u64 = 0xc1;
const MS: u64 = 1_000_000;
const BUNDLE_BYTES_MAX: usize = 600;

#[derive(Clone, Debug)]
enum Op {
    Send {
        end: usize,
        lane: usize,
        len: usize,
    },
    Take {
        end: usize,
        lane: usize,
    },
    /// One of the frames under way to an end is handed over, and stays under way if it is to come again.
    Deliver {
        end: usize,
        which: prop::sample::Index,
        again: bool,
    },
    Lose {
        end: usize,
        which: prop::sample::Index,
    },
    /// All that is under way to an end.
    Cut {
        end: usize,
    },
    Pass {
        ms: u64,
    },
    /// An end begins anew.
    Reset {
        end: usize,
    },
    /// A process starts again, as another member. The other one has heard so before.
    Restart {
        end: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let end = 0..2_usize;
    let lane = 0..2_usize;
    let which = any::<prop::sample::Index>;
    prop_oneof![
        // One in a while is larger than all that may wait behind it.
        8 => (end.clone(), lane.clone(), prop_oneof![20 => 0..60_usize, 1 => 400..BUNDLE_BYTES_MAX - 4]).prop_map(|(end, lane, len)| Op::Send { end, lane, len }),
        6 => (end.clone(), lane).prop_map(|(end, lane)| Op::Take { end, lane }),
        20 => (end.clone(), which(), prop::bool::weighted(0.2))
            .prop_map(|(end, which, again)| Op::Deliver { end, which, again }),
        3 => (end.clone(), which()).prop_map(|(end, which)| Op::Lose { end, which }),
        1 => end.clone().prop_map(|end| Op::Cut { end }),
        6 => (1..40_u64).prop_map(|ms| Op::Pass { ms }),
        1 => end.clone().prop_map(|end| Op::Reset { end }),
        1 => end.prop_map(|end| Op::Restart { end }),
    ]
}

/// What goes wrong beside the bus, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    Nothing,
    /// Sessions in frames are what the receiver expects.
    Restarts,
    /// Frames are numbered as they come.
    Order,
    /// The receiver is said to have more than it has.
    Loss,
}

/// A link as both ends name it: who sends, who receives.
type Pair = (Session, Session);

struct World {
    now: Nanos,
    settings: LinkSettings,
    ends: [Link; 2],
    /// To each end.
    bus: [VecDeque<Bytes>; 2],
    resets: u32,
    since: u64,
    /// By receiving end and lane: what was sent, by number.
    sent: [[Vec<Pair>; 2]; 2],
    /// The numbers that were taken.
    taken: [[Vec<u32>; 2]; 2],
    /// Frames that were handed over since the ends began anew.
    numbers: [[u32; 2]; 2],
    planted: Planted,
}

impl World {
    fn new(planted: Planted) -> Self {
        let settings = LinkSettings {
            frame_bytes_max: 16,
            window_frames: 8,
            window_bytes: 80,
            held_bytes_max: 400,
            bundle_bytes_max: BUNDLE_BYTES_MAX,
            ..LinkSettings::default()
        };
        let session = |node| Session { node: NodeId(node), since: 1, reset: 0 };
        Self {
            now: Nanos(0),
            settings,
            ends: [0, 1].map(|end| Link::new(Nanos(0), session(end), session(1 - end), settings)),
            bus: Default::default(),
            resets: 0,
            since: 1,
            sent: Default::default(),
            taken: Default::default(),
            numbers: Default::default(),
            planted,
        }
    }

    fn run(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match *op {
            Op::Send { end, lane, len } => self.send(end, lane, len),
            Op::Take { end, lane } => drop(self.take(end, lane)?),
            Op::Deliver { end, which, again } => {
                if !self.bus[end].is_empty() {
                    let at = which.index(self.bus[end].len());
                    let frame = self.bus[end][at].clone();
                    if !again {
                        self.bus[end].remove(at);
                    }
                    self.deliver(end, &frame);
                }
            }
            Op::Lose { end, which } => {
                if !self.bus[end].is_empty() {
                    let at = which.index(self.bus[end].len());
                    self.bus[end].remove(at);
                }
            }
            Op::Cut { end } => self.bus[end].clear(),
            Op::Pass { ms } => self.now = self.now.after(ms * MS),
            Op::Reset { end } => self.reset(end),
            Op::Restart { end } => self.restart(end),
        }
        self.turn();
        self.bounds()
    }

    /// Both ends send what they may.
    fn turn(&mut self) {
        for end in 0..2 {
            self.ends[end].tick(self.now);
            let mut frame = Vec::new();
            while self.ends[end].next_frame(self.now, CLUSTER, &mut frame) {
                self.bus[1 - end].push_back(std::mem::take(&mut frame).into());
            }
        }
    }

    fn bounds(&self) -> Result<(), TestCaseError> {
        for end in &self.ends {
            let census = end.census();
            let held_max = self.settings.held_bytes_max + 2 * BUNDLE_BYTES_MAX;
            prop_assert!(census.in_flight <= 16 && census.early <= 16 && census.held_bytes <= held_max, "{census:?}");
            prop_assert_eq!(census.wrong, 0, "an end sent more than the other one may hold");
        }
        Ok(())
    }

    fn send(&mut self, end: usize, lane: usize, len: usize) {
        let link = &mut self.ends[end];
        let sent = &mut self.sent[1 - end][lane];
        let number = sent.len() as u32;
        sent.push((link.own(), link.peer()));
        let mut bundle = number.to_le_bytes().to_vec();
        bundle.resize(4 + len, number as u8);
        link.send(Lane::ALL[lane], bundle.into());
        if link.is_overfull() {
            self.reset(end);
        }
    }

    fn take(&mut self, end: usize, lane: usize) -> Result<bool, TestCaseError> {
        let link = &mut self.ends[end];
        let Some(bundle) = link.take(self.now, Lane::ALL[lane]) else { return Ok(false) };
        let Some((head, rest)) = bundle.split_first_chunk() else { return Err(TestCaseError::fail("not whole")) };
        let number = u32::from_le_bytes(*head);
        prop_assert!(rest.iter().all(|&byte| byte == number as u8), "bundle {} is not whole", number);
        let (sent, taken) = (&self.sent[end][lane], &mut self.taken[end][lane]);
        let pair = (link.peer(), link.own());
        prop_assert_eq!(sent.get(number as usize), Some(&pair), "bundle {} is from before a new beginning", number);
        let after = taken.last().filter(|&&last| sent[last as usize] == pair).map(|last| last + 1);
        let expected = after.or_else(|| sent.iter().position(|sent| *sent == pair).map(|at| at as u32));
        prop_assert_eq!(Some(number), expected, "lost, out of order or again");
        taken.push(number);
        Ok(true)
    }

    fn reset(&mut self, end: usize) {
        self.resets += 1;
        self.ends[end].reset(self.resets);
        self.numbers[end] = [0; 2];
    }

    fn restart(&mut self, end: usize) {
        self.since += 1;
        let new = Session { node: NodeId(end as u8), since: self.since, reset: 0 };
        let old = self.ends[1 - end].own();
        self.ends[end] = Link::new(self.now, new, Session { reset: 0, ..old }, self.settings);
        self.ends[1 - end] = Link::new(self.now, old, new, self.settings);
        self.numbers = [[0; 2]; 2];
    }

    fn deliver(&mut self, end: usize, bytes: &Bytes) {
        let mut frame = Frame::read(bytes).expect("a link writes frames");
        if self.planted == Planted::Restarts {
            (frame.from, frame.to) = (self.ends[end].peer(), self.ends[end].own());
        }
        match &mut frame.said {
            Said::Data { number, lane, .. } if self.planted == Planted::Order => {
                let next = &mut self.numbers[end][*lane as usize];
                *number = *next;
                *next += 1;
            }
            Said::Acks { acks } | Said::Beat { acks, .. } | Said::Data { acks, .. }
                if self.planted == Planted::Loss =>
            {
                for ack in acks {
                    ack.received = ack.received.wrapping_add(1);
                }
            }
            _ => {}
        }
        if self.ends[end].heard(self.now, &frame, bytes) == Heard::Restarted {
            self.numbers[end] = [0; 2];
        }
    }

    /// The bus is well, and whoever is told something takes it.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        // Long enough for the longest wait before something is sent again.
        for _ in 0..400 {
            for end in 0..2 {
                self.ends[end].beat(0, 0, 0);
            }
            self.now = self.now.after(20 * MS);
            self.turn();
            for end in 0..2 {
                while let Some(frame) = self.bus[end].pop_front() {
                    self.deliver(end, &frame);
                }
                for lane in 0..2 {
                    while self.take(end, lane)? {}
                }
            }
            self.bounds()?;
        }
        let [a, b] = &self.ends;
        prop_assert_eq!((a.own(), a.peer(), a.number()), (b.peer(), b.own(), b.number()));
        for (end, link) in self.ends.iter().enumerate() {
            prop_assert_eq!((link.census().in_flight, link.census().held_bytes, link.census().early), (0, 0, 0));
            for lane in 0..2 {
                let pair = (link.peer(), link.own());
                let last = self.sent[end][lane].iter().rposition(|sent| *sent == pair).map(|at| at as u32);
                let taken = self.taken[end][lane].last().copied();
                prop_assert!(last.is_none() || taken == last, "{:?} was sent, {:?} was taken last", last, taken);
            }
        }
        Ok(())
    }
}

fn run(ops: &[Op], planted: Planted) -> Result<(), TestCaseError> {
    let mut world = World::new(planted);
    for op in ops {
        world.run(op)?;
    }
    world.settle()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_arrives_whole_once_and_in_order(ops in prop::collection::vec(op(), 0..250)) {
        run(&ops, Planted::Nothing)?;
    }

    #[test]
    fn any_bytes_are_a_frame_or_none(bytes in prop::collection::vec(any::<u8>(), 0..80), is_ours: bool) {
        let bytes = if is_ours { [&[0xd5, 1][..], &bytes].concat() } else { bytes };
        if let Ok(frame) = Frame::read(&bytes) {
            let mut again = Vec::new();
            frame.write(&mut again);
            prop_assert!(again.len() <= bytes.len());
            prop_assert_eq!(Frame::read(&again), Ok(frame));
        }
    }
}

/// How many of so many runs find what was planted.
fn found(planted: Planted) -> usize {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let ops = prop::collection::vec(op(), 250);
    (0..30).filter(|_| run(&ops.new_tree(&mut runner).expect("it draws").current(), planted).is_err()).count()
}

#[test]
fn a_link_that_does_not_notice_a_restart_is_found() {
    assert!(found(Planted::Restarts) > 20);
}

#[test]
fn a_link_that_takes_frames_as_they_come_is_found() {
    assert!(found(Planted::Order) > 20);
}

#[test]
fn a_link_that_believes_arrived_what_was_lost_is_found() {
    let found = found(Planted::Loss);
    assert!(found > 10, "{found}");
}
