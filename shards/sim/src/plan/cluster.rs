//! How a cluster is drawn: which nodes there are, and how bad their bus and their registry are.

use super::{Act, Plan};
use crate::rng::Rng;
use deepstream_cluster::LinkSettings;

/// The cluster of a world.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// How many cores each process has.
    pub(crate) processes: Vec<u16>,
    /// Of a hundred frames, how many are lost.
    pub(crate) lost: u64,
    /// How many come twice.
    pub(crate) repeated: u64,
    /// How long a frame is under way at most; each takes a time of its own, so that they overtake each other.
    pub(crate) frame_ns_max: u64,
    /// Of a hundred questions to the registry, how many fail, whether they are carried out or not.
    pub(crate) failing: u64,
    /// How long the registry takes at most.
    pub(crate) registry_ns_max: u64,
    pub(crate) link: LinkSettings,
}

const MS: u64 = 1_000_000;

impl Plan {
    /// Two to five processes that are nodes of a cluster. It takes the place of the views that were drawn before.
    pub(crate) fn draw_cluster(&mut self, rng: &mut Rng) {
        let count = rng.pick(&[2, 2, 2, 3, 3, 4, 5]);
        let processes: Vec<u16> = (0..count).map(|_| rng.pick(&[1, 1, 2, 3])).collect();
        self.cores = processes.iter().sum();
        self.views.clear();
        self.refused_views = false;
        // Without time nothing arrives.
        self.weights[Act::Wait as usize] = rng.between(1, 8) as u32;
        let calm = rng.chance(20);
        let frame_ns_max = rng.pick(&[20_000, 200_000, 3 * MS, 50 * MS, 300 * MS]);
        // Small frames, few at once, over a slow bus would take days.
        let slow = frame_ns_max > 10 * MS;
        let frame_bytes_max = if slow { 1 << 20 } else { rng.pick(&[60, 300, 1 << 20]) };
        let window_frames = if slow { 256 } else { rng.pick(&[4, 16, 256]) };
        self.cluster = Some(Cluster {
            processes,
            lost: if calm { 0 } else { rng.pick(&[0, 1, 10, 30]) },
            repeated: if calm { 0 } else { rng.pick(&[0, 5, 30]) },
            frame_ns_max,
            failing: if calm { 0 } else { rng.pick(&[0, 5, 30]) },
            registry_ns_max: rng.pick(&[MS, 20 * MS, 400 * MS]),
            link: LinkSettings {
                frame_bytes_max,
                window_frames,
                window_bytes: rng.pick(&[1000, 64 << 10, 4 << 20]),
                ..LinkSettings::default()
            },
        });
    }
}
