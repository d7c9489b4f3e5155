//! The bytes of packets between nodes. Any bytes are refused, or read as a packet that is the same after it was written and
//! read again. Reading takes memory in proportion to the bytes.

use allocation_counter::measure;
use deepstream_engine::{ConnId, NoPacket, Packet};

/// The memory that reading may take: a base, and so much for each byte. A list of empty items takes the most.
const PLAIN: [u64; 2] = [1 << 10, 64];
/// The same for packets with patterns or rules, which are compiled.
const COMPILED: [u64; 2] = [24 << 10, 512];

/// Lists the kinds of packets. A kind that is missing here is a compile error.
macro_rules! kinds {
    ($($kind:ident)*) => {
        /// What kind of packet it is.
        pub(crate) fn kind(packet: &Packet) -> &'static str {
            match packet {
                $(Packet::$kind { .. } => stringify!($kind),)*
            }
        }

        #[allow(dead_code, reason = "the fuzzer does not count them")]
        pub(crate) const KINDS: &[&str] = &[$(stringify!($kind)),*];
    };
}

kinds! {
    Request Introduce Farewell Leave Presence Everyone Listen Users RemoteRead Rules RemoteReadDone Online Reply FanOut Joined
    Settled HoldClientId TakenOver Counted Withheld Fetched Announced Flush Rejoin Told View Astray Flushed Rejoined
    Done
}

/// `input` is a packet without its first byte, the number of the form: a random one would nearly always be wrong.
pub(crate) fn run(input: &[u8]) {
    let bytes = [&[form()], input].concat();
    let mut read = Err(NoPacket::Malformed);
    let memory = measure(|| read = Packet::read(&bytes));
    // Told by the number of the kind, because some bytes are refused only after a pattern was compiled.
    let [base, per_byte] = if matches!(input, [6 | 9, ..]) { COMPILED } else { PLAIN };
    let allowed = base + bytes.len() as u64 * per_byte;
    assert!(memory.bytes_max <= allowed, "{} bytes of memory for {} bytes", memory.bytes_max, bytes.len());
    let packet = match read {
        Ok(packet) => packet,
        Err(why) => return assert_eq!(why, NoPacket::Malformed),
    };
    // It may have been longer: a number with more bytes than it needs, or equal frames that are not shared.
    let again = written(&packet);
    assert!(again.len() <= bytes.len(), "{} bytes of {}", again.len(), bytes.len());
    let twin = Packet::read(&again).expect("what was written is a packet");
    assert_eq!((kind(&twin), format!("{twin:?}")), (kind(&packet), format!("{packet:?}")));
    assert_eq!(written(&twin), again);
}

fn written(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.write(&mut bytes).expect("no input is so long");
    bytes
}

/// The number that every packet begins with.
pub(crate) fn form() -> u8 {
    written(&Packet::Counted(ConnId::NOBODY))[0]
}
