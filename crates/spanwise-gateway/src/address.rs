//! Addresses that no agent may have: those by which a machine in a cloud learns its credentials, and
//! the others that mean something only to the machine itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names of services that tell a machine about itself.
const NAMES: [&str; 6] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "instance-data",
    "instance-data.ec2.internal",
];
/// Such services outside the link-local addresses: of Alibaba, Azure, Oracle and Amazon.
const SERVICES_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
const SERVICE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Why no agent may be at this host, if so.
pub fn forbidden(host: &str) -> Option<&'static str> {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    if let Ok(ip) = host.parse() {
        return is_forbidden(ip).then_some("is a link-local or metadata address");
    }
    if NAMES.contains(&host.as_str()) {
        return Some("is the name of a metadata service");
    }
    // Resolvers read 2852039166 and 0xa9fea9fe as addresses too.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    (is_number || last.starts_with("0x")).then_some("is an address in an unusual spelling")
}

/// Whether no agent may be at this address.
pub fn is_forbidden(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || SERVICES_V4.contains(&ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_forbidden(IpAddr::V4(ip)),
            None => ip.is_unicast_link_local() || ip == SERVICE_V6,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_forbidden_in_every_spelling() {
        for host in [
            "169.254.169.254",
            "169.254.0.1",
            "[fe80::1]",
            "fe80::1",
            "[::ffff:169.254.169.254]",
            "[fd00:ec2::254]",
            "100.100.100.200",
            "168.63.129.16",
            "metadata.google.internal",
            "Metadata.Google.Internal.",
            "2852039166",
            "0xA9FEA9FE",
            "169.254.43518",
        ] {
            assert!(forbidden(host).is_some(), "{host}");
        }
    }

    #[test]
    fn other_addresses_are_not() {
        for host in ["127.0.0.1", "10.0.0.1", "[::1]", "agents.example.com", "billing", "fe80.org"]
        {
            assert_eq!(forbidden(host), None, "{host}");
        }
    }
}
