//! Whose connection it is: the peer's address, or what trusted proxies say.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

/// Goes through `X-Forwarded-For` from its end, as long as the address so far is a trusted proxy's: what an untrusted one
/// claims counts for nothing.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut address = peer.to_canonical();
    let values = headers.get_all("x-forwarded-for");
    let mut claimed = values.iter().rev().filter_map(|v| v.to_str().ok()).flat_map(|v| v.rsplit(','));
    while trusted.iter().any(|net| net.contains(&address)) {
        let Some(next) = claimed.next().and_then(parse) else { break };
        address = next.to_canonical();
    }
    address
}

/// An address, with or without a port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|a| a.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|n| n.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(address("198.51.100.1", &["203.0.113.9"], &["10.0.0.0/8"]), "198.51.100.1");
        assert_eq!(address("10.0.0.1", &["203.0.113.9"], &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["192.0.2.66, 203.0.113.9, 10.2.3.4"], &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["192.0.2.66", "203.0.113.9:4711"], &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["nonsense"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(address("::ffff:10.0.0.1", &["2001:db8::7"], &["10.0.0.0/8"]), "2001:db8::7");
        assert_eq!(address("10.0.0.1", &[], &["10.0.0.0/8"]), "10.0.0.1");
    }
}
