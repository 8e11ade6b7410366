//! What is said of the workload or Service behind an exposure. It costs no endpoint: clients get 502 or 503 from those that are.

use bannou_crds::catalog::Backend;

use super::status::{Findings, Reason};
use crate::index::{BackendState, Backends, Key};

pub(super) fn resolve(backends: &Backends, namespace: &str, backend: &Backend, findings: &mut Findings) {
    let (state, spelled) = match backend {
        Backend::Dapr { app_id } => (backends.dapr(namespace, app_id), format!("Dapr app {app_id:?}")),
        Backend::Service { name, port } => {
            (backends.service(&Key::new(namespace, name), *port), format!("Service {name:?} with port {port}"))
        }
    };
    match state {
        BackendState::Ready => {}
        BackendState::NoReadyPods => findings.unresolved(
            Reason::NoReadyPods,
            format!("spec.backend: none of the Pods of the {spelled} is ready; clients get 502 until one is."),
        ),
        BackendState::NotDaprEnabled => findings.unresolved(
            Reason::BackendNotDaprEnabled,
            format!(
                "spec.backend: the workload of the {spelled} has not both of the annotations `dapr.io/enabled: \"true\"` and \
                 `dapr.io/app-id` on its pod template; add them."
            ),
        ),
        BackendState::Missing => findings.unresolved(
            Reason::BackendNotFound,
            format!("spec.backend: there is no {spelled} in the namespace {namespace:?}; deploy it, or correct the name."),
        ),
    }
}
