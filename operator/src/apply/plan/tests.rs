use bannou_crds::kinds::Endpoint;
use serde_json::json;

use super::*;
use crate::catalog::{ConditionType, Reason};
use crate::index::{Object, decode};

fn judged(status: Status, message: &str) -> ObjectStatus {
    let condition =
        Condition { kind: ConditionType::Accepted, status, reason: Reason::Accepted, message: message.to_owned() };
    ObjectStatus { observed_generation: Some(3), endpoints: Some(2), gateways: None, conditions: vec![condition] }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

#[test]
fn a_status_is_written_only_when_it_says_something_else() {
    let first =
        status(ObjectKind::ServiceExposure, &judged(Status::True, "a"), &Value::Null, at(0)).expect("nothing is there");
    assert_eq!(
        first,
        json!({"observedGeneration": 3, "endpointCount": 2, "conditions": [{
            "type": "Accepted", "status": "True", "reason": "Accepted", "message": "a", "observedGeneration": 3,
            "lastTransitionTime": "1970-01-01T00:00:00Z"}]})
    );
    let mut there = first.clone();
    there["conditions"].as_array_mut().expect("a list").insert(0, json!({"type": "Somebodys", "status": "True"}));
    assert_eq!(status(ObjectKind::ServiceExposure, &judged(Status::True, "a"), &there, at(9)), None);

    // Another message is no transition, another status is.
    let time = |wanted| {
        let status = status(ObjectKind::ServiceExposure, &wanted, &there, at(9)).expect("it differs");
        status["conditions"][0]["lastTransitionTime"].clone()
    };
    assert_eq!(time(judged(Status::True, "b")), "1970-01-01T00:00:00Z");
    assert_eq!(time(judged(Status::False, "a")), "1970-01-01T00:00:09Z");
    let newer = ObjectStatus { observed_generation: Some(4), ..judged(Status::True, "a") };
    assert!(status(ObjectKind::ServiceExposure, &newer, &there, at(9)).is_some());
    let more = ObjectStatus { endpoints: Some(5), ..judged(Status::True, "a") };
    assert!(status(ObjectKind::ServiceExposure, &more, &there, at(9)).is_some());
}

fn deployment(uid: &str, annotations: Value) -> Object {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "account", "namespace": "a", "uid": uid},
        "spec": {"selector": {}, "template": {"metadata": {"annotations": annotations}}},
    });
    decode(ObjectKind::Deployment, deployment).expect("a Deployment")
}

fn exposed(path: &str) -> Value {
    json!({"dapr.io/enabled": "true", "dapr.io/app-id": "account", "bannou.dev/expose": "true",
           "bannou.dev/endpoint.call": format!("POST {path}")})
}

/// The world after the operator did what is to be done there.
fn done(world: &mut World) -> (Vec<Owned>, Vec<&'static str>) {
    let (actions, warnings) = owned(world);
    for action in &actions {
        match action {
            Owned::Apply(exposure) => {
                let mut exposure = exposure.clone();
                exposure.metadata.uid = Some("made".into());
                world.apply(Object::ServiceExposure(exposure));
            }
            Owned::Replace(key, uid, spec) => {
                let mut exposure = world.exposures[key].clone();
                assert_eq!(*uid, exposure.metadata.uid);
                exposure.spec = (**spec).clone();
                world.apply(Object::ServiceExposure(Box::new(exposure)));
            }
            Owned::Delete(key, uid) => {
                assert_eq!(*uid, world.exposures[key].metadata.uid);
                world.delete(&ObjectRef { kind: ObjectKind::ServiceExposure, key: key.clone() });
            }
        }
    }
    assert_eq!(owned(world).0.len(), usize::from(actions.len() == 1 && renames(&actions[0], world)), "all is done");
    (actions, warnings.iter().map(|w| w.reason).collect())
}

fn renames(action: &Owned, world: &World) -> bool {
    matches!(action, Owned::Delete(..)) && !owned(world).0.is_empty()
}

fn path(world: &World) -> Option<&str> {
    let exposure = world.exposures.get(&Key::new("a", "account.deployment"))?;
    Some(&exposure.spec.endpoints[0].path)
}

#[test]
fn an_exposure_follows_the_annotations_of_its_workload() {
    let mut world = World::of_cluster();
    world.apply(deployment("1", exposed("/1")));
    done(&mut world);
    assert_eq!(path(&world), Some("/1"));
    world.apply(deployment("1", exposed("/2")));
    done(&mut world);
    assert_eq!(path(&world), Some("/2"));

    // What somebody else wrote into it is taken out again.
    let mut drifted = world.exposures[&Key::new("a", "account.deployment")].clone();
    let more = Endpoint { name: "evil".into(), ..drifted.spec.endpoints[0].clone() };
    drifted.spec.endpoints.push(more);
    world.apply(Object::ServiceExposure(Box::new(drifted)));
    assert!(matches!(done(&mut world).0[..], [Owned::Replace(..)]));
    assert_eq!(world.exposures[&Key::new("a", "account.deployment")].spec.endpoints.len(), 1);

    // A mistake withdraws it and is told; corrected, it is back.
    world.apply(deployment("1", exposed("/../2")));
    assert_eq!(done(&mut world).1, ["InvalidAnnotation"]);
    assert_eq!(path(&world), None);
    world.apply(deployment("1", exposed("/2")));
    done(&mut world);
    assert_eq!(path(&world), Some("/2"));

    // Another name is another exposure.
    let mut renamed = exposed("/2");
    renamed["bannou.dev/service-name"] = "other".into();
    world.apply(deployment("1", renamed));
    assert!(matches!(done(&mut world).0[..], [Owned::Delete(..)]));
    assert!(matches!(done(&mut world).0[..], [Owned::Apply(..)]));

    // The annotation gone, then another workload by the name, then none.
    world.apply(deployment("1", json!({})));
    done(&mut world);
    assert_eq!(path(&world), None);
    world.apply(deployment("1", exposed("/1")));
    done(&mut world);
    world.apply(deployment("2", exposed("/1")));
    assert!(matches!(done(&mut world).0[..], [Owned::Delete(..)]));
    assert!(matches!(done(&mut world).0[..], [Owned::Apply(..)]));
    world.delete(&ObjectRef { kind: ObjectKind::Deployment, key: Key::new("a", "account") });
    done(&mut world);
    assert_eq!(path(&world), None);
}

/// RFC 7396, as the API server does it.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else { return *target = patch.clone() };
    if !target.is_object() {
        *target = json!({});
    }
    for (member, value) in patch {
        if value.is_null() {
            target.as_object_mut().expect("an object").remove(member);
        } else {
            merge(&mut target[member], value);
        }
    }
}

#[test]
fn what_replaces_a_spec_leaves_nothing_of_it() {
    let everything = include_str!("../../../tests/golden/everything/in.yaml");
    let annotated = json!({"serviceName": "account", "backend": {"dapr": {"appId": "account"}}, "endpoints": [{"name": "call", "path": "/1"}]});
    let spec: ServiceExposureSpec = serde_json::from_value(annotated).expect("a spec");
    let mut all = serde_json::Map::new();
    for document in everything.split("\n---") {
        let object: Value = serde_saphyr::from_str(document).expect("YAML");
        if object["kind"] == "ServiceExposure" {
            all.extend(object["spec"].as_object().expect("a spec").clone());
        }
    }
    for member in ["fleetRef", "defaults", "resilience", "endpoints", "senders"] {
        assert!(all.contains_key(member), "{member}");
    }
    all.insert("events".into(), json!([{"name": "e"}]));
    all.insert("backend".into(), json!({"service": {"name": "x", "port": 1}, "peer": {"hosts": ["h"]}}));
    let mut there = Value::Object(all);
    merge(&mut there, &whole(&spec));
    assert_eq!(serde_json::from_value::<ServiceExposureSpec>(there).expect("a spec"), spec);
}

/// Whatever it pretends: a label, an owner, the name that the operator would give it.
#[test]
fn what_is_not_the_operators_is_never_touched() {
    let written = |name: &str, metadata: Value| {
        let mut value = json!({
            "apiVersion": "bannou.dev/v1alpha1", "kind": "ServiceExposure", "metadata": {"namespace": "a", "name": name},
            "spec": {"serviceName": "account", "backend": {"dapr": {"appId": "account"}}, "endpoints": [{"name": "b", "path": "/b"}]},
        });
        value["metadata"].as_object_mut().expect("a map").extend(metadata.as_object().expect("a map").clone());
        decode(ObjectKind::ServiceExposure, value).expect("an exposure")
    };
    let owner = |uid: &str, name: &str| json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": uid, "controller": true}]);
    let label = json!({"bannou.dev/source": "Annotation"});
    for (name, metadata) in [
        ("account.deployment", json!({})),
        ("account.deployment", json!({"labels": label})),
        ("account.deployment", json!({"ownerReferences": owner("1", "account")})),
        ("account.deployment", json!({"labels": label, "ownerReferences": owner("1", "another")})),
        ("account", json!({"labels": label, "ownerReferences": owner("9", "account")})),
    ] {
        let mut world = World::of_cluster();
        world.apply(written(name, metadata.clone()));
        world.apply(deployment("1", exposed("/1")));
        let (actions, warnings) = owned(&world);
        let touches = |action: &Owned| match action {
            Owned::Apply(exposure) => exposure.metadata.name.as_deref() == Some(name),
            Owned::Replace(key, ..) | Owned::Delete(key, _) => key.name == name,
        };
        assert!(!actions.iter().any(touches), "{name} {metadata}");
        let told: Vec<&str> = warnings.iter().map(|w| w.reason).collect();
        assert_eq!(told, if name == "account" { vec![] } else { vec!["NotOwned"] }, "{name} {metadata}");
    }
}
