use serde_json::json;

use super::*;
use crate::folder;

fn levels(found: &[Finding]) -> Vec<(Level, &str)> {
    found.iter().map(|f| (f.level, f.what.as_str())).collect()
}

#[test]
fn a_definition_is_missing_not_served_of_another_version_or_well() {
    let ours = json!({"spec": {"versions": [{"name": "v1alpha1", "schema": {"a": [1, 2], "description": "x"}}]}});
    let served = |mut theirs: Value| {
        theirs["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
        Some(theirs)
    };
    let mut added = ours.clone();
    added["spec"]["versions"][0]["served"] = json!(true);
    added["spec"]["versions"][0]["schema"]["description"] = json!("y");
    let mut other = ours.clone();
    other["spec"]["versions"][0]["schema"]["a"] = json!([1]);
    for (theirs, level, says) in [
        (None, Level::Error, "is not there"),
        (Some(ours.clone()), Level::Error, "not served"),
        (served(other), Level::Warning, "spec.versions[0].schema.a"),
        (served(added), Level::Ok, "as this version knows it"),
    ] {
        let found = definitions(&[Definition { name: "fleets.bannou.dev".into(), ours: ours.clone(), theirs }]);
        assert_eq!(found[0].level, level, "{found:?}");
        assert!(found[0].what.contains(says), "{found:?}");
        assert_eq!(found[0].fix.is_some(), level != Level::Ok, "what to do is said");
    }
}

#[test]
fn an_operator_is_missing_not_ready_or_holds_no_lease() {
    let operator = |ready, replicas| Operator {
        namespace: "sys".into(),
        name: "op".into(),
        replicas,
        ready,
        default_fleet: None,
        lease: "bannou-operator".into(),
    };
    let holder = |renewed| {
        Some(Holder { name: Some("op-1".into()), address: None, renewed_s: Some(renewed), valid_s: Some(15) })
    };
    assert_eq!(operators(&[])[0].level, Level::Error);
    let all = |ready, replicas, holder| levels_only(&operators(&[(operator(ready, replicas), holder)]));
    assert_eq!(all(2, 2, holder(3)), [Level::Ok, Level::Ok]);
    assert_eq!(all(1, 2, holder(3)), [Level::Warning, Level::Ok]);
    assert_eq!(all(0, 2, holder(99)), [Level::Error, Level::Error]);
    assert_eq!(all(0, 0, None), [Level::Error, Level::Error]);
}

fn levels_only(found: &[Finding]) -> Vec<Level> {
    found.iter().map(|f| f.level).collect()
}

#[test]
fn gateways_are_missing_not_ready_deaf_behind_or_well() {
    let fleet = Key::new("sys", "default");
    let fact = |ready, hash: Result<&str, &str>| GatewayFact {
        name: "sys/gateway-1".into(),
        namespace: "sys".into(),
        ready,
        without_sidecar: false,
        hash: hash.map(str::to_owned).map_err(str::to_owned),
    };
    let look = |all: &[GatewayFact]| levels_only(&gateways(all, &[(fleet.clone(), Some("h".to_owned()))]));
    assert_eq!(look(&[]), [Level::Error]);
    assert_eq!(look(&[fact(false, Ok("h"))]), [Level::Error]);
    assert_eq!(look(&[fact(true, Err("gone"))]), [Level::Warning]);
    assert_eq!(look(&[fact(true, Ok("other"))]), [Level::Warning]);
    assert_eq!(look(&[fact(true, Ok("h"))]), [Level::Ok]);
    let alone = GatewayFact { without_sidecar: true, ..fact(false, Err("gone")) };
    let found = gateways(&[alone], &[(fleet.clone(), Some("h".to_owned()))]);
    assert!(found[0].what.contains("without Dapr's sidecar"), "{found:?}");
    assert!(found[0].fix.as_deref().unwrap().contains("kubectl -n sys delete pod gateway-1"), "{found:?}");
}

/// The quickstart, whose account service has a Configuration that lets nobody in but another app.
fn resources() -> Resources {
    let quickstart = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
    let mut world = folder::load(&quickstart).ok().unwrap().world;
    let template = json!({"metadata": {"annotations": {"dapr.io/enabled": "true", "dapr.io/app-id": "account", "dapr.io/config": "closed"}}});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "default", "name": "account", "uid": "1"},
        "spec": {"selector": {}, "template": template},
    });
    let object = bannou_operator::index::decode(bannou_operator::index::ObjectKind::Deployment, deployment).unwrap();
    let reference = object.reference();
    world.apply(object);
    Resources {
        world,
        written: BTreeMap::new(),
        operators: Vec::new(),
        gateway_apps: vec![("bannou-system".into(), "bannou-gateway".into())],
        dapr_configs: BTreeMap::from([(reference, "closed".into())]),
        unread: BTreeMap::new(),
    }
}

#[test]
fn a_dapr_policy_that_stops_the_gateway_is_named_with_what_to_add() {
    let resources = resources();
    let config =
        |control: Value| Configurations::from([(Key::new("default", "closed"), json!({"accessControl": control}))]);
    let closed = policies(&resources, &config(json!({"defaultAction": "deny"})));
    let stopped = |found: &[Finding]| found.iter().filter(|f| f.level == Level::Error).count();
    assert_eq!(stopped(&closed), 2, "both endpoints: {:?}", levels(&closed));
    assert!(closed[0].fix.as_deref().unwrap().contains("appId: bannou-gateway"), "{closed:?}");
    let mine = json!({"appId": "bannou-gateway", "trustDomain": "public", "namespace": "bannou-system", "defaultAction": "allow"});
    let open = policies(&resources, &config(json!({"defaultAction": "deny", "policies": [mine]})));
    assert_eq!(levels_only(&open), [Level::Ok], "{open:?}");
    let missing = policies(&resources, &Configurations::new());
    assert!(missing[0].what.contains("not in its namespace"), "{missing:?}");
    let mut without = resources;
    without.gateway_apps.clear();
    assert!(policies(&without, &Configurations::new())[0].what.contains("no dapr.io/app-id"));
}

#[test]
fn objects_are_judged_by_compile_and_by_what_stands_there() {
    let resources = resources();
    let found = objects(&resources);
    let all: Vec<&str> = found.iter().map(|f| f.what.as_str()).collect();
    assert!(all.iter().any(|w| w.starts_with("ServiceExposure default/account: NoReadyPods")), "{all:?}");
    assert!(all.iter().any(|w| w.starts_with("ServiceExposure default/game: BackendNotFound")), "{all:?}");
}

/// Nothing is made of them, so there is no object that could tell.
#[test]
fn mistakes_in_annotations_are_told_of_their_workload() {
    let mut resources = resources();
    let annotations = json!({"dapr.io/enabled": "true", "dapr.io/app-id": "shop", "bannou.dev/expose": "true",
                             "bannou.dev/endpoint.buy": "POST buy tiers=anonymous"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "default", "name": "shop", "uid": "2"},
        "spec": {"selector": {}, "template": {"metadata": {"annotations": annotations}}},
    });
    resources.world.apply(bannou_operator::index::decode(ObjectKind::Deployment, deployment).unwrap());
    let found = objects(&resources);
    let told: Vec<&str> =
        found.iter().map(|f| f.what.as_str()).filter(|what| what.starts_with("Deployment default/shop: ")).collect();
    assert_eq!(told.len(), 1, "{found:?}");
    assert!(told[0].contains("bannou.dev/endpoint.buy: \"POST buy tiers=anonymous\""), "{told:?}");
}

#[test]
fn pods_that_pod_security_keeps_out_are_told_once_and_only_where_they_matter() {
    let event = |namespace: &str, message: &str| NotMade {
        namespace: namespace.to_owned(),
        object: "ReplicaSet account-1".to_owned(),
        message: message.to_owned(),
    };
    let violates =
        r#"pods "account-1-x" is forbidden: violates PodSecurity "restricted:latest": container "daprd" must not"#;
    let events = [
        event("default", violates),
        event("default", violates),
        event("else", violates),
        event("default", "quota exceeded"),
    ];
    let found = pod_security(&resources(), &events);
    assert_eq!(levels_only(&found), [Level::Error], "{found:?}");
    assert!(found[0].fix.as_deref().unwrap().contains("sidecarDropALLCapabilities=true"));
    let own = pod_security(&resources(), &[event("bannou-system", &violates.replace("daprd", "gateway"))]);
    assert!(own[0].fix.as_deref().unwrap().contains("security context"), "{own:?}");
}
