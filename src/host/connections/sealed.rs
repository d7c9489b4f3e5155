//! Input of secured connections: handshakes, one a turn, and ciphertext on its way to the link.

use super::{Buffer, Connections, Key, Next, Socket};
use crate::host::tls::Side;
use crate::note::Ending;
use deepstream_wire::Medium;

impl Connections {
    /// Ciphertext was received. A handshake costs as much as thousands of messages, so one continues per turn and the
    /// others wait.
    pub(super) fn hear_sealed(&mut self, key: Key, buffer: Buffer) -> Next {
        let Self { ring, sockets, .. } = self;
        let mut plain = std::mem::take(&mut sockets.plain);
        let busy = sockets.shook_hands || !sockets.handshakes.is_empty();
        let mut shook_hands = false;
        let opened = sockets.get(key).filter(|socket| !socket.ignores_input).and_then(|socket| {
            let tls = socket.tls.as_mut()?;
            let sealed = ring.bytes(&buffer);
            if tls.is_deferred() || (busy && tls.is_handshaking()) {
                return tls.defer(sealed).then_some(None);
            }
            shook_hands = tls.is_handshaking();
            Some(Some(tls.open(sealed, &mut plain)))
        });
        sockets.shook_hands |= shook_hands;
        self.ring.release(buffer);
        let next = if let Some(Some(opened)) = opened {
            self.opened(key, &opened, &mut plain)
        } else {
            if opened.is_some() {
                self.sockets.handshakes.push_back(key);
            }
            self.weigh(key);
            Next::Nothing
        };
        plain.clear();
        self.sockets.plain = plain;
        next
    }

    /// Continues the next handshake, if none was continued in this turn. Returns its socket, and what to do next there.
    pub(in crate::host) fn shake_hands(&mut self) -> Option<(Key, Next)> {
        if std::mem::take(&mut self.sockets.shook_hands) {
            return None;
        }
        while let Some(key) = self.sockets.handshakes.pop_front() {
            let mut plain = std::mem::take(&mut self.sockets.plain);
            let listens = self.sockets.get(key).filter(|socket| !socket.ignores_input);
            let opened = listens.and_then(|socket| Some(socket.tls.as_mut()?.open_deferred(&mut plain)));
            let next = opened.map(|opened| self.opened(key, &opened, &mut plain));
            plain.clear();
            self.sockets.plain = plain;
            if let Some(next) = next {
                return Some((key, next));
            }
        }
        None
    }

    /// The section of the configuration with a connection's TLS settings.
    fn tls_section(&mut self, key: Key) -> &'static str {
        let mqtt = self.sockets.get(key).is_some_and(|socket| socket.medium == Medium::Mqtt);
        if mqtt { Side::Mqtt.section() } else { Side::Web.section() }
    }

    /// Handles plaintext for the link, and output of the session itself.
    fn opened(&mut self, key: Key, opened: &Result<bool, rustls::Error>, plain: &mut [u8]) -> Next {
        let Self { sockets, shard, auth, links, web, now, .. } = self;
        let mut replies = std::mem::take(&mut sockets.replies);
        let heard = sockets.get(key).filter(|socket| !socket.ignores_input && !plain.is_empty()).map(|socket| {
            let heard = socket.listen((shard, auth, web), *now, links, Some(plain), &mut replies);
            (socket.conn, heard)
        });
        sockets.replies = replies;
        let next = if let Some((conn, heard)) = heard {
            self.heard(key, conn, &heard)
        } else {
            self.weigh(key);
            Next::Nothing
        };
        if let Err(error) = opened {
            let section = self.tls_section(key);
            self.tell_end_of(key, Ending::Tls(&error.to_string(), section));
        }
        let over = !matches!(opened, Ok(false));
        if let Next::Drive = next {
            return Next::DriveSealed { over };
        }
        self.conclude(key, over);
        next
    }

    /// The plaintext was dealt with.
    pub(in crate::host) fn conclude(&mut self, key: Key, over: bool) {
        if over {
            // Or it is broken: the last output of the session is sent.
            self.part(key);
        }
        let speaks = |socket: &mut Socket| socket.tls.as_ref().is_some_and(|tls| tls.has_output());
        if self.sockets.get(key).is_some_and(speaks) {
            self.sockets.ready.push(key);
        }
    }
}
