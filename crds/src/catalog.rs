//! The compiled catalog: the contract between operator and gateway.
//!
//! Everything is resolved: inheritance is expanded, durations are milliseconds, names carry their [`Target`]. A gateway
//! can follow a catalog file as it is; nothing in it needs the API server.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::target::Target;

/// The version of this format; a gateway refuses another one.
pub const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    pub format: u32,
    pub fleet: Fleet,
    /// In order of name. At most 512.
    pub tiers: Vec<Tier>,
    /// In order of name.
    pub services: Vec<Service>,
}

/// What concerns the whole gateway Deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    pub namespace: String,
    pub name: String,
    pub issuers: Vec<Issuer>,
    /// Allowed values of `Origin`, as browsers write them. Empty: no browser may connect.
    pub origins: Vec<String>,
    pub trusted_proxies: Vec<IpNet>,
    pub resume_window_ms: u64,
    pub max_session_age_ms: u64,
    pub max_config_age_ms: u64,
    pub max_token_life_ms: u64,
    /// How long a gateway without word from the broker's control stream serves more than anonymous tiers.
    #[serde(default = "five_minutes")]
    pub max_control_age_ms: u64,
    /// Services of this catalog that may revoke, ban and kick, in order of name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<String>,
}

fn five_minutes() -> u64 {
    300_000
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// How tiers call it.
    pub name: String,
    /// The exact value of `iss`.
    pub issuer: String,
    /// One of these must be in `aud`, unless `audience_claim` stands in for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// For issuers whose tokens have no `aud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience_claim: Option<AudienceClaim>,
    /// Of HS256, RS256, ES256, EdDSA (and the longer ones of each family).
    pub algorithms: Vec<String>,
    pub keys: Keys,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_required_claims: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudienceClaim {
    pub name: String,
    pub values: Vec<String>,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Keys {
    /// Fetched, cached, refreshed on an unknown `kid` with a limit; last good kept.
    JwksUri(String),
    /// Public keys in the resource itself.
    Inline(Vec<InlineKey>),
    /// Mounted files: a JWKS, a PEM public key, or the raw bytes of an HMAC secret. Relative to the catalog's folder.
    Files(Vec<FileKey>),
}

/// Exactly one of `pem` and `jwk`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InlineKey {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pem: Option<String>,
    /// A JSON Web Key. Symmetric ones are accepted only from files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwk: Option<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileKey {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    pub name: String,
    /// Every tier that a holder of this one holds too, itself not among them, in order of name (inheritance expanded).
    pub includes: Vec<String>,
    pub admission: Admission,
    pub limits: Limits,
    pub peers: Peers,
    /// Services of this catalog that may grant and revoke the tier at run time, in order of name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grantable_by: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    pub principal: Principal,
    /// Names of the fleet's issuers; empty: any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<String>,
    /// All must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimRule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
pub enum Principal {
    /// Everybody, also without a token.
    Anonymous,
    Authenticated,
    /// By a service's word alone.
    GrantedOnly,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRule {
    /// From the token's root, one member name each.
    pub path: Vec<String>,
    pub operator: ClaimOperator,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
pub enum ClaimOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    /// The claim is a string of words separated by spaces (like `scope`), one of which is among the values.
    HasWord,
}

/// Of several tiers held, the most generous figure counts. `None`: this tier says nothing about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections_per_subject: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_message_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connection_age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_queue_bytes: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
pub enum Peers {
    Disabled,
    Introduced,
    Open,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The catalog prefix.
    pub name: String,
    /// Where the exposure lives.
    pub namespace: String,
    pub backend: Backend,
    pub max_in_flight: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// In order of name.
    pub endpoints: Vec<Endpoint>,
    /// In order of name.
    pub events: Vec<Event>,
    /// Whose broker-checked `user_id` may speak as this service, beside the gateways themselves. Empty: nobody over AMQP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Backend {
    /// Called through the sidecar as `<app_id>.<namespace of the exposure>`.
    Dapr { app_id: String },
    /// A plain HTTP Service of the exposure's namespace.
    Service { name: String, port: u16 },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    pub consecutive_failures: u32,
    pub open_for_ms: u64,
    pub half_open_requests: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Without the service's name.
    pub name: String,
    pub target: Target,
    pub path: Vec<PathPart>,
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: String,
    pub payload: Payload,
    /// Tiers whose holders may call it, in order of name; only such as admit the exposure.
    pub tiers: Vec<String>,
    pub timeout_ms: u64,
    pub max_request_bytes: u32,
    pub max_response_bytes: u32,
    pub interaction: Interaction,
    #[serde(default)]
    pub idempotent: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    #[serde(default)]
    pub forward_authorization: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    pub content_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
}

/// A path, cut at its variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PathPart {
    Text(String),
    /// The token's `sub`.
    Subject,
    Session,
    /// A claim by its path; `{claims.a.b}` is `["a", "b"]`.
    Claim(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
pub enum Payload {
    Body,
    /// The payload is the query string.
    Query,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
pub enum Interaction {
    Request,
    OneWay,
    Stream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
pub enum Effect {
    Login,
    Tiers,
    Peers,
    Groups,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    pub requests_per_second: u32,
    pub burst: u32,
}

/// What a service may send to clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub name: String,
    pub target: Target,
    pub tiers: Vec<String>,
    pub interaction: EventInteraction,
    pub timeout_ms: u64,
    pub on_overflow: OnOverflow,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<serde_json::Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
pub enum EventInteraction {
    Push,
    Request,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
pub enum OnOverflow {
    CloseAndReplay,
    Drop,
    KeepLatest,
}

impl Catalog {
    /// Every claim path that some tier or path template reads: all that a session keeps of its token.
    pub fn claim_paths(&self) -> Vec<Vec<String>> {
        let rules = self.tiers.iter().flat_map(|t| t.admission.claims.iter().map(|c| &c.path));
        let templates = self.services.iter().flat_map(|s| &s.endpoints).flat_map(|e| &e.path).filter_map(|p| match p {
            PathPart::Claim(path) => Some(path),
            _ => None,
        });
        let unique: BTreeMap<_, ()> = rules.chain(templates).map(|p| (p.clone(), ())).collect();
        unique.into_keys().collect()
    }
}
