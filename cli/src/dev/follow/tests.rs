use std::time::Duration;

use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A copy of the quickstart, and what follows it.
fn follow() -> (tempfile::TempDir, Follower) {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let follower = Follower::start(copy.path(), None).unwrap();
    (copy, follower)
}

/// Replaces a text that must be there.
fn edit(folder: &tempfile::TempDir, file: &str, old: &str, new: &str) {
    let path = folder.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{file} has no {old:?}");
    // In one step, so that nobody reads half of it.
    let hidden = folder.path().join(".new");
    std::fs::write(&hidden, text.replace(old, new)).unwrap();
    std::fs::rename(hidden, path).unwrap();
}

async fn next(follower: &mut Follower) -> News {
    timeout(PATIENCE, follower.next()).await.expect("the edit was not seen")
}

#[tokio::test]
async fn an_edit_becomes_a_new_catalog() {
    let (folder, mut follower) = follow();
    let mut catalogs = follower.catalogs();
    assert!(!catalogs.has_changed().unwrap());
    edit(&folder, "echo.yaml", "- name: bytes", "- name: octets");
    let News::Applied { changes, .. } = next(&mut follower).await else { panic!("refused") };
    assert_eq!(changes, ["+ endpoint echo.octets", "- endpoint echo.bytes"]);
    assert!(catalogs.has_changed().unwrap());
    let catalog = catalogs.borrow_and_update().clone();
    let echo = catalog.services.iter().find(|s| s.name == "echo").unwrap();
    assert!(echo.endpoints.iter().any(|e| e.name == "octets"));
}

#[tokio::test]
async fn a_broken_file_is_named_with_line_and_field_and_the_last_good_catalog_goes_on() {
    let (folder, mut follower) = follow();
    let catalogs = follower.catalogs();
    let line = std::fs::read_to_string(folder.path().join("echo.yaml")).unwrap();
    let line = 1 + line.lines().position(|l| l.contains("timeout: 5s")).unwrap();
    edit(&folder, "echo.yaml", "timeout: 5s", "timeout: [5s]");
    let News::Refused { problems } = next(&mut follower).await else { panic!("applied") };
    let said = problems.join("\n");
    assert!(said.contains(&format!("echo.yaml:{line}")), "{said}");
    assert!(said.contains("timeout"), "{said}");
    assert!(!catalogs.has_changed().unwrap());

    edit(&folder, "echo.yaml", "timeout: [5s]", "timeout: 6s");
    let News::Applied { changes, .. } = next(&mut follower).await else { panic!("refused") };
    assert_eq!(changes, ["~ endpoint echo.slow"]);
}

#[tokio::test]
async fn the_demo_signs_as_the_fleet_says_now_with_the_key_of_this_run() {
    let (folder, mut follower) = follow();
    let signer = follower.signer();
    let before = signer().unwrap();
    assert_eq!(before.audience.as_deref(), Some("quickstart"));
    assert_eq!(follower.keyring().get("demo-signing-key/secret").unwrap(), before.secret);
    edit(&folder, "fleet.yaml", "audiences: [quickstart]", "audiences: [other]");
    next(&mut follower).await;
    let after = signer().unwrap();
    assert_eq!((after.audience.as_deref(), after.secret), (Some("other"), before.secret));
}

#[test]
fn a_folder_that_does_not_compile_does_not_start() {
    let empty = tempfile::tempdir().unwrap();
    let Err(FollowError(lines)) = Follower::start(empty.path(), None) else { panic!("started") };
    assert!(!lines.is_empty());
}
