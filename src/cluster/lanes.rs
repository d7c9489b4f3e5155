//! *Owns* the lanes between cores and the thread that runs the node. *Promises* that neither side ever waits for the other; that what
//! is said first is heard first, within a lane; and that a core has heard whatever the node had told it before it gave it a section.
//! *Does not* know what is carried.

use crate::service::Waker;
use crate::service::bell::Bell;
use bytes::Bytes;
use deepstream_cluster::{Arrived, ForCore};
use deepstream_engine::{Bundle, Lane, NodeId, Place};
use rtrb::{Consumer, Producer, RingBuffer};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};

/// What a core may still have to hear.
const WORDS_MAX: usize = 256;
/// Sections of one stream that wait for a core.
const SECTIONS_MAX: usize = 4096;
/// Bundles that a core may be ahead of the thread.
const BUNDLES_MAX: usize = 64;

/// Another node, as a core knows it: its number, the epoch at which it became a member, and the number of the link to it. What was
/// written for another link is not sent.
pub type Peer = (NodeId, u64, u32);

/// A core's part of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Which core of which node sent it.
    pub from: Place,
    /// The epoch at which that node became a member.
    pub since: u64,
    /// Of the link: a core that knows of a later one passes it over.
    pub link: u32,
    /// The whole bundle.
    pub bundle: Bytes,
    /// Where the section is in it.
    pub at: Range<usize>,
}

/// What comes to a core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// What it is to know.
    Word(ForCore),
    /// What another node's core sends it.
    Section(Lane, Section),
}

/// A bundle on its way from a core.
pub(super) struct Outgoing {
    pub(super) to: Peer,
    pub(super) lane: Lane,
    pub(super) bundle: Bytes,
}

/// What both sides look at.
pub(super) struct Shared {
    bell: Arc<Bell>,
    /// A core is further, was refused something, or has made room.
    has_news: AtomicBool,
    /// By node: a bit for each lane that takes nothing more for now.
    crowded: [AtomicU8; 64],
    cores: Box<[Progress]>,
}

/// How far a core is.
#[derive(Default)]
struct Progress {
    adopted: AtomicU64,
    yielded: AtomicU64,
    deposed: AtomicBool,
    /// The thread waits for room in a lane of this core.
    is_awaited: AtomicBool,
}

/// A core's end. Owned by its core.
pub struct Client {
    core: usize,
    words: Consumer<ForCore>,
    sections: [Consumer<Section>; 2],
    bundles: Producer<Outgoing>,
    shared: Arc<Shared>,
}

/// The thread's end of one core's lanes.
struct CoreLane {
    words: Producer<ForCore>,
    sections: [Producer<Section>; 2],
    bundles: Consumer<Outgoing>,
    waker: Waker,
    /// Whether the core was given something that it was not woken for yet.
    is_told: bool,
}

/// The thread's ends.
pub(super) struct Lanes {
    cores: Vec<CoreLane>,
    shared: Arc<Shared>,
}

/// Lanes to and from cores that are woken like this.
pub(super) fn open(bell: Arc<Bell>, wakers: Vec<Waker>) -> (Arc<Shared>, Vec<Client>, Lanes) {
    let cores = wakers.iter().map(|_| Progress::default()).collect();
    let shared =
        Arc::new(Shared { bell, has_news: AtomicBool::new(false), crowded: [const { AtomicU8::new(0) }; 64], cores });
    let (mut clients, mut lanes) = (Vec::new(), Vec::new());
    for (core, waker) in wakers.into_iter().enumerate() {
        let (tell, words) = RingBuffer::new(WORDS_MAX);
        let (requests, deliveries) = (RingBuffer::new(SECTIONS_MAX), RingBuffer::new(SECTIONS_MAX));
        let (bundles, carried) = RingBuffer::new(BUNDLES_MAX);
        let sections = [requests.1, deliveries.1];
        clients.push(Client { core, words, sections, bundles, shared: Arc::clone(&shared) });
        let sections = [requests.0, deliveries.0];
        lanes.push(CoreLane { words: tell, sections, bundles: carried, waker, is_told: false });
    }
    let lanes = Lanes { cores: lanes, shared: Arc::clone(&shared) };
    (shared, clients, lanes)
}

impl Shared {
    /// The node is to look at how far cores are.
    fn news(&self) {
        self.has_news.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// Wakes the node, which finds by itself what for.
    pub(super) fn ring(&self) {
        self.bell.ring();
    }
}

fn bit(lane: Lane) -> u8 {
    1 << lane as u8
}

impl Client {
    /// Whether something has come. A core looks once more before it sleeps.
    pub fn has_input(&self) -> bool {
        !self.words.is_empty() || self.sections.iter().any(|lane| !lane.is_empty())
    }

    /// Hands over what has come: all words, and at most so many sections of each lane; of requests only if they are wanted.
    pub fn hear(&mut self, most: usize, requests: bool, mut each: impl FnMut(Heard)) {
        // The sections are counted before words are heard: what was told before one of them was given is among those words.
        let there = [if requests { self.sections[0].slots().min(most) } else { 0 }, self.sections[1].slots().min(most)];
        let mut came = false;
        while let Ok(word) = self.words.pop() {
            came = true;
            each(Heard::Word(word));
        }
        for lane in [Lane::Deliveries, Lane::Requests] {
            for _ in 0..there[lane as usize] {
                let Ok(section) = self.sections[lane as usize].pop() else { break };
                came = true;
                each(Heard::Section(lane, section));
            }
        }
        if came {
            // Pairs with the fence in `await_room`: either the thread sees the room, or this sees that it waits for it.
            fence(Ordering::SeqCst);
            let awaited = &self.shared.cores[self.core].is_awaited;
            if awaited.load(Ordering::Relaxed) && awaited.swap(false, Ordering::Relaxed) {
                self.shared.news();
            }
        }
    }

    /// Whether a bundle for this node would be taken on. What is not stays in the shard.
    pub fn has_room(&self, to: NodeId, lane: Lane) -> bool {
        let crowded = self.shared.crowded.get(usize::from(to.0)).map_or(0, |bits| bits.load(Ordering::Relaxed));
        crowded & bit(lane) == 0 && !self.bundles.is_full()
    }

    /// Sends a bundle. Gives it back if there is no room.
    pub fn send(&mut self, to: Peer, lane: Lane, bundle: Bytes) -> Result<(), Bytes> {
        let sent = self.bundles.push(Outgoing { to, lane, bundle });
        self.shared.bell.ring();
        sent.map_err(|rtrb::PushError::Full(Outgoing { bundle, .. })| bundle)
    }

    /// The core has this view, and has given up all that it had to up to that one.
    pub fn stands(&self, adopted: u64, yielded: u64) {
        let progress = &self.shared.cores[self.core];
        let is_news = progress.adopted.swap(adopted, Ordering::Release) != adopted;
        if progress.yielded.swap(yielded, Ordering::Release) != yielded || is_news {
            self.shared.news();
        }
    }

    /// What the core wrote was refused, because another node owns it by now.
    pub fn deposed(&self) {
        self.shared.cores[self.core].deposed.store(true, Ordering::Release);
        self.shared.news();
    }
}

impl Lanes {
    /// The next bundle of any core, the cores in turn.
    pub(super) fn next_bundle(&mut self) -> Option<Outgoing> {
        self.cores.iter_mut().find_map(|core| core.bundles.pop().ok())
    }

    pub(super) fn has_bundles(&self) -> bool {
        self.cores.iter().any(|core| !core.bundles.is_empty())
    }

    /// Whether every core can be told something.
    pub(super) fn can_tell(&self) -> bool {
        self.cores.iter().all(|core| !core.words.is_full())
    }

    /// Tells every core. There must be room.
    pub(super) fn tell(&mut self, word: &ForCore) {
        for core in &mut self.cores {
            let told = core.words.push(word.clone());
            debug_assert!(told.is_ok(), "there was room");
            core.is_told = true;
        }
    }

    /// Whether every core takes something of this lane.
    pub(super) fn can_give(&self, lane: Lane) -> bool {
        self.cores.iter().all(|core| !core.sections[lane as usize].is_full())
    }

    /// Gives cores their sections of a bundle; there must be room for one each. Returns whether it was one, for cores that there are.
    pub(super) fn give(&mut self, arrived: &Arrived) -> bool {
        let Ok(bundle) = Bundle::read(&arrived.bundle) else { return false };
        let known = bundle.sections.iter().all(|(to, _)| usize::from(*to) < self.cores.len());
        if bundle.from >= Place::CORES_MAX || !known {
            return false;
        }
        for (to, at) in bundle.sections {
            let core = &mut self.cores[usize::from(to)];
            let from = Place::of(arrived.from, bundle.from);
            let Arrived { since, link, .. } = *arrived;
            let section = Section { from, since, link, bundle: arrived.bundle.clone(), at };
            if core.sections[arrived.lane as usize].push(section).is_err() {
                return false;
            }
            core.is_told = true;
        }
        true
    }

    /// Wakes the cores that were told something.
    pub(super) fn wake(&mut self) {
        for core in self.cores.iter_mut().filter(|core| core.is_told) {
            core.is_told = false;
            (core.waker)();
        }
    }

    /// From now on cores ring once they have made room. The caller must look once more for room that was made before.
    pub(super) fn await_room(&self) {
        for progress in &self.shared.cores {
            progress.is_awaited.store(true, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
    }

    /// Whether a core is further, was refused something, or has made room.
    pub(super) fn has_news(&self) -> bool {
        self.shared.has_news.load(Ordering::Acquire)
    }

    /// The same, once.
    pub(super) fn take_news(&self) -> bool {
        self.has_news() && self.shared.has_news.swap(false, Ordering::AcqRel)
    }

    /// How far each core is: which one, the view that it has, up to which it gave up what it had to.
    pub(super) fn progress(&self) -> impl Iterator<Item = (u16, u64, u64)> {
        let progress = self.shared.cores.iter().enumerate();
        progress.map(|(core, progress)| {
            let read = |number: &AtomicU64| number.load(Ordering::Acquire);
            (core as u16, read(&progress.adopted), read(&progress.yielded))
        })
    }

    /// Whether a core was refused something since this was asked last.
    pub(super) fn was_deposed(&self) -> bool {
        // All of them are asked, so that one refusal is not told twice.
        let deposed = self.shared.cores.iter().filter(|core| core.deposed.swap(false, Ordering::AcqRel)).count();
        deposed > 0
    }

    /// Whether a node takes more of a lane.
    pub(super) fn crowd(&self, node: NodeId, lane: Lane, crowded: bool) {
        let Some(bits) = self.shared.crowded.get(usize::from(node.0)) else { return };
        let before = bits.load(Ordering::Relaxed);
        let after = if crowded { before | bit(lane) } else { before & !bit(lane) };
        if before == after {
            return;
        }
        bits.store(after, Ordering::Relaxed);
        if !crowded {
            // What waits in shards can go on.
            self.cores.iter().for_each(|core| (core.waker)());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::bell::BellReceiver;
    use deepstream_engine::{BundleWriter, ConnId, Packet};
    use std::sync::atomic::AtomicUsize;

    fn arrived(lane: Lane, bundle: Bytes) -> Arrived {
        Arrived { from: NodeId(3), since: 7, link: 2, lane, bundle }
    }

    fn bundle(cores: &[u16]) -> Bytes {
        let mut writer = BundleWriter::default();
        writer.begin(9, 1);
        for &core in cores {
            writer.section(core, &[Packet::Farewell(ConnId::NOBODY, false)]).unwrap();
        }
        writer.end().unwrap()
    }

    fn lanes() -> (Vec<Client>, Lanes, Arc<AtomicUsize>) {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&wakes);
        let waker: Waker = Arc::new(move || _ = counted.fetch_add(1, Ordering::Relaxed));
        let (_, clients, lanes) = open(BellReceiver::new().bell(), vec![Arc::clone(&waker), waker]);
        (clients, lanes, wakes)
    }

    const WORD: ForCore = ForCore::Suspended { epoch: 1 };

    #[test]
    fn each_core_is_given_its_section_after_what_it_was_told_before_and_is_woken_once() {
        let (mut clients, mut lanes, wakes) = lanes();
        assert!(lanes.give(&arrived(Lane::Deliveries, bundle(&[1]))));
        lanes.tell(&WORD);
        assert!(lanes.give(&arrived(Lane::Requests, bundle(&[1]))));
        lanes.wake();
        lanes.wake();
        assert_eq!(wakes.load(Ordering::Relaxed), 2);
        let mut heard = Vec::new();
        clients[1].hear(8, true, |what| heard.push(what));
        let [Heard::Word(WORD), Heard::Section(first, section), Heard::Section(second, _)] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert_eq!((*first, *second), (Lane::Deliveries, Lane::Requests));
        assert_eq!((section.from, section.since, section.link), (Place::of(NodeId(3), 1), 7, 2));
        heard.clear();
        clients[0].hear(8, true, |what| heard.push(what));
        assert_eq!(heard, [Heard::Word(WORD)]);
    }

    #[test]
    fn what_is_for_no_core_or_makes_no_sense_is_given_to_none() {
        let (clients, mut lanes, _) = lanes();
        assert!(!lanes.give(&arrived(Lane::Requests, bundle(&[0, 2]))), "there are two cores");
        assert!(!lanes.give(&arrived(Lane::Requests, Bytes::from_static(b"what is this?"))));
        assert!(!clients.iter().any(Client::has_input));
    }

    #[test]
    fn whoever_waits_for_room_hears_of_it() {
        let (mut clients, mut lanes, _) = lanes();
        for _ in 0..WORDS_MAX {
            assert!(lanes.can_tell());
            lanes.tell(&WORD);
        }
        assert!(!lanes.can_tell(), "both are full");
        clients[0].hear(8, true, |_| {});
        assert!(!lanes.has_news(), "nobody waits");
        lanes.await_room();
        clients[1].hear(8, true, |_| {});
        assert!(lanes.take_news() && !lanes.has_news() && lanes.can_tell());
    }

    #[test]
    fn a_node_that_takes_nothing_more_is_known_by_lane_and_cores_are_woken_when_it_does() {
        let (mut clients, mut lanes, wakes) = lanes();
        let node = NodeId(62);
        lanes.crowd(node, Lane::Requests, true);
        assert!(!clients[0].has_room(node, Lane::Requests) && clients[0].has_room(node, Lane::Deliveries));
        assert!(clients[0].has_room(NodeId(61), Lane::Requests));
        lanes.crowd(node, Lane::Requests, false);
        assert!(clients[0].has_room(node, Lane::Requests));
        assert_eq!(wakes.load(Ordering::Relaxed), 2);
        for _ in 0..BUNDLES_MAX {
            assert!(clients[0].has_room(node, Lane::Requests));
            clients[0].send((node, 1, 0), Lane::Requests, bundle(&[0])).unwrap();
        }
        assert!(!clients[0].has_room(node, Lane::Requests) && clients[1].has_room(node, Lane::Requests));
        assert_eq!(clients[0].send((node, 1, 0), Lane::Requests, bundle(&[0])), Err(bundle(&[0])), "it comes back");
        assert!(lanes.next_bundle().is_some() && clients[0].has_room(node, Lane::Requests));
    }

    #[test]
    fn how_far_cores_are_is_told_once() {
        let (clients, lanes, _) = lanes();
        clients[1].stands(5, 4);
        assert!(lanes.take_news() && !lanes.has_news());
        assert_eq!(lanes.progress().collect::<Vec<_>>(), [(0, 0, 0), (1, 5, 4)]);
        clients[1].stands(5, 4);
        assert!(!lanes.has_news(), "it is where it was");
        assert!(!lanes.was_deposed());
        clients[0].deposed();
        assert!(lanes.take_news() && lanes.was_deposed() && !lanes.was_deposed());
    }
}
