//! What the API server refuses at once: bounds, and rules in CEL with a message for a person.
//!
//! Shape alone: but for an entry that is there twice, nothing is refused here that `operator::catalog` would take, so that a folder
//! and a cluster agree. Every list, map and text has a bound, since the API server refuses a definition whose rules could cost too
//! much. `crds/tests/refused.yaml` has a case for every rule.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

const DNS_LABEL: &str = "self.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')";
const NAMESPACE: &str = "self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')";

/// A rule of CEL, and what a person reads whose object breaks it.
fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// For `extend("x-kubernetes-validations" = …)`.
pub(super) fn rules(all: &[(&str, &str)]) -> Value {
    all.iter().map(|(cel, message)| rule(cel, message)).collect()
}

fn ruled_text(max: usize, cel: &str, message: &str) -> Schema {
    json_schema!({"type": "string", "maxLength": max, "x-kubernetes-validations": [rule(cel, message)]})
}

/// A free JSON value: the API server keeps what is in it as it is.
pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    ruled_text(
        32,
        "self.matches('^([0-9]{1,5}(h|ms|m|s)){1,4}$')",
        "must be a duration; write for example 500ms, 3s, 2m, 24h or 1h30m",
    )
}

/// Unlike other names it stays: clients, senders and grants know the service by it.
pub(super) fn service_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "maxLength": 63,
        "x-kubernetes-validations": [
            rule(DNS_LABEL, "must be a DNS label: up to 63 of a-z, 0-9 and \"-\", beginning with a letter and not ending with \"-\""),
            rule("self == oldSelf", "never changes, since clients know the service by it; make another exposure and delete this one"),
        ],
    })
}

pub(super) fn dns_label(_: &mut SchemaGenerator) -> Schema {
    ruled_text(
        63,
        DNS_LABEL,
        "must be a DNS label: up to 63 of a-z, 0-9 and \"-\", beginning with a letter and not ending with \"-\"",
    )
}

pub(super) fn namespace(_: &mut SchemaGenerator) -> Schema {
    ruled_text(63, NAMESPACE, "must be the name of a namespace: up to 63 of a-z, 0-9 and \"-\"")
}

pub(super) fn namespaces(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 64, "x-kubernetes-list-type": "set", "items": namespace(generator)})
}

pub(super) fn app_id(_: &mut SchemaGenerator) -> Schema {
    ruled_text(
        58,
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "must be a Dapr app-id: up to 58 of a-z, 0-9 and \"-\"",
    )
}

/// What stands behind the dot in "account.create".
pub(super) fn member_name(_: &mut SchemaGenerator) -> Schema {
    ruled_text(
        63,
        "self.matches('^[A-Za-z][A-Za-z0-9_-]*$')",
        "must be a name: a letter, then up to 62 letters, digits, \"_\" or \"-\"",
    )
}

pub(super) fn path(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "maxLength": 1024,
        "x-kubernetes-validations": [
            rule("self.startsWith('/')", "must start with \"/\""),
            rule("!self.contains('?') && !self.contains('#')",
                 "must not hold \"?\" or \"#\": a query comes from the payload, by `payload: Query`"),
            rule("!self.matches('/\\\\.\\\\.?(/|$)')", "must not hold the segments \".\" and \"..\""),
        ],
    })
}

/// Origins as browsers write them; the fine print is in the conditions.
pub(super) fn origins(_: &mut SchemaGenerator) -> Schema {
    let item = ruled_text(
        256,
        "self.matches('^[a-z][a-z0-9+.-]*://[^/?#*]+$')",
        "must be an origin as browsers write it, for example https://play.example.com, without a path and without \"*\"",
    );
    json_schema!({"type": "array", "maxItems": 64, "x-kubernetes-list-type": "set", "items": item})
}

pub(super) fn networks(_: &mut SchemaGenerator) -> Schema {
    let item =
        ruled_text(64, "isCIDR(self)", "must be a network; write for example 10.0.0.0/8, 192.0.2.7/32 or fd00::/8");
    json_schema!({"type": "array", "maxItems": 64, "x-kubernetes-list-type": "set", "items": item})
}

pub(super) fn name_pattern(_: &mut SchemaGenerator) -> Schema {
    ruled_text(63, "self.matches('^[a-z0-9*-]+$')", "can match no service's name: use a-z, 0-9, \"-\" and \"*\"")
}

pub(super) fn algorithms(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": 12, "x-kubernetes-list-type": "set",
        "items": {"type": "string", "enum": [
            "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256", "HS384", "HS512",
        ]},
        "x-kubernetes-validations": [rule(
            "self.all(a, a.startsWith('HS')) || !self.exists(a, a.startsWith('HS'))",
            "must not mix HMAC (HS…) with the others: a public key could then sign tokens",
        )],
    })
}

pub(super) fn jwks_uri(_: &mut SchemaGenerator) -> Schema {
    ruled_text(
        1024,
        "self.matches('^(https://[^/@?#]|http://(127[.]0[.]0[.]1|localhost|\\\\[::1\\\\])([:/?#]|$))')",
        "must be https: who can change these keys can log in as anybody",
    )
}

pub(super) fn pem(_: &mut SchemaGenerator) -> Schema {
    ruled_text(
        16_384,
        "!self.contains('PRIVATE KEY')",
        "is a private key; put the public one here, and treat this one as known to all",
    )
}

/// A public JSON Web Key. `d` and `k` are known here so that they can be refused.
pub(super) fn jwk(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "x-kubernetes-preserve-unknown-fields": true, "required": ["kty"],
        "properties": {
            "kty": {"type": "string", "enum": ["RSA", "EC", "OKP", "oct"]},
            "d": {"type": "string", "maxLength": 4096},
            "k": {"type": "string", "maxLength": 4096},
        },
        "x-kubernetes-validations": [
            rule("!has(self.d)", "is a private key; put the public one here, and treat this one as known to all"),
            rule("self.kty != 'oct' && !has(self.k)",
                 "is a symmetric key, which must not stand in a resource: use `secretRef`"),
        ],
    })
}

fn label_text() -> Value {
    json!({"type": "string", "maxLength": 317})
}

/// As Kubernetes has it, and bounded.
pub(super) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 63},
            },
            "matchExpressions": {
                "type": "array", "maxItems": 32, "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object", "required": ["key", "operator"],
                    "properties": {
                        "key": label_text(),
                        "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                        "values": {
                            "type": "array", "maxItems": 64, "x-kubernetes-list-type": "atomic",
                            "items": {"type": "string", "maxLength": 63},
                        },
                    },
                },
            },
        },
    })
}

/// As Kubernetes' own kinds have them.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "maxItems": 8, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object", "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "maxLength": 316},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
                "message": {"type": "string", "maxLength": 32768},
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            },
        },
    })
}
