//! A certificate from files, such as cert-manager's in a mounted Secret.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::{Serving, certified};

/// Between two looks. The kubelet itself takes up to a minute.
const EVERY: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct Given {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What is in the two files.
type Contents = (Vec<u8>, Vec<u8>);

impl Given {
    /// # Errors
    /// A sentence with the file that cannot be used.
    pub fn read(&self) -> Result<CertifiedKey, String> {
        self.parse(&self.contents()?)
    }

    fn contents(&self) -> Result<Contents, String> {
        let read = |path: &PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        Ok((read(&self.certificate)?, read(&self.key)?))
    }

    fn parse(&self, (chain, key): &Contents) -> Result<CertifiedKey, String> {
        let wrong = |what: &str, path: &PathBuf, error: String| format!("{}: {what}: {error}", path.display());
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| wrong("no certificate can be read", &self.certificate, e.to_string()))?;
        if chain.is_empty() {
            return Err(wrong("no certificate can be read", &self.certificate, "there is none in it".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|e| wrong("no private key can be read", &self.key, e.to_string()))?;
        certified(chain, key).map_err(|e| wrong("cannot be used", &self.certificate, e.to_string()))
    }

    /// Reads them again whenever they change; what cannot be used is told, and the last good one goes on.
    pub async fn follow(self, serving: Arc<Serving>) {
        let mut seen = self.contents().ok();
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let contents = match self.contents() {
                Ok(contents) if seen.as_ref() != Some(&contents) => contents,
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(error, "the certificate cannot be read; the last good one goes on");
                    continue;
                }
            };
            match self.parse(&contents) {
                Ok(certificate) => {
                    tracing::info!(file = %self.certificate.display(), "a new certificate is served");
                    serving.exchange(certificate);
                }
                Err(error) => tracing::warn!(error, "the certificate has changed; the last good one goes on"),
            }
            seen = Some(contents);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::generate_simple_self_signed;

    use super::*;

    fn write(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let made = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let files = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        std::fs::write(&files.0, made.cert.pem()).unwrap();
        std::fs::write(&files.1, made.signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write(folder.path(), "one");
        let (_, other) = write(folder.path(), "two");
        let read = |certificate: &Path, key: &Path| {
            Given { certificate: certificate.to_owned(), key: key.to_owned() }.read().map(drop)
        };
        assert_eq!(read(&certificate, &key), Ok(()));
        for (certificate, key, said) in [
            (certificate.as_path(), other.as_path(), "one.crt: cannot be used"),
            (key.as_path(), key.as_path(), "one.key: no certificate can be read"),
            (certificate.as_path(), certificate.as_path(), "one.crt: no private key can be read"),
            (certificate.as_path(), Path::new("/nowhere/tls.key"), "/nowhere/tls.key: No such file"),
        ] {
            let error = read(certificate, key).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_one_is_served_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write(folder.path(), "one");
        let given = Given { certificate: certificate.clone(), key };
        let serving = Arc::new(Serving::default());
        serving.exchange(given.read().unwrap());
        let served = || serving.current.read().clone().unwrap();
        let first = served();
        let following = tokio::spawn(given.follow(serving.clone()));
        tokio::time::sleep(EVERY).await;
        std::fs::write(&certificate, "not a certificate").unwrap();
        tokio::time::sleep(2 * EVERY).await;
        assert!(Arc::ptr_eq(&first, &served()));
        write(folder.path(), "one");
        tokio::time::sleep(2 * EVERY).await;
        assert!(!Arc::ptr_eq(&first, &served()));
        following.abort();
    }
}
