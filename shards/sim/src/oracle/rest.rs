//! Checks limits after every step, that nothing is owed at rest, and that nothing is left at the end.

use crate::oracle::Oracle;
use crate::world::World;
use deepstream_engine::{Census, Lane, Limits};

impl Oracle {
    fn answers_at_rest(&mut self) {
        let unpaid = (0..self.conns.len())
            .filter(|&conn| self.sound(conn))
            .find_map(|conn| Some((conn, self.conns[conn].answers.unpaid()?)));
        if let Some((conn, what)) = unpaid {
            let core = self.conns[conn].core;
            self.fail(format!("conn {conn} on core {core} was never answered: {what}"));
        }
    }
}

impl World {
    /// What must hold after every step; `thorough` looks at what is slow to look at, too.
    pub(crate) fn check_bounds(&mut self, thorough: bool) {
        let limits = &self.plan.options.limits;
        // One frame may go past the maximum, and what links say by themselves.
        let frame_max = self.plan.filler_bytes * 8 + limits.name_bytes_max + 2000;
        for &index in &self.live {
            let bytes = self.conns[index].unsent.len();
            if bytes > limits.outbox_bytes_max + frame_max {
                let what = format!("conn {index}: {bytes} bytes unsent, of {} allowed", limits.outbox_bytes_max);
                return self.oracle.fail(what);
            }
        }
        if !thorough && limits.outbox_bytes_total_max >= Limits::default().outbox_bytes_total_max {
            return;
        }
        if let Some(what) = self.wrong_burden() {
            return self.oracle.fail(what);
        }
        let limits = &self.plan.options.limits;
        if !thorough {
            return;
        }
        for core in &self.cores {
            let census = core.shard.census();
            let fine = census.parked_messages <= limits.parked_messages_max
                && census.parked_bytes <= limits.parked_bytes_max
                && census.connections <= limits.connections_max;
            if !fine {
                return self.oracle.fail(format!("a bound is passed: {census:?}"));
            }
        }
        if self.lanes().iter().any(|lane| lane.packets.len() > self.plan.lane_capacity) {
            self.oracle.fail("a lane is longer than it can be".into());
        }
    }

    /// Compares how many bytes a shard counts as held for its connections with what can be seen from outside, less what
    /// is shared, and with the limit.
    fn wrong_burden(&self) -> Option<String> {
        let limits = &self.plan.options.limits;
        let frame_max = self.plan.filler_bytes * 8 + limits.name_bytes_max + 2000;
        // A frame that is shared counts once, and whole until the last of it is sent.
        let shares = frame_max >= limits.copy_bytes_max;
        self.cores.iter().enumerate().find_map(|(core, it)| {
            let held = it.shard.census().held_bytes;
            let of_core =
                || self.live.iter().map(|&index| &self.conns[index]).filter(|conn| conn.core == core && conn.alive);
            let seen: usize = of_core().map(|conn| conn.unsent.len() + conn.held_bytes).sum();
            let is_exact = if shares { held <= seen + of_core().count() * frame_max } else { held == seen };
            let is_fine = is_exact && held <= limits.outbox_bytes_total_max;
            (!is_fine).then(|| format!("core {core} says that it holds {held} bytes, and {seen} are seen"))
        })
    }

    /// Everything that can happen without time passing has happened, with everybody still there.
    pub(crate) fn check_rest(&mut self) {
        let stuck = self.live.iter().copied().find(|&index| {
            let conn = &self.conns[index];
            conn.alive && (conn.closing.is_some() || !conn.up.is_empty() || conn.link.is_paused())
        });
        if let Some(index) = stuck {
            let conn = &self.conns[index];
            let what = format!(
                "conn {index} is stuck: closing={:?} paused={} bytes={}",
                conn.closing,
                conn.link.is_paused(),
                conn.up.len()
            );
            return self.oracle.fail(what);
        }
        for core in 0..self.cores.len() {
            let census = self.cores[core].shard.census();
            let busy = census.bulk_requests + census.parked_messages + census.pending_loads + census.pending_write_acks;
            let listening = census.asked_names + census.listen_work + census.rule_lookups + census.withheld;
            if busy + listening + census.dirty_records + census.unstored_answers + census.outbox_bytes + census.packets
                > 0
            {
                return self.oracle.fail(format!("core {core} is not at rest: {census:?}"));
            }
        }
        self.oracle.events_at_rest();
        self.oracle.records_at_rest();
        self.oracle.writes_at_rest();
        self.oracle.stored_at_rest(&self.store);
        self.oracle.rpc_at_rest();
        self.oracle.presence_at_rest();
        self.oracle.listening_at_rest();
        self.oracle.permissions_at_rest();
        self.oracle.takeovers_at_rest();
        self.oracle.answers_at_rest();
    }

    /// The last client has left and time has passed: nothing is held but values.
    pub(crate) fn check_end(&mut self) {
        for core in 0..self.cores.len() {
            let census = self.cores[core].shard.census();
            let expected = Census {
                owned_names: census.owned_names,
                resident_records: census.resident_records,
                resident_bytes: census.resident_bytes,
                ..Census::default()
            };
            if census != expected || census.owned_names > census.resident_records {
                return self.oracle.fail(format!("core {core} still holds something: {census:?}"));
            }
            for to in 0..self.cores.len() {
                for lane in Lane::ALL {
                    if !self.lane(core, to, lane).packets.is_empty() {
                        return self.oracle.fail(format!("lane {core}>{to} still holds packets"));
                    }
                }
            }
        }
    }
}
