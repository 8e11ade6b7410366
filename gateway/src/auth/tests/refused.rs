//! Each way in which a token can be wrong.

use std::time::Duration;

use bannou_crds::catalog::{InlineKey, Keys};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::support::*;
use crate::auth::{AuthError, Times, Verifier};

fn refused(hs: &Hs256, token: &str, reason: &str) {
    let error = hs.verify(token).expect_err(reason);
    assert_eq!(error.reason(), reason, "{error}");
    assert!(error.is_clients_fault());
}

fn with(more: Value, reason: &str) {
    let hs = Hs256::new();
    refused(&hs, &hs.token(more), reason);
}

#[test]
fn without_what_it_must_have() {
    for claim in ["exp", "aud", "iss", "sub"] {
        with(json!({ claim: null }), "missing_claim");
        let hs = Hs256::new();
        let mut payload = claims();
        payload[claim] = Value::Null;
        let reason = if claim == "exp" { "claim_form" } else { "missing_claim" };
        refused(&hs, &hs.payload(&payload.to_string()), reason);
    }
}

#[test]
fn for_another_audience_or_none_that_makes_sense() {
    with(json!({"aud": "other"}), "audience");
    with(json!({"aud": ["other", "another"]}), "audience");
    with(json!({"aud": []}), "audience");
    with(json!({"aud": "Game"}), "audience");
    for aud in
        [json!(7), json!(["game", 7]), json!([7, "game"]), json!(["game", ["game"]]), json!({"game": 1}), json!(true)]
    {
        with(json!({ "aud": aud }), "claim_form");
    }
}

#[test]
fn of_another_issuer() {
    with(json!({"iss": "https://evil.example.com/"}), "unknown_issuer");
    with(json!({"iss": "https://id.example.com"}), "unknown_issuer");
    with(json!({"iss": "main"}), "unknown_issuer");
    with(json!({"iss": [ISSUER]}), "claim_form");
    with(json!({"iss": 5}), "claim_form");
}

#[test]
fn out_of_its_time() {
    with(json!({"exp": NOW - 5}), "expired");
    with(json!({"exp": 0}), "expired");
    with(json!({"exp": -1}), "expired");
    with(json!({"nbf": NOW + 6}), "not_yet_valid");
    with(json!({"nbf": NOW * 1000}), "claim_form");
    with(json!({"iat": NOW + 61}), "issued_in_future");
    for claim in ["exp", "nbf", "iat"] {
        for value in [json!("1800003600"), json!(true), json!([NOW]), json!(1e300), json!({})] {
            with(json!({ claim: value }), "claim_form");
        }
    }
}

#[test]
fn living_too_long() {
    let day = 86_400;
    let hs = Hs256::new();
    assert!(hs.verify(&hs.token(json!({"iat": NOW, "exp": NOW + day}))).is_ok());
    refused(&hs, &hs.token(json!({"iat": NOW, "exp": NOW + day + 1})), "life_too_long");
    refused(&hs, &hs.token(json!({"iat": NOW - day, "exp": NOW + 1})), "life_too_long");
    refused(&hs, &hs.token(json!({"iat": null, "exp": NOW + day + 1})), "life_too_long");
    // The part that is left counts too, whatever `iat` claims.
    refused(&hs, &hs.token(json!({"iat": NOW + 30, "exp": NOW + day + 20})), "life_too_long");
}

#[test]
fn without_a_subject_that_is_one() {
    for sub in [json!(7), json!(["ada"]), json!({}), json!(""), json!("x".repeat(257)), json!("a\nb"), json!("a\u{0}")]
    {
        with(json!({ "sub": sub }), "claim_form");
    }
    let hs = Hs256::new();
    assert!(hs.verify(&hs.token(json!({"sub": "x".repeat(256)}))).is_ok());
    with(json!({"jti": 7}), "claim_form");
    with(json!({"jti": "x".repeat(257)}), "claim_form");
}

#[test]
fn without_what_its_issuer_demands() {
    let hs = Hs256::with(|i| i.extra_required_claims = vec!["tenant".into()], &[]);
    refused(&hs, &hs.token(json!({})), "missing_claim");
    let mut payload = claims();
    payload["tenant"] = Value::Null;
    refused(&hs, &hs.payload(&payload.to_string()), "missing_claim");
    assert!(hs.verify(&hs.token(json!({"tenant": false}))).is_ok());
}

#[test]
fn with_an_algorithm_that_is_not_its_issuers() {
    let hs = Hs256::new();
    let payload = claims().to_string();
    for algorithm in ["none", "None", "NONE", "nOnE", "", "HS512", "RS256", "hs256", "dir"] {
        let header = json!({ "alg": algorithm }).to_string();
        refused(&hs, &raw(&hs.signer, &header, &payload), "algorithm");
        refused(&hs, &format!("{}.{}.", b64(&header), b64(&payload)), "algorithm");
    }
    // The right algorithm, but no signature.
    refused(&hs, &format!("{}.{}.", b64(r#"{"alg":"HS256"}"#), b64(&payload)), "signature");
}

#[test]
fn signed_with_a_public_key_as_if_it_were_a_secret() {
    let rsa = Signer::new("RS256");
    let (pem, der) = (rsa.pem(), rsa.der());
    for algorithms in [&["RS256"][..], &["RS256", "HS256"][..]] {
        for (keys, secrets) in [
            (Keys::Inline(vec![InlineKey { kid: None, pem: Some(pem.clone()), jwk: None }]), none()),
            (file("k"), memory("k", pem.as_bytes())),
        ] {
            let verifier = build(issuer(algorithms, keys), &secrets, &[]).unwrap();
            assert!(verify(&verifier, &token(&rsa, "RS256", json!({}))).is_ok());
            for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), &der] {
                let forger = Signer::Hmac(aws_lc_rs::hmac::HMAC_SHA256, secret.to_vec());
                let error = verify(&verifier, &token(&forger, "HS256", json!({}))).unwrap_err();
                assert!(["algorithm", "unknown_key"].contains(&error.reason()), "{error}");
            }
        }
    }
}

#[test]
fn by_a_key_that_is_not_its_issuers() {
    let (ours, theirs) = (Signer::new("ES256"), Signer::new("ES256"));
    let kid = |s: &Signer| inline([s.jwk_with(json!({"kid": "same"}))]);
    let mut other = issuer(&["ES256"], kid(&theirs));
    (other.name, other.issuer) = ("other".into(), "https://other.example.com/".into());
    let fleet = fleet(vec![issuer(&["ES256"], kid(&ours)), other]);
    let jwks = crate::auth::JwksCache::offline();
    let verifier = crate::auth::Verifier::new(&fleet, &[], &none(), &jwks).unwrap();
    let by = |signer: &Signer, kid: &str, iss: &str| {
        let header = json!({"alg": "ES256", "kid": kid}).to_string();
        let payload = merged(claims(), json!({ "iss": iss })).to_string();
        verify(&verifier, &raw(signer, header, payload)).map(|p| p.issuer_name.to_string()).map_err(|e| e.reason())
    };
    assert_eq!(by(&ours, "same", ISSUER).as_deref(), Ok("main"));
    assert_eq!(by(&theirs, "same", "https://other.example.com/").as_deref(), Ok("other"));
    assert_eq!(by(&theirs, "same", ISSUER), Err("signature"), "the key of another issuer with the same id");
    assert_eq!(by(&ours, "another", ISSUER), Err("unknown_key"));
    assert_eq!(by(&ours, "", ISSUER), Err("unknown_key"));
    let header = json!({"alg": "ES256", "kid": "same"}).to_string();
    let token = raw(&ours, header, claims().to_string());
    assert!(verify(&verifier, &token.replacen('.', "..", 1)).is_err());
}

#[test]
fn by_a_key_of_another_curve_or_kind() {
    let (p256, p384) = (Signer::new("ES256"), Signer::new("ES384"));
    let verifier = build(issuer(&["ES256", "ES384", "RS256"], inline([p256.jwk()])), &none(), &[]).unwrap();
    assert!(verify(&verifier, &token(&p256, "ES256", json!({}))).is_ok());
    for (signer, algorithm) in [(&p256, "ES384"), (&p384, "ES384"), (&p256, "RS256")] {
        let error = verify(&verifier, &token(signer, algorithm, json!({}))).unwrap_err();
        assert_eq!(error.reason(), "unknown_key", "{algorithm}");
    }
}

#[test]
fn with_a_key_that_is_for_another_algorithm() {
    let (rs, ps) = (Signer::new("RS256"), Signer::new("PS256"));
    let keys = inline([rs.jwk_with(json!({"alg": "RS256", "use": "sig"}))]);
    let verifier = build(issuer(&["RS256", "PS256"], keys), &none(), &[]).unwrap();
    assert!(verify(&verifier, &token(&rs, "RS256", json!({}))).is_ok());
    assert_eq!(verify(&verifier, &token(&ps, "PS256", json!({}))).unwrap_err().reason(), "unknown_key");
}

#[test]
fn with_demands_in_its_header() {
    let hs = Hs256::new();
    for (header, reason) in [
        (json!({"alg": "HS256", "crit": ["b64"], "b64": false}), "critical_header"),
        (json!({"alg": "HS256", "crit": []}), "critical_header"),
        (json!({"alg": "HS256", "crit": null}), "critical_header"),
        (json!({"alg": "HS256", "enc": "A128GCM"}), "encrypted"),
        (json!({"alg": "HS256", "typ": "logout+jwt"}), "wrong_type"),
        (json!({"alg": "HS256", "typ": "application/dpop+jwt"}), "wrong_type"),
        (json!({"alg": "HS256", "typ": 5}), "malformed"),
        (json!({"alg": "HS256", "kid": 5}), "malformed"),
        (json!({"alg": 5}), "malformed"),
        (json!({"alg": ["HS256"]}), "malformed"),
        (json!({"kid": "1"}), "malformed"),
        (json!([]), "malformed"),
    ] {
        refused(&hs, &raw(&hs.signer, header.to_string(), claims().to_string()), reason);
    }
    refused(&hs, &raw(&hs.signer, r#"{"alg":"HS256","alg":"HS256"}"#, claims().to_string()), "malformed");
    refused(&hs, &raw(&hs.signer, "", claims().to_string()), "malformed");
}

#[test]
fn with_a_claim_twice() {
    let hs = Hs256::with(|_| {}, &[&["realm", "roles"]]);
    let base = claims().to_string();
    let base = base.trim_end_matches('}');
    assert!(hs.verify(&hs.payload(&format!(r#"{base},"x":1}}"#))).is_ok());
    for twice in [
        r#""sub":"eve""#,
        r#""x":1,"x":1"#,
        r#""\u0073ub":"eve""#,
        r#""realm":{},"realm":{}"#,
        r#""realm":{"roles":[],"roles":["admin"]}"#,
    ] {
        refused(&hs, &hs.payload(&format!("{base},{twice}}}")), "malformed");
    }
}

#[test]
fn that_is_no_compact_jws() {
    let hs = Hs256::new();
    let good = hs.token(json!({}));
    let (header, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    refused(&hs, &[header, "", "", payload, signature].join("."), "encrypted");
    for token in [
        "".to_owned(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        header.to_owned(),
        format!("{header}.{payload}"),
        format!("{good}."),
        format!("{good}.{signature}.x.y"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}="),
        format!("{header}.{payload}.{signature}=="),
        format!("Bearer {good}"),
        good.replace('.', ":"),
        format!("é{good}"),
    ] {
        refused(&hs, &token, "malformed");
    }
    for payload in ["", "null", "[]", "7", "{", "{}x", "\u{feff}{}", "{\"sub\":}"] {
        refused(&hs, &hs.payload(payload), "malformed");
    }
    refused(&hs, &raw(&hs.signer, r#"{"alg":"HS256"}"#, b"{\"sub\":\"\xff\"}"), "malformed");
    // Nesting is followed only where something is read, and not far.
    let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    refused(&hs, &hs.payload(&format!(r#"{{"iss":{deep}}}"#)), "malformed");
    refused(&hs, &hs.payload(&format!(r#"{{"x":{deep}}}"#)), "missing_claim");
}

#[test]
fn longer_than_8_kib() {
    let hs = Hs256::new();
    let padded = |n: usize| hs.token(json!({"pad": "x".repeat(n)}));
    let overhead = padded(0).len();
    let longest = (1..).map(padded).skip((8192 - overhead) * 3 / 4 - 8).take_while(|t| t.len() <= 8192).last().unwrap();
    assert!(hs.verify(&longest).is_ok(), "{}", longest.len());
    refused(&hs, &padded(8192), "too_long");
    refused(&hs, &format!("{longest}{}", "x".repeat(8193 - longest.len())), "too_long");
    refused(&hs, &"x".repeat(10_000_000), "too_long");
}

#[test]
fn changed_anywhere() {
    for algorithm in ["HS256", "ES256", "EdDSA"] {
        let signer = Signer::new(algorithm);
        let (keys, secrets) = match &signer {
            Signer::Hmac(_, secret) => (file("k"), memory("k", secret)),
            _ => (inline([signer.jwk()]), none()),
        };
        let verifier = build(issuer(&[algorithm], keys), &secrets, &[]).unwrap();
        let good = token(&signer, algorithm, json!({}));
        assert!(verify(&verifier, &good).is_ok());
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verify(&verifier, &changed).is_err(), "{algorithm}, byte {at}");
            assert!(verify(&verifier, &good[..at]).is_err(), "{algorithm}, cut at {at}");
        }
        // The payload of one and the signature of another valid token.
        let other = token(&signer, algorithm, json!({"sub": "root"}));
        let (message, _) = other.rsplit_once('.').unwrap();
        let (_, signature) = good.rsplit_once('.').unwrap();
        let error = verify(&verifier, &format!("{message}.{signature}")).unwrap_err();
        assert_eq!(error.reason(), "signature");
    }
}

#[test]
fn a_forgery_never_learns_what_else_is_wrong() {
    let hs = Hs256::new();
    for more in [json!({"exp": 0}), json!({"aud": "x"}), json!({"sub": 5}), json!({"nbf": NOW + 100})] {
        refused(&hs, &token(&Signer::new("HS256"), "HS256", more), "signature");
    }
}

#[test]
fn what_a_client_is_told_holds_nothing_of_the_token() {
    let hs = Hs256::with(|i| i.extra_required_claims = vec!["tenant".into()], &[]);
    for token in [
        hs.token(json!({"sub": "ada-the-first"})),
        hs.token(json!({"tenant": 1, "aud": "ada-the-first"})),
        hs.token(json!({"iss": "ada-the-first"})),
        raw(&hs.signer, r#"{"alg":"ada-the-first"}"#, "{}"),
    ] {
        let error = hs.verify(&token).unwrap_err();
        assert!(!error.detail().contains("ada-the-first"), "{error}");
        assert!(!format!("{error:?}").contains("ada-the-first"));
    }
}

#[test]
fn also_by_a_clock_at_the_edge_of_time() {
    let hs = Hs256::new();
    let token = hs.token(json!({}));
    for at in [std::time::UNIX_EPOCH, std::time::UNIX_EPOCH - Duration::from_secs(1)] {
        assert_eq!(verify_at(&hs.verifier, &token, at).unwrap_err().reason(), "not_yet_valid");
    }
    let far = std::time::UNIX_EPOCH + Duration::from_secs(1 << 40);
    assert_eq!(verify_at(&hs.verifier, &token, far).unwrap_err().reason(), "expired");
}

proptest! {
    #[test]
    fn noise_is_refused(token in "\\PC{0,300}") {
        prop_assert!(Hs256::new().verify(&token).is_err());
    }

    #[test]
    fn signed_noise_is_refused(header in "[{}\":,a-z0-9]{0,40}", payload in "[\\[\\]{}\":,a-z0-9]{0,80}") {
        let hs = Hs256::new();
        prop_assert!(hs.verify(&raw(&hs.signer, &header, &payload)).is_err());
        prop_assert!(hs.verify(&hs.payload(&payload)).is_err());
    }
}

#[test]
fn without_keys_no_token_is_good_though_claims_can_be_asked_about() {
    let hs = Hs256::new();
    let verifier = Verifier::without_keys(&fleet(vec![issuer(&["HS256"], file("secret"))]), &[]).unwrap();
    let token = hs.token(json!({}));
    assert!(hs.verify(&token).is_ok());
    assert!(verify(&verifier, &token).is_err());
    let asked = verifier.claimed(claims().to_string().as_bytes(), now(), Times::Checked).unwrap();
    assert_eq!(&*asked.subject, "ada");
    let old = merged(claims(), json!({"exp": NOW - 60}));
    let ask = |times| verifier.claimed(old.to_string().as_bytes(), now(), times).map(drop);
    assert_eq!((ask(Times::Checked), ask(Times::Ignored)), (Err(AuthError::Expired), Ok(())));
}
