//! Images of a disk after a crash, on which the last writes are only there in part, with content by an attacker who
//! knows the journal's form. Every image must open with everything acknowledged in it, and with every other batch whole
//! or not at all. An image in which something acknowledged is damaged must be refused, every time.
//!
//! `scripts/crash` runs it for as long as one likes; here it runs briefly, from a fixed seed.

use super::hostile;
use super::random::Random;
use super::rig::{Rig, Write, directory};
use deepstream::connector::embedded::Durability;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Seconds to run, and where to begin. Without: briefly, and always the same.
const SECONDS: &str = "DEEPSTREAM_CRASH_SECONDS";
const SEED: &str = "DEEPSTREAM_CRASH_SEED";
/// Where images are made; in memory it is faster, and wears out no disk.
const DIRECTORY: &str = "DEEPSTREAM_CRASH_DIRECTORY";
const FIRST_SEED: u64 = 8;
const STORES: u64 = 6;
const IMAGES_PER_STORE: u64 = 40;
const REPORT_EVERY: Duration = Duration::from_mins(1);

type Batch = Vec<(Vec<u8>, i32, Option<Vec<u8>>)>;
/// What is stored under every name that was ever written.
type State = BTreeMap<Vec<u8>, Option<(i32, Vec<u8>)>>;

/// A store after some batches, as it lies on the disk.
struct Snapshot {
    state: State,
    /// Of the newest journal, what is written.
    journal: Vec<u8>,
    watermark: Vec<u8>,
}

/// A directory without its newest journal and its watermark, and what they were after every batch.
struct Store {
    path: PathBuf,
    journal: PathBuf,
    /// After every batch; before `durable` they were synced one by one, from there on not at all.
    snapshots: Vec<Snapshot>,
    durable: usize,
}

#[derive(Default)]
struct Tally {
    stores: u64,
    torn: u64,
    damaged: u64,
    refused: u64,
}

#[test]
fn crash_images_with_hostile_names_lose_nothing_and_damaged_ones_are_refused() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seconds = number(SECONDS).map(Duration::from_secs);
    let mut seed = number(SEED).unwrap_or(FIRST_SEED);
    let (begin, mut reported, mut tally) = (Instant::now(), Instant::now(), Tally::default());
    loop {
        run(seed, &mut tally);
        seed += 1;
        let over = seconds.map_or(tally.stores >= STORES, |seconds| begin.elapsed() >= seconds);
        if seconds.is_some() && (over || reported.elapsed() >= REPORT_EVERY) {
            reported = Instant::now();
            let Tally { stores, torn, damaged, refused } = tally;
            println!(
                "{} s, {stores} stores, next seed {seed}: {torn} images of an unfinished write opened whole, {refused} \
                 of {damaged} damaged ones refused and the others unharmed",
                begin.elapsed().as_secs()
            );
        }
        if over {
            break;
        }
    }
    assert!(tally.torn > 0 && tally.refused > 0);
}

#[test]
fn a_hostile_last_write_cut_at_every_byte_loses_nothing() {
    let mut random = Random::new(7);
    let path = directory("every-cut");
    let name = hostile::bytes(&mut Random::new(3));
    let value = hostile::early_end(&mut random, &name);
    let batches = [vec![(b"before".to_vec(), 1, Some(b"{}".to_vec()))], vec![(name, 1, Some(value))]];
    let store = Store::make(&path, &batches, batches.len());
    let (before, after) = (&store.snapshots[1], &store.snapshots[2]);
    for cut in before.journal.len()..=after.journal.len() {
        let whole = cut == after.journal.len();
        store.judge(
            &after.journal[..cut],
            &before.watermark,
            &format!("cut at {cut}"),
            if whole { 2..=2 } else { 1..=1 },
        );
    }
}

/// One store and many images of it.
fn run(seed: u64, tally: &mut Tally) {
    let mut random = Random::new(seed);
    let count = 2 + random.below(5) as usize;
    let mut known = Vec::new();
    let batches: Vec<Batch> = (0..count).map(|version| batch(&mut random, version as i32, &mut known)).collect();
    let durable = if random.below(3) == 0 { random.within(1..count) } else { count };
    let path =
        std::env::var_os(DIRECTORY).map_or_else(|| directory("image-store"), |place| Path::new(&place).join("store"));
    let _ = std::fs::remove_dir_all(&path);
    let store = Store::make(&path, &batches, durable);
    tally.stores += 1;
    for image in 0..IMAGES_PER_STORE {
        let what = |how: &str| format!("seed {seed}, image {image}: {how}");
        if random.below(3) > 0 {
            store.unfinished(&mut random, &what("an unfinished write"));
            tally.torn += 1;
        } else if store.durable > 1 {
            tally.refused += u64::from(store.damaged(&mut random, &what("damage")));
            tally.damaged += 1;
        }
    }
}

fn batch(random: &mut Random, version: i32, known: &mut Vec<Vec<u8>>) -> Batch {
    let mut batch: Batch = Vec::new();
    for _ in 0..=random.below(6).saturating_sub(3) {
        let name = match random.below(4) {
            0 if !known.is_empty() => known[random.within(0..known.len())].clone(),
            1 => random.bytes(1 + version as usize),
            _ => hostile::bytes(random),
        };
        let value = match random.below(6) {
            0 => None,
            1 | 2 => Some(hostile::early_end(random, &name)),
            3 => Some(random.bytes(9000)),
            _ => Some(hostile::bytes(random)),
        };
        if !name.is_empty() && batch.iter().all(|(other, _, _)| *other != name) {
            known.push(name.clone());
            batch.push((name, version, value));
        }
    }
    batch
}

impl Store {
    fn make(path: &Path, batches: &[Batch], durable: usize) -> Self {
        let mut rig = Rig::open(path, Durability::Always, 1);
        let mut state = State::new();
        for (name, _, _) in batches.iter().flatten() {
            state.insert(name.clone(), None);
        }
        let journal = path.join("records/0.jnl");
        let mut snapshots = vec![Snapshot::take(path, &journal, &state)];
        for (position, batch) in batches.iter().enumerate() {
            if position == durable {
                rig.stop();
                rig = Rig::open(path, Durability::None, 1);
            }
            store(&mut rig, batch);
            for (name, version, value) in batch {
                state.insert(name.clone(), value.clone().map(|value| (*version, value)));
            }
            snapshots.push(Snapshot::take(path, &journal, &state));
        }
        // As it lies while it runs: no seal.
        let still = path.with_extension("still");
        let _ = std::fs::remove_dir_all(&still);
        copy(path, &still);
        rig.stop();
        Self { path: still, journal: "records/0.jnl".into(), snapshots, durable }
    }

    /// The last batch, or if they were not synced the last ones, with pages missing and cut short.
    fn unfinished(&self, random: &mut Random, what: &str) {
        let first = self.durable.min(self.snapshots.len() - 2);
        let (from, until) = (self.snapshots[first].journal.len(), self.snapshots.last().unwrap().journal.len());
        let mut journal = self.snapshots.last().unwrap().journal.clone();
        journal.truncate(random.within(from..until + 1));
        let page = [1, 8, 512, 4096][random.below(4) as usize];
        let mut missing = Vec::new();
        for _ in 0..random.below(4) {
            let at = random.within(from..until + 1);
            let at = if page > 8 { at / page * page } else { at };
            missing.push(at..at + page);
        }
        // A page may end anywhere in a header.
        if random.below(4) == 0 {
            let Range { start, end } = hostile::FIRST_LENGTH;
            missing.push(from + start..from + end);
        }
        for Range { start, end } in missing {
            let end = end.min(journal.len());
            journal[start.max(from).min(end)..end].fill(0);
        }
        let last = &self.snapshots.last().unwrap().journal;
        let kept = last.iter().zip(&journal).take_while(|(was, is)| was == is).count();
        let whole = self.snapshots.iter().rposition(|snapshot| snapshot.journal.len() <= kept).unwrap();
        journal.resize(journal.len() + random.below(3) as usize * 3000, 0);
        let watermark = &self.snapshots[random.within(0..first + 1)].watermark;
        let watermark = if random.below(4) == 0 { &[][..] } else { watermark };
        self.judge(&journal, watermark, what, whole..=whole);
    }

    /// A bit or some bytes of something acknowledged are others. Whether it was refused.
    fn damaged(&self, random: &mut Random, what: &str) -> bool {
        // With the newest watermark all that is acknowledged is known; without any, all but the last.
        let known = random.below(2) == 0;
        let (last, until) = if known { (self.durable, self.durable) } else { (self.durable, self.durable - 1) };
        let until = self.snapshots[until].journal.len();
        let end = self.snapshots.last().unwrap().journal.len();
        let mut journal = self.snapshots.last().unwrap().journal.clone();
        // What is behind it may be unfinished too.
        journal.truncate(random.within(self.snapshots[last].journal.len()..end + 1));
        // A head is where the fewest checksums are.
        let head = self.snapshots[random.within(0..self.durable)].journal.len() + random.within(0..14);
        let at = if random.below(3) == 0 && head < until { head } else { random.within(0..until) };
        if random.below(2) == 0 {
            journal[at] ^= 1 << random.below(8);
        } else {
            let page_end = (at + [1, 8, 512][random.below(3) as usize]).min(until);
            journal[at..page_end].fill(if random.below(2) == 0 { 0 } else { 0xff });
        }
        let watermark = if known { &self.snapshots[last].watermark[..] } else { &[] };
        let image = self.image(&journal, watermark);
        match Rig::try_open(&image, Durability::Always, 1) {
            Err(error) => {
                assert!(error.to_string().contains("it is damaged"), "{what}: {error}");
                let again = Rig::try_open(&image, Durability::Always, 1).map(Rig::stop);
                assert!(again.is_err(), "{what}: refused once and then opened");
                true
            }
            // What is changed has no meaning, or was already so.
            Ok(mut rig) => {
                let found = self.state(&mut rig, what);
                assert!(self.snapshots[last..].iter().any(|snapshot| snapshot.state == found), "{what}: opened");
                false
            }
        }
    }

    /// Opens an image with this journal, in which as many batches are to be.
    fn judge(&self, journal: &[u8], watermark: &[u8], what: &str, batches: RangeInclusive<usize>) {
        let image = self.image(journal, watermark);
        let mut rig = Rig::try_open(&image, Durability::Always, 1).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = self.state(&mut rig, what);
        let right = batches.clone().any(|count| self.snapshots[count].state == found);
        assert!(right, "{what}: not what {batches:?} batches make");
        // And it goes on, and what is written then survives the next crash: some of them, it takes as long again.
        if !journal.len().is_multiple_of(4) {
            return;
        }
        let more: Batch = vec![(b"more".to_vec(), 1, Some(journal[journal.len() / 2..].to_vec()))];
        store(&mut rig, &more);
        let next = image.with_extension("next");
        let _ = std::fs::remove_dir_all(&next);
        copy(&image, &next);
        drop(rig);
        let mut rig =
            Rig::try_open(&next, Durability::Always, 1).unwrap_or_else(|error| panic!("{what}: later {error}"));
        assert_eq!(self.state(&mut rig, what), found, "{what}: later");
        assert_eq!(rig.load(0, b"more").unwrap().map(|found| found.value), more[0].2, "{what}: later");
    }

    fn image(&self, journal: &[u8], watermark: &[u8]) -> PathBuf {
        let image = self.path.with_extension("image");
        let _ = std::fs::remove_dir_all(&image);
        copy(&self.path, &image);
        std::fs::write(image.join(&self.journal), journal).unwrap();
        std::fs::write(image.join("acknowledged"), watermark).unwrap();
        image
    }

    fn state(&self, rig: &mut Rig, what: &str) -> State {
        let load = |name: &Vec<u8>| {
            let stored = rig.load(0, name).unwrap_or_else(|fault| panic!("{what}: {fault:?}"));
            (name.clone(), stored.map(|stored| (stored.version, stored.value)))
        };
        self.snapshots[0].state.keys().map(load).collect()
    }
}

impl Snapshot {
    fn take(path: &Path, journal: &Path, state: &State) -> Self {
        let watermark = std::fs::read(path.join("acknowledged")).unwrap();
        Self { state: state.clone(), journal: written(journal), watermark }
    }
}

fn store(rig: &mut Rig, batch: &Batch) {
    let writes: Vec<Write> =
        batch.iter().map(|(name, version, value)| (&name[..], *version, value.as_deref())).collect();
    rig.store(0, &writes).unwrap();
}

/// A journal without the zeros of allocation: a batch ends in something else.
fn written(journal: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(journal).unwrap();
    bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
    bytes
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else if path.extension().is_some_and(|extension| extension == "jnl") {
            std::fs::write(&target, written(&path)).unwrap();
        } else if !path.ends_with("reserve") {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
