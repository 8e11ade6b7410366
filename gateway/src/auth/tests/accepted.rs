//! What a valid token says, whatever signed it.

use std::time::{Duration, UNIX_EPOCH};

use bannou_crds::catalog::{AudienceClaim, InlineKey, Keys};
use serde_json::json;

use super::support::*;

const PUBLIC: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
const SECRET: [&str; 3] = ["HS256", "HS384", "HS512"];

#[test]
fn a_principal_is_what_the_token_says() {
    let hs = Hs256::new();
    let token = hs.token(json!({"jti": "t-1", "exp": NOW + 60}));
    let principal = hs.verify(&token).unwrap();
    assert_eq!(principal.issuer_name, arc("main"));
    assert_eq!(principal.issuer, arc(ISSUER));
    assert_eq!(&*principal.subject, "ada");
    assert_eq!(principal.token_id.as_deref(), Some("t-1"));
    assert_eq!(principal.expires_at, UNIX_EPOCH + Duration::from_secs(NOW + 60));
    assert_eq!(principal.not_before, Some(UNIX_EPOCH + Duration::from_secs(NOW - 10)));
    assert!(hs.verifier.knows(&principal));
    assert!(!Hs256::with(|i| i.name = "renamed".into(), &[]).verifier.knows(&principal));
    assert!(!Hs256::with(|i| i.issuer = "https://other/".into(), &[]).verifier.knows(&principal));
}

#[test]
fn every_public_algorithm_by_jwk_by_pem_and_by_file() {
    for algorithm in PUBLIC {
        let signer = Signer::new(algorithm);
        let pem = Keys::Inline(vec![InlineKey { kid: None, pem: Some(signer.pem()), jwk: None }]);
        let jwks = json!({"keys": [signer.jwk()]}).to_string();
        for (how, keys, secrets) in [
            ("jwk", inline([signer.jwk()]), none()),
            ("pem", pem, none()),
            ("pem file", file("k"), memory("k", signer.pem().as_bytes())),
            ("jwk file", file("k"), memory("k", signer.jwk().to_string().as_bytes())),
            ("jwks file", file("k"), memory("k", format!("\n {jwks}\n").as_bytes())),
        ] {
            let verifier = build(issuer(&[algorithm], keys), &secrets, &[]).unwrap_or_else(|e| panic!("{how}: {e}"));
            let good = token(&signer, algorithm, json!({}));
            assert!(verify(&verifier, &good).is_ok(), "{algorithm} by {how}");
            let message = good.rsplit_once('.').unwrap().0;
            let another = Signer::new(if algorithm == "ES384" { "ES384" } else { "ES256" });
            let forged = format!("{message}.{}", b64(another.sign(message.as_bytes())));
            assert_eq!(verify(&verifier, &forged).unwrap_err().reason(), "signature", "{algorithm} by {how}");
        }
    }
}

#[test]
fn every_secret_algorithm_by_raw_file_and_by_jwk_file() {
    for algorithm in SECRET {
        let signer = Signer::new(algorithm);
        for bytes in [signer.secret().to_vec(), signer.jwk().to_string().into_bytes()] {
            let verifier = build(issuer(&[algorithm], file("k")), &memory("k", &bytes), &[]).unwrap();
            assert!(verify(&verifier, &token(&signer, algorithm, json!({}))).is_ok(), "{algorithm}");
            let forged = token(&Signer::new(algorithm), algorithm, json!({}));
            assert_eq!(verify(&verifier, &forged).unwrap_err().reason(), "signature");
        }
    }
}

#[test]
fn the_leeway_is_five_seconds_and_no_more() {
    let hs = Hs256::new();
    let token = hs.token(json!({"exp": NOW, "nbf": NOW - 60, "iat": NOW - 60}));
    assert!(verify_at(&hs.verifier, &token, now() + Duration::from_millis(4_999)).is_ok());
    assert_eq!(verify_at(&hs.verifier, &token, now() + Duration::from_secs(5)).unwrap_err().reason(), "expired");
    assert!(hs.verify(&hs.token(json!({"nbf": NOW + 5}))).is_ok());
    assert_eq!(hs.verify(&hs.token(json!({"nbf": NOW + 6}))).unwrap_err().reason(), "not_yet_valid");
    assert!(hs.verify(&hs.token(json!({"exp": NOW as f64 + 0.5, "nbf": NOW as f64 - 0.5}))).is_ok());
}

#[test]
fn audiences_by_string_and_by_array() {
    let hs = Hs256::with(|i| i.audiences = vec!["game".into(), "lobby".into()], &[]);
    for aud in [json!("game"), json!("lobby"), json!(["other", "lobby"])] {
        assert!(hs.verify(&hs.token(json!({"aud": aud}))).is_ok(), "{aud}");
    }
}

#[test]
fn an_audience_claim_stands_in_for_aud() {
    let claim = AudienceClaim { name: "client_id".into(), values: vec!["game".into()] };
    for paths in [&[][..], &[&["client_id"][..]][..]] {
        let hs = Hs256::with(|i| i.audience_claim = Some(claim.clone()), paths);
        let with = |client_id| hs.token(json!({"aud": null, "client_id": client_id}));
        assert!(hs.verify(&with(json!("game"))).is_ok());
        assert!(hs.verify(&with(json!(["x", "game"]))).is_ok());
        assert_eq!(hs.verify(&with(json!("other"))).unwrap_err().reason(), "audience");
        assert_eq!(hs.verify(&with(json!(7))).unwrap_err().reason(), "claim_form");
        assert_eq!(hs.verify(&hs.token(json!({"aud": "game"}))).unwrap_err().reason(), "missing_claim");
        let principal = hs.verify(&with(json!("game"))).unwrap();
        let kept = principal.claims.text(&["client_id".to_owned()]);
        assert_eq!(kept, if paths.is_empty() { None } else { Some("game") }, "kept only when a rule reads it");
        assert_eq!(principal.claims.len(), paths.len());
    }
}

#[test]
fn keys_are_chosen_by_their_id() {
    let (one, two, plain) = (Signer::new("ES256"), Signer::new("ES256"), Signer::new("ES256"));
    let keys = inline([one.jwk_with(json!({"kid": "1"})), two.jwk_with(json!({"kid": "2"})), plain.jwk()]);
    let verifier = build(issuer(&["ES256"], keys), &none(), &[]).unwrap();
    let by = |signer: &Signer, header: serde_json::Value| {
        let header = merged(json!({"alg": "ES256"}), header).to_string();
        verify(&verifier, &raw(signer, header, claims().to_string())).map_err(|e| e.reason())
    };
    assert!(by(&one, json!({"kid": "1"})).is_ok());
    assert!(by(&two, json!({"kid": "2"})).is_ok());
    assert_eq!(by(&one, json!({"kid": "2"})).unwrap_err(), "signature", "a named key is the only one tried");
    assert!(by(&two, json!({})).is_ok(), "without an id, all keys of the algorithm are tried");
    assert!(by(&plain, json!({"kid": "9"})).is_ok(), "a key without an id is tried for any token");
    assert_eq!(by(&two, json!({"kid": "9"})).unwrap_err(), "signature", "but one with another id is not");
}

#[test]
fn without_an_id_four_keys_are_tried() {
    let signers: Vec<_> = (0..5).map(|_| Signer::new("ES256")).collect();
    let keys = signers.iter().enumerate().map(|(n, s)| s.jwk_with(json!({"kid": n.to_string()})));
    let verifier = build(issuer(&["ES256"], inline(keys)), &none(), &[]).unwrap();
    assert!(verify(&verifier, &token(&signers[3], "ES256", json!({}))).is_ok());
    let error = verify(&verifier, &token(&signers[4], "ES256", json!({}))).unwrap_err();
    assert_eq!(error.reason(), "ambiguous_key");
}

#[test]
fn keys_that_a_token_brings_along_are_not_read() {
    let hs = Hs256::new();
    let stranger = Signer::new("ES256");
    let header = json!({"alg": "HS256", "jwk": stranger.jwk(), "jku": "http://127.0.0.1:1/", "x5u": 5, "x5c": {}});
    assert!(hs.verify(&raw(&hs.signer, header.to_string(), claims().to_string())).is_ok());
}

#[test]
fn types_for_access_and_none() {
    let hs = Hs256::new();
    for typ in ["JWT", "jwt", "at+jwt", "application/at+JWT", "Bearer"] {
        let header = json!({"alg": "HS256", "typ": typ}).to_string();
        assert!(hs.verify(&raw(&hs.signer, header, claims().to_string())).is_ok(), "{typ}");
    }
}

#[test]
fn escapes_are_read_as_what_they_stand_for() {
    let hs = Hs256::new();
    let payload =
        format!(r#"{{"\u0069ss":"https:\/\/id.example.com\/","aud":"g\u0061me","sub":"\u0061da","exp":{}}}"#, NOW + 60);
    assert_eq!(&*hs.verify(&hs.payload(&payload)).unwrap().subject, "ada");
}

#[test]
fn only_what_a_catalog_reads_is_kept() {
    let hs = Hs256::with(|_| {}, &[&["org", "plan"], &["level"], &["ok"], &["sub"], &["none"], &["list"]]);
    let token = hs.token(json!({
        "org": {"plan": "gold", "secret": "x"}, "level": 7, "ok": true, "list": ["a"], "email": "ada@example.com"
    }));
    let claims = hs.verify(&token).unwrap().claims;
    let text =
        |path: &[&str]| claims.text(&path.iter().map(ToString::to_string).collect::<Vec<_>>()).map(str::to_owned);
    assert_eq!(text(&["org", "plan"]).as_deref(), Some("gold"));
    assert_eq!(text(&["level"]).as_deref(), Some("7"));
    assert_eq!(text(&["ok"]).as_deref(), Some("true"));
    assert_eq!(text(&["sub"]).as_deref(), Some("ada"));
    assert_eq!((text(&["none"]), text(&["list"]), text(&["email"]), text(&["org"])), (None, None, None, None));
    let shown = format!("{claims:?}");
    assert!(!shown.contains("gold"), "values must not get into logs: {shown}");
}
