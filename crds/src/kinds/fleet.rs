//! `Fleet`: what concerns one gateway Deployment. One per namespace.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ServiceRef, schema};

/// One gateway Deployment: whose tokens it trusts, from where browsers may connect, who may claim which name.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "bannou.dev",
    version = "v1alpha1",
    kind = "Fleet",
    namespaced,
    status = "FleetStatus",
    derive = "PartialEq",
    doc = "One gateway Deployment: whose tokens it trusts, from where browsers may connect, who may claim which name. One per namespace.",
    category = "bannou",
    shortname = "fl",
    printcolumn = r#"{"name":"Gateways", "type":"integer", "jsonPath":".status.gateways"}"#,
    printcolumn = r#"{"name":"Accepted", "type":"string", "jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Programmed", "type":"string", "jsonPath":".status.conditions[?(@.type==\"Programmed\")].status"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct FleetSpec {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub issuers: Vec<Issuer>,
    /// Allowed values of `Origin`, as browsers write them. None: no browser may connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::origins")]
    pub origins: Vec<String>,
    /// Networks whose word about the client's address counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::networks")]
    pub trusted_proxies: Vec<String>,
    /// Which namespaces may claim which service names. A name that no pattern matches is free to all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "atomic"))]
    pub names: Vec<NameRule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// 24h if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub max_session_age: Option<String>,
    /// Without word from the operator for so long: anonymous tiers only. 24h if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub max_config_age: Option<String>,
    /// The same for the broker's control stream. 5m if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub max_control_age: Option<String>,
    /// Longer-lived JWTs are refused: revocations must outlive tokens. 24h if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub max_token_life: Option<String>,
    /// Services that may revoke, ban and kick.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["namespace", "service"]))]
    pub managers: Vec<ServiceRef>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[
    ("(has(self.audiences) && size(self.audiences) > 0) || has(self.audienceClaim)",
     "must name at least one of `audiences`, or `audienceClaim` what stands in for it: else a token made for another application would be good here"),
    ("!(has(self.audiences) && size(self.audiences) > 0 && has(self.audienceClaim))",
     "`audienceClaim` cannot stand beside `audiences`; remove one of them"),
    ("!self.algorithms.exists(a, a.startsWith('HS')) || has(self.keys.secretRef)",
     "HMAC secrets are read from Secrets alone: use `keys.secretRef`"),
])))]
#[serde(rename_all = "camelCase")]
pub struct Issuer {
    /// How tiers call it.
    #[schemars(schema_with = "schema::dns_label")]
    pub name: String,
    /// The exact value of `iss`.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
    /// One of these must be in `aud`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub audiences: Vec<String>,
    /// For issuers whose tokens have no `aud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience_claim: Option<AudienceClaim>,
    #[schemars(schema_with = "schema::algorithms")]
    pub algorithms: Vec<String>,
    pub keys: Keys,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub extra_required_claims: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AudienceClaim {
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub values: Vec<String>,
}

/// Exactly one member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[(
    "(has(self.jwksUri) ? 1 : 0) + (has(self.secretRef) ? 1 : 0) + (has(self.inline) && size(self.inline) > 0 ? 1 : 0) == 1",
    "must have exactly one of jwksUri, secretRef and inline",
)])))]
#[serde(rename_all = "camelCase")]
pub struct Keys {
    /// A JWKS document over https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::jwks_uri")]
    pub jwks_uri: Option<String>,
    /// A key of a Secret in the fleet's namespace: a JWKS, a PEM public key, or the bytes of an HMAC secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Public keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub inline: Vec<InlineKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Exactly one of `pem` and `jwk`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[(
    "has(self.pem) != has(self.jwk)",
    "must have exactly one of pem and jwk",
)])))]
#[serde(rename_all = "camelCase")]
pub struct InlineKey {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::pem")]
    pub pem: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::jwk")]
    pub jwk: Option<serde_json::Value>,
}

/// A service name that matches the pattern may be claimed from these namespaces alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameRule {
    /// A name; "*" stands for any number of characters.
    #[schemars(schema_with = "schema::name_pattern")]
    pub pattern: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::namespaces")]
    pub namespaces: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resume {
    /// How long a client may stay away and take its session up again. 2m if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub window: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Connected gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub gateways: Option<u32>,
    /// Accepted and Programmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
