//! Measures how far apart two CPUs are: how long a cache line takes from one to the other and back.
//!
//! Every message crosses from the generator's CPU to the server's and back, in dozens of cache lines. Of two virtual
//! CPUs the host may move one at any time, next door or to the far end of the machine: 27, 51, 77 and 345 ns there and
//! back were seen within minutes, and with them two levels of every figure here, a quarter apart. So every run is
//! measured together with this distance.

use crate::cpulist::{self, Cores};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// Round trips that are timed together. A thread that loses its CPU meanwhile spoils only one of the bouts.
const TRIPS: u64 = 2_000;
const BOUTS: usize = 9;

/// A line of its own, so that nothing travels with it.
#[repr(align(128))]
struct Line(AtomicU64);

/// Nanoseconds there and back between the first CPUs of both sides, the median of some bouts; nothing if they have none that are
/// apart.
pub(crate) fn measure(cores: &Cores) -> Result<Option<f64>, String> {
    let (true, Some(&here), Some(&there)) = (cores.is_apart(), cores.server.first(), cores.generator.first()) else {
        return Ok(None);
    };
    let (line, given_up) = (Line(AtomicU64::new(0)), AtomicBool::new(false));
    let (line, given_up) = (&line, &given_up);
    thread::scope(|scope| {
        let questions = scope.spawn(move || {
            let pinned = cpulist::pin(&[here]);
            given_up.store(pinned.is_err(), Ordering::Release);
            pinned.map(|()| ask(line))
        });
        // A thread that cannot be bound to its CPU answers all the same, because otherwise the other one would wait for
        // ever.
        let answers = scope.spawn(move || {
            let pinned = cpulist::pin(&[there]);
            answer(line, given_up);
            pinned
        });
        answers.join().map_err(|_| "the thread that answers panicked")??;
        questions.join().map_err(|_| "the thread that asks panicked")?.map(Some)
    })
}

fn ask(line: &Line) -> f64 {
    let mut number = 0;
    let mut bouts = [0.0; BOUTS];
    for bout in &mut bouts {
        let began = Instant::now();
        for _ in 0..TRIPS {
            line.0.store(number + 1, Ordering::Release);
            number += 2;
            while line.0.load(Ordering::Acquire) < number {
                std::hint::spin_loop();
            }
        }
        *bout = began.elapsed().as_nanos() as f64 / TRIPS as f64;
    }
    bouts.sort_by(f64::total_cmp);
    bouts[BOUTS / 2]
}

fn answer(line: &Line, given_up: &AtomicBool) {
    let last = 2 * TRIPS * BOUTS as u64;
    for number in (1..last).step_by(2) {
        while line.0.load(Ordering::Acquire) < number {
            if given_up.load(Ordering::Relaxed) {
                return;
            }
            std::hint::spin_loop();
        }
        line.0.store(number + 1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_there_and_back() {
        if thread::available_parallelism().is_ok_and(|cpus| cpus.get() < 2) {
            return;
        }
        let ns = measure(&Cores::first_two(2)).expect("measured").expect("two CPUs");
        assert!((1.0..1e9).contains(&ns), "{ns}");
    }

    #[test]
    fn sides_that_share_their_cpus_have_no_distance() {
        assert_eq!(measure(&Cores::default()), Ok(None));
    }

    #[test]
    fn a_cpu_that_is_not_there_is_an_error_and_no_hang() {
        let beyond = |server, generator| Cores { server: vec![server], generator: vec![generator] };
        assert!(measure(&beyond(0, 1023)).is_err());
        assert!(measure(&beyond(1023, 0)).is_err());
    }
}
