//! From JSON, as an API server or a file has it, to an object of the world. Never fails: what cannot be read is an object too.

use bannou_crds::kinds::ServiceExposure;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Object, ObjectKind, Service, Undecodable, Workload};

/// One of the project's three kinds comes out as [`Undecodable`] at the worst; `None` for one without metadata that can be read, and
/// for what is not the project's and cannot be read.
pub fn decode(kind: ObjectKind, value: Value) -> Option<Object> {
    match kind {
        ObjectKind::Fleet => read(kind, value, Object::Fleet),
        ObjectKind::AccessTier => read(kind, value, Object::AccessTier),
        ObjectKind::ServiceExposure => read(kind, value, |e: ServiceExposure| Object::ServiceExposure(Box::new(e))),
        ObjectKind::Deployment => Some(Object::Workload(Workload::of_deployment(&serde_json::from_value(value).ok()?))),
        ObjectKind::StatefulSet => {
            Some(Object::Workload(Workload::of_stateful_set(&serde_json::from_value(value).ok()?)))
        }
        ObjectKind::Service => Some(Object::Service(Service::of(&serde_json::from_value(value).ok()?))),
        ObjectKind::Namespace => {
            let metadata: ObjectMeta = serde_json::from_value(value["metadata"].clone()).ok()?;
            Some(Object::Namespace { name: metadata.name?, labels: metadata.labels.unwrap_or_default() })
        }
    }
}

fn read<T: DeserializeOwned>(kind: ObjectKind, value: Value, object: impl FnOnce(T) -> Object) -> Option<Object> {
    match serde_path_to_error::deserialize(&value) {
        Ok(read) => Some(object(read)),
        Err(error) => {
            let metadata: ObjectMeta = serde_json::from_value(value["metadata"].clone()).ok()?;
            let error = format!("{}: {}", error.path(), error.inner());
            Some(Object::Undecodable(Box::new(Undecodable::new(kind, metadata, &value["spec"], error))))
        }
    }
}
