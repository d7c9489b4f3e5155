//! Whose socket listens at a port: read from `/proc`, so it holds for every server and needs no client of any.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who listens at an address and port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    Nobody,
    /// The process that was asked about, or one that it started.
    Own,
    /// Somebody else, in words.
    Foreign(String),
}

/// Who listens there, from the view of the server whose first process this is.
pub(crate) fn listener(address: IpAddr, port: u16, pid: u32) -> Listener {
    // In this order: whoever holds a socket that is listed now was a descendant before it could open it.
    let sockets = listening(address, port);
    if sockets.is_empty() {
        return Listener::Nobody;
    }
    let family = tree(pid);
    let foreign = sockets.iter().find(|socket| !family.iter().any(|&member| holds(member, socket)));
    foreign.map_or(Listener::Own, |socket| Listener::Foreign(holder(socket)))
}

/// Who listens there, in words, whoever it is.
pub(crate) fn anybody(address: IpAddr, port: u16) -> Option<String> {
    listening(address, port).first().map(|socket| holder(socket))
}

/// A process and all that descend from it.
pub(crate) fn tree(pid: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for member in processes() {
        if let Some((_, parent)) = state(member) {
            children.entry(parent).or_default().push(member);
        }
    }
    let (mut found, mut at) = (vec![pid], 0);
    while let Some(member) = found.get(at) {
        found.extend(children.remove(member).unwrap_or_default());
        at += 1;
    }
    found
}

/// The state of a process, as a letter, and its parent.
pub(crate) fn state(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may contain some itself.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What links to the sockets that listen there look like.
fn listening(address: IpAddr, port: u16) -> Vec<String> {
    let mut found = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            found.extend(
                socket(line)
                    .filter(|&(at, ..)| covers(at, address))
                    .and_then(|(_, theirs, inode)| (theirs == port).then(|| format!("socket:[{inode}]"))),
            );
        }
    }
    found
}

/// Address, port and inode of a line of the kernel's table, if that socket listens.
fn socket(line: &str) -> Option<(IpAddr, u16, &str)> {
    const LISTENS: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    let inode = fields.get(9).filter(|_| fields[3] == LISTENS)?;
    // Words of 32 bits, each as it lies in memory.
    let words = address.as_bytes().chunks(8).map(|word| u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok());
    let bytes: Vec<u8> = words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
    };
    Some((address, u16::from_str_radix(port, 16).ok()?, inode))
}

fn covers(at: IpAddr, address: IpAddr) -> bool {
    at == address || at == IpAddr::from(Ipv4Addr::UNSPECIFIED) || at == IpAddr::from(Ipv6Addr::UNSPECIFIED)
}

fn holds(pid: u32, socket: &str) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| target.as_os_str() == socket)
}

fn holder(socket: &str) -> String {
    let Some(pid) = processes().find(|&pid| holds(pid, socket)) else {
        return "a process that we may not look into".to_owned();
    };
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("process {pid} ({})", name.trim())
}

#[cfg(test)]
mod tests {
    use super::{Listener, anybody, listener, socket, tree};
    use std::net::{IpAddr, Ipv4Addr, TcpListener};

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_socket_is_known_by_whoever_holds_it() {
        let own = std::process::id();
        for bound in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let socket = TcpListener::bind(bound).unwrap();
            let port = socket.local_addr().unwrap().port();
            assert_eq!(listener(HOME, port, own), Listener::Own, "{bound}");
            assert!(matches!(listener(HOME, port, u32::MAX), Listener::Foreign(_)), "{bound}");
            assert!(anybody(HOME, port).unwrap().starts_with(&format!("process {own} (")), "{bound}");
            drop(socket);
            assert_eq!(listener(HOME, port, own), Listener::Nobody, "{bound}");
        }
        assert!(tree(1).contains(&1));
    }

    #[test]
    fn only_listening_sockets_are_read_from_the_table() {
        let line = |state: &str| format!(" 0: 0100007F:1F90 00000000:0000 {state} 0:0 00:0 0 0 0 4711 1 0");
        assert_eq!(socket(&line("0A")), Some((HOME, 8080, "4711")));
        assert_eq!(socket(&line("01")), None);
        assert_eq!(socket("nothing of the sort"), None);
    }
}
