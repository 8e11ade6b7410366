//! Who may speak: nobody by default, and then for what is theirs alone.

use super::{GAME_TOKEN, gateway, post, services};
use crate::support::gateway::Gateway;

const NOBODY: &str = "0123456789abcdef.8c3f2a10-7d5e-4c21-9f9e-6a1b0c2d3e4f.1";

fn to_nobody(gateway: &Gateway, event: &str) -> String {
    format!("{}/v1/clients/{NOBODY}/events/{event}", gateway.internal)
}

#[tokio::test]
async fn by_default_nobody_may_speak_and_is_told_what_to_do() {
    let gateway = Gateway::start(&services(), |_| {}).await;
    let forged = [("dapr-api-token", "x"), ("dapr-caller-app-id", "game-app"), ("dapr-caller-namespace", "tests")];
    for headers in [&[][..], &[("authorization", "Bearer x")], &forged] {
        let answer = post(to_nobody(&gateway, "game.note"), headers, b"").await;
        assert_eq!(answer.status, 401);
        let problem = answer.json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("--internal-tokens") && detail.contains("--dapr-app-token-file"), "{detail}");
    }
    assert_eq!(gateway.metric("bannou_gateway_internal_refused_total{reason=\"closed\"}").await, 3.0);
}

#[tokio::test]
async fn a_token_speaks_for_its_services_alone() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path()).await;
    let bearer = format!("Bearer {GAME_TOKEN}");
    let with = [("authorization", bearer.as_str())];
    // The gateway of that slot never was.
    let mine = post(to_nobody(&gateway, "game.note"), &with, b"x").await;
    assert_eq!((mine.status.as_u16(), mine.told), (404, None), "{}", mine.json());
    for other in ["chat.notice", "game.unknown", "game.play", "nothing", "game."] {
        assert_eq!(post(to_nobody(&gateway, other), &with, b"x").await.status, 403, "{other}");
    }
    assert_eq!(post(to_nobody(&gateway, "game.note"), &[], b"").await.status, 401);
    let twice = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
    assert_eq!(post(to_nobody(&gateway, "game.note"), &twice, b"").await.status, 401);
    let forged = [("dapr-caller-app-id", "game-app"), ("dapr-caller-namespace", "tests")];
    assert_eq!(post(to_nobody(&gateway, "game.note"), &forged, b"").await.status, 401);
    assert!(!gateway.process.output().contains(GAME_TOKEN), "a token in the log");
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path()).await;
    let bearer = format!("Bearer {GAME_TOKEN}");
    let with = |more: (&'static str, &'static str)| [("authorization", bearer.clone()), (more.0, more.1.to_owned())];
    let at = |path: &str| format!("{}{path}", gateway.internal);
    for (path, more, status) in [
        ("/v1/clients/nonsense/events/game.note", ("x", "x"), 404),
        ("/v1/tiers/nobody/events/game.note", ("x", "x"), 404),
        ("/v1/subjects/nobody/42/events/game.note", ("x", "x"), 404),
        ("/v1/all/events/game.check", ("x", "x"), 400),
        ("/v1/tiers/player/events/game.check", ("x", "x"), 400),
        ("/v1/all/events/game.note", ("bannou-timeout-ms", "soon"), 400),
        ("/v1/groups/game.match/events/game.note", ("x", "x"), 501),
        ("/v1/groups/game.match/members/someone", ("x", "x"), 501),
        ("/v1/nothing", ("x", "x"), 404),
    ] {
        let headers = with(more);
        let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let answer = post(at(path), &headers, b"").await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.json()["status"], status, "{path}: problem JSON");
    }
    let large = vec![0; (1 << 20) + 1];
    let answer = post(at("/v1/all/events/game.note"), &[("authorization", &bearer)], &large).await;
    assert_eq!(answer.status, 413);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let got = client.get(at("/v1/all/events/game.note")).send().await.unwrap();
    assert_eq!(got.status(), 405);
    assert_eq!(client.get(at("/healthz")).send().await.unwrap().status(), 200);
}
