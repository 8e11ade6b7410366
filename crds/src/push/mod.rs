//! What operator and gateway say to each other: JSON in text frames of one WebSocket, which the gateway dials.
//!
//! The gateway says [`Hello`](ToOperator::Hello) once. The operator sends a snapshot in pieces, which counts as a whole or not at all, or
//! deltas from the version that the gateway has. Each version is answered by an ack or a nack; a gateway never goes back to an older one.

mod delta;

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::delta::{Delta, Refused, Snapshot};
use crate::catalog::{Catalog, Fleet, Service, Tier};

/// The version of this protocol, in the path that is dialled: `/v1/config`.
pub const PATH: &str = "/v1/config";

/// Services in one piece of a snapshot, so that no message is as large as a catalog.
pub const PIECE: usize = 64;

/// Of a catalog: the term rises with every holder of the operator's lease, the number with every catalog that differs. Gateways refuse
/// what goes back, so a holder that was stopped and wakes up changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    pub term: u64,
    pub number: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.number)
    }
}

/// SHA-256 over the catalog's JSON, in hexadecimal: whether two have the same, whatever way they came by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(String);

impl Hash {
    pub fn of(catalog: &Catalog) -> Hash {
        let digest = Sha256::digest(serde_json::to_vec(catalog).unwrap_or_default());
        Hash(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "snake_case", deny_unknown_fields)]
pub enum ToGateway {
    /// Begins a snapshot; one that was not ended is discarded.
    Begin {
        version: Version,
        format: u32,
        fleet: Box<Fleet>,
        tiers: Vec<Tier>,
    },
    Services {
        services: Vec<Service>,
    },
    /// The snapshot is whole, and has this hash.
    End {
        version: Version,
        hash: Hash,
    },
    Delta {
        delta: Box<Delta>,
    },
    /// This replica does not hold the lease; the link ends after it.
    Elsewhere {
        /// As the lease has it; `null`: nobody, as far as this replica knows.
        holder: Option<String>,
        /// Where the holder takes links, which may be dialled at once. TLS is for the name that was dialled before, since every replica's
        /// certificate has it. Absent: dial the Service again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<SocketAddr>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToOperator {
    /// What it obeys: nothing yet, or a catalog that it saved or had before the link broke.
    Hello {
        software: String,
        version: Option<Version>,
        hash: Option<Hash>,
    },
    Ack {
        version: Version,
    },
    Nack {
        version: Version,
        reasons: Vec<Reason>,
    },
}

/// Why a catalog is refused; its last good one counts on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// "service account", "tier player", "fleet"; absent: the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    pub why: String,
}

/// The messages of a snapshot; `hash` is the catalog's.
pub fn snapshot(version: Version, catalog: &Catalog, hash: Hash) -> Vec<ToGateway> {
    let Catalog { format, fleet, tiers, services } = catalog;
    let begin = ToGateway::Begin { version, format: *format, fleet: Box::new(fleet.clone()), tiers: tiers.clone() };
    let pieces = services.chunks(PIECE).map(|services| ToGateway::Services { services: services.to_vec() });
    let end = ToGateway::End { version, hash };
    std::iter::once(begin).chain(pieces).chain(std::iter::once(end)).collect()
}

#[cfg(test)]
mod tests;
