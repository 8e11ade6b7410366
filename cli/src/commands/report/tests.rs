use std::path::Path;

use bannou_operator::catalog::{compile, unattached};

use super::*;
use crate::folder;

/// One exposure that is fine, one with a tier that is not there, one that is broken, one without a fleet.
fn conditions() -> BTreeMap<ObjectRef, ObjectStatus> {
    let dir = tempfile::tempdir().unwrap();
    let exposure = |name: &str, path: &str, tier: &str, fleet: &str| {
        format!(
            "---\napiVersion: bannou.dev/v1alpha1\nkind: ServiceExposure\nmetadata: {{name: {name}, namespace: sys}}\nspec:\n  \
             serviceName: {name}\n  backend: {{dapr: {{appId: {name}}}}}\n  fleetRef: {{namespace: {fleet}}}\n  endpoints: \
             [{{name: a, path: {path}, tiers: [{tier}]}}]\n"
        )
    };
    let text = format!(
        "apiVersion: bannou.dev/v1alpha1\nkind: Fleet\nmetadata: {{name: f, namespace: sys}}\nspec: {{}}\n---\napiVersion: \
         bannou.dev/v1alpha1\nkind: AccessTier\nmetadata: {{name: all, namespace: sys}}\nspec: {{}}\n{}{}{}{}",
        exposure("good", "/a", "all", "sys"),
        exposure("half", "/a", "gone", "sys"),
        exposure("broken", "a", "all", "sys"),
        exposure("lost", "/a", "all", "elsewhere"),
    );
    std::fs::write(dir.path().join("a.yaml"), text).unwrap();
    let folder = folder::load(Path::new(dir.path())).ok().unwrap();
    let mut conditions = unattached(&folder.world);
    conditions.extend(compile(&folder.world, &folder.fleet(None).unwrap()).conditions);
    conditions
}

#[test]
fn people_see_one_line_for_each_object_and_then_what_to_do() {
    let text = table(&conditions());
    let (rows, below) = text.split_once("\n\n").unwrap();
    let rows: Vec<Vec<&str>> = rows.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["KIND", "NAME", "ACCEPTED", "RESOLVED", "ENDPOINTS"]);
    assert!(rows.contains(&vec!["Fleet", "sys/f", "yes", "yes", "-"]), "{text}");
    assert!(rows.contains(&vec!["AccessTier", "sys/all", "yes", "yes", "1"]), "{text}");
    assert!(rows.contains(&vec!["ServiceExposure", "sys/good", "yes", "yes", "1"]), "{text}");
    assert!(rows.contains(&vec!["ServiceExposure", "sys/half", "yes", "TierNotFound", "0"]), "{text}");
    assert!(rows.contains(&vec!["ServiceExposure", "sys/broken", "Invalid", "yes", "0"]), "{text}");
    assert!(rows.contains(&vec!["ServiceExposure", "sys/lost", "yes", "FleetNotFound", "0"]), "{text}");
    assert_eq!(below.lines().count(), 3, "nothing about what follows from something else: {below}");
    assert!(
        below.contains("ServiceExposure sys/broken: Invalid: spec.endpoints[0].path: \"a\" must start with"),
        "{below}"
    );
}

#[test]
fn scripts_see_every_condition() {
    let list = json(&conditions());
    let broken = list.as_array().unwrap().iter().find(|o| o["name"] == "broken").unwrap();
    assert_eq!(broken["kind"], "ServiceExposure");
    assert_eq!(broken["status"]["endpoints"], 0);
    let reasons: Vec<_> = broken["status"]["conditions"].as_array().unwrap().iter().map(|c| &c["reason"]).collect();
    assert_eq!(reasons, ["Invalid", "ResolvedRefs", "Pending"]);
}
