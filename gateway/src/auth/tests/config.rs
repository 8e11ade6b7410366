//! What an operator can get wrong, and what the gateway says then.

use bannou_crds::catalog::{AudienceClaim, FileKey, InlineKey, Issuer, Keys};
use serde_json::json;

use super::support::*;
use crate::auth::{JwksCache, Secrets, Verifier};

/// Refused, with all of these words.
fn refused(spec: Issuer, secrets: &Secrets, words: &[&str]) {
    let error = build(spec, secrets, &[]).expect_err(&format!("{words:?}")).to_string();
    for word in words.iter().chain(&["main"]) {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

fn file_refused(algorithms: &[&str], bytes: &[u8], words: &[&str]) {
    refused(issuer(algorithms, file("keys/k")), &memory("keys/k", bytes), &[words, &["keys/k"]].concat());
}

#[test]
fn secrets_are_long_enough() {
    file_refused(&["HS256"], &random(31), &["32 bytes", "31"]);
    file_refused(&["HS256"], b"", &["32 bytes"]);
    let short = json!({"kty": "oct", "k": b64(random(16))}).to_string();
    file_refused(&["HS256"], short.as_bytes(), &["32 bytes", "16"]);
    assert!(build(issuer(&["HS256"], file("k")), &memory("k", &random(32)), &[]).is_ok());
}

#[test]
fn secrets_and_public_keys_are_not_taken_for_each_other() {
    let (es, rs) = (Signer::new("ES256"), Signer::new("RS256"));
    file_refused(&["HS256"], es.pem().as_bytes(), &["no use", "algorithms"]);
    file_refused(&["HS256"], &es.der(), &["DER", "PEM"]);
    file_refused(&["HS256"], &rs.der(), &["DER", "PEM"]);
    file_refused(&["HS256"], &Signer::new("EdDSA").der(), &["DER", "PEM"]);
    file_refused(
        &["HS256"],
        b"-----BEGIN PUBLIC KEY-----\nnonsense that is long enough for a secret\n",
        &["public key"],
    );
    file_refused(&["HS256"], b"{\"keys\": nonsense that is long enough for a secret }", &["JSON"]);
    file_refused(&["ES256"], &random(64), &["HS256"]);
    let oct = json!({"kty": "oct", "k": b64(random(32))});
    refused(issuer(&["HS256", "ES256"], inline([oct])), &none(), &["files"]);
}

#[test]
fn private_keys_are_sent_back() {
    let private = pem("PRIVATE KEY", &random(64));
    file_refused(&["ES256"], private.as_bytes(), &["private", "-pubout"]);
    let jwk = Signer::new("ES256").jwk_with(json!({"d": "AA"}));
    refused(issuer(&["ES256"], inline([jwk])), &none(), &["private"]);
    file_refused(&["ES256"], pem("CERTIFICATE", &random(64)).as_bytes(), &["x509 -pubkey"]);
}

#[test]
fn keys_are_strong_and_whole() {
    let weak = json!({"kty": "RSA", "n": b64([vec![0x80], random(127)].concat()), "e": "AQAB"});
    refused(issuer(&["RS256"], inline([weak])), &none(), &["2048", "1024"]);
    let cut = Signer::new("ES256").jwk_with(json!({"x": b64(random(32))}));
    refused(issuer(&["ES256"], inline([cut])), &none(), &["not a valid public key"]);
    for jwk in [json!({}), json!({"kty": "EC"}), json!({"kty": "OKP", "crv": "X25519", "x": b64(random(32))}), json!(5)]
    {
        refused(issuer(&["ES256", "EdDSA"], inline([jwk])), &none(), &["known here"]);
    }
    let signer = Signer::new("ES256");
    for (more, word) in [
        (json!({"use": "enc"}), "signatures"),
        (json!({"key_ops": ["encrypt"]}), "signatures"),
        (json!({"alg": "ES384"}), "no use"),
        (json!({"alg": "ECDH-ES"}), "alg"),
    ] {
        refused(issuer(&["ES256"], inline([signer.jwk_with(more)])), &none(), &[word]);
    }
}

#[test]
fn numbers_with_leading_zeros_are_understood() {
    let signer = Signer::new("RS256");
    let jwk = signer.jwk_with(json!({"e": b64([0, 1, 0, 1])}));
    let verifier = build(issuer(&["RS256"], inline([jwk])), &none(), &[]).unwrap();
    assert!(verify(&verifier, &token(&signer, "RS256", json!({}))).is_ok());
}

#[test]
fn issuers_say_all_that_is_needed() {
    let signer = Signer::new("ES256");
    let good = || issuer(&["ES256"], inline([signer.jwk()]));
    let claim = |name: &str, values: &[&str]| {
        Some(AudienceClaim { name: name.into(), values: values.iter().map(ToString::to_string).collect() })
    };
    assert!(build(good(), &none(), &[]).is_ok());
    refused(Issuer { audiences: vec![], ..good() }, &none(), &["audiences"]);
    refused(Issuer { audience_claim: claim("client_id", &[]), ..good() }, &none(), &["audienceClaim"]);
    refused(Issuer { audience_claim: claim("", &["x"]), ..good() }, &none(), &["audienceClaim"]);
    refused(Issuer { algorithms: vec![], ..good() }, &none(), &["algorithms"]);
    refused(Issuer { algorithms: vec!["none".into()], ..good() }, &none(), &["\"none\"", "ES256"]);
    refused(Issuer { issuer: String::new(), ..good() }, &none(), &["iss"]);
    refused(Issuer { keys: Keys::Inline(vec![]), ..good() }, &none(), &["no keys"]);
    let both = InlineKey { kid: None, pem: Some(signer.pem()), jwk: Some(signer.jwk()) };
    refused(Issuer { keys: Keys::Inline(vec![both]), ..good() }, &none(), &["exactly one"]);
    let jwks = Keys::JwksUri("http://id.example.com/".into());
    refused(Issuer { keys: jwks.clone(), ..good() }, &none(), &["https"]);
    let https = Keys::JwksUri("https://id.example.com/".into());
    refused(Issuer { keys: https, algorithms: vec!["HS256".into()], ..good() }, &none(), &["public keys"]);
    let twice = fleet(vec![good(), Issuer { name: "second".into(), ..good() }]);
    let error = Verifier::new(&twice, &[], &none(), &JwksCache::offline()).unwrap_err();
    assert!(error.to_string().contains("second") && error.to_string().contains(ISSUER), "{error}");
}

#[test]
fn key_files_are_read_below_their_folder_alone() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::new("HS256");
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    std::fs::write(folder.path().join("keys/k"), signer.secret()).unwrap();
    std::fs::write(folder.path().join("big"), vec![b'x'; 256 * 1024 + 1]).unwrap();
    let catalog = folder.path().join("keys");
    let below = Secrets::Dir(folder.path().to_owned());
    let beside = Secrets::Dir(catalog);
    let verifier = build(issuer(&["HS256"], file("keys/k")), &below, &[]).unwrap();
    assert!(verify(&verifier, &token(&signer, "HS256", json!({}))).is_ok());
    refused(issuer(&["HS256"], file("keys/none")), &below, &["keys/none", "cannot be read"]);
    refused(issuer(&["HS256"], file("big")), &below, &["256 KiB"]);
    refused(issuer(&["HS256"], file("../big")), &beside, &["relative"]);
    let absolute = folder.path().join("big").display().to_string();
    refused(issuer(&["HS256"], file(&absolute)), &below, &["relative"]);
}

#[test]
fn several_files_are_one_set() {
    let (old, new) = (Signer::new("HS256"), Signer::new("HS256"));
    let files = [("old", old.secret()), ("new", new.secret())];
    let secrets = Secrets::Memory(files.iter().map(|(name, s)| (name.to_string(), s.to_vec())).collect());
    let keys = files.iter().map(|(name, _)| FileKey { kid: Some(name.to_string()), path: name.to_string() }).collect();
    let verifier = build(issuer(&["HS256"], Keys::Files(keys)), &secrets, &[]).unwrap();
    for (signer, kid, good) in [(&old, "old", true), (&new, "new", true), (&old, "new", false)] {
        let header = json!({"alg": "HS256", "kid": kid}).to_string();
        assert_eq!(verify(&verifier, &raw(signer, header, claims().to_string())).is_ok(), good, "{kid}");
    }
    let shown = format!("{verifier:?} {secrets:?}");
    let bytes = format!("{:?}", old.secret());
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "a secret must not get into logs");
}

#[test]
fn a_file_without_one_usable_key_says_why() {
    let jwks = json!({"keys": [Signer::new("ES256").jwk_with(json!({"use": "enc"}))]}).to_string();
    file_refused(&["ES256"], jwks.as_bytes(), &["key 0", "signatures"]);
    file_refused(&["ES256"], b"{\"keys\": []}", &["no key"]);
    let many = json!({"keys": vec![json!({"kty": "x"}); 65]}).to_string();
    file_refused(&["ES256"], many.as_bytes(), &["65"]);
}
