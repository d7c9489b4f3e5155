//! One suite of tests for everything that can carry packets between nodes.

mod contract;

use contract::{Subject, holds};
use deepstream::bus::{Exchange, Seat};

impl Subject for Exchange {
    type Bus = Seat;

    fn bus(&self) -> Seat {
        self.seat()
    }

    fn away(&self, away: bool) -> bool {
        self.set_away(away);
        true
    }
}

#[test]
fn the_exchange_of_a_process_holds_the_contract() {
    holds(&Exchange::default());
}
