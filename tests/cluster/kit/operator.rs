//! The operator's controller in this process, against the control plane.

use std::time::Duration;

use bannou_crds::catalog::Service;
use bannou_operator::catalog::{Condition, ConditionType};
use bannou_operator::controller::{Gateways, Heard, Options, Output, run};
use bannou_operator::index::{Key, ObjectKind, ObjectRef};
use bannou_operator::lease::Holding;
use bannou_operator::watch::watch;
use tokio::sync::watch::{Receiver, Sender};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::Cluster;
use crate::process::PATIENCE;

/// Ends when dropped.
pub struct Operator {
    pub output: Receiver<Output>,
    pub gateways: Sender<Gateways>,
    _tasks: JoinSet<()>,
    _controller: JoinSet<()>,
}

impl Operator {
    pub async fn start(cluster: &Cluster, term: u64) -> Operator {
        let client = cluster.client().await;
        let (seen, tasks) = watch(&client);
        let (sender, output) = tokio::sync::watch::channel(Output::default());
        let mut controller = JoinSet::new();
        let options = Options { retry: Duration::from_millis(200), ..Options::default() };
        let holding = Holding::new(term, Instant::now() + Duration::from_secs(24 * 3600));
        let (gateways, connected) = tokio::sync::watch::channel(Gateways::new());
        let heard = Heard { seen, gateways: connected, troubles: tokio::sync::watch::channel(Default::default()).1 };
        controller.spawn(run(client, options, holding, heard, sender));
        Operator { output, gateways, _tasks: tasks, _controller: controller }
    }

    /// The first output of which it is true.
    pub async fn until(&mut self, what: &str, is_true: impl Fn(&Output) -> bool) -> Output {
        let found = match timeout(PATIENCE, self.output.wait_for(|output| is_true(output))).await {
            Ok(output) => Some(output.expect("the controller runs").clone()),
            Err(_) => None,
        };
        found.unwrap_or_else(|| panic!("never {what}: {:#?}", self.output.borrow()))
    }
}

/// What reads an [`Output`] for one fleet.
pub trait Reading {
    fn services(&self, fleet: &str) -> Vec<Service>;
    fn condition(&self, kind: ObjectKind, namespace: &str, name: &str, what: ConditionType) -> Option<Condition>;
}

impl Reading for Output {
    fn services(&self, fleet: &str) -> Vec<Service> {
        let published = self.catalogs.get(&Key::new(fleet, "default"));
        published.map(|p| p.catalog.services.clone()).unwrap_or_default()
    }

    fn condition(&self, kind: ObjectKind, namespace: &str, name: &str, what: ConditionType) -> Option<Condition> {
        let object = ObjectRef { kind, key: Key::new(namespace, name) };
        self.conditions.get(&object)?.condition(what).cloned()
    }
}

/// A Fleet and a tier that lets everything in.
pub fn fleet(namespace: &str) -> String {
    format!(
        r#"
apiVersion: bannou.dev/v1alpha1
kind: Fleet
metadata: {{name: default, namespace: {namespace}}}
spec: {{}}
---
apiVersion: bannou.dev/v1alpha1
kind: AccessTier
metadata: {{name: anonymous, namespace: {namespace}}}
spec:
  admission: {{principal: Anonymous}}
  allowedExposures: {{namespaces: {{from: All}}, sources: [Resource, Annotation]}}
"#
    )
}

pub fn exposure(namespace: &str, fleet: &str, name: &str, path: &str) -> String {
    format!(
        r#"
apiVersion: bannou.dev/v1alpha1
kind: ServiceExposure
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  serviceName: {name}
  backend: {{dapr: {{appId: {name}}}}}
  fleetRef: {{namespace: {fleet}}}
  endpoints:
  - {{name: call, path: {path}, tiers: [anonymous]}}
"#
    )
}

/// A Deployment whose Pods never start: there is no node.
pub fn deployment(namespace: &str, name: &str, annotations: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations: {{{annotations}}}
    spec:
      containers: [{{name: app, image: none}}]
"#
    )
}
