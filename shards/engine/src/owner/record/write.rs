//! Writing: check, version, apply, tell (docs/records.md §4, §5, §6).

use super::Residence;
use super::conflict::Conflict;
use super::store::Ack;
use crate::ident::ConnId;
use crate::output::Note;
use crate::owner::Owner;
use crate::owner::deed::{Deed, Writing};
use crate::owner::park::{Run, Step};
use crate::packet::ReplyTo;
use crate::sides::edges::Audience;
use crate::sides::{Sides, ToEdge};
use deepstream_json::{Kind, Limits, PatchError, kind_of};
use deepstream_wire::{Action, Broadcast, Flags, Message, Outgoing, Topic, Wire};

/// A version that asks for "whatever comes next".
pub(super) const FORCE: i32 = -1;

impl<E: ToEdge> Sides<E, Owner> {
    /// Any of the writing actions. Only the answer to a conflict may have to wait.
    pub(super) fn write(
        &mut self,
        slot: u32,
        conn: ConnId,
        reply_to: ReplyTo,
        (write, message): (Writing, &Message<&[u8]>),
        run: &mut Run,
    ) -> Step {
        match self.version_of(slot, conn, write, message) {
            Ok(next) => self.write_version(slot, (conn, reply_to.name_id), (write, message), next),
            Err(Some(conflict)) => return self.conflict(slot, conn, reply_to, message, run, conflict),
            Err(None) => {}
        }
        Step::Done
    }

    /// The version that a write makes; where it makes none, it is refused already, or what it conflicts with.
    fn version_of(
        &mut self,
        slot: u32,
        conn: ConnId,
        write: Writing,
        message: &Message<&[u8]>,
    ) -> Result<i32, Option<Conflict>> {
        let hot = self.is_hot(slot);
        if hot && write == Writing::CreateAndPatch {
            self.refuse(conn, message, Action::RecordInvalidPatchOnHotpath);
            return Err(None);
        }
        if !self.is_sound(write, message) {
            self.refuse_unsound(conn, message);
            return Err(None);
        }
        let record = self.owner.names.at(slot).record();
        let exists = record.residence == Residence::Resident;
        let current = if exists { record.version } else { 0 };
        // A client that sets a path of a record it never read asks for an ack with version -1 and relies on the record
        // coming into being; one that names a version has seen a record that is gone now (docs/records.md §4).
        let asks_to_create = message.head.flags.has(Flags::IS_WRITE_ACK) && message.head.version == FORCE;
        if !exists && self.refuse_if_barred(slot, conn, message) {
            return Err(None);
        }
        if !exists && !write.creates() && !asks_to_create {
            self.refuse(conn, message, Action::RecordUpdateError);
            return Err(None);
        }
        // The hot path takes any version: its writers never read (docs/records.md §6).
        let forced = message.head.version == FORCE || (hot && write == Writing::CreateAndUpdate);
        match current.checked_add(1) {
            Some(next) if forced || message.head.version == next => Ok(next),
            _ if forced => Err(Some(Conflict::Last { current })),
            _ if message.head.version <= current => Err(Some(Conflict::Exists { current })),
            _ => Err(Some(Conflict::Ahead { current })),
        }
    }

    fn write_version(
        &mut self,
        slot: u32,
        (conn, asked): (ConnId, u32),
        (write, message): (Writing, &Message<&[u8]>),
        next: i32,
    ) {
        if let Err(error) = self.apply(slot, write, message) {
            return self.refuse_value(conn, message, error);
        }
        let value_bytes = self.owner.records.value.len();
        if self.is_stored(slot) && !self.has_room_unstored(value_bytes) {
            return self.refuse(conn, message, Action::RecordUpdateError);
        }
        self.commit(slot, next);
        self.note_change(slot, Some(conn));
        self.acknowledge_write(slot, (conn, asked), message, next);
        self.tell(slot, conn, (write, message), next);
    }

    pub(super) fn is_hot(&self, slot: u32) -> bool {
        let name = &*self.owner.names.at(slot).name;
        self.cx.options.hot_path_prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    /// What can be said of a write without knowing the record.
    pub(super) fn is_sound(&mut self, write: Writing, message: &Message<&[u8]>) -> bool {
        if !message.head.flags.has(Flags::VERSION) {
            return false;
        }
        match write {
            Writing::Update | Writing::CreateAndUpdate => {
                let kind = message.data().and_then(kind_of);
                matches!(kind, Some(Kind::Object | Kind::Array))
            }
            Writing::PatchMulti => {
                message.data().is_some_and(|patches| deepstream_json::check_patches(patches, &mut self.cx.json).is_ok())
            }
            Writing::Patch | Writing::CreateAndPatch | Writing::Erase => {
                message.path().is_some_and(|path| self.owner.records.path.read(path).is_ok())
            }
        }
    }

    /// Computes the new value into the scratch buffer; the record itself is left alone.
    pub(super) fn apply(&mut self, slot: u32, write: Writing, message: &Message<&[u8]>) -> Result<(), PatchError> {
        let limits = Limits {
            array_index_gap_max: self.cx.options.limits.array_index_gap_max as u64,
            value_bytes_max: self.cx.options.limits.record_bytes_max,
            depth_max: self.cx.options.limits.nesting_max,
            ..Limits::default()
        };
        let record = self.owner.names.at(slot).record();
        let before: &[u8] = if record.residence == Residence::Resident { &record.value } else { b"{}" };
        let after = &mut self.owner.records.value;
        let data = message.data();
        match write {
            Writing::Update | Writing::CreateAndUpdate => {
                after.clear();
                after.extend_from_slice(data.unwrap_or_default().trim_ascii());
                if after.len() <= limits.value_bytes_max { Ok(()) } else { Err(PatchError::TooLarge) }
            }
            Writing::PatchMulti => {
                deepstream_json::set_many(before, data.unwrap_or_default(), &limits, &mut self.cx.json, after)
            }
            Writing::Erase => deepstream_json::remove(before, &self.owner.records.path, &limits, after),
            Writing::Patch | Writing::CreateAndPatch => match data {
                Some(data) => deepstream_json::set(before, &self.owner.records.path, data, &limits, after),
                None => deepstream_json::remove(before, &self.owner.records.path, &limits, after),
            },
        }
    }

    /// The scratch value becomes the record. Cannot fail.
    fn commit(&mut self, slot: u32, version: i32) {
        let record = self.owner.names.at_mut(slot).record_mut();
        debug_assert_eq!(record.barred, None, "a record that cannot be stored is not made");
        if record.residence != Residence::Resident {
            record.residence = Residence::Resident;
            self.owner.records.resident += 1;
        }
        record.version = version;
        record.value.clear();
        record.value.extend_from_slice(&self.owner.records.value);
        self.charge(slot);
        self.store_soon(slot);
        self.changed(slot, true);
    }

    /// Tells whoever listens closely what a record became.
    pub(super) fn note_change(&mut self, slot: u32, writer: Option<ConnId>) {
        if self.cx.outputs.verbose {
            let name = self.owner.names.at(slot);
            self.cx.outputs.notes.push(Note::RecordChanged {
                name: String::from_utf8_lossy(&name.name).into(),
                version: name.record().version,
                value: name.record().value[..].into(),
                writer,
            });
        }
    }

    /// Acknowledges at once what is not stored; what is, when it is.
    fn acknowledge_write(&mut self, slot: u32, (conn, asked): (ConnId, u32), message: &Message<&[u8]>, version: i32) {
        let Some(correlation_id) = message.correlation_id() else { return };
        if !message.head.flags.has(Flags::IS_WRITE_ACK) {
            return;
        }
        if self.is_stored(slot) {
            self.owner.records.pending_acks += 1;
            self.owner.records.goes_on = true;
            let ack = Ack { conn, version, asked, since: self.cx.outputs.now, correlation_id: correlation_id.into() };
            self.owner.names.at_mut(slot).record_mut().work().acks.push_back(ack);
        } else {
            let ack = Outgoing {
                name: Some(message.name()),
                correlation_id: Some(correlation_id),
                is_write_ack: true,
                ..Outgoing::new(Action::RecordWriteAcknowledgement)
            };
            self.edges.reply(&mut self.cx, conn, &ack);
        }
    }

    /// Tells the other subscribers.
    fn tell(&mut self, slot: u32, writer: ConnId, (write, message): (Writing, &Message<&[u8]>), version: i32) {
        let action = match write {
            Writing::Update | Writing::CreateAndUpdate => Action::RecordUpdate,
            Writing::Patch | Writing::CreateAndPatch | Writing::Erase => Action::RecordPatch,
            Writing::PatchMulti => Action::RecordPatchMulti,
        };
        let name = self.owner.names.at(slot);
        let change = Outgoing { name: Some(&name.name), version: Some(version), ..Outgoing::new(action) };
        let multi = write == Writing::PatchMulti;
        // Most writers say the very version their write makes, and want no acknowledgement: the others are told the same.
        let path = if action == Action::RecordPatch { Flags::PATH } else { Flags::default() };
        let same = action == message.head.action && version == message.head.version;
        let verbatim = message.verbatim(Flags::NAME | Flags::DATA | Flags::VERSION | path).filter(|_| same);
        let except = if message.head.flags.has(Flags::ECHO) { ConnId::NOBODY } else { writer };
        let audience = Audience { differs: multi, ..Audience::others(&name.interest, slot, except) };
        let whole = || Outgoing { action: Action::RecordUpdate, data: Some(&name.record().value), ..change };
        let told = |wire: Wire| match write {
            Writing::PatchMulti if !wire.knows_patch_multi() => whole(),
            Writing::Patch | Writing::CreateAndPatch | Writing::Erase | Writing::PatchMulti
                if !wire.knows_patches() =>
            {
                whole()
            }
            Writing::Update | Writing::CreateAndUpdate | Writing::PatchMulti => {
                Outgoing { data: message.data(), ..change }
            }
            Writing::Patch | Writing::CreateAndPatch => {
                Outgoing { path: message.path(), data: message.data(), ..change }
            }
            Writing::Erase => Outgoing { path: message.path(), ..change },
        };
        self.edges.fan_out(&mut self.cx, audience, |wire| match verbatim {
            Some(body) if wire.encoding() == Wire::Protobuf && (wire.knows_patch_multi() || !multi) => {
                Broadcast::Verbatim(Topic::Record, body)
            }
            _ => Broadcast::Encoded(told(wire)),
        });
        if !self.owner.filters.is_empty() {
            let to = (&self.owner.names, &mut self.edges, &mut self.cx);
            self.owner.filters.tell(to, Topic::Record, &name.name, except, told);
        }
    }

    /// Refuses a write that makes no sense whatever the record is. Clients of the text protocol, whose errors hold one text, are
    /// shown the path if it is that.
    fn refuse_unsound(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        let action = Action::RecordInvalidMessageData;
        let versioned = message.head.flags.has(Flags::VERSION);
        match message.path().filter(|_| versioned && self.edges.wire(conn).is_some_and(Wire::is_text)) {
            Some(path) => {
                let words = format!("not a path: \"{}\"", String::from_utf8_lossy(path));
                self.repeat(conn, message, action, (message.head.version, Some(words.as_bytes())));
            }
            None => self.echo(conn, message, action, message.head.version),
        }
    }

    /// Refuses a write whose value may not be, in words where a limit says so.
    fn refuse_value(&mut self, conn: ConnId, message: &Message<&[u8]>, error: PatchError) {
        let limits = &self.cx.options.limits;
        let words = match error {
            PatchError::TooDeep => self.cx.too_deep(),
            PatchError::TooLarge => format!("larger than limits.recordBytesMax ({})", limits.record_bytes_max),
            PatchError::IndexTooFar => {
                let max = limits.array_index_gap_max;
                format!("further behind the end of an array than limits.arrayIndexGapMax ({max})")
            }
            PatchError::Malformed | PatchError::Path(_) | PatchError::NotPatches => {
                return self.echo(conn, message, Action::RecordInvalidMessageData, message.head.version);
            }
        };
        let words = if self.edges.wire(conn).is_some_and(Wire::is_text) { words } else { format!("\"{words}\"") };
        let data = Some(words.as_bytes());
        self.repeat(conn, message, Action::RecordInvalidMessageData, (message.head.version, data));
    }

    /// Refuses a write by repeating it (docs/protobuf-protocol.md §9).
    pub(super) fn echo(&mut self, conn: ConnId, message: &Message<&[u8]>, error: Action, version: i32) {
        // Whoever asks over HTTP is told what is wrong, not what it said; and MQTT takes data for the reason.
        let told = !matches!(self.edges.wire(conn), Some(Wire::Http | Wire::Mqtt));
        self.repeat(conn, message, error, (version, message.data().filter(|_| told)));
    }

    fn repeat(&mut self, conn: ConnId, message: &Message<&[u8]>, error: Action, (version, data): (i32, Option<&[u8]>)) {
        let answer = Outgoing {
            name: Some(message.name()),
            version: Some(version),
            data,
            path: message.path(),
            correlation_id: message.correlation_id(),
            original_action: Some(converted(message.head.action)),
            is_error: true,
            is_write_ack: message.head.flags.has(Flags::IS_WRITE_ACK),
            ..Outgoing::new(error)
        };
        self.edges.reply(&mut self.cx, conn, &answer);
    }
}

/// Errors of a write on something to be created name the write it became (docs/protobuf-protocol.md §9).
pub(super) fn converted(action: Action) -> Action {
    match Deed::of(action) {
        Some(Deed::Write(Writing::CreateAndUpdate)) => Action::RecordUpdate,
        Some(Deed::Write(Writing::CreateAndPatch)) => Action::RecordPatch,
        _ => action,
    }
}
