//! The custom resource definitions, from the Rust types alone, and the roles that go with them.

use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::{AccessTier, Fleet, ServiceExposure};

/// The definitions as they are applied to an API server, in the order in which they are of use: Fleet, AccessTier, ServiceExposure.
///
/// Each is a whole `apiextensions.k8s.io/v1` object. Options are absent or there, never `null`: `nullable` is taken out, or an API
/// server would keep a `null` that nobody meant. Formats of Rust's that Kubernetes does not know are spelled as it does.
pub fn definitions() -> Vec<Value> {
    [Fleet::crd(), AccessTier::crd(), ServiceExposure::crd()]
        .into_iter()
        .map(|crd| {
            let mut crd = serde_json::to_value(crd).expect("a definition is JSON");
            if let Some(schema) = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
                tidy(schema);
                if let Some(root) = schema.as_object_mut() {
                    root.remove("title");
                }
            }
            crd
        })
        .collect()
}

/// ClusterRoles that add the kinds to Kubernetes' own `view`, `edit` and `admin`, so that who may see or change a namespace may see or
/// change these in it. Nobody but the operator writes a status.
pub fn roles() -> Vec<Value> {
    let kinds = ["fleets", "accesstiers", "serviceexposures"];
    let read = ["get", "list", "watch"];
    let write = ["create", "update", "patch", "delete", "deletecollection"];
    [("view", read.to_vec()), ("edit", [&read[..], &write[..]].concat()), ("admin", [&read[..], &write[..]].concat())]
        .into_iter()
        .map(|(role, verbs)| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                "metadata": {
                    "name": format!("bannou-{role}"),
                    "labels": {format!("rbac.authorization.k8s.io/aggregate-to-{role}"): "true"},
                },
                "rules": [{"apiGroups": [super::GROUP], "resources": kinds, "verbs": verbs}],
            })
        })
        .collect()
}

fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("nullable").is_some_and(Value::is_boolean) {
                members.remove("nullable");
            }
            if let Some(Value::Array(values)) = members.get_mut("enum") {
                values.retain(|v| !v.is_null());
            }
            let format = match members.get("format").and_then(Value::as_str) {
                Some("uint32") => Some("int64"),
                Some("uint16" | "uint8") => Some("int32"),
                _ => None,
            };
            if let Some(format) = format {
                members.insert("format".to_owned(), format.into());
            }
            for bound in ["minimum", "maximum"] {
                if let Some(whole) = members.get(bound).and_then(Value::as_f64).filter(|n| n.fract() == 0.0) {
                    #[expect(clippy::cast_possible_truncation, reason = "the bounds of 32 bit numbers")]
                    members.insert(bound.to_owned(), Value::from(whole as i64));
                }
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(all) => all.iter_mut().for_each(tidy),
        _ => {}
    }
}
