//! A third driver, which keeps records in memory: the minimum of what a driver needs.

use deepstream::storage::names::{Names, Whole};
use deepstream::storage::{Driver, Found, Kind, Late, Manner, Refused, Trouble, Why, Write, Writer};
use deepstream_engine::Stored;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering};
use std::time::Duration;

/// A text that is JSON, and that not every store takes.
pub(crate) const NUL: &[u8] = br#""\u0000""#;

/// The content, which outlives its drivers.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) records: Arc<Mutex<HashMap<Vec<u8>, Stored>>>,
    pub(crate) away: Arc<AtomicBool>,
    pub(crate) fences: Arc<Mutex<HashMap<u16, u64>>>,
    mark: Arc<Mutex<Option<Vec<u8>>>>,
    writers: Arc<Mutex<HashMap<u16, Writer>>>,
    /// Commits that do not get here yet, if there are to be any.
    pub(crate) on_the_way: Arc<Mutex<Option<Vec<Sent>>>>,
}

/// A commit that will be executed when it gets here.
pub(crate) type Sent = Box<dyn FnOnce(&World) + Send>;

impl World {
    fn execute(&self, by: Writer, group: &[Write<'_>]) -> Result<Vec<Refused>, Trouble> {
        if self.writers.lock().unwrap().get(&by.seat) != Some(&by) {
            return Err(Trouble::new(Kind::Away, "somebody else has entered", ""));
        }
        if group.iter().any(|write| write.value == Some(NUL)) {
            return Err(Trouble::new(Kind::Lasting, "there is a text in it that is not taken", ""));
        }
        let (mut records, mut refused) = (self.records.lock().unwrap(), Vec::new());
        for (entry, write) in group.iter().enumerate() {
            if write.fence.is_some_and(|own| self.fences.lock().unwrap().get(&own.slot) != Some(&own.generation)) {
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
}

/// With whether it is open, and as whom it has entered.
pub(crate) struct Toy(World, AtomicBool, Mutex<Option<Writer>>);

impl Toy {
    pub(crate) fn on(world: &World) -> Self {
        Self(world.clone(), AtomicBool::new(false), Mutex::default())
    }

    fn reached(&self) -> Result<(), Trouble> {
        let gone = !self.1.load(Ordering::Relaxed) || self.0.away.load(Ordering::Relaxed);
        if gone { Err(Trouble::new(Kind::Away, "nobody answers", "wait")) } else { Ok(()) }
    }
}

impl Driver for Toy {
    #[rustfmt::skip]
    const MANNER: Manner = Manner { thread: "toy", event: "TOY", blocking: false, waits: true, shared: true, round: 10, retry_max: Duration::from_millis(50) };

    fn place(&self) -> String {
        "a toy".to_owned()
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::new(Whole)
    }

    async fn open(&self) -> Result<(), Trouble> {
        *self.2.lock().unwrap() = None;
        self.1.store(true, Ordering::Relaxed);
        self.reached()
    }

    async fn enter(&self, writer: Writer, out: bool) -> Result<bool, Trouble> {
        self.reached()?;
        let mut writers = self.0.writers.lock().unwrap();
        let free = writers
            .get(&writer.seat)
            .is_none_or(|held| if held.holder == writer.holder { held.turn <= writer.turn } else { out });
        if free {
            writers.insert(writer.seat, writer);
            *self.2.lock().unwrap() = Some(writer);
        }
        Ok(free)
    }

    async fn keep(&self, expected: Option<&[u8]>, mark: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
        self.reached()?;
        let mut kept = self.0.mark.lock().unwrap();
        if kept.as_deref() == expected {
            *kept = Some(mark.to_vec());
        }
        Ok(kept.clone())
    }

    async fn load(&self, names: &[&[u8]]) -> Result<Vec<Found>, Trouble> {
        self.reached()?;
        let records = self.0.records.lock().unwrap();
        Ok(names.iter().map(|name| Ok(records.get(*name).cloned())).collect())
    }

    async fn claim(&self, slots: &[u16], generation: u64) -> Result<Vec<Late>, Trouble> {
        self.reached()?;
        let mut fences = self.0.fences.lock().unwrap();
        let (late, own): (Vec<u16>, Vec<u16>) = slots.iter().partition(|slot| fences.get(*slot) > Some(&generation));
        fences.extend(own.into_iter().map(|slot| (slot, generation)));
        Ok(late.into_iter().map(|slot| Late { slot, held: fences[&slot] }).collect())
    }

    async fn commit(&self, group: &[Write<'_>]) -> Result<Vec<Refused>, Trouble> {
        self.reached()?;
        let entered = *self.2.lock().unwrap();
        let by = entered.ok_or_else(|| Trouble::new(Kind::Away, "it is being opened", ""))?;
        if let Some(held) = &mut *self.0.on_the_way.lock().unwrap() {
            held.push(late(by, group));
        } else {
            return self.0.execute(by, group);
        }
        std::future::pending().await
    }

    async fn close(&self) {
        self.1.store(false, Ordering::Relaxed);
    }
}

/// A commit, for later.
fn late(by: Writer, group: &[Write<'_>]) -> Sent {
    let own = |write: &Write<'_>| {
        (write.name.to_vec(), write.version, write.value.map(<[u8]>::to_vec), write.expected, write.fence)
    };
    let group: Vec<_> = group.iter().map(own).collect();
    Box::new(move |world| {
        let write = |(name, version, value, expected, fence)| Write { name, version, value, expected, fence };
        let borrowed = group.iter().map(|(n, v, d, e, f)| write((&**n, *v, d.as_deref(), *e, *f)));
        let _ = world.execute(by, &borrowed.collect::<Vec<_>>());
    })
}
