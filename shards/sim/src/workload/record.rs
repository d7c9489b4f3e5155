//! Clients that read and write records.

use crate::world::World;
use deepstream_wire::Message;

/// What a client knows of records.
#[derive(Debug, Default)]
pub(crate) struct Mirror {}

impl World {
    pub(super) fn record_work(&mut self, client: usize) {
        self.event_work(client);
    }

    pub(super) fn record_entered(&mut self, _client: usize) {}

    pub(crate) fn record_told(&mut self, _client: usize, _message: &Message<&[u8]>) {}
}
