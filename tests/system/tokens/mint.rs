//! Issuers, and tokens that are right or wrong in one way each. The keys are made for the run.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const DAY: u64 = 86_400;

/// Signs for the issuers `main` (ES256, two keys), `rsa` (RS256), `ed` (EdDSA), `hmac` (HS256, demands a claim `tenant`) and
/// `plain` (HS256, no `aud`, but `client_id`).
pub struct Mint {
    one: EcdsaKeyPair,
    two: EcdsaKeyPair,
    stranger: EcdsaKeyPair,
    rsa: RsaKeyPair,
    ed: Ed25519KeyPair,
    pub secret: [u8; 32],
    pub plain: [u8; 32],
}

/// What signs.
#[derive(Clone, Copy)]
enum With<'a> {
    Ec(&'a EcdsaKeyPair),
    Rsa(&'static dyn signature::RsaEncoding),
    Ed,
    Secret(&'a [u8]),
    Nothing,
}

impl Mint {
    pub fn new() -> Self {
        let ec = || EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let secret = || {
            let mut secret = [0; 32];
            rand::fill(&mut secret).expect("random bytes");
            secret
        };
        Self {
            one: ec(),
            two: ec(),
            stranger: ec(),
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"),
            ed: Ed25519KeyPair::generate().expect("a key"),
            secret: secret(),
            plain: secret(),
        }
    }

    /// As the catalog has them. The secrets are the files `hmac-secret` and `plain-secret` beside it.
    pub fn issuers(&self) -> Value {
        let issuer = |name: &str, algorithm: &str, keys: Value| json!({"name": name, "issuer": iss(name), "audiences": ["game"], "algorithms": [algorithm], "keys": keys});
        let mut hmac = issuer("hmac", "HS256", json!({"files": [{"path": "hmac-secret"}]}));
        hmac["extra_required_claims"] = json!(["tenant"]);
        let mut plain = issuer("plain", "HS256", json!({"files": [{"path": "plain-secret"}]}));
        plain["audiences"] = json!([]);
        plain["audience_claim"] = json!({"name": "client_id", "values": ["game"]});
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(self.ed.public_key())});
        json!([
            issuer(
                "main",
                "ES256",
                json!({"inline": [
                    {"kid": "1", "jwk": jwk(&self.one)}, {"kid": "2", "jwk": jwk(&self.two)},
                ]})
            ),
            issuer("rsa", "RS256", json!({"inline": [{"kid": "1", "pem": self.rsa_pem()}]})),
            issuer("ed", "EdDSA", json!({"inline": [{"kid": "1", "jwk": ed}]})),
            hmac,
            plain,
        ])
    }

    /// The set that holds key 1, or key 2 of `main`.
    pub fn jwks(&self, kid: &str) -> Value {
        let mut key = jwk(if kid == "1" { &self.one } else { &self.two });
        key["kid"] = kid.into();
        json!({"keys": [key]})
    }

    /// A good one of `main`, by its key 1 or 2.
    pub fn good(&self, kid: &str) -> String {
        let key = if kid == "1" { &self.one } else { &self.two };
        self.token(With::Ec(key), json!({"alg": "ES256", "kid": kid}), claims("main", json!({})))
    }

    /// A good one of `main`, but for its end.
    pub fn expired(&self) -> String {
        let claims = claims("main", json!({"exp": now() - 10, "iat": now() - 100, "nbf": null}));
        self.token(With::Ec(&self.one), json!({"alg": "ES256", "kid": "1"}), claims)
    }

    /// One of every issuer, and of every way to be right that looks a little wrong.
    pub fn accepted(&self) -> Vec<(&'static str, String)> {
        let main = |more| self.token(With::Ec(&self.one), json!({"alg": "ES256", "kid": "1"}), claims("main", more));
        let hs = |secret, iss, more| self.token(With::Secret(secret), json!({"alg": "HS256"}), claims(iss, more));
        let header = |alg| json!({"alg": alg, "kid": "1"});
        vec![
            ("ES256", self.good("1")),
            ("ES256, the other key", self.good("2")),
            ("ES256, no kid", self.token(With::Ec(&self.two), json!({"alg": "ES256"}), claims("main", json!({})))),
            ("RS256", self.token(With::Rsa(&signature::RSA_PKCS1_SHA256), header("RS256"), claims("rsa", json!({})))),
            ("EdDSA", self.token(With::Ed, header("EdDSA"), claims("ed", json!({})))),
            ("HS256", hs(&self.secret, "hmac", json!({"tenant": "t"}))),
            ("client_id for aud", hs(&self.plain, "plain", json!({"aud": null, "client_id": "game"}))),
            ("several audiences", main(json!({"aud": ["x", "game"]}))),
            ("no nbf, no iat", main(json!({"nbf": null, "iat": null}))),
        ]
    }

    /// Each is wrong in one way and right in all others.
    pub fn hostile(&self) -> Vec<(&'static str, String)> {
        let ec = With::Ec(&self.one);
        let es = || json!({"alg": "ES256", "kid": "1"});
        let main = |more| claims("main", more);
        let by = |with, header, payload| self.token(with, header, payload);
        let claim = |more| by(ec, es(), main(more));
        let header = |more| by(ec, merged(es(), more), main(json!({})));
        let hs = |secret, iss, more| by(With::Secret(secret), json!({"alg": "HS256"}), claims(iss, more));
        let good = self.good("1");
        let [head, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { unreachable!("three parts") };
        let (pem, der) = (self.rsa_pem(), self.rsa_der());
        let twice = format!("{},\"sub\":\"root\"}}", main(json!({})).to_string().trim_end_matches('}'));
        vec![
            ("no exp", claim(json!({"exp": null}))),
            ("no aud", claim(json!({"aud": null}))),
            ("no iss", claim(json!({"iss": null}))),
            ("no sub", claim(json!({"sub": null}))),
            ("exp as text", claim(json!({"exp": (now() + 60).to_string()}))),
            ("exp beyond all dates", claim(json!({"exp": 1e300}))),
            ("aud a number", claim(json!({"aud": 7}))),
            ("aud of mixed kinds", claim(json!({"aud": ["game", 7]}))),
            ("aud empty", claim(json!({"aud": []}))),
            ("another aud", claim(json!({"aud": "other"}))),
            ("another iss", claim(json!({"iss": "https://evil.test/"}))),
            ("the name of an issuer as iss", claim(json!({"iss": "main"}))),
            ("nbf in the future", claim(json!({"nbf": now() + 60}))),
            ("iat in the future", claim(json!({"iat": now() + 600}))),
            ("expired", self.expired()),
            ("a life too long", claim(json!({"exp": now() + DAY, "iat": now() - 100}))),
            ("a life too long, no iat", claim(json!({"exp": now() + DAY + 100, "iat": null}))),
            ("sub a number", claim(json!({"sub": 7}))),
            ("sub empty", claim(json!({"sub": ""}))),
            ("sub too long", claim(json!({"sub": "x".repeat(257)}))),
            ("sub with a line end", claim(json!({"sub": "ada\nroot"}))),
            ("jti a number", claim(json!({"jti": 7}))),
            ("sub twice", self.raw(ec, &es().to_string(), &twice)),
            ("an array for claims", self.raw(ec, &es().to_string(), "[]")),
            ("no claims", self.raw(ec, &es().to_string(), "")),
            ("alg none", by(With::Nothing, json!({"alg": "none"}), main(json!({})))),
            ("alg None", by(With::Nothing, json!({"alg": "None"}), main(json!({})))),
            ("alg none, signed", by(ec, json!({"alg": "none", "kid": "1"}), main(json!({})))),
            ("alg of another issuer", by(With::Secret(&self.secret), json!({"alg": "HS256"}), main(json!({})))),
            ("alg longer than the issuer's", by(ec, json!({"alg": "ES384", "kid": "1"}), main(json!({})))),
            ("PS256 where RS256 is meant", {
                by(With::Rsa(&signature::RSA_PSS_SHA256), json!({"alg": "PS256", "kid": "1"}), claims("rsa", json!({})))
            }),
            ("HS256 with the public PEM", hs(pem.as_bytes(), "rsa", json!({}))),
            ("HS256 with the trimmed PEM", hs(pem.trim().as_bytes(), "rsa", json!({}))),
            ("HS256 with the public DER", hs(&der, "rsa", json!({}))),
            ("HS256 with an empty secret", hs(b"", "hmac", json!({"tenant": "t"}))),
            ("HS256 with another issuer's secret", hs(&self.plain, "hmac", json!({"tenant": "t"}))),
            ("a required claim missing", hs(&self.secret, "hmac", json!({}))),
            ("another client_id", hs(&self.plain, "plain", json!({"aud": null, "client_id": "x"}))),
            ("aud where client_id is meant", hs(&self.plain, "plain", json!({}))),
            ("an unknown kid", header(json!({"kid": "3"}))),
            ("the other key's kid", header(json!({"kid": "2"}))),
            ("another issuer's key of that kid", by(With::Ed, json!({"alg": "ES256", "kid": "1"}), main(json!({})))),
            ("a stranger's key", by(With::Ec(&self.stranger), es(), main(json!({})))),
            ("a stranger's key, no kid", by(With::Ec(&self.stranger), json!({"alg": "ES256"}), main(json!({})))),
            ("a stranger's key, brought along", {
                let header = json!({"alg": "ES256", "jwk": jwk(&self.stranger)});
                by(With::Ec(&self.stranger), header, main(json!({})))
            }),
            ("a stranger's key, by URL", {
                let header = json!({"alg": "ES256", "jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/"});
                by(With::Ec(&self.stranger), header, main(json!({})))
            }),
            ("crit", header(json!({"crit": ["exp"], "exp": 1}))),
            ("enc", header(json!({"enc": "A128GCM"}))),
            ("a logout token", header(json!({"typ": "logout+jwt"}))),
            ("no alg", header(json!({"alg": null}))),
            ("a JWE", [head, "", "", body, signature].join(".")),
            ("other claims under a good signature", {
                format!("{head}.{}.{signature}", b64(main(json!({"sub": "root"})).to_string()))
            }),
            ("another header over a good signature", format!("{}.{body}.{signature}", b64(r#"{"alg":"ES256"}"#))),
            ("a signature cut short", format!("{head}.{body}.{}", &signature[..signature.len() - 4])),
            ("no signature", format!("{head}.{body}.")),
            ("a signature of zeros", format!("{head}.{body}.{}", b64([0; 64]))),
            ("two parts", format!("{head}.{body}")),
            ("four parts", format!("{good}.x")),
            ("a word", "token".to_owned()),
            ("dots", "..".to_owned()),
            ("longer than 8 KiB", claim(json!({"pad": "x".repeat(6200)}))),
        ]
    }

    /// Such as no header can hold.
    pub fn hostile_text(&self) -> Vec<(&'static str, String)> {
        let good = self.good("1");
        vec![
            ("nothing", String::new()),
            ("a space before", format!(" {good}")),
            ("a line after", format!("{good}\n")),
            ("padding", format!("{good}==")),
            ("NUL", format!("{good}\0")),
            ("not ASCII", format!("é{good}")),
            ("the scheme", format!("Bearer {good}")),
        ]
    }

    fn token(&self, with: With<'_>, header: Value, payload: Value) -> String {
        self.raw(with, &header.to_string(), &payload.to_string())
    }

    fn raw(&self, with: With<'_>, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", b64(header), b64(payload));
        let random = SystemRandom::new();
        let signature = match with {
            With::Ec(key) => key.sign(&random, message.as_bytes()).expect("signed").as_ref().to_vec(),
            With::Ed => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
            With::Secret(secret) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes()).as_ref().to_vec()
            }
            With::Rsa(encoding) => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa.sign(encoding, &random, message.as_bytes(), &mut signature).expect("signed");
                signature
            }
            With::Nothing => Vec::new(),
        };
        format!("{message}.{}", b64(signature))
    }

    fn rsa_der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = self.rsa.public_key().as_der().expect("a public key has a form");
        der.as_ref().to_vec()
    }

    fn rsa_pem(&self) -> String {
        let text = STANDARD.encode(self.rsa_der());
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }
}

fn iss(name: &str) -> String {
    format!("https://{name}.test/")
}

fn claims(issuer: &str, more: Value) -> Value {
    let now = now();
    let base = json!({
        "iss": iss(issuer), "aud": "game", "sub": "ada", "exp": now + 600, "iat": now - 5, "nbf": now - 5,
    });
    merged(base, more)
}

/// The members of `more` in `base`; `null` takes one away.
fn merged(mut base: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        base[name] = value.clone();
    }
    base.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    base
}

fn jwk(key: &EcdsaKeyPair) -> Value {
    let point = key.public_key().as_ref();
    json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..65])})
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}
