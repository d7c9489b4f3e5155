//! The contract of stores as a cluster uses it: claims, behind the server's own threads and lanes.

use crate::contract::{Subject, record, run};
use crate::rig::Rig;
use crate::toy::NUL;
use deepstream::storage::{Claimed, Cluster, Driver, Expected, Fence, Kind, Late, Write, Writer};
use deepstream_engine::{Fault, NodeId, Refused, StoreBatch, Ticket};

/// The client of the service off the cores, of a rig with one shard.
const SERVICE: usize = 1;

pub(crate) fn holds<S: Subject>(subject: &S) {
    claims_after_what_was_handed_over(subject);
    refuses_what_was_written_under_an_earlier_claim_alone(subject);
    answers_claims_when_it_ends(subject);
    if S::Driver::MANNER.shared {
        keeps_clusters_and_servers_alone_apart(subject);
        lets_nodes_write_side_by_side(subject);
        puts_out_who_has_lost_the_store(subject);
        puts_all_nodes_of_a_cluster_out(subject);
    }
}

impl Rig {
    /// Hands over one write under a claim.
    fn send_fenced(&mut self, shard: usize, writes: &[(&str, i32, Fence)]) {
        let mut batch = StoreBatch { ticket: Ticket(1), ..StoreBatch::default() };
        for (name, version, fence) in writes {
            batch.push(name.as_bytes(), *version, Some(b"{}"));
            batch.fences.push(*fence);
        }
        self.clients[shard].store(batch);
    }

    fn begin_claim(&mut self, ticket: u64, node: u8, slots: &[u16], generation: u64) {
        self.clients[SERVICE].claim(Ticket(ticket), NodeId(node), slots.into(), generation);
    }

    fn claimed(&mut self, ticket: u64) -> Result<Vec<Late>, Fault> {
        loop {
            self.wait(SERVICE);
            if let Some(Claimed { ticket: answered, result }) = self.clients[SERVICE].claimed() {
                assert_eq!(answered, Ticket(ticket));
                return result;
            }
        }
    }

    fn claim(&mut self, slots: &[u16], generation: u64) -> Result<Vec<Late>, Fault> {
        self.claim_as(0, slots, generation)
    }

    /// Claims slots as the node of this number.
    fn claim_as(&mut self, node: u8, slots: &[u16], generation: u64) -> Result<Vec<Late>, Fault> {
        self.begin_claim(generation, node, slots, generation);
        self.claimed(generation)
    }

    /// Writes a version of `cluster/SLOT` under a claim. Whether it was refused because of another's.
    fn is_deposed(&mut self, slot: u16, generation: u64, version: i32) -> bool {
        self.send_fenced(0, &[(&format!("cluster/{slot}"), version, Fence { slot, generation })]);
        !deposed(self.written(0)).is_empty()
    }
}

/// The entries that were refused because another claim holds their slots.
fn deposed(answer: Result<(), Fault>) -> Vec<u32> {
    match answer {
        Ok(()) => Vec::new(),
        Err(Fault::Refused(refused)) => {
            assert!(refused.iter().all(|refusal| refusal.why == Refused::Deposed), "{refused:?}");
            refused.iter().map(|refusal| refusal.entry).collect()
        }
        Err(fault) => panic!("{fault:?}"),
    }
}

/// While the writer is busy with one batch another is handed over, and then a claim: the batch counts under the claim before it.
fn claims_after_what_was_handed_over(subject: &impl Subject) {
    const SLOT: u16 = 21;
    let mut rig = Rig::open(subject, 1);
    let before = rig.storage.counters().claims;
    assert_eq!(rig.claim(&[SLOT], 1), Ok(vec![]));
    for generation in 1..40 {
        let fence = Fence { slot: SLOT, generation };
        // The service's batch, which has no fence, keeps the writer busy.
        let mut busy = StoreBatch { ticket: Ticket(2), ..StoreBatch::default() };
        busy.push(b"claimed/busy", generation as i32, Some(b"{}"));
        rig.clients[SERVICE].store(busy);
        rig.send_fenced(0, &[("claimed/a", generation as i32, fence)]);
        rig.begin_claim(generation + 1, 0, &[SLOT], generation + 1);
        assert_eq!(deposed(rig.written(0)), [0; 0], "generation {generation}");
        rig.written(SERVICE).unwrap();
        assert_eq!(rig.claimed(generation + 1), Ok(vec![]));
    }
    assert_eq!(rig.load(0, &[b"claimed/a"]), [Ok(record(39, b"{}"))]);
    assert_eq!(rig.storage.counters().claims - before, 40);
}

fn refuses_what_was_written_under_an_earlier_claim_alone(subject: &impl Subject) {
    let mut rig = Rig::open(subject, 1);
    assert_eq!(rig.claim(&[31, 32], 7), Ok(vec![]));
    assert_eq!(rig.claim(&[31], 8), Ok(vec![]));
    assert_eq!(rig.claim(&[31, 32, 33], 7), Ok(vec![Late { slot: 31, held: 8 }]), "for the others it is not late");
    let fence = |slot, generation| Fence { slot, generation };
    let writes = [
        ("claimed/31", 1, fence(31, 7)),
        ("claimed/32", 2, fence(32, 7)),
        ("claimed/33", 3, fence(33, 7)),
        ("claimed/34", 4, fence(34, 7)),
    ];
    rig.send_fenced(0, &writes);
    assert_eq!(deposed(rig.written(0)), [0, 3], "one was claimed later, one never");
    let kept = rig.load(0, &[b"claimed/31", b"claimed/32", b"claimed/33", b"claimed/34"]);
    assert_eq!(kept, [Ok(None), Ok(record(2, b"{}")), Ok(record(3, b"{}")), Ok(None)]);
    assert_eq!(rig.storage.counters().deposed, 2);
    // Some stores take no such text, and refuse a group as a whole: its halves keep their fences.
    let writes = [
        ("claimed/31", fence(31, 8)),
        ("claimed/nul", fence(32, 7)),
        ("claimed/32", fence(32, 6)),
        ("claimed/33", fence(33, 7)),
    ];
    let mut batch = StoreBatch { ticket: Ticket(1), ..StoreBatch::default() };
    for (name, fence) in writes {
        batch.push(name.as_bytes(), 9, Some(if name == "claimed/nul" { NUL } else { b"{}" }));
        batch.fences.push(fence);
    }
    rig.clients[0].store(batch);
    let Err(Fault::Refused(mut refused)) = rig.written(0) else { panic!("one was claimed before") };
    let nul = refused.iter().position(|refusal| refusal.entry == 1).map(|at| refused.remove(at));
    assert_ne!(nul.map(|nul| nul.why), Some(Refused::Deposed));
    assert_eq!(deposed(Err(Fault::Refused(refused))), [2]);
    let kept = rig.load(0, &[b"claimed/31", b"claimed/32", b"claimed/33"]);
    assert_eq!(kept, [Ok(record(9, b"{}")), Ok(record(2, b"{}")), Ok(record(9, b"{}"))]);
}

fn answers_claims_when_it_ends(subject: &impl Subject) {
    let mut rig = Rig::open(subject, 1);
    rig.begin_claim(1, 0, &[41], 1);
    let Rig { storage, mut clients, .. } = rig;
    drop(storage);
    let answer = clients[SERVICE].claimed().expect("it was handed over before");
    assert_eq!(answer, Claimed { ticket: Ticket(1), result: Ok(vec![]) });
    clients[SERVICE].claim(Ticket(2), NodeId(0), [41].into(), 2);
    assert!(clients[SERVICE].has_answers());
    assert!(matches!(clients[SERVICE].claimed(), Some(Claimed { ticket: Ticket(2), result: Err(_) })));
    assert_eq!(clients[SERVICE].claimed(), None);
}

fn cluster(name: &str, seed: u64) -> Cluster {
    Cluster { name: name.to_owned(), seed: [seed, seed] }
}

fn refused(subject: &impl Subject, of: Option<&Cluster>) -> String {
    Rig::begin(subject, 1, "other", of).err().expect("somebody has it").what
}

fn keeps_clusters_and_servers_alone_apart(subject: &impl Subject) {
    let (ours, others) = (cluster("ours", 1), cluster("others", 2));
    let alone = Rig::open(subject, 1);
    let told = refused(subject, Some(&ours));
    assert!(told.starts_with("the server test on ") && told.ends_with("writes to it"), "{told}");
    drop(alone);
    let node = Rig::begin(subject, 1, "first", Some(&ours)).unwrap_or_else(|error| panic!("{error}"));
    for told in [refused(subject, None), refused(subject, Some(&others))] {
        let of_cluster = told.starts_with("the cluster ours, of which the server first on ");
        assert!(of_cluster && told.ends_with("is a node, writes to it"), "{told}");
    }
    let second = Rig::begin(subject, 1, "second", Some(&cluster("ours", 3))).unwrap_or_else(|error| panic!("{error}"));
    let seed = node.storage.seed();
    assert_eq!(second.storage.seed(), seed, "the store's own, whatever is proposed");
    assert!(seed.is_some());
}

fn lets_nodes_write_side_by_side(subject: &impl Subject) {
    let ours = cluster("ours", 1);
    let [mut one, mut two] =
        ["one", "two"].map(|name| Rig::begin(subject, 1, name, Some(&ours)).unwrap_or_else(|error| panic!("{error}")));
    assert!(one.is_deposed(61, 1, 1), "it has no number yet");
    assert_eq!(one.claim_as(3, &[61], 1), Ok(vec![]));
    assert_eq!(two.claim_as(62, &[62], 1), Ok(vec![]));
    for version in 2..10 {
        assert!(!one.is_deposed(61, 1, version));
        assert!(!two.is_deposed(62, 1, version));
    }
    assert!(one.is_deposed(62, 1, 10) || version_of(&mut two, 62) == 10, "whoever writes is fenced by the claim alone");
    // The number of the first is given to the second, as if the first had been away for long.
    assert_eq!(two.claim_as(3, &[61], 2), Ok(vec![]));
    assert!(!two.is_deposed(61, 2, 11));
    assert!(one.is_deposed(61, 1, 12), "it sits nowhere");
    assert!(one.is_deposed(61, 2, 12), "whatever it believes to have claimed");
    assert_eq!(one.claim_as(4, &[61], 3), Ok(vec![]), "that is no end: it gets another number");
    assert!(!one.is_deposed(61, 3, 13));
    assert!(two.is_deposed(61, 2, 14));
    assert_eq!(version_of(&mut two, 61), 13);
}

fn version_of(rig: &mut Rig, slot: u16) -> i32 {
    let found = rig.load(0, &[format!("cluster/{slot}").as_bytes()]).remove(0);
    found.unwrap().unwrap().version
}

/// Somebody else has put their mark into the store: whoever has it finds that with the next beat.
fn puts_out_who_has_lost_the_store(subject: &impl Subject) {
    let ours = cluster("ours", 1);
    for of in [Some(&ours), None] {
        let rig = Rig::begin(subject, 1, "first", of).unwrap_or_else(|error| panic!("{error}"));
        run(async {
            let other = subject.driver();
            other.open().await.unwrap();
            loop {
                let there = other.keep(None, b"").await.unwrap().unwrap();
                let text = String::from_utf8(there.clone()).unwrap();
                let theirs = text.replacen("{\"holder\":", "{\"cluster\":\"theirs\",\"holder\":", 1);
                let theirs = theirs.replace(",\"cluster\":\"ours\"", "");
                if other.keep(Some(&there), theirs.as_bytes()).await.unwrap() == Some(theirs.into_bytes()) {
                    break;
                }
            }
            other.close().await;
        });
        let why = rig.deposed();
        assert!(why.contains("the cluster theirs, of which the server first on"), "{why}");
    }
}

/// A node is frozen, its cluster shows itself no more, and somebody alone takes the store over: when the node goes on it
/// writes nothing.
fn puts_all_nodes_of_a_cluster_out(subject: &impl Subject) {
    let frozen = subject.driver();
    let write = |version| {
        let (value, fence) = (Some(&b"{}"[..]), Some(Fence { slot: 71, generation: 1 }));
        [Write { name: b"cluster/71", version, value, expected: Expected::Anything, fence }]
    };
    run(async {
        frozen.open().await.unwrap();
        let writer = Writer { seat: 5, holder: 1, turn: 1 };
        assert_eq!(frozen.enter(writer, true).await, Ok(true));
        assert_eq!(frozen.claim(&[71], 1).await, Ok(vec![]));
        assert_eq!(frozen.commit(&write(1)).await, Ok(vec![]));
        let seed = {
            let mut alone = Rig::open(subject, 1);
            assert_eq!(alone.load(0, &[b"cluster/71"]), [Ok(record(1, b"{}"))]);
            alone.storage.seed()
        };
        assert!(seed.is_some(), "it stays with the records");
        let trouble = frozen.commit(&write(2)).await.unwrap_err();
        assert_eq!(trouble.kind, Kind::Away, "{trouble:?}");
        assert_eq!(frozen.enter(Writer { turn: 2, ..writer }, false).await, Ok(false));
        frozen.close().await;
    });
}
