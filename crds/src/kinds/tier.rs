//! `AccessTier`: who may come in, and which exposures are let in under it. Written by the fleet's owner.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ServiceRef, Source, schema};
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
    doc = "A set of rights that a connection can hold, and which exposures are let in under it. Lives in the fleet's namespace.",
    category = "bannou",
    shortname = "tier",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')")
        .message("the name of a tier must be a DNS label: up to 63 of a-z, 0-9 and \"-\", beginning with a letter"),
    printcolumn = r#"{"name":"Principal", "type":"string", "jsonPath":".spec.admission.principal"}"#,
    printcolumn = r#"{"name":"Endpoints", "type":"integer", "jsonPath":".status.attachedEndpoints"}"#,
    printcolumn = r#"{"name":"Accepted", "type":"string", "jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Programmed", "type":"string", "jsonPath":".status.conditions[?(@.type==\"Programmed\")].status"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct AccessTierSpec {
    /// Tiers of this fleet whose rights a holder of this one has too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub includes: Vec<String>,
    /// How a connection comes to hold this tier. Left out: by a service's grant alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<Admission>,
    /// Services that may grant or revoke it at run time. Left out: nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["namespace", "service"]))]
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
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[(
    "self.principal == 'Authenticated' || !((has(self.issuers) && size(self.issuers) > 0) || (has(self.claims) && size(self.claims) > 0))",
    "issuers and claims are read with `principal: Authenticated` alone; remove them, or change the principal",
)])))]
#[serde(rename_all = "camelCase")]
pub struct Admission {
    pub principal: Principal,
    /// Names of the fleet's issuers. Left out: any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub issuers: Vec<String>,
    /// All of them must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub claims: Vec<ClaimRule>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[
    ("self.operator in ['Exists', 'DoesNotExist'] || (has(self.values) && size(self.values) > 0)",
     "In, NotIn and HasWord need at least one of `values`"),
    ("!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || size(self.values) == 0",
     "`values` have no meaning with Exists and DoesNotExist; remove them"),
])))]
#[serde(rename_all = "camelCase")]
pub struct ClaimRule {
    /// From the token's root, one member name each.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 128)), extend("x-kubernetes-list-type" = "atomic"))]
    pub path: Vec<String>,
    pub operator: ClaimOperator,
    /// For In, NotIn and HasWord.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "set"))]
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
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub sources: Vec<Source>,
    /// Which effects exposures under this tier may declare. None if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub effects: Vec<Effect>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[
    ("self.from != 'Selector' || has(self.selector)",
     "`from: Selector` needs a selector; add for example {matchLabels: {bannou.dev/tenant: game}}"),
    ("self.from == 'Selector' || !has(self.selector)",
     "a selector is read with `from: Selector` alone; remove it, or change `from`"),
])))]
#[serde(rename_all = "camelCase")]
pub struct Namespaces {
    pub from: NamespacesFrom,
    /// With `from: Selector`, on the namespaces' labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub selector: Option<LabelSelector>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    Same,
    All,
    Selector,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[(
    "!has(self.burst) || has(self.requestsPerSecond)",
    "`burst` has no meaning without `requestsPerSecond`; add it",
)])))]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: Option<u32>,
    /// As many as `requestsPerSecond` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub max_in_flight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub max_connections_per_subject: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16_777_216))]
    pub max_message_bytes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub max_connection_age: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16384, max = 67_108_864))]
    pub send_queue_bytes: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessTierStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Endpoints that name this tier and are admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10_000_000))]
    pub attached_endpoints: Option<u32>,
    /// Accepted, ResolvedRefs and Programmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
