//! What the chart promises of what it renders, for every file of values.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::rendered::{Rendered, VALUES, argument, container, objects, template};
use crate::kit::helm::chart;

fn pod(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_values_are_the_same_bytes() {
    for name in VALUES {
        let [one, two] = [template(name, &[]).await.unwrap(), template(name, &[]).await.unwrap()];
        assert_eq!(one, two, "{name}");
        let all = objects(&one);
        let named: BTreeSet<String> =
            all.iter().map(|o| format!("{} {} {}", o["apiVersion"], o["kind"], o["metadata"]["name"])).collect();
        assert_eq!(named.len(), all.len(), "{name}: each object once: {named:?}");
        for object in &all {
            let label = |label: &str| object["metadata"]["labels"][label].as_str().unwrap_or_default().to_owned();
            assert_eq!(label("app.kubernetes.io/name"), "bannou", "{name}: {object}");
            assert_eq!(label("app.kubernetes.io/managed-by"), "Helm", "{name}");
            assert_ne!(object["kind"], "Secret", "{name}: secrets come from elsewhere");
        }
    }
    // What changes on every render, or asks a cluster, has no place in a template.
    for file in walk(&chart("bannou").join("templates")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(code, _)| code);
        for word in code.flat_map(|code| code.split(|c: char| !c.is_alphanumeric())) {
            let changes = word.starts_with("gen")
                || word.starts_with("rand")
                || ["lookup", "now", "uuidv4", "tpl"].contains(&word);
            assert!(!changes, "{}: {word}", file.display());
        }
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_holds_one_token_and_no_right() {
    for name in VALUES {
        let all = Rendered::of(name, &[]).await;
        let account = all.get("ServiceAccount", "bannou-gateway");
        assert_eq!(account["automountServiceAccountToken"], false, "{name}");
        let pod = pod(all.get("Deployment", "bannou-gateway"));
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        let volumes = pod["volumes"].as_array().unwrap();
        let projected: Vec<&Value> =
            volumes.iter().filter_map(|v| v["projected"]["sources"].as_array()).flatten().collect();
        let token = json!({"path": "token", "audience": "bannou-operator", "expirationSeconds": 3600});
        assert_eq!(projected, [&json!({"serviceAccountToken": token})], "{name}");
        assert!(!pod.to_string().contains("\"optional\""), "{name}: what is missing is waited for");
        for binding in all.all().filter(|o| o["kind"].as_str().is_some_and(|k| k.ends_with("RoleBinding"))) {
            assert!(!binding["subjects"].to_string().contains("bannou-gateway"), "{name}: {binding}");
        }
        // Every file that it is told of is mounted, and everything that is mounted is named.
        let gateway = container(all.get("Deployment", "bannou-gateway"), "gateway");
        let mounts: Vec<&str> =
            gateway["volumeMounts"].as_array().unwrap().iter().map(|m| m["mountPath"].as_str().unwrap()).collect();
        let paths: Vec<&str> = gateway["args"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|a| a.as_str()?.split_once("=/"))
            .map(|(_, p)| p)
            .collect();
        for path in paths.iter().filter(|p| **p != "connect") {
            let path = format!("/{path}");
            assert!(
                mounts.iter().any(|m| path.starts_with(m) || m.starts_with(&path)) || path == "/etc/bannou/issuers",
                "{name}: {path}"
            );
        }
        for mount in &mounts {
            let mount = &mount[1..];
            assert!(
                paths.iter().any(|p| p.starts_with(mount) || mount.starts_with(p)),
                "{name}: {mount} is for nobody"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_as_restricted_as_they_can_be() {
    for name in VALUES {
        let all = Rendered::of(name, &[]).await;
        let workloads = all.of_kind("Deployment");
        assert_eq!(workloads.len(), if name == "second-fleet" { 1 } else { 2 }, "{name}");
        for workload in workloads {
            let pod = pod(workload);
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            assert_eq!(pod["enableServiceLinks"], false, "{name}: a Service is no setting of BANNOU_…");
            for container in pod["containers"].as_array().unwrap() {
                let security = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
                assert_eq!(container["securityContext"], security, "{name}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
                assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/livez", "{name}");
                assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz", "{name}");
            }
        }
    }
    let free = Rendered::of("defaults", &["--set", "runAs.user=null,runAs.group=null,runAs.fsGroup=null"]).await;
    let security = &pod(free.get("Deployment", "bannou-gateway"))["securityContext"];
    assert_eq!(*security, json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_reach_the_client_port_alone() {
    for name in VALUES {
        let all = Rendered::of(name, &[]).await;
        let ports = |service: &Value| -> Vec<Value> {
            service["spec"]["ports"].as_array().unwrap().iter().map(|p| p["targetPort"].clone()).collect()
        };
        assert_eq!(ports(all.get("Service", "bannou-gateway")), ["clients"], "{name}");
        for service in all.of_kind("Service") {
            assert!(!ports(service).iter().any(|p| p == "admin" || p == 9080 || p == 9082), "{name}: {service}");
        }
        let gateway = container(all.get("Deployment", "bannou-gateway"), "gateway");
        assert_eq!(argument(gateway, "--inspect-port"), Some("9082"), "{name}");
        let open: Vec<i64> =
            gateway["ports"].as_array().unwrap().iter().filter_map(|p| p["containerPort"].as_i64()).collect();
        let internal = name == "everything";
        assert_eq!(open, if internal { vec![8080, 9080, 9081] } else { vec![8080, 9080] }, "{name}");
        assert_eq!(all.find("Service", "bannou-gateway-internal").is_some(), internal, "{name}");
        assert_eq!(argument(gateway, "--internal-bind").is_some(), internal, "{name}: it listens on loopback alone");
    }
}

/// What is said of a client, and to a service, must be said before the sidecar goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sidecar_outlives_the_drain() {
    for name in VALUES {
        let all = Rendered::of(name, &[]).await;
        let workload = all.get("Deployment", "bannou-gateway");
        let (pod, gateway) = (pod(workload), container(workload, "gateway"));
        let drain: i64 = argument(gateway, "--drain-seconds").unwrap().parse().unwrap();
        let before = gateway["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64().unwrap();
        let grace = pod["terminationGracePeriodSeconds"].as_i64().unwrap();
        let annotations = &workload["spec"]["template"]["metadata"]["annotations"];
        let seconds =
            |key: &str| annotations[key].as_str().unwrap_or("0").trim_end_matches('s').parse::<i64>().unwrap();
        let after = seconds("dapr.io/graceful-shutdown-seconds");
        assert!(after > 0 && grace >= before + drain + 3 + after, "{name}: {grace} s are not enough");
        if annotations["dapr.io/enable-native-sidecar"] != "true" {
            let block = seconds("dapr.io/block-shutdown-duration");
            assert!(block > before + drain && block + after <= grace, "{name}: the sidecar waits {block} s of {grace}");
        }
    }
    let alone = Rendered::of("defaults", &["--set", "gateway.dapr.enabled=false"]).await;
    assert!(alone.get("Deployment", "bannou-gateway")["spec"]["template"]["metadata"]["annotations"].is_null());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_fleet_lets_the_operator_in_and_brings_none() {
    let all = Rendered::of("second-fleet", &[]).await;
    assert!(!all.all().any(|o| o["kind"] == "ClusterRole" || o["kind"] == "ClusterRoleBinding"));
    let binding = all.get("RoleBinding", "bannou-operator-fleet");
    assert_eq!(
        binding["subjects"],
        json!([{"kind": "ServiceAccount", "name": "bannou-operator", "namespace": "bannou-system"}])
    );
    let gateway = container(all.get("Deployment", "bannou-gateway"), "gateway");
    assert_eq!(argument(gateway, "--operator"), Some("wss://bannou-operator.bannou-system.svc:9443"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_go_slowly_and_one_at_a_time() {
    let all = Rendered::of("production", &[]).await;
    let scaler = &all.get("HorizontalPodAutoscaler", "bannou-gateway")["spec"];
    assert_eq!(scaler["metrics"][0]["pods"]["metric"]["name"], "bannou_gateway_connections");
    assert!(scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"].as_i64().unwrap() >= 600);
    assert!(
        all.get("Deployment", "bannou-gateway")["spec"]["replicas"].is_null(),
        "or every upgrade would set it anew"
    );
    assert_eq!(all.get("PodDisruptionBudget", "bannou-gateway")["spec"]["maxUnavailable"], 1);
    let route = &all.get("HTTPRoute", "bannou-gateway")["spec"];
    assert_eq!(route["rules"][0]["matches"][0]["path"], json!({"type": "Exact", "value": "/connect"}));
    let policy = &all.get("NetworkPolicy", "bannou-gateway")["spec"];
    let to: Vec<&Value> = policy["ingress"].as_array().unwrap().iter().map(|rule| &rule["ports"][0]["port"]).collect();
    assert_eq!(to, [&json!("clients"), &json!(50002), &json!("admin")]);
}

/// Each setting of the schema is in `values.yaml`, with its default, and the other way round.
#[test]
fn every_value_is_written_down() {
    let read = |name: &str| std::fs::read_to_string(chart("bannou").join(name)).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let values: Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    let (mut settings, mut defaults) = (BTreeSet::new(), BTreeSet::new());
    leaves_of_schema(&schema, &schema, "", &mut settings);
    leaves(&values, &schema, &schema, "", &mut defaults);
    assert_eq!(settings, defaults);
    assert!(settings.contains("gateway.broker.passwordSecret.key"), "{settings:?}");
}

/// Beside each setting, or above it, stands what it is for; of a map that goes over several lines each line has its own.
#[test]
fn every_value_is_explained() {
    let text = std::fs::read_to_string(chart("bannou").join("values.yaml")).unwrap();
    let mut bare: Vec<&str> = Vec::new();
    // Of the lines since an empty one or a map's beginning: a comment explains all settings until then.
    let (mut explained_at, mut elsewhere) = (None, false);
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let (name, value) = line.trim_start().split_once(':').unwrap_or((line, ""));
        elsewhere &= indent > 0 || line.is_empty();
        elsewhere |= indent == 0 && name == "tiers";
        if line.is_empty() {
            explained_at = None;
        } else if line.trim_start().starts_with('#') {
            explained_at = Some(indent);
        } else if value.is_empty() {
            explained_at = (name == "resources").then_some(indent + 2).filter(|_| explained_at == Some(indent));
        } else if !value.contains(" #") && explained_at != Some(indent) && !elsewhere {
            bare.push(line);
        }
    }
    assert!(bare.is_empty(), "values.yaml says nothing of: {bare:#?}");
    assert!(text.contains("tiers:"));
}

/// What is described elsewhere: by the CRDs, and by the chart of these.
const ELSEWHERE: [&str; 4] = ["global", "bannou-crds", "fleet.spec", "tiers"];

fn resolve<'a>(node: &'a Value, root: &'a Value) -> &'a Value {
    let name = node["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/"));
    name.map_or(node, |name| &root["$defs"][name])
}

fn leaves_of_schema(node: &Value, root: &Value, path: &str, into: &mut BTreeSet<String>) {
    let node = resolve(node, root);
    match node["properties"].as_object().filter(|_| !ELSEWHERE.contains(&path) && !path.ends_with("resources")) {
        Some(members) => {
            assert_eq!(node["additionalProperties"], false, "{path} takes anything");
            for (name, member) in members {
                leaves_of_schema(member, root, &join(path, name), into);
            }
        }
        None if ["global", "bannou-crds"].contains(&path) => {}
        None => drop(into.insert(path.to_owned())),
    }
}

fn leaves(value: &Value, schema: &Value, root: &Value, path: &str, into: &mut BTreeSet<String>) {
    let schema = resolve(schema, root);
    let closed = schema["properties"].is_object() && !ELSEWHERE.contains(&path) && !path.ends_with("resources");
    match value.as_object().filter(|_| closed) {
        Some(members) => {
            for (name, member) in members {
                leaves(member, &schema["properties"][name], root, &join(path, name), into);
            }
        }
        None => drop(into.insert(path.to_owned())),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
