//! The text protocol of the third generation of clients (docs/text-grammar.md).
//!
//! *Owns* its grammar in both directions: messages that end in byte 0x1E, parts between bytes 0x1F, values with a letter
//! in front that tells their type. *Promises* that no value of another client can break out of its part: neither byte can
//! be escaped here, so a name that holds one has it replaced, and a string goes as JSON. *Does not* keep anything
//! between messages: an answer that has to repeat a name or a version finds it in the correlation id, which this protocol
//! does not have and its decoder fills with just that.

mod read;
mod typed;
mod write;

pub(crate) use read::read;
pub(crate) use write::{settle_writer, settles_writer, write, write_for_sdks};

/// Ends a message.
const END: u8 = 0x1e;
/// Stands between the parts of a message.
const PART: u8 = 0x1f;
/// Shorter messages are passed over, by upstream and by its clients.
const LEN_MIN: usize = 3;

/// What a writer who wants an acknowledgement appends, to the letter.
const WRITE_ACK: &[u8] = br#"{"writeSuccess":true}"#;

/// Correlation id of a HEAD whose client asked with HAS and is to be answered so.
const HAS: &[u8] = b"H";
/// Begins the data of a message whose typed value was none: no JSON begins like this, so that whoever checks the data
/// refuses it.
const UNTYPED: u8 = PART;

/// Cuts a payload into its messages. Gives each, and how many bytes of the payload come before the next.
pub(crate) fn messages(payload: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = payload.get(at..).filter(|rest| !rest.is_empty())?;
            let len = rest.iter().position(|&byte| byte == END).unwrap_or(rest.len());
            at += (len + 1).min(rest.len());
            let message = &rest[..len];
            if message.len() >= LEN_MIN {
                return Some((message, at));
            }
        }
    })
}
