//! A bundle of each kind of packet, and one of all of them for two cores, with which the fuzzer starts.

use crate::packet_seeds;
use deepstream_engine::{BundleWriter, Packet};

pub(crate) fn all() -> Vec<Vec<u8>> {
    let packets = packet_seeds::packets();
    let mut seeds: Vec<Vec<u8>> = packets.chunks(1).map(|packet| bundle(&[packet])).collect();
    seeds.push(bundle(&[&packets, &packets]));
    seeds
}

fn bundle(sections: &[&[Packet]]) -> Vec<u8> {
    let mut writer = BundleWriter::default();
    writer.begin(7, 1);
    for (to, packets) in sections.iter().enumerate() {
        writer.section(to as u16, packets).expect("short enough");
    }
    writer.end().expect("something was put in").into()
}
