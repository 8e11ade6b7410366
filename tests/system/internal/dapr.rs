//! Through real sidecars: a Dapr app speaks by invoking the gateway's app-id.

use reqwest::RequestBuilder;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::{Answer, post, services};
use crate::support::client::{Client, INBOUND, LOGGED, ONE_WAY};
use crate::support::daprd::{Daprd, Mesh, NAMESPACE, Service};
use crate::support::gateway::{Gateway, NO_PINGS};
use crate::support::process::free_port;

/// The gateway's, as its sidecar and it know it.
const APP_TOKEN: &str = "the app token of the gateway";
const NOBODY: &str = "0123456789abcdef.8c3f2a10-7d5e-4c21-9f9e-6a1b0c2d3e4f.1";

struct World {
    gateway: Gateway,
    /// The official SDK, the Dapr app that `game`'s exposure names.
    game: Service,
    game_sidecar: Daprd,
    /// Another app of the same namespace.
    other_sidecar: Daprd,
    _rest: (Daprd, Mesh, TempDir),
}

/// Shared by all tests here.
async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD
        .get_or_init(|| async {
            let folder = tempfile::tempdir().unwrap();
            let token = folder.path().join("app.token");
            std::fs::write(&token, APP_TOKEN).unwrap();
            let gateway = Gateway::start(&services(), |command| {
                command.args(NO_PINGS).arg("--dapr-app-token-file").arg(&token);
            })
            .await;
            let mesh = Mesh::new();
            let ports = [free_port(), free_port(), free_port()];
            let [http, grpc] = [ports[0].to_string(), ports[1].to_string()];
            let of_sdk = [("DAPR_HTTP_PORT", http.as_str()), ("DAPR_GRPC_PORT", &grpc)];
            let (game, behind_gateway, other_sidecar) = tokio::join!(
                Service::sdk(&of_sdk),
                mesh.sidecar("gateway", Some(gateway.internal_port()), &[("APP_API_TOKEN", APP_TOKEN)]),
                mesh.sidecar("other-app", None, &[]),
            );
            let game_sidecar = mesh.sidecar_at("game-app", Some(game.port), ports, &[]).await;
            tokio::join!(game_sidecar.finds("gateway"), other_sidecar.finds("gateway"));
            World { gateway, game, game_sidecar, other_sidecar, _rest: (behind_gateway, mesh, folder) }
        })
        .await
}

impl World {
    /// The SDK's own invocation of the gateway.
    async fn invoke(&self, path: &str, data: &serde_json::Value) -> Answer {
        let url = format!("http://127.0.0.1:{}/call", self.game.port);
        let call = json!({"app": "gateway", "method": path, "data": data});
        post(url, &[], call.to_string().as_bytes()).await
    }
}

/// An invocation of the gateway through a sidecar, by plain HTTP.
fn through(sidecar: &Daprd, path: &str) -> RequestBuilder {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.post(format!("http://127.0.0.1:{}/v1.0/invoke/gateway.{NAMESPACE}/method/{path}", sidecar.http))
}

async fn status(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn to_nobody(event: &str) -> String {
    format!("v1/clients/{NOBODY}/events/{event}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dapr_app_pushes_with_nothing_but_its_sdk() {
    let world = world().await;
    let mut client = Client::connect(&world.gateway.url).await;
    let id = client.discovery["client_id"].as_str().unwrap().to_owned();
    let answer = world.invoke(&format!("v1/clients/{id}/events/game.note"), &json!({"hello": 1})).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"delivered": 1})));
    let frame = client.frame(|f| f.is_inbound()).await;
    assert_eq!(frame.payload, br#"{"hello": 1}"#);
    assert_eq!(frame.id >> 56 << 56, INBOUND | ONE_WAY | LOGGED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dapr_app_asks_a_client_and_gets_its_answer() {
    let world = world().await;
    let mut client = world.gateway.client_with(&crate::support::catalog::token("ada", &json!({}))).await;
    let id = client.discovery["client_id"].as_str().unwrap().to_owned();
    let path = format!("v1/clients/{id}/events/game.check");
    let question = json!("ready?");
    let asking = world.invoke(&path, &question);
    let answering = async {
        let frame = client.frame(|f| f.is_inbound()).await;
        assert_eq!(frame.payload, br#""ready?""#);
        client.reply(&frame, b"\"yes\"").await;
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, &br#""yes""#[..]));
}

/// daprd decodes a path once on its way, so whatever is not plain in one is encoded twice by a caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_is_named_through_sidecars_by_the_fleets_name_of_its_issuer() {
    let world = world().await;
    for (subject, written) in [("plain-42", "plain-42"), ("a/b c", "a%252Fb%2520c")] {
        let mut client = world.gateway.client_with(&crate::support::catalog::token(subject, &json!({}))).await;
        let path = format!("v1/subjects/main/{written}/events/game.found");
        let mut said = status(through(&world.game_sidecar, &path).body("x")).await;
        // The directory hears of a session a moment after its client does.
        for _ in 0..100 {
            if said.0 != 404 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            said = status(through(&world.game_sidecar, &path).body("x")).await;
        }
        assert_eq!((said.0, said.1.as_str()), (200, r#"{"delivered":1}"#), "{subject}");
        assert_eq!(client.frame(|f| f.is_inbound()).await.payload, b"x");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_speaks_for_the_exposures_that_it_is_behind_and_for_no_other() {
    let world = world().await;
    let (known, said) = status(through(&world.game_sidecar, &to_nobody("game.note"))).await;
    assert_eq!(known, 404, "known, but nobody is there: {said}");
    assert_eq!(status(through(&world.game_sidecar, &to_nobody("chat.notice"))).await.0, 403);
    assert_eq!(status(through(&world.other_sidecar, &to_nobody("game.note"))).await.0, 403);
}

/// daprd brings what a caller wrote itself beside the truth, now before and now after it (seen): whoever took either for
/// the caller could be lied to, so a call with both is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_says_itself_who_it_is_is_refused() {
    let world = world().await;
    for sidecar in [&world.other_sidecar, &world.game_sidecar] {
        for forged in [
            vec![("dapr-caller-app-id", "game-app")],
            vec![("dapr-caller-namespace", NAMESPACE)],
            vec![("dapr-caller-app-id", "game-app"), ("dapr-caller-namespace", NAMESPACE)],
            vec![("Dapr-Caller-App-Id", "game-app"), ("dapr-api-token", APP_TOKEN)],
        ] {
            let mut request = through(sidecar, &to_nobody("game.note"));
            for (name, value) in &forged {
                request = request.header(*name, *value);
            }
            let (status, said) = status(request).await;
            assert_eq!(status, 401, "{forged:?}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_the_sidecar_nobody_passes_for_a_dapr_app() {
    let world = world().await;
    let url = format!("{}/{}", world.gateway.internal, to_nobody("game.note"));
    let (app, namespace) = (("dapr-caller-app-id", "game-app"), ("dapr-caller-namespace", NAMESPACE));
    let token = ("dapr-api-token", APP_TOKEN);
    for (headers, expected) in [
        (vec![app, namespace, token], 404),
        (vec![app, namespace], 401),
        (vec![app, namespace, ("dapr-api-token", "the app token of the gatewax")], 401),
        (vec![app, token], 401),
        (vec![app, app, namespace, token], 401),
        (vec![app, ("dapr-caller-app-id", "other-app"), namespace, token], 401),
        (vec![app, namespace, namespace, token], 401),
        (vec![app, namespace, token, token], 401),
        (vec![app, ("dapr-caller-namespace", "elsewhere"), token], 403),
    ] {
        assert_eq!(post(url.clone(), &headers, b"").await.status, expected, "{headers:?}");
    }
    assert!(!world.gateway.process.output().contains(APP_TOKEN), "the app token in the log");
}
