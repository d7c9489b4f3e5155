//! *Owns* whether a store is reachable, and opening it again. *Promises* that attempts to open it are spaced out, from
//! [`RETRY_FIRST`] to the driver's maximum; and that the log says once that it is away, why and what to do, again when
//! the reason changes, and once that it is back. *Does not* repeat calls that were under way.

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

pub(super) const RETRY_FIRST: Duration = Duration::from_millis(50);

/// Which opening of the store a caller used: failures of an earlier one are already known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening(u64);

/// See the module.
pub(super) struct Health(watch::Sender<State>);

enum State {
    Open(Opening),
    /// With the latest reason.
    Away(Opening, Trouble),
}

impl Health {
    /// The health of a store that has just been opened.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(State::Open(Opening(0))))
    }

    /// Whether it is reachable, or why not.
    pub(super) fn now(&self) -> Result<Opening, Trouble> {
        match &*self.0.borrow() {
            State::Open(opening) => Ok(*opening),
            State::Away(_, why) => Err(why.clone()),
        }
    }

    /// Waits until it is reachable.
    pub(super) async fn open(&self) -> Opening {
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
    pub(super) fn report(&self, opening: Opening, why: &Trouble) {
        self.0.send_if_modified(|state| {
            let news = matches!(state, State::Open(current) if *current == opening);
            if news {
                *state = State::Away(opening, why.clone());
            }
            news
        });
    }

    async fn away(&self) -> Trouble {
        let mut state = self.0.subscribe();
        loop {
            if let State::Away(_, why) = &*state.borrow_and_update() {
                return why.clone();
            }
            let _ = state.changed().await;
        }
    }
}

/// Opens a store for the first time. Waits for one that cannot be reached, but not for one that refuses.
pub(super) async fn first<D: Driver>(driver: &D, keeper: &Keeper, patience: Duration) -> Result<(), OpenError> {
    let started = Instant::now();
    let (mut pause, mut told) = (RETRY_FIRST, false);
    loop {
        let Err(why) = keeper.open(driver).await else { return Ok(()) };
        let passes = matches!(why.kind, Kind::Away | Kind::Busy);
        let error = OpenError::new(driver.place(), why);
        if !passes || started.elapsed() + pause >= patience {
            return Err(error);
        }
        if !told {
            note(Level::Warn, D::MANNER.event, &format!("{error}; trying again for {} ms", patience.as_millis()));
            told = true;
        }
        sleep(pause).await;
        pause = (pause * 2).min(D::MANNER.retry_max);
    }
}

/// Runs the driver's background work, and opens the store again whenever it is away. Never ends.
pub(super) async fn keep<D: Driver>(driver: Arc<D>, shared: Arc<Shared>) {
    let (manner, health) = (D::MANNER, &shared.health);
    let say = |level, text: &str| note(level, manner.event, &format!("{}: {text}", driver.place()));
    let meanwhile = if manner.waits { "Writes wait, reads fail in time" } else { "Writes fail" };
    loop {
        if let Ok(opening) = health.now() {
            let lives = first_of(driver.attend(), shared.keeper.beat(&*driver));
            let why = first_of(lives, health.away()).await;
            health.report(opening, &why);
        }
        let mut why = health.away().await;
        if why.kind == Kind::Deposed {
            deposed(&driver.place(), &shared, &why).await;
        }
        say(Level::Error, &format!("{}. {meanwhile}, until it is back", why.words()));
        let mut pause = RETRY_FIRST;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(manner.retry_max);
            let Err(now) = shared.keeper.open(&*driver).await else { break };
            if now.kind == Kind::Deposed {
                deposed(&driver.place(), &shared, &now).await;
            }
            if now != why {
                say(Level::Warn, &now.words());
                why = now;
                health.0.send_modify(|state| {
                    if let State::Away(_, told) = state {
                        told.clone_from(&why);
                    }
                });
            }
        }
        shared.counters.reopens.fetch_add(1, Ordering::Relaxed);
        health.0.send_modify(|state| {
            if let State::Away(Opening(before), _) = state {
                *state = State::Open(Opening(*before + 1));
            }
        });
        say(Level::Info, "it is back");
    }
}

/// Tells that another server has the store, which never becomes otherwise. Never ends.
async fn deposed(place: &str, shared: &Shared, why: &Trouble) {
    (shared.deposed)(&format!("{place}: {}", why.words()));
    pending::<()>().await;
}

/// The result of whichever ends first; the other is dropped.
pub(super) async fn first_of<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Pending => other.as_mut().poll(context),
        ended @ Poll::Ready(_) => ended,
    })
    .await
}
