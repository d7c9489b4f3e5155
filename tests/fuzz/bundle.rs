//! The bytes of bundles between nodes. Any bytes are refused, or read as sections of packets that are the same after they were
//! written and read again. Reading takes memory in proportion to the bytes.

use allocation_counter::measure;
use deepstream_engine::{Bundle, BundleWriter, NoPacket, Packet};

/// The memory that reading may take: a base, and so much for each byte; patterns and rules are compiled.
const HEAD: [u64; 2] = [1 << 10, 64];
const SECTION: [u64; 2] = [24 << 10, 512];

pub(crate) fn run(input: &[u8]) {
    let mut read = Err(NoPacket::Malformed);
    check(HEAD, input.len(), || read = Bundle::read(input));
    let Ok(bundle) = read else { return };
    let mut writer = BundleWriter::default();
    for (to, at) in bundle.sections {
        let mut packets = Vec::new();
        let mut whole = Err(NoPacket::Malformed);
        check(SECTION, input.len(), || whole = Bundle::read_section(input, at.clone(), drop));
        let again = Bundle::read_section(input, at, |packet| packets.push(packet));
        assert_eq!(again, whole);
        writer.begin(bundle.epoch, bundle.from);
        let taken = writer.section(to, &packets).expect("no packet is so long");
        assert_eq!(taken == 0, packets.is_empty());
        let Some(bytes) = writer.end() else { continue };
        let written = Bundle::read(&bytes).expect("what was written is a bundle");
        assert_eq!((written.epoch, written.from, written.sections.len()), (bundle.epoch, bundle.from, 1));
        let (to_again, at) = written.sections[0].clone();
        let mut twins = Vec::new();
        Bundle::read_section(&bytes, at, |packet| twins.push(packet)).expect("what was written is a section");
        assert_eq!((to_again, debug(&twins)), (to, debug(&packets[..taken])));
    }
}

fn check([base, per_byte]: [u64; 2], len: usize, read: impl FnOnce()) {
    let memory = measure(read);
    let allowed = base + len as u64 * per_byte;
    assert!(memory.bytes_max <= allowed, "{} bytes of memory for {len} bytes", memory.bytes_max);
}

fn debug(packets: &[Packet]) -> String {
    format!("{packets:?}")
}
