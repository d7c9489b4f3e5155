//! What the engine says, as packets.

use std::ops::ControlFlow;

use super::frame::{Frame, Publication, frames};
use super::id::Id;
use super::packet::{self, Code, Version, kind};
use super::topics::Grant;
use super::{Session, Stage, Turn, connect, payload};
use crate::action::{Action, AuthAction, ByTopic, ConnectionAction, EventAction, RecordAction};
use crate::link::{Closing, LinkEvent};

impl Session {
    /// Appends the packets for some frames of the engine.
    pub(crate) fn translate<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        turn: &mut Turn<'_, F>,
    ) {
        for frame in frames(bytes) {
            match frame {
                Frame::Raw(packet) => out.extend_from_slice(packet),
                Frame::CloseReason(code, words) => self.part(code, words, out),
                Frame::Message(said) if self.stage != Stage::Over => self.message(&said, out, turn),
                Frame::Message(_) => {}
            }
        }
        if self.flight_is_full() && self.stage != Stage::Over {
            self.part(Code::QuotaExceeded as u8, Code::QuotaExceeded.words().as_bytes(), out);
            turn.tell(LinkEvent::Close(Closing::Packet(Code::QuotaExceeded as u8)));
        }
    }

    fn part(&mut self, code: u8, words: &[u8], out: &mut Vec<u8>) {
        let bytes_max = self.packet_bytes_max;
        match self.stage {
            // Who did not say what it speaks is told nothing.
            Stage::Silent | Stage::Over => {}
            Stage::Connecting => {
                let words = self.refusal.as_ref().map_or(words, |why| why.as_bytes());
                connect::put_connack(self.version, code, words, bytes_max, out);
            }
            Stage::Open => packet::put_disconnect(self.version, code, words, bytes_max, out),
        }
        self.stage = Stage::Over;
    }

    #[expect(clippy::too_many_lines, reason = "a table: one arm an action")]
    fn message<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(
        &mut self,
        said: &Publication<'_>,
        out: &mut Vec<u8>,
        turn: &mut Turn<'_, F>,
    ) {
        match said.action.by_topic() {
            ByTopic::Event(EventAction::Emit) if said.is_ack => self.done(said, Ok(()), out),
            ByTopic::Event(EventAction::Emit) => self.happened(said, out),
            ByTopic::Record(RecordAction::Update) => self.changed(said, false, out),
            ByTopic::Record(RecordAction::ReadResponse) => self.changed(said, true, out),
            ByTopic::Record(RecordAction::Deleted) => self.deleted(said, out, turn),
            ByTopic::Record(RecordAction::DeleteSuccess) => {
                self.deletion_done(said.name, Code::Success, out);
                self.deleted(said, out, turn);
            }
            ByTopic::Record(RecordAction::DeleteError) => self.deletion_done(said.name, Code::Unspecified, out),
            ByTopic::Event(EventAction::Subscribe)
            | ByTopic::Record(RecordAction::Subscribe | RecordAction::WriteAcknowledgement) => {
                self.done(said, Ok(()), out);
            }
            ByTopic::Connection(ConnectionAction::Pong) => out.extend_from_slice(&[kind::PINGRESP << 4, 0]),
            ByTopic::Auth(AuthAction::Successful) if self.stage == Stage::Connecting => self.put_welcome(out),
            ByTopic::Auth(AuthAction::Unsuccessful | AuthAction::InvalidMessageData)
                if self.stage == Stage::Connecting =>
            {
                self.part(Code::NotAuthorized as u8, Code::NotAuthorized.words().as_bytes(), out);
                self.will = None;
            }
            ByTopic::Event(EventAction::Denied | EventAction::PermissionError)
            | ByTopic::Record(RecordAction::Denied | RecordAction::PermissionError) => {
                self.done(said, Err(Code::NotAuthorized), out);
            }
            ByTopic::Event(EventAction::InvalidMessageData) | ByTopic::Record(RecordAction::InvalidMessageData) => {
                self.done(said, Err(no_sense(said)), out);
            }
            ByTopic::Event(
                EventAction::Unsubscribe
                | EventAction::Listen
                | EventAction::Unlisten
                | EventAction::ListenAccept
                | EventAction::ListenReject
                | EventAction::Error
                | EventAction::HasProvider
                | EventAction::HasNoProvider
                | EventAction::PatternFound
                | EventAction::PatternRemoved
                | EventAction::InvalidListenRegex
                | EventAction::ListenResponseTimeout
                | EventAction::ListenUnsuccessful
                | EventAction::MultipleSubscriptions
                | EventAction::NotSubscribed,
            )
            | ByTopic::Record(
                RecordAction::Notify
                | RecordAction::Read
                | RecordAction::Head
                | RecordAction::Delete
                | RecordAction::CreateAndUpdate
                | RecordAction::CreateAndPatch
                | RecordAction::Patch
                | RecordAction::Erase
                | RecordAction::SubscribeAndHead
                | RecordAction::SubscribeAndRead
                | RecordAction::SubscribeCreateAndRead
                | RecordAction::Unsubscribe
                | RecordAction::Listen
                | RecordAction::Unlisten
                | RecordAction::ListenAccept
                | RecordAction::ListenReject
                | RecordAction::PatchMulti
                | RecordAction::Error
                | RecordAction::HeadResponse
                | RecordAction::HeadBulk
                | RecordAction::HeadResponseBulk
                | RecordAction::DeleteBulk
                | RecordAction::DeleteBulkSuccess
                | RecordAction::Create
                | RecordAction::SubscribeCreateAndUpdate
                | RecordAction::HasProvider
                | RecordAction::HasNoProvider
                | RecordAction::PatternFound
                | RecordAction::PatternRemoved
                | RecordAction::CacheRetrievalTimeout
                | RecordAction::StorageRetrievalTimeout
                | RecordAction::VersionExists
                | RecordAction::LoadError
                | RecordAction::CreateError
                | RecordAction::UpdateError
                | RecordAction::NotFound
                | RecordAction::InvalidVersion
                | RecordAction::InvalidPatchOnHotpath
                | RecordAction::InvalidListenRegex
                | RecordAction::ListenResponseTimeout
                | RecordAction::ListenUnsuccessful
                | RecordAction::NotifyError
                | RecordAction::MultipleSubscriptions
                | RecordAction::NotSubscribed,
            )
            | ByTopic::Connection(
                ConnectionAction::Ping
                | ConnectionAction::Challenge
                | ConnectionAction::Error
                | ConnectionAction::Accept
                | ConnectionAction::Reject
                | ConnectionAction::Redirect
                | ConnectionAction::Closing
                | ConnectionAction::Closed
                | ConnectionAction::AuthTimeout
                | ConnectionAction::InvalidMessage,
            )
            | ByTopic::Auth(_)
            | ByTopic::Parser(_)
            | ByTopic::Rpc(_)
            | ByTopic::Presence(_) => {
                self.done(said, Err(Code::Unspecified), out);
            }
        }
    }

    /// Something was done, or refused, that a packet asked for.
    fn done(&mut self, said: &Publication<'_>, result: Result<(), Code>, out: &mut Vec<u8>) {
        match Id::of(said.correlation_id) {
            Some(Id::Filter(packet, index)) => {
                let action = said.original_action.filter(|_| result.is_err()).unwrap_or(said.action);
                self.subscribed((packet, index), action.topic(), result, out);
            }
            Some(id) => {
                if said.original_action == Some(Action::RecordDelete) {
                    self.deletions.retain(|(name, _)| **name != *said.name);
                }
                let words = said.data.filter(|_| {
                    matches!(
                        said.action,
                        Action::RecordUpdateError | Action::RecordInvalidMessageData | Action::EventInvalidMessageData
                    )
                });
                let words = words.and_then(deepstream_json::string_of);
                self.put_answer(id, result.err().unwrap_or(Code::Success), words.as_deref(), out);
            }
            None => {}
        }
    }

    fn deletion_done(&mut self, name: &[u8], code: Code, out: &mut Vec<u8>) {
        let Some(at) = self.deletions.iter().position(|(other, _)| **other == *name) else { return };
        let (_, id) = self.deletions.remove(at);
        if let Some(id) = Id::of(&id) {
            self.put_answer(id, code, None, out);
        }
    }

    fn happened(&mut self, said: &Publication<'_>, out: &mut Vec<u8>) {
        let mut identifiers = Vec::new();
        let Some(grant) = self.topics.grant(said.name, said.filter, &mut identifiers) else { return };
        // What was retained too comes as the change of its record.
        if !(said.is_kept && grant.record) {
            self.put_publish(said.name, &payload::of_value(said.data), false, (grant, &identifiers), out);
        }
    }

    fn changed(&mut self, said: &Publication<'_>, retained: bool, out: &mut Vec<u8>) {
        let mut identifiers = Vec::new();
        let Some(grant) = self.topics.grant(said.name, said.filter, &mut identifiers) else { return };
        let retain = retained || grant.as_published;
        self.put_publish(said.name, &payload::of_record(said.data), retain, (grant, &identifiers), out);
    }

    /// A record is gone: nothing is retained any more. Its subscriptions ended with it; the client's goes on.
    fn deleted<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(
        &mut self,
        said: &Publication<'_>,
        out: &mut Vec<u8>,
        turn: &mut Turn<'_, F>,
    ) {
        let (name, mut identifiers) = (said.name, Vec::new());
        // Who deleted it is told so once, and by its answer.
        let grant = if said.action == Action::RecordDeleteSuccess {
            self.topics.grant_once(name, &mut identifiers)
        } else {
            self.topics.grant(name, said.filter, &mut identifiers)
        };
        let Some(grant) = grant else { return };
        if grant.record {
            self.put_publish(name, &[], grant.as_published, (grant, &identifiers), out);
        }
        if said.filter.is_none() && self.topics.get_mut(name).is_some_and(|subscription| subscription.record) {
            turn.say(Action::RecordSubscribe, |draft| draft.push_name(name));
        }
    }

    fn put_publish(
        &mut self,
        topic: &[u8],
        payload: &[u8],
        retain: bool,
        (grant, identifiers): (Grant, &[u32]),
        out: &mut Vec<u8>,
    ) {
        const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
        // Names that no PUBLISH may carry are not offered to clients of MQTT.
        if topic.is_empty() || topic.iter().any(|byte| matches!(byte, b'+' | b'#' | 0)) {
            return;
        }
        let id_len = if grant.qos > 0 { 2 } else { 0 };
        let (mut properties, mut properties_len) = (0, 0);
        if self.version == Version::V5 {
            properties = identifiers.iter().map(|&id| 1 + packet::length_len(id as usize)).sum();
            properties_len = packet::length_len(properties) + properties;
        }
        let len = 2 + topic.len() + id_len + properties_len + payload.len();
        // A packet the client does not take counts as sent.
        if 1 + packet::length_len(len) + len > self.packet_bytes_max {
            return;
        }
        let id = if grant.qos > 0 { self.flight.give() } else { Some(0) };
        let start = out.len();
        out.reserve(len + 5);
        packet::put_header(kind::PUBLISH << 4 | grant.qos << 1 | u8::from(retain), len, out);
        packet::put_text(topic, out);
        let id_at = out.len() - start;
        if grant.qos > 0 {
            out.extend_from_slice(&id.unwrap_or_default().to_be_bytes());
        }
        if self.version == Version::V5 {
            packet::put_length(properties, out);
            for &identifier in identifiers {
                out.push(SUBSCRIPTION_IDENTIFIER);
                packet::put_length(identifier as usize, out);
            }
        }
        out.extend_from_slice(payload);
        if id.is_none() {
            self.flight.queue(out[start..].into(), id_at);
            out.truncate(start);
        }
    }

    /// Bytes that wait until others are acknowledged.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.flight.queued_bytes()
    }

    fn flight_is_full(&self) -> bool {
        self.flight.queued_bytes() > self.queued_bytes_max
    }
}

/// What makes no sense about what was asked.
fn no_sense(said: &Publication<'_>) -> Code {
    match said.original_action {
        // Told with its name, the name is none too long: there are too many.
        Some(Action::EventSubscribe | Action::RecordSubscribe) if said.name.is_empty() => Code::FilterInvalid,
        Some(Action::EventSubscribe | Action::RecordSubscribe) => Code::QuotaExceeded,
        Some(Action::EventEmit) if said.name.is_empty() => Code::TopicNameInvalid,
        // What is wrong is said of the payload.
        _ if said.data.is_some() => Code::PayloadFormatInvalid,
        _ => Code::Unspecified,
    }
}
