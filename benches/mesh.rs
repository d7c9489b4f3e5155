//! A batch of packets through the ring between two cores, without the cores.

mod common;

use common::Case;
use deepstream_mesh::{Lane, Lattice};

/// As large as an engine packet.
type Slot = [u64; 16];

fn main() {
    common::main(vec![batch("mesh/batch_of_1", 1), batch("mesh/batch_of_16", 16), batch("mesh/batch_of_64", 64)]);
}

fn batch(name: &'static str, size: u64) -> Case {
    let mut ports = Lattice::<Slot>::new(2, 256).into_iter();
    let (mut one, mut two) = (ports.next().expect("two cores"), ports.next().expect("two cores"));
    let mut items: Vec<Slot> = Vec::new();
    Case::once(name, move || {
        items.extend((0..size).map(|number| [number; 16]));
        one.send(1, Lane::Requests, &mut items);
        one.ring_sleepers(|_| {});
        let mut sum = 0;
        two.take(0, Lane::Requests, 64, |item| sum += item[0]);
        sum
    })
}
