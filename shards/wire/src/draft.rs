//! Builds a message field by field, for decoders of protocols whose bytes a [`Head`](crate::Head) cannot point into.
//!
//! *Owns* the layout of such a message's bytes. *Promises* a message that reads like one decoded from protobuf. *Does
//! not* allocate once its buffer has grown.

use crate::action::{Action, Topic};
use crate::encode::put_text;
use crate::field::{Field, field_number};
use crate::message::{Flags, Head, Message, Span};

/// A message that is being built at the end of a buffer.
#[derive(Debug)]
pub(crate) struct Draft<'b> {
    bytes: &'b mut Vec<u8>,
    start: usize,
    head: Head,
}

impl<'b> Draft<'b> {
    /// A message with nothing but its action. What `bytes` holds already stays.
    pub(crate) fn new(action: Action, bytes: &'b mut Vec<u8>) -> Self {
        Self { start: bytes.len(), bytes, head: Head::new(action) }
    }

    pub(crate) fn action(&self) -> Action {
        self.head.action
    }

    /// Discards this message. Gives the buffer as it was before.
    pub(crate) fn discard(self) -> &'b mut Vec<u8> {
        self.bytes.truncate(self.start);
        self.bytes
    }

    pub(crate) fn name(&mut self, name: &[u8]) {
        self.head.name = self.put(Flags::NAME, |bytes| bytes.extend_from_slice(name));
    }

    pub(crate) fn correlation_id(&mut self, id: &[u8]) {
        self.head.correlation_id = self.put(Flags::CORRELATION_ID, |bytes| bytes.extend_from_slice(id));
    }

    pub(crate) fn path(&mut self, path: &[u8]) {
        self.head.path = self.put(Flags::PATH, |bytes| bytes.extend_from_slice(path));
    }

    pub(crate) fn subscription(&mut self, name: &[u8]) {
        self.head.path = self.put(Flags::SUBSCRIPTION, |bytes| bytes.extend_from_slice(name));
    }

    pub(crate) fn version(&mut self, version: i32) {
        self.head.version = version;
        self.flag(Flags::VERSION);
    }

    pub(crate) fn flag(&mut self, flag: Flags) {
        self.head.flags.set(flag);
    }

    /// `data`, as `write` appends it.
    pub(crate) fn data(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.head.data = self.put(Flags::DATA, write);
    }

    /// One entry of `names`. All entries must be added one after the other, with no other field between them.
    pub(crate) fn push_name(&mut self, name: &[u8]) {
        let number = names_number(self.head.action.topic());
        let span = self.put(Flags::NAMES, |bytes| put_text(number, name, bytes));
        let names = &mut self.head.names;
        if names.len == 0 {
            *names = span;
        } else {
            debug_assert_eq!(names.start + names.len, span.start, "names lie one after the other");
            names.len += span.len;
        }
    }

    /// The whole message.
    pub(crate) fn finish(self) -> Message<&'b [u8]> {
        Message { head: self.head, bytes: self.bytes.get(self.start..).unwrap_or_default() }
    }

    fn put(&mut self, flag: Flags, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.bytes.len();
        write(self.bytes);
        self.flag(flag);
        Span { start: (start - self.start) as u32, len: (self.bytes.len() - start) as u32 }
    }
}

/// The field number under which [`Message::names`] looks for entries.
fn names_number(topic: Topic) -> u32 {
    // On topics without such a field nobody reads names, so any number does.
    field_number(topic, Field::Names).unwrap_or(1)
}
