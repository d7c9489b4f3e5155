//! Packets of other nodes: whatever the bytes, they are a packet, which is written and read as the same, or none; and reading
//! them takes memory in proportion to them.

use allocation_counter::measure;
use deepstream_engine::{ConnId, NoPacket, Packet};

/// Memory that reading takes at most, whatever is read and for each of its bytes: a list whose items are empty takes most.
const PLAIN: [u64; 2] = [1 << 10, 64];
/// The same where patterns or rules are compiled.
const COMPILED: [u64; 2] = [24 << 10, 512];

/// Names the kinds of packets, so that nothing compiles while one is missing.
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
    Settled HoldClientId TakenOver Counted Withheld Fetched Announced
}

/// All of a packet but the number of the form, which would be right once in 256 times.
pub(crate) fn run(input: &[u8]) {
    let bytes = [&[form()], input].concat();
    let mut read = Err(NoPacket::Malformed);
    let memory = measure(|| read = Packet::read(&bytes));
    // By number, for what is compiled before the packet turns out to be none.
    let [base, per_byte] = if matches!(input, [6 | 9, ..]) { COMPILED } else { PLAIN };
    let allowed = base + bytes.len() as u64 * per_byte;
    assert!(memory.bytes_max <= allowed, "{} bytes of memory for {} bytes", memory.bytes_max, bytes.len());
    let packet = match read {
        Ok(packet) => packet,
        Err(why) => return assert_eq!(why, NoPacket::Malformed),
    };
    // Numbers may have come in more bytes than they need, and encodings that wires share more than once.
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
