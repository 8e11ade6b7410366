//! The keys that a Fleet refers to by `secretRef`: from the Secrets in the folder, else made up for this run, so that a
//! quickstart works without a secret in anybody's repository.

use std::collections::BTreeMap;
use std::sync::Arc;

use bannou_crds::Catalog;
use bannou_crds::catalog::{self, Issuer};
use jsonwebtoken::Algorithm;
use parking_lot::Mutex;

use crate::demo::Signer;

/// Bytes by `<secret>/<key>`, as [`catalog::Keys::Files`] names them.
pub type Secrets = BTreeMap<String, Vec<u8>>;

/// The keys in force, in memory alone. Clones share them.
#[derive(Clone, Default)]
pub struct Keyring(Arc<Mutex<Keys>>);

#[derive(Default)]
struct Keys {
    /// Made up in this run; kept, so that tokens survive an edit.
    made_up: Secrets,
    in_force: Secrets,
}

impl Keyring {
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.0.lock().in_force.get(path).cloned()
    }

    /// Takes the folder's Secrets over and adds what is missing. Gives a word about each key that was made up just now.
    pub fn adopt(&self, given: Secrets, catalog: &Catalog) -> Vec<String> {
        let mut keys = self.0.lock();
        let mut secrets = keys.made_up.clone();
        secrets.extend(given);
        let made_up = fill(&mut secrets, catalog);
        keys.made_up.extend(made_up.iter().map(|path| (path.clone(), secrets[path].clone())));
        keys.in_force = secrets;
        made_up.iter().map(|path| made_up_word(path)).collect()
    }

    /// How the demo's login service signs for the first issuer that it can sign for.
    pub fn signer(&self, catalog: &Catalog) -> Option<Signer> {
        signer(catalog, &self.0.lock().in_force)
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

/// The first issuer with an HMAC algorithm and raw bytes as its secret.
fn signer(catalog: &Catalog, secrets: &Secrets) -> Option<Signer> {
    catalog.fleet.issuers.iter().find_map(|issuer| {
        let algorithm = issuer.algorithms.iter().find_map(|a| match a.as_str() {
            "HS256" => Some(Algorithm::HS256),
            "HS384" => Some(Algorithm::HS384),
            "HS512" => Some(Algorithm::HS512),
            _ => None,
        })?;
        let catalog::Keys::Files(keys) = &issuer.keys else { return None };
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
        catalog::Keys::Files(keys) => keys.as_slice(),
        catalog::Keys::JwksUri(_) | catalog::Keys::Inline(_) => &[],
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
    fn keys_follow_the_folder_and_what_was_made_up_stays() {
        let catalog = catalog(json!([issuer("HS256", json!({"files": [{"path": "demo/key"}]}))]));
        let ring = Keyring::default();
        let seen_by_the_gateway = ring.clone();
        assert_eq!(ring.adopt(Secrets::new(), &catalog).len(), 1);
        let made_up = seen_by_the_gateway.get("demo/key").unwrap();
        assert_eq!(ring.signer(&catalog).unwrap().secret, made_up);
        assert!(ring.adopt(Secrets::new(), &catalog).is_empty());
        assert_eq!(seen_by_the_gateway.get("demo/key").unwrap(), made_up);
        ring.adopt(Secrets::from([("demo/key".to_owned(), b"given".to_vec())]), &catalog);
        assert_eq!(seen_by_the_gateway.get("demo/key").unwrap(), b"given");
        ring.adopt(Secrets::new(), &catalog);
        assert_eq!(seen_by_the_gateway.get("demo/key").unwrap(), made_up);
        assert!(seen_by_the_gateway.get("other/key").is_none());
    }

    #[test]
    fn nobody_signs_for_public_keys() {
        let none = catalog(json!([issuer("RS256", json!({"files": [{"path": "p/k"}]}))]));
        assert!(signer(&none, &Secrets::from([("p/k".to_owned(), vec![1])])).is_none());
        assert!(signer(&catalog(json!([])), &Secrets::new()).is_none());
    }
}
