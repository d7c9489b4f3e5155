//! One suite of tests for everything that can keep who is a member of a cluster.

mod contract;

use contract::{Subject, holds};
use deepstream::registry::{Chair, Desk};
use std::time::Duration;

impl Subject for Desk {
    type Registry = Chair;

    fn registry(&self, cluster: &str, _ttl: Duration) -> Chair {
        self.chair(cluster)
    }

    fn away(&self, away: bool) -> bool {
        self.set_away(away);
        true
    }
}

#[test]
fn the_desk_of_a_process_holds_the_contract() {
    holds(&Desk::default());
}
