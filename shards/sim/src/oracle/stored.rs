//! Checks that nothing is seen before it is stored, where that is promised.
//!
//! A history grows when an owner accepts a change. Here is kept how far storage has come: what is told of a record, to whomever
//! and by whatever message, is of a moment that storage has reached by then.

use crate::oracle::Oracle;
use crate::oracle::record::text;
use crate::oracle::told::marks_in;
use crate::store::{Fate, refused};
use deepstream_engine::{Options, StoreBatch, Ticket, Visibility};
use std::collections::{BTreeMap, BTreeSet};

/// What storage has taken so far.
#[derive(Debug)]
pub(super) struct Commits {
    /// Nothing is seen before it is stored.
    promised: bool,
    /// By name, the newest moment that storage has had.
    reached: BTreeMap<Box<[u8]>, usize>,
    /// By name, the newest moment that storage has said it has.
    confirmed: BTreeMap<Box<[u8]>, usize>,
    /// Batches under way, with the moment of each entry.
    under_way: BTreeMap<(usize, Ticket), Vec<usize>>,
}

impl Commits {
    pub(super) fn new(options: &Options) -> Self {
        let promised = options.visibility == Visibility::Stored;
        Self { promised, reached: BTreeMap::new(), confirmed: BTreeMap::new(), under_way: BTreeMap::new() }
    }

    fn reach(&mut self, name: &[u8], moment: usize) {
        let reached = self.reached.entry(name.into()).or_default();
        *reached = moment.max(*reached);
    }

    fn confirm(&mut self, name: &[u8], moment: usize) {
        let confirmed = self.confirmed.entry(name.into()).or_default();
        *confirmed = moment.max(*confirmed);
    }
}

impl Oracle {
    /// A shard hands records to storage.
    pub(super) fn commits(&mut self, core: usize, batch: &StoreBatch) {
        let moments = batch.entries.iter().map(|entry| self.records.history(batch.name(entry)).last()).collect();
        self.records.commits.under_way.insert((core, batch.ticket), moments);
    }

    /// Storage is through with a batch, whatever it says of it.
    pub(crate) fn carried_out(&mut self, core: usize, batch: &StoreBatch, fate: Fate) {
        let commits = &mut self.records.commits;
        let moments = commits.under_way.remove(&(core, batch.ticket)).unwrap_or_default();
        let refused = refused(batch, fate);
        for (index, (entry, moment)) in (0..).zip(batch.entries.iter().zip(moments)) {
            let name = batch.name(entry);
            if refused.iter().any(|refusal| refusal.entry == index) {
                self.never_was(name);
            } else if fate != Fate::Fails {
                self.records.commits.reach(name, moment);
                if fate != Fate::DoneAndFails {
                    self.records.commits.confirm(name, moment);
                }
            }
        }
    }

    /// Whether storage may have what an owner was never told that it has. If it then refuses what the record has become since, the
    /// owner tells whoever wrote this that it is lost, too: all it knows is that it is not confirmed.
    pub(super) fn is_in_doubt(&self, name: &[u8], moment: usize) -> bool {
        let commits = &self.records.commits;
        commits.promised && commits.confirmed.get(name).is_none_or(|confirmed| *confirmed < moment)
    }

    /// Storage never takes what a record has become since it was stored last, which nobody has seen.
    fn never_was(&mut self, name: &[u8]) {
        let reached = self.records.commits.reached.get(name).copied().unwrap_or_default();
        let confirmed = self.records.commits.confirmed.get(name).copied().unwrap_or_default();
        self.records.history(name).forget_after(reached);
        if confirmed < reached {
            self.records.history(name).doubt(confirmed + 1..=reached);
            self.records.writes.notify(name);
        }
        self.records.forget_after(name, reached);
    }

    /// Storage has a record as it is now.
    pub(super) fn storage_agrees(&mut self, name: &[u8]) {
        let last = self.records.history(name).last();
        self.records.commits.reach(name, last);
    }

    /// How far what is seen of a record may have come.
    fn seen_max(&self, name: &[u8]) -> Option<usize> {
        let commits = &self.records.commits;
        let promised = commits.promised && self.records.writes.is_stored(name);
        promised.then(|| commits.reached.get(name).copied().unwrap_or_default())
    }

    /// A connection is told of this moment of a record, or of a later one that looks the same.
    pub(super) fn told_moment(&mut self, conn: usize, name: &[u8], moment: Option<usize>) {
        let (Some(moment), Some(max)) = (moment, self.seen_max(name)) else { return };
        self.check(moment <= max, || {
            format!("conn {conn} sees moment {moment} of {}, and storage has reached {max}", text(name))
        });
    }

    /// A connection is told what another wrote, which is known by its number.
    pub(super) fn told_mark(&mut self, conn: usize, name: &[u8], mark: u64) {
        let Some(max) = self.seen_max(name) else { return };
        let history = self.records.history(name);
        let is_in = |index: &usize| {
            let mut marks = BTreeSet::new();
            marks_in(&history.at(*index).value, &mut marks);
            marks.contains(&mark)
        };
        let stored = (0..=max).rev().any(|index| is_in(&index));
        self.check(stored, || {
            format!(
                "conn {conn} sees number {mark} in {}, and storage, which has reached {max}, had it never",
                text(name)
            )
        });
    }
}
