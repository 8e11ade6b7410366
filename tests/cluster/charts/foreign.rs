//! Kinds of others that the charts make objects of.

use crate::kit::Cluster;
use crate::process::installed;

/// Routes of the Gateway API as they are; of cert-manager the name alone. They stay: removing definitions takes an API server long.
pub async fn foreign_kinds(cluster: &Cluster) {
    let file = installed("gateway-api.sh", "BANNOU_GATEWAY_API").join("gateway.networking.k8s.io_httproutes.yaml");
    // Larger than the annotation of a plain `apply` may be.
    cluster.kubectl(&["apply", "--server-side", "-f", file.to_str().unwrap()]).await;
    cluster.apply(&foreign("cert-manager.io", "v1", "Certificate", "certificates")).await.unwrap();
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]).await;
}

/// A kind as far as it takes to install what is of it: no rules, everything kept.
fn foreign(group: &str, version: &str, kind: &str, plural: &str) -> String {
    format!(
        r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {plural}.{group}
  annotations: {{api-approved.kubernetes.io: unapproved, tests}}
spec:
  group: {group}
  scope: Namespaced
  names: {{kind: {kind}, plural: {plural}}}
  versions:
  - name: {version}
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"#
    )
    .replace("unapproved, tests", "\"unapproved, for tests\"")
}
