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
fn a_missing_backend_costs_no_endpoint() {
    let mut world = world(vec![
        exposure("a", "ready", &["call"]),
        exposure("a", "idle", &["call"]),
        exposure("a", "bare", &["call"]),
        exposure("a", "gone", &["call"]),
    ]);
    let dapr = |app: &str| BackendKey::Dapr { namespace: "a".into(), app_id: app.into() };
    world.backends = Some(BTreeMap::from([
        (dapr("ready"), BackendState::Ready),
        (dapr("idle"), BackendState::NoReadyPods),
        (dapr("bare"), BackendState::NotDaprEnabled),
        (BackendKey::Dapr { namespace: "b".into(), app_id: "gone".into() }, BackendState::Ready),
    ]));
    let compiled = compile(&world, &fleet());
    for (name, reason) in [
        ("ready", Reason::ResolvedRefs),
        ("idle", Reason::NoReadyPods),
        ("bare", Reason::BackendNotDaprEnabled),
        ("gone", Reason::BackendNotFound),
    ] {
        assert_eq!(told(&compiled, "a", name, ConditionType::ResolvedRefs).reason, reason, "{name}");
        assert_eq!(told(&compiled, "a", name, ConditionType::Accepted).status, Status::True, "{name}");
    }
    assert_eq!(compiled.catalog.expect("a catalog").services.len(), 4);
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
    assert_eq!(compiled, Compiled { catalog: None, conditions: BTreeMap::new() });
}
