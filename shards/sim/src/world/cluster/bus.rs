//! The bus: frames that are lost, come twice, or overtake each other.

use crate::plan::cluster::Cluster as Plan;
use crate::rng::Rng;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Between two frames from one process to another that both arrive, none is lost after so long: nobody is to be taken for silent.
const GAP_NS_MAX: u64 = 500_000_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bus {
    /// By the moment at which each arrives, and by its number.
    frames: BTreeMap<(u64, u64), (usize, Bytes)>,
    sent: u64,
    /// From whom to whom, when a frame last got through.
    through: BTreeMap<(usize, usize), u64>,
}

impl Bus {
    /// A frame is sent. Without a plan all is well.
    pub(super) fn sends(&mut self, real: u64, way: (usize, usize), frame: Bytes, plan: Option<&Plan>, rng: &mut Rng) {
        let Some(plan) = plan else { return self.arrive_at(real, way.1, frame) };
        let through = self.through.entry(way).or_insert(real);
        if rng.chance(plan.lost) && real - *through < GAP_NS_MAX {
            return;
        }
        *through = real;
        for _ in 0..=u64::from(rng.chance(plan.repeated)) {
            let late = rng.between(plan.frame_ns_max / 10, plan.frame_ns_max);
            self.arrive_at(real + late, way.1, frame.clone());
        }
    }

    fn arrive_at(&mut self, real: u64, to: usize, frame: Bytes) {
        self.sent += 1;
        self.frames.insert((real, self.sent), (to, frame));
    }

    /// The next frame that has arrived by then.
    pub(super) fn arrives(&mut self, real: u64) -> Option<(usize, Bytes)> {
        let entry = self.frames.first_entry().filter(|entry| entry.key().0 <= real)?;
        Some(entry.remove())
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.frames.first_key_value().map(|((at, _), _)| *at)
    }
}
