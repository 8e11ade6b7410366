//! What the chart grants the operator, and what of it was used.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;
use kube::api::ListParams;

use crate::kit::Cluster;
use crate::kit::audit::{Asked, Audit};

/// In the whole cluster. One verb on one resource each; as [`Asked`], but that an empty namespace or name stands for any.
pub async fn everywhere(cluster: &Cluster) -> BTreeSet<Asked> {
    let role: ClusterRole = Api::all(cluster.client().await).get("bannou-operator").await.unwrap();
    let mut all = BTreeSet::new();
    expand("", role.rules.unwrap_or_default(), &mut all);
    all
}

/// By the Roles of a namespace.
pub async fn within(cluster: &Cluster, namespace: &str) -> BTreeSet<Asked> {
    let roles: Api<Role> = Api::namespaced(cluster.client().await, namespace);
    let mut all = BTreeSet::new();
    for role in roles.list(&ListParams::default()).await.unwrap() {
        expand(namespace, role.rules.unwrap_or_default(), &mut all);
    }
    all
}

fn expand(namespace: &str, rules: Vec<PolicyRule>, into: &mut BTreeSet<Asked>) {
    for rule in rules {
        let names = rule.resource_names.filter(|names| !names.is_empty()).unwrap_or_else(|| vec![String::new()]);
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    assert!([group, resource, verb].iter().all(|word| *word != "*"), "everything is never needed");
                    into.extend(names.iter().map(|name| Asked {
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: resource.clone(),
                        namespace: namespace.to_owned(),
                        name: name.clone(),
                    }));
                }
            }
        }
    }
}

/// What was granted and never asked for.
pub fn unused<'a>(granted: &'a BTreeSet<Asked>, audit: &Audit) -> Vec<&'a Asked> {
    let used = |right: &Asked| {
        audit.allowed.iter().any(|asked| {
            (&asked.verb, &asked.group, &asked.resource) == (&right.verb, &right.group, &right.resource)
                && (right.namespace.is_empty() || right.namespace == asked.namespace)
                && (right.name.is_empty() || right.name == asked.name)
        })
    };
    granted.iter().filter(|right| !used(right)).collect()
}

#[test]
fn a_right_that_nobody_used_is_found() {
    let asked = |verb: &str, namespace: &str, name: &str| Asked {
        verb: verb.into(),
        group: String::new(),
        resource: "secrets".into(),
        namespace: namespace.into(),
        name: name.into(),
    };
    let audit = Audit { allowed: [asked("get", "a", "key")].into(), ..Audit::default() };
    let granted = [
        asked("get", "", ""),
        asked("get", "a", "key"),
        asked("get", "b", ""),
        asked("get", "a", "ca"),
        asked("list", "", ""),
    ];
    let granted: BTreeSet<Asked> = granted.into();
    assert_eq!(unused(&granted, &audit), [&asked("get", "a", "ca"), &asked("get", "b", ""), &asked("list", "", "")]);
}
