//! The definitions on a real API server, and what a person sees of them with the real kubectl.

use std::collections::BTreeMap;

use bannou_crds::kinds::{AccessTier, Fleet, ServiceExposure};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::kit::Cluster;
use crate::process::repository;

#[derive(Deserialize)]
struct Refused {
    bases: BTreeMap<String, Value>,
    cases: Vec<Case>,
}

/// See `crds/tests/refused.yaml`.
#[derive(Deserialize)]
struct Case {
    kind: String,
    #[serde(default)]
    set: BTreeMap<String, Value>,
    #[serde(default)]
    was: BTreeMap<String, Value>,
    at: String,
    says: String,
}

fn refused() -> Refused {
    let text = std::fs::read_to_string(repository().join("crds/tests/refused.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn object(namespace: &str, kind: &str, spec: &Value, changes: &BTreeMap<String, Value>) -> Value {
    let mut object = json!({
        "apiVersion": "bannou.dev/v1alpha1", "kind": kind, "metadata": {"name": "case", "namespace": namespace}, "spec": spec,
    });
    for (pointer, value) in changes {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        match object.pointer_mut(parent).unwrap() {
            Value::Object(map) if value.is_null() => drop(map.remove(member)),
            Value::Object(map) => drop(map.insert(member.to_owned(), value.clone())),
            Value::Array(list) if member.parse() == Ok(list.len()) => list.push(value.clone()),
            Value::Array(list) => list[member.parse::<usize>().unwrap()] = value.clone(),
            _ => panic!("{pointer} leads nowhere"),
        }
    }
    object
}

/// All in one: a test of each would take a second of kubectl's start each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_refuses_each_case_with_its_words() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("refused", &[]).await;
    let refused = refused();
    let nothing = BTreeMap::new();
    for (kind, base) in &refused.bases {
        cluster.apply(&object(&namespace, kind, base, &nothing).to_string()).await.unwrap();
        cluster.kubectl(&["delete", "-n", &namespace, kind, "case"]).await;
    }
    let mut wrong = Vec::new();
    for case in &refused.cases {
        let base = &refused.bases[&case.kind];
        if !case.was.is_empty() {
            cluster.apply(&object(&namespace, &case.kind, base, &case.was).to_string()).await.unwrap();
        }
        let text = object(&namespace, &case.kind, base, &case.set).to_string();
        match cluster.apply(&text).await {
            Ok(output) => wrong.push(format!("{:?} is accepted: {output}", case.set)),
            Err(output) if output.contains(&format!("{}: ", case.at)) && output.contains(&case.says) => {}
            Err(output) => wrong.push(format!("{:?} is not told {}: {}, but {output}", case.set, case.at, case.says)),
        }
        cluster.kubectl(&["delete", "--ignore-not-found", "-n", &namespace, &case.kind, "--all"]).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quickstart_is_what_kubectl_applies() {
    let cluster = Cluster::shared().await;
    let folder = repository().join("examples/quickstart");
    let output = cluster.kubectl(&["apply", "-f", folder.to_str().unwrap()]).await;
    assert!(output.contains("serviceexposure.bannou.dev/account created"), "{output}");
    // What is there already is not changed by applying it again.
    let again = cluster.kubectl(&["apply", "-f", folder.to_str().unwrap()]).await;
    assert!(again.lines().all(|line| line.ends_with("unchanged")), "{again}");
    let all = cluster.kubectl(&["get", "bannou", "--all-namespaces", "-o", "name"]).await;
    for kind in ["fleet", "accesstier", "serviceexposure"] {
        assert!(all.contains(&format!("{kind}.bannou.dev/")), "{all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_explains_fields_with_their_values() {
    let cluster = Cluster::shared().await;
    for (field, says) in [
        ("serviceexposure", "The exposure asks, the tier admits."),
        ("sexp.spec.endpoints.path", "Starts with \"/\"."),
        ("sexp.spec.endpoints.payload", "ENUM: Body None Query"),
        ("tier.spec.admission.claims.operator", "ENUM: In NotIn Exists DoesNotExist HasWord"),
        ("tier.spec.allowedExposures.effects", "None if left out"),
        ("fleet.spec.issuers.keys.jwksUri", "A JWKS document over https"),
        ("fl.status.gateways", "Connected gateways."),
    ] {
        let output = cluster.kubectl(&["explain", field]).await;
        let words = output.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(says), "{field}: {output}");
    }
}

/// The status is written by the test here, as the operator will.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_shows_the_columns_and_waits_for_the_conditions() {
    let cluster = Cluster::shared().await;
    let client = cluster.client().await;
    let namespace = cluster.namespace("columns", &[]).await;
    let refused = refused();
    let nothing = BTreeMap::new();
    for (kind, base) in &refused.bases {
        cluster.apply(&object(&namespace, kind, base, &nothing).to_string()).await.unwrap();
    }
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "Tested", "message": "By the test.",
               "lastTransitionTime": "2026-11-25T10:00:00Z", "observedGeneration": 1})
    };
    let conditions =
        json!([condition("Accepted", "True"), condition("ResolvedRefs", "False"), condition("Programmed", "Unknown")]);
    let status = |more: Value| {
        let mut status = json!({"observedGeneration": 1, "conditions": conditions});
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Patch::Merge(json!({"status": status}))
    };
    let how = PatchParams::default();
    let exposures: Api<ServiceExposure> = Api::namespaced(client.clone(), &namespace);
    let tiers: Api<AccessTier> = Api::namespaced(client.clone(), &namespace);
    let fleets: Api<Fleet> = Api::namespaced(client, &namespace);
    exposures.patch_status("case", &how, &status(json!({"endpointCount": 2}))).await.unwrap();
    tiers.patch_status("case", &how, &status(json!({"attachedEndpoints": 7}))).await.unwrap();
    fleets.patch_status("case", &how, &status(json!({"gateways": 3}))).await.unwrap();

    for (short, columns, values) in [
        ("sexp", "NAME SERVICE ENDPOINTS ACCEPTED RESOLVED PROGRAMMED AGE", "case account 2 True False Unknown"),
        ("tier", "NAME PRINCIPAL ENDPOINTS ACCEPTED PROGRAMMED AGE", "case Authenticated 7 True Unknown"),
        ("fl", "NAME GATEWAYS ACCEPTED PROGRAMMED AGE", "case 3 True Unknown"),
    ] {
        let output = cluster.kubectl(&["get", short, "-n", &namespace]).await;
        let lines: Vec<String> = output.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[0], columns, "{output}");
        assert!(lines[1].starts_with(values), "{output}");
    }

    let wait = ["wait", "-n", &namespace, "--for=condition=Programmed", "--timeout=120s", "sexp/case"];
    let programmed = async {
        let now = json!({"status": {"conditions": [condition("Accepted", "True"), condition("Programmed", "True")]}});
        exposures.patch_status("case", &how, &Patch::Merge(now)).await.unwrap();
    };
    let (output, ()) = tokio::join!(cluster.kubectl(&wait), programmed);
    assert!(output.contains("condition met"), "{output}");
    // A generation belongs to the spec: a status does not raise it.
    assert_eq!(exposures.get("case").await.unwrap().metadata.generation, Some(1));
}
