//! What ServiceAccounts asked of the API server, by its own audit log.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::Cluster;

const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: [system:serviceaccounts]
- level: None
"#;

const LOG: &str = "audit.log";

pub(super) fn arguments(folder: &Path) -> Vec<String> {
    let policy = folder.join("audit.yaml");
    std::fs::write(&policy, POLICY).unwrap();
    vec![
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", folder.join(LOG).display()),
        // Written before the answer is sent: what a test has seen is in the log.
        "--audit-log-mode=blocking-strict".to_owned(),
    ]
}

/// One thing that was asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    pub verb: String,
    pub group: String,
    /// With its subresource, as `fleets/status`.
    pub resource: String,
    /// Empty: of the whole cluster.
    pub namespace: String,
    /// Empty: of no object in particular, or of one that has no name yet.
    pub name: String,
}

/// What a ServiceAccount asked.
#[derive(Debug, Default)]
pub struct Audit {
    pub allowed: BTreeSet<Asked>,
    pub forbidden: BTreeSet<Asked>,
}

impl Cluster {
    /// Of [`Cluster::audited`].
    pub fn audit(&self, namespace: &str, account: &str) -> Audit {
        let user = format!("system:serviceaccount:{namespace}:{account}");
        let mut audit = Audit::default();
        let text = std::fs::read_to_string(self.folder().join(LOG)).unwrap();
        // The last line may not be whole yet.
        for event in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if event["user"]["username"] != *user || !event["objectRef"].is_object() {
                continue;
            }
            let of = |member: &str| event["objectRef"][member].as_str().unwrap_or_default().to_owned();
            let resource = [of("resource"), of("subresource")].join("/").trim_end_matches('/').to_owned();
            let verb = event["verb"].as_str().unwrap_or_default().to_owned();
            let asked = Asked { verb, group: of("apiGroup"), resource, namespace: of("namespace"), name: of("name") };
            if event["annotations"]["authorization.k8s.io/decision"] != "allow"
                || event["responseStatus"]["code"] == 403
            {
                audit.forbidden.insert(asked);
                continue;
            }
            // Who makes an object by a server-side apply must have the right to create one as well.
            if asked.verb == "patch" && event["responseStatus"]["code"] == 201 {
                audit.allowed.insert(Asked { verb: "create".to_owned(), ..asked.clone() });
            }
            audit.allowed.insert(asked);
        }
        audit
    }
}
