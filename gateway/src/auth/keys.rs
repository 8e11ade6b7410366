//! Keys, parsed once, each bound to one algorithm.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;

/// RFC 7518 wants a key at least as long as the hash; below 32 bytes no HMAC algorithm is safe.
const MIN_SECRET_BYTES: usize = 32;
const MIN_RSA_BITS: usize = 2048;
/// How many keys of one set: an issuer in the middle of a rotation has three.
pub(super) const MAX_KEYS: usize = 64;
/// How many keys are tried for a token that does not say which one it means: each costs a signature check.
const MAX_TRIES: usize = 4;

/// An issuer's keys.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

/// One key for one algorithm: a key that may be used with three is here three times, so that no token can choose how a
/// key is used.
struct Key {
    id: Option<Box<str>>,
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    /// Boxed: 1.2 KB, beside 56 bytes.
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

/// Where a JWK was found: symmetric and private keys have no place where others can read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Url,
    Resource,
    File,
}

/// What a set of keys says about a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Valid,
    /// The key that the token names is here, and did not sign it.
    Forged,
    /// None of the keys that came into question signed it. Another one might.
    NotByThese,
    /// As before, but there were more than could be tried.
    TooMany,
    /// No key of that id and algorithm.
    NoKey,
}

impl KeySet {
    /// Whose signature this is. A token that names a key is held to it; keys without an id are tried for any token, and
    /// a token without one tries all keys of its algorithm: the first four.
    pub fn verify(&self, algorithm: Algorithm, id: Option<&str>, message: &[u8], signature: &[u8]) -> Verdict {
        let exact = id.is_some() && self.keys.iter().any(|k| k.algorithm == algorithm && k.id.as_deref() == id);
        let mut candidates = self.keys.iter().filter(|k| {
            k.algorithm == algorithm && (if exact { k.id.as_deref() == id } else { id.is_none() || k.id.is_none() })
        });
        let mut tried = 0;
        for key in candidates.by_ref().take(MAX_TRIES) {
            tried += 1;
            if key.signed(message, signature) {
                return Verdict::Valid;
            }
        }
        match () {
            () if tried == 0 => Verdict::NoKey,
            () if candidates.next().is_some() => Verdict::TooMany,
            () if exact => Verdict::Forged,
            () => Verdict::NotByThese,
        }
    }

    pub fn extend(&mut self, other: Self) {
        self.keys.extend(other.keys);
    }

    /// How many (key, algorithm) pairs.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A key file: a JWKS or a JWK, a PEM public key, or else the raw bytes of an HMAC secret, to the last newline.
    ///
    /// # Errors
    /// A sentence that says what to do. Never holds any of the bytes.
    pub fn from_file(bytes: &[u8], id: Option<&str>, allowed: &[Algorithm]) -> Result<Self, String> {
        match std::str::from_utf8(bytes).map(str::trim_start) {
            Ok(text) if text.contains("-----BEGIN") => return Self::from_pem(text, id, allowed),
            Ok(text) if text.starts_with('{') => {
                let json: serde_json::Value = serde_json::from_str(text)
                    .map_err(|e| format!("it starts like JSON, but is not (line {}): mount a JWKS", e.line()))?;
                if json.get("keys").is_none() {
                    return Self::from_jwk(&json, id, allowed, Origin::File);
                }
                let (set, skipped) = Self::from_jwks(text.as_bytes(), allowed, Origin::File)?;
                return match (set.is_empty(), skipped.into_iter().next()) {
                    (true, Some(why)) => Err(why),
                    (true, None) => Err("the JWKS has no key in it".to_owned()),
                    (false, _) => Ok(set),
                };
            }
            _ => {}
        }
        // A public key in binary form is no secret: with it as one, anybody could sign.
        if is_public_der(bytes) {
            return Err("it is a public key in binary (DER) form: mount it as PEM".to_owned());
        }
        Self::from_secret(bytes, id, allowed)
    }

    /// # Errors
    /// When it is short, or none of the algorithms uses a secret.
    pub fn from_secret(secret: &[u8], id: Option<&str>, allowed: &[Algorithm]) -> Result<Self, String> {
        let algorithms = family(allowed, AlgorithmFamily::Hmac);
        if algorithms.is_empty() {
            return Err(
                "it is neither PEM nor a JWKS, and none of the issuer's algorithms (HS256 …) uses a secret".into()
            );
        }
        if secret.len() < MIN_SECRET_BYTES {
            return Err(format!("an HMAC secret has at least {MIN_SECRET_BYTES} bytes, this one {}", secret.len()));
        }
        let key = |algorithm| {
            let hash = match algorithm {
                Algorithm::HS384 => hmac::HMAC_SHA384,
                Algorithm::HS512 => hmac::HMAC_SHA512,
                _ => hmac::HMAC_SHA256,
            };
            Key {
                id: id.map(Into::into),
                algorithm,
                material: Material::Secret(Box::new(hmac::Key::new(hash, secret))),
            }
        };
        Ok(Self { keys: algorithms.into_iter().map(key).collect() })
    }

    /// # Errors
    /// A sentence that says what to do.
    pub fn from_pem(pem: &str, id: Option<&str>, allowed: &[Algorithm]) -> Result<Self, String> {
        if pem.contains("PRIVATE KEY-----") {
            return Err("it is a private key: the gateway needs the public one (openssl pkey -pubout)".to_owned());
        }
        if !pem.contains("-----BEGIN PUBLIC KEY-----") && !pem.contains("-----BEGIN RSA PUBLIC KEY-----") {
            return Err("it is PEM, but not a public key (a certificate's: openssl x509 -pubkey -noout)".to_owned());
        }
        let key = DecodingKey::from_rsa_pem(pem.as_bytes())
            .or_else(|_| DecodingKey::from_ec_pem(pem.as_bytes()))
            .or_else(|_| DecodingKey::from_ed_pem(pem.as_bytes()))
            .and_then(|key| Jwk::from_decoding_key(&key, None))
            .map_err(|_| "it is not a public key of a kind known here: RSA, EC P-256 or P-384, Ed25519".to_owned())?;
        Self::from_parsed_jwk(&key, id, allowed, Origin::File)
    }

    /// A JSON Web Key Set: its usable keys, and for each other one why not. Keys of kinds that nobody here knows are
    /// no reason to do without the rest.
    ///
    /// # Errors
    /// When it is none, or has more than 64 keys.
    pub fn from_jwks(json: &[u8], allowed: &[Algorithm], origin: Origin) -> Result<(Self, Vec<String>), String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| "it is not a JWKS: {\"keys\": […]}".to_owned())?;
        if set.keys.len() > MAX_KEYS {
            return Err(format!("it has {} keys, more than {MAX_KEYS}", set.keys.len()));
        }
        let (mut good, mut skipped) = (Self::default(), Vec::new());
        for (index, jwk) in set.keys.iter().enumerate() {
            match Self::from_jwk(jwk, None, allowed, origin) {
                Ok(keys) => good.extend(keys),
                Err(why) => skipped.push(format!("key {index}: {why}")),
            }
        }
        Ok((good, skipped))
    }

    /// A JSON Web Key, for those of the allowed algorithms that it is for. `id` replaces its own `kid`.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn from_jwk(
        jwk: &serde_json::Value,
        id: Option<&str>,
        allowed: &[Algorithm],
        origin: Origin,
    ) -> Result<Self, String> {
        if jwk.get("d").is_some() {
            return Err("it is a private key (it has a member \"d\"): the gateway needs the public one".to_owned());
        }
        let jwk: Jwk = Jwk::deserialize(jwk).map_err(|_| "it is not a JSON Web Key of a kind known here".to_owned())?;
        Self::from_parsed_jwk(&jwk, id, allowed, origin)
    }

    fn from_parsed_jwk(jwk: &Jwk, id: Option<&str>, allowed: &[Algorithm], origin: Origin) -> Result<Self, String> {
        let common = &jwk.common;
        if common.public_key_use.as_ref().is_some_and(|u| *u != PublicKeyUse::Signature)
            || common.key_operations.as_ref().is_some_and(|ops| !ops.contains(&KeyOperations::Verify))
        {
            return Err("it is not for signatures (use, key_ops)".to_owned());
        }
        let id = id.or(common.key_id.as_deref());
        // A key that says its algorithm is used with no other.
        let its_own = match common.key_algorithm {
            Some(named) => {
                let named =
                    Algorithm::try_from(named).map_err(|_| "its algorithm (alg) is not known here".to_owned())?;
                Some(named)
            }
            None => None,
        };
        let allowed: Vec<_> = allowed.iter().copied().filter(|a| its_own.is_none_or(|own| own == *a)).collect();
        let fits = match &jwk.algorithm {
            AlgorithmParameters::OctetKey(_) => family(&allowed, AlgorithmFamily::Hmac),
            AlgorithmParameters::RSA(_) => family(&allowed, AlgorithmFamily::Rsa),
            AlgorithmParameters::EllipticCurve(ec) => {
                allowed.into_iter().filter(|a| curve(*a) == Some(&ec.curve)).collect()
            }
            AlgorithmParameters::OctetKeyPair(_) => family(&allowed, AlgorithmFamily::Ed),
            _ => return Err("it is a key of a kind that is not known here (kty)".to_owned()),
        };
        let secret = matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
        if secret && origin != Origin::File {
            return Err("it is a secret (kty oct): secrets come from files alone".to_owned());
        }
        if fits.is_empty() {
            return Err("it is of no use for any of the issuer's algorithms".to_owned());
        }
        if let AlgorithmParameters::OctetKey(oct) = &jwk.algorithm {
            let secret = URL_SAFE_NO_PAD.decode(&oct.value).map_err(|_| "its k is not base64url".to_owned())?;
            return Self::from_secret(&secret, id, &fits);
        }
        let keys = fits.into_iter().map(|algorithm| {
            let material = Material::Public(public_key(&jwk.algorithm, algorithm)?);
            Ok(Key { id: id.map(Into::into), algorithm, material })
        });
        Ok(Self { keys: keys.collect::<Result<_, String>>()? })
    }
}

impl Key {
    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn family(allowed: &[Algorithm], family: AlgorithmFamily) -> Vec<Algorithm> {
    allowed.iter().copied().filter(|a| a.family() == family).collect()
}

fn curve(algorithm: Algorithm) -> Option<&'static EllipticCurve> {
    match algorithm {
        Algorithm::ES256 => Some(&EllipticCurve::P256),
        Algorithm::ES384 => Some(&EllipticCurve::P384),
        _ => None,
    }
}

fn public_key(jwk: &AlgorithmParameters, algorithm: Algorithm) -> Result<ParsedPublicKey, String> {
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "a part of it is not base64url".to_owned());
    let wrong = |_| "its numbers are not a valid public key".to_owned();
    match jwk {
        AlgorithmParameters::RSA(rsa) => {
            let (n, e) = (number(decode(&rsa.n)?), number(decode(&rsa.e)?));
            let bits = n.len() * 8 - n.first().map_or(0, |b| b.leading_zeros() as usize);
            if !(MIN_RSA_BITS..=8192).contains(&bits) {
                return Err(format!("RSA keys have {MIN_RSA_BITS} to 8192 bits, this one {bits}"));
            }
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(rsa_parameters(algorithm)).map_err(wrong)
        }
        AlgorithmParameters::EllipticCurve(ec) => {
            let point = [&[4_u8][..], &decode(&ec.x)?, &decode(&ec.y)?].concat();
            let verification: &'static dyn VerificationAlgorithm = match algorithm {
                Algorithm::ES384 => &signature::ECDSA_P384_SHA384_FIXED,
                _ => &signature::ECDSA_P256_SHA256_FIXED,
            };
            ParsedPublicKey::new(verification, point).map_err(wrong)
        }
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            ParsedPublicKey::new(&signature::ED25519, decode(&okp.x)?).map_err(wrong)
        }
        _ => Err("it is a key of a kind that is not known here (kty, crv)".to_owned()),
    }
}

/// Some issuers write their numbers with leading zeros, which the RFC forbids and aws-lc refuses.
fn number(bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    bytes[zeros..].to_vec()
}

fn rsa_parameters(algorithm: Algorithm) -> &'static RsaParameters {
    match algorithm {
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => &signature::RSA_PKCS1_2048_8192_SHA256,
    }
}

fn is_public_der(bytes: &[u8]) -> bool {
    let kinds: [&'static dyn VerificationAlgorithm; 3] = [
        &signature::RSA_PKCS1_2048_8192_SHA256,
        &signature::ECDSA_P256_SHA256_FIXED,
        &signature::ECDSA_P384_SHA384_FIXED,
    ];
    // The raw form of an Ed25519 key is any 32 bytes, so only its wrapped form can be told from a secret.
    kinds.into_iter().any(|kind| ParsedPublicKey::new(kind, bytes).is_ok())
        || (bytes.len() != 32 && ParsedPublicKey::new(&signature::ED25519, bytes).is_ok())
}
