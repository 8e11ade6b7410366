//! The custom resources as kubectl takes them: group `bannou.dev`, version `v1alpha1`, all namespaced.
//!
//! Shapes only. Texts stay texts here (a duration, a path, a CIDR), so that an object with one bad field can still be
//! read, named and answered with a condition; `operator::catalog` parses each of them once.

mod definitions;
mod exposure;
mod fleet;
mod schema;
mod tier;

pub use definitions::{definitions, roles};
pub use exposure::*;
pub use fleet::*;
pub use tier::*;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const GROUP: &str = "bannou.dev";
pub const VERSION: &str = "v1alpha1";

/// The label that says where an exposure came from; absent: a person wrote it.
pub const SOURCE_LABEL: &str = "bannou.dev/source";

/// Where an exposure was declared: what it says on the label `bannou.dev/source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Source {
    /// A written ServiceExposure.
    Resource,
    /// Made by the operator from a workload's annotations.
    Annotation,
}

/// A service, by the namespace of its exposure and its `serviceName`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRef {
    #[schemars(schema_with = "schema::namespace")]
    pub namespace: String,
    #[schemars(schema_with = "schema::dns_label")]
    pub service: String,
}

impl ServiceExposure {
    pub fn source(&self) -> Source {
        match self.metadata.labels.as_ref().and_then(|l| l.get(SOURCE_LABEL)).map(String::as_str) {
            Some("Annotation") => Source::Annotation,
            _ => Source::Resource,
        }
    }
}

#[cfg(test)]
mod tests;
