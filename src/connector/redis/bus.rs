//! A bus over the channels of a Redis server.
//!
//! *Owns* two connections: one publishes, the other hears the inbox of this process. *Promises* what every bus does (`src/bus/mod.rs`);
//! Redis keeps nothing, so what is under way when a connection ends, or when Redis closes one that hears too slowly, is lost. *Does not*
//! use the number of the database: channels belong to the server.

use super::channels::Channels;
use super::inspect;
use super::link::{Link, REQUESTS_MAX, Told};
use super::sentinel;
use super::trouble::{self, of_cluster};
use crate::bus::{Address, Bus, Inbox};
use crate::config::Redis as Settings;
use crate::storage::{Kind, Trouble};
use bytes::Bytes;
use redis::cmd;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Redis cuts whoever has more than 32 MiB before it that it has not read, or 8 MiB for a minute.
const PACKET_BYTES_MAX: usize = 256 << 10;
/// Packets that Redis has not acknowledged yet. Fewer than a connection queues: so each is queued at once, in order.
const UNANSWERED_MAX: usize = 64;
const _: () = assert!(UNANSWERED_MAX < REQUESTS_MAX);
/// How often a connection is asked whether it is there, and how long that may take.
const ASKED_EVERY: Duration = Duration::from_secs(1);
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// See the module.
pub struct RedisBus {
    settings: Settings,
    channels: Channels,
    opened: Mutex<Option<Arc<Opened>>>,
    lost: Arc<AtomicU64>,
}

/// From one `open` to the next.
struct Opened {
    publishes: Link,
    inbox: Arc<Inbox>,
    room: Arc<Semaphore>,
    watch: JoinHandle<()>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl RedisBus {
    /// The bus of this cluster at this server.
    pub fn new(settings: Settings, cluster: &str) -> Self {
        let channels = Channels::new(&settings, cluster);
        Self { settings, channels, opened: Mutex::default(), lost: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Opened>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> Result<Arc<Opened>, Trouble> {
        self.lock().clone().ok_or_else(trouble::away)
    }

    async fn connected(&self, own: Address) -> Result<Opened, Trouble> {
        let inbox = Inbox::new(&self.lost);
        let (of_publisher, of_hearer) = (Arc::clone(&inbox), Arc::clone(&inbox));
        let settled = sentinel::settled(&self.settings).await?;
        let publishes = Link::connect_to(&settled, move |told| heard(&of_publisher, told)).await?;
        let hears = Link::connect_to(&settled, move |told| heard(&of_hearer, told)).await?;
        let channel = self.channels.inbox(own);
        let prepared = async {
            inspect::member(&self.settings, &publishes).await?;
            // Whoever may not publish is told so now.
            publishes.ask(cmd("PUBLISH").arg(&channel).arg("")).await?;
            hears.subscribe(channel.as_bytes()).await
        };
        prepared.await.map_err(|trouble| of_cluster(trouble::of_start(trouble)))?;
        let watch = tokio::spawn(watch([publishes.clone(), hears], Arc::clone(&inbox)));
        Ok(Opened { publishes, inbox, room: Arc::new(Semaphore::new(UNANSWERED_MAX)), watch })
    }
}

fn heard(inbox: &Inbox, told: Told) {
    match told {
        Told::Message(packet) => inbox.put(packet.into()),
        Told::End => inbox.end(trouble::away()),
    }
}

/// Asks whether the connections are there, until one of them is not: nothing else tells that a machine has gone.
async fn watch(links: [Link; 2], inbox: Arc<Inbox>) {
    let ping = cmd("PING");
    let mut answers = true;
    while answers {
        sleep(ASKED_EVERY).await;
        for link in &links {
            answers &= matches!(timeout(ANSWERED_WITHIN, link.ask(&ping)).await, Ok(Ok(_)));
        }
    }
    inbox.end(Trouble::new(
        Kind::Away,
        "no answer in time",
        "see whether Redis is overloaded, or the way to it is cut",
    ));
}

impl Bus for RedisBus {
    fn place(&self) -> String {
        format!("Redis, database {}", self.settings.place())
    }

    fn packet_bytes_max(&self) -> usize {
        PACKET_BYTES_MAX
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    async fn open(&self, own: Address) -> Result<(), Trouble> {
        self.close().await;
        let opened = self.connected(own).await?;
        *self.lock() = Some(Arc::new(opened));
        Ok(())
    }

    async fn send(&self, to: Address, packet: Bytes) -> Result<(), Trouble> {
        if packet.len() > PACKET_BYTES_MAX {
            let what = format!("a packet of {} bytes is longer than {PACKET_BYTES_MAX}", packet.len());
            return Err(Trouble::new(Kind::Lasting, what, ""));
        }
        let opened = self.opened()?;
        opened.inbox.check()?;
        let room = Arc::clone(&opened.room).acquire_owned().await.map_err(|_| trouble::away())?;
        opened.inbox.check()?;
        let mut command = cmd("PUBLISH");
        command.arg(self.channels.inbox(to)).arg(&packet[..]);
        let (link, inbox) = (opened.publishes.clone(), Arc::clone(&opened.inbox));
        let mut publish = Box::pin(async move {
            let _room = room;
            if let Err(trouble) = link.ask(&command).await {
                inbox.end(Trouble { kind: Kind::Away, ..of_cluster(trouble) });
            }
        });
        // Asked once it is on its way; the answer is awaited beside what comes next.
        let on_its_way = poll_fn(|context| Poll::Ready(publish.as_mut().poll(context))).await;
        if on_its_way.is_pending() {
            tokio::spawn(publish);
        }
        Ok(())
    }

    async fn receive(&self) -> Result<Bytes, Trouble> {
        let inbox = Arc::clone(&self.opened()?.inbox);
        inbox.next().await
    }

    async fn close(&self) {
        if let Some(opened) = self.lock().take() {
            opened.inbox.end(trouble::away());
            opened.publishes.give_up();
        }
    }
}
