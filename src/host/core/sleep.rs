//! *Owns* the decision of a core to sleep. *Promises* that it never sleeps while anything is left to do, and wakes up
//! when something is due. *Does not* do the work.

use super::Core;
use deepstream_engine::Nanos;
use std::time::Duration;

/// How often a stopping core checks whether the others are done.
const STOP_STEP_NS: u64 = 5_000_000;

impl Core {
    pub(super) fn spins(&self) -> bool {
        self.idle_spin_ns != Some(0)
    }

    /// Spins for a while, then sleeps until something happens or is due. Does neither if the turn left something to do.
    pub(super) fn idle(&mut self) {
        if self.has_left_over() {
            return self.connections.ring.submit();
        }
        let until = self.idle_spin_ns.map(|spin| self.connections.now.after(spin));
        let deadline = self.deadline();
        if self.spins() {
            self.connections.ring.submit();
            loop {
                if self.has_input() || self.peers.has_work() {
                    return self.connections.ring.submit();
                }
                let now = self.clock.now();
                if deadline.is_some_and(|at| at <= now) || self.is_asked() {
                    return;
                }
                if until.is_some_and(|until| until <= now) {
                    break;
                }
                std::hint::spin_loop();
            }
        }
        self.peers.prepare_sleep();
        let undone = self.has_input() || self.peers.has_work() || self.is_asked();
        if undone {
            self.connections.ring.submit();
        } else {
            let left = deadline.map(|at| Duration::from_nanos(at.since(self.clock.now())));
            self.connections.ring.sleep(left);
        }
        self.peers.woke();
    }

    /// Whether the last steps of the turn made work for its first ones, of which nothing from outside will remind the
    /// core: a connection closed at the end of a turn leaves packets for other cores, a lane that has room again lets
    /// sockets be read again.
    fn has_left_over(&mut self) -> bool {
        self.connections.shard.has_output(!self.stores.are_back())
            || self.connections.sockets.has_ready()
            || self.requests.are_waiting()
            || self.peers.has_packets(&self.connections.shard)
    }

    pub(super) fn has_input(&mut self) -> bool {
        self.connections.ring.has_completions()
            || self.peers.has_input()
            || self.connections.auth.has_answers()
            || self.connections.sockets.has_handshakes()
            || self.stores.has_answers()
    }

    /// Whether the process has asked for something that this core has not done yet.
    fn is_asked(&self) -> bool {
        self.control.is_stopping() != self.stopping
            || self.gauges.are_asked()
            || self.control.generation() != self.rules
    }

    /// When the next timed work is due.
    fn deadline(&self) -> Option<Nanos> {
        let stop = self.stopping.then(|| self.connections.now.after(STOP_STEP_NS));
        let sockets = [self.connections.sockets.next_late(), self.requests.next_late(), self.connections.next_silent()];
        let accepting = [self.accept_again_at, self.refusals.due(), self.connections.endings.next(), self.trim.due()];
        let all = [self.connections.shard.next_deadline(), stop].into_iter().chain(sockets).chain(accepting);
        all.flatten().min()
    }
}
