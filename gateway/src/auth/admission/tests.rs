use bannou_crds::catalog::{Limits, Peers};
use serde_json::{Value as Json, json};

use super::*;
use crate::auth::tests::support::{claims, principal};

const OPERATORS: [ClaimOperator; 5] = [
    ClaimOperator::In,
    ClaimOperator::NotIn,
    ClaimOperator::Exists,
    ClaimOperator::DoesNotExist,
    ClaimOperator::HasWord,
];

fn tier(name: &str, who: Who, includes: &[&str]) -> Tier {
    Tier {
        name: name.into(),
        includes: includes.iter().map(ToString::to_string).collect(),
        admission: Admission { principal: who, issuers: vec![], claims: vec![] },
        limits: Limits::default(),
        peers: Peers::Disabled,
        grantable_by: Vec::new(),
    }
}

fn rule(path: &[&str], operator: ClaimOperator, values: &[&str]) -> ClaimRule {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    ClaimRule { path: owned(path), operator, values: owned(values) }
}

/// Which operators hold for this claim, with `a` and `b` as values: `In NotIn Exists DoesNotExist HasWord`.
fn which(claim: Json) -> String {
    let principal = principal(json!({ "c": claim }), &[&["c"]]);
    let letter = |operator| {
        let mut tier = tier("t", Who::Authenticated, &[]);
        tier.admission.claims = vec![rule(&["c"], operator, &["a", "b", "1", "1.5", "true"])];
        if tiers(&[tier], Some(&principal)).is_empty() { '-' } else { 'x' }
    };
    OPERATORS.into_iter().map(letter).collect()
}

#[test]
fn each_operator_on_each_kind_of_value() {
    for (claim, holds) in [
        (json!("a"), "x-x-x"),
        (json!("c"), "-xx--"),
        (json!("A"), "-xx--"),
        (json!(""), "-xx--"),
        (json!("c a"), "-xx-x"),
        (json!("c  b "), "-xx-x"),
        (json!("ab"), "-xx--"),
        (json!("c\ta"), "-xx--"),
        (json!(1), "x-x--"),
        (json!(1.5), "x-x--"),
        (json!(2), "-xx--"),
        (json!(1.0), "-xx--"),
        (json!(true), "x-x--"),
        (json!(false), "-xx--"),
        (json!(["c", "b"]), "x-x--"),
        (json!(["c"]), "-xx--"),
        (json!(["c a"]), "-xx--"),
        (json!([]), "-xx--"),
        (json!([1]), "x-x--"),
        (json!([{}, "a"]), "x-x--"),
        (json!(["c", {}]), "--x--"),
        (json!(["c", ["a"]]), "--x--"),
        (json!(["c", null]), "--x--"),
        (json!({}), "--x--"),
        (json!({"a": "a"}), "--x--"),
        // `merged` takes the claim away.
        (json!(null), "---x-"),
    ] {
        assert_eq!(which(claim.clone()), holds, "{claim}");
    }
}

#[test]
fn a_null_is_as_good_as_nothing() {
    let hs = crate::auth::tests::support::Hs256::with(|_| {}, &[&["c"]]);
    let mut payload = claims();
    payload["c"] = Json::Null;
    let principal = hs.verify(&hs.payload(&payload.to_string())).unwrap();
    let mut exists = tier("exists", Who::Authenticated, &[]);
    exists.admission.claims = vec![rule(&["c"], ClaimOperator::Exists, &[])];
    let mut not = tier("not", Who::Authenticated, &[]);
    not.admission.claims = vec![rule(&["c"], ClaimOperator::DoesNotExist, &[])];
    assert_eq!(tiers(&[exists, not], Some(&principal)), [1]);
}

#[test]
fn a_path_that_was_not_kept_satisfies_nothing() {
    let principal = principal(json!({"c": "a"}), &[&["other"]]);
    for path in [&["c"][..], &["missing"][..], &[][..], &["other", "deeper"][..]] {
        for operator in OPERATORS {
            let mut tier = tier("t", Who::Authenticated, &[]);
            tier.admission.claims = vec![rule(path, operator, &["a"])];
            assert!(tiers(&[tier], Some(&principal)).is_empty(), "{path:?} {operator:?}");
        }
    }
}

#[test]
fn paths_lead_through_objects_alone() {
    let path: &[&str] = &["realm_access", "roles"];
    for (claim, operator, holds) in [
        (json!({"roles": ["player"]}), ClaimOperator::In, true),
        (json!({"roles": "player"}), ClaimOperator::In, true),
        (json!({"roles": ["x"]}), ClaimOperator::In, false),
        (json!({"Roles": ["player"]}), ClaimOperator::DoesNotExist, true),
        (json!([{"roles": ["player"]}]), ClaimOperator::In, false),
        (json!([{"roles": ["player"]}]), ClaimOperator::DoesNotExist, true),
        (json!("player"), ClaimOperator::DoesNotExist, true),
        (json!("player"), ClaimOperator::NotIn, false),
    ] {
        let principal = principal(json!({ "realm_access": claim }), &[path]);
        let mut tier = tier("t", Who::Authenticated, &[]);
        tier.admission.claims = vec![rule(path, operator, &["player"])];
        assert_eq!(!tiers(&[tier], Some(&principal)).is_empty(), holds, "{claim} {operator:?}");
    }
}

#[test]
fn an_object_and_a_member_of_it_can_both_be_asked_for() {
    let principal = principal(json!({"org": {"plan": "gold"}}), &[&["org"], &["org", "plan"]]);
    let mut tier = tier("t", Who::Authenticated, &[]);
    tier.admission.claims =
        vec![rule(&["org"], ClaimOperator::Exists, &[]), rule(&["org", "plan"], ClaimOperator::In, &["gold"])];
    assert_eq!(tiers(&[tier.clone()], Some(&principal)), [0]);
    tier.admission.claims.push(rule(&["org", "plan"], ClaimOperator::NotIn, &["gold"]));
    assert!(tiers(&[tier], Some(&principal)).is_empty(), "all rules must hold");
}

#[test]
fn who_is_admitted() {
    let all = [
        tier("anonymous", Who::Anonymous, &[]),
        tier("granted", Who::GrantedOnly, &["anonymous"]),
        tier("player", Who::Authenticated, &["anonymous"]),
    ];
    assert_eq!(tiers(&all, None), [0]);
    assert_eq!(tiers(&all, Some(&principal(json!({}), &[]))), [0, 2]);
    assert!(tiers(&[], None).is_empty());
}

#[test]
fn issuers_are_told_apart_by_their_names() {
    let mut ours = tier("ours", Who::Authenticated, &[]);
    ours.admission.issuers = vec!["main".into(), "other".into()];
    let mut theirs = tier("theirs", Who::Authenticated, &[]);
    theirs.admission.issuers = vec!["other".into()];
    assert_eq!(tiers(&[ours, theirs], Some(&principal(json!({}), &[]))), [0]);
}

#[test]
fn what_is_included_is_held_too_and_once() {
    let all = [
        tier("a", Who::GrantedOnly, &[]),
        tier("b", Who::GrantedOnly, &["a"]),
        tier("c", Who::Authenticated, &["a", "b", "gone"]),
        tier("d", Who::Authenticated, &["a"]),
    ];
    assert_eq!(tiers(&all, Some(&principal(json!({}), &[]))), [0, 1, 2, 3]);
}

#[test]
fn an_anonymous_tier_with_rules_is_for_those_who_meet_them() {
    let mut tier = tier("t", Who::Anonymous, &[]);
    tier.admission.claims = vec![rule(&["c"], ClaimOperator::Exists, &[])];
    assert!(tiers(&[tier.clone()], None).is_empty());
    assert_eq!(tiers(&[tier.clone()], Some(&principal(json!({"c": 1}), &[&["c"]]))), [0]);
    tier.admission.issuers = vec!["other".into()];
    assert!(tiers(&[tier], Some(&principal(json!({"c": 1}), &[&["c"]]))).is_empty());
}
