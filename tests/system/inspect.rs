//! The inspect port of the real gateway, and that what `bannou` says of a folder is what a gateway does.

use std::collections::BTreeMap;

use bannou_crds::catalog::{Catalog, ClaimOperator, ClaimRule, Endpoint};
use reqwest::header::{HOST, ORIGIN};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::quickstart::dev::{Dev, bannou, quickstart};
use crate::support::catalog::{catalog, direct, endpoint, token};
use crate::support::client::Client;
use crate::support::gateway::{Gateway, NO_PINGS};

/// A third tier asks for a claim.
fn tiers() -> Catalog {
    let members = Endpoint { tiers: vec!["player".into()], ..endpoint("members", "POST /m") };
    let vip = Endpoint { tiers: vec!["vip".into()], ..endpoint("lounge", "POST /l") };
    let mut all = catalog(vec![direct("svc", vec![endpoint("open", "POST /o"), members, vip])]);
    let mut tier = all.tiers[1].clone();
    tier.name = "vip".into();
    tier.includes = vec!["anonymous".into(), "player".into()];
    tier.admission.claims =
        vec![ClaimRule { path: vec!["role".into()], operator: ClaimOperator::In, values: vec!["vip".into()] }];
    all.tiers.push(tier);
    all
}

async fn start(catalog: &Catalog) -> Gateway {
    Gateway::start(catalog, |command| {
        command.args(NO_PINGS);
    })
    .await
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let answer = http().get(format!("{}{path}", gateway.inspect)).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

async fn post(gateway: &Gateway, path: &str, body: &Value) -> (u16, Value) {
    let client = http();
    let answer = client.post(format!("{}{path}", gateway.inspect)).json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect()
}

#[tokio::test]
async fn who_is_connected_is_listed_page_by_page_and_found_by_what_they_are() {
    let gateway = start(&tiers()).await;
    let mut clients = Vec::new();
    for i in 0..5 {
        clients.push(gateway.client_with(&token(&format!("p{i}"), &json!({}))).await);
    }
    let anonymous = gateway.client().await;
    let mut listed = Vec::new();
    let mut path = "/v1/connections?limit=2".to_owned();
    loop {
        let page = get(&gateway, &path).await;
        assert_eq!(page["total"], 6);
        let rows = page["connections"].as_array().unwrap();
        assert!(rows.len() <= 2);
        listed.extend(rows.iter().map(|row| row["sessionId"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/connections?limit=2&after={next}"),
            None => break,
        }
    }
    let mut there: Vec<String> = clients.iter().chain([&anonymous]).map(session).collect();
    there.sort();
    assert_eq!(listed, there, "each once, in order");

    let one = get(&gateway, "/v1/connections?subject=p3").await;
    assert_eq!(
        (one["total"].clone(), one["connections"][0]["sessionId"].as_str()),
        (json!(1), Some(&*session(&clients[3])))
    );
    let row = &one["connections"][0];
    assert_eq!(
        (&row["issuer"], &row["tiers"], &row["address"]),
        (&json!("main"), &json!(["anonymous", "player"]), &json!("127.0.0.1"))
    );
    assert_eq!(row["clientId"], clients[3].discovery["client_id"]);
    assert_eq!(get(&gateway, "/v1/connections?subject=p3&issuer=other").await["total"], 0);
    assert_eq!(get(&gateway, "/v1/connections?tier=player").await["total"], 5);
    let by_client = format!("/v1/connections?client={}", anonymous.discovery["client_id"].as_str().unwrap());
    assert_eq!(get(&gateway, &by_client).await["total"], 1);
    let status = get(&gateway, "/v1/status").await;
    assert_eq!((&status["connections"], &status["catalog"]["endpoints"]), (&json!(6), &json!(3)));
    assert_eq!(get(&gateway, "/v1/catalog").await, serde_json::to_value(tiers()).unwrap());
}

fn session(client: &Client) -> String {
    client.discovery["session_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn why_names_the_tier_that_is_missing_and_what_it_asks_for_and_nothing_of_the_token() {
    let gateway = start(&tiers()).await;
    let ada = token("ada", &json!({"role": "secret-guest"}));
    let _ada = gateway.client_with(&ada).await;
    let _vip = gateway.client_with(&token("vip", &json!({"role": "vip"}))).await;
    let why = get(&gateway, "/v1/why?subject=ada&name=svc.lounge").await;
    let one = &why["connections"][0];
    assert_eq!(
        (&why["known"], &one["name"]["allowed"], &one["name"]["tiers"]),
        (&json!(true), &json!(false), &json!(["vip"]))
    );
    let tier = one["tiers"].as_array().unwrap().iter().find(|t| t["name"] == "vip").unwrap();
    let met: Vec<(&Value, &Value)> =
        tier["demands"].as_array().unwrap().iter().map(|d| (&d["what"], &d["met"])).collect();
    assert_eq!(met, [(&json!("Token"), &json!(true)), (&json!("Claim"), &json!(false))]);
    assert_eq!(tier["demands"][1]["claim"]["rule"]["values"], json!(["vip"]));
    let left = one["token"]["expiresInS"].as_i64().unwrap();
    assert!((3500..=3600).contains(&left), "{left}");
    let text = why.to_string();
    assert!(!text.contains("secret-guest") && !text.contains(ada.split('.').nth(1).unwrap()), "{text}");

    let why = get(&gateway, "/v1/why?subject=vip&name=svc.lounge").await;
    assert_eq!(why["connections"][0]["name"]["allowed"], true);
    let why = get(&gateway, "/v1/why?subject=ada&name=svc.none").await;
    assert_eq!((&why["known"], &why["connections"][0]["name"]), (&json!(false), &Value::Null));
    assert_eq!(get(&gateway, "/v1/why?subject=nobody").await["connections"], json!([]));
    let whom = http().get(format!("{}/v1/why", gateway.inspect)).send().await.unwrap();
    assert_eq!(whom.status(), 400);
}

#[tokio::test]
async fn a_kick_ends_the_session_and_says_why() {
    let gateway = start(&tiers()).await;
    let mut ada = gateway.client_with(&token("ada", &json!({}))).await;
    let mut again = gateway.client_with(&token("ada", &json!({}))).await;
    let mut grace = gateway.client_with(&token("grace", &json!({}))).await;
    for (wish, status) in [
        (json!({}), 400),
        (json!({"client": "x", "subject": "y"}), 400),
        (json!({"client": "not a client"}), 400),
        (json!({"subject": "ada", "reason": "a\nb"}), 400),
        (json!({"subject": "ada", "reason": "x".repeat(200)}), 400),
        (json!({"subject": "ada", "whom": "x"}), 400),
    ] {
        assert_eq!(post(&gateway, "/v1/kick", &wish).await.0, status, "{wish}");
    }
    let (status, kicked) = post(&gateway, "/v1/kick", &json!({"subject": "ada", "reason": "house rules"})).await;
    assert_eq!((status, &kicked["kicked"]), (200, &json!(2)));
    for client in [&mut ada, &mut again] {
        let said = client.closing().await;
        assert_eq!(
            (&said["code"], &said["reason"], &said["reconnect"]),
            (&json!(4403), &json!("house rules"), &json!("no"))
        );
    }
    let client = grace.discovery["client_id"].as_str().unwrap().to_owned();
    let (_, kicked) = post(&gateway, "/v1/kick", &json!({"client": client})).await;
    assert_eq!(kicked["clients"], json!([client]));
    assert_eq!(grace.closing().await["code"], 4403);
    assert_eq!(post(&gateway, "/v1/kick", &json!({"subject": "nobody"})).await.1["kicked"], 0);
}

#[tokio::test]
async fn who_has_lost_the_connection_is_kicked_too_and_does_not_come_back() {
    let gateway = start(&tiers()).await;
    let ada = gateway.client_with(&token("ada", &json!({}))).await;
    let (id, kept) = (session(&ada), ada.discovery["resume"]["token"].as_str().unwrap().to_owned());
    drop(ada);
    gateway.metric_is("bannou_gateway_sessions_absent", 1.0).await;
    let (_, kicked) = post(&gateway, "/v1/kick", &json!({"subject": "ada"})).await;
    assert_eq!(kicked["kicked"], 1);
    let (_, first) = Client::resume(&gateway.url, &kept).await;
    assert_eq!(first["type"], "service_discovery", "a session of its own");
    assert_ne!(first["session_id"], id);
}

/// Told before, and then done: the catalog is put into force, and each client hears exactly what was said.
#[tokio::test]
async fn a_preview_says_what_each_client_then_hears() {
    let before = tiers();
    let gateway = start(&before).await;
    let mut clients = BTreeMap::new();
    for (name, claims) in [("guest", json!({"role": "guest"})), ("vip", json!({"role": "vip"}))] {
        clients.insert(name.to_owned(), gateway.client_with(&token(name, &claims)).await);
    }
    let mut after = before.clone();
    let service = direct(
        "svc",
        vec![
            Endpoint { tiers: vec!["vip".into()], ..endpoint("members", "POST /m") },
            endpoint("new", "POST /n"),
            endpoint("open", "POST /o"),
        ],
    );
    after.services = vec![service];
    let (status, preview) = post(&gateway, "/v1/preview", &serde_json::to_value(&after).unwrap()).await;
    assert_eq!(status, 200, "{preview}");
    assert_eq!((&preview["connections"], &preview["changed"], &preview["shutOut"]), (&json!(2), &json!(2), &json!(0)));
    assert_eq!(preview["gained"], json!({"svc.new": 2}));
    assert_eq!(preview["lost"], json!({"svc.lounge": 1, "svc.members": 1}));
    assert_eq!(get(&gateway, "/v1/catalog").await, serde_json::to_value(&before).unwrap(), "nothing is applied");

    gateway.follow(&after);
    for told in preview["clients"].as_array().unwrap() {
        let client = clients.get_mut(told["subject"].as_str().unwrap()).unwrap();
        let update = client.control("service_update").await;
        let added: Vec<&str> = update["added"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!((added, texts(&update["removed"])), (texts(&told["gains"]), texts(&told["loses"])), "{told}");
    }

    // Nobody is admitted any more, and the issuer is another one.
    after.tiers.retain(|tier| tier.name == "vip");
    after.fleet.issuers[0].name = "other".into();
    let (_, preview) = post(&gateway, "/v1/preview", &serde_json::to_value(&after).unwrap()).await;
    assert_eq!(preview["shutOut"], 2, "{preview}");
    let (status, said) = post(&gateway, "/v1/preview", &json!({"format": 1})).await;
    assert_eq!(status, 400, "{said}");
    after.format = 99;
    assert_eq!(post(&gateway, "/v1/preview", &serde_json::to_value(&after).unwrap()).await.0, 400);
}

#[tokio::test]
async fn no_web_page_asks() {
    let gateway = start(&tiers()).await;
    let client = http();
    let url = format!("{}/v1/status", gateway.inspect);
    for (name, value) in [(ORIGIN, "http://127.0.0.1"), (ORIGIN, "null"), (HOST, "rebound.example")] {
        let answer = client.get(&url).header(name.clone(), value).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{name} {value}");
    }
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
}

async fn can_i(name: &str, more: &[&str]) -> (Option<i32>, Value) {
    let mut command: Command = bannou();
    command.args(["can-i", name, "-o", "json", "--folder"]).arg(quickstart()).args(more);
    let output = command.output().await.unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// Every name of the quickstart, asked of the folder, against what a running gateway told its clients.
#[tokio::test]
async fn can_i_says_of_the_quickstart_what_its_gateway_told() {
    let dev = Dev::start(&quickstart(), &[]).await;
    let anonymous = Client::connect(&dev.url()).await;
    let mut ada = Client::logged_in(&dev.url(), "ada", "lovelace").await;
    let token = ada.control("token").await["token"].as_str().unwrap().to_owned();
    let claims = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(claims.path(), token).unwrap();
    let with_token = ["--claims", claims.path().to_str().unwrap()];
    assert!(ada.names().len() > anonymous.names().len());
    for name in ada.names() {
        for (client, more) in [(&anonymous, &[][..]), (&ada, &with_token[..])] {
            let sees = client.services.contains_key(name);
            let (code, decision) = can_i(name, more).await;
            assert_eq!((code, &decision["allowed"]), (Some(i32::from(!sees)), &json!(sees)), "{decision}");
        }
    }
}
