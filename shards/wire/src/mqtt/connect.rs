//! CONNECT, CONNACK and DISCONNECT: who a client is, what it promises, and what happens if it is lost.

use std::ops::ControlFlow;

use mqtt_proto::{Error, Protocol, QoS, v3, v5};

use super::packet::{self, Code, Version, kind};
use super::payload::{self, Payload};
use super::{Ending, Introduction, Session, Settings, Stage, Turn};
use crate::action::Action;
use crate::link::LinkEvent;

/// Half as long again as a client promised to be silent at most.
const SILENCE_MS_PER_S: u64 = 1_500;

/// What is published if a client is lost.
#[derive(Debug)]
pub(super) struct Will {
    pub(super) topic: Box<[u8]>,
    pub(super) payload: Box<[u8]>,
    pub(super) kind: Payload,
    pub(super) retain: bool,
}

/// A CONNECT of either version, as far as it matters.
#[derive(Default)]
struct Connect {
    client: String,
    /// The client counts on what an earlier connection left behind.
    continues: bool,
    keep_alive_s: u16,
    username: Option<Vec<u8>>,
    password: Option<Vec<u8>>,
    will: Option<(Vec<u8>, Vec<u8>, bool)>,
    receive_max: Option<u16>,
    packet_bytes_max: Option<u32>,
    expiry_s: u32,
    wants_reasons: bool,
}

impl Session {
    pub(super) fn connect<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(
        &mut self,
        settings: &Settings,
        body: &[u8],
        turn: &mut Turn<'_, F>,
    ) -> Result<(), Ending> {
        let connect = self.read_connect(body)?;
        if let Some(why) = &settings.closed {
            self.refusal = Some(why.clone());
            turn.tell(LinkEvent::Forbidden(why));
            return Err(Code::NotAuthorized.into());
        }
        self.wants_reasons = connect.wants_reasons;
        self.queued_bytes_max = settings.queued_bytes_max;
        self.packet_bytes_max = connect.packet_bytes_max.map_or(usize::MAX, |bytes| bytes as usize);
        if let Some(receive_max) = connect.receive_max {
            self.flight.limit(receive_max);
        }
        if let Some((topic, payload, retain)) = &connect.will {
            let kind = payload::classify(payload, &mut self.json).ok_or(Code::PayloadFormatInvalid)?;
            let (topic, payload) = (topic[..].into(), payload[..].into());
            self.will = Some(Box::new(Will { topic, payload, kind, retain: *retain }));
        }
        if connect.client.is_empty() && connect.continues && self.version == Version::V3 {
            return Err(Code::ClientIdInvalid.into());
        }
        self.greet(settings, &connect);
        let silence_ms_max = match connect.keep_alive_s {
            0 => settings.idle_timeout_s.map(|seconds| u64::from(seconds) * 1000),
            seconds => Some(u64::from(seconds) * SILENCE_MS_PER_S),
        };
        turn.tell(LinkEvent::Introduced(Introduction { client: connect.client.as_bytes(), silence_ms_max }));
        turn.say(Action::AuthRequest, |draft| draft.data(|out| put_login(&connect, out)));
        Ok(())
    }

    fn read_connect(&mut self, body: &[u8]) -> Result<Connect, Ending> {
        let mut at = 0;
        let protocol = match Protocol::decode(body, &mut at) {
            Ok(protocol) => protocol,
            Err(Error::InvalidProtocol(name, level)) if &*name == "MQTT" || &*name == "MQIsdp" => {
                self.version = if level > Protocol::V500 as u8 { Version::V5 } else { Version::V3 };
                self.stage = Stage::Connecting;
                return Err(Code::UnsupportedVersion.into());
            }
            Err(_) => return Err(Code::MalformedPacket.into()),
        };
        self.stage = Stage::Connecting;
        let connect = if protocol == Protocol::V500 {
            self.version = Version::V5;
            read_v5(body, &mut at, protocol)?
        } else {
            read_v3(body, &mut at, protocol)?
        };
        // The codec reads what the flags announce, whatever the length says.
        if at == body.len() { Ok(connect) } else { Err(Code::MalformedPacket.into()) }
    }

    /// Prepares the properties of a CONNACK of version 5: what of its wishes is not granted, and what there is not.
    fn greet(&mut self, settings: &Settings, connect: &Connect) {
        const SESSION_EXPIRY: u8 = 0x11;
        const ASSIGNED_CLIENT: u8 = 0x12;
        const SERVER_KEEP_ALIVE: u8 = 0x13;
        const PACKET_BYTES_MAX: u8 = 0x27;
        const SHARED_AVAILABLE: u8 = 0x2a;
        if self.version == Version::V3 {
            return;
        }
        let out = &mut self.greeting;
        if connect.expiry_s > 0 {
            out.push(SESSION_EXPIRY);
            out.extend_from_slice(&0u32.to_be_bytes());
        }
        if connect.client.is_empty() {
            // It has to have a name, and nobody will ever ask for it: a connection without one cannot be taken over.
            out.push(ASSIGNED_CLIENT);
            packet::put_text(b"anonymous", out);
        }
        if let (0, Some(seconds)) = (connect.keep_alive_s, settings.idle_timeout_s) {
            let seconds = u16::try_from(seconds).unwrap_or(u16::MAX);
            out.push(SERVER_KEEP_ALIVE);
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        out.push(PACKET_BYTES_MAX);
        out.extend_from_slice(&u32::try_from(settings.packet_bytes_max).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&[SHARED_AVAILABLE, 0]);
    }

    /// The client is logged in.
    pub(super) fn put_welcome(&mut self, out: &mut Vec<u8>) {
        self.stage = Stage::Open;
        let greeting = std::mem::take(&mut self.greeting);
        match self.version {
            Version::V3 => out.extend_from_slice(&[kind::CONNACK << 4, 2, 0, 0]),
            Version::V5 => {
                let properties = packet::length_len(greeting.len()) + greeting.len();
                packet::put_header(kind::CONNACK << 4, 2 + properties, out);
                out.extend_from_slice(&[0, 0]);
                packet::put_length(greeting.len(), out);
                out.extend_from_slice(&greeting);
            }
        }
    }

    /// DISCONNECT: the last will is not wanted any more, unless the client says so.
    pub(super) fn left(&mut self, body: &[u8]) -> Ending {
        const WITH_WILL: u8 = 0x04;
        if self.version == Version::V3 {
            if !body.is_empty() {
                return Ending::Broken(Code::MalformedPacket);
            }
        } else {
            let mut at = 0;
            let header = v5_header(v5::PacketType::Disconnect, body);
            if v5::Disconnect::decode(body, &mut at, header).is_err() || at != body.len() {
                return Ending::Broken(Code::MalformedPacket);
            }
        }
        if body.first() != Some(&WITH_WILL) {
            self.will = None;
        }
        Ending::Left
    }

    /// What is to be said on behalf of a client that is lost.
    pub(crate) fn will<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(&mut self, turn: &mut Turn<'_, F>) {
        if let Some(will) = self.will.take() {
            self.put(&will.topic, &will.payload, will.kind, will.retain, None, turn);
        }
    }
}

fn read_v3(body: &[u8], at: &mut usize, protocol: Protocol) -> Result<Connect, Code> {
    let read = v3::Connect::decode_buffer_with_protocol(body, at, protocol).map_err(|_| Code::MalformedPacket)?;
    if read.password.is_some() && read.username.is_none() {
        return Err(Code::MalformedPacket);
    }
    Ok(Connect {
        client: read.client_id.to_string(),
        continues: !read.clean_session,
        keep_alive_s: read.keep_alive,
        username: read.username.map(|name| name.as_bytes().to_vec()),
        password: read.password.map(Into::into),
        will: read.last_will.map(|will| (will.topic_name.as_bytes().to_vec(), will.message.to_vec(), will.retain)),
        ..Connect::default()
    })
}

fn read_v5(body: &[u8], at: &mut usize, protocol: Protocol) -> Result<Connect, Code> {
    let header = v5_header(v5::PacketType::Connect, body);
    let read =
        v5::Connect::decode_buffer_with_protocol(body, at, header, protocol).map_err(|_| Code::MalformedPacket)?;
    let properties = read.properties;
    if properties.auth_method.is_some() {
        return Err(Code::BadAuthenticationMethod);
    }
    if properties.receive_max == Some(0) || properties.max_packet_size == Some(0) {
        return Err(Code::ProtocolError);
    }
    Ok(Connect {
        client: read.client_id.to_string(),
        continues: !read.clean_start,
        keep_alive_s: read.keep_alive,
        username: read.username.map(|name| name.as_bytes().to_vec()),
        password: read.password.map(Into::into),
        will: read.last_will.map(|will| (will.topic_name.as_bytes().to_vec(), will.payload.to_vec(), will.retain)),
        receive_max: properties.receive_max,
        packet_bytes_max: properties.max_packet_size,
        expiry_s: properties.session_expiry_interval.unwrap_or_default(),
        wants_reasons: properties.request_problem_info != Some(false),
    })
}

/// What the codec wants to know of a fixed header, for a body that is there as a whole.
pub(super) fn v5_header(typ: v5::PacketType, body: &[u8]) -> v5::Header {
    let len = body.len() as u32;
    v5::Header::new(typ, false, QoS::Level0, false, len, len)
}

/// The data of a login.
fn put_login(connect: &Connect, out: &mut Vec<u8>) {
    let mut before: &[u8] = b"{";
    for (key, value) in [("\"username\":", &connect.username), ("\"password\":", &connect.password)] {
        if let Some(value) = value {
            out.extend_from_slice(std::mem::replace(&mut before, b","));
            out.extend_from_slice(key.as_bytes());
            deepstream_json::write_string(value, out);
        }
    }
    if before == b"{" {
        out.push(b'{');
    }
    out.push(b'}');
}

/// Appends the CONNACK that refuses a client, if there is one for the reason; 3.1.1 has one for very few, and no words.
pub(super) fn put_connack(version: Version, code: u8, words: &[u8], packet_bytes_max: usize, out: &mut Vec<u8>) {
    const UNSUPPORTED: u8 = Code::UnsupportedVersion as u8;
    const BAD_CLIENT: u8 = Code::ClientIdInvalid as u8;
    const UNAUTHORIZED: u8 = Code::NotAuthorized as u8;
    const UNAVAILABLE: u8 = Code::ServerUnavailable as u8;
    const SHUTTING_DOWN: u8 = Code::ShuttingDown as u8;
    const TOO_OFTEN: u8 = Code::ConnectionRateExceeded as u8;
    if version == Version::V5 {
        // The one reason to part that is none to refuse.
        let code = if code == SHUTTING_DOWN { UNAVAILABLE } else { code };
        return packet::put_reasoned(kind::CONNACK << 4, &[0, code], words, packet_bytes_max, out);
    }
    let return_code = match code {
        UNSUPPORTED => 1,
        BAD_CLIENT => 2,
        UNAVAILABLE | SHUTTING_DOWN | TOO_OFTEN => 3,
        UNAUTHORIZED => 5,
        _ => return,
    };
    out.extend_from_slice(&[kind::CONNACK << 4, 2, 0, return_code]);
}
