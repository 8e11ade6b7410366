//! `POST /login`: a name and a password in, a signed token out, also as `bannou-set-token`, which logs the connection in.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::CurrentSigner;
use super::http::{parse, problem, repeat_request_id};

/// Everybody the demo knows: name and password. No secrets, the playground shows them.
pub const ACCOUNTS: [(&str, &str); 2] = [("ada", "lovelace"), ("grace", "hopper")];

const SET_TOKEN: HeaderName = HeaderName::from_static("bannou-set-token");
const TOKEN_LIFE_S: u64 = 3600;

/// Whose word the demo's tokens are: an issuer of the fleet that verifies with a shared secret.
#[derive(Clone)]
pub struct Signer {
    pub issuer: String,
    pub audience: Option<String>,
    pub kid: Option<String>,
    pub algorithm: Algorithm,
    pub secret: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    name: String,
    password: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    sub: &'a str,
    name: &'a str,
    roles: [&'a str; 1],
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
}

pub fn router(signer: CurrentSigner) -> Router {
    Router::new()
        .route("/login", post(move |headers: HeaderMap, body: Bytes| async move { login(signer, headers, body) }))
}

fn login(signer: CurrentSigner, headers: HeaderMap, body: Bytes) -> Response {
    let login: Login = match parse(&body, r#"{"name":"ada","password":"lovelace"}"#) {
        Ok(login) => login,
        Err(refusal) => return refusal,
    };
    let Some((name, _)) = ACCOUNTS.into_iter().find(|(n, p)| *n == login.name && *p == login.password) else {
        return problem(
            StatusCode::UNAUTHORIZED,
            "name or password is wrong; this demo knows ada (lovelace) and grace (hopper)",
        );
    };
    let Some(signer) = signer() else {
        let detail =
            "the Fleet has no issuer with an HMAC algorithm and keys.secretRef, so this demo cannot sign tokens";
        return problem(StatusCode::SERVICE_UNAVAILABLE, detail);
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let token = match signer.sign(name, now) {
        Ok(token) => token,
        Err(e) => return problem(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot sign: {e}")),
    };
    let header = HeaderValue::from_str(&token).expect("a JWT is base64url and dots");
    let mut answer =
        ([(SET_TOKEN, header)], Json(json!({"token": token, "expires_in_s": TOKEN_LIFE_S}))).into_response();
    repeat_request_id(&headers, &mut answer);
    answer
}

impl Signer {
    /// A token for one of [`ACCOUNTS`], valid from `now` (seconds since 1970) for an hour.
    pub fn sign(&self, name: &str, now: u64) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = Claims {
            iss: &self.issuer,
            aud: self.audience.as_deref(),
            sub: name,
            name,
            roles: ["player"],
            jti: uuid::Uuid::new_v4().to_string(),
            iat: now,
            nbf: now,
            exp: now + TOKEN_LIFE_S,
        };
        let header = Header { kid: self.kid.clone(), ..Header::new(self.algorithm) };
        encode(&header, &claims, &EncodingKey::from_secret(&self.secret))
    }
}
