//! What a lease says of its holder: the Pod, where gateways reach it, and a word that no other process has.

use std::net::SocketAddr;

use aws_lc_rs::rand;

/// For one process, once. `POD/ADDRESS/WORD`, where `-` stands for an address that is not known.
pub fn identity(pod: &str, address: Option<SocketAddr>) -> String {
    let mut word = [0; 8];
    rand::fill(&mut word).expect("the system has randomness");
    let address = address.map_or("-".to_owned(), |address| address.to_string());
    format!("{pod}/{address}/{:016x}", u64::from_be_bytes(word))
}

/// Where the holder of that identity takes links.
pub fn address(identity: &str) -> Option<SocketAddr> {
    identity.split('/').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_and_is_nobody_elses() {
        for there in ["10.1.2.3:9443", "[fd00::1]:9443"] {
            let one = identity("operator-0", there.parse().ok());
            assert_eq!(address(&one), there.parse().ok(), "{one}");
            assert_ne!(one, identity("operator-0", there.parse().ok()));
        }
        assert_eq!(address(&identity("operator-0", None)), None);
        assert_eq!(address("somebody-elses"), None);
    }
}
