//! Turns at a resource that only a limited number of logins can use at a time: hashing threads, a webhook, the store.
//!
//! *Owns* who is next. *Promises* that addresses take turns: of one with a thousand logins waiting, one is served for
//! each login of every other address; and that a place in a queue is freed as soon as nobody waits for it. *Does not*
//! bound the queues: each pending login has at most one place, and those are bounded elsewhere (`shares`).

use super::origin::Origin;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// See the module.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<Line>>);

/// The right to use the resource, until dropped.
pub(super) struct Turn(Option<Turns>);

struct Line {
    free: usize,
    next: u64,
    queues: HashMap<Origin, Queue>,
    /// The order in which origins have their turns: the lowest number first.
    order: BTreeMap<u64, Origin>,
}

/// The waiting logins of one origin, in order.
struct Queue {
    /// Its key in the order.
    at: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Turn>>,
}

/// A place in a queue. Dropped, it is given up.
struct Place<'a> {
    turns: &'a Turns,
    origin: Origin,
    number: u64,
}

impl Turns {
    /// Turns at a resource that this many may use at a time.
    pub(super) fn new(at_a_time: usize) -> Self {
        let line = Line { free: at_a_time.max(1), next: 0, queues: HashMap::new(), order: BTreeMap::new() };
        Self(Arc::new(Mutex::new(line)))
    }

    /// Waits for a turn.
    pub(super) async fn take(&self, origin: Origin) -> Turn {
        let (answer, _place) = {
            let mut line = self.lock();
            // While anything is free nobody waits.
            if line.free > 0 {
                line.free -= 1;
                return Turn(Some(self.clone()));
            }
            let (tell, answer) = oneshot::channel();
            let number = line.queue(origin, tell);
            (answer, Place { turns: self, origin, number })
        };
        // The sender is in the queue, and only leaves it with a turn.
        answer.await.unwrap_or(Turn(None))
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn queue(&mut self, origin: Origin, tell: oneshot::Sender<Turn>) -> u64 {
        let number = self.number();
        let order = &mut self.order;
        let queue = self.queues.entry(origin).or_insert_with(|| {
            order.insert(number, origin);
            Queue { at: number, waiting: BTreeMap::new() }
        });
        queue.waiting.insert(number, tell);
        number
    }

    /// Takes the first login of the origin whose turn it is, and moves that origin to the end.
    fn pop(&mut self) -> Option<oneshot::Sender<Turn>> {
        let (_, origin) = self.order.pop_first()?;
        let again = self.number();
        let queue = self.queues.get_mut(&origin)?;
        let (_, tell) = queue.waiting.pop_first()?;
        if queue.waiting.is_empty() {
            self.queues.remove(&origin);
        } else {
            queue.at = again;
            self.order.insert(again, origin);
        }
        Some(tell)
    }

    fn give_up(&mut self, origin: Origin, number: u64) {
        let Some(queue) = self.queues.get_mut(&origin) else { return };
        queue.waiting.remove(&number);
        if queue.waiting.is_empty() {
            self.order.remove(&queue.at);
            self.queues.remove(&origin);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turns.lock().give_up(self.origin, self.number);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        let mut line = turns.lock();
        while let Some(tell) = line.pop() {
            match tell.send(Turn(Some(turns.clone()))) {
                Ok(()) => return,
                // The login that waited is gone. Its turn is passed on here, and must not be returned a second time
                // when dropped.
                Err(mut refused) => drop(refused.0.take()),
            }
        }
        line.free += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    type Taking<'a> = Pin<Box<dyn Future<Output = Turn> + 'a>>;

    fn poll(taking: &mut Taking<'_>) -> Option<Turn> {
        match taking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    /// Places of these origins, in this order, behind one that has the only turn.
    fn line<'a>(turns: &'a Turns, origins: &[&'static str]) -> (Turn, Vec<(&'static str, Taking<'a>)>) {
        let first = poll(&mut (Box::pin(turns.take(Origin::of("9.9.9.9"))) as Taking<'_>)).unwrap();
        let place = |origin: &&'static str| {
            let mut taking: Taking<'_> = Box::pin(turns.take(Origin::of(origin)));
            assert!(poll(&mut taking).is_none());
            (*origin, taking)
        };
        (first, origins.iter().map(place).collect())
    }

    /// Who is served, in order, each for a moment.
    fn served(turn: Turn, mut waiting: Vec<(&'static str, Taking<'_>)>) -> Vec<&'static str> {
        let mut served = Vec::new();
        drop(turn);
        while let Some(at) = waiting.iter_mut().position(|(_, taking)| {
            // The turn ends here, and the next one has it.
            poll(taking).is_some()
        }) {
            served.push(waiting.remove(at).0);
        }
        served
    }

    #[test]
    fn strangers_take_turns_however_many_one_of_them_has_waiting() {
        let turns = Turns::new(1);
        let flood = ["1.1.1.1"; 300];
        let (turn, waiting) = line(&turns, &[&flood[..], &["2.2.2.2", "2.2.2.2", "2001:db8::1"]].concat());
        let order = served(turn, waiting);
        assert_eq!(order[..5], ["1.1.1.1", "2.2.2.2", "2001:db8::1", "1.1.1.1", "2.2.2.2"]);
        assert_eq!(order.len(), 303, "and everybody is served");
        assert_eq!(turns.lock().free, 1);
    }

    #[test]
    fn a_place_that_was_left_holds_up_nobody_and_leaves_nothing_behind() {
        let turns = Turns::new(1);
        let (turn, mut waiting) = line(&turns, &["1.1.1.1", "1.1.1.1", "2.2.2.2", "3.3.3.3"]);
        // All of one, and the first of another.
        drop(waiting.remove(2));
        drop(waiting.remove(0));
        let left = {
            let line = turns.lock();
            (line.queues.len(), line.order.len())
        };
        assert_eq!(left, (2, 2));
        assert_eq!(served(turn, waiting), ["1.1.1.1", "3.3.3.3"]);
        let line = turns.lock();
        assert_eq!((line.free, line.queues.len(), line.order.len()), (1, 0, 0));
    }

    #[test]
    fn a_turn_that_was_given_and_not_taken_is_given_on() {
        let turns = Turns::new(1);
        let (turn, mut waiting) = line(&turns, &["1.1.1.1", "2.2.2.2"]);
        drop(turn);
        // It has its turn by now, and is gone before it looks.
        drop(waiting.remove(0));
        assert!(poll(&mut waiting[0].1).is_some());
    }

    #[test]
    fn as_many_as_may_go_on_at_once() {
        let turns = Turns::new(3);
        let take = || poll(&mut (Box::pin(turns.take(Origin::default())) as Taking<'_>));
        let held: Vec<_> = (0..3).map(|_| take().unwrap()).collect();
        let mut fourth = pin!(turns.take(Origin::default()));
        assert!(fourth.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(held);
        assert!(fourth.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}
