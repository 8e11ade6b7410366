//! How the reader goes on after the API server forgot what it was reading: every kind of end of a stream, by canned answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bannou_operator::index::ObjectKind;
use bannou_operator::watch::{Seen, watch};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

fn exposure(name: &str) -> Value {
    json!({
        "apiVersion": "bannou.dev/v1alpha1", "kind": "ServiceExposure",
        "metadata": {"name": name, "namespace": "a", "resourceVersion": "1"},
        "spec": {"serviceName": name, "backend": {"dapr": {"appId": name}}},
    })
}

/// Lists `one`, then `two` and so on; every stream ends as `end` says.
fn client(end: &'static str) -> Client {
    let lists = Arc::new(AtomicUsize::new(0));
    let service = tower::service_fn(move |request: Request<Body>| {
        let lists = lists.clone();
        async move {
            let uri = request.uri().to_string();
            let (ours, watches) = (uri.contains("/serviceexposures?"), uri.contains("watch=true"));
            let body = match (ours, watches) {
                (true, true) => end.to_owned(),
                (true, false) => {
                    let nth = lists.fetch_add(1, Ordering::SeqCst);
                    let items = [exposure(["one", "two", "three"][nth.min(2)])];
                    json!({"kind": "ServiceExposureList", "metadata": {"resourceVersion": "7"}, "items": items})
                        .to_string()
                }
                (false, false) => {
                    json!({"kind": "List", "metadata": {"resourceVersion": "7"}, "items": []}).to_string()
                }
                (false, true) => {
                    std::future::pending::<()>().await;
                    unreachable!()
                }
            };
            Ok::<_, std::io::Error>(Response::new(Body::from(body.into_bytes())))
        }
    });
    Client::new(service, "default")
}

fn name(seen: &[(bannou_operator::index::Object, bannou_operator::watch::Written)]) -> String {
    seen.iter().map(|(object, _)| object.reference().key.name).collect()
}

#[tokio::test]
async fn an_expired_watch_begins_with_a_list() {
    let gone = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 7 (9)","reason":"Expired","code":410}}
"#;
    let (mut seen, _tasks) = watch(&client(gone));
    let mut told = Vec::new();
    while told.len() < 3 {
        match seen.recv().await.expect("it goes on") {
            Seen::Reset(ObjectKind::ServiceExposure, objects) => told.push(name(&objects)),
            Seen::Failing(ObjectKind::ServiceExposure, why) => {
                assert!(why.contains("too old resource version"), "{why}");
                told.push("failing".to_owned());
            }
            _ => {}
        }
    }
    assert_eq!(told, ["one", "failing", "two"]);
}

#[tokio::test]
async fn an_object_that_does_not_fit_stops_nothing() {
    let events = format!(
        "{}\n{}\n{}\n",
        json!({"type": "ADDED", "object": {"apiVersion": "bannou.dev/v1alpha1", "kind": "ServiceExposure",
            "metadata": {"name": "odd", "namespace": "a", "resourceVersion": "8"}, "spec": {"serviceName": "odd", "backend": 7}}}),
        json!({"type": "ADDED", "object": exposure("fine")}),
        json!({"type": "DELETED", "object": exposure("one")}),
    );
    let (mut seen, _tasks) = watch(&client(events.leak()));
    let mut told = Vec::new();
    while told.len() < 4 {
        match seen.recv().await.expect("it goes on") {
            Seen::Reset(ObjectKind::ServiceExposure, objects) => told.push(name(&objects)),
            Seen::Apply(object, _) => told.push(match *object {
                bannou_operator::index::Object::Undecodable(unread) => {
                    format!("{}: {}", unread.object.key.name, unread.error)
                }
                other => other.reference().key.name,
            }),
            Seen::Delete(object) => told.push(format!("not {}", object.key.name)),
            _ => {}
        }
    }
    assert_eq!(
        told,
        ["one", "odd: spec.backend: invalid type: integer `7`, expected struct Backend", "fine", "not one"]
    );
}
