//! The command as a kubectl plugin, against the real API server, the real operator and a real gateway. There is no kubelet here, so
//! nothing can be forwarded to a Pod: gateways are asked by their address, and that a forward fails is told.

use serde_json::{Value, json};
use tokio::sync::MutexGuard;

use crate::journey::Issuer;
use crate::kit::Cluster;
use crate::kit::backend::Backend;
use crate::kit::operator::{deployment, exposure, fleet};
use crate::kit::plugin::Plugin;
use crate::kit::pod::Pod;
use crate::kit::running::Place;

/// The command reads the whole cluster: what other tests left there is none of theirs any more.
async fn alone() -> (&'static Cluster, MutexGuard<'static, ()>) {
    let (cluster, turn) = Cluster::alone().await;
    cluster.kubectl(&["delete", "deployments,serviceexposures,accesstiers,fleets", "-A", "--all"]).await;
    (cluster, turn)
}

/// Tiers for everybody and for players, and three services: one for each, and one whose name somebody else had first.
fn resources(game: &str) -> String {
    let player = fleet(game).split("---").nth(1).unwrap().replace("name: anonymous", "name: player");
    let player = player.replace("principal: Anonymous", "principal: Authenticated");
    [
        fleet(game),
        player,
        exposure(game, game, "open", "/1"),
        exposure(game, game, "members", "/2").replace("[anonymous]", "[player]"),
        exposure(game, game, "second", "/3").replace("serviceName: second", "serviceName: open"),
    ]
    .join("---")
}

/// What the chart would have made, so that it is found; its Pods never start.
fn operator_deployment(game: &str) -> String {
    let labels = "app.kubernetes.io/name: bannou, app.kubernetes.io/component: operator";
    deployment(game, "bannou-operator", "")
        .replace(
            "metadata: {name: bannou-operator,",
            &format!("metadata: {{labels: {{{labels}}}, name: bannou-operator,"),
        )
        .replace("image: none", &format!("image: none, args: [--default-fleet, {game}]"))
}

fn areas<'f>(findings: &'f Value, level: &str) -> Vec<&'f str> {
    let wanted = findings.as_array().unwrap().iter().filter(|f| f["level"] == level);
    wanted.map(|f| f["what"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plugin_tells_of_a_cluster_and_of_who_is_connected() {
    let (cluster, _turn) = alone().await;
    let game = cluster.namespace("game", &[]).await;
    let main = Issuer::new("https://id.test/");
    cluster.apply(&resources(&game)).await.unwrap();
    let issuers = json!({"spec": {"issuers": [main.spec("main")]}}).to_string();
    cluster.kubectl(&["patch", "fleet", "-n", &game, "default", "--type=merge", "-p", &issuers]).await;
    cluster.apply(&operator_deployment(&game)).await.unwrap();
    let place = Place::new(&game, "operator-0");
    let _operator = place.start(cluster, &[]).await;
    let backend = Backend::start().await;
    let pod = Pod::new(cluster, &game, "gateway-0").await;
    let gateway = pod.start_with(place.port, &backend, &["open", "members"]).await;
    gateway.ready().await;
    let mut guest = gateway.client().await;
    while !guest.services.contains_key("open.call") {
        guest.control("service_update").await;
    }
    let mut ada = gateway.client_with(&main.token("42", &json!({}))).await;
    cluster.kubectl(&["wait", "-n", &game, "sexp/open", "--for=condition=Programmed", "--timeout=120s"]).await;
    let plugin = Plugin::new(&cluster.admin_kubeconfig());
    let here = ["-n", &game];
    let at = ["--gateway", &gateway.inspect];

    // The usage is kubectl's.
    assert!(plugin.ends(0, &["can-i", "--help"]).await.contains("Usage: kubectl bannou can-i"));

    // Of the resources: what the gateway does.
    let claims = json!({"iss": "https://id.test/", "aud": "game", "sub": "42"}).to_string();
    let claims = plugin.file("claims.json", &claims);
    let with_token = ["--claims", &claims, "--ignore-times"];
    for name in ["open.call", "members.call"] {
        for (client, more) in [(&guest, &[][..]), (&ada, &with_token[..])] {
            let sees = client.services.contains_key(name);
            let asked = [&["can-i", name][..], &here, more].concat();
            let decision = plugin.json(i32::from(!sees), &asked).await;
            assert_eq!(decision["allowed"], sees, "{decision}");
        }
    }
    let unknown = plugin.ends(2, &[&["can-i", "opne.call"][..], &here].concat()).await;
    assert!(unknown.contains("did you mean \"open.call\"?"), "{unknown}");
    let view = plugin.json(1, &[&["explain", "open"][..], &here].concat()).await;
    assert_eq!((&view["exposures"][0]["name"], &view["exposures"][0]["owns"]), (&json!("open"), &json!(true)));
    let programmed = view["exposures"][0]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Programmed");
    assert_eq!(programmed.unwrap()["status"], "True", "as the operator wrote it");
    let conflict = view["attention"].to_string();
    assert!(conflict.contains("NameConflict") && conflict.contains(&format!("{game}/second")), "{conflict}");
    let catalog = plugin.json(0, &[&["catalog"][..], &here].concat()).await;
    assert_eq!(
        catalog,
        plugin.json(0, &[&["catalog"][..], &at].concat()).await,
        "the gateway obeys what the resources say"
    );

    // Of the cluster.
    cluster
        .kubectl(&[
            "label",
            "pod",
            "-n",
            &game,
            "gateway-0",
            "app.kubernetes.io/name=bannou",
            "app.kubernetes.io/component=gateway",
        ])
        .await;
    let status = plugin.json(1, &[&["status"][..], &here].concat()).await;
    let operators = status["operators"].as_array().unwrap().iter().filter(|o| o["namespace"] == *game);
    assert_eq!(operators.map(|o| &o["holder"]["name"]).collect::<Vec<_>>(), [&json!("operator-0")]);
    let no_way = &status["gateways"][0];
    assert_eq!((&no_way["gateway"], &no_way["ready"]), (&json!(format!("{game}/gateway-0")), &json!(false)));
    assert!(no_way["error"].as_str().unwrap().contains("port-forward"), "{no_way}");
    let silent = plugin.ends(2, &[&["conns"][..], &here].concat()).await;
    assert!(silent.contains("port-forward"), "{silent}");

    // Of the gateway.
    let status = plugin.json(0, &[&["status"][..], &at].concat()).await;
    let status = &status["gateways"][0];
    assert_eq!((&status["connections"], &status["catalog"]["services"]), (&json!(2), &json!(2)));
    assert!(status["operator"]["linked"].is_string() && status["operator"]["version"].is_string(), "{status}");
    let conns = plugin.json(0, &[&["conns", "--subject", "42"][..], &at].concat()).await;
    assert_eq!(
        (&conns[0]["total"], &conns[0]["connections"][0]["tiers"]),
        (&json!(1), &json!(["anonymous", "player"]))
    );
    assert!(plugin.ends(0, &[&["conns"][..], &at].concat()).await.contains("anonymous,player"));
    let why = plugin.ends(0, &[&["why", "--subject", "42", "members.call"][..], &at].concat()).await;
    assert!(why.starts_with("ALLOWED  members.call") && why.contains("expires in"), "{why}");
    let client = guest.discovery["client_id"].as_str().unwrap().to_owned();
    let why = plugin.ends(1, &[&["why", "--client", &client, "members.call"][..], &at].concat()).await;
    assert!(why.contains("to fix it") && why.contains("player needs a token"), "{why}");
    plugin.ends(1, &[&["why", "--subject", "nobody"][..], &at].concat()).await;
    let unknown = plugin.ends(2, &[&["why", "--subject", "42", "members.cal"][..], &at].concat()).await;
    assert!(unknown.contains("did you mean \"members.call\"?"), "{unknown}");

    // Before it is applied, and after.
    let changed = exposure(&game, &game, "open", "/1").replace("[anonymous]", "[player]")
        + "---"
        + &exposure(&game, &game, "fresh", "/4");
    let file = plugin.file("changed.yaml", &changed);
    let preview = plugin.json(1, &[&["preview", "-f", &file][..], &here, &at].concat()).await;
    assert_eq!((&preview["gained"], &preview["lost"]), (&json!({"fresh.call": 2}), &json!({"open.call": 1})));
    cluster.apply(&changed).await.unwrap();
    for (who, client) in [(None, &mut guest), (Some("42"), &mut ada)] {
        let told = preview["clients"].as_array().unwrap().iter().find(|c| c["subject"].as_str() == who).unwrap();
        let (mut gains, mut loses) = (Vec::new(), Vec::new());
        // One apply of two objects may be two catalogs.
        while json!(gains) != told["gains"] || json!(loses) != told["loses"] {
            let update = client.control("service_update").await;
            gains.extend(update["added"].as_object().unwrap().keys().cloned());
            loses.extend(update["removed"].as_array().unwrap().iter().cloned());
        }
    }

    let kicked = plugin.ends(0, &[&["kick", "--subject", "42", "--reason", "house rules"][..], &at].concat()).await;
    assert!(kicked.starts_with("kicked "), "{kicked}");
    let said = ada.closing().await;
    assert_eq!((&said["code"], &said["reason"]), (&json!(4403), &json!("house rules")));
    plugin.ends(1, &[&["kick", "--subject", "nobody"][..], &at].concat()).await;
}

/// The definition of Dapr's kind, as far as it matters here.
const DAPR: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: configurations.dapr.io}
spec:
  group: dapr.io
  scope: Namespaced
  names: {kind: Configuration, plural: configurations, singular: configuration}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_in_a_cluster_is_found_with_what_to_do_and_annotations_are_adopted() {
    let (cluster, _turn) = alone().await;
    let game = cluster.namespace("game", &[]).await;
    cluster.apply(DAPR).await.unwrap();
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd/configurations.dapr.io"]).await;
    let labels = "app.kubernetes.io/name: bannou, app.kubernetes.io/component: gateway";
    let gateway = deployment(&game, "bannou-gateway", r#"dapr.io/enabled: "true", dapr.io/app-id: bannou-gateway"#)
        .replace(
            "metadata: {name: bannou-gateway,",
            &format!("metadata: {{labels: {{{labels}}}, name: bannou-gateway,"),
        );
    let account = r#"dapr.io/enabled: "true", dapr.io/app-id: account, dapr.io/config: closed, bannou.dev/expose: "true",
        bannou.dev/endpoint.create: "POST /v1/accounts tiers=anonymous""#;
    let closed = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {{name: closed, namespace: {game}}}\nspec: {{accessControl: {{defaultAction: deny}}}}\n"
    );
    let refused = format!(
        "apiVersion: v1\nkind: Event\nmetadata: {{name: refused, namespace: {game}}}\nreason: FailedCreate\ntype: Warning\n\
         involvedObject: {{kind: ReplicaSet, name: account-1, namespace: {game}}}\nmessage: 'forbidden: violates PodSecurity: container \"daprd\"'\n"
    );
    let all =
        [fleet(&game), operator_deployment(&game), gateway, deployment(&game, "account", account), closed, refused];
    cluster.apply(&all.join("---\n")).await.unwrap();
    let place = Place::new(&game, "operator-0");
    let _operator = place.start(cluster, &[]).await;
    cluster.kubectl(&["wait", "-n", &game, "sexp/account.deployment", "--for=create", "--timeout=120s"]).await;
    cluster
        .kubectl(&["wait", "-n", &game, "sexp/account.deployment", "--for=condition=Accepted", "--timeout=120s"])
        .await;
    let plugin = Plugin::new(&cluster.admin_kubeconfig());

    let found = plugin.json(1, &["check", "-n", &game]).await;
    let (good, wrong) = (areas(&found, "ok"), areas(&found, "error"));
    assert_eq!(
        good.iter().filter(|what| what.contains("bannou.dev is there, as this version knows it")).count(),
        3,
        "{good:?}"
    );
    assert!(good.iter().any(|what| what.starts_with("operator-0 holds the Lease")), "{good:?}");
    assert!(wrong.iter().any(|what| what.contains(&format!("the Fleet {game}/default has no gateway"))), "{wrong:?}");
    assert!(
        wrong.iter().any(|what| what.contains("ReplicaSet account-1") && what.contains("PodSecurity")),
        "{wrong:?}"
    );
    let stopped = wrong.iter().find(|what| what.starts_with("account.create: the Dapr Configuration"));
    assert!(stopped.is_some_and(|what| what.contains(&format!("{game}/closed"))), "{wrong:?}");
    assert!(
        plugin.ends(1, &["check", "-n", &game]).await.contains("to fix it: add to its spec.accessControl.policies")
    );

    // Adopted, the written exposure takes the name over, and says the same.
    let yaml = plugin.ends(0, &["adopt", "deploy/account", "-n", &game]).await;
    cluster.apply(&yaml).await.unwrap();
    cluster.kubectl(&["wait", "-n", &game, "sexp/account", "--for=condition=Accepted", "--timeout=120s"]).await;
    let decision = plugin.json(0, &["can-i", "account.create", "-n", &game]).await;
    assert_eq!(
        (&decision["exposure"]["name"], &decision["exposure"]["source"]),
        (&json!("account"), &json!("Resource"))
    );
    let missing = plugin.ends(2, &["adopt", "deploy/none", "-n", &game]).await;
    assert!(missing.contains("there is no Deployment"), "{missing}");
    plugin.ends(1, &["adopt", "deploy/bannou-gateway", "-n", &game]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rights_or_gateways_it_is_said_what_to_do() {
    let (cluster, _turn) = Cluster::alone().await;
    let empty = cluster.namespace("empty", &[]).await;
    let nobody = Plugin::new(&cluster.kubeconfig("nobody", "nobody", None));
    for command in [
        &["status"][..],
        &["check"],
        &["can-i", "a.b"],
        &["catalog"],
        &["explain", "a"],
        &["conns"],
        &["adopt", "deploy/a"],
    ] {
        let said = nobody.ends(2, command).await;
        assert!(said.contains("you may not") && said.contains("have the right given to you"), "{command:?}: {said}");
    }
    let admin = Plugin::new(&cluster.admin_kubeconfig());
    for command in [&["conns"][..], &["kick", "--subject", "x"], &["why", "--subject", "x"]] {
        let said = admin.ends(2, &[command, &["-n", &empty]].concat()).await;
        assert!(
            said.contains("there is no gateway in the namespace") && said.contains("--gateway"),
            "{command:?}: {said}"
        );
    }
}

/// An API server that has nothing of the project's, and then none at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_definitions_or_a_cluster_it_is_said_what_to_do() {
    let cluster = Cluster::start().await;
    let plugin = Plugin::new(&cluster.admin_kubeconfig());
    let found = plugin.json(1, &["check"]).await;
    assert_eq!(areas(&found, "error").len(), 3, "{found}");
    assert!(found[0]["fix"].as_str().unwrap().contains("bannou-crds"), "{found}");
    for command in [&["status"][..], &["can-i", "a.b"], &["explain", "a"]] {
        let said = plugin.ends(2, command).await;
        assert!(said.contains("does not know fleets.bannou.dev: install the definitions"), "{command:?}: {said}");
    }
    cluster.kill_server();
    for command in [&["status"][..], &["check"], &["conns"], &["adopt", "deploy/a"]] {
        let said = plugin.ends(2, command).await;
        assert!(said.contains("cannot be reached") && said.contains("--context"), "{command:?}: {said}");
    }
}
