use std::fs;

use super::*;

const EXPOSURE: &str = "apiVersion: bannou.dev/v1alpha1
kind: ServiceExposure
metadata: {name: chat}
spec:
  serviceName: chat
  backend: {dapr: {appId: chat}}
  endpoints:
  - name: join
    path: /join
    tiers: [player]
";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// The mistakes, with the folder's own path cut off.
fn mistakes(files: &[(&str, &str)]) -> Vec<String> {
    let dir = folder(files);
    let Err(found) = load(dir.path()) else { panic!("it was taken") };
    let prefix = format!("{}/", dir.path().display());
    found.iter().map(|m| m.to_string().replace(&prefix, "")).collect()
}

/// The same exposure with a piece replaced.
fn edited(from: &str, to: &str) -> String {
    assert!(EXPOSURE.contains(from), "{from:?} is in the example");
    EXPOSURE.replace(from, to)
}

#[test]
fn the_quickstart_is_read_and_compiles_without_a_complaint() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart"));
    let folder = load(path).map_err(|m| m.iter().map(Mistake::to_string).collect::<Vec<_>>()).expect("it is read");
    let fleet = folder.fleet(None).unwrap();
    let compiled = bannou_operator::catalog::compile(&folder.world, &fleet);
    for (object, status) in &compiled.conditions {
        assert!(!status.needs_attention(), "{object}: {status:?}");
    }
    let names: Vec<String> = compiled.catalog.unwrap().services.into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["account", "auth", "chat", "echo", "game"]);
    let files = folder.key_files(&fleet);
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].1, None, "the demo's key is made at each start");
}

#[test]
fn what_a_folder_holds() {
    let dir = folder(&[
        ("a.yaml", &format!("---\n---\n{EXPOSURE}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: x}}\n")),
        ("deep/er/b.yml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: game, labels: {tenant: a}}"),
        (
            "deep/secret.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: k}\nstringData: {a: plain}\ndata: {b: aGk=}",
        ),
        (
            "list.yaml",
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: bannou.dev/v1alpha1\n  kind: Fleet\n  metadata: {name: f, \
             namespace: sys}\n  spec: {}\n",
        ),
        (".hidden.yaml", "nonsense: ["),
        (".git/x.yaml", "nonsense: ["),
        ("readme.md", "nonsense: ["),
    ]);
    let read = load(dir.path()).map_err(|m| m.iter().map(Mistake::to_string).collect::<Vec<_>>()).expect("it is read");
    assert!(read.world.exposures.contains_key(&Key::new("default", "chat")), "without a namespace it is in default");
    assert_eq!(read.world.namespaces["game"]["tenant"], "a");
    assert_eq!(read.world.namespaces["default"]["kubernetes.io/metadata.name"], "default");
    assert_eq!(read.world.default_fleet_namespace.as_deref(), Some("sys"));
    let secret = &read.secrets[&Key::new("default", "k")];
    assert_eq!((secret["a"].as_slice(), secret["b"].as_slice()), (&b"plain"[..], &b"hi"[..]));
    assert_eq!(read.notes.len(), 1);
    assert!(read.notes[0].contains("apps/v1 Deployment"), "{:?}", read.notes);
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let cases = [
        (
            edited("tiers: [player]", "tiers: player"),
            "chat.yaml:10:12: spec.endpoints[0].tiers: must be a list, not \"player\"; write [player]",
        ),
        (edited("tiers:", "tier:"), "chat.yaml:10:5: spec.endpoints[0].tier: unknown field; did you mean \"tiers\"?"),
        (edited("appId", "appID"), "chat.yaml:6:20: spec.backend.dapr.appID: unknown field; did you mean \"appId\"?"),
        (edited("    path: /join\n", ""), "chat.yaml:8:5: spec.endpoints[0].path: is missing"),
        (
            edited("path: /join", "path: /join\n    timeout: 3"),
            "chat.yaml:10:14: spec.endpoints[0].timeout: must be a text, not the number 3; write \"3\"",
        ),
        (
            edited("path: /join", "path: /join\n    httpMethod: post"),
            "chat.yaml:10:17: spec.endpoints[0].httpMethod: \"post\" is not among GET, POST, PUT, PATCH, DELETE; did you mean \
             \"POST\"?",
        ),
        (
            edited("path: /join", "path: /join\n    path: /again"),
            "chat.yaml:10:5: spec.endpoints[0].path: is there twice, first in line 9; remove one",
        ),
        (
            edited("spec:", "spec:\n  defaults: {maxRequestBytes: -1}"),
            "chat.yaml:5:31: spec.defaults.maxRequestBytes: must be 1 or more, not -1",
        ),
        (
            edited("spec:", "spec:\n  defaults: {maxRequestBytes: 5000000000}"),
            "chat.yaml:5:31: spec.defaults.maxRequestBytes: must be 16777216 or less, not 5000000000",
        ),
        (
            edited("kind: ServiceExposure", "kind: ServiceExposur"),
            "chat.yaml:2:7: kind: \"ServiceExposur\" is not a kind of bannou.dev/v1alpha1: Fleet, AccessTier, \
             ServiceExposure; did you mean \"ServiceExposure\"?",
        ),
        (
            edited("bannou.dev/v1alpha1", "bannou.dev/v1"),
            "chat.yaml:1:13: apiVersion: \"bannou.dev/v1\" is not a version that this program knows; write \
             bannou.dev/v1alpha1",
        ),
        (
            edited("bannou.dev/v1alpha1", "v1"),
            "chat.yaml:1:13: apiVersion: \"v1\" has no ServiceExposure; write bannou.dev/v1alpha1",
        ),
        (edited("kind: ServiceExposure\n", ""), "chat.yaml:1:1: kind: is missing"),
        (edited("metadata: {name: chat}", "metadata: {}"), "chat.yaml:3:11: metadata.name: is missing"),
        (edited("spec:", "spec: []\nstatus:"), "chat.yaml:4:7: spec: must be a map, not a list"),
        ("- a".to_owned(), "chat.yaml:1:1: must be a map with apiVersion, kind and metadata"),
    ];
    for (text, expected) in cases {
        assert_eq!(mistakes(&[("chat.yaml", &text)]), [expected], "{text}");
    }
}

#[test]
fn yaml_itself_can_be_wrong() {
    let found = mistakes(&[("a.yaml", "a: [1\nb: 2\n")]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("a.yaml:"), "{found:?}");
    assert!(!found[0].contains('\n'), "one line: {found:?}");
    assert_eq!(mistakes(&[("b.yaml", &"[".repeat(5_000))]).len(), 1, "depth is bounded");
}

#[test]
fn all_mistakes_of_all_files_are_told() {
    let second = edited("tiers:", "tier:").replace("name: join", "nam: join");
    let found = mistakes(&[("a.yaml", &edited("appId", "aped")), ("b/c.yaml", &second)]);
    let fields: Vec<&str> = found.iter().filter_map(|m| m.split(": ").nth(1)).collect();
    assert_eq!(fields, ["spec.backend.dapr.aped", "spec.endpoints[0].nam", "spec.endpoints[0].tier"]);
}

#[test]
fn the_same_object_twice_is_a_mistake() {
    let found = mistakes(&[("a.yaml", EXPOSURE), ("b.yaml", EXPOSURE)]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("b.yaml:1:1: metadata.name: ServiceExposure default/chat is there twice"),
        "{found:?}"
    );
    assert!(found[0].ends_with("a.yaml:1; remove one"), "{found:?}");
}

#[test]
fn a_secret_that_is_no_base64_is_not_quoted() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: k}\ndata:\n  a: hunter2!\n";
    assert_eq!(mistakes(&[("s.yaml", text)]), ["s.yaml:5:6: data.a: is not base64; plain text goes into `stringData`"]);
    let number = "apiVersion: v1\nkind: Secret\nmetadata: {name: k}\nstringData:\n  a: 123456\n";
    let found = mistakes(&[("s.yaml", number)]);
    assert_eq!(found.len(), 1);
    assert!(!found[0].contains("123456"), "{found:?}");
    let flat = "apiVersion: v1\nkind: Secret\nmetadata: {name: k}\ndata: hunter2\n";
    assert_eq!(mistakes(&[("s.yaml", flat)]), ["s.yaml:4:7: data: must be a map"]);
}

#[test]
fn a_folder_that_is_none() {
    assert_eq!(load(Path::new("/nonexistent")).err().unwrap().len(), 1);
    let dir = folder(&[("a.yaml", EXPOSURE)]);
    let Err(found) = load(&dir.path().join("a.yaml")) else { panic!("a file is no folder") };
    assert!(found[0].to_string().ends_with("is a file; name the folder that it is in"), "{found:?}");
    let empty = load(dir.path()).ok().unwrap();
    assert!(empty.fleet(None).unwrap_err().contains("no Fleet in this folder"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// A file is edited while it is read, so anything can stand in it.
    #[test]
    fn half_an_edit_never_panics(
        cut in 0..EXPOSURE.len(), length in 0..40usize, put in "[ a-z0-9:{}\\[\\],\"'&*!|>#%@-]{0,8}|\n *|\\PC{0,4}",
    ) {
        let mut text = EXPOSURE.to_owned();
        text.replace_range(cut..(cut + length).min(EXPOSURE.len()), &put);
        let mut reader = Reader::default();
        reader.file(Path::new("a.yaml"), &text);
        if let Err(mistakes) = reader.finish() {
            for mistake in mistakes {
                let line = mistake.to_string();
                proptest::prop_assert!(line.starts_with("a.yaml:"), "{}", line);
                proptest::prop_assert!(!line.contains('\n'), "one line: {}", line);
            }
        }
    }
}
