//! A WebSocket client that is not ours talks to a link.

use std::io::{self, Read, Write};
use std::ops::ControlFlow;

use deepstream_wire::encode::{encode, encode_message};
use deepstream_wire::{Action, Closing, Endpoint, Link, LinkConfig, LinkEvent, Outgoing, Wire};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Bytes, Error, Message, WebSocket};

/// A socket whose other end is a link that answers every message with the same message.
struct EchoServer {
    link: Link,
    config: LinkConfig,
    replies: Vec<u8>,
    closing: Option<Closing>,
}

impl EchoServer {
    fn new() -> Self {
        let config = LinkConfig {
            endpoints: vec![Endpoint { path: "/deepstream".into(), wire: Wire::Protobuf, max_message_bytes: 1 << 20 }],
            max_request_bytes: 4096,
            mqtt: deepstream_wire::mqtt::Settings::default(),
            gate: deepstream_wire::Gate::default(),
            text_after_ms: None,
        };
        Self { link: Link::new(), config, replies: Vec::new(), closing: None }
    }
}

impl Write for EchoServer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut echoes = Vec::new();
        let closing = &mut self.closing;
        self.link.received(&self.config, &mut bytes.to_vec(), &mut self.replies, &mut |event| {
            match event {
                LinkEvent::Message(message) => {
                    let echo = Outgoing {
                        name: Some(message.name()),
                        data: message.data(),
                        ..Outgoing::new(message.head.action)
                    };
                    encode(Wire::Protobuf, &echo, &mut echoes);
                }
                LinkEvent::Close(why) => *closing = Some(why),
                LinkEvent::Upgraded(_)
                | LinkEvent::Http(_)
                | LinkEvent::Introduced(_)
                | LinkEvent::Turned(_)
                | LinkEvent::Forbidden(_)
                | LinkEvent::Unreadable(_) => {}
            }
            ControlFlow::Continue(())
        });
        self.replies.extend_from_slice(&echoes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for EchoServer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.replies.is_empty() && !self.link.is_closed() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = buffer.len().min(self.replies.len());
        buffer[..count].copy_from_slice(&self.replies[..count]);
        self.replies.drain(..count);
        Ok(count)
    }
}

fn connected() -> WebSocket<EchoServer> {
    tungstenite::client::client("ws://localhost/deepstream?x=1", EchoServer::new()).unwrap().0
}

fn emit(data: &[u8]) -> Bytes {
    let mut bytes = Vec::new();
    let message = Outgoing { name: Some(b"e"), data: Some(data), ..Outgoing::new(Action::EventEmit) };
    encode_message(&message, &mut bytes);
    bytes.into()
}

#[test]
fn it_is_upgraded_and_its_messages_come_back() {
    let mut socket = connected();
    for len in [1, 100, 125, 126, 127, 1000, 65_500, 65_536, 100_000] {
        let message = Message::Binary(emit(&vec![b'1'; len]));
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
}

#[test]
fn its_pings_are_answered() {
    let mut socket = connected();
    socket.send(Message::Ping(Bytes::from_static(b"payload"))).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(Bytes::from_static(b"payload")));
}

#[test]
fn its_close_is_answered_in_kind() {
    let mut socket = connected();
    let close = CloseFrame { code: CloseCode::Away, reason: "done".into() };
    socket.close(Some(close)).unwrap();
    let Message::Close(Some(answer)) = socket.read().unwrap() else { panic!("no close frame") };
    assert_eq!(answer.code, CloseCode::Away);
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    assert_eq!(socket.get_ref().closing, Some(Closing::Peer(Some(1001))));
}

#[test]
fn it_is_told_when_a_message_is_too_big() {
    let mut socket = connected();
    socket.send(Message::Binary(vec![0; (1 << 20) + 1].into())).unwrap();
    let Message::Close(Some(close)) = socket.read().unwrap() else { panic!("no close frame") };
    assert_eq!(close.code, CloseCode::Size);
}

#[test]
fn it_is_refused_on_other_paths() {
    let refused = tungstenite::client::client("ws://localhost/elsewhere", EchoServer::new());
    let Err(tungstenite::HandshakeError::Failure(Error::Http(answer))) = refused else { panic!("not refused") };
    assert_eq!(answer.status(), 404);
}
