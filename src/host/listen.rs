//! Listening sockets: one per core on the same address, so that the kernel spreads connections over cores.
//!
//! *Owns* resolving the address and binding. *Promises* that a port held by anybody else is noticed, even by another
//! server that shares ports as this one does. *Does not* accept.

use super::tls::Tls;
use deepstream_wire::Medium;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::thread::sleep;
use std::time::Duration;

/// What holds for the connections of a listener.
#[derive(Clone, Debug)]
pub(super) struct ListenerSettings {
    /// Which protocols they speak.
    pub(super) medium: Medium,
    /// Their TLS settings, if they are secured.
    pub(super) tls: Option<Tls>,
    /// Whether they are accepted from other machines even if everybody could do everything (protected mode).
    pub(super) allows_remote: bool,
}

/// Longest queue of connections not accepted yet; the kernel cuts it to what it allows.
const SOMAXCONN: &str = "/proc/sys/net/core/somaxconn";

/// How often to retry a port that is taken: the kernel dismantles the rings of a server that has exited in the
/// background, and its listeners with them. A restarted server must not fail because of those.
const LOOKS_MAX: u32 = 50;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// `count` listeners on one address.
pub(super) fn listen(host: &str, port: u16, count: usize) -> io::Result<Vec<TcpListener>> {
    let mut address = (host, port)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    // Sockets that share a port do not notice each other; this one does not share.
    once_free(|| bind(address, false))?;
    let backlog = backlog();
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = bind(address, true)?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        // On Linux accepted sockets inherit it, which saves a call for each.
        socket.set_tcp_nodelay(true)?;
        let listener = TcpListener::from(socket);
        // The first listener turns port 0 into a real port.
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Calls `take`, and again while the port may still be held by a process that has exited.
fn once_free<T>(mut take: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..LOOKS_MAX {
        match take() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => sleep(LOOK_AGAIN),
            result => return result,
        }
    }
    take()
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&SockAddr::from(address))?;
    if !shared && address.port() != 0 {
        // Binding alone succeeds beside a socket that is bound but does not listen yet.
        socket.listen(1)?;
    }
    Ok(socket)
}

/// How many connections may wait at one listener.
pub(super) fn backlog() -> usize {
    std::fs::read_to_string(SOMAXCONN).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn port_of_another_server_is_noticed_though_both_share_ports() {
        // An address that only this test uses, so that nobody takes the port between two binds.
        let host = "127.93.1.1";
        let first = listen(host, 0, 2).unwrap();
        let port = first[0].local_addr().unwrap().port();
        assert_eq!(first[1].local_addr().unwrap().port(), port);
        let second = listen(host, port, 2);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert_eq!(listen(host, port, 2).unwrap().len(), 2);
    }

    #[test]
    fn what_is_accepted_sends_without_delay() {
        let listener = listen("127.93.1.3", 0, 1).unwrap().remove(0);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn a_port_whose_owner_is_leaving_is_waited_for() {
        let host = "127.93.1.2";
        let mut first = Some(listen(host, 0, 1).unwrap());
        let address = first.as_ref().unwrap()[0].local_addr().unwrap();
        let mut looks = 0;
        let second = once_free(|| {
            let taken = bind(address, false);
            looks += 1;
            first = None;
            taken
        });
        assert!(second.is_ok());
        assert_eq!(looks, 2);
    }
}
