//! Correlation ids that say which packet an answer belongs to: it comes back with the answer, so nobody has to remember.

use std::io::Write;

/// What a correlation id asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    /// PUBACK for this packet.
    Puback(u16),
    /// PUBREC for this packet.
    Pubrec(u16),
    /// The answer to this filter of this SUBSCRIBE.
    Filter(u16, u32),
}

/// What ids are written into.
pub(super) type Text = ([u8; 20], usize);

impl Id {
    /// The text of the id.
    pub(super) fn text(self) -> Text {
        let mut bytes = [0; 20];
        let mut rest = &mut bytes[..];
        let room = rest.len();
        let written = match self {
            Self::Puback(packet) => write!(rest, "a{packet}"),
            Self::Pubrec(packet) => write!(rest, "r{packet}"),
            Self::Filter(packet, index) => write!(rest, "s{packet}.{index}"),
        };
        debug_assert!(written.is_ok(), "the longest id has eighteen bytes");
        let len = room - rest.len();
        (bytes, len)
    }

    /// What the text says; `None` for any other.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let (&kind, rest) = text.split_first()?;
        let rest = std::str::from_utf8(rest).ok()?;
        Some(match kind {
            b'a' => Self::Puback(rest.parse().ok()?),
            b'r' => Self::Pubrec(rest.parse().ok()?),
            b's' => {
                let (packet, index) = rest.split_once('.')?;
                Self::Filter(packet.parse().ok()?, index.parse().ok()?)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_as_they_went() {
        for id in [Id::Puback(1), Id::Pubrec(u16::MAX), Id::Filter(7, u32::MAX)] {
            let (text, len) = id.text();
            assert_eq!(Id::of(&text[..len]), Some(id));
        }
        for other in [&b""[..], b"a", b"a65536", b"s1", b"x1", b"s1.x", b"r-1"] {
            assert_eq!(Id::of(other), None);
        }
    }
}
