//! What the definitions refuse, by evaluating their rules here; `tests/cluster` shows the same cases to a real API server.

use std::collections::{BTreeMap, BTreeSet};

use bannou_crds::kinds::definitions;
use kube::core::cel::Validator;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Refused {
    bases: BTreeMap<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    kind: String,
    #[serde(default)]
    set: BTreeMap<String, Value>,
    /// The object as it was before.
    #[serde(default)]
    was: BTreeMap<String, Value>,
    at: String,
    says: String,
    /// `schema`: not a rule, so that only an API server says it.
    by: Option<String>,
}

fn refused() -> Refused {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/refused.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(path).expect("the cases")).expect("YAML")
}

fn object(kind: &str, spec: &Value, changes: &BTreeMap<String, Value>) -> Value {
    let mut object = json!({
        "apiVersion": "bannou.dev/v1alpha1", "kind": kind, "metadata": {"name": "case", "namespace": "cases"}, "spec": spec,
    });
    for (pointer, value) in changes {
        let (parent, member) = pointer.rsplit_once('/').expect("a pointer");
        match object.pointer_mut(parent).expect("the parent is there") {
            Value::Object(map) if value.is_null() => drop(map.remove(member)),
            Value::Object(map) => drop(map.insert(member.to_owned(), value.clone())),
            Value::Array(list) if member.parse() == Ok(list.len()) => list.push(value.clone()),
            Value::Array(list) => list[member.parse::<usize>().expect("an index")] = value.clone(),
            _ => panic!("{pointer} leads nowhere"),
        }
    }
    object
}

/// Schemas by kind.
fn schemas() -> BTreeMap<String, Value> {
    definitions()
        .into_iter()
        .map(|crd| {
            let kind = crd["spec"]["names"]["kind"].as_str().expect("a kind").to_owned();
            (kind, crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
        })
        .collect()
}

/// Field and message of each rule that the object breaks.
fn broken(schema: &Value, object: &Value, old: Option<&Value>) -> Vec<(String, String)> {
    match Validator::new().validate(schema, object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_iter().map(|e| (e.field_path.clone(), e.message.clone())).collect(),
    }
}

#[test]
fn the_bases_break_no_rule() {
    let refused = refused();
    for (kind, schema) in schemas() {
        let object = object(&kind, &refused.bases[&kind], &BTreeMap::new());
        assert_eq!(broken(&schema, &object, Some(&object)), [], "{kind}");
    }
}

#[test]
fn each_rule_says_what_is_wrong_and_nothing_else_does() {
    let (refused, schemas) = (refused(), schemas());
    for case in refused.cases.iter().filter(|c| c.by.is_none()) {
        let base = &refused.bases[&case.kind];
        let before = object(&case.kind, base, &case.was);
        let after = object(&case.kind, base, &case.set);
        let old = (!case.was.is_empty()).then_some(&before);
        let at = case.at.trim_start_matches("<nil>").to_owned();
        assert_eq!(
            broken(&schemas[&case.kind], &after, old),
            [(at, case.says.clone())],
            "{:?}{:?}",
            case.set,
            case.was
        );
    }
}

/// What is in no case is not shown.
#[test]
fn every_rule_has_a_case() {
    let cases: BTreeSet<(String, String, String)> =
        refused().cases.into_iter().map(|c| (c.kind, without_indices(&c.at), c.says)).collect();
    for (kind, schema) in schemas() {
        walk(&schema, "", &mut |path, schema| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let message = rule["message"].as_str().expect("a message").to_owned();
                let at = if path.is_empty() { "<nil>" } else { path }.to_owned();
                assert!(cases.contains(&(kind.clone(), at.clone(), message.clone())), "{kind} {at}: {message}");
            }
        });
    }
}

fn without_indices(path: &str) -> String {
    path.chars().filter(|c| !"[]0123456789".contains(*c)).collect()
}

fn walk(schema: &Value, path: &str, see: &mut impl FnMut(&str, &Value)) {
    see(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, format!("{path}.{name}").trim_start_matches('.'), see);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], path, see);
    }
    if schema["additionalProperties"].is_object() {
        walk(&schema["additionalProperties"], path, see);
    }
}

/// An API server refuses rules whose cost it cannot bound, and an object without bounds can be as large as etcd allows.
#[test]
fn every_list_map_text_and_number_is_bounded() {
    for (kind, schema) in schemas() {
        walk(&schema, "", &mut |path, schema| {
            let has = |names: &[&str]| names.iter().all(|n| !schema[n].is_null());
            let bounded = match schema["type"].as_str() {
                Some("array") => has(&["maxItems"]) && has(&["x-kubernetes-list-type"]),
                Some("string") => has(&["maxLength"]) || has(&["enum"]) || schema["format"] == "date-time",
                Some("integer") => has(&["minimum", "maximum"]) || path.ends_with("observedGeneration"),
                Some("object") => schema["additionalProperties"].is_null() || has(&["maxProperties"]),
                Some("boolean") => true,
                other => panic!("{kind} {path}: {other:?}"),
            };
            assert!(bounded, "{kind} {path}: {schema}");
        });
    }
}

#[test]
fn a_null_is_never_kept() {
    for definition in definitions() {
        assert!(!definition.to_string().contains("nullable"));
    }
}
