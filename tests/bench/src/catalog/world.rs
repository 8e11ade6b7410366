//! A large cluster, as objects of the API server.

use bannou_operator::index::{Object, ObjectKind, World, decode};
use serde_json::{Value, json};

use crate::Result;

pub const FLEET: &str = "sys";

/// Namespaces that exposures are spread over.
const NAMESPACES: usize = 50;

/// # Errors
/// The operator cannot read an object of it.
pub fn large(exposures: usize, tiers: usize) -> Result<World> {
    let mut world = World::of_cluster();
    world.apply(object(ObjectKind::Fleet, FLEET, "default", json!({}))?);
    for number in 0..tiers {
        let spec = json!({
            "admission": {"principal": "Anonymous"},
            "allowedExposures": {"namespaces": {"from": "All"}},
            "limits": {"requestsPerSecond": 50, "burst": 100},
        });
        world.apply(object(ObjectKind::AccessTier, FLEET, &tier(number), spec)?);
    }
    for number in 0..NAMESPACES {
        let metadata = json!({"metadata": {"name": format!("ns{number:02}"), "labels": {"bannou.dev/tenant": "game"}}});
        world.apply(decode(ObjectKind::Namespace, metadata).ok_or("a namespace cannot be read")?);
    }
    for number in 0..exposures {
        let app = format!("s{number:04}");
        let annotations = json!({"dapr.io/enabled": "true", "dapr.io/app-id": app});
        let deployment = json!({
            "metadata": {"namespace": namespace(number), "name": app, "uid": app},
            "spec": {"selector": {}, "template": {"metadata": {"annotations": annotations}}}, "status": {"readyReplicas": 1},
        });
        world.apply(decode(ObjectKind::Deployment, deployment).ok_or("a Deployment cannot be read")?);
        world.apply(self::exposure(number, "/v1/call")?);
    }
    Ok(world)
}

/// Five endpoints, each under one tier.
///
/// # Errors
/// The operator cannot read it.
pub fn exposure(number: usize, path: &str) -> Result<Object> {
    let name = format!("s{number:04}");
    let endpoints: Vec<Value> = (0..5)
        .map(|i| json!({"name": format!("call{i}"), "path": format!("{path}/{i}"), "tiers": [tier(number / 4)], "timeout": "3s"}))
        .collect();
    let spec = json!({
        "serviceName": name, "backend": {"dapr": {"appId": name}}, "fleetRef": {"namespace": FLEET}, "endpoints": endpoints,
    });
    object(ObjectKind::ServiceExposure, &namespace(number), &name, spec)
}

fn namespace(number: usize) -> String {
    format!("ns{:02}", number % NAMESPACES)
}

fn tier(number: usize) -> String {
    format!("tier{number:03}")
}

fn object(kind: ObjectKind, namespace: &str, name: &str, spec: Value) -> Result<Object> {
    let value = json!({
        "apiVersion": "bannou.dev/v1alpha1", "kind": kind.as_str(), "spec": spec,
        "metadata": {"namespace": namespace, "name": name, "uid": format!("{namespace}-{name}"), "generation": 1,
                     "creationTimestamp": "2026-11-25T10:00:00Z"},
    });
    match decode(kind, value) {
        Some(Object::Undecodable(unread)) => Err(format!("{kind} {name}: {}", unread.error).into()),
        Some(object) => Ok(object),
        None => Err(format!("{kind} {name} cannot be read").into()),
    }
}
