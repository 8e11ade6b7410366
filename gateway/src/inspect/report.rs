//! The words of the inspect port, JSON both ways. No token, no key, no claim's value is among them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::standing::{NameStanding, TierStanding};
use crate::view::Effective;

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Of the gateway's software.
    pub software: String,
    /// The first part of every `client_id`.
    pub slot: String,
    pub uptime_s: u64,
    pub connections: usize,
    pub draining: bool,
    /// What it waits for before it is ready, a line each.
    pub awaiting: Vec<String>,
    /// Cut off from its fleet for so long that only anonymous tiers are held.
    pub anonymous_only: bool,
    pub catalog: CatalogStatus,
    /// Of the operator that it follows; absent where it follows a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorLink>,
}

/// How it stands with the operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorLink {
    /// Of the catalog in force: term and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How long that is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced_s: Option<u64>,
    /// It was saved by an earlier process, and no operator has confirmed it yet.
    pub from_file: bool,
    /// Where the operator is that it is linked to; absent: it is linked to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked: Option<String>,
    /// Since the operator was last heard.
    pub silent_s: u64,
    /// What the last dial came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_dial: Option<String>,
    /// The last version that it refused, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedVersion>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedVersion {
    pub version: String,
    pub reasons: Vec<String>,
}

/// The catalog in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogStatus {
    /// `namespace/name`.
    pub fleet: String,
    /// SHA-256 over its JSON: the same on gateways that obey the same.
    pub hash: String,
    pub services: usize,
    pub endpoints: usize,
    pub events: usize,
    pub tiers: usize,
}

/// `GET /v1/connections`: one page, in order of session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// All that match, on every page.
    pub total: usize,
    pub connections: Vec<Connection>,
    /// Ask for what follows with `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Uuid>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    pub client_id: String,
    pub session_id: Uuid,
    /// By its name in the Fleet; absent without a token, as the subject is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub tiers: Vec<String>,
    pub address: IpAddr,
    pub connected_s: u64,
    /// Of what it was last told that it may use.
    pub revision: u64,
    pub in_flight: u32,
    pub queued_bytes: usize,
    /// The close code, where it is being closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<u16>,
}

/// `GET /v1/why`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// Of the client or subject; a bounded number.
    pub connections: Vec<WhyConnection>,
    /// How many more there are.
    pub more: usize,
    /// Whether the catalog in force has the name that was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyConnection {
    pub connection: Connection,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// Every tier of the fleet, held or not. All that is held is held by admission.
    pub tiers: Vec<TierStanding>,
    pub limits: Limits,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<NameStanding>,
    /// Whether the client has been told all that it may use.
    pub told: bool,
}

/// What is known of the token that a connection logged in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// `iss`.
    pub issuer: String,
    /// Negative once it has run out.
    pub expires_in_s: i64,
}

/// Of several tiers held, the most generous; absent: no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    pub requests_per_second: u32,
    pub burst: u32,
    pub max_in_flight: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections_per_subject: Option<u32>,
    pub max_message_bytes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connection_age_s: Option<u64>,
    pub send_queue_bytes: u32,
}

impl From<&Effective> for Limits {
    fn from(limits: &Effective) -> Limits {
        let Effective {
            requests_per_second,
            burst,
            max_in_flight,
            max_connections_per_subject: connections,
            max_message_bytes,
            max_connection_age_ms: age,
            send_queue_bytes,
        } = *limits;
        Limits {
            requests_per_second,
            burst,
            max_in_flight,
            max_connections_per_subject: (connections != u32::MAX).then_some(connections),
            max_message_bytes,
            max_connection_age_s: (age != u64::MAX).then_some(age / 1000),
            send_queue_bytes,
        }
    }
}

/// `POST /v1/kick`: exactly one of client and subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kick {
    /// A `client_id`, also a past one, or a session's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// With `subject`: an issuer's name in the Fleet, or its `iss`. Left out: of any issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What the client is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kicked {
    pub kicked: usize,
    /// A bounded number of them.
    pub clients: Vec<String>,
}

/// `POST /v1/preview` with a catalog: what would change for those who are connected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Those that were looked at.
    pub connections: usize,
    /// Those that would gain or lose something.
    pub changed: usize,
    /// Those that no tier would admit any more: they are closed unless a token comes.
    pub shut_out: usize,
    /// By name: how many would gain it.
    pub gained: BTreeMap<String, usize>,
    pub lost: BTreeMap<String, usize>,
    /// A bounded number of those that would gain or lose something.
    pub clients: Vec<ClientChange>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientChange {
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub tiers_now: Vec<String>,
    pub tiers_then: Vec<String>,
    pub gains: Vec<String>,
    pub loses: Vec<String>,
}

/// What is said instead, in `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub title: String,
    pub status: u16,
    pub detail: String,
}
