//! The custom resource definitions, from the Rust types alone.

use kube::CustomResourceExt;
use serde_json::Value;

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
