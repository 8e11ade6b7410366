//! The keys that a Fleet refers to by `secretRef`: from the Secrets in the folder, else made up for this run, so that a
//! quickstart works without a secret in anybody's repository.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bannou_crds::Catalog;
use bannou_crds::catalog::{Issuer, Keys};
use jsonwebtoken::Algorithm;
use tempfile::TempDir;

use crate::demo::Signer;

/// Bytes by `<secret>/<key>`, as [`Keys::Files`] names them.
pub type Secrets = BTreeMap<String, Vec<u8>>;

/// The keys in force, as files that only this user can read, because that is how a gateway reads them.
pub struct Keyring {
    folder: TempDir,
    /// Made up in this run; kept, so that tokens survive an edit.
    made_up: Secrets,
    secrets: Secrets,
}

impl Keyring {
    pub fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("bannou-dev-").tempdir()?;
        Ok(Self { folder, made_up: Secrets::new(), secrets: Secrets::new() })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Takes the folder's Secrets over and adds what is missing. Gives a word about each key that was made up just now.
    pub fn adopt(&mut self, given: Secrets, catalog: &Catalog) -> io::Result<Vec<String>> {
        let mut secrets = self.made_up.clone();
        secrets.extend(given);
        let made_up = fill(&mut secrets, catalog);
        for path in catalog.fleet.issuers.iter().flat_map(files) {
            let Some(bytes) = secrets.get(path).filter(|bytes| self.secrets.get(path) != Some(bytes)) else { continue };
            let file = self.folder.path().join(path);
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(file, bytes)?;
        }
        self.made_up.extend(made_up.iter().map(|path| (path.clone(), secrets[path].clone())));
        self.secrets = secrets;
        Ok(made_up.iter().map(|path| made_up_word(path)).collect())
    }
}

fn made_up_word(path: &str) -> String {
    let (name, key) = path.split_once('/').unwrap_or((path, ""));
    format!("Secret {name} (key {key}) is not in the folder: a random one is used until this ends")
}

/// Gives every referenced key that is missing random bytes, and returns the names of those.
fn fill(secrets: &mut Secrets, catalog: &Catalog) -> Vec<String> {
    let mut made_up = Vec::new();
    for path in catalog.fleet.issuers.iter().flat_map(files) {
        if !secrets.contains_key(path) {
            let random: Vec<u8> =
                std::iter::repeat_with(|| uuid::Uuid::new_v4().into_bytes()).take(4).flatten().collect();
            secrets.insert(path.to_owned(), random);
            made_up.push(path.to_owned());
        }
    }
    made_up
}

/// How the demo's login service signs for the first issuer that it can sign for: one with an HMAC algorithm and raw bytes
/// as its secret.
pub fn signer(catalog: &Catalog, secrets: &Secrets) -> Option<Signer> {
    catalog.fleet.issuers.iter().find_map(|issuer| {
        let algorithm = issuer.algorithms.iter().find_map(|a| match a.as_str() {
            "HS256" => Some(Algorithm::HS256),
            "HS384" => Some(Algorithm::HS384),
            "HS512" => Some(Algorithm::HS512),
            _ => None,
        })?;
        let Keys::Files(keys) = &issuer.keys else { return None };
        let (key, secret) = keys.iter().find_map(|k| Some((k, secrets.get(&k.path)?)))?;
        Some(Signer {
            issuer: issuer.issuer.clone(),
            audience: issuer.audiences.first().cloned(),
            kid: key.kid.clone(),
            algorithm,
            secret: secret.clone(),
        })
    })
}

fn files(issuer: &Issuer) -> impl Iterator<Item = &str> {
    let keys = match &issuer.keys {
        Keys::Files(keys) => keys.as_slice(),
        Keys::JwksUri(_) | Keys::Inline(_) => &[],
    };
    keys.iter().map(|k| k.path.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn catalog(issuers: serde_json::Value) -> Catalog {
        let fleet = json!({
            "namespace": "n", "name": "f", "issuers": issuers, "origins": [], "trusted_proxies": [],
            "resume_window_ms": 1, "max_session_age_ms": 1, "max_config_age_ms": 1, "max_token_life_ms": 1,
        });
        serde_json::from_value(json!({"format": 1, "fleet": fleet, "tiers": [], "services": []})).unwrap()
    }

    fn issuer(algorithm: &str, keys: serde_json::Value) -> serde_json::Value {
        json!({"name": "i", "issuer": "https://i", "audiences": ["a", "b"], "algorithms": [algorithm], "keys": keys})
    }

    #[test]
    fn only_what_is_missing_is_made_up_and_signs_at_once() {
        let catalog = catalog(json!([
            issuer("ES256", json!({"jwks_uri": "https://i/jwks"})),
            issuer("HS256", json!({"files": [{"path": "mine/key"}]})),
            issuer("HS256", json!({"files": [{"path": "demo/key"}]})),
        ]));
        let mut secrets = Secrets::from([("mine/key".to_owned(), b"given".to_vec())]);
        assert_eq!(fill(&mut secrets, &catalog), ["demo/key"]);
        assert!(fill(&mut secrets, &catalog).is_empty());
        assert_eq!(secrets["mine/key"], b"given");
        assert_eq!(secrets["demo/key"].len(), 64);
        let signer = signer(&catalog, &secrets).unwrap();
        assert_eq!((signer.secret.as_slice(), signer.audience.as_deref()), (b"given".as_slice(), Some("a")));

        let mut others = Secrets::new();
        fill(&mut others, &catalog);
        assert_ne!(others["demo/key"], secrets["demo/key"], "another run, another secret");
    }

    #[test]
    fn keys_are_files_that_follow_the_folder_and_what_was_made_up_stays() {
        let catalog = catalog(json!([issuer("HS256", json!({"files": [{"path": "demo/key"}]}))]));
        let mut ring = Keyring::new().unwrap();
        let file = ring.folder().join("demo/key");
        assert_eq!(ring.adopt(Secrets::new(), &catalog).unwrap().len(), 1);
        let made_up = std::fs::read(&file).unwrap();
        assert!(ring.adopt(Secrets::new(), &catalog).unwrap().is_empty());
        assert_eq!(std::fs::read(&file).unwrap(), made_up);
        ring.adopt(Secrets::from([("demo/key".to_owned(), b"given".to_vec())]), &catalog).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"given");
        ring.adopt(Secrets::new(), &catalog).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), made_up);
        drop(ring);
        assert!(!file.exists());
    }

    #[test]
    fn nobody_signs_for_public_keys() {
        let none = catalog(json!([issuer("RS256", json!({"files": [{"path": "p/k"}]}))]));
        assert!(signer(&none, &Secrets::from([("p/k".to_owned(), vec![1])])).is_none());
        assert!(signer(&catalog(json!([])), &Secrets::new()).is_none());
    }
}
