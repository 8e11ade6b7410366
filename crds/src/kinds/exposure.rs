//! `ServiceExposure`: what a service offers to clients, written by the team that owns the service.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::{Effect, EventInteraction, Interaction, OnOverflow, Payload};

/// Exposes a service's endpoints and events to the tiers of a fleet. The exposure asks, the tier admits.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "bannou.dev",
    version = "v1alpha1",
    kind = "ServiceExposure",
    namespaced,
    status = "ServiceExposureStatus",
    derive = "PartialEq",
    category = "bannou",
    shortname = "sexp"
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceExposureSpec {
    /// The prefix of every name in the clients' catalog ("account" in "account.create"). A DNS label; never changes.
    pub service_name: String,
    /// Where the requests go. Exactly one member.
    pub backend: Backend,
    /// The fleet, by its namespace. Left out: the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet_ref: Option<FleetRef>,
    /// For endpoints that do not say it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<Defaults>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resilience: Option<Resilience>,
    /// What clients may call, by name. At most 128; at least one endpoint or event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// What the service may send to clients, by name. At most 128.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub senders: Option<Senders>,
}

/// Exactly one member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// A Dapr app in the exposure's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dapr: Option<DaprBackend>,
    /// A plain HTTP Service of the exposure's namespace, for what has no sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceBackend>,
    /// Hosted by a connected client that holds one of these tiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerBackend>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DaprBackend {
    /// At most 58 characters.
    pub app_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceBackend {
    pub name: String,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerBackend {
    /// Tiers whose holders may host the service.
    pub hosts: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<PeerSelection>,
}

/// Which of several hosts is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PeerSelection {
    Newest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetRef {
    pub namespace: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// How long a service may take, for example 10s (the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// 65536 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_request_bytes: Option<u32>,
    /// 1048576 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_response_bytes: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resilience {
    /// Requests to this service at one time, per gateway. 512 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// Left out: on for a plain Service, off for a Dapr app, since Dapr has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// 10 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<u32>,
    /// 5s if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_for: Option<String>,
    /// 3 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_open_requests: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// "create" is "account.create" in the catalog.
    pub name: String,
    /// Starts with "/". May hold {subject}, {session} and {claims.<name>}, which are percent-encoded.
    pub path: String,
    /// POST if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_method: Option<HttpMethod>,
    /// What becomes of the payload. Left out: Body, or None for GET and DELETE, which take Query or None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// Tiers whose holders may call it. None: not exposed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Request if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction: Option<Interaction>,
    /// May be repeated after a connection failure, by gateway and SDK.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idempotent: bool,
    /// Which answer headers are honoured; every tier of the endpoint must consent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// None if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// Per connection, on top of the tier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// application/json if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// JSON Schema, for `describe` and typed clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<EndpointSchema>,
    /// What to use instead; shown to clients that ask, and by generated code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Authorization {
    None,
    /// The client's own token as the service's Authorization header.
    Forward,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    pub requests_per_second: u32,
    /// As many as `requestsPerSecond` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSchema {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::any_object")]
    pub request: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::any_object")]
    pub response: Option<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// "welcome" is "account.welcome" in the catalog.
    pub name: String,
    /// Tiers whose holders may receive it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<String>,
    /// Push if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction: Option<EventInteraction>,
    /// How long a client may take to answer a Request. 10s if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// CloseAndReplay if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_overflow: Option<OnOverflow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<EventSchema>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventSchema {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::any_object")]
    pub payload: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::any_object")]
    pub reply: Option<serde_json::Value>,
}

/// Who else may speak as this service; over HTTP it is the backend itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Senders {
    /// RabbitMQ users, as the broker checks `user_id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amqp_users: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceExposureStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Endpoints that some tier exposes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_count: Option<u32>,
    /// Accepted, ResolvedRefs and Programmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
