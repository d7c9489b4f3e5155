//! *Owns* the thread that asks the registry. *Promises* one answer to everything that the node asks for, but releasing a lease; that the
//! registry is opened again when it is away; and that a lease is given back before the thread ends, if the registry is there.
//! *Does not* ask anything twice: what became of a call that failed is not known, and the node decides what to ask next.

use super::Report;
use super::carrier::Answers;
use super::words;
use crate::registry::{Held, Holder, Lease, Registry, Renewed, Seen, Swapped};
use crate::service::bell::Bell;
use crate::storage::{Health, Kept, Kind, Opening, Trouble, first_of};
use bytes::Bytes;
use deepstream_cluster::{Answer, Ask, Card};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

/// The longest pause between two tries to open the registry: far less than a lease lasts.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How long a node that ends waits until its lease is given back.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// What the thread is made with.
pub(super) struct Clerk<R> {
    registry: R,
    answers: UnboundedSender<Answers>,
    bell: Arc<Bell>,
    report: mpsc::Sender<Report>,
}

/// What its tasks share.
struct Desk<R> {
    registry: R,
    answers: UnboundedSender<Answers>,
    bell: Arc<Bell>,
    health: Health,
    /// The view that was seen last, by its revision.
    view: RefCell<(u64, Option<Bytes>)>,
    /// Of what was seen last.
    stamp: Cell<Option<u64>>,
    /// The node's card, as it was asked to be renewed last.
    card: RefCell<Option<Card>>,
    /// What a call that failed said last.
    said: RefCell<Option<Trouble>>,
}

impl<R: Registry> Clerk<R> {
    pub(super) fn new(
        registry: R,
        answers: UnboundedSender<Answers>,
        bell: Arc<Bell>,
        report: mpsc::Sender<Report>,
    ) -> Self {
        Self { registry, answers, bell, report }
    }

    /// Carries out what is asked until nobody can ask any more.
    pub(super) async fn run(self, mut asked: UnboundedReceiver<Ask>, patience: Duration) {
        let Self { registry, answers, bell, report } = self;
        let kept = Rc::new(Kept {
            place: registry.place(),
            event: words::EVENT,
            meanwhile: "Nobody can join, and what this node has is served as long as its lease is trusted",
            retry_max: RETRY_MAX,
        });
        if let Err(error) = kept.first(patience, async || registry.open().await).await {
            // This only fails if the start has given up.
            let _ = report.send(Report::Failed(error));
            return;
        }
        let desk = Rc::new(Desk {
            registry,
            answers,
            bell,
            health: Health::new(),
            view: RefCell::default(),
            stamp: Cell::new(None),
            card: RefCell::default(),
            said: RefCell::default(),
        });
        let opener = Rc::clone(&desk);
        let upkeep = spawn_local(async move {
            loop {
                kept.again(&opener.health, async || opener.registry.open().await).await;
            }
        });
        let watcher = Rc::clone(&desk);
        let watch = spawn_local(async move { watcher.watch().await });
        let mut last = None;
        while let Some(ask) = asked.recv().await {
            let desk = Rc::clone(&desk);
            let is_last = matches!(ask, Ask::Release { .. });
            let call = spawn_local(async move { desk.carry_out(ask).await });
            if is_last {
                last = Some(call);
            }
        }
        if let Some(call) = last {
            let _ = timeout(LAST_WAIT, call).await;
        }
        for task in [upkeep, watch] {
            task.abort();
            let _ = task.await;
        }
        desk.registry.close().await;
    }
}

impl<R: Registry> Desk<R> {
    /// Has the node look whenever something may have changed.
    async fn watch(&self) {
        loop {
            let opening = self.health.open().await;
            let Some(stamp) = self.stamp.get() else {
                sleep(self.registry.deadline()).await;
                continue;
            };
            match self.registry.changed(stamp).await {
                // What is seen next has another stamp, unless nothing has changed.
                Ok(()) if self.stamp.get() == Some(stamp) => {
                    self.tell(Answers::Look);
                    sleep(self.registry.deadline() / 4).await;
                }
                Ok(()) => {}
                Err(why) => {
                    self.troubled(opening, &why);
                    sleep(self.registry.deadline()).await;
                }
            }
        }
    }

    async fn carry_out(&self, ask: Ask) {
        let (ticket, asked) = match ask {
            Ask::Renew { ticket, card, ttl_ns, fresh } => (ticket, self.renew(card, ttl_ns, fresh).await),
            Ask::Swap { ticket, over, charter } => (ticket, self.swap(over.unwrap_or(0), &charter).await),
            Ask::Release { incarnation, grant } => return self.release(incarnation, grant).await,
            // The node's thread asks that of storage.
            Ask::Claim { ticket, .. } => (ticket, Ok(Answer::Failed)),
        };
        let answer = asked.unwrap_or(Answer::Failed);
        self.tell(Answers::Of(ticket, answer));
    }

    fn tell(&self, what: Answers) {
        // This fails if the node has ended, and then there is nobody to tell.
        let _ = self.answers.send(what);
        self.bell.ring();
    }

    /// Makes a call, unless the registry is away, or goes away meanwhile.
    async fn call<T>(&self, call: impl Future<Output = Result<T, Trouble>>) -> Result<T, ()> {
        let opening = self.health.now().map_err(drop)?;
        let gone = async { Err(self.health.away().await) };
        match first_of(call, gone).await {
            Ok(done) => {
                self.said.replace(None);
                Ok(done)
            }
            Err(why) => {
                self.troubled(opening, &why);
                Err(())
            }
        }
    }

    fn troubled(&self, opening: Opening, why: &Trouble) {
        if why.kind == Kind::Away {
            return self.health.report(opening, why);
        }
        if self.said.replace(Some(why.clone())).as_ref() != Some(why) {
            words::refused(&self.registry.place(), why);
        }
    }

    async fn renew(&self, card: Card, ttl_ns: u64, fresh: bool) -> Result<Answer, ()> {
        let (about, known) = (card.write(), self.view.borrow().clone());
        let lease = Lease {
            name: &card.name,
            incarnation: card.incarnation,
            grant: card.grant,
            fresh,
            about: &about,
            ttl: Duration::from_nanos(ttl_ns),
        };
        self.card.replace(Some(card.clone()));
        Ok(match self.call(self.registry.renew(&lease, known.0)).await? {
            Renewed::Yours(seen) => self.seen(seen, known),
            Renewed::Lapsed => Answer::Lapsed,
            Renewed::Held(..) => Answer::NameTaken,
        })
    }

    /// `known` is what was seen before.
    fn seen(&self, seen: Seen, known: (u64, Option<Bytes>)) -> Answer {
        let Seen { revision, view, stamp, holders } = seen;
        let charter = match view {
            Some(view) => Some(Bytes::from(view)),
            None if revision != 0 && revision == known.0 => known.1,
            None => None,
        };
        self.stamp.set(Some(stamp));
        self.view.replace((if charter.is_some() { revision } else { 0 }, charter.clone()));
        let card = |holder: &Holder| Card::read(&holder.about).filter(|card| card.incarnation == holder.incarnation);
        let live = holders.iter().filter_map(card).collect();
        Answer::Seen { revision: (revision != 0).then_some(revision), charter, live }
    }

    async fn swap(&self, over: u64, charter: &[u8]) -> Result<Answer, ()> {
        let card = self.card.borrow().clone().ok_or(())?;
        let held = Held { name: &card.name, incarnation: card.incarnation, grant: card.grant };
        Ok(match self.call(self.registry.swap(over, charter, held)).await? {
            Swapped::Done(revision) => Answer::Swapped(revision),
            Swapped::Other(_) | Swapped::NotHeld => Answer::Conflict,
        })
    }

    async fn release(&self, incarnation: u64, grant: u32) {
        let Some(card) = self.card.borrow().clone() else { return };
        // If this fails the lease is over by itself soon.
        let _ = self.call(self.registry.release(Held { name: &card.name, incarnation, grant })).await;
    }
}
