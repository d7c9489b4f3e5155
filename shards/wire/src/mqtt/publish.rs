//! PUBLISH and its acknowledgements, from the client's side.

use std::ops::ControlFlow;
use std::str::from_utf8;

use mqtt_proto::v5;

use super::id::Id;
use super::packet::{self, Body, Code, Version, kind};
use super::payload::{self, Payload};
use super::{Ending, Session, Turn};
use crate::action::Action;
use crate::draft::Draft;
use crate::link::LinkEvent;
use crate::message::Flags;

/// A version that asks for "whatever comes next".
const FORCE: i32 = -1;

impl Session {
    pub(super) fn publish<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(
        &mut self,
        first: u8,
        body: &[u8],
        turn: &mut Turn<'_, F>,
    ) -> Result<(), Ending> {
        let (qos, retain, duplicate) = (first >> 1 & 3, first & 1 == 1, first & 8 != 0);
        if qos == 3 || (qos == 0 && duplicate) {
            return Err(Code::MalformedPacket.into());
        }
        let mut body = Body::new(body);
        let topic = body.text().ok_or(Code::MalformedPacket)?;
        let packet = if qos == 0 { 0 } else { body.number().ok_or(Code::MalformedPacket)? };
        if (qos > 0 && packet == 0) || from_utf8(topic).is_err() || topic.contains(&0) {
            return Err(Code::MalformedPacket.into());
        }
        let is_text = self.publish_properties(&mut body, topic)?;
        if topic.is_empty() || topic.iter().any(|byte| matches!(byte, b'+' | b'#')) {
            return Err(Code::TopicNameInvalid.into());
        }
        let id = match qos {
            0 => None,
            1 => Some(Id::Puback(packet)),
            _ => Some(Id::Pubrec(packet)),
        };
        if qos == 2 && !self.unreleased.insert(packet) {
            // It is here already.
            self.answer(Id::Pubrec(packet), Code::Success, turn);
            return Ok(());
        }
        let payload = body.rest();
        let kind = payload::classify(payload, &mut self.json);
        match (kind, id) {
            (Some(kind), _) if !is_text || from_utf8(payload).is_ok() => {
                self.put(topic, payload, kind, retain, id, turn);
                Ok(())
            }
            // Bytes for which JSON has no form. Only version 5 has a form for saying so.
            (_, Some(id)) if self.version == Version::V5 => {
                self.answer(id, Code::PayloadFormatInvalid, turn);
                Ok(())
            }
            _ => Err(Code::PayloadFormatInvalid.into()),
        }
    }

    /// Reads the properties of version 5. Whether the payload is said to be text.
    fn publish_properties(&self, body: &mut Body<'_>, topic: &[u8]) -> Result<bool, Code> {
        if self.version == Version::V3 {
            return Ok(false);
        }
        if body.rest().first() == Some(&0) {
            body.at += 1;
            return Ok(false);
        }
        let properties = v5::PublishProperties::decode(body.bytes, &mut body.at, v5::PacketType::Publish)
            .map_err(|_| Code::MalformedPacket)?;
        if properties.topic_alias.is_some() {
            // None were offered.
            return Err(Code::TopicAliasInvalid);
        }
        if properties.subscription_id.is_some() || topic.is_empty() {
            return Err(Code::ProtocolError);
        }
        Ok(properties.payload_is_utf8 == Some(true))
    }

    /// Hands on what was published, or is a last will. Whoever has an `id` is answered once it is done.
    pub(super) fn put<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(
        &mut self,
        topic: &[u8],
        payload: &[u8],
        kind: Payload,
        retain: bool,
        id: Option<Id>,
        turn: &mut Turn<'_, F>,
    ) {
        let text = id.map(Id::text);
        let id = text.as_ref().map(|(bytes, len)| &bytes[..*len]);
        let echo = self.topics.hears_itself(topic);
        let begin = |draft: &mut Draft<'_>, id: Option<&[u8]>| {
            draft.name(topic);
            if echo {
                draft.flag(Flags::ECHO);
            }
            if let Some(id) = id {
                draft.correlation_id(id);
            }
        };
        if retain && kind == Payload::Empty {
            if let Some(id) = id {
                self.deletions.push((topic.into(), id.into()));
            }
            turn.say(Action::RecordDelete, |draft| begin(draft, id));
        } else if retain {
            turn.say(Action::RecordCreateAndUpdate, |draft| {
                begin(draft, id);
                draft.version(FORCE);
                if id.is_some() {
                    draft.flag(Flags::IS_WRITE_ACK);
                }
                draft.data(|out| payload::put_record(payload, kind, out));
            });
        }
        turn.say(Action::EventEmit, |draft| {
            begin(draft, id.filter(|_| !retain));
            if retain {
                draft.flag(Flags::IS_KEPT);
            } else if id.is_some() {
                draft.flag(Flags::IS_ACK);
            }
            if kind != Payload::Empty {
                draft.data(|out| payload::put_value(payload, kind, out));
            }
        });
    }

    /// PUBREL: the client will not send that packet again.
    pub(super) fn released<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(
        &mut self,
        body: &mut Body<'_>,
        turn: &mut Turn<'_, F>,
    ) -> Result<(), Ending> {
        let packet = self.answered(body)?;
        let known = self.unreleased.remove(&packet);
        let code = if known { Code::Success } else { Code::PacketIdNotFound };
        let version = self.version;
        turn.reply(|out| packet::put_answer(version, kind::PUBCOMP, packet, code, (&[], 0), out));
        turn.say(Action::ConnectionPong, |_| ());
        Ok(())
    }

    /// PUBACK: the client has a message, and may be sent what waited for that.
    pub(super) fn acknowledged<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(
        &mut self,
        body: &mut Body<'_>,
        turn: &mut Turn<'_, F>,
    ) -> Result<(), Ending> {
        let packet = self.answered(body)?;
        if !self.flight.acknowledged(packet) {
            return Err(Code::ProtocolError.into());
        }
        if let Some(waited) = self.flight.release() {
            turn.reply(|out| out.extend_from_slice(&waited));
        }
        // It lives.
        turn.say(Action::ConnectionPong, |_| ());
        Ok(())
    }

    /// The packet identifier of an answer. What else version 5 may say in one is of no consequence.
    fn answered(&self, body: &mut Body<'_>) -> Result<u16, Code> {
        let packet = body.number().filter(|packet| *packet > 0).ok_or(Code::MalformedPacket)?;
        let has_more = !body.rest().is_empty();
        if has_more && self.version == Version::V3 { Err(Code::MalformedPacket) } else { Ok(packet) }
    }

    fn answer<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(&mut self, id: Id, code: Code, turn: &mut Turn<'_, F>) {
        // In words too where nobody would guess them from the code.
        let words = (code == Code::PayloadFormatInvalid).then(|| code.words().as_bytes());
        turn.reply(|out| self.put_answer(id, code, words, out));
    }

    /// Appends the answer to a PUBLISH, with the reason if it is refused, is given and fits.
    pub(super) fn put_answer(&mut self, id: Id, code: Code, why: Option<&[u8]>, out: &mut Vec<u8>) {
        let bytes_max = self.packet_bytes_max.min(usize::from(u16::MAX));
        let told = (why.filter(|why| self.wants_reasons && why.len() < bytes_max).unwrap_or_default(), bytes_max);
        match id {
            Id::Puback(packet) => packet::put_answer(self.version, kind::PUBACK, packet, code, told, out),
            Id::Pubrec(packet) => {
                // A refused one is over for its sender, who knows of the refusal only in version 5.
                if code as u8 >= Code::Unspecified as u8 && self.version == Version::V5 {
                    self.unreleased.remove(&packet);
                }
                packet::put_answer(self.version, kind::PUBREC, packet, code, told, out);
            }
            Id::Filter(..) => {}
        }
    }
}
