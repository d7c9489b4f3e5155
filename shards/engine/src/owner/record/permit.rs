//! Which rules a message about a record is judged by, and what they see of it (docs/permissions.md §2, §3).
//!
//! *Owns* the steps: getting a record may create it, setting it may. *Promises* that nothing is done, loaded aside, before
//! every step is allowed, and that what a rule saw is what the message then meets: the name is busy until it is judged.
//! *Does not* ask for a value that no rule reads.

use super::Residence;
use super::write::FORCE;
use crate::ident::ConnId;
use crate::owner::Owner;
use crate::owner::deed::{Deed, Reading, Writing};
use crate::owner::park::{Run, Step};
use crate::packet::ReplyTo;
use crate::permit::{Judgement, Steps};
use crate::sides::{Sides, ToEdge};
use deepstream_valve::Document;
use deepstream_valve::Right;
use deepstream_wire::{Action, Flags, Message, RecordRequest, Request};

impl<E: ToEdge> Sides<E, Owner> {
    /// Judges a message. `None`: it may be done. Otherwise it is over, or waits.
    pub(super) fn judge_record(
        &mut self,
        slot: u32,
        conn: ConnId,
        reply_to: ReplyTo,
        message: &Message<&[u8]>,
        run: &mut Run,
    ) -> Option<Step> {
        let mut steps = Steps::default();
        for &(right, action) in steps_of(message.head.action) {
            steps.add(right, action);
        }
        let mut question = run.question(conn, reply_to, message);
        question.slot = Some(slot);
        let said = self.judge(&question, &steps, &mut run.found);
        let residence = self.owner.names.at(slot).record().residence;
        let said = match said {
            Judgement::Yes if may_create(message) => match residence {
                Residence::Unknown if run.failed => Judgement::Yes,
                Residence::Unknown if !self.load(slot) => return Some(Step::Wait),
                Residence::Unknown | Residence::Missing => {
                    steps.add(Right::RecordCreate, Action::RecordCreate);
                    let mut question = run.question(conn, reply_to, message);
                    question.slot = Some(slot);
                    self.judge(&question, &steps, &mut run.found)
                }
                Residence::Loading | Residence::Resident | Residence::Removing => Judgement::Yes,
            },
            Judgement::Yes | Judgement::No(_) | Judgement::Load | Judgement::LookUp => said,
        };
        match said {
            Judgement::Yes => None,
            Judgement::No(denial) => {
                if self.has_shadow() {
                    self.compare_record(slot, conn, reply_to, message, run, said);
                }
                let step = steps.refused(&run.found).unwrap_or(message.head.action);
                self.deny_step(conn, reply_to, message, denial, step);
                Some(Step::Done)
            }
            Judgement::Load => {
                let known = self.load(slot);
                if known { self.judge_record(slot, conn, reply_to, message, run) } else { Some(Step::Wait) }
            }
            Judgement::LookUp => {
                self.wait_for_records(slot, message, run);
                Some(Step::Wait)
            }
        }
    }

    /// Whether a client whose write is refused may be given the document it conflicts with: whoever may read it now, by the
    /// rules its write went by. `None`: rules look for other records first; the message waits, and is run again from the
    /// top. Every answer to a conflict asks this, whatever its form.
    pub(super) fn may_be_shown(
        &mut self,
        slot: u32,
        conn: ConnId,
        reply_to: ReplyTo,
        message: &Message<&[u8]>,
        run: &mut Run,
    ) -> Option<bool> {
        if !self.permit.judges() {
            return Some(true);
        }
        let mut question = run.question(conn, reply_to, message);
        question.slot = Some(slot);
        match self.judge_further(&question, (Right::RecordRead, Action::RecordRead), &mut run.found) {
            Judgement::Yes => Some(true),
            Judgement::No(_) => Some(false),
            Judgement::LookUp => {
                self.wait_for_records(slot, message, run);
                None
            }
            Judgement::Load => {
                debug_assert!(false, "who conflicts with a record knows what it is");
                Some(false)
            }
        }
    }

    /// Asks the candidate what was just judged. The message is not done yet, and will not wait any more.
    pub(super) fn compare_record(
        &mut self,
        slot: u32,
        conn: ConnId,
        reply_to: ReplyTo,
        message: &Message<&[u8]>,
        run: &Run,
        said: Judgement,
    ) {
        let mut steps = Steps::default();
        for &(right, action) in steps_of(message.head.action) {
            steps.add(right, action);
        }
        if may_create(message) && self.owner.names.at(slot).record().residence != Residence::Resident {
            steps.add(Right::RecordCreate, Action::RecordCreate);
        }
        let mut question = run.question(conn, reply_to, message);
        question.slot = Some(slot);
        self.compare(&question, &steps, &run.found, said);
    }

    /// Puts the document that a write leads to where [`Owner::merged_document`] finds it; an error says why there is none.
    pub(crate) fn merge(&mut self, slot: u32, message: &Message<&[u8]>) -> Result<(), String> {
        let exists = self.owner.names.at(slot).record().residence == Residence::Resident;
        let Some(Deed::Write(write)) = Deed::of(message.head.action) else { return Err("Invalid patch".to_owned()) };
        if !exists && write != Writing::CreateAndPatch && !may_create(message) {
            let name = String::from_utf8_lossy(message.name());
            return Err(format!("Tried to apply patch to non-existant record {name}"));
        }
        if self.is_sound(write, message) && self.apply(slot, write, message).is_ok() {
            Ok(())
        } else {
            Err("Invalid patch".to_owned())
        }
    }
}

impl Owner {
    /// Whether it is known what a record is.
    pub(crate) fn is_known(&self, slot: u32) -> bool {
        self.names.at(slot).record().residence != Residence::Unknown
    }

    /// `oldData`: the record as it is; as it will be read, where reading it creates it.
    pub(crate) fn old_document(&self, slot: u32, action: Action) -> Document<'_> {
        let record = self.names.at(slot).record();
        match record.residence {
            Residence::Resident => Document::Text(&record.value),
            Residence::Unknown | Residence::Loading | Residence::Missing | Residence::Removing => {
                match Deed::of(action) {
                    Some(Deed::Read(Reading::SubscribeCreate)) => Document::Text(b"{}"),
                    _ => Document::Missing,
                }
            }
        }
    }

    /// See [`Sides::merge`].
    pub(crate) fn merged_document(&self) -> Document<'_> {
        Document::Text(&self.records.value)
    }
}

/// Steps that do not depend on whether there is such a record. Setting data creates first, always (docs/permissions.md §2).
fn steps_of(action: Action) -> &'static [(Right, Action)] {
    let Some(Request::Record(said)) = action.request() else { return &[(Right::RecordRead, Action::RecordRead)] };
    match said {
        RecordRequest::Update => &[(Right::RecordWrite, Action::RecordUpdate)],
        RecordRequest::Patch => &[(Right::RecordWrite, Action::RecordPatch)],
        RecordRequest::PatchMulti => &[(Right::RecordWrite, Action::RecordPatchMulti)],
        RecordRequest::Erase => &[(Right::RecordDelete, Action::RecordErase)],
        RecordRequest::Delete => &[(Right::RecordDelete, Action::RecordDelete)],
        RecordRequest::Notify => &[(Right::RecordNotify, Action::RecordNotify)],
        RecordRequest::CreateAndUpdate => {
            &[(Right::RecordCreate, Action::RecordCreate), (Right::RecordWrite, Action::RecordUpdate)]
        }
        RecordRequest::CreateAndPatch => {
            &[(Right::RecordCreate, Action::RecordCreate), (Right::RecordWrite, Action::RecordPatch)]
        }
        RecordRequest::Head => &[(Right::RecordRead, Action::RecordHead)],
        RecordRequest::Subscribe => &[(Right::RecordRead, Action::RecordSubscribe)],
        RecordRequest::SubscribeAndHead => &[(Right::RecordRead, Action::RecordSubscribeAndHead)],
        RecordRequest::SubscribeAndRead => &[(Right::RecordRead, Action::RecordSubscribeAndRead)],
        // What SUBSCRIBECREATEANDREAD comes to, as well.
        RecordRequest::Read
        | RecordRequest::SubscribeCreateAndRead
        // Not judged here: they are where they come in, or need no right.
        | RecordRequest::Unsubscribe
        | RecordRequest::Listen
        | RecordRequest::Unlisten
        | RecordRequest::ListenAccept
        | RecordRequest::ListenReject => &[(Right::RecordRead, Action::RecordRead)],
    }
}

/// Whether a message brings a record into being that is not there, beside those that say so first (see `write`).
fn may_create(message: &Message<&[u8]>) -> bool {
    let Some(Request::Record(said)) = message.head.action.request() else { return false };
    match said {
        RecordRequest::SubscribeCreateAndRead => true,
        RecordRequest::Update | RecordRequest::Patch | RecordRequest::PatchMulti | RecordRequest::Erase => {
            message.head.flags.has(Flags::IS_WRITE_ACK) && message.head.version == FORCE
        }
        RecordRequest::CreateAndUpdate
        | RecordRequest::CreateAndPatch
        | RecordRequest::Read
        | RecordRequest::Head
        | RecordRequest::Delete
        | RecordRequest::Notify
        | RecordRequest::Subscribe
        | RecordRequest::SubscribeAndHead
        | RecordRequest::SubscribeAndRead
        | RecordRequest::Unsubscribe
        | RecordRequest::Listen
        | RecordRequest::Unlisten
        | RecordRequest::ListenAccept
        | RecordRequest::ListenReject => false,
    }
}
