//! *Owns* what counts as one stranger: an IPv4 address, or a /64 of IPv6, which is what one customer is given as a rule and
//! can draw addresses from at will. *Does not* know proxies: the address is that of the client by then.

use std::net::IpAddr;

/// Where a login comes from, as far as it matters for who is served next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Origin(u128);

/// Of an IPv6 address, what its owner chooses.
const OWN_BITS: u32 = 64;

impl Origin {
    /// Of an address as it is logged. What is no address is one origin, too.
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
