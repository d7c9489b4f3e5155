//! What the nodes of a test have in common: a registry, a bus, and a store of which only claims matter. A node's way to them can be cut,
//! as if its process had been killed.

use bytes::Bytes;
use deepstream::bus::{Address, Bus, Exchange};
use deepstream::registry::{Desk, Held, Lease, Registry, Renewed, Seen, Swapped};
use deepstream::storage::names::{Names, Whole};
use deepstream::storage::{Driver, Found, Kind, Late, Manner, Refused, Trouble, Write};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Outside {
    pub(crate) desk: Desk,
    pub(crate) exchange: Exchange,
    pub(crate) fences: Fences,
}

/// By which generation each slot is claimed.
#[derive(Clone, Default)]
pub(crate) struct Fences(Arc<Mutex<BTreeMap<u16, u64>>>);

impl Fences {
    pub(crate) fn holds(&self, slot: u16, generation: u64) -> bool {
        self.0.lock().unwrap().get(&slot) == Some(&generation)
    }
}

/// Whether a node is cut off from everything.
#[derive(Clone, Default)]
pub(crate) struct Cut(Arc<AtomicBool>);

impl Cut {
    pub(crate) fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), Trouble> {
        if self.0.load(Ordering::Relaxed) { Err(Trouble::new(Kind::Away, "it is cut off", "")) } else { Ok(()) }
    }
}

pub(crate) struct CutRegistry<R>(pub(crate) R, pub(crate) Cut);

impl<R: Registry> Registry for CutRegistry<R> {
    fn place(&self) -> String {
        self.0.place()
    }

    fn ttl_min(&self) -> Duration {
        self.0.ttl_min()
    }

    fn deadline(&self) -> Duration {
        self.0.deadline()
    }

    async fn open(&self) -> Result<(), Trouble> {
        self.1.check()?;
        self.0.open().await
    }

    async fn renew(&self, lease: &Lease<'_>, known: u64) -> Result<Renewed, Trouble> {
        self.1.check()?;
        self.0.renew(lease, known).await
    }

    async fn release(&self, lease: Held<'_>) -> Result<(), Trouble> {
        self.1.check()?;
        self.0.release(lease).await
    }

    async fn look(&self, known: u64) -> Result<Seen, Trouble> {
        self.1.check()?;
        self.0.look(known).await
    }

    async fn swap(&self, expected: u64, view: &[u8], lease: Held<'_>) -> Result<Swapped, Trouble> {
        self.1.check()?;
        self.0.swap(expected, view, lease).await
    }

    async fn changed(&self, stamp: u64) -> Result<(), Trouble> {
        self.1.check()?;
        self.0.changed(stamp).await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

pub(crate) struct CutBus<B>(pub(crate) B, pub(crate) Cut);

impl<B: Bus> Bus for CutBus<B> {
    fn place(&self) -> String {
        self.0.place()
    }

    fn packet_bytes_max(&self) -> usize {
        self.0.packet_bytes_max()
    }

    fn lost(&self) -> u64 {
        self.0.lost()
    }

    async fn open(&self, own: Address) -> Result<(), Trouble> {
        self.1.check()?;
        self.0.open(own).await
    }

    async fn send(&self, to: Address, packet: Bytes) -> Result<(), Trouble> {
        self.1.check()?;
        self.0.send(to, packet).await
    }

    async fn receive(&self) -> Result<Bytes, Trouble> {
        let packet = self.0.receive().await?;
        self.1.check()?;
        Ok(packet)
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// A store whose records nobody asks for.
pub(crate) struct Claims(pub(crate) Fences, pub(crate) Cut);

impl Driver for Claims {
    const MANNER: Manner = Manner {
        thread: "claims",
        event: "STORAGE",
        blocking: false,
        waits: true,
        round: 1,
        shared: false,
        retry_max: Duration::from_secs(1),
    };

    fn place(&self) -> String {
        "claims alone".to_owned()
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::new(Whole)
    }

    async fn open(&self) -> Result<(), Trouble> {
        self.1.check()
    }

    async fn load(&self, names: &[&[u8]]) -> Result<Vec<Found>, Trouble> {
        Ok(names.iter().map(|_| Ok(None)).collect())
    }

    async fn claim(&self, slots: &[u16], generation: u64) -> Result<Vec<Late>, Trouble> {
        self.1.check()?;
        let mut fences = self.0.0.lock().unwrap();
        let mut late = Vec::new();
        for &slot in slots {
            let held = fences.entry(slot).or_default();
            if *held > generation {
                late.push(Late { slot, held: *held });
            } else {
                *held = generation;
            }
        }
        Ok(late)
    }

    async fn commit(&self, _: &[Write<'_>]) -> Result<Vec<Refused>, Trouble> {
        self.1.check()?;
        Ok(Vec::new())
    }

    async fn close(&self) {}
}
