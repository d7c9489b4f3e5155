//! *Owns* whether a store is reachable, or whatever else is kept open in the same manner, and opening it again. *Promises*
//! that attempts to open it are spaced out, from [`RETRY_FIRST`] to the most that it allows; and that the log says once that it
//! is away, why and what to do, again when the reason changes, and once that it is back. *Does not* repeat calls that were
//! under way.

use super::driver::{Driver, Kind, Trouble};
use super::keeper::Keeper;
use super::{OpenError, Shared};
use crate::log::{Level, note};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep;

pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(50);

/// Which opening of the store a caller used: failures of an earlier one are already known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening(u64);

/// See the module.
pub(crate) struct Health(watch::Sender<State>);

enum State {
    Open(Opening),
    /// With the latest reason.
    Away(Opening, Trouble),
}

impl Health {
    /// The health of a store that has just been opened.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(State::Open(Opening(0))))
    }

    /// Whether it is reachable, or why not.
    pub(crate) fn now(&self) -> Result<Opening, Trouble> {
        match &*self.0.borrow() {
            State::Open(opening) => Ok(*opening),
            State::Away(_, why) => Err(why.clone()),
        }
    }

    /// Waits until it is reachable.
    pub(crate) async fn open(&self) -> Opening {
        let mut state = self.0.subscribe();
        loop {
            if let State::Open(opening) = &*state.borrow_and_update() {
                return *opening;
            }
            // This cannot fail, because the sender is `self`.
            let _ = state.changed().await;
        }
    }

    /// Reports that a call has found it away.
    pub(crate) fn report(&self, opening: Opening, why: &Trouble) {
        self.0.send_if_modified(|state| {
            let news = matches!(state, State::Open(current) if *current == opening);
            if news {
                *state = State::Away(opening, why.clone());
            }
            news
        });
    }

    /// Waits until it is not.
    pub(crate) async fn away(&self) -> Trouble {
        let mut state = self.0.subscribe();
        loop {
            if let State::Away(_, why) = &*state.borrow_and_update() {
                return why.clone();
            }
            let _ = state.changed().await;
        }
    }
}

/// What is kept open, for the log.
pub(crate) struct Kept {
    pub(crate) place: String,
    /// The event of its log lines.
    pub(crate) event: &'static str,
    /// What becomes of calls while it is away.
    pub(crate) meanwhile: &'static str,
    /// The longest pause between two tries to open it.
    pub(crate) retry_max: Duration,
}

impl Kept {
    /// Opens it for the first time. Waits for what cannot be reached, but not for what refuses.
    pub(crate) async fn first(
        &self,
        patience: Duration,
        open: impl AsyncFn() -> Result<(), Trouble>,
    ) -> Result<(), OpenError> {
        let started = Instant::now();
        let (mut pause, mut told) = (RETRY_FIRST, false);
        loop {
            let Err(why) = open().await else { return Ok(()) };
            let passes = matches!(why.kind, Kind::Away | Kind::Busy);
            let error = OpenError::new(self.place.clone(), why);
            if !passes || started.elapsed() + pause >= patience {
                return Err(error);
            }
            if !told {
                note(Level::Warn, self.event, &format!("{error}; trying again for {} ms", patience.as_millis()));
                told = true;
            }
            sleep(pause).await;
            pause = (pause * 2).min(self.retry_max);
        }
    }

    /// Opens it again, which was found away.
    pub(crate) async fn again(&self, health: &Health, open: impl AsyncFn() -> Result<(), Trouble>) {
        let mut why = health.away().await;
        self.say(Level::Error, &format!("{}. {}, until it is back", why.words(), self.meanwhile));
        let mut pause = RETRY_FIRST;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(self.retry_max);
            let Err(now) = open().await else { break };
            if now != why {
                self.say(Level::Warn, &now.words());
                why = now;
                health.0.send_modify(|state| {
                    if let State::Away(_, told) = state {
                        told.clone_from(&why);
                    }
                });
            }
        }
        health.0.send_modify(|state| {
            if let State::Away(Opening(before), _) = state {
                *state = State::Open(Opening(*before + 1));
            }
        });
        self.say(Level::Info, "it is back");
    }

    fn say(&self, level: Level, text: &str) {
        note(level, self.event, &format!("{}: {text}", self.place));
    }
}

/// A store, for the log.
fn kept<D: Driver>(driver: &D) -> Kept {
    let meanwhile = if D::MANNER.waits { "Writes wait, reads fail in time" } else { "Writes fail" };
    Kept { place: driver.place(), event: D::MANNER.event, meanwhile, retry_max: D::MANNER.retry_max }
}

/// Opens a store for the first time.
pub(super) async fn first<D: Driver>(driver: &D, keeper: &Keeper, patience: Duration) -> Result<(), OpenError> {
    kept(driver).first(patience, async || keeper.open(driver).await).await
}

/// Runs the driver's background work, and opens the store again whenever it is away. Never ends.
pub(super) async fn keep<D: Driver>(driver: Arc<D>, shared: Arc<Shared>) {
    let health = &shared.health;
    let open = async || {
        let opened = shared.keeper.open(&*driver).await;
        match &opened {
            Ok(()) => _ = shared.counters.reopens.fetch_add(1, Ordering::Relaxed),
            Err(why) if why.kind == Kind::Deposed => deposed(&driver.place(), &shared, why).await,
            Err(_) => {}
        }
        opened
    };
    loop {
        if let Ok(opening) = health.now() {
            let lives = first_of(driver.attend(), shared.keeper.beat(&*driver));
            let why = first_of(lives, health.away()).await;
            health.report(opening, &why);
        }
        let why = health.away().await;
        if why.kind == Kind::Deposed {
            deposed(&driver.place(), &shared, &why).await;
        }
        kept(&*driver).again(health, &open).await;
    }
}

/// Tells that another server has the store, which never becomes otherwise. Never ends.
async fn deposed(place: &str, shared: &Shared, why: &Trouble) {
    (shared.deposed)(&format!("{place}: {}", why.words()));
    pending::<()>().await;
}

/// The result of whichever ends first; the other is dropped.
pub(crate) async fn first_of<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Pending => other.as_mut().poll(context),
        ended @ Poll::Ready(_) => ended,
    })
    .await
}
