//! Values that cannot be meant are refused, by a sentence that names them.

use super::rendered::{VALUES, template};
use crate::kit::helm::{chart, helm};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_value_is_named() {
    for (set, said) in [
        // A typo, at every depth.
        ("gatway.replicas=2", &["gatway"][..]),
        ("gateway.replica=2", &["/gateway", "replica"]),
        ("gateway.broker.passwordSecret.nme=x", &["/gateway/broker/passwordSecret", "nme"]),
        ("fleet.spec.origin[0]=https://a", &["/fleet/spec", "origin"]),
        ("tiers.player.peer=Open", &["/tiers/player", "peer"]),
        // Another type, another word, out of bounds.
        ("gateway.replicas=two", &["/gateway/replicas", "want integer"]),
        ("gateway.service.type=Public", &["/gateway/service/type", "LoadBalancer"]),
        ("operator.replicas=0", &["/operator/replicas", "minimum"]),
        ("operator.fleetKeyRotation=monthly", &["/operator/fleetKeyRotation", "pattern"]),
        ("tiers.player.admission.principal=Everybody", &["/tiers/player"]),
        // A secret in a value.
        ("gateway.broker.urls[0]=amqps://gateway:s3cret@rabbitmq/fleet", &["/gateway/broker/urls/0", "pattern"]),
        // What does not go together.
        ("operator.enabled=false", &["set operator.namespace"]),
        ("operator.namespace=elsewhere", &["set operator.enabled to false"]),
        ("operator.tls.certManager.enabled=true", &["operator.tls.certManager.issuerRef.name"]),
        ("gateway.tls.certManager.enabled=true", &["gateway.tls.certManager.issuerRef.name"]),
        ("gateway.broker.passwordSecret.name=x", &["need gateway.broker.urls"]),
        ("gateway.internal.enabled=true", &["gateway.internal.tokensSecret"]),
        ("gateway.httpRoute.enabled=true", &["gateway.httpRoute.parentRefs"]),
        ("gateway.ingress.enabled=true", &["gateway.ingress.hosts"]),
        ("gateway.autoscaling.minReplicas=20", &["maxReplicas is less"]),
    ] {
        let refused = template("defaults", &["--set", set]).await.expect_err(set);
        assert!(said.iter().all(|word| refused.contains(word)), "{set}: {refused}");
        assert!(!refused.contains("template: bannou") || refused.contains("error calling fail"), "{set}: {refused}");
    }
    let refused = template("everything", &["--set", "gateway.broker.urls[0]=amqp://rabbitmq"]).await.unwrap_err();
    assert!(refused.contains("gateway.broker.urlSecret both say"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lint_has_nothing_to_say() {
    let crds = chart("bannou-crds");
    helm(None, &["lint", "--strict", crds.to_str().unwrap()]).await.unwrap_or_else(|said| panic!("{said}"));
    for name in VALUES {
        let chart = chart("bannou");
        let mut arguments = vec!["lint", "--strict", chart.to_str().unwrap()];
        let values = super::rendered::values(name);
        if let Some(values) = &values {
            arguments.extend(["--values", values.to_str().unwrap()]);
        }
        let said = helm(None, &arguments).await.unwrap_or_else(|said| panic!("{name}: {said}"));
        assert!(!said.contains("[WARNING]") && !said.contains("[ERROR]"), "{name}: {said}");
    }
}
