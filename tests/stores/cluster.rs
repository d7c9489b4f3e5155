//! The contract of stores as a cluster uses it: claims, behind the server's own threads and lanes.

use crate::contract::{Subject, record};
use crate::rig::Rig;
use crate::toy::NUL;
use deepstream::storage::{Claimed, Fence, Late};
use deepstream_engine::{Fault, Refused, StoreBatch, Ticket};

/// The client of the service off the cores, of a rig with one shard.
const SERVICE: usize = 1;

pub(crate) fn holds(subject: &impl Subject) {
    claims_after_what_was_handed_over(subject);
    refuses_what_was_written_under_an_earlier_claim_alone(subject);
    answers_claims_when_it_ends(subject);
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

    fn begin_claim(&mut self, ticket: u64, slots: &[u16], generation: u64) {
        self.clients[SERVICE].claim(Ticket(ticket), slots.into(), generation);
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
        self.begin_claim(generation, slots, generation);
        self.claimed(generation)
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
        rig.begin_claim(generation + 1, &[SLOT], generation + 1);
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
    rig.begin_claim(1, &[41], 1);
    let Rig { storage, mut clients, .. } = rig;
    drop(storage);
    let answer = clients[SERVICE].claimed().expect("it was handed over before");
    assert_eq!(answer, Claimed { ticket: Ticket(1), result: Ok(vec![]) });
    clients[SERVICE].claim(Ticket(2), [41].into(), 2);
    assert!(clients[SERVICE].has_answers());
    assert!(matches!(clients[SERVICE].claimed(), Some(Claimed { ticket: Ticket(2), result: Err(_) })));
    assert_eq!(clients[SERVICE].claimed(), None);
}
