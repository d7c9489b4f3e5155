//! Ports for servers. Many test processes run at once, and a port that was free a moment ago is anybody's by the time a server
//! binds it. So a port is taken from below those that the kernel hands out by itself, and its UDP namesake is bound for as long as
//! this process lives: the reservation among those who choose ports this way, and gone with the process however it ends.
//! `tests/client/helpers/ports.mjs` keeps the same rule.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::Mutex;

/// Above 10080, the last of the ports that browsers refuse to speak to.
const FIRST: u16 = 10_100;

/// The reservations of this process, and the port to be tried next.
struct Reserved {
    sockets: Vec<UdpSocket>,
    next: u16,
}

static RESERVED: Mutex<Reserved> = Mutex::new(Reserved { sockets: Vec::new(), next: 0 });

/// A port for one server that no process but this one will use, and that is never given again.
pub(crate) fn reserve(address: IpAddr) -> Result<u16, String> {
    let end = first_of_the_kernel();
    let mut reserved = RESERVED.lock().map_err(|_| "a test failed while it chose a port")?;
    if reserved.next == 0 {
        let random = RandomState::new().hash_one(std::process::id());
        reserved.next = FIRST + (random % u64::from(end - FIRST)) as u16;
    }
    for _ in FIRST..end {
        let port = reserved.next;
        reserved.next = if port + 1 < end { port + 1 } else { FIRST };
        let Ok(socket) = UdpSocket::bind((address, port)) else { continue };
        reserved.sockets.push(socket);
        // Others choose theirs as they like.
        if TcpListener::bind((address, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(format!("no port of {FIRST} to {} is free at {address}", end - 1))
}

/// Where the kernel's own choice begins: connections and listeners on port 0 are given these.
fn first_of_the_kernel() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_whitespace().next().and_then(|first| first.parse().ok());
    first.unwrap_or(32_768).max(FIRST + 10_000)
}
