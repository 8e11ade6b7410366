//! Who may see and change a namespace may see and change the project's kinds in it, by Kubernetes' own roles.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::kit::Cluster;
use crate::process::{PATIENCE, repository};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn view_edit_and_admin_hold_for_the_kinds() {
    let (cluster, _turn) = Cluster::alone().await;
    // Aggregation is a controller's work.
    cluster.controllers().await;
    let namespace = cluster.namespace("roles", &[]).await;
    cluster.kubectl(&["apply", "-f", repository().join("crds/roles.yaml").to_str().unwrap()]).await;
    for role in ["view", "edit", "admin"] {
        let user = format!("--user={role}er");
        let role = format!("--clusterrole={role}");
        cluster.kubectl(&["create", "rolebinding", &user[7..], "-n", &namespace, &role, &user]).await;
    }
    let may = |user: &'static str, verb: &'static str, kind: String, part: &'static str| {
        let namespace = namespace.clone();
        async move {
            let user = format!("--as={user}er");
            let part = format!("--subresource={part}");
            cluster.try_kubectl(&["auth", "can-i", verb, &kind, "-n", &namespace, &user, &part], "").await.0
        }
    };
    for kind in ["fleets", "accesstiers", "serviceexposures"] {
        let kind = format!("{kind}.bannou.dev");
        for (user, verb, allowed) in [
            ("view", "get", true),
            ("view", "watch", true),
            ("edit", "create", true),
            ("edit", "delete", true),
            ("admin", "patch", true),
            ("view", "patch", false),
            ("nobody", "get", false),
        ] {
            // What is allowed is so a moment after the roles were applied.
            let settled = async {
                while may(user, verb, kind.clone(), "").await != allowed {
                    sleep(Duration::from_millis(200)).await;
                }
            };
            timeout(PATIENCE, settled).await.unwrap_or_else(|_| panic!("{user} {verb} {kind}: not {allowed}"));
        }
        assert!(!may("admin", "patch", kind, "status").await, "the operator's alone");
    }
}
