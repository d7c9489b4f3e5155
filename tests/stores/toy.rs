//! A third driver, which keeps records in memory: the minimum of what a driver needs.

use deepstream::storage::names::{Names, Whole};
use deepstream::storage::{Driver, Found, Kind, Manner, Refused, Trouble, Why, Write};
use deepstream_engine::Stored;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering};
use std::time::Duration;

/// The content, which outlives its drivers.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) records: Arc<Mutex<HashMap<Vec<u8>, Stored>>>,
    pub(crate) away: Arc<AtomicBool>,
    pub(crate) fences: Arc<Mutex<HashMap<u16, u64>>>,
}

/// With whether it is open.
pub(crate) struct Toy(pub(crate) World, pub(crate) AtomicBool);

impl Toy {
    fn reached(&self) -> Result<(), Trouble> {
        let gone = !self.1.load(Ordering::Relaxed) || self.0.away.load(Ordering::Relaxed);
        if gone { Err(Trouble::new(Kind::Away, "nobody answers", "wait")) } else { Ok(()) }
    }
}

impl Driver for Toy {
    #[rustfmt::skip]
    const MANNER: Manner = Manner { thread: "toy", event: "TOY", blocking: false, waits: true, round: 10, retry_max: Duration::from_millis(50) };

    fn place(&self) -> String {
        "a toy".to_owned()
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::new(Whole)
    }

    async fn open(&self) -> Result<(), Trouble> {
        self.1.store(true, Ordering::Relaxed);
        self.reached()
    }

    async fn load(&self, names: &[&[u8]]) -> Result<Vec<Found>, Trouble> {
        self.reached()?;
        let records = self.0.records.lock().unwrap();
        Ok(names.iter().map(|name| Ok(records.get(*name).cloned())).collect())
    }

    async fn claim(&self, slots: &[u16], generation: u64) -> Result<Vec<u16>, Trouble> {
        self.reached()?;
        let mut fences = self.0.fences.lock().unwrap();
        let (late, own): (Vec<u16>, Vec<u16>) = slots.iter().partition(|slot| fences.get(*slot) > Some(&generation));
        fences.extend(own.into_iter().map(|slot| (slot, generation)));
        Ok(late)
    }

    async fn commit(&self, group: &[Write<'_>]) -> Result<Vec<Refused>, Trouble> {
        self.reached()?;
        let (mut records, mut refused) = (self.0.records.lock().unwrap(), Vec::new());
        for (entry, write) in group.iter().enumerate() {
            if write.fence.is_some_and(|own| self.0.fences.lock().unwrap().get(&own.slot) != Some(&own.generation)) {
                refused.push(Refused { entry, why: Why::Deposed });
            } else if !write.expected.allows(write, records.get(write.name)) {
                refused.push(Refused { entry, why: Why::Conflict });
            } else if let Some(value) = write.value {
                records.insert(write.name.to_vec(), Stored { version: write.version, value: value.to_vec() });
            } else {
                records.remove(write.name);
            }
        }
        Ok(refused)
    }

    async fn close(&self) {
        self.1.store(false, Ordering::Relaxed);
    }
}
