//! Keys made at test time, and tokens put together by hand, so that any of them can be wrong in any way.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair, RsaPublicKeyComponents};
use aws_lc_rs::{hmac, rsa};
use bannou_crds::catalog::{FileKey, Fleet, InlineKey, Issuer, Keys};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::auth::{AuthError, ConfigError, JwksCache, Principal, Secrets, Verifier};

/// The tests' clock stands still here.
pub const NOW: u64 = 1_800_000_000;
pub const ISSUER: &str = "https://id.example.com/";

pub fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

pub enum Signer {
    Hmac(hmac::Algorithm, Vec<u8>),
    Ecdsa(EcdsaKeyPair),
    Rsa(&'static dyn signature::RsaEncoding),
    Ed(Ed25519KeyPair),
}

/// RSA keys take long to make: one for all.
static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap());

pub fn random(bytes: usize) -> Vec<u8> {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    random
}

impl Signer {
    /// A new key for this algorithm (of RSA, the one key).
    pub fn new(algorithm: &str) -> Self {
        match algorithm {
            "HS256" => Self::Hmac(hmac::HMAC_SHA256, random(32)),
            "HS384" => Self::Hmac(hmac::HMAC_SHA384, random(48)),
            "HS512" => Self::Hmac(hmac::HMAC_SHA512, random(64)),
            "RS256" => Self::Rsa(&signature::RSA_PKCS1_SHA256),
            "RS384" => Self::Rsa(&signature::RSA_PKCS1_SHA384),
            "RS512" => Self::Rsa(&signature::RSA_PKCS1_SHA512),
            "PS256" => Self::Rsa(&signature::RSA_PSS_SHA256),
            "PS384" => Self::Rsa(&signature::RSA_PSS_SHA384),
            "PS512" => Self::Rsa(&signature::RSA_PSS_SHA512),
            "ES256" => Self::Ecdsa(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            "ES384" => Self::Ecdsa(EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            "EdDSA" => Self::Ed(Ed25519KeyPair::generate().unwrap()),
            other => panic!("no {other}"),
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Hmac(algorithm, secret) => hmac::sign(&hmac::Key::new(*algorithm, secret), message).as_ref().to_vec(),
            Self::Ecdsa(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(encoding) => {
                let mut out = vec![0; RSA.public_modulus_len()];
                RSA.sign(*encoding, &random, message, &mut out).unwrap();
                out
            }
        }
    }

    pub fn secret(&self) -> &[u8] {
        let Self::Hmac(_, secret) = self else { panic!("no secret") };
        secret
    }

    pub fn jwk(&self) -> Value {
        match self {
            Self::Hmac(_, secret) => json!({"kty": "oct", "k": b64(secret)}),
            Self::Ecdsa(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at((key.public_key().as_ref().len() - 1) / 2);
                let crv = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": crv, "x": b64(x), "y": b64(y)})
            }
            Self::Ed(key) => json!({"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().as_ref())}),
            Self::Rsa(_) => {
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(RSA.public_key());
                json!({"kty": "RSA", "n": b64(&parts.n), "e": b64(&parts.e)})
            }
        }
    }

    pub fn jwk_with(&self, more: Value) -> Value {
        merged(self.jwk(), more)
    }

    pub fn der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Hmac(..) => panic!("a secret has no public form"),
            Self::Ecdsa(key) => key.public_key().as_der().unwrap(),
            Self::Ed(key) => key.public_key().as_der().unwrap(),
            Self::Rsa(_) => RSA.public_key().as_der().unwrap(),
        };
        der.as_ref().to_vec()
    }

    pub fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.der())
    }
}

pub fn pem(tag: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n", lines.join("\n"))
}

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The members of `more` put into `base`; `null` takes one away.
pub fn merged(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("an object") };
    for (name, value) in more {
        match value {
            Value::Null => drop(base.as_object_mut().unwrap().remove(&name)),
            value => base[name] = value,
        }
    }
    base
}

/// A valid token's claims.
pub fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "game", "sub": "ada", "exp": NOW + 3600, "iat": NOW - 10, "nbf": NOW - 10})
}

/// Header and payload as they are given, signed.
pub fn raw(signer: &Signer, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    let message = format!("{}.{}", b64(header), b64(payload));
    format!("{message}.{}", b64(signer.sign(message.as_bytes())))
}

/// A token of this algorithm with `more` among its claims.
pub fn token(signer: &Signer, algorithm: &str, more: Value) -> String {
    raw(signer, json!({"typ": "JWT", "alg": algorithm}).to_string(), merged(claims(), more).to_string())
}

pub fn fleet(issuers: Vec<Issuer>) -> Fleet {
    Fleet {
        namespace: "test".into(),
        name: "default".into(),
        issuers,
        origins: vec![],
        trusted_proxies: vec![],
        resume_window_ms: 0,
        max_session_age_ms: 0,
        max_config_age_ms: 0,
        max_token_life_ms: 86_400_000,
        max_control_age_ms: 300_000,
        managers: Vec::new(),
    }
}

pub fn issuer(algorithms: &[&str], keys: Keys) -> Issuer {
    Issuer {
        name: "main".into(),
        issuer: ISSUER.into(),
        audiences: vec!["game".into()],
        audience_claim: None,
        algorithms: algorithms.iter().map(ToString::to_string).collect(),
        keys,
        extra_required_claims: vec![],
    }
}

pub fn inline(jwks: impl IntoIterator<Item = Value>) -> Keys {
    Keys::Inline(jwks.into_iter().map(|jwk| InlineKey { kid: None, pem: None, jwk: Some(jwk) }).collect())
}

pub fn file(path: &str) -> Keys {
    Keys::Files(vec![FileKey { kid: None, path: path.into() }])
}

pub fn memory(path: &str, bytes: &[u8]) -> Secrets {
    Secrets::Memory(BTreeMap::from([(path.to_owned(), bytes.to_vec())]))
}

pub fn none() -> Secrets {
    Secrets::Memory(BTreeMap::new())
}

pub fn build(issuer: Issuer, secrets: &Secrets, paths: &[Vec<String>]) -> Result<Verifier, ConfigError> {
    Verifier::new(&fleet(vec![issuer]), paths, secrets, &JwksCache::offline())
}

/// An issuer with one HMAC key, its issuer changed by `change`, and the claim paths that are kept.
pub struct Hs256 {
    pub signer: Signer,
    pub verifier: Verifier,
}

impl Hs256 {
    pub fn new() -> Self {
        Self::with(|_| {}, &[])
    }

    pub fn with(change: impl FnOnce(&mut Issuer), paths: &[&[&str]]) -> Self {
        let signer = Signer::new("HS256");
        let mut spec = issuer(&["HS256"], file("secret"));
        change(&mut spec);
        let paths: Vec<Vec<String>> = paths.iter().map(|p| p.iter().map(ToString::to_string).collect()).collect();
        let verifier = build(spec, &memory("secret", signer.secret()), &paths).unwrap();
        Self { signer, verifier }
    }

    pub fn token(&self, more: Value) -> String {
        token(&self.signer, "HS256", more)
    }

    pub fn payload(&self, payload: &str) -> String {
        raw(&self.signer, r#"{"alg":"HS256"}"#, payload)
    }

    pub fn verify(&self, token: &str) -> Result<Principal, AuthError> {
        verify(&self.verifier, token)
    }
}

/// For verifiers that have their keys: then nothing is awaited.
pub fn verify(verifier: &Verifier, token: &str) -> Result<Principal, AuthError> {
    verify_at(verifier, token, now())
}

pub fn verify_at(verifier: &Verifier, token: &str, at: SystemTime) -> Result<Principal, AuthError> {
    futures_util::FutureExt::now_or_never(verifier.verify(token, at)).expect("waits, though the keys are here")
}

/// A principal with these claims, all of them kept by `paths`.
pub fn principal(more: Value, paths: &[&[&str]]) -> Principal {
    let hs = Hs256::with(|_| {}, paths);
    hs.verify(&hs.token(more)).unwrap()
}

pub fn arc(text: &str) -> Arc<str> {
    text.into()
}
