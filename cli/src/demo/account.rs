//! `POST /v1/accounts` and `GET /v1/accounts/me`: who calls is what `bannou-issuer` and `bannou-subject` say, nothing else.
//! Whoever has made an account is welcomed by the event `account.welcome`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Voice;
use super::http::{from_gateway, parse, problem};

const MAX_ACCOUNTS: usize = 1024;
const MAX_NAME_CHARS: usize = 64;

/// Issuer and subject: the same `sub` from another issuer is somebody else.
type Subject = (String, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
}

#[derive(Clone, Serialize)]
struct Account {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
}

/// One account per subject; beyond the bound the oldest is forgotten.
#[derive(Default)]
struct Accounts {
    by_subject: HashMap<Subject, Account>,
    age: VecDeque<Subject>,
}

pub fn router(voice: Option<Voice>) -> Router {
    let accounts = Arc::new(Mutex::new(Accounts::default()));
    let of_create = accounts.clone();
    Router::new()
        .route(
            "/v1/accounts",
            post(move |h: HeaderMap, b: Bytes| async move { create(&of_create, voice.as_ref(), &h, &b) }),
        )
        .route("/v1/accounts/me", get(move |h: HeaderMap| async move { me(&accounts, &h) }))
}

fn create(accounts: &Mutex<Accounts>, voice: Option<&Voice>, headers: &HeaderMap, body: &[u8]) -> Response {
    let Create { name } = match parse(body, r#"{"name":"Ada"}"#) {
        Ok(create) => create,
        Err(refusal) => return refusal,
    };
    if name.trim().is_empty() || name.chars().count() > MAX_NAME_CHARS {
        return problem(StatusCode::BAD_REQUEST, format!("name: 1 to {MAX_NAME_CHARS} characters"));
    }
    let subject = subject(headers);
    if let Some((voice, client_id)) = voice.zip(from_gateway(headers, "bannou-client-id")) {
        voice.mention(client_id, "account.welcome", json!({"name": name}));
    }
    let account = Account::new(name, subject.as_ref());
    if let Some(subject) = subject {
        accounts.lock().put(subject, account.clone());
    }
    (StatusCode::CREATED, Json(account)).into_response()
}

/// Who logs in for the first time has an account at once: a demo should not end at a 404.
fn me(accounts: &Mutex<Accounts>, headers: &HeaderMap) -> Response {
    let Some(subject) = subject(headers) else {
        return problem(StatusCode::UNAUTHORIZED, "there is no bannou-subject: log in first");
    };
    let mut accounts = accounts.lock();
    if let Some(account) = accounts.by_subject.get(&subject) {
        return Json(account.clone()).into_response();
    }
    let account = Account::new(subject.1.clone(), Some(&subject));
    accounts.put(subject, account.clone());
    Json(account).into_response()
}

fn subject(headers: &HeaderMap) -> Option<Subject> {
    Some((from_gateway(headers, "bannou-issuer")?, from_gateway(headers, "bannou-subject")?))
}

impl Account {
    fn new(name: String, subject: Option<&Subject>) -> Self {
        Self { id: uuid::Uuid::new_v4().to_string(), name, subject: subject.map(|s| s.1.clone()) }
    }
}

impl Accounts {
    fn put(&mut self, subject: Subject, account: Account) {
        if self.by_subject.insert(subject.clone(), account).is_some() {
            return;
        }
        self.age.push_back(subject);
        if self.age.len() > MAX_ACCOUNTS
            && let Some(oldest) = self.age.pop_front()
        {
            self.by_subject.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_beyond_the_bound_and_keeps_both_maps_equal() {
        let mut accounts = Accounts::default();
        for i in 0..MAX_ACCOUNTS + 3 {
            let subject = ("issuer".to_owned(), i.to_string());
            accounts.put(subject.clone(), Account::new("n".into(), Some(&subject)));
            accounts.put(subject.clone(), Account::new("again".into(), Some(&subject)));
        }
        assert_eq!(accounts.by_subject.len(), MAX_ACCOUNTS);
        assert_eq!(accounts.age.len(), MAX_ACCOUNTS);
        assert!(!accounts.by_subject.contains_key(&("issuer".into(), "2".into())));
        assert!(accounts.by_subject.contains_key(&("issuer".into(), "3".into())));
    }
}
