//! Starting and ending, a person's own services, the page.

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::dev::{Dev, Process, bannou, copy_of_quickstart, quickstart, repository};
use crate::support::client::{Client, INBOUND, LOGGED, ONE_WAY};

const NUMBER: u64 = (1 << 56) - 1;

/// Replaces the demo's account service by an example and checks that it is the one that answers.
async fn own_account_service(command: &mut Command, made_by: &str) {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port().to_string();
    let mut dev = Dev::start(&quickstart(), &["--app", &format!("account=http://127.0.0.1:{port}")]).await;
    let gateway = dev.process.out.line("Services push to clients").await;
    let gateway = gateway.split_whitespace().find_map(|word| word.strip_suffix("/v1/")).unwrap().to_owned();
    let token = dev.process.out.line("Authorization: Bearer ").await;
    let token = token.rsplit(' ').next().unwrap();
    let with = [("PORT", port.as_str()), ("GATEWAY", &gateway), ("GATEWAY_TOKEN", token)];
    let mut service = Process::start(command.envs(with));
    service.out.line("account service on ").await;

    let mut client = Client::logged_in(&dev.url(), "ada", "lovelace").await;
    let missing = client.call_bytes("account.get", b"").await;
    assert_eq!(missing.status, 404, "its own answer");
    let created = client.call("account.create", &json!({"name": "Ada"})).await;
    assert_eq!(created.json()["made_by"], made_by);
    let welcome = client.frame(|f| f.is_inbound()).await;
    assert_eq!(welcome.id & !NUMBER, INBOUND | ONE_WAY | LOGGED, "it speaks first, too");
    assert_eq!(welcome.payload, if made_by == "node" { &br#"{"name":"Ada"}"#[..] } else { br#"{"name": "Ada"}"# });
    assert_eq!(client.call_bytes("account.get", b"").await.json(), created.json());
    let bad = client.call("account.create", &json!({})).await;
    assert_eq!(bad.status, 400);

    // Once it has gone, only its own endpoints fail.
    service.terminate().await;
    assert_eq!(client.call_bytes("account.get", b"").await.status, 502);
    assert_eq!(client.call_bytes("echo.bytes", b"x").await.status, 200);
}

#[tokio::test]
async fn an_own_service_in_node_takes_the_demos_place() {
    own_account_service(Command::new("node").arg(repository().join("examples/apps/node/account.mjs")), "node").await;
}

#[tokio::test]
async fn an_own_service_in_python_takes_the_demos_place() {
    let mut python = Command::new("python3");
    own_account_service(python.arg(repository().join("examples/apps/python/account.py")), "python").await;
}

#[tokio::test]
async fn without_demo_services_calls_are_answered_502_and_the_start_says_so() {
    let mut dev = Dev::start(&quickstart(), &["--no-demo"]).await;
    let note = dev.process.err.line("nobody answers for account").await;
    assert!(note.contains("--app account="), "{note}");
    let mut client = Client::connect(&dev.url()).await;
    assert_eq!(client.call_bytes("echo.bytes", b"x").await.status, 502);
}

#[tokio::test]
async fn it_serves_the_page_and_ends_cleanly() {
    let dev = Dev::start(&quickstart(), &[]).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = http.get(&dev.page).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("<title>"));
    let config: Value =
        http.get(format!("{}playground/config.json", dev.page)).send().await.unwrap().json().await.unwrap();
    assert_eq!(config["connect"], "/connect");
    let _client = Client::connect(&dev.url()).await;
    assert_eq!(dev.process.terminate().await.code(), Some(0));
}

/// What it says on standard error when it does not start.
async fn refused(arguments: &[&str]) -> String {
    let mut process = Process::start(bannou().arg("dev").args(arguments));
    let said = process.err.rest().await;
    assert_eq!(process.ended().await.code(), Some(1), "{said}");
    said
}

#[tokio::test]
async fn a_start_that_cannot_be_says_what_to_do() {
    let quickstart = quickstart();
    let quickstart = quickstart.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = refused(&[quickstart, "--port", &port, "--admin-port", "0", "--internal-port", "0"]).await;
    assert!(said.contains(&port) && said.contains("--port"), "{said}");
    let said = refused(&[quickstart, "--port", "0", "--admin-port", &port, "--internal-port", "0"]).await;
    assert!(said.contains(&port) && said.contains("--admin-port"), "{said}");
    let said = refused(&[quickstart, "--port", "0", "--admin-port", "0", "--internal-port", &port]).await;
    assert!(said.contains(&port) && said.contains("--internal-port"), "{said}");

    let said = refused(&["/no/such/folder"]).await;
    assert!(said.contains("/no/such/folder"), "{said}");

    let twice = ["--app", "a=http://127.0.0.1:1", "--app", "a=http://127.0.0.1:2"];
    let said = refused(&[&[quickstart], &twice[..]].concat()).await;
    assert!(said.contains("a is given twice"), "{said}");

    let folder = copy_of_quickstart();
    let fleet = folder.path().join("fleet.yaml");
    let text = std::fs::read_to_string(&fleet).unwrap();
    std::fs::write(&fleet, text.replace("algorithms: [HS256]", "algorithms: [none]")).unwrap();
    let said =
        refused(&[folder.path().to_str().unwrap(), "--port", "0", "--admin-port", "0", "--internal-port", "0"]).await;
    assert!(said.contains("algorithms"), "{said}");
}
