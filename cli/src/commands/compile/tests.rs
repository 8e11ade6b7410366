use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use bannou_gateway::app::Options;
use bannou_gateway::auth::Secrets;

use super::*;

const FLEET: &str = "apiVersion: bannou.dev/v1alpha1
kind: Fleet
metadata: {name: default, namespace: sys}
spec:
  issuers:
  - {name: i, issuer: i, audiences: [a], algorithms: [HS256], keys: {secretRef: {name: k, key: secret}}}
";
const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: {name: k, namespace: sys}
stringData: {secret: abc}
";

fn folder(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (i, text) in files.iter().enumerate() {
        fs::write(dir.path().join(format!("{i}.yaml")), text).unwrap();
    }
    dir
}

#[test]
fn a_catalog_and_its_keys_are_written_together() {
    let dir = folder(&[FLEET, SECRET]);
    let out = tempfile::tempdir().unwrap();
    let catalog = out.path().join("catalog.json");
    assert_eq!(write(dir.path(), Some(&catalog), None, None), Ok(true));
    let read: Catalog = serde_json::from_slice(&fs::read(&catalog).unwrap()).unwrap();
    assert_eq!(read.fleet.issuers.len(), 1);
    let key = out.path().join("k/secret");
    assert_eq!(fs::read(&key).unwrap(), b"abc");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600, "for this user alone");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 2, "no half-written file stays");
    assert!(!fs::read_to_string(&catalog).unwrap().contains("abc"));

    let before = fs::read(&catalog).unwrap();
    assert_eq!(write(dir.path(), Some(&catalog), Some("sys/default"), None), Ok(true), "and again over the old one");
    assert_eq!(fs::read(&catalog).unwrap(), before, "the same in, the same out");
}

#[test]
fn a_key_that_is_nowhere_is_an_error_and_nothing_is_written() {
    let dir = folder(&[FLEET]);
    let out = tempfile::tempdir().unwrap();
    let catalog = out.path().join("catalog.json");
    let refused = write(dir.path(), Some(&catalog), None, None).unwrap_err();
    assert!(refused[0].contains("Secret sys/k (key \"secret\") is not in this folder"), "{refused:?}");
    assert!(write(dir.path(), None, None, None).unwrap_err()[0].contains("must become a file"));
    assert!(!catalog.exists());

    let keys = tempfile::tempdir().unwrap();
    fs::create_dir(keys.path().join("k")).unwrap();
    fs::write(keys.path().join("k/secret"), "there already").unwrap();
    assert_eq!(write(dir.path(), Some(&catalog), None, Some(keys.path())), Ok(true));
    assert_eq!(fs::read(keys.path().join("k/secret")).unwrap(), b"there already");
}

#[test]
fn what_needs_attention_is_written_and_told_apart() {
    let stray = "apiVersion: bannou.dev/v1alpha1
kind: ServiceExposure
metadata: {name: x}
spec: {serviceName: x, backend: {dapr: {appId: x}}, endpoints: [{name: a, path: /a, tiers: [gone]}]}
";
    let dir = folder(&[FLEET, SECRET, stray]);
    let out = tempfile::tempdir().unwrap();
    let catalog = out.path().join("catalog.json");
    assert_eq!(write(dir.path(), Some(&catalog), None, None), Ok(false));
    assert!(catalog.exists());
}

#[test]
fn a_fleet_that_is_not_accepted_gives_nothing() {
    let dir = folder(&[&FLEET.replace("[a]", "[]"), SECRET]);
    let out = tempfile::tempdir().unwrap();
    let catalog = out.path().join("catalog.json");
    let refused = write(dir.path(), Some(&catalog), None, None).unwrap_err();
    assert!(refused[0].starts_with("Fleet sys/default: Invalid: spec.issuers[0].audiences"), "{refused:?}");
    assert!(!catalog.exists());

    let two = folder(&[FLEET, &FLEET.replace("namespace: sys", "namespace: other")]);
    let refused = write(two.path(), Some(&catalog), None, None).unwrap_err();
    assert!(refused[0].contains("choose by --fleet one of other/default, sys/default"), "{refused:?}");
}

/// What the operator lets pass must be something that gateways take: they refuse a catalog whole.
#[tokio::test]
async fn a_gateway_takes_every_golden_catalog() {
    let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../operator/tests/golden"));
    let mut taken = 0;
    for case in fs::read_dir(golden).unwrap() {
        // Nobody is to be asked for keys from a test.
        let text = fs::read_to_string(case.unwrap().path().join("catalog.json")).unwrap();
        let text = text.replace("https://id.example.com/jwks", "http://127.0.0.1:1/jwks");
        let catalogs: BTreeMap<String, Option<Catalog>> = serde_json::from_str(&text).unwrap();
        for (fleet, catalog) in catalogs.into_iter().filter_map(|(fleet, catalog)| Some((fleet, catalog?))) {
            let key = |path: &str| (path.to_owned(), vec![7; 64]);
            let options = Options {
                secrets: Secrets::Memory([key("partner-key/secret"), key("demo-signing-key/secret")].into()),
                ..Options::default()
            };
            let (_sender, receiver) = tokio::sync::watch::channel(Arc::new(catalog));
            bannou_gateway::app::check(options, receiver).unwrap_or_else(|e| panic!("{fleet}: {e}\n{text}"));
            taken += 1;
        }
    }
    assert!(taken > 10, "the catalogs are found");
}
