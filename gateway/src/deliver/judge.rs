//! Whether a message may be said at all. Pure.

use bannou_crds::catalog::{Event, EventInteraction};
use bannou_crds::{Kind, Target};

use crate::bus::contract::{Address, Speech};
use crate::snapshot::Snapshot;

/// Why a message goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub status: u16,
    pub reason: &'static str,
}

const fn refused(status: u16, reason: &'static str) -> Refused {
    Refused { status, reason }
}

/// The event as it is declared, if its service is who speaks. `gateways` is the user that all gateways publish as: what
/// they pass on was checked by the one that took it.
///
/// # Errors
/// Undeclared and not permitted are the same to whoever is refused.
pub fn judge<'a>(snapshot: &'a Snapshot, speech: &Speech<'_>, gateways: &str) -> Result<&'a Event, Refused> {
    let name = speech.name();
    let found = snapshot.find(Target::of(Kind::Event, name.as_bytes()));
    let entry = found.map(|i| &snapshot.entries[i]).filter(|e| *e.name == *name);
    let Some((service, event)) = entry.and_then(|e| snapshot.event(e)) else {
        return Err(refused(403, "event not declared"));
    };
    let may = speech.user.is_some_and(|user| user == gateways || service.senders.iter().any(|s| s == user));
    if !may {
        return Err(refused(403, "sender not permitted"));
    }
    if event.interaction == EventInteraction::Request {
        if !matches!(speech.to, Address::Client { .. }) {
            return Err(refused(400, "request to many"));
        }
        if speech.reply.is_none() {
            return Err(refused(400, "request without reply_to"));
        }
    }
    Ok(event)
}

/// How long an answer is waited for, in milliseconds: what the caller asks, capped by the event.
pub fn timeout_ms(event: &Event, speech: &Speech<'_>) -> u64 {
    speech.timeout_ms.map_or(event.timeout_ms, |asked| asked.min(event.timeout_ms))
}
