//! The certificate that clients see: what is in its files now, for each handshake that follows. Connections that are open keep theirs.

use std::future::ready;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::mounted::{self, stamp};

/// Two PEM files: a chain of certificates, the client port's own first, and its key.
#[derive(Debug)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
    config: Arc<rustls::ServerConfig>,
}

#[derive(Debug, thiserror::Error)]
#[error("TLS with {chain}: {problem}", chain = chain.display())]
pub struct CertificateError {
    pub chain: PathBuf,
    pub problem: String,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Certificate {
    /// # Errors
    /// One of the files cannot be read, or they do not belong together.
    pub fn read(chain: PathBuf, key: PathBuf) -> Result<Certificate, CertificateError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certified = certified(&chain, &key, &provider);
        let problem = |problem: String| CertificateError { chain: chain.clone(), problem };
        let current = Arc::new(Current(ArcSwap::from_pointee(certified.map_err(problem)?)));
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| problem(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        Ok(Certificate { config: Arc::new(config), current, chain, key })
    }

    pub fn server_config(&self) -> Arc<rustls::ServerConfig> {
        self.config.clone()
    }

    /// Reads the files again whenever they change; what cannot be read leaves all as it was. For ever.
    pub async fn follow(&self) {
        let look = || [stamp(&self.chain), stamp(&self.key)];
        let read = || ready(self.read_again());
        mounted::follow(look, read, "the certificate cannot be read again, the one that was read last is kept").await;
    }

    fn read_again(&self) -> Result<(), String> {
        let new = certified(&self.chain, &self.key, self.config.crypto_provider())?;
        if new.cert != self.current.0.load().cert {
            self.current.0.store(Arc::new(new));
            tracing::info!(chain = %self.chain.display(), "clients get a new certificate from now on");
        }
        Ok(())
    }
}

fn certified(chain: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let chain = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| format!("the certificates cannot be read: {e}"))?;
    if chain.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    let pem =
        PrivateKeyDer::from_pem_file(key).map_err(|e| format!("the key {} cannot be read: {e}", key.display()))?;
    CertifiedKey::from_der(chain, pem, provider).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Writes a certificate of its own and its key; returns the former's bytes.
    fn issue(folder: &Path, name: &str) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec!["gateway.example".to_owned()]).unwrap();
        std::fs::write(folder.join(format!("{name}.crt")), made.cert.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    }

    #[tokio::test]
    async fn a_new_pair_is_taken_and_half_of_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let [one, _, three] = ["one", "two", "three"].map(|name| issue(folder.path(), name));
        let swap = |from: &str, to: &str| {
            std::fs::copy(path(from), path("part")).unwrap();
            std::fs::rename(path("part"), path(to)).unwrap();
        };
        swap("one.crt", "tls.crt");
        swap("one.key", "tls.key");
        let certificate = Arc::new(Certificate::read(path("tls.crt"), path("tls.key")).unwrap());
        let shown = |certificate: &Certificate| certificate.current.0.load().cert[0].clone();
        assert_eq!(shown(&certificate), one);
        let following = certificate.clone();
        tokio::spawn(async move { following.follow().await });
        // Its key never comes.
        swap("two.crt", "tls.crt");
        let error = Certificate::read(path("tls.crt"), path("tls.key")).unwrap_err().to_string();
        assert!(error.contains("tls.crt"), "{error}");
        swap("three.crt", "tls.crt");
        swap("three.key", "tls.key");
        let taken = async {
            while shown(&certificate) != three {
                assert_eq!(shown(&certificate), one, "nothing in between");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), taken).await.unwrap();
    }
}
