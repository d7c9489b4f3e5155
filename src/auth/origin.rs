//! *Owns* which addresses count as one client where clients share something fairly: an IPv4 address, or a /64 of IPv6,
//! which is usually what one customer is given and can pick addresses from at will. *Does not* know proxies: the
//! address it is given is already the client's.

use std::net::IpAddr;

/// Where a login comes from, as far as it matters for whose turn is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Origin(u128);

/// The lower bits of an IPv6 address, which its owner chooses.
const OWN_BITS: u32 = 64;

impl Origin {
    /// The origin of an address in text form. All texts that are no address are one origin.
    pub(super) fn of(remote: &str) -> Self {
        match remote.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => Self(address.to_ipv6_mapped().to_bits()),
            Ok(IpAddr::V6(address)) => Self(address.to_bits() >> OWN_BITS << OWN_BITS),
            Err(_) => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_network_is_one_stranger() {
        let same = |one: &str, other: &str| Origin::of(one) == Origin::of(other);
        assert!(same("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("1.2.3.4", "::ffff:1.2.3.4"));
        assert!(!same("1.2.3.4", "1.2.3.5"));
        assert!(same("", "unknown") && !same("", "1.2.3.4"));
    }
}
