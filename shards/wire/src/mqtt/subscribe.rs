//! SUBSCRIBE and UNSUBSCRIBE: many filters, two subscriptions each, one answer.

use std::ops::ControlFlow;

use mqtt_proto::{QoS, v3, v5};

use super::connect::v5_header;
use super::id::Id;
use super::packet::{self, Code, Version, kind};
use super::topics::{Terms, is_wild};
use super::{Ending, Session, Turn};
use crate::action::{Action, Topic};
use crate::link::LinkEvent;
use crate::message::Flags;

/// The most SUBSCRIBE packets of a client that wait for their answer.
const PENDING_MAX: usize = 1024;
/// Levels of a filter with wildcards.
const LEVELS_MAX: usize = 128;
/// The most this server grants.
const QOS_MAX: u8 = 1;

/// A SUBSCRIBE whose filters were not all answered.
#[derive(Debug)]
pub(super) struct Pending {
    packet: u16,
    filters: Vec<Asked>,
}

#[derive(Debug)]
struct Asked {
    filter: Box<[u8]>,
    /// Subscriptions that were not answered.
    outstanding: u8,
    /// Whether one was granted.
    granted: bool,
    /// What it is answered with.
    code: u8,
}

/// One filter of a SUBSCRIBE.
struct Wish {
    filter: Box<[u8]>,
    is_shared: bool,
    terms: Terms,
    retained: Retained,
}

/// Whether retained messages are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retained {
    Always,
    IfNew,
    Never,
}

impl Session {
    pub(super) fn subscribe<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(
        &mut self,
        first: u8,
        body: &[u8],
        turn: &mut Turn<'_, F>,
    ) -> Result<(), Ending> {
        let (packet, wishes) = match self.version {
            Version::V3 => wishes_v3(first, body)?,
            Version::V5 => wishes_v5(body)?,
        };
        if self.pending.len() >= PENDING_MAX || self.pending.iter().any(|pending| pending.packet == packet) {
            return Err(Code::QuotaExceeded.into());
        }
        let asked = wishes.iter().map(|wish| Asked {
            filter: wish.filter.clone(),
            outstanding: 0,
            granted: false,
            code: wish.terms.qos,
        });
        self.pending.push(Pending { packet, filters: asked.collect() });
        // Answers come once the shard was told, so none can be missed that is noted here first.
        for (index, wish) in wishes.iter().enumerate() {
            self.wish(packet, index, wish, turn);
        }
        self.settle(packet, turn.replies, true);
        Ok(())
    }

    fn wish<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(
        &mut self,
        packet: u16,
        index: usize,
        wish: &Wish,
        turn: &mut Turn<'_, F>,
    ) {
        let is_wild = is_wild(&wish.filter);
        let refusal = if wish.is_shared {
            Some(Code::SharedSubscriptionsUnsupported)
        } else if is_wild && wish.filter.split(|byte| *byte == b'/').count() > LEVELS_MAX {
            Some(Code::FilterInvalid)
        } else {
            None
        };
        let entry = if refusal.is_none() { self.topics.entry(&wish.filter) } else { None };
        let Some(subscription) = entry else {
            return self.refuse(packet, index, refusal.unwrap_or(Code::QuotaExceeded));
        };
        let is_new = !subscription.event && !subscription.record;
        subscription.terms = wish.terms;
        let missing = [(Action::EventSubscribe, !subscription.event), (Action::RecordSubscribe, !subscription.record)];
        let (text, len) = Id::Filter(packet, index as u32).text();
        if let Some(asked) = self.asked(packet, index) {
            asked.outstanding = missing.iter().filter(|(_, missing)| *missing).count() as u8;
            asked.granted = !is_new;
        }
        for (action, _) in missing.into_iter().filter(|(_, missing)| *missing) {
            turn.say(action, |draft| {
                draft.push_name(&wish.filter);
                draft.correlation_id(&text[..len]);
                if is_wild {
                    draft.flag(Flags::FILTER);
                }
            });
        }
        // What is retained of all that fits is not known: most records are not in memory.
        if !is_wild && (wish.retained == Retained::Always || (wish.retained == Retained::IfNew && is_new)) {
            turn.say(Action::RecordRead, |draft| draft.name(&wish.filter));
        }
    }

    fn asked(&mut self, packet: u16, index: usize) -> Option<&mut Asked> {
        let pending = self.pending.iter_mut().find(|pending| pending.packet == packet)?;
        pending.filters.get_mut(index)
    }

    fn refuse(&mut self, packet: u16, index: usize, code: Code) {
        let code = if self.version == Version::V5 { code } else { Code::Unspecified };
        if let Some(asked) = self.asked(packet, index) {
            asked.code = code as u8;
        }
    }

    /// The engine answered one half of a filter.
    pub(super) fn subscribed(
        &mut self,
        (packet, index): (u16, u32),
        topic: Topic,
        result: Result<(), Code>,
        out: &mut Vec<u8>,
    ) {
        let index = index as usize;
        let Some(asked) = self.asked(packet, index) else { return };
        asked.outstanding = asked.outstanding.saturating_sub(1);
        let filter = asked.filter.clone();
        match result {
            Ok(()) => {
                asked.granted = true;
                if let Some(subscription) = self.topics.get_mut(&filter) {
                    let half = if topic == Topic::Event { &mut subscription.event } else { &mut subscription.record };
                    *half = true;
                }
            }
            Err(code) if !asked.granted && asked.outstanding == 0 => {
                self.refuse(packet, index, code);
                self.topics.remove(&filter);
            }
            Err(_) => {}
        }
        self.settle(packet, out, false);
    }

    /// Answers a SUBSCRIBE of which nothing is outstanding.
    fn settle(&mut self, packet: u16, out: &mut Vec<u8>, as_frame: bool) {
        let Some(at) = self.pending.iter().position(|pending| pending.packet == packet) else { return };
        if self.pending[at].filters.iter().any(|asked| asked.outstanding > 0) {
            return;
        }
        let codes: Vec<u8> = self.pending.swap_remove(at).filters.iter().map(|asked| asked.code).collect();
        let version = self.version;
        let put = |out: &mut Vec<u8>| packet::put_list(version, kind::SUBACK, packet, &codes, out);
        if as_frame { super::frame::raw(out, put) } else { put(out) }
    }

    pub(super) fn unsubscribe<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(
        &mut self,
        first: u8,
        body: &[u8],
        turn: &mut Turn<'_, F>,
    ) -> Result<(), Ending> {
        let (packet, filters) = match self.version {
            Version::V3 => {
                let header = v3_header(first, body)?;
                let read = v3::Unsubscribe::decode(body, &mut 0, header).map_err(|_| Code::MalformedPacket)?;
                (read.pid.value(), read.topics)
            }
            Version::V5 => {
                let header = v5_header(v5::PacketType::Unsubscribe, body);
                let read = v5::Unsubscribe::decode(body, &mut 0, header).map_err(|_| Code::MalformedPacket)?;
                (read.pid.value(), read.topics)
            }
        };
        let mut codes = Vec::with_capacity(filters.len());
        for filter in &filters {
            let found = self.topics.remove(filter.as_bytes());
            codes.push(if found.is_some() { Code::Success } else { Code::NoSubscriptionExisted } as u8);
            if found.is_some() {
                for action in [Action::EventUnsubscribe, Action::RecordUnsubscribe] {
                    turn.say(action, |draft| {
                        draft.push_name(filter.as_bytes());
                        if is_wild(filter.as_bytes()) {
                            draft.flag(Flags::FILTER);
                        }
                    });
                }
            }
        }
        let version = self.version;
        let codes = if version == Version::V5 { &codes[..] } else { &[] };
        turn.reply(|out| packet::put_list(version, kind::UNSUBACK, packet, codes, out));
        Ok(())
    }
}

fn v3_header(first: u8, body: &[u8]) -> Result<v3::Header, Code> {
    let len = body.len() as u32;
    v3::Header::new_with(first, len, len).map_err(|_| Code::MalformedPacket)
}

fn wishes_v3(first: u8, body: &[u8]) -> Result<(u16, Vec<Wish>), Code> {
    let read = v3::Subscribe::decode(body, &mut 0, v3_header(first, body)?).map_err(|_| Code::MalformedPacket)?;
    let wish = |(filter, qos): (mqtt_proto::TopicFilter, QoS)| Wish {
        filter: filter.as_bytes().into(),
        is_shared: filter.is_shared(),
        terms: Terms { qos: (qos as u8).min(QOS_MAX), ..Terms::default() },
        retained: Retained::Always,
    };
    Ok((read.pid.value(), read.topics.into_iter().map(wish).collect()))
}

fn wishes_v5(body: &[u8]) -> Result<(u16, Vec<Wish>), Code> {
    let header = v5_header(v5::PacketType::Subscribe, body);
    let read = v5::Subscribe::decode(body, &mut 0, header).map_err(|_| Code::MalformedPacket)?;
    let identifier = read.properties.subscription_id.map_or(0, v5::VarByteInt::value);
    if read.properties.subscription_id.is_some() && identifier == 0 {
        return Err(Code::ProtocolError);
    }
    let wish = |(filter, options): (mqtt_proto::TopicFilter, v5::SubscriptionOptions)| Wish {
        filter: filter.as_bytes().into(),
        is_shared: filter.is_shared(),
        terms: Terms {
            qos: (options.max_qos as u8).min(QOS_MAX),
            no_local: options.no_local,
            as_published: options.retain_as_published,
            identifier,
        },
        retained: match options.retain_handling {
            v5::RetainHandling::SendAtSubscribe => Retained::Always,
            v5::RetainHandling::SendAtSubscribeIfNotExist => Retained::IfNew,
            v5::RetainHandling::DoNotSend => Retained::Never,
        },
    };
    Ok((read.pid.value(), read.topics.into_iter().map(wish).collect()))
}
