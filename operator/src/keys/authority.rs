//! The operator's own CA, and the certificates that it makes from it. Without I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, date_time_ymd,
};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::rotation::turn;
use crate::tls::certified;

/// Of the Secret in the operator's namespace, and of the ConfigMap in every fleet's.
pub const NAME: &str = "bannou-operator-ca";

/// In the Secret: the certificate and key that count now, and those that come next.
const CURRENT: [&str; 2] = ["ca.crt", "ca.key"];
const NEXT: [&str; 2] = ["next.crt", "next.key"];

/// In the ConfigMap, both certificates.
pub const BUNDLE: &str = "ca.crt";

/// Clocks of gateways differ from the operator's.
const SKEW: Duration = Duration::from_secs(3600);

/// What an operator that was away for long still has left.
const SPARE: Duration = Duration::from_secs(30 * 24 * 3600);

/// A certificate and its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    certificate: ByteString,
    key: ByteString,
}

impl Authority {
    /// One that holds for four periods and a month: for its own as next and as current, and for an operator that is away meanwhile. Gateways
    /// look at the dates of what is served, and at those of a root that they trust not at all.
    fn new(now: Timestamp, period: Duration) -> Result<Authority, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = issuer(&key);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        between(&mut params, now, period.saturating_mul(4).saturating_add(SPARE));
        let certificate = params.self_signed(&key)?.pem();
        Ok(Authority { certificate: ByteString(certificate.into()), key: ByteString(key.serialize_pem().into()) })
    }

    /// `None`: it is not there, or nobody could be shown a certificate of it.
    fn read(data: &BTreeMap<String, ByteString>, names: [&str; 2], now: Timestamp) -> Option<Authority> {
        let [certificate, key] = names.map(|name| data.get(name).cloned());
        let authority = Authority { certificate: certificate?, key: key? };
        match authority.serving(&["check".to_owned()], now, SKEW) {
            Ok(_) => Some(authority),
            Err(error) => {
                tracing::warn!(error, certificate = names[0], "the operator's CA cannot be used");
                None
            }
        }
    }

    /// A certificate for a server by these names, of which the first is checked as a gateway does it.
    ///
    /// # Errors
    /// Why nobody would take it.
    pub fn serving(&self, names: &[String], now: Timestamp, life: Duration) -> Result<CertifiedKey, String> {
        let root = CertificateDer::from_pem_slice(&self.certificate.0).map_err(|e| format!("its certificate: {e}"))?;
        let key = std::str::from_utf8(&self.key.0).map_err(|_| "its key is not PEM")?;
        let key = KeyPair::from_pem(key).map_err(|e| format!("its key: {e}"))?;
        let leaf_key = KeyPair::generate().map_err(|e| e.to_string())?;
        let mut params = CertificateParams::new(names).map_err(|e| e.to_string())?;
        params.distinguished_name.push(DnType::CommonName, "bannou-operator");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        between(&mut params, now, life);
        let leaf = params.signed_by(&leaf_key, &Issuer::new(issuer(&key), &key)).map_err(|e| e.to_string())?;
        verify(root, leaf.der(), &names[0], now)?;
        let private = PrivateKeyDer::try_from(leaf_key.serialize_der())?;
        certified(vec![leaf.der().clone()], private).map_err(|e| e.to_string())
    }
}

/// The name of an authority follows from its key, so that two of them are told apart by their names.
fn issuer(key: &KeyPair) -> CertificateParams {
    let digest = Sha256::digest(key.subject_public_key_info());
    let word: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("bannou-operator CA {word}"));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn between(params: &mut CertificateParams, now: Timestamp, life: Duration) {
    let now = date_time_ymd(1970, 1, 1) + since_epoch(now);
    params.not_before = now - SKEW;
    params.not_after = now + life;
}

fn since_epoch(now: Timestamp) -> Duration {
    Duration::from_secs(now.as_second().try_into().unwrap_or_default())
}

fn verify(root: CertificateDer<'static>, leaf: &CertificateDer<'_>, name: &str, now: Timestamp) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(root).map_err(|e| e.to_string())?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let name = ServerName::try_from(name).map_err(|e| e.to_string())?;
    let now = UnixTime::since_unix_epoch(since_epoch(now));
    let verified = verifier.map_err(|e| e.to_string())?.verify_server_cert(leaf, &[], &name, &[], now);
    verified.map(drop).map_err(|e| e.to_string())
}

/// The authority of certificates that are served now, from the Secret.
pub fn current(there: &BTreeMap<String, ByteString>, now: Timestamp) -> Option<Authority> {
    Authority::read(there, CURRENT, now)
}

/// What the Secret is to hold, and whether that is anything new.
///
/// # Errors
/// When no key can be made.
pub fn contents(
    there: &BTreeMap<String, ByteString>,
    due: bool,
    now: Timestamp,
    period: Duration,
) -> Result<(BTreeMap<String, ByteString>, bool), rcgen::Error> {
    let read = |names| Authority::read(there, names, now);
    let fresh = || Authority::new(now, period);
    let turned = turn(read(CURRENT).map(Ok), read(NEXT).map(Ok), due, fresh);
    let mut data = BTreeMap::new();
    for (names, authority) in [(CURRENT, turned.current?), (NEXT, turned.next?)] {
        data.insert(names[0].to_owned(), authority.certificate);
        data.insert(names[1].to_owned(), authority.key);
    }
    Ok((data, turned.changed))
}

/// What gateways trust: both certificates of the Secret, in PEM.
pub fn bundle(there: &BTreeMap<String, ByteString>) -> String {
    let pem = |names: [&str; 2]| there.get(names[0]).map(|pem| String::from_utf8_lossy(&pem.0).into_owned());
    [CURRENT, NEXT].into_iter().filter_map(pem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn day(days: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + days * 24 * 3600).unwrap()
    }

    /// Whether a gateway that trusts the bundle takes the certificate.
    fn trusts(bundle: &str, certificate: &CertifiedKey, now: Timestamp) -> bool {
        let roots = CertificateDer::pem_slice_iter(bundle.as_bytes()).map(Result::unwrap);
        roots.into_iter().any(|root| verify(root, certificate.end_entity_cert().unwrap(), "operator.sys", now).is_ok())
    }

    #[test]
    fn whoever_has_the_bundle_of_before_or_after_a_rotation_trusts_what_is_served() {
        let period = 10 * DAY;
        let names = ["operator.sys".to_owned()];
        let (mut secret, changed) = contents(&BTreeMap::new(), false, day(0), period).unwrap();
        assert!(changed);
        let (mut bundles, mut served) = (Vec::new(), Vec::new());
        for turn in 0..4 {
            let now = day(turn * 10);
            assert_eq!(contents(&secret, false, now, period).unwrap(), (secret.clone(), false));
            bundles.push(bundle(&secret));
            served.push(current(&secret, now).unwrap().serving(&names, now, period).unwrap());
            secret = contents(&secret, true, now, period).unwrap().0;
        }
        for turn in 1..4 {
            let now = day(10 * i64::try_from(turn).unwrap());
            assert!(trusts(&bundles[turn - 1], &served[turn], now), "a bundle that is a period old");
            assert!(trusts(&bundles[turn], &served[turn], now));
            assert!(!trusts(&bundles[turn], &served[turn - 1], now), "what is over is over");
        }
    }

    #[test]
    fn what_is_broken_is_made_anew() {
        let (secret, _) = contents(&BTreeMap::new(), false, day(0), DAY).unwrap();
        let mut mixed = secret.clone();
        mixed.insert("ca.key".to_owned(), secret["next.key"].clone());
        assert!(current(&mixed, day(0)).is_none(), "a key that is another's");
        let (mended, changed) = contents(&mixed, false, day(0), DAY).unwrap();
        assert!(changed);
        assert_eq!(mended["ca.crt"], secret["next.crt"], "what gateways know comes first");
        let (cut, changed) =
            contents(&BTreeMap::from([("ca.crt".to_owned(), secret["ca.crt"].clone())]), false, day(0), DAY).unwrap();
        assert!(changed && current(&cut, day(0)).is_some());
    }
}
