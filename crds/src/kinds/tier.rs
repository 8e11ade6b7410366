//! `AccessTier`: who may come in, and which exposures are let in under it. Written by the fleet's owner.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ServiceRef, Source};
use crate::catalog::{ClaimOperator, Effect, Peers, Principal};

/// A set of rights that a connection can hold. Lives in the fleet's namespace.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "bannou.dev",
    version = "v1alpha1",
    kind = "AccessTier",
    namespaced,
    status = "AccessTierStatus",
    derive = "PartialEq",
    category = "bannou",
    shortname = "tier"
)]
#[serde(rename_all = "camelCase")]
pub struct AccessTierSpec {
    /// Tiers of this fleet whose rights a holder of this one has too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub includes: Vec<String>,
    /// How a connection comes to hold this tier. Left out: by a service's grant alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<Admission>,
    /// Services that may grant or revoke it at run time. Left out: nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grantable_by: Vec<ServiceRef>,
    /// Left out: written exposures of the fleet's own namespace, without effects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_exposures: Option<AllowedExposures>,
    /// Of several tiers held, the most generous figure counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Disabled if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Admission {
    pub principal: Principal,
    /// Names of the fleet's issuers. Left out: any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<String>,
    /// All of them must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimRule>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRule {
    /// From the token's root, one member name each.
    pub path: Vec<String>,
    pub operator: ClaimOperator,
    /// For In, NotIn and HasWord.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedExposures {
    /// Same if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Namespaces>,
    /// Resource alone if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// Which effects exposures under this tier may declare. None if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Namespaces {
    pub from: NamespacesFrom,
    /// With `from: Selector`, on the namespaces' labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    Same,
    All,
    Selector,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// As many as `requestsPerSecond` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections_per_subject: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_message_bytes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connection_age: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_queue_bytes: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessTierStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Endpoints that name this tier and are admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attached_endpoints: Option<u32>,
    /// Accepted, ResolvedRefs and Programmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
