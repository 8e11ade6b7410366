//! `ServiceExposure`: what a service offers to clients, written by the team that owns the service.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
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
    doc = "Exposes the endpoints and events of a service to the tiers of a fleet. The exposure asks, the tier admits.",
    category = "bannou",
    shortname = "sexp",
    printcolumn = r#"{"name":"Service", "type":"string", "jsonPath":".spec.serviceName"}"#,
    printcolumn = r#"{"name":"Endpoints", "type":"integer", "jsonPath":".status.endpointCount"}"#,
    printcolumn = r#"{"name":"Accepted", "type":"string", "jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Resolved", "type":"string", "jsonPath":".status.conditions[?(@.type==\"ResolvedRefs\")].status"}"#,
    printcolumn = r#"{"name":"Programmed", "type":"string", "jsonPath":".status.conditions[?(@.type==\"Programmed\")].status"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#
)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[(
    "(has(self.endpoints) && size(self.endpoints) > 0) || (has(self.events) && size(self.events) > 0)",
    "must hold at least one endpoint or one event",
)])))]
#[serde(rename_all = "camelCase")]
pub struct ServiceExposureSpec {
    /// The prefix of every name in the clients' catalog ("account" in "account.create"). A DNS label; never changes.
    #[schemars(schema_with = "schema::service_name")]
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
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub endpoints: Vec<Endpoint>,
    /// What the service may send to clients, by name. At most 128.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub events: Vec<Event>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub senders: Option<Senders>,
}

/// Exactly one member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[(
    "(has(self.dapr) ? 1 : 0) + (has(self.service) ? 1 : 0) + (has(self.peer) ? 1 : 0) == 1",
    "must have exactly one of dapr, service and peer",
)])))]
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
    #[schemars(schema_with = "schema::app_id")]
    pub app_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceBackend {
    #[schemars(schema_with = "schema::dns_label")]
    pub name: String,
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerBackend {
    /// Tiers whose holders may host the service.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
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
    #[schemars(schema_with = "schema::namespace")]
    pub namespace: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// How long a service may take, for example 10s (the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<String>,
    /// 65536 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16_777_216))]
    pub max_request_bytes: Option<u32>,
    /// 1048576 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16_777_216))]
    pub max_response_bytes: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resilience {
    /// Requests to this service at one time, per gateway. 512 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
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
    #[schemars(range(min = 1, max = 10_000))]
    pub consecutive_failures: Option<u32>,
    /// 5s if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub open_for: Option<String>,
    /// 3 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub half_open_requests: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[(
    "!(has(self.httpMethod) && self.httpMethod in ['GET', 'DELETE'] && has(self.payload) && self.payload == 'Body')",
    "GET and DELETE have no body; write `payload: Query` or `payload: None`",
)])))]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// "create" is "account.create" in the catalog.
    #[schemars(schema_with = "schema::member_name")]
    pub name: String,
    /// Starts with "/". May hold {subject}, {session} and {claims.<name>}, which are percent-encoded.
    #[schemars(schema_with = "schema::path")]
    pub path: String,
    /// POST if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_method: Option<HttpMethod>,
    /// What becomes of the payload. Left out: Body, or None for GET and DELETE, which take Query or None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// Tiers whose holders may call it. None: not exposed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub tiers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<String>,
    /// Request if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction: Option<Interaction>,
    /// May be repeated after a connection failure, by gateway and SDK.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idempotent: bool,
    /// Which answer headers are honoured; every tier of the endpoint must consent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub effects: Vec<Effect>,
    /// None if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// Per connection, on top of the tier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// application/json if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub content_type: Option<String>,
    /// JSON Schema, for `describe` and typed clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<EndpointSchema>,
    /// What to use instead; shown to clients that ask, and by generated code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
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
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: u32,
    /// As many as `requestsPerSecond` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSchema {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub request: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub response: Option<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// "welcome" is "account.welcome" in the catalog.
    #[schemars(schema_with = "schema::member_name")]
    pub name: String,
    /// Tiers whose holders may receive it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub tiers: Vec<String>,
    /// Push if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction: Option<EventInteraction>,
    /// How long a client may take to answer a Request. 10s if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
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
    #[schemars(schema_with = "schema::any_object")]
    pub payload: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub reply: Option<serde_json::Value>,
}

/// Who else may speak as this service; over HTTP it is the backend itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Senders {
    /// RabbitMQ users, as the broker checks `user_id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub amqp_users: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceExposureStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Endpoints that some tier exposes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 256))]
    pub endpoint_count: Option<u32>,
    /// Accepted, ResolvedRefs and Programmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
