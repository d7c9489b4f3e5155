//! What all dialects over WebSocket begin with.

use deepstream_wire::client::{ServerReader, upgrade_request};

/// Any mask will do: it protects browsers' proxies, not servers.
pub(super) const MASK: [u8; 4] = [0x5a, 0x3c, 0x96, 0x0f];

/// Reads what a server sends.
pub(super) type Reader = ServerReader;

/// Asks for the upgrade at an endpoint's path.
pub(super) fn begin(address: &str, path: &str, out: &mut Vec<u8>) -> Reader {
    upgrade_request(address, path, &[], out);
    ServerReader::new()
}
