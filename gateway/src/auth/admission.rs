//! Which tiers a connection holds by admission. Pure.

use bannou_crds::catalog::{Admission, ClaimOperator, ClaimRule, Principal as Who, Tier};

use super::Principal;
use super::claims::{Lookup, Value};

/// The indexes of the tiers that a connection holds by admission, with all that they include; ascending.
///
/// `tiers` is a catalog's, in order of name. Without a principal only what admits everybody is held. The caller asks
/// [`Verifier::knows`](super::Verifier::knows) first when the principal is of an earlier catalog.
pub fn tiers(tiers: &[Tier], principal: Option<&Principal>) -> Vec<usize> {
    let mut held = Vec::new();
    for (index, tier) in tiers.iter().enumerate() {
        if admits(&tier.admission, principal) {
            held.push(index);
            held.extend(tier.includes.iter().filter_map(|name| tiers.binary_search_by(|t| t.name.cmp(name)).ok()));
        }
    }
    held.sort_unstable();
    held.dedup();
    held
}

/// One thing that an admission asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Demand<'a> {
    /// Nothing: everybody is let in.
    Nothing,
    /// A service's word, which no token replaces.
    Grant,
    /// A token, of whatever issuer.
    Token,
    /// A token of one of these issuers, by their names in the fleet.
    Issuer(&'a [String]),
    Claim(&'a ClaimRule),
}

/// Everything that an admission asks for, and whether it is there. A principal is admitted where all of it is.
///
/// Issuers and claims bind whatever the kind of principal: a rule that cannot be checked does not hold.
pub fn demands<'a>(
    admission: &'a Admission,
    principal: Option<&'a Principal>,
) -> impl Iterator<Item = (Demand<'a>, bool)> {
    let Admission { principal: who, issuers, claims } = admission;
    let binds = !issuers.is_empty() || !claims.is_empty();
    let first = match who {
        Who::GrantedOnly => (Demand::Grant, false),
        Who::Anonymous if !binds => (Demand::Nothing, true),
        Who::Anonymous | Who::Authenticated => (Demand::Token, principal.is_some()),
    };
    let rest = binds && *who != Who::GrantedOnly;
    let of_issuer = (rest && !issuers.is_empty()).then(|| {
        (Demand::Issuer(issuers), principal.is_some_and(|p| issuers.iter().any(|name| **name == *p.issuer_name)))
    });
    let claims = if rest { claims.as_slice() } else { &[] };
    let with_claims = claims
        .iter()
        .map(move |rule| (Demand::Claim(rule), principal.is_some_and(|p| holds(rule, p.claims.lookup(&rule.path)))));
    std::iter::once(first).chain(of_issuer).chain(with_claims)
}

/// Whether the tier's own admission lets the principal in, whatever other tiers include it.
pub fn admits(admission: &Admission, principal: Option<&Principal>) -> bool {
    demands(admission, principal).all(|(_, met)| met)
}

/// A path that was not kept satisfies nothing; one that the token does not have (or has `null` at), `DoesNotExist` alone.
///
/// `In` and `NotIn` compare the text of strings, and the JSON text of numbers and booleans (`1`, `1.5`, `true`); of an
/// array they compare every element. What cannot be compared, an object in it or in its place, is in no set and out of
/// none. `HasWord` is for strings alone.
fn holds(rule: &ClaimRule, found: Lookup<'_>) -> bool {
    let value = match found {
        Lookup::NotKept => return false,
        Lookup::Absent => return rule.operator == ClaimOperator::DoesNotExist,
        Lookup::Present(value) => value,
    };
    let listed = |text: &str| rule.values.iter().any(|v| v == text);
    match (rule.operator, value) {
        (ClaimOperator::Exists, _) => true,
        (ClaimOperator::DoesNotExist, _) => false,
        (ClaimOperator::In, Value::Text(text) | Value::Scalar(text)) => listed(text),
        (ClaimOperator::In, Value::List { items, .. }) => items.iter().any(|i| listed(i)),
        (ClaimOperator::NotIn, Value::Text(text) | Value::Scalar(text)) => !listed(text),
        (ClaimOperator::NotIn, Value::List { items, whole }) => *whole && !items.iter().any(|i| listed(i)),
        (ClaimOperator::HasWord, Value::Text(text)) => text.split(' ').any(|word| !word.is_empty() && listed(word)),
        (ClaimOperator::In | ClaimOperator::NotIn, Value::Object) | (ClaimOperator::HasWord, _) => false,
    }
}

#[cfg(test)]
mod tests;
