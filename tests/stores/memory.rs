//! A cache in memory that tests can make unreachable, slow or empty; and the contract of caches.

use crate::contract::{Detour, Subject, opened, run};
use deepstream::storage::names::{Names, Whole};
use deepstream::storage::{Cache, Driver, Entry, Expected, Fence, Found, Kind, Tiered, Trouble, Write};
use deepstream_engine::Stored;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Records by name, with the stamp of each.
type Records = HashMap<Vec<u8>, (u64, Stored)>;

/// The content, which outlives its users. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) records: Arc<Mutex<Records>>,
    pub(crate) away: Arc<AtomicBool>,
    /// It takes what it is told and answers nothing.
    pub(crate) silent: Arc<AtomicBool>,
    pub(crate) gets: Arc<AtomicUsize>,
}

impl Memory {
    /// The version that it has of a record, under whatever stamp.
    fn version(&self, name: &[u8]) -> Option<i32> {
        self.records.lock().unwrap().get(name).map(|(_, stored)| stored.version)
    }

    async fn reached(&self) -> Result<(), Trouble> {
        if self.silent.load(Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.away.load(Relaxed) { Err(Trouble::new(Kind::Away, "nobody answers", "wait")) } else { Ok(()) }
    }
}

impl Cache for Memory {
    fn place(&self) -> String {
        "in memory".to_owned()
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::new(Whole)
    }

    async fn open(&self) -> Result<(), Trouble> {
        self.reached().await
    }

    async fn get(&self, names: &[&[u8]], stamp: u64) -> Result<Vec<Found>, Trouble> {
        self.reached().await?;
        self.gets.fetch_add(names.len(), Relaxed);
        let records = self.records.lock().unwrap();
        let cached = |name: &&[u8]| records.get(*name).filter(|(of, _)| *of == stamp).map(|(_, stored)| stored.clone());
        Ok(names.iter().map(|name| Ok(cached(name))).collect())
    }

    async fn set(&self, entries: &[Entry<'_>], stamp: u64) -> Result<(), Trouble> {
        self.reached().await?;
        let stored = |entry: &Entry<'_>| (stamp, Stored { version: entry.version, value: entry.value.to_vec() });
        self.records.lock().unwrap().extend(entries.iter().map(|entry| (entry.name.to_vec(), stored(entry))));
        Ok(())
    }

    async fn delete(&self, names: &[&[u8]]) -> Result<(), Trouble> {
        self.reached().await?;
        let mut records = self.records.lock().unwrap();
        for name in names {
            records.remove(*name);
        }
        Ok(())
    }

    async fn close(&self) {}
}

/// The contract of caches, tested with caches that do not forget during the test.
pub(crate) fn holds(cache: &impl Cache) {
    run(async {
        cache.open().await.unwrap();
        let names: Vec<Vec<u8>> = (0..300).map(|n| format!("cached/{n}").into_bytes()).collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        assert!(cache.get(&names, 1).await.unwrap().iter().all(|found| *found == Ok(None)));
        for (stamp, round) in [(1, 2), (u64::MAX, 1)] {
            let entry = |(name, n)| Entry { name, version: round * n, value: b"{\"cached\":true}" };
            let entries: Vec<Entry<'_>> = names.iter().copied().zip(1..).map(entry).collect();
            cache.set(&entries, stamp).await.unwrap();
            for (n, found) in (1..).zip(cache.get(&names, stamp).await.unwrap()) {
                assert_eq!(found, Ok(Some(Stored { version: round * n, value: b"{\"cached\":true}".to_vec() })));
            }
        }
        assert!(cache.get(&names, 1).await.unwrap().iter().all(|found| *found == Ok(None)), "by another stamp");
        let two: [&[u8]; 2] = [b"cached/1", b"cached/none"];
        assert_eq!(versions(cache, &two, u64::MAX).await, [Some(2), None]);
        cache.delete(&two).await.unwrap();
        assert_eq!(versions(cache, &[b"cached/1", b"cached/2"], u64::MAX).await, [None, Some(3)]);
        let hostile: [&[u8]; 11] =
            [b"a", b"A", b"a ", b"a b", b"a\nb", b"a/b", b"a:b", "\u{e9}".as_bytes(), b"a_v", b"a_d", b"a_g"];
        let law = cache.names();
        let kept: Vec<&[u8]> = hostile.into_iter().filter(|name| law.place(name).is_ok()).collect();
        let entries: Vec<Entry<'_>> =
            kept.iter().zip(1..).map(|(name, version)| Entry { name, version, value: b"1" }).collect();
        cache.set(&entries, 7).await.unwrap();
        let all: Vec<_> = (1..=kept.len() as i32).map(Some).collect();
        assert_eq!(versions(cache, &kept, 7).await, all, "names are one-to-one");
        cache.close().await;
    });
}

/// The versions that are cached under a stamp.
async fn versions(cache: &impl Cache, names: &[&[u8]], stamp: u64) -> Vec<Option<i32>> {
    let found = cache.get(names, stamp).await.unwrap();
    found.into_iter().map(|found| found.unwrap().map(|stored| stored.version)).collect()
}

/// A cache before the store of another subject.
pub(crate) struct Before<S>(pub(crate) Memory, pub(crate) S);

impl<S: Subject> Subject for Before<S> {
    type Driver = Tiered<Memory, S::Driver>;

    fn driver(&self) -> Self::Driver {
        Tiered::new(self.0.clone(), self.1.driver())
    }

    fn detour(&self) -> Option<(Self::Driver, Box<dyn Detour>)> {
        let (driver, detour) = self.1.detour()?;
        Some((Tiered::new(self.0.clone(), driver), detour))
    }

    fn away(&self, away: bool) -> bool {
        let done = self.1.away(away);
        // Both at once, so that what is asked for is in neither.
        self.0.away.store(away && done, Relaxed);
        done
    }
}

fn put(version: i32, value: &'static [u8]) -> [Write<'static>; 1] {
    [Write { name: b"tiered", version, value: Some(value), expected: Expected::Anything, fence: None }]
}

async fn version(driver: &impl Driver) -> Option<i32> {
    let found = driver.load(&[b"tiered"]).await.unwrap().remove(0).unwrap();
    found.map(|stored| stored.version)
}

/// What only two of them can get wrong.
pub(crate) fn order_holds(subject: &Before<impl Subject>) {
    let (memory, driver) = (&subject.0, subject.driver());
    run(async {
        let is_cached = |version| memory.version(b"tiered") == version;
        opened(&driver).await;
        driver.commit(&put(1, b"{}")).await.unwrap();
        assert!(is_cached(Some(1)), "what is written is in the cache");
        assert_eq!(version(&driver).await, Some(1));
        memory.records.lock().unwrap().clear();
        assert_eq!(version(&driver).await, Some(1), "a cache may forget");
        assert!(is_cached(Some(1)), "and is told");
        let gets = memory.gets.load(Relaxed);
        memory.records.lock().unwrap().get_mut(&b"tiered"[..]).unwrap().1.version = 9;
        assert_eq!(version(&driver).await, Some(9), "it is asked first");
        assert_eq!(memory.gets.load(Relaxed), gets + 1);

        // Away, or silent, it is no outage; and what it kept of before is not believed once it is back, nor what reaches it
        // only then.
        for flag in [&memory.away, &memory.silent] {
            driver.commit(&put(10, b"{}")).await.unwrap();
            let before = memory.records.lock().unwrap()[&b"tiered"[..]].clone();
            flag.store(true, Relaxed);
            driver.commit(&put(11, b"{}")).await.unwrap();
            assert_eq!(version(&driver).await, Some(11));
            flag.store(false, Relaxed);
            assert!(is_cached(Some(10)), "it is behind");
            let back = async {
                while !is_cached(Some(11)) {
                    assert_eq!(version(&driver).await, Some(11));
                    tokio::task::yield_now().await;
                }
            };
            beside(back, driver.attend()).await;
            memory.records.lock().unwrap().insert(b"tiered".to_vec(), before);
            assert_eq!(version(&driver).await, Some(11), "an older one came late");
        }
        // Slots are claimed: another node may have had them meanwhile.
        driver.commit(&put(12, b"{}")).await.unwrap();
        memory.records.lock().unwrap().get_mut(&b"tiered"[..]).unwrap().1.version = 7;
        assert_eq!(version(&driver).await, Some(7), "as it is cached");
        assert_eq!(driver.claim(&[1], 1).await, Ok(vec![]));
        assert_eq!(version(&driver).await, Some(12));
        let fenced =
            |version, generation| Write { fence: Some(Fence { slot: 1, generation }), ..put(version, b"{}")[0] };
        assert_eq!(driver.commit(&[fenced(13, 1)]).await, Ok(vec![]));
        assert!(is_cached(Some(13)));
        assert_eq!(driver.commit(&[fenced(14, 2)]).await.unwrap().len(), 1);
        assert!(is_cached(None), "somebody else has written it");
        assert_eq!(version(&driver).await, Some(13));
        driver.close().await;

        // The next process, which knows nothing of what this one has cached.
        memory.records.lock().unwrap().get_mut(&b"tiered"[..]).unwrap().1.version = 3;
        let next = subject.driver();
        opened(&next).await;
        assert_eq!(version(&next).await, Some(13));
        next.commit(&[Write { value: None, ..put(14, b"")[0] }]).await.unwrap();
        assert!(is_cached(None));
        assert_eq!(version(&next).await, None);
        next.close().await;
    });
}

/// Polls both until the first has ended.
async fn beside(first: impl Future<Output = ()>, other: impl Future) {
    let (mut first, mut other) = (std::pin::pin!(first), std::pin::pin!(other));
    std::future::poll_fn(|context| {
        let _ = other.as_mut().poll(context);
        first.as_mut().poll(context)
    })
    .await;
}
