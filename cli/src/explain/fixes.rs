//! Why not, and what would change it.

use bannou_crds::catalog::Fleet;
use bannou_gateway::auth::AuthError;
use bannou_gateway::inspect::standing::{Demand, Kind, TierStanding};

use super::can_i::Decision;
use super::words;

/// Reasons and fixes of a denial.
pub(super) fn of(
    decision: &Decision,
    all: &[TierStanding],
    fleet: &Fleet,
    refused: Option<&AuthError>,
) -> (Vec<String>, Vec<String>) {
    if let Some(error) = refused {
        return (vec![format!("{}, so the connection is refused", error.detail())], vec![token(error, fleet)]);
    }
    if decision.is.is_none() {
        return withdrawn(decision);
    }
    let reasons =
        vec![format!("{} is exposed to {}, and none of them is held", decision.name, decision.exposed_to.join(", "))];
    let mut fixes = Vec::new();
    for name in &decision.exposed_to {
        let includes = all.iter().find(|t| t.name == *name).map(|t| t.included_by.as_slice()).unwrap_or_default();
        let ways = all.iter().filter(|t| t.name == *name || includes.contains(&t.name));
        fixes.extend(ways.map(|tier| obtain(tier, name)));
    }
    fixes.extend(widen(decision));
    // What is wrong with the exposure's other endpoints is no reason here.
    let member = decision.name.split_once('.').map_or("", |(_, member)| member);
    let concerns = |problem: &&String| problem.contains(&format!("{member:?}"));
    let problems = decision.exposure.iter().flat_map(|e| &e.problems).filter(concerns).cloned();
    (reasons.into_iter().chain(problems).collect(), fixes)
}

/// It is written somewhere, and not in the catalog.
fn withdrawn(decision: &Decision) -> (Vec<String>, Vec<String>) {
    let Some(exposure) = &decision.exposure else { return (Vec::new(), Vec::new()) };
    let object = format!("ServiceExposure {}/{}", exposure.namespace, exposure.name);
    if exposure.asks_for.is_empty() {
        let why = format!("{object} names no tier for {}, so it is exposed to nobody", decision.name);
        return (vec![why], vec!["write `tiers: [TIER]` there, with one of the fleet's tiers".to_owned()]);
    }
    let mut reasons = vec![format!("{} is not in the catalog, although {object} asks for it", decision.name)];
    if exposure.problems.is_empty() {
        let why = "a gateway would leave it out: another object has its name, or no request could be made of it";
        reasons.push(why.to_owned());
    }
    // These sentences say what to do.
    (reasons, exposure.problems.clone())
}

/// How somebody comes to hold a tier, and so the one that is needed.
fn obtain(tier: &TierStanding, needed: &str) -> String {
    let gives = if tier.name == needed { String::new() } else { format!(", which includes {needed}") };
    let missing: Vec<&Demand> = words::telling(&tier.demands).filter(|d| !d.met).collect();
    let by_grant = missing.iter().any(|d| d.what == Kind::Grant);
    let how = match (by_grant, tier.grantable_by.as_slice()) {
        (true, []) => "nobody may grant it: give it an `admission`, or name a service in its `grantableBy`".to_owned(),
        (true, services) => format!("granted by {}", services.join(" or ")),
        (false, _) => {
            let asked: Vec<String> = missing.iter().map(|d| words::demand(d) + &words::instead(d)).collect();
            format!("needs {}", asked.join(" and "))
        }
    };
    format!("hold {}{gives}: {how}", tier.name)
}

/// The exposure could ask for a tier that is held.
fn widen(decision: &Decision) -> Option<String> {
    let exposure = decision.exposure.as_ref()?;
    let held: Vec<&str> = decision.tiers.iter().filter(|t| t.held).map(|t| t.name.as_str()).collect();
    let first = held.first()?;
    let or = if held.len() > 1 { format!(" (held: {})", held.join(", ")) } else { String::new() };
    Some(format!(
        "or, if everybody who holds {first} may use it, add {first}{or} to its `tiers` in ServiceExposure {}/{}",
        exposure.namespace, exposure.name
    ))
}

/// What makes a token good here.
fn token(error: &AuthError, fleet: &Fleet) -> String {
    let issuers: Vec<&str> = fleet.issuers.iter().map(|i| i.issuer.as_str()).collect();
    if issuers.is_empty() {
        return "the Fleet trusts no issuer: add one to its `spec.issuers`".to_owned();
    }
    match error {
        AuthError::UnknownIssuer => {
            format!(
                "use a token whose iss is {}, or add its issuer to the Fleet's `spec.issuers`",
                issuers.join(" or ")
            )
        }
        AuthError::MissingClaim(claim) if &**claim == "iss" => {
            format!("add iss to the claims: {}", issuers.join(" or "))
        }
        AuthError::MissingClaim(claim) if &**claim == "exp" => {
            "add exp to the claims, or ask with --ignore-times".to_owned()
        }
        AuthError::MissingClaim(claim) if &**claim != "sub" && &**claim != "aud" => {
            format!(
                "the Fleet asks for {claim} (audienceClaim or extraRequiredClaims of the issuer): have the issuer write it"
            )
        }
        AuthError::Audience | AuthError::MissingClaim(_) => audiences(fleet),
        AuthError::Expired | AuthError::NotYetValid | AuthError::IssuedInFuture => {
            "use a token of today, or ask with --ignore-times".to_owned()
        }
        AuthError::LifeTooLong => {
            let most = fleet.max_token_life_ms / 1000;
            format!("have the issuer make shorter ones, or raise the Fleet's `spec.maxTokenLife` ({most}s)")
        }
        _ => "correct the claims: no gateway takes a token that says this".to_owned(),
    }
}

fn audiences(fleet: &Fleet) -> String {
    let each = fleet.issuers.iter().map(|i| match &i.audience_claim {
        Some(claim) => format!("{} in [{}] with the issuer {}", claim.name, claim.values.join(", "), i.name),
        None => format!("aud in [{}] with the issuer {}", i.audiences.join(", "), i.name),
    });
    format!("a token needs sub, and {}", each.collect::<Vec<_>>().join("; "))
}
