//! Finds the address of a client behind proxies.
//!
//! *Owns* which proxies are trusted. *Promises* that an address is only believed if a trusted proxy has added it:
//! `X-Forwarded-For` is read from its end, as long as each entry was added by a trusted proxy. *Does not* resolve
//! names.

use ipnet::IpNet;
use std::net::IpAddr;

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Reads `10.0.0.0/8`, or one address.
    pub fn read(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let alone = IpNet::from(address.trim().parse::<IpAddr>().ok()?);
        let prefix = prefix.map_or(Some(alone.prefix_len()), |prefix| prefix.trim().parse().ok())?;
        IpNet::new(alone.addr(), prefix).ok().map(Self)
    }

    /// Whether an address is one of them.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

/// The address of the client: that of the socket, or the one that a trusted proxy reports.
pub fn client_of(socket: IpAddr, forwarded: Option<&str>, proxies: &[Network]) -> IpAddr {
    let believed = |address: IpAddr| proxies.iter().any(|network| network.holds(address));
    let mut client = socket.to_canonical();
    for entry in forwarded.unwrap_or_default().rsplit(',') {
        if !believed(client) {
            break;
        }
        match address_of(entry.trim()) {
            Some(address) => client = address.to_canonical(),
            None => break,
        }
    }
    client
}

/// The `X-Forwarded-For` headers joined into one, in order.
pub fn forwarded<'h>(headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> Option<String> {
    let mut all: Option<String> = None;
    for (_, value) in headers.filter(|(name, _)| *name == "x-forwarded-for") {
        let all = all.get_or_insert_default();
        all.push(',');
        all.push_str(&String::from_utf8_lossy(value));
    }
    all
}

/// Some proxies add a port.
fn address_of(entry: &str) -> Option<IpAddr> {
    let address = entry.parse().ok();
    address.or_else(|| entry.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(socket: &str, forwarded: &str, proxies: &[&str]) -> String {
        let proxies: Vec<Network> = proxies.iter().map(|text| Network::read(text).unwrap()).collect();
        client_of(socket.parse().unwrap(), Some(forwarded).filter(|text| !text.is_empty()), &proxies).to_string()
    }

    #[test]
    fn only_what_a_believed_proxy_says_counts() {
        let ours = ["127.0.0.0/8", "::1", "10.1.0.0/16"];
        for (socket, forwarded, expected) in [
            ("9.9.9.9", "1.2.3.4", "9.9.9.9"),
            ("127.0.0.1", "", "127.0.0.1"),
            ("127.0.0.1", "1.2.3.4", "1.2.3.4"),
            ("::ffff:127.0.0.1", "1.2.3.4", "1.2.3.4"),
            ("::1", "2001:db8::7", "2001:db8::7"),
            // A client that sends a false header is not believed, because the proxy appends the real address.
            ("127.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
            ("127.0.0.1", "6.6.6.6, 1.2.3.4, 10.1.2.3", "1.2.3.4"),
            ("127.0.0.1", "1.2.3.4, 10.2.2.3", "10.2.2.3"),
            ("127.0.0.1", "1.2.3.4:5678", "1.2.3.4"),
            ("127.0.0.1", "[2001:db8::7]:443", "2001:db8::7"),
            ("127.0.0.1", "unknown", "127.0.0.1"),
            ("127.0.0.1", "unknown, 10.1.1.1", "10.1.1.1"),
        ] {
            assert_eq!(client(socket, forwarded, &ours), expected, "{socket} {forwarded}");
        }
        assert_eq!(client("127.0.0.1", "1.2.3.4", &[]), "127.0.0.1");
        assert_eq!(client("9.9.9.9", "1.2.3.4", &["0.0.0.0/0"]), "1.2.3.4");
    }

    #[test]
    fn networks_are_read() {
        for good in ["10.0.0.0/8", "10.0.0.1", "::/0", "fc00::/7", "0.0.0.0/0", "1.2.3.4/32"] {
            assert!(Network::read(good).is_some(), "{good}");
        }
        for bad in ["", "localhost", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(Network::read(bad).is_none(), "{bad}");
        }
    }
}
