//! Objects that are there and cannot be read.

use bannou_crds::kinds::ServiceExposure;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::{Key, ObjectKind, ObjectRef};

/// One of the project's kinds that this version of it cannot read. Its old version counts no more, but the name that it has is its.
#[derive(Clone, Debug, PartialEq)]
pub struct Undecodable {
    pub object: ObjectRef,
    pub metadata: ObjectMeta,
    /// What is wrong with it, with the field.
    pub error: String,
    /// Of an exposure: the name it asks for, as far as that can be read or was known.
    pub service_name: Option<String>,
    /// Of an exposure: its `fleetRef`, likewise.
    pub fleet_namespace: Option<String>,
}

impl Undecodable {
    pub fn new(kind: ObjectKind, metadata: ObjectMeta, spec: &Value, error: String) -> Undecodable {
        let text = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Undecodable {
            object: ObjectRef { kind, key: Key::of(&metadata) },
            metadata,
            error,
            service_name: text("/serviceName"),
            fleet_namespace: text("/fleetRef/namespace"),
        }
    }

    /// Takes over what it does not say itself any more.
    pub(super) fn remember(&mut self, readable: Option<&ServiceExposure>, before: Option<&Undecodable>) {
        if self.service_name.is_none() {
            self.service_name =
                readable.map(|e| e.spec.service_name.clone()).or_else(|| before.and_then(|u| u.service_name.clone()));
        }
        if self.fleet_namespace.is_none() {
            self.fleet_namespace = readable
                .and_then(|e| e.spec.fleet_ref.as_ref().map(|f| f.namespace.clone()))
                .or_else(|| before.and_then(|u| u.fleet_namespace.clone()));
        }
    }
}
