//! Against a real HTTP server on loopback, whose answers the test chooses.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bannou_crds::catalog::{Issuer, Keys};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::auth::tests::support::*;
use crate::auth::{AuthError, Principal, Verifier};

enum Answer {
    Jwks(Value),
    Text(StatusCode, String),
    /// To this server's own `/elsewhere`, which has the keys.
    Redirect(Value),
    Endless,
    Never,
}

/// Serves the answers in turn, and the last of them from then on.
struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    _task: tokio::task::JoinHandle<()>,
}

struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    elsewhere: Mutex<Value>,
    requests: AtomicUsize,
    strays: AtomicUsize,
    /// How many answers may leave; plenty unless a test holds them back.
    gate: Semaphore,
    headers: Mutex<HeaderMap>,
}

impl Server {
    async fn with(answers: impl IntoIterator<Item = Answer>) -> Self {
        let shared = Arc::new(Shared {
            answers: Mutex::new(answers.into_iter().collect()),
            elsewhere: Mutex::default(),
            requests: AtomicUsize::new(0),
            strays: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            headers: Mutex::default(),
        });
        let routes = Router::new().route("/jwks", get(answer)).route("/elsewhere", get(elsewhere));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = routes.with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, shared, _task: task }
    }

    fn keys(&self) -> Keys {
        Keys::JwksUri(format!("http://{}/jwks", self.address))
    }

    fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    fn push(&self, answer: Answer) {
        self.shared.answers.lock().push_back(answer);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    *shared.headers.lock() = headers;
    shared.gate.acquire().await.unwrap().forget();
    let mut answers = shared.answers.lock();
    let answer = answers.pop_front().unwrap();
    let response = match &answer {
        Answer::Jwks(jwks) => jwks.to_string().into_response(),
        Answer::Text(status, text) => (*status, text.clone()).into_response(),
        Answer::Redirect(jwks) => {
            *shared.elsewhere.lock() = jwks.clone();
            (StatusCode::FOUND, [("location", "/elsewhere")]).into_response()
        }
        Answer::Endless => {
            let chunks = futures_util::stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![b' '; 16 * 1024])));
            Body::from_stream(chunks).into_response()
        }
        Answer::Never => {
            Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>()).into_response()
        }
    };
    if answers.is_empty() {
        answers.push_back(answer);
    }
    response
}

async fn elsewhere(State(shared): State<Arc<Shared>>) -> String {
    shared.strays.fetch_add(1, Ordering::SeqCst);
    shared.elsewhere.lock().to_string()
}

/// An issuer whose keys are behind the server's URL.
struct Client {
    cache: Arc<JwksCache>,
    spec: Issuer,
    verifier: Verifier,
}

impl Client {
    fn of(server: &Server) -> Self {
        Self::with_timeout(server, Duration::from_secs(5))
    }

    fn with_timeout(server: &Server, timeout: Duration) -> Self {
        let cache = JwksCache::with_timeout(timeout).unwrap();
        let spec = issuer(&["ES256", "EdDSA", "HS256"], server.keys());
        let verifier = Verifier::new(&fleet(vec![spec.clone()]), &[], &none(), &cache).unwrap();
        Self { cache, spec, verifier }
    }

    async fn verify(&self, token: &str, seconds: u64) -> Result<Principal, AuthError> {
        self.verifier.verify(token, now() + Duration::from_secs(seconds)).await
    }

    fn status(&self) -> JwksStatus {
        self.cache.status().pop().expect("one source")
    }
}

fn jwks<'a>(keys: impl IntoIterator<Item = (&'a str, &'a Signer)>) -> Value {
    let keys: Vec<_> = keys.into_iter().map(|(kid, signer)| signer.jwk_with(json!({ "kid": kid }))).collect();
    json!({ "keys": keys })
}

fn by(signer: &Signer, kid: &str) -> String {
    raw(signer, json!({"alg": "ES256", "kid": kid}).to_string(), claims().to_string())
}

fn es() -> Signer {
    Signer::new("ES256")
}

fn reason(result: Result<Principal, AuthError>) -> &'static str {
    result.map_or_else(|e| e.reason(), |_| "accepted")
}

#[tokio::test]
async fn the_first_token_waits_for_the_keys_and_later_ones_for_nothing() {
    let key = es();
    let server = Server::with([Answer::Jwks(jwks([("1", &key)]))]).await;
    let client = Client::of(&server);
    assert_eq!(reason(client.verify(&by(&key, "1"), 0).await), "accepted");
    assert!(verify(&client.verifier, &by(&key, "1")).is_ok(), "without waiting");
    assert_eq!(reason(client.verify(&by(&es(), "1"), 60).await), "signature");
    assert_eq!(server.requests(), 1, "a forgery under a known key is no reason to fetch");
    let status = client.status();
    assert_eq!((status.keys, status.fetches, status.failures, status.last_error), (1, 1, 0, None));
    assert!(status.last_success.is_some());
}

#[tokio::test]
async fn a_rotated_key_is_found_at_once() {
    let (old, new) = (es(), es());
    let server = Server::with([Answer::Jwks(jwks([("old", &old)])), Answer::Jwks(jwks([("new", &new)]))]).await;
    let client = Client::of(&server);
    assert_eq!(reason(client.verify(&by(&old, "old"), 0).await), "accepted");
    assert_eq!(reason(client.verify(&by(&new, "new"), 1).await), "accepted");
    assert_eq!(reason(client.verify(&by(&old, "old"), 1).await), "unknown_key", "what was withdrawn is gone");
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn unknown_keys_cause_one_fetch_in_ten_seconds() {
    let key = es();
    let server = Server::with([Answer::Jwks(jwks([("1", &key)]))]).await;
    let client = Client::of(&server);
    assert_eq!(reason(client.verify(&by(&key, "1"), 0).await), "accepted");
    for (seconds, requests) in [(0, 2), (0, 2), (9, 2), (10, 3), (19, 3), (20, 4)] {
        assert_eq!(reason(client.verify(&by(&key, "none"), seconds).await), "unknown_key");
        assert_eq!(server.requests(), requests, "at {seconds} s");
    }
    let set_back = now() - Duration::from_secs(3600);
    assert_eq!(reason(client.verifier.verify(&by(&key, "none"), set_back).await), "unknown_key");
    assert_eq!(server.requests(), 5, "a clock that was set back does not stop refreshes");
}

#[tokio::test]
async fn however_many_wait_one_fetches() {
    let (old, new) = (es(), es());
    let server = Server::with([Answer::Jwks(jwks([("old", &old)])), Answer::Jwks(jwks([("new", &new)]))]).await;
    let client = Client::of(&server);
    assert_eq!(reason(client.verify(&by(&old, "old"), 0).await), "accepted");
    // From here on the server holds its answer back.
    server.shared.gate.forget_permits(Semaphore::MAX_PERMITS);
    let token = by(&new, "new");
    let all = futures_util::future::join_all((0..50).map(|_| client.verify(&token, 1)));
    let let_go = async {
        while server.requests() < 2 {
            tokio::task::yield_now().await;
        }
        server.shared.gate.add_permits(10);
    };
    let (results, ()) = tokio::join!(all, let_go);
    assert!(results.into_iter().all(|r| r.is_ok()));
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_failure_leaves_the_last_good_keys_in_use() {
    let key = es();
    let good = || Answer::Jwks(jwks([("1", &key)]));
    let many = json!({"keys": (0..65).map(|n| key.jwk_with(json!({"kid": n.to_string()}))).collect::<Vec<_>>()});
    let padded = format!("{}{}", jwks([("2", &key)]), " ".repeat(256 * 1024));
    for (bad, words) in [
        (Answer::Text(StatusCode::INTERNAL_SERVER_ERROR, String::new()), "500"),
        (Answer::Text(StatusCode::NO_CONTENT, String::new()), "204"),
        (Answer::Text(StatusCode::OK, "<html>".into()), "not a JWKS"),
        (Answer::Text(StatusCode::OK, "{}".into()), "not a JWKS"),
        (Answer::Text(StatusCode::OK, padded), "256 KiB"),
        (Answer::Endless, "256 KiB"),
        (Answer::Jwks(many), "65"),
        (Answer::Redirect(jwks([("2", &key)])), "302"),
    ] {
        let server = Server::with([good(), bad]).await;
        let client = Client::of(&server);
        assert_eq!(reason(client.verify(&by(&key, "1"), 0).await), "accepted");
        assert_eq!(reason(client.verify(&by(&key, "2"), 0).await), "unknown_key");
        assert_eq!(server.requests(), 2);
        assert_eq!(server.shared.strays.load(Ordering::SeqCst), 0, "redirects are not followed");
        let status = client.status();
        assert!(status.last_error.as_ref().is_some_and(|e| e.contains(words)), "{words}: {status:?}");
        assert_eq!((status.keys, status.failures), (1, 1));
        assert_eq!(reason(verify(&client.verifier, &by(&key, "1"))), "accepted", "{words}");
        server.shared.answers.lock().clear();
        server.push(Answer::Jwks(jwks([("2", &key)])));
        assert_eq!(reason(client.verify(&by(&key, "2"), 10).await), "accepted");
        assert_eq!(client.status().last_error, None);
    }
}

#[tokio::test]
async fn a_slow_server_is_given_up() {
    let key = es();
    let server = Server::with([Answer::Jwks(jwks([("1", &key)])), Answer::Never]).await;
    let client = Client::with_timeout(&server, Duration::from_millis(300));
    assert_eq!(reason(client.verify(&by(&key, "1"), 0).await), "accepted");
    assert_eq!(reason(client.verify(&by(&key, "2"), 0).await), "unknown_key");
    assert_eq!(client.status().failures, 1);
    assert_eq!(reason(verify(&client.verifier, &by(&key, "1"))), "accepted");
}

#[tokio::test]
async fn without_keys_it_is_not_the_tokens_fault() {
    let key = es();
    let server = Server::with([Answer::Text(StatusCode::BAD_GATEWAY, String::new())]).await;
    let client = Client::of(&server);
    let error = client.verify(&by(&key, "1"), 0).await.unwrap_err();
    assert_eq!(error, AuthError::KeysUnavailable);
    assert!(!error.is_clients_fault());
    server.shared.answers.lock().clear();
    server.push(Answer::Jwks(jwks([("1", &key)])));
    assert_eq!(reason(client.verify(&by(&key, "1"), 10).await), "accepted");
    let offline = Verifier::new(&fleet(vec![client.spec.clone()]), &[], &none(), &JwksCache::offline()).unwrap();
    assert_eq!(offline.verify(&by(&key, "1"), now()).await.unwrap_err(), AuthError::KeysUnavailable);
}

#[tokio::test]
async fn failures_are_tried_again_without_a_token() {
    let key = es();
    let server =
        Server::with([Answer::Text(StatusCode::BAD_GATEWAY, String::new()), Answer::Jwks(jwks([("1", &key)]))]).await;
    let client = Client::of(&server);
    let source = client.cache.source(&format!("http://{}/jwks", server.address)).unwrap();
    let mut progress = source.progress.subscribe();
    progress.wait_for(|p| p.done >= 2).await.unwrap();
    assert_eq!(reason(verify(&client.verifier, &by(&key, "1"))), "accepted");
}

#[tokio::test]
async fn keys_outlive_a_catalog_and_end_with_their_last_user() {
    let key = es();
    let server = Server::with([Answer::Jwks(jwks([("1", &key)]))]).await;
    let client = Client::of(&server);
    assert_eq!(reason(client.verify(&by(&key, "1"), 0).await), "accepted");
    let next = Verifier::new(&fleet(vec![client.spec.clone()]), &[], &none(), &client.cache).unwrap();
    drop(client.verifier);
    assert_eq!(reason(verify(&next, &by(&key, "1"))), "accepted", "at once, without a fetch");
    assert_eq!(server.requests(), 1);
    assert_eq!(client.cache.status().len(), 1);
    drop(next);
    assert!(client.cache.status().is_empty());
}

#[tokio::test]
async fn its_task_ends_with_it() {
    let server = Server::with([Answer::Jwks(json!({"keys": []}))]).await;
    let source = Arc::new(JwksSource::new(format!("http://{}/jwks", server.address).parse().unwrap(), true));
    let fetcher = Fetcher::new(Duration::from_secs(5)).unwrap();
    let task = tokio::spawn(keep_fresh(Arc::downgrade(&source), fetcher));
    source.progress.subscribe().wait_for(|p| p.done == 1).await.unwrap();
    drop(source);
    task.await.unwrap();
}

#[tokio::test]
async fn an_answer_is_obeyed_also_when_it_has_no_keys() {
    let key = es();
    let server = Server::with([Answer::Jwks(jwks([("1", &key)])), Answer::Jwks(json!({"keys": []}))]).await;
    let client = Client::of(&server);
    assert_eq!(reason(client.verify(&by(&key, "1"), 0).await), "accepted");
    assert_eq!(reason(client.verify(&by(&key, "2"), 0).await), "unknown_key");
    assert_eq!(reason(verify(&client.verifier, &by(&key, "1"))), "unknown_key");
}

#[tokio::test]
async fn only_keys_for_signatures_of_allowed_kinds_are_used() {
    let (good, enc, hs, other) = (es(), es(), Signer::new("HS256"), Signer::new("ES384"));
    let keys = json!({"keys": [
        {"kty": "future", "kid": "f"},
        5,
        hs.jwk_with(json!({"kid": "h"})),
        enc.jwk_with(json!({"kid": "e", "use": "enc"})),
        enc.jwk_with(json!({"kid": "a", "alg": "ES384"})),
        enc.jwk_with(json!({"kid": "d", "d": "AA"})),
        other.jwk_with(json!({"kid": "o"})),
        good.jwk_with(json!({"kid": "g", "use": "sig", "alg": "ES256"})),
    ]});
    let server = Server::with([Answer::Jwks(keys)]).await;
    let client = Client::of(&server);
    assert_eq!(reason(client.verify(&by(&good, "g"), 0).await), "accepted");
    for kid in ["e", "a", "d", "f"] {
        assert_eq!(reason(client.verify(&by(&enc, kid), 0).await), "unknown_key", "{kid}");
    }
    let header = |alg, kid| json!({"alg": alg, "kid": kid}).to_string();
    let hmac = raw(&hs, header("HS256", "h"), claims().to_string());
    assert_eq!(reason(client.verify(&hmac, 0).await), "unknown_key", "a secret from a URL is none");
    let es384 = raw(&other, header("ES384", "o"), claims().to_string());
    assert_eq!(reason(client.verify(&es384, 0).await), "algorithm", "the issuer does not allow it");
}

#[tokio::test]
async fn a_key_without_an_id_may_be_replaced_too() {
    let (old, new) = (es(), es());
    let set = |key: &Signer| Answer::Jwks(json!({"keys": [key.jwk()]}));
    let server = Server::with([set(&old), set(&new)]).await;
    let client = Client::of(&server);
    assert_eq!(reason(client.verify(&token(&old, "ES256", json!({})), 0).await), "accepted");
    assert_eq!(reason(client.verify(&token(&new, "ES256", json!({})), 0).await), "accepted");
    assert_eq!(reason(client.verify(&token(&es(), "ES256", json!({})), 5).await), "signature");
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn nothing_of_a_client_reaches_the_server() {
    let key = es();
    let server = Server::with([Answer::Jwks(jwks([("1", &key)]))]).await;
    let client = Client::of(&server);
    let header = json!({"alg": "ES256", "kid": "http://127.0.0.1:1/", "jku": "http://127.0.0.1:1/"}).to_string();
    assert_eq!(reason(client.verify(&raw(&key, header, claims().to_string()), 0).await), "unknown_key");
    let headers = server.shared.headers.lock().clone();
    assert!(headers["user-agent"].to_str().unwrap().starts_with("bannou-gateway/"));
    assert!(headers.keys().all(|n| ["accept", "host", "user-agent"].contains(&n.as_str())), "{headers:?}");
}

#[tokio::test]
async fn it_says_how_it_does() {
    let key = es();
    let server =
        Server::with([Answer::Jwks(jwks([("1", &key)])), Answer::Text(StatusCode::BAD_GATEWAY, String::new())]).await;
    let client = Client::of(&server);
    assert_eq!(reason(client.verify(&by(&key, "1"), 0).await), "accepted");
    assert_eq!(reason(client.verify(&by(&key, "2"), 0).await), "unknown_key");
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(client.cache.clone()));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let url = format!("http://{}/jwks", server.address);
    for line in [
        format!("jwks_keys{{url=\"{url}\"}} 1"),
        format!("jwks_fetches_total{{url=\"{url}\"}} 2"),
        format!("jwks_fetch_failures_total{{url=\"{url}\"}} 1"),
        format!("jwks_last_success_timestamp_seconds{{url=\"{url}\"}} 1"),
    ] {
        assert!(text.contains(&line), "{line} is not in:\n{text}");
    }
}
