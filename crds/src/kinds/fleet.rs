//! `Fleet`: what concerns one gateway Deployment. One per namespace.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ServiceRef;

/// One gateway Deployment: whose tokens it trusts, from where browsers may connect, who may claim which name.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "bannou.dev",
    version = "v1alpha1",
    kind = "Fleet",
    namespaced,
    status = "FleetStatus",
    derive = "PartialEq",
    category = "bannou"
)]
#[serde(rename_all = "camelCase")]
pub struct FleetSpec {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<Issuer>,
    /// Allowed values of `Origin`, as browsers write them. None: no browser may connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// Networks whose word about the client's address counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
    /// Which namespaces may claim which service names. A name that no pattern matches is free to all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NameRule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// 24h if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_session_age: Option<String>,
    /// Without word from the operator for so long: anonymous tiers only. 24h if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_config_age: Option<String>,
    /// The same for the broker's control stream. 5m if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_control_age: Option<String>,
    /// Longer-lived JWTs are refused: revocations must outlive tokens. 24h if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_token_life: Option<String>,
    /// Services that may revoke, ban and kick.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<ServiceRef>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issuer {
    /// How tiers call it.
    pub name: String,
    /// The exact value of `iss`.
    pub issuer: String,
    /// One of these must be in `aud`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// For issuers whose tokens have no `aud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience_claim: Option<AudienceClaim>,
    pub algorithms: Vec<String>,
    pub keys: Keys,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_required_claims: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AudienceClaim {
    pub name: String,
    pub values: Vec<String>,
}

/// Exactly one member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Keys {
    /// A JWKS document over https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// A key of a Secret in the fleet's namespace: a JWKS, a PEM public key, or the bytes of an HMAC secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Public keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inline: Vec<InlineKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    pub name: String,
    pub key: String,
}

/// Exactly one of `pem` and `jwk`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InlineKey {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pem: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::any_object")]
    pub jwk: Option<serde_json::Value>,
}

/// A service name that matches the pattern may be claimed from these namespaces alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameRule {
    /// A name; "*" stands for any number of characters.
    pub pattern: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resume {
    /// How long a client may stay away and take its session up again. 2m if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Connected gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways: Option<u32>,
    /// Accepted and Programmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
