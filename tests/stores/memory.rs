//! A cache in memory that tests can make unreachable, slow or empty; and the contract of caches.

use crate::contract::{Detour, Subject, opened, run};
use deepstream::storage::names::{Names, Whole};
use deepstream::storage::{Cache, Driver, Entry, Expected, Found, Kind, Tiered, Trouble, Write};
use deepstream_engine::Stored;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// The content, which outlives its users. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) records: Arc<Mutex<HashMap<Vec<u8>, Stored>>>,
    pub(crate) away: Arc<AtomicBool>,
    /// It takes what it is told and answers nothing.
    pub(crate) silent: Arc<AtomicBool>,
    pub(crate) gets: Arc<AtomicUsize>,
}

impl Memory {
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

    async fn get(&self, names: &[&[u8]]) -> Result<Vec<Found>, Trouble> {
        self.reached().await?;
        self.gets.fetch_add(names.len(), Relaxed);
        let records = self.records.lock().unwrap();
        Ok(names.iter().map(|name| Ok(records.get(*name).cloned())).collect())
    }

    async fn head(&self, names: &[&[u8]]) -> Result<Vec<Option<i32>>, Trouble> {
        self.reached().await?;
        let records = self.records.lock().unwrap();
        Ok(names.iter().map(|name| records.get(*name).map(|stored| stored.version)).collect())
    }

    async fn set(&self, entries: &[Entry<'_>]) -> Result<(), Trouble> {
        self.reached().await?;
        let stored = |entry: &Entry<'_>| Stored { version: entry.version, value: entry.value.to_vec() };
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
        assert!(cache.get(&names).await.unwrap().iter().all(|found| *found == Ok(None)));
        for round in [2, 1] {
            let entry = |(name, n)| Entry { name, version: round * n, value: b"{\"cached\":true}" };
            let entries: Vec<Entry<'_>> = names.iter().copied().zip(1..).map(entry).collect();
            cache.set(&entries).await.unwrap();
            for (n, found) in (1..).zip(cache.get(&names).await.unwrap()) {
                assert_eq!(found, Ok(Some(Stored { version: round * n, value: b"{\"cached\":true}".to_vec() })));
            }
        }
        assert_eq!(cache.head(&[b"cached/1", b"cached/none"]).await.unwrap(), [Some(2), None]);
        cache.delete(&[b"cached/1", b"cached/none"]).await.unwrap();
        assert_eq!(cache.head(&[b"cached/1", b"cached/2"]).await.unwrap(), [None, Some(3)]);
        let hostile: [&[u8]; 8] = [b"a", b"A", b"a ", b"a b", b"a\nb", b"a/b", b"a:b", "\u{e9}".as_bytes()];
        let law = cache.names();
        let kept: Vec<&[u8]> = hostile.into_iter().filter(|name| law.place(name).is_ok()).collect();
        let entries: Vec<Entry<'_>> =
            kept.iter().zip(1..).map(|(name, version)| Entry { name, version, value: b"1" }).collect();
        cache.set(&entries).await.unwrap();
        let versions: Vec<_> = (1..=kept.len() as i32).map(Some).collect();
        assert_eq!(cache.head(&kept).await.unwrap(), versions, "names are one-to-one");
        cache.close().await;
    });
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
        opened(&driver).await;
        driver.commit(&put(1, b"{}")).await.unwrap();
        assert_eq!(memory.head(&[b"tiered"]).await.unwrap(), [Some(1)], "what is written is in the cache");
        assert_eq!(version(&driver).await, Some(1));
        memory.records.lock().unwrap().clear();
        assert_eq!(version(&driver).await, Some(1), "a cache may forget");
        assert_eq!(memory.head(&[b"tiered"]).await.unwrap(), [Some(1)], "and is told");
        let gets = memory.gets.load(Relaxed);
        memory.records.lock().unwrap().get_mut(&b"tiered"[..]).unwrap().version = 9;
        assert_eq!(version(&driver).await, Some(9), "it is asked first");
        assert_eq!(memory.gets.load(Relaxed), gets + 1);

        // Away, or silent, it is no outage; and what it kept of before is not believed once it is back.
        for flag in [&memory.away, &memory.silent] {
            driver.commit(&put(10, b"{}")).await.unwrap();
            flag.store(true, Relaxed);
            driver.commit(&put(11, b"{}")).await.unwrap();
            assert_eq!(version(&driver).await, Some(11));
            flag.store(false, Relaxed);
            assert_eq!(memory.head(&[b"tiered"]).await.unwrap(), [Some(10)], "it is behind");
            let back = async {
                while memory.head(&[b"tiered"]).await.unwrap() == [Some(10)] {
                    assert_eq!(version(&driver).await, Some(11));
                    tokio::task::yield_now().await;
                }
            };
            beside(back, driver.attend()).await;
            assert_eq!(version(&driver).await, Some(11));
        }
        driver.commit(&[Write { value: None, ..put(12, b"")[0] }]).await.unwrap();
        assert_eq!(memory.head(&[b"tiered"]).await.unwrap(), [None]);
        assert_eq!(version(&driver).await, None);
        driver.close().await;
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
