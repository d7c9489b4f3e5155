//! Records.
use crate::output::{Fault, StoreBatch, Stored};
use crate::shard::{Census, Options, Shard};
use crate::{ConnId, Tag, Ticket};
use deepstream_wire::Message;
#[derive(Debug, Default)]
pub(crate) struct Record;
impl Record { pub(crate) fn is_idle(&self) -> bool { true } }
#[derive(Debug)]
pub(crate) struct Records;
impl Records {
    pub(crate) fn new(_options: &Options) -> Self { Self }
    pub(crate) fn retry(&mut self) {}
    pub(crate) fn count(&self, _census: &mut Census) {}
}
impl Shard {
    pub(crate) fn record(&mut self, _conn: ConnId, _tag: Tag, _message: &Message<&[u8]>) {}
    pub(crate) fn loaded(&mut self, _ticket: Ticket, _result: Result<Option<Stored>, Fault>) {}
    pub(crate) fn stored(&mut self, _ticket: Ticket, _result: Result<(), Fault>) {}
    pub(crate) fn stores_late(&mut self, _ticket: Ticket) {}
    pub(crate) fn fill_stores(&mut self, _batch: &mut StoreBatch) -> bool { false }
}
