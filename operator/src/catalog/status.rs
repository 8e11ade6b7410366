//! What `compile` has to say about each object: conditions without a clock. Whoever writes them to the API server adds
//! the time of the last change.

use std::fmt;

use serde::{Serialize, Serializer};

/// In the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ConditionType {
    /// The object is well formed and allowed.
    Accepted,
    /// What it points at is there.
    ResolvedRefs,
    /// The gateways obey it. `compile` knows no gateways: it says Unknown where all is well.
    Programmed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Status {
    True,
    False,
    Unknown,
}

/// Why. The words are API: scripts compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Accepted,
    Invalid,
    NameConflict,
    NameNotAllowed,
    NotAllowedByTier,
    EffectNotAllowed,
    TierCycle,
    ResolvedRefs,
    FleetNotFound,
    TierNotFound,
    IssuerNotFound,
    ServiceNotFound,
    BackendNotFound,
    BackendNotDaprEnabled,
    NoReadyPods,
    KeysForbidden,
    KeysNotOwned,
    KeysFailed,
    Programmed,
    Pending,
    NoGatewaysConnected,
    Rejected,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Accepted => "Accepted",
            Reason::Invalid => "Invalid",
            Reason::NameConflict => "NameConflict",
            Reason::NameNotAllowed => "NameNotAllowed",
            Reason::NotAllowedByTier => "NotAllowedByTier",
            Reason::EffectNotAllowed => "EffectNotAllowed",
            Reason::TierCycle => "TierCycle",
            Reason::ResolvedRefs => "ResolvedRefs",
            Reason::FleetNotFound => "FleetNotFound",
            Reason::TierNotFound => "TierNotFound",
            Reason::IssuerNotFound => "IssuerNotFound",
            Reason::ServiceNotFound => "ServiceNotFound",
            Reason::BackendNotFound => "BackendNotFound",
            Reason::BackendNotDaprEnabled => "BackendNotDaprEnabled",
            Reason::NoReadyPods => "NoReadyPods",
            Reason::KeysForbidden => "KeysForbidden",
            Reason::KeysNotOwned => "KeysNotOwned",
            Reason::KeysFailed => "KeysFailed",
            Reason::Programmed => "Programmed",
            Reason::Pending => "Pending",
            Reason::NoGatewaysConnected => "NoGatewaysConnected",
            Reason::Rejected => "Rejected",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: ConditionType,
    pub status: Status,
    pub reason: Reason,
    /// A sentence that says what to do.
    pub message: String,
}

/// The status of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStatus {
    /// The generation that was judged; absent for an object from a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Of an exposure: endpoints that some tier exposes. Of a tier: endpoints exposed under it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<u32>,
    /// Of a Fleet: gateways that are connected to the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateways: Option<u32>,
    pub conditions: Vec<Condition>,
}

impl ObjectStatus {
    pub fn condition(&self, kind: ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.kind == kind)
    }

    /// Something that it needs is not there, beside what else may be missing.
    #[cfg(feature = "controller")]
    pub(crate) fn lacks(&mut self, reason: Reason, message: &str) {
        let Some(resolved) = self.conditions.iter_mut().find(|c| c.kind == ConditionType::ResolvedRefs) else { return };
        if resolved.status == Status::False {
            resolved.message = format!("{} {message}", resolved.message);
        } else {
            (resolved.status, resolved.reason) = (Status::False, reason);
            message.clone_into(&mut resolved.message);
        }
    }

    /// Says of `Programmed` what it is, where only the gateways' word is missing.
    pub(crate) fn conclude(&mut self, (status, reason, message): (Status, Reason, String)) {
        if let Some(condition) = self.pending_mut() {
            (condition.status, condition.reason, condition.message) = (status, reason, message);
        }
    }

    /// `Programmed`, where only the gateways' word is missing.
    fn pending_mut(&mut self) -> Option<&mut Condition> {
        self.conditions.iter_mut().find(|c| c.kind == ConditionType::Programmed && c.status == Status::Unknown)
    }

    /// Whether a person has to do something: some condition is False.
    pub fn needs_attention(&self) -> bool {
        self.conditions.iter().any(|c| c.status == Status::False)
    }
}

/// A reason not to be True, with its message; several of them become one condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Objection {
    pub reason: Reason,
    pub message: String,
}

/// What is held against one object, gathered while it is compiled.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    accepted: Vec<Objection>,
    resolved: Vec<Objection>,
    /// The object, or all that could be exposed of it, is not in the catalog.
    withdrawn: bool,
}

impl Findings {
    /// The object is not in the catalog for this reason.
    pub fn withdraw(&mut self, reason: Reason, message: String) {
        self.withdrawn = true;
        self.object(reason, message);
    }

    /// The object is not in the catalog, for a reason that another condition tells.
    pub fn withdraw_silently(&mut self) {
        self.withdrawn = true;
    }

    /// A part of the object is not in the catalog.
    pub fn object(&mut self, reason: Reason, message: String) {
        self.accepted.push(Objection { reason, message });
    }

    /// Something it points at is not there.
    pub fn unresolved(&mut self, reason: Reason, message: String) {
        self.resolved.push(Objection { reason, message });
    }

    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn
    }

    /// `fleet_accepted` is false where the whole fleet has no catalog.
    pub fn status(
        self,
        observed_generation: Option<i64>,
        endpoints: Option<u32>,
        fleet_accepted: bool,
    ) -> ObjectStatus {
        let programmed = if self.withdrawn {
            (Status::False, "Not in the catalog; see the other conditions.")
        } else if !fleet_accepted {
            (
                Status::False,
                "The Fleet is not accepted, so gateways keep the last good catalog; see the Fleet's conditions.",
            )
        } else {
            (Status::Unknown, "In the catalog; waiting for gateways to take it over.")
        };
        let conditions = vec![
            condition(ConditionType::Accepted, Reason::Accepted, self.accepted, "Accepted."),
            condition(
                ConditionType::ResolvedRefs,
                Reason::ResolvedRefs,
                self.resolved,
                "All that it points at is there.",
            ),
            Condition {
                kind: ConditionType::Programmed,
                status: programmed.0,
                reason: Reason::Pending,
                message: programmed.1.to_owned(),
            },
        ];
        ObjectStatus { observed_generation, endpoints, gateways: None, conditions }
    }
}

/// A status holds 32 KiB at most in the API server; nobody reads more than a handful of mistakes at a time anyway.
const MESSAGES: usize = 8;

fn condition(kind: ConditionType, good: Reason, mut objections: Vec<Objection>, well: &str) -> Condition {
    let Some(first) = objections.first() else {
        return Condition { kind, status: Status::True, reason: good, message: well.to_owned() };
    };
    let reason = first.reason;
    let more = objections.len().saturating_sub(MESSAGES);
    objections.truncate(MESSAGES);
    let mut message = objections.into_iter().map(|o| o.message).collect::<Vec<_>>().join(" ");
    if more > 0 {
        message.push_str(&format!(" And {more} more."));
    }
    Condition { kind, status: Status::False, reason, message }
}
