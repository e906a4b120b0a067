//! Which addresses may be connected to. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Destinations that may be connected to; asked with the address that is about to be dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// If not empty, only these.
    pub allow: Vec<IpNet>,
    /// Never these; wins over `allow`.
    pub deny: Vec<IpNet>,
}

/// Why an address is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{address} is in {network} of security.deny_networks")]
    Denied { address: IpAddr, network: IpNet },
    #[error("{address} is not in security.allow_networks")]
    NotAllowed { address: IpAddr },
}

impl Egress {
    /// # Errors
    /// Any spelling of the address is denied, or none is allowed.
    pub fn check(&self, address: IpAddr) -> Result<(), Refusal> {
        for form in forms(address) {
            if let Some(network) = self.deny.iter().find(|n| n.contains(&form)) {
                return Err(Refusal::Denied { address, network: *network });
            }
        }
        let allowed = |form| self.allow.iter().any(|n| n.contains(&form));
        if self.allow.is_empty() || forms(address).any(allowed) {
            return Ok(());
        }
        Err(Refusal::NotAllowed { address })
    }
}

/// The address and the others that reach the same place: IPv4 inside IPv6, and this machine under all its names.
fn forms(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let inner = match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(v6) => embedded(v6),
    };
    // Connecting to "any" address reaches this machine, and so does either loopback.
    let this_machine = address.is_unspecified()
        || address == IpAddr::V6(Ipv6Addr::LOCALHOST)
        || inner.is_some_and(|v4| v4.is_unspecified());
    [Some(address), inner.map(IpAddr::V4), this_machine.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))]
        .into_iter()
        .flatten()
}

/// The IPv4 address that an IPv6 one stands for: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = v6.segments();
    let ipv4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(ipv4(high, low)),
        // IPv4-compatible, long deprecated; `::` and `::1` are none.
        [0, 0, 0, 0, 0, 0] if high != 0 => Some(ipv4(high, low)),
        [0x2002, ..] => Some(ipv4(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|n| n.parse().expect("a network")).collect()
    }

    fn open(egress: &Egress, address: &str) -> bool {
        egress.check(address.parse().expect("an address")).is_ok()
    }

    #[test]
    fn a_denied_network_is_denied_in_every_spelling() {
        let egress = Egress { allow: vec![], deny: nets(&["127.0.0.0/8", "10.0.0.0/8", "fe80::/10"]) };
        for denied in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:0.0.0.0",
            "64:ff9b::7f00:1",
            "64:ff9b::10.1.2.3",
            "2002:0a01:0203::1",
            "::10.1.2.3",
            "fe80::1",
        ] {
            assert!(!open(&egress, denied), "{denied}");
        }
        for allowed in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "2002:c000:0201::", "64:ff9b::192.0.2.1"] {
            assert!(open(&egress, allowed), "{allowed}");
        }
    }

    #[test]
    fn only_allowed_networks_are_reached_and_deny_wins() {
        let egress = Egress { allow: nets(&["10.0.0.0/8", "2001:db8::/32"]), deny: nets(&["10.1.0.0/16"]) };
        assert!(open(&egress, "10.2.0.1") && open(&egress, "::ffff:10.2.0.1") && open(&egress, "2001:db8::7"));
        for refused in ["10.1.0.1", "::ffff:10.1.0.1", "192.0.2.1", "2001:db9::7", "::1"] {
            assert!(!open(&egress, refused), "{refused}");
        }
        let refusal = egress.check("10.1.0.1".parse().expect("an address")).expect_err("denied");
        assert_eq!(refusal.to_string(), "10.1.0.1 is in 10.1.0.0/16 of security.deny_networks");
    }
}
