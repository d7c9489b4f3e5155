//! Tapes: the inputs of each shard, recorded in a file of its own, for `sim --replay`.
//!
//! *Owns* the files, the thread that writes them, and what is on its way there. *Promises* that no core ever waits for
//! a disk: if the disk is too slow the tape ends, which is logged, and the file can be replayed up to there; that no
//! file is overwritten; and that inputs before a panic of a core are in the file. *Does not* sync: files survive a
//! crash of the process, but not of the machine.

use super::error::StartError;
use crate::log::{Level, note};
use crate::service;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes that a core collects before it hands them over, unless it has nothing else to do.
const BATCH_BYTES: usize = 64 << 10;
/// Bytes of one shard that may wait for the disk.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// How long a process that panicked waits for its last words to be written.
const PANIC_DUMP: Duration = Duration::from_secs(2);

/// A command for the thread that writes.
enum Word {
    /// Bytes for the file of a shard.
    Bytes(usize, Vec<u8>),
    /// To report when everything before it is written.
    Tell(Sender<()>),
    /// There will be no more.
    End,
}

/// The files of a server's shards.
pub(super) struct Tapes {
    thread: JoinHandle<()>,
    sender: Sender<Word>,
    tape_feeds: Vec<TapeFeed>,
}

impl Tapes {
    /// Begins one tape for each shard, in this directory.
    pub(super) fn start(directory: &Path, shards: usize, cpus: &[usize], unix_ns: u64) -> Result<Self, StartError> {
        let failed = |path: &Path, error: &io::Error| StartError::Tape(format!("{}: {error}", path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| failed(directory, &error))?;
        let path = |shard: usize| directory.join(format!("shard-{shard}-{}.tape", unix_ns / 1_000_000));
        let open = |path: PathBuf| {
            // It contains everything that clients say, passwords included.
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            file.map(|file| (path.clone(), file)).map_err(|error| failed(&path, &error))
        };
        let files = (0..shards).map(|shard| open(path(shard))).collect::<Result<Vec<_>, _>>()?;
        let (sender, words) = channel();
        let tape_feed = |shard: usize| TapeFeed { shard, shared: Arc::default(), sender: sender.clone() };
        let tape_feeds: Vec<TapeFeed> = (0..shards).map(tape_feed).collect();
        let shared = tape_feeds.iter().map(|tape_feed| Arc::clone(&tape_feed.shared)).collect();
        let writer = Writer { files, shared, words };
        let thread = service::worker("tape", cpus, move |pinned| {
            if let Err(why) = pinned {
                note(Level::Warn, "INFO", &format!("the thread that writes tapes runs anywhere: {why}"));
            }
            writer.run();
        });
        let thread = thread.map_err(|error| failed(directory, &error))?;
        write_on_panic(tape_feeds.clone(), sender.clone());
        for shard in 0..shards {
            note(Level::Info, "INFO", &format!("shard {shard} is taped: {}", path(shard).display()));
        }
        Ok(Self { thread, sender, tape_feeds })
    }

    /// The end that a shard's core holds.
    pub(super) fn tape_feed(&self, shard: usize) -> TapeFeed {
        self.tape_feeds[shard].clone()
    }

    /// Writes what is left after the cores have ended.
    pub(super) fn finish(self) {
        // The panic hook keeps a sender as long as the process lives, so the writer does not end by itself.
        if self.sender.send(Word::End).is_ok() {
            let _ = self.thread.join();
        }
    }
}

/// Installs a panic hook that writes the rest before the process ends.
fn write_on_panic(tape_feeds: Vec<TapeFeed>, sender: Sender<Word>) {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        tape_feeds.iter().for_each(TapeFeed::hand_over);
        let (tell, told) = channel();
        if sender.send(Word::Tell(tell)).is_ok() {
            let _: Result<(), RecvTimeoutError> = told.recv_timeout(PANIC_DUMP);
        }
        report(panic);
    }));
}

/// What a core and the thread that writes share.
#[derive(Default)]
struct Shared {
    /// Not handed over yet; only locked by the core, except after a panic.
    kept: Mutex<Vec<u8>>,
    /// Bytes handed over and not yet written.
    waiting: AtomicUsize,
    /// No more is recorded.
    is_over: AtomicBool,
    /// Some of it could not be written.
    has_gap: AtomicBool,
}

/// A core's end of its tape.
#[derive(Clone)]
pub(super) struct TapeFeed {
    shard: usize,
    shared: Arc<Shared>,
    sender: Sender<Word>,
}

impl TapeFeed {
    /// Takes inputs that the shard has recorded.
    pub(super) fn take(&self, bytes: &[u8]) {
        if self.is_over() {
            return;
        }
        let full = {
            let mut kept = self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(bytes);
            kept.len() >= BATCH_BYTES
        };
        if full {
            self.hand_over();
        }
    }

    /// Hands what was collected to the thread that writes.
    pub(super) fn hand_over(&self) {
        let kept = {
            // If this is called by the panic hook, the panic may have happened in the middle of `take`.
            let Ok(mut kept) = self.shared.kept.try_lock() else { return };
            if kept.is_empty() {
                return;
            }
            std::mem::replace(&mut *kept, Vec::with_capacity(BATCH_BYTES * 2))
        };
        let len = kept.len();
        let waiting = self.shared.waiting.fetch_add(len, Ordering::Relaxed) + len;
        if waiting <= WAITING_BYTES_MAX {
            // If this fails the thread has ended, so the server is stopping or has panicked.
            let _ = self.sender.send(Word::Bytes(self.shard, kept));
        } else if !self.shared.is_over.swap(true, Ordering::Relaxed) {
            let what = format!("{} bytes of the tape of shard {} wait for the disk: it ends here", waiting, self.shard);
            note(Level::Warn, "INFO", &what);
        }
    }

    /// Whether no more is recorded.
    pub(super) fn is_over(&self) -> bool {
        self.shared.is_over.load(Ordering::Relaxed)
    }
}

/// The thread that writes.
struct Writer {
    files: Vec<(PathBuf, File)>,
    shared: Vec<Arc<Shared>>,
    words: Receiver<Word>,
}

impl Writer {
    /// Writes until [`Word::End`].
    fn run(mut self) {
        while let Ok(word) = self.words.recv() {
            match word {
                Word::Bytes(shard, bytes) => self.write(shard, &bytes),
                Word::Tell(all_written) => drop(all_written.send(())),
                Word::End => return,
            }
        }
    }

    fn write(&mut self, shard: usize, bytes: &[u8]) {
        let ((path, file), shared) = (&mut self.files[shard], &self.shared[shard]);
        // Bytes after a gap could not be replayed.
        if !shared.has_gap.load(Ordering::Relaxed)
            && let Err(error) = file.write_all(bytes)
        {
            shared.has_gap.store(true, Ordering::Relaxed);
            shared.is_over.store(true, Ordering::Relaxed);
            note(Level::Error, "INFO", &format!("the tape {} ends here: {error}", path.display()));
        }
        shared.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static BATCH: [u8; BATCH_BYTES] = [1; BATCH_BYTES];

    fn tape_feed_of(sender: &Sender<Word>) -> TapeFeed {
        TapeFeed { shard: 0, shared: Arc::default(), sender: sender.clone() }
    }

    /// A thread that writes one tape, to this file.
    fn writer(path: &str, tape_feed: &TapeFeed, words: Receiver<Word>) -> JoinHandle<()> {
        let file = OpenOptions::new().append(true).create(true).open(path).expect("a file to write to");
        let writer = Writer { files: vec![(path.into(), file)], shared: vec![tape_feed.shared.clone()], words };
        std::thread::spawn(move || writer.run())
    }

    fn all_written(sender: &Sender<Word>) {
        let (tell, told) = channel();
        sender.send(Word::Tell(tell)).expect("the thread that writes lives");
        told.recv().expect("it tells");
    }

    #[test]
    fn what_came_in_before_a_panic_is_in_the_file() {
        let directory = std::env::temp_dir().join(format!("deepstream-tape-{}", std::process::id()));
        let tapes = Tapes::start(&directory, 2, &[], 0).expect("a directory");
        let (one, other) = (tapes.tape_feed(0), tapes.tape_feed(1));
        one.take(b"first ");
        other.take(b"of another core");
        let core = std::thread::spawn(move || {
            one.take(b"second");
            panic!("as a core might");
        });
        assert!(core.join().is_err());
        // Only the hook has handed anything over.
        let read = |shard: usize| std::fs::read(directory.join(format!("shard-{shard}-0.tape"))).expect("a tape");
        assert_eq!(read(0), b"first second");
        assert_eq!(read(1), b"of another core");
        // A panic in the middle of `take` leaves the tape locked, and the hook must not wait for that lock.
        let kept = tapes.tape_feed(0);
        let core = std::thread::spawn(move || {
            let _kept = kept.shared.kept.lock();
            panic!("as a core might while it writes down");
        });
        assert!(core.join().is_err());
        tapes.finish();
        std::fs::remove_dir_all(&directory).expect("it can be removed");
    }

    #[test]
    fn a_full_disk_ends_the_tape_and_nothing_else() {
        let (sender, words) = channel();
        let tape_feed = tape_feed_of(&sender);
        let thread = writer("/dev/full", &tape_feed, words);
        tape_feed.take(&BATCH);
        all_written(&sender);
        assert!(tape_feed.is_over() && tape_feed.shared.has_gap.load(Ordering::Relaxed));
        // A batch that was on its way is given up as well, and nothing is kept any more.
        tape_feed.shared.waiting.fetch_add(3, Ordering::Relaxed);
        sender.send(Word::Bytes(0, vec![1; 3])).expect("the thread that writes lives");
        tape_feed.take(&BATCH);
        all_written(&sender);
        assert!(tape_feed.shared.kept.lock().expect("no panic").is_empty());
        assert_eq!(tape_feed.shared.waiting.load(Ordering::Relaxed), 0);
        sender.send(Word::End).expect("the thread that writes lives");
        thread.join().expect("it ends well");
    }

    #[test]
    fn a_disk_that_is_too_slow_ends_the_tape() {
        let (sender, words) = channel();
        let tape_feed = tape_feed_of(&sender);
        // Nobody writes.
        for _ in 0..WAITING_BYTES_MAX / BATCH_BYTES {
            tape_feed.take(&BATCH);
        }
        assert!(!tape_feed.is_over());
        tape_feed.take(&BATCH);
        assert!(tape_feed.is_over());
        drop(words);
    }
}
