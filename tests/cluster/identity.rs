//! Who a gateway is, by TokenReview of the real API server.

use std::time::Duration;

use bannou_operator::push::identity::{Expected, Identity, identify};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::kit::Cluster;
use crate::process::PATIENCE;

pub const AUDIENCE: &str = "bannou-operator";

pub fn account_and_pod(namespace: &str, account: &str, pod: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {account}, namespace: {namespace}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {pod}, namespace: {namespace}}}
spec:
  serviceAccountName: {account}
  containers: [{{name: gateway, image: none}}]
"#
    )
}

/// As the kubelet asks for it, for the volume of a Pod.
pub async fn token(client: &Client, namespace: &str, account: &str, audience: &str, pod: Option<&str>) -> String {
    let bound = pod.map(|name| json!({"apiVersion": "v1", "kind": "Pod", "name": name}));
    let request: TokenRequest = serde_json::from_value(json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {},
        "spec": {"audiences": [audience], "expirationSeconds": 3600, "boundObjectRef": bound},
    }))
    .unwrap();
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let made = api.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    made.status.and_then(|status| status.token).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_a_pod_of_its_fleet_and_nobody_else() {
    let cluster = Cluster::shared().await;
    let client = cluster.client().await;
    let game = cluster.namespace("game", &[]).await;
    let other = cluster.namespace("other", &[]).await;
    cluster.apply(&account_and_pod(&game, "bannou-gateway", "gateway-0")).await.unwrap();
    cluster.apply(&account_and_pod(&game, "default-app", "app-0")).await.unwrap();
    cluster.apply(&account_and_pod(&other, "bannou-gateway", "gateway-0")).await.unwrap();
    let expected = Expected { audience: AUDIENCE.into(), service_account: "bannou-gateway".into() };

    let good = token(&client, &game, "bannou-gateway", AUDIENCE, Some("gateway-0")).await;
    let identity = identify(&client, &expected, &good, "gateway-0").await.unwrap();
    assert_eq!(identity, Identity { namespace: game.clone(), pod: "gateway-0".into() });
    // One of another namespace is a gateway of that one's fleet, and sees nothing of this one's.
    let elsewhere = token(&client, &other, "bannou-gateway", AUDIENCE, Some("gateway-0")).await;
    assert_eq!(identify(&client, &expected, &elsewhere, "gateway-0").await.unwrap().namespace, other);

    let unbound = token(&client, &game, "bannou-gateway", AUDIENCE, None).await;
    let wrong_account = token(&client, &game, "default-app", AUDIENCE, Some("app-0")).await;
    let wrong_audience =
        token(&client, &game, "bannou-gateway", "https://kubernetes.default.svc", Some("gateway-0")).await;
    let forged = good[..good.len() - 8].to_owned() + "AAAAAAAA";
    for (token, said, reason) in [
        ("", "gateway-0", "NoToken"),
        ("not a token", "gateway-0", "UnknownToken"),
        (&forged, "gateway-0", "UnknownToken"),
        (&wrong_audience, "gateway-0", "UnknownToken"),
        (&wrong_account, "app-0", "WrongServiceAccount"),
        (&unbound, "gateway-0", "NoPod"),
        (&good, "gateway-1", "OtherPod"),
    ] {
        let refused = identify(&client, &expected, token, said).await.unwrap_err();
        assert_eq!(refused.reason(), reason, "{refused}");
        assert!(token.is_empty() || !refused.to_string().contains(token), "no token in what is logged");
    }

    // With its Pod its token ends, as soon as the API server forgets that it has just said otherwise.
    cluster.kubectl(&["delete", "pod", "-n", &game, "gateway-0", "--force", "--grace-period=0"]).await;
    let refused = async {
        loop {
            match identify(&client, &expected, &good, "gateway-0").await {
                Ok(_) => sleep(Duration::from_millis(200)).await,
                Err(refused) => return refused,
            }
        }
    };
    let refused = timeout(PATIENCE, refused).await.expect("it ends");
    assert_eq!(refused.reason(), "UnknownToken", "{refused}");
}
