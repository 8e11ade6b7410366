//! From a ServiceExposure as it is written to what it asks for; whether it gets it is decided in `attach`.

use std::collections::BTreeSet;

use bannou_crds::catalog::{self, Effect, EventInteraction, Interaction, OnOverflow, PathPart, Payload};
use bannou_crds::kinds::{self, Authorization, HttpMethod, ServiceExposureSpec};

use super::check::Problems;
use super::path;

const MAX_MEMBERS: usize = 128;
const MAX_BYTES: u32 = 16 << 20;
const MAX_SCHEMA: usize = 16 * 1024;
const HOUR: u64 = 3_600_000;
const TIMEOUT: u64 = 10_000;

/// A well-formed exposure.
pub(super) struct ExposurePlan {
    pub backend: catalog::Backend,
    pub max_in_flight: u32,
    pub breaker: Option<catalog::Breaker>,
    /// In order of name; targets and tiers are still to come.
    pub endpoints: Vec<EndpointPlan>,
    pub events: Vec<EventPlan>,
    pub senders: Vec<String>,
}

pub(super) struct EndpointPlan {
    pub name: String,
    pub path: Vec<PathPart>,
    pub method: &'static str,
    pub payload: Payload,
    pub tiers: BTreeSet<String>,
    pub timeout_ms: u64,
    pub max_request_bytes: u32,
    pub max_response_bytes: u32,
    pub interaction: Interaction,
    pub idempotent: bool,
    pub effects: BTreeSet<Effect>,
    pub forward_authorization: bool,
    pub rate_limit: Option<catalog::RateLimit>,
    pub content_type: String,
    pub schema: Option<serde_json::Value>,
    pub deprecated: Option<String>,
}

pub(super) struct EventPlan {
    pub name: String,
    pub tiers: BTreeSet<String>,
    pub interaction: EventInteraction,
    pub timeout_ms: u64,
    pub on_overflow: OnOverflow,
    pub schema: Option<serde_json::Value>,
}

struct Defaults {
    timeout_ms: u64,
    max_request_bytes: u32,
    max_response_bytes: u32,
}

/// The part that decides who owns a name; looked at before anything else, so that a broken owner keeps it.
pub(super) fn service_name(spec: &ServiceExposureSpec) -> Result<&str, Problems> {
    let mut p = Problems::default();
    p.dns_label("spec.serviceName", &spec.service_name);
    if p.is_empty() { Ok(&spec.service_name) } else { Err(p) }
}

pub(super) fn parse(spec: &ServiceExposureSpec) -> Result<ExposurePlan, Problems> {
    let mut p = Problems::default();
    let backend = parse_backend(&mut p, &spec.backend);
    let given = spec.defaults.clone().unwrap_or_default();
    let defaults = Defaults {
        timeout_ms: p.duration("spec.defaults.timeout", given.timeout.as_deref(), TIMEOUT, (1, HOUR)),
        max_request_bytes: p.number("spec.defaults.maxRequestBytes", given.max_request_bytes, 65_536, (1, MAX_BYTES)),
        max_response_bytes: p.number(
            "spec.defaults.maxResponseBytes",
            given.max_response_bytes,
            1 << 20,
            (1, MAX_BYTES),
        ),
    };
    let (max_in_flight, breaker) = parse_resilience(&mut p, spec, &backend);
    if spec.endpoints.is_empty() && spec.events.is_empty() {
        p.add("spec.endpoints", "must hold at least one endpoint, or `events` one event");
    }
    p.at_most("spec.endpoints", &spec.endpoints, MAX_MEMBERS);
    p.at_most("spec.events", &spec.events, MAX_MEMBERS);
    p.unique("spec.endpoints", "name", spec.endpoints.iter().map(|e| e.name.as_str()));
    p.unique("spec.events", "name", spec.events.iter().map(|e| e.name.as_str()));
    let mut endpoints: Vec<_> =
        spec.endpoints.iter().enumerate().map(|(i, e)| parse_endpoint(&mut p, i, e, &defaults)).collect();
    let mut events: Vec<_> = spec.events.iter().enumerate().map(|(i, e)| parse_event(&mut p, i, e)).collect();
    for (i, user) in spec.senders.iter().flat_map(|s| &s.amqp_users).enumerate() {
        p.text(&format!("spec.senders.amqpUsers[{i}]"), user, 128);
    }
    p.at_most("spec.senders.amqpUsers", spec.senders.as_ref().map_or(&[], |s| &s.amqp_users), 32);
    if !p.is_empty() {
        return Err(p);
    }
    endpoints.sort_by(|a, b| a.name.cmp(&b.name));
    events.sort_by(|a, b| a.name.cmp(&b.name));
    let senders = spec.senders.as_ref().map_or_else(Vec::new, |s| s.amqp_users.clone());
    Ok(ExposurePlan { backend, max_in_flight, breaker, endpoints, events, senders })
}

fn parse_backend(p: &mut Problems, backend: &kinds::Backend) -> catalog::Backend {
    match backend {
        kinds::Backend { dapr: Some(dapr), service: None, peer: None } => {
            let id = &dapr.app_id;
            // Sixty-three of a DNS label, less what Dapr adds for the name of its own Service.
            let good = (1..=58).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !id.starts_with('-')
                && !id.ends_with('-');
            if !good {
                p.add(
                    "spec.backend.dapr.appId",
                    format!("{id:?} is not a Dapr app-id: up to 58 of a-z, 0-9 and \"-\""),
                );
            }
            catalog::Backend::Dapr { app_id: id.clone() }
        }
        kinds::Backend { dapr: None, service: Some(service), peer: None } => {
            p.dns_label("spec.backend.service.name", &service.name);
            if service.port == 0 {
                p.add("spec.backend.service.port", "must be between 1 and 65535");
            }
            catalog::Backend::Service { name: service.name.clone(), port: service.port }
        }
        kinds::Backend { dapr: None, service: None, peer: Some(_) } => {
            p.add(
                "spec.backend.peer",
                "services that connected clients host are not in this version; use `dapr` or `service`",
            );
            catalog::Backend::Dapr { app_id: String::new() }
        }
        _ => {
            p.add("spec.backend", "must have exactly one of `dapr`, `service` and `peer`");
            catalog::Backend::Dapr { app_id: String::new() }
        }
    }
}

fn parse_resilience(
    p: &mut Problems,
    spec: &ServiceExposureSpec,
    backend: &catalog::Backend,
) -> (u32, Option<catalog::Breaker>) {
    let given = spec.resilience.as_ref();
    let max_in_flight = p.number("spec.resilience.maxInFlight", given.and_then(|r| r.max_in_flight), 512, (1, 65_536));
    let breaker = match (given.and_then(|r| r.breaker.clone()), backend) {
        (None, catalog::Backend::Dapr { .. }) => return (max_in_flight, None),
        (None, catalog::Backend::Service { .. }) => kinds::Breaker::default(),
        (Some(breaker), _) => breaker,
    };
    let at = "spec.resilience.breaker";
    let breaker = catalog::Breaker {
        consecutive_failures: p.number(
            &format!("{at}.consecutiveFailures"),
            breaker.consecutive_failures,
            10,
            (1, 10_000),
        ),
        open_for_ms: p.duration(&format!("{at}.openFor"), breaker.open_for.as_deref(), 5_000, (1, HOUR)),
        half_open_requests: p.number(&format!("{at}.halfOpenRequests"), breaker.half_open_requests, 3, (1, 1_000)),
    };
    (max_in_flight, Some(breaker))
}

fn parse_endpoint(p: &mut Problems, i: usize, endpoint: &kinds::Endpoint, defaults: &Defaults) -> EndpointPlan {
    let at = |field: &str| format!("spec.endpoints[{i}].{field}");
    p.member_name(&at("name"), &endpoint.name);
    let path = path::parse(&endpoint.path).unwrap_or_else(|message| {
        p.add(&at("path"), message);
        Vec::new()
    });
    let method = endpoint.http_method.unwrap_or(HttpMethod::Post);
    let bodiless = matches!(method, HttpMethod::Get | HttpMethod::Delete);
    let payload = match endpoint.payload {
        None if bodiless => Payload::None,
        None => Payload::Body,
        Some(Payload::Body) if bodiless => {
            p.add(&at("payload"), format!("{} has no body; write Query or None", method_name(method)));
            Payload::None
        }
        Some(given) => given,
    };
    check_tiers(p, &at("tiers"), &endpoint.tiers);
    let content_type = endpoint.content_type.clone().unwrap_or_else(|| "application/json".to_owned());
    let good_type = content_type.len() <= 128
        && content_type.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && content_type.split_once('/').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
    if !good_type {
        p.add(&at("contentType"), format!("{content_type:?} is not a media type such as application/json"));
    }
    if let Some(text) = &endpoint.deprecated {
        p.text(&at("deprecated"), text, 256);
    }
    let schema = endpoint.schema.as_ref().and_then(|s| serde_json::to_value(s).ok());
    check_schema(p, &at("schema"), schema.as_ref());
    EndpointPlan {
        name: endpoint.name.clone(),
        path,
        method: method_name(method),
        payload,
        tiers: endpoint.tiers.iter().cloned().collect(),
        timeout_ms: p.duration(&at("timeout"), endpoint.timeout.as_deref(), defaults.timeout_ms, (1, HOUR)),
        max_request_bytes: defaults.max_request_bytes,
        max_response_bytes: defaults.max_response_bytes,
        interaction: endpoint.interaction.unwrap_or(Interaction::Request),
        idempotent: endpoint.idempotent,
        effects: endpoint.effects.iter().copied().collect(),
        forward_authorization: endpoint.authorization == Some(Authorization::Forward),
        rate_limit: endpoint.rate_limit.as_ref().map(|limit| {
            let per_second = limit.requests_per_second;
            catalog::RateLimit {
                requests_per_second: p.number(
                    &at("rateLimit.requestsPerSecond"),
                    Some(per_second),
                    per_second,
                    (1, 1_000_000),
                ),
                burst: p.number(&at("rateLimit.burst"), limit.burst, per_second.max(1), (1, 1_000_000)),
            }
        }),
        content_type,
        schema,
        deprecated: endpoint.deprecated.clone(),
    }
}

fn parse_event(p: &mut Problems, i: usize, event: &kinds::Event) -> EventPlan {
    let at = |field: &str| format!("spec.events[{i}].{field}");
    p.member_name(&at("name"), &event.name);
    check_tiers(p, &at("tiers"), &event.tiers);
    let schema = event.schema.as_ref().and_then(|s| serde_json::to_value(s).ok());
    check_schema(p, &at("schema"), schema.as_ref());
    EventPlan {
        name: event.name.clone(),
        tiers: event.tiers.iter().cloned().collect(),
        interaction: event.interaction.unwrap_or(EventInteraction::Push),
        timeout_ms: p.duration(&at("timeout"), event.timeout.as_deref(), TIMEOUT, (1, HOUR)),
        on_overflow: event.on_overflow.unwrap_or(OnOverflow::CloseAndReplay),
        schema,
    }
}

fn check_tiers(p: &mut Problems, field: &str, tiers: &[String]) {
    p.at_most(field, tiers, 32);
    for (i, tier) in tiers.iter().enumerate() {
        p.text(&format!("{field}[{i}]"), tier, 63);
    }
}

fn check_schema(p: &mut Problems, field: &str, schema: Option<&serde_json::Value>) {
    let bytes = schema.map_or(0, |s| s.to_string().len());
    if bytes > MAX_SCHEMA {
        p.add(field, format!("{bytes} bytes as JSON are more than the {MAX_SCHEMA} that are allowed"));
    }
}

fn method_name(method: HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Patch => "PATCH",
        HttpMethod::Delete => "DELETE",
    }
}
