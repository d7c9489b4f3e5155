//! What a registry may hold in place of a charter: any bytes are refused, or read as a charter that is the same after it was written
//! and read again, takes memory in proportion to its bytes, and makes no node fail that sees it.

use allocation_counter::measure;
use bytes::Bytes;
use deepstream_cluster::charter::{FORM, First, next};
use deepstream_cluster::{Answer, Ask, Card, Charter, LinkSettings, Node, Settings};
use deepstream_engine::Nanos;

/// The memory that reading may take: a base, among it what a view has whatever its bytes are, and so much for each byte.
const MEMORY: [u64; 2] = [128 << 10, 64];

/// `input` says what to change of a charter of three nodes, byte by byte: where, from its end, in two bytes, and how. What is left over
/// is how many bytes are cut off. Random bytes would never be a table of all slots.
pub(crate) fn run(input: &[u8]) {
    let mut bytes = base().to_vec();
    let changes = input.chunks_exact(3);
    let cut = changes.remainder().iter().map(|&byte| usize::from(byte)).sum::<usize>();
    for change in changes {
        let back = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        let at = bytes.len() - 1 - back;
        bytes[at] ^= change[2];
    }
    bytes.truncate(bytes.len() - cut);
    let mut read = None;
    let memory = measure(|| read = Charter::read(&bytes));
    let allowed = MEMORY[0] + bytes.len() as u64 * MEMORY[1];
    assert!(memory.bytes_max <= allowed, "{} bytes of memory for {} bytes", memory.bytes_max, bytes.len());
    if let Some(charter) = &read {
        let again = charter.write();
        assert!(again.len() <= bytes.len());
        assert_eq!(Charter::read(&again).as_ref(), Some(charter));
        let [raised, anew] = [charter.raised(0), charter.founded_anew(charter.view.epoch())];
        assert!(raised.follows(charter.view.epoch(), charter.fingerprint()));
        assert!(anew.follows(charter.view.epoch(), 0));
    }
    seen(&bytes.into());
}

/// A node that sees it in the registry, as a member of it if it can be.
fn seen(bytes: &Bytes) {
    let settings = Settings {
        cluster: "here".into(),
        name: "node-1".into(),
        incarnation: 101,
        address: Box::default(),
        cores: 2,
        rules: 0,
        ttl_ns: 3_000_000_000,
        unix_ms: 1_700_000_000_000,
        seed: [1, 2],
        link: LinkSettings::default(),
    };
    let mut node = Node::new(Nanos(0), settings);
    for round in 1..4 {
        let now = Nanos(round * 4_000_000_000);
        for ask in node.asks() {
            let answer = match &ask {
                Ask::Renew { card, .. } => {
                    let live = vec![card.clone(), self::card(2)];
                    Answer::Seen { revision: Some(round), charter: Some(bytes.clone()), live }
                }
                Ask::Swap { .. } => Answer::Swapped(round + 10),
                Ask::Claim { .. } => Answer::Claimed { late: vec![0] },
                Ask::Release { .. } => continue,
            };
            if let Ask::Renew { ticket, .. } | Ask::Swap { ticket, .. } | Ask::Claim { ticket, .. } = ask {
                node.answered(now, ticket, answer);
            }
        }
        let epoch = node.standing().epoch;
        while node.for_cores().is_some() {}
        for core in 0..2 {
            node.adopted(now, core, epoch);
            node.yielded(now, core, epoch);
        }
        node.ready(now);
        node.tick(now);
        while node.next_frame(now, &mut Vec::new()).is_some() {}
    }
}

fn card(number: u64) -> Card {
    Card {
        name: format!("node-{number}").into(),
        incarnation: 100 + number,
        grant: 1,
        address: Box::new([number as u8]),
        cores: 2,
        form: FORM,
        rules: 0,
        ready: true,
        leaving: false,
        yielded: 0,
        hears: u64::MAX,
    }
}

fn base() -> Bytes {
    let first = First { cluster: "here", unix_ms: 1_700_000_000_000, seed: [1, 2] };
    let cards: Vec<Card> = (0..3).map(card).collect();
    let two = next(None, &cards[..2], &cards[0], first).expect("the first");
    next(Some(&two), &cards, &cards[0], first).expect("one joins").write()
}
