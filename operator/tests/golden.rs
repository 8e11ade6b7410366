//! Custom resources in, catalog and conditions out. A case is a folder with `in.yaml`; `UPDATE_GOLDEN=1` writes what the
//! compiler says today beside it, for a person to read in the diff.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bannou_crds::Catalog;
use bannou_operator::catalog::{ObjectStatus, compile, unattached};
use bannou_operator::index::{Object, ObjectKind, World, decode};
use serde_json::Value;

/// Resources must be complete here: no defaults of kubectl or of a folder.
fn objects(text: &str) -> Vec<Object> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
    documents.into_iter().map(object).collect()
}

fn object(document: Value) -> Object {
    let kind = document["kind"].as_str().and_then(|kind| ObjectKind::ALL.into_iter().find(|k| k.as_str() == kind));
    let kind = kind.unwrap_or_else(|| panic!("{document} has no place in a case"));
    decode(kind, document.clone()).unwrap_or_else(|| panic!("{document}"))
}

fn world(objects: Vec<Object>) -> World {
    let mut world = World::default();
    for object in objects {
        world.apply(object);
    }
    world
}

/// Catalogs by fleet, and the conditions of all objects, by their names.
type Outcome = (BTreeMap<String, Option<Catalog>>, BTreeMap<String, ObjectStatus>);

fn outcome(world: &World) -> Outcome {
    let mut catalogs = BTreeMap::new();
    let mut conditions = unattached(world);
    for fleet in world.all_fleets() {
        let compiled = compile(world, &fleet);
        catalogs.insert(fleet.to_string(), compiled.catalog);
        conditions.extend(compiled.conditions);
    }
    (catalogs, conditions.into_iter().map(|(object, status)| (object.to_string(), status)).collect())
}

fn cases() -> Vec<(String, PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = root.join("tests/golden");
    let mut cases: Vec<_> = fs::read_dir(&golden)
        .expect("the cases")
        .map(|entry| entry.expect("a case").path())
        .filter(|path| path.is_dir())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            // The quickstart is read where people find it, so that the two cannot drift apart.
            let input = match name.as_str() {
                "quickstart" => root.join("../examples/quickstart"),
                _ => path.join("in.yaml"),
            };
            (name, path, input)
        })
        .collect();
    cases.sort();
    assert!(cases.len() > 15, "the cases are found");
    cases
}

fn read(input: &Path) -> String {
    if input.is_file() {
        return fs::read_to_string(input).expect("the case");
    }
    let mut files: Vec<PathBuf> = fs::read_dir(input).expect("a folder").map(|e| e.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files.iter().map(|path| fs::read_to_string(path).expect("a file")).collect::<Vec<_>>().join("---\n")
}

#[test]
fn every_case_comes_out_as_it_is_written() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for (name, folder, input) in cases() {
        let (catalog, conditions) = outcome(&world(objects(&read(&input))));
        let catalog = serde_json::to_string_pretty(&catalog).expect("JSON") + "\n";
        let conditions = serde_saphyr::to_string(&conditions).expect("YAML");
        for (file, text) in [("catalog.json", catalog), ("conditions.yaml", conditions)] {
            let path = folder.join(file);
            if update {
                fs::write(&path, text).expect("it is written");
            } else if fs::read_to_string(&path).unwrap_or_default() != text {
                wrong.push(format!("{name}/{file}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ; UPDATE_GOLDEN=1 cargo test -p bannou-operator writes them anew, git diff shows how",
        wrong.join(", ")
    );
}

/// What is not in the conditions of any case is not shown.
#[test]
fn every_reason_has_a_case() {
    let mut seen = String::new();
    for (_, folder, _) in cases() {
        seen.push_str(&fs::read_to_string(folder.join("conditions.yaml")).expect("conditions"));
    }
    for reason in [
        "Invalid",
        "NameConflict",
        "NameNotAllowed",
        "NotAllowedByTier",
        "EffectNotAllowed",
        "TierCycle",
        "FleetNotFound",
        "TierNotFound",
        "IssuerNotFound",
        "ServiceNotFound",
        "BackendNotFound",
        "BackendNotDaprEnabled",
        "NoReadyPods",
        "Pending",
    ] {
        assert!(seen.contains(&format!("reason: {reason}\n")), "{reason}");
    }
}

#[test]
fn the_order_in_which_objects_come_does_not_matter() {
    use proptest::prelude::*;

    for (name, _, input) in cases() {
        let all = objects(&read(&input));
        let expected = outcome(&world(all.clone()));
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: 16,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        runner
            .run(&Just(all).prop_shuffle(), |shuffled| {
                prop_assert_eq!(outcome(&world(shuffled)), expected.clone(), "{}", name);
                Ok(())
            })
            .unwrap();
    }
}
