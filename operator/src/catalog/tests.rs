use std::collections::BTreeMap;

use bannou_crds::kinds::{AccessTier, Fleet, ServiceExposure};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::index::Object;

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a resource")
}

fn named(kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "bannou.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    })
}

fn tier(name: &str) -> AccessTier {
    let spec = json!({
        "admission": {"principal": "Anonymous"}, "allowedExposures": {"namespaces": {"from": "All"}},
    });
    read(named("AccessTier", "sys", name, spec))
}

fn exposure(namespace: &str, service: &str, endpoints: &[&str]) -> ServiceExposure {
    let endpoint = |name: &&str| json!({"name": name, "path": "/x", "tiers": ["anonymous"]});
    let endpoints: Vec<Value> = endpoints.iter().map(endpoint).collect();
    let backend = json!({"dapr": {"appId": service}});
    let spec = json!({
        "serviceName": service, "backend": backend, "fleetRef": {"namespace": "sys"}, "endpoints": endpoints,
    });
    read(named("ServiceExposure", namespace, service, spec))
}

fn world(exposures: Vec<ServiceExposure>) -> World {
    let mut world = World::default();
    let fleet: Fleet = read(named("Fleet", "sys", "default", json!({})));
    world.apply(Object::Fleet(fleet));
    world.apply(Object::AccessTier(tier("anonymous")));
    for exposure in exposures {
        world.apply(Object::ServiceExposure(Box::new(exposure)));
    }
    world
}

fn fleet() -> Key {
    Key::new("sys", "default")
}

fn told<'a>(compiled: &'a Compiled, namespace: &str, name: &str, kind: ConditionType) -> &'a Condition {
    let object = ObjectRef { kind: ObjectKind::ServiceExposure, key: Key::new(namespace, name) };
    compiled.conditions[&object].condition(kind).expect("every condition is there")
}

#[test]
fn names_with_one_hash_are_refused_and_the_older_stays() {
    let world = world(vec![exposure("a", "one", &["call"]), exposure("b", "two", &["call", "other"])]);
    // As if "one.call" and "two.call" had the same sixty bits.
    let collide = |kind, name: &[u8]| match name {
        b"two.call" => Target::of(kind, b"one.call"),
        _ => Target::of(kind, name),
    };
    let compiled = compile_with(&world, &fleet(), &collide);
    let loser = told(&compiled, "b", "two", ConditionType::Accepted);
    assert_eq!((loser.status, loser.reason), (Status::False, Reason::NameConflict));
    assert!(loser.message.contains("\"two.call\" and \"one.call\" have the same hash"), "{}", loser.message);
    assert_eq!(told(&compiled, "a", "one", ConditionType::Accepted).status, Status::True);
    let services = compiled.catalog.expect("the rest goes on").services;
    assert_eq!(services.len(), 1, "the exposure is withdrawn whole");
    assert_eq!(services[0].name, "one");
}

#[test]
fn a_fleet_has_512_tiers_at_most() {
    let mut world = world(vec![exposure("a", "one", &["call"])]);
    for i in 0..MAX_TIERS {
        world.apply(Object::AccessTier(tier(&format!("t{i:03}"))));
    }
    let compiled = compile(&world, &fleet());
    let catalog = compiled.catalog.expect("the rest goes on");
    assert_eq!(catalog.tiers.len(), MAX_TIERS);
    let last = ObjectRef { kind: ObjectKind::AccessTier, key: Key::new("sys", "t511") };
    let told = compiled.conditions[&last].condition(ConditionType::Accepted).expect("it is told");
    assert_eq!((told.status, told.reason), (Status::False, Reason::Invalid));
}

#[test]
fn one_broken_exposure_changes_nothing_else() {
    let good = vec![exposure("a", "one", &["call"]), exposure("b", "two", &["call"])];
    let before = compile(&world(good.clone()), &fleet()).catalog;
    let mut all = good;
    all.push(exposure("c", "three", &["not a name"]));
    let after = compile(&world(all), &fleet());
    assert_eq!(told(&after, "c", "three", ConditionType::Accepted).reason, Reason::Invalid);
    assert_eq!(after.catalog, before);
}

#[test]
fn the_world_says_what_changed() {
    let mut world = world(Vec::new());
    let mut one = exposure("a", "one", &["call"]);
    assert!(world.apply(Object::ServiceExposure(Box::new(one.clone()))));
    assert!(!world.apply(Object::ServiceExposure(Box::new(one.clone()))), "the same again");
    one.status = Some(read(json!({"endpointCount": 1})));
    assert!(!world.apply(Object::ServiceExposure(Box::new(one.clone()))), "a status is our own word");
    one.spec.endpoints[0].path = "/y".into();
    assert!(world.apply(Object::ServiceExposure(Box::new(one))));
    let object = ObjectRef { kind: ObjectKind::ServiceExposure, key: Key::new("a", "one") };
    assert!(world.delete(&object));
    assert!(!world.delete(&object));
}

#[test]
fn a_fleet_that_is_not_there_compiles_to_nothing() {
    let compiled = compile(&World::default(), &fleet());
    assert_eq!(compiled, Compiled { catalog: None, conditions: BTreeMap::new(), owners: BTreeMap::new() });
}

fn exposures(compiled: &Compiled) -> Vec<(&str, &str)> {
    let services = &compiled.catalog.as_ref().expect("a catalog").services;
    services.iter().map(|s| (s.namespace.as_str(), s.name.as_str())).collect()
}

fn created(mut exposure: ServiceExposure, at: &str) -> ServiceExposure {
    exposure.metadata.creation_timestamp = Some(read(json!(at)));
    exposure
}

/// An exposure made early, for another fleet, and pointed here later is older than who has the name.
#[test]
fn nobody_older_who_comes_later_takes_a_name() {
    let owner = created(exposure("b", "auth", &["call"]), "2026-02-01T00:00:00Z");
    let mut older = created(exposure("a", "auth", &["call"]), "2026-01-01T00:00:00Z");
    let mut world = world(vec![owner.clone()]);
    let compiled = compile(&world, &fleet());
    assert_eq!(compiled.owners, BTreeMap::from([("auth".to_owned(), Key::new("b", "auth"))]));
    world.settle("sys", &compiled.owners);
    world.apply(Object::ServiceExposure(Box::new(older.clone())));
    let compiled = compile(&world, &fleet());
    assert_eq!(exposures(&compiled), [("b", "auth")]);
    assert_eq!(told(&compiled, "a", "auth", ConditionType::Accepted).reason, Reason::NameConflict);

    // The owner broken, then one that cannot be read, is the owner still.
    let mut broken = owner.clone();
    broken.spec.endpoints[0].path = "x".into();
    world.apply(Object::ServiceExposure(Box::new(broken)));
    assert_eq!(exposures(&compile(&world, &fleet())), []);
    let mut value = serde_json::to_value(&owner).expect("JSON");
    value["spec"] = json!({"serviceName": 7, "fleetRef": 7});
    assert!(world.apply(crate::index::decode(ObjectKind::ServiceExposure, value).expect("an object")));
    let compiled = compile(&world, &fleet());
    assert_eq!(exposures(&compiled), []);
    assert_eq!(told(&compiled, "a", "auth", ConditionType::Accepted).reason, Reason::NameConflict);
    assert_eq!(told(&compiled, "b", "auth", ConditionType::Accepted).reason, Reason::Invalid);

    // Gone, also when another of that name comes: then it is the elder's.
    world.settle("sys", &compiled.owners);
    let mut again = created(owner, "2026-03-01T00:00:00Z");
    again.metadata.uid = Some("another".into());
    world.apply(Object::ServiceExposure(Box::new(again)));
    assert_eq!(exposures(&compile(&world, &fleet())), [("a", "auth")]);

    // A new holder of the lease knows owners by what their status says.
    older.status = Some(read(json!({"observedGeneration": 1, "conditions": [
        {"type": "Accepted", "status": "False", "reason": "NameConflict", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]})));
    let mut owner = created(exposure("b", "auth", &["call"]), "2026-02-01T00:00:00Z");
    owner.status = Some(read(json!({"observedGeneration": 1, "conditions": [
        {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]})));
    for first in [true, false] {
        let (a, b) = if first { (older.clone(), owner.clone()) } else { (owner.clone(), older.clone()) };
        assert_eq!(exposures(&compile(&self::world(vec![a, b]), &fleet())), [("b", "auth")]);
    }
}

/// What the operator itself writes must not make it compile again.
#[test]
fn a_write_of_a_status_changes_nothing() {
    let mut world = world(Vec::new());
    let mut one = exposure("a", "one", &["call"]);
    one.metadata.resource_version = Some("1".into());
    assert!(world.apply(Object::ServiceExposure(Box::new(one.clone()))));
    one.metadata.resource_version = Some("2".into());
    one.metadata.managed_fields = Some(vec![Default::default()]);
    one.status = Some(read(json!({"endpointCount": 1})));
    assert!(!world.apply(Object::ServiceExposure(Box::new(one))));
}

/// A large cluster: 2,000 exposures with five endpoints each, under 500 tiers. An edit of one changes that one alone.
#[test]
fn ten_thousand_endpoints() {
    let exposures =
        (0..2_000).map(|i| exposure(&format!("ns{}", i % 50), &format!("s{i:04}"), &["a", "b", "c", "d", "e"]));
    let mut world = world(exposures.collect());
    for i in 1..500 {
        world.apply(Object::AccessTier(tier(&format!("t{i:03}"))));
    }
    let before = compile(&world, &fleet());
    let catalog = before.catalog.as_ref().expect("a catalog");
    let targets: BTreeSet<Target> = catalog.services.iter().flat_map(|s| &s.endpoints).map(|e| e.target).collect();
    assert_eq!((catalog.services.len(), catalog.tiers.len(), targets.len()), (2_000, 500, 10_000));
    assert!(before.conditions.values().all(|status| !status.needs_attention()));

    let mut edited = exposure("ns7", "s0007", &["a", "b", "c", "d", "e"]);
    edited.spec.endpoints[0].path = "/edited".into();
    assert!(world.apply(Object::ServiceExposure(Box::new(edited))));
    let after = compile(&world, &fleet()).catalog.expect("a catalog");
    let changed: Vec<_> = after.services.iter().zip(&catalog.services).filter(|(a, b)| a != b).collect();
    assert_eq!((changed.len(), changed[0].0.name.as_str()), (1, "s0007"));
    assert_eq!(after.tiers, catalog.tiers);
}

/// The label is anybody's to write.
#[test]
fn what_only_says_that_it_was_made_from_annotations_is_admitted_by_nobody() {
    let mut world = World::of_cluster();
    world.apply(Object::Fleet(read(named("Fleet", "sys", "default", json!({})))));
    for (name, sources) in [("anonymous", json!(["Resource", "Annotation"])), ("annotated", json!(["Annotation"]))] {
        let spec = json!({
            "admission": {"principal": "Anonymous"},
            "allowedExposures": {"namespaces": {"from": "All"}, "sources": sources},
        });
        world.apply(Object::AccessTier(read(named("AccessTier", "sys", name, spec))));
    }
    let workload = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app", "namespace": "a", "uid": "1"},
        "spec": {"selector": {}, "template": {"metadata": {"annotations": {"bannou.dev/expose": "true"}}}},
    });
    world.apply(crate::index::decode(ObjectKind::Deployment, workload).expect("a Deployment"));
    let count = |world: &World| compile(world, &fleet()).catalog.expect("a catalog").services.len();
    let mut forged = exposure("a", "forged", &["call"]);
    forged.metadata.name = Some("app.deployment".into());
    forged.metadata.labels = Some([("bannou.dev/source".to_owned(), "Annotation".to_owned())].into());
    let mut with_owner = |uid: &str| {
        let owner =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "app", "uid": uid, "controller": true});
        forged.metadata.owner_references = Some(vec![read(owner)]);
        world.apply(Object::ServiceExposure(Box::new(forged.clone())));
        count(&world)
    };
    assert_eq!((with_owner("9"), with_owner("1")), (0, 1));
    let compiled = compile(&world, &fleet());
    assert_eq!(told(&compiled, "a", "app.deployment", ConditionType::Accepted).status, Status::True);
    forged.metadata.owner_references = None;
    world.apply(Object::ServiceExposure(Box::new(forged)));
    let compiled = compile(&world, &fleet());
    let refused = told(&compiled, "a", "app.deployment", ConditionType::Accepted);
    assert_eq!((refused.status, refused.reason), (Status::False, Reason::NotAllowedByTier));
    assert!(refused.message.contains("labelled as made from annotations"), "{}", refused.message);
}
