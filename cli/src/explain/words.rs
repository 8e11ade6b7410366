//! What tiers ask for, in words: for what a folder says, and for what a gateway says of a live connection.

use bannou_crds::catalog::ClaimOperator;
use bannou_gateway::inspect::standing::{Claim, Demand, Kind, TierStanding};

/// What is asked for, such as `a token of the issuer main`.
pub fn demand(demand: &Demand) -> String {
    match (demand.what, &demand.claim) {
        (Kind::Nothing, _) => "everybody is let in".to_owned(),
        (Kind::Grant, _) => "a service's grant alone".to_owned(),
        (Kind::Token, _) => "a token".to_owned(),
        (Kind::Issuer, _) => format!("a token of {}", any_of("the issuer", &demand.issuers)),
        (Kind::Claim, Some(claim)) => rule(claim),
        (Kind::Claim, None) => "a claim".to_owned(),
    }
}

fn rule(claim: &Claim) -> String {
    let path = claim.rule.path.join(".");
    let values = claim.rule.values.join(", ");
    match claim.rule.operator {
        ClaimOperator::In => format!("{path} in [{values}]"),
        ClaimOperator::NotIn => format!("{path} not in [{values}]"),
        ClaimOperator::Exists => format!("{path} is there"),
        ClaimOperator::DoesNotExist => format!("{path} is not there"),
        ClaimOperator::HasWord => format!("{path} has one of the words [{values}]"),
    }
}

/// What is there instead; empty where there is nothing to add.
pub fn instead(demand: &Demand) -> String {
    match &demand.claim {
        Some(claim) if !claim.kept => {
            " (not kept: this connection logged in before any tier asked for it; a fresh token on it brings it)"
                .to_owned()
        }
        Some(Claim { found: Some(found), .. }) => format!(" (the token has {found})"),
        _ => String::new(),
    }
}

/// Those that say something: a token of some issuer is a token.
pub fn telling(demands: &[Demand]) -> impl Iterator<Item = &Demand> {
    let by_issuer = demands.iter().any(|d| d.what == Kind::Issuer);
    demands.iter().filter(move |d| !(by_issuer && d.what == Kind::Token))
}

/// How a tier is held, or what keeps somebody from it.
pub fn how(tier: &TierStanding, held: impl Fn(&str) -> bool) -> String {
    if tier.admitted {
        return telling(&tier.demands).map(demand).collect::<Vec<_>>().join(", ");
    }
    if tier.held {
        let through: Vec<&str> = tier.included_by.iter().map(String::as_str).filter(|t| held(t)).collect();
        return format!("included by {}", through.join(", "));
    }
    let missing = telling(&tier.demands).filter(|d| !d.met);
    format!("needs {}", missing.map(|d| demand(d) + &instead(d)).collect::<Vec<_>>().join(", "))
}

/// `the issuer a`, `one of the issuers a, b`.
fn any_of(what: &str, names: &[String]) -> String {
    match names {
        [one] => format!("{what} {one}"),
        all => format!("one of {what}s {}", all.join(", ")),
    }
}
