//! From one YAML document to the object that it is.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bannou_crds::kinds::{AccessTier, Fleet, GROUP, ServiceExposure, VERSION};
use bannou_operator::index::{Key, Object};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::CustomResourceExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::shape::{Wrong, did_you_mean, fit};
use super::yaml::{Node, Tree};

/// What a document is.
#[allow(clippy::large_enum_variant, reason = "one at a time, moved into the world at once")]
pub enum Document {
    Object(Object),
    Secret {
        key: Key,
        data: BTreeMap<String, Vec<u8>>,
    },
    /// Of no concern here; its `apiVersion` and kind.
    Other(String),
}

/// The schemas of the API server, `metadata` filled in.
struct Schemas {
    fleet: Value,
    tier: Value,
    exposure: Value,
    namespace: Value,
    secret: Value,
}

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| Schemas {
    fleet: schema_of::<Fleet>(),
    tier: schema_of::<AccessTier>(),
    exposure: schema_of::<ServiceExposure>(),
    namespace: object_schema(json!({"spec": free(), "status": free()})),
    secret: object_schema(json!({
        "type": {"type": "string"},
        "immutable": {"type": "boolean"},
        "data": secret_texts(),
        "stringData": secret_texts(),
    })),
});

fn free() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn texts() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

/// `writeOnly`: no message quotes what is in there.
fn secret_texts() -> Value {
    json!({"type": "object", "writeOnly": true, "additionalProperties": {"type": "string", "writeOnly": true}})
}

fn object_schema(properties: Value) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "namespace": {"type": "string"},
                    "labels": texts(),
                    "annotations": texts(),
                    "uid": {"type": "string"},
                    "resourceVersion": {"type": "string"},
                    "generation": {"type": "integer"},
                    "creationTimestamp": {"type": "string"},
                    "finalizers": {"type": "array", "items": {"type": "string"}},
                    "ownerReferences": {"type": "array", "items": free()},
                    "managedFields": {"type": "array", "items": free()},
                },
            },
        },
    });
    if let (Some(known), Value::Object(more)) = (schema["properties"].as_object_mut(), properties) {
        known.extend(more);
    }
    schema
}

fn schema_of<K: CustomResourceExt>() -> Value {
    let crd = K::crd();
    let schema = crd.spec.versions.into_iter().next().and_then(|v| v.schema).and_then(|s| s.open_api_v3_schema);
    let schema = serde_json::to_value(schema).unwrap_or_default();
    let mut whole = object_schema(json!({"spec": schema["properties"]["spec"], "status": free()}));
    whole["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
    whole
}

/// Reads the documents in `node`: several where it is a `List`.
pub fn read<'n>(node: &'n Node, documents: &mut Vec<(&'n Node, Document)>, wrongs: &mut Vec<Wrong>) {
    let is = |key, value| node.get(key).and_then(Node::text) == Some(value);
    match node.get("items").map(|items| &items.tree) {
        Some(Tree::List(items)) if is("apiVersion", "v1") && is("kind", "List") => {
            // Lists do not hold lists, so this goes one deep.
            for item in items {
                documents.extend(read_one(item, wrongs).map(|document| (item, document)));
            }
        }
        _ => documents.extend(read_one(node, wrongs).map(|document| (node, document))),
    }
}

fn read_one(node: &Node, wrongs: &mut Vec<Wrong>) -> Option<Document> {
    if !matches!(node.tree, Tree::Map(_)) {
        let message = "must be a map with apiVersion, kind and metadata".to_owned();
        wrongs.push(Wrong { at: node.at, field: String::new(), message });
        return None;
    }
    let mut word = |key: &str| match node.get(key).map(|n| (n, n.text())) {
        Some((_, Some(text))) => Some(text),
        Some((value, None)) => {
            wrongs.push(Wrong { at: value.at, field: key.to_owned(), message: "must be a text".to_owned() });
            None
        }
        None => {
            wrongs.push(Wrong { at: node.at, field: key.to_owned(), message: "is missing".to_owned() });
            None
        }
    };
    let (version, kind) = (word("apiVersion"), word("kind"));
    let (version, kind) = (version?, kind?);
    let ours = format!("{GROUP}/{VERSION}");
    match (version, kind) {
        ("v1", "Namespace") => namespace(node, wrongs),
        ("v1", "Secret") => secret(node, wrongs),
        (v, "Fleet") if v == ours => typed(node, &SCHEMAS.fleet, wrongs, Object::Fleet),
        (v, "AccessTier") if v == ours => typed(node, &SCHEMAS.tier, wrongs, Object::AccessTier),
        (v, "ServiceExposure") if v == ours => {
            typed(node, &SCHEMAS.exposure, wrongs, |e: Box<ServiceExposure>| Object::ServiceExposure(e))
        }
        _ => match mistaken(version, kind, &ours) {
            Some((field, message)) => {
                let at = node.get(field).map_or(node.at, |n| n.at);
                wrongs.push(Wrong { at, field: field.to_owned(), message });
                None
            }
            None => Some(Document::Other(format!("{version} {kind}"))),
        },
    }
}

fn typed<T: DeserializeOwned>(
    node: &Node,
    schema: &Value,
    wrongs: &mut Vec<Wrong>,
    object: impl Fn(T) -> Object,
) -> Option<Document> {
    let before = wrongs.len();
    let mut value = fit(node, schema, "", wrongs);
    if wrongs.len() > before {
        return None;
    }
    if let Some(metadata) = value["metadata"].as_object_mut() {
        // As kubectl does without a namespace in its context.
        metadata.entry("namespace").or_insert_with(|| "default".into());
    }
    match serde_path_to_error::deserialize(value) {
        Ok(read) => Some(Document::Object(object(read))),
        // The schema and the type are one derive, so this is rare: what a schema cannot say, such as a timestamp.
        Err(error) => {
            let message = error.inner().to_string();
            wrongs.push(Wrong { at: node.at, field: error.path().to_string(), message });
            None
        }
    }
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

fn namespace(node: &Node, wrongs: &mut Vec<Wrong>) -> Option<Document> {
    #[derive(Deserialize)]
    struct Namespace {
        metadata: Metadata,
    }
    let before = wrongs.len();
    let value = fit(node, &SCHEMAS.namespace, "", wrongs);
    let read: Namespace = (wrongs.len() == before).then(|| serde_json::from_value(value).ok()).flatten()?;
    Some(Document::Object(Object::Namespace { name: read.metadata.name, labels: read.metadata.labels }))
}

fn secret(node: &Node, wrongs: &mut Vec<Wrong>) -> Option<Document> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Secret {
        metadata: Metadata,
        #[serde(default)]
        data: BTreeMap<String, String>,
        #[serde(default)]
        string_data: BTreeMap<String, String>,
    }
    let before = wrongs.len();
    let value = fit(node, &SCHEMAS.secret, "", wrongs);
    let read: Secret = (wrongs.len() == before).then(|| serde_json::from_value(value).ok()).flatten()?;
    let mut data = BTreeMap::new();
    for (key, text) in read.data {
        match STANDARD.decode(text.split_whitespace().collect::<String>()) {
            Ok(bytes) => {
                data.insert(key, bytes);
            }
            // Never the value: it may be the secret itself, written into the wrong member.
            Err(_) => wrongs.push(Wrong {
                at: node.get("data").and_then(|d| d.get(&key)).map_or(node.at, |n| n.at),
                field: format!("data.{key}"),
                message: "is not base64; plain text goes into `stringData`".to_owned(),
            }),
        }
    }
    data.extend(read.string_data.into_iter().map(|(key, text)| (key, text.into_bytes())));
    let namespace = read.metadata.namespace.unwrap_or_else(|| "default".to_owned());
    (wrongs.len() == before).then_some(Document::Secret { key: Key::new(namespace, read.metadata.name), data })
}

/// Whether a foreign document is more likely one of ours, with a slip of the finger.
fn mistaken(version: &str, kind: &str, ours: &str) -> Option<(&'static str, String)> {
    const KINDS: [&str; 3] = ["Fleet", "AccessTier", "ServiceExposure"];
    let group = version.split('/').next().unwrap_or_default();
    if version == ours {
        let hint = did_you_mean(kind, &KINDS);
        return Some(("kind", format!("{kind:?} is not a kind of {ours}: {}{hint}", KINDS.join(", "))));
    }
    if group == GROUP {
        return Some(("apiVersion", format!("{version:?} is not a version that this program knows; write {ours}")));
    }
    if KINDS[1..].contains(&kind) || !did_you_mean(group, &[GROUP]).is_empty() {
        return Some(("apiVersion", format!("{version:?} has no {kind}; write {ours}")));
    }
    None
}
