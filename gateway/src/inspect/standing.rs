//! What somebody holds, what that lets them use, and what each tier asks for. Pure; the decisions are admission's and the view's own.

use std::sync::Arc;

use bannou_crds::catalog::{ClaimRule, Tier};
use serde::{Deserialize, Serialize};

use crate::auth::Principal;
use crate::auth::admission::{self, Demand as Asked};
use crate::snapshot::{Snapshot, What};
use crate::tiers::TierSet;

/// Whether claims' values are told: to whoever gave them, and to nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    Shown,
    Hidden,
}

/// One tier of the fleet, and whether somebody holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TierStanding {
    pub name: String,
    pub held: bool,
    /// By its own admission; else it is held through another tier.
    pub admitted: bool,
    /// Tiers that include it: whoever holds one of them holds it too.
    pub included_by: Vec<String>,
    /// All that its own admission asks for.
    pub demands: Vec<Demand>,
    /// Services that may grant it.
    pub grantable_by: Vec<String>,
}

/// One thing that an admission asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Demand {
    pub what: Kind,
    pub met: bool,
    /// With `Issuer`: any of these, by their names in the Fleet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Everybody is let in.
    Nothing,
    /// A service's word, which no token replaces.
    Grant,
    Token,
    Issuer,
    Claim,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    pub rule: ClaimRule,
    /// Whether the session kept anything of that path: it keeps what the catalog in force at its login asked for.
    pub kept: bool,
    /// The token's value; absent where it has none, and where values are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// One name of the catalog, and whether somebody may use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NameStanding {
    pub name: String,
    pub is: NameKind,
    pub allowed: bool,
    /// Whose holders may use it.
    pub tiers: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameKind {
    Endpoint,
    Event,
}

/// Every tier of the fleet, in order of name.
pub fn tiers(snapshot: &Snapshot, principal: Option<&Principal>, held: &TierSet, values: Values) -> Vec<TierStanding> {
    let all = &snapshot.catalog.tiers;
    let each = |(index, tier): (usize, &Tier)| TierStanding {
        name: tier.name.clone(),
        held: held.contains(index),
        admitted: held.contains(index) && admission::admits(&tier.admission, principal),
        included_by: all.iter().filter(|t| t.includes.contains(&tier.name)).map(|t| t.name.clone()).collect(),
        demands: admission::demands(&tier.admission, principal)
            .map(|(d, met)| demand(d, met, principal, values))
            .collect(),
        grantable_by: tier.grantable_by.clone(),
    };
    all.iter().enumerate().map(each).collect()
}

fn demand(asked: Asked<'_>, met: bool, principal: Option<&Principal>, values: Values) -> Demand {
    let plain = |what| Demand { what, met, issuers: Vec::new(), claim: None };
    match asked {
        Asked::Nothing => plain(Kind::Nothing),
        Asked::Grant => plain(Kind::Grant),
        Asked::Token => plain(Kind::Token),
        Asked::Issuer(issuers) => Demand { issuers: issuers.to_vec(), ..plain(Kind::Issuer) },
        Asked::Claim(rule) => {
            let found = principal.filter(|_| values == Values::Shown).and_then(|p| p.claims.shown(&rule.path));
            let kept = principal.is_none_or(|p| p.claims.keeps(&rule.path));
            Demand { claim: Some(Claim { rule: rule.clone(), kept, found }), ..plain(Kind::Claim) }
        }
    }
}

/// `<service>.<endpoint or event>` for holders of exactly these tiers; an endpoint before an event of the same name. `None`: the
/// catalog has no such name.
pub fn name(snapshot: &Arc<Snapshot>, held: TierSet, name: &str) -> Option<NameStanding> {
    let mut entries: Vec<_> = snapshot.entries.iter().filter(|entry| *entry.name == *name).collect();
    entries.sort_by_key(|entry| matches!(entry.what, What::Event { .. }));
    let entry = entries.first()?;
    let tiers = entry.tiers.iter().filter_map(|i| snapshot.catalog.tiers.get(i)).map(|t| t.name.clone());
    Some(NameStanding {
        name: name.to_owned(),
        is: if matches!(entry.what, What::Event { .. }) { NameKind::Event } else { NameKind::Endpoint },
        allowed: snapshot.view(held).find(entry.target).is_some(),
        tiers: tiers.collect(),
    })
}
