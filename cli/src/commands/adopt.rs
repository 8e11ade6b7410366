//! `bannou adopt deploy/NAME`: the ServiceExposure that says what a workload's annotations say.

use bannou_operator::annotations;
use bannou_operator::index::{ObjectKind, Workload};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::Api;

use super::output::{Format, print, print_json};
use crate::cluster::{Cluster, Where, is_missing};
use crate::trouble::Trouble;

const AFTER: &str = "\
Exit codes:
  0  the ServiceExposure is printed; apply it, and take the annotations off afterwards: the name passes over without a gap
  1  the workload asks for no exposure: it has no annotation bannou.dev/expose
  2  its annotations have mistakes, or it cannot be read";

/// Print the ServiceExposure that says the same as the annotations of a workload.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// Such as deploy/account or statefulset/account.
    #[arg(value_name = "KIND/NAME")]
    workload: String,
    #[command(flatten)]
    at: Where,
    /// How to print it; left out: YAML, for kubectl apply -f -.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub async fn run(args: Args) -> Result<bool, Trouble> {
    let Args { workload: asked, at, output } = args;
    let (kind, name) = parse(&asked)?;
    let workload = get(&at.connect().await?, kind, name).await?;
    let spec = annotations::exposure(&workload)
        .map_err(|mistakes| Trouble(mistakes.iter().map(|m| format!("{}: {m}", workload.object)).collect()))?;
    let Some(spec) = spec else {
        eprintln!("note: {} has no annotation {}: \"true\" on its Pod template", workload.object, annotations::EXPOSE);
        return Ok(false);
    };
    let exposure = annotations::adopted(&workload, spec);
    match output {
        Format::Table => {
            let yaml =
                serde_saphyr::to_string(&exposure).map_err(|e| Trouble::one(format!("cannot be written: {e}")))?;
            print(&yaml);
        }
        Format::Json => print_json(&exposure),
    }
    Ok(true)
}

fn parse(asked: &str) -> Result<(ObjectKind, &str), Trouble> {
    let (kind, name) = asked.split_once('/').unwrap_or(("", asked));
    let kind = match kind.to_lowercase().as_str() {
        "deploy" | "deployment" | "deployments" | "deployments.apps" => ObjectKind::Deployment,
        "sts" | "statefulset" | "statefulsets" | "statefulsets.apps" => ObjectKind::StatefulSet,
        _ => {
            return Err(Trouble::one(format!(
                "{asked:?} is not KIND/NAME, such as deploy/account or statefulset/account"
            )));
        }
    };
    if name.is_empty() {
        return Err(Trouble::one(format!("{asked:?} names no workload, such as deploy/account")));
    }
    Ok((kind, name))
}

async fn get(cluster: &Cluster, kind: ObjectKind, name: &str) -> Result<Workload, Trouble> {
    let namespace = cluster.workload_namespace();
    let what = format!("read {kind} {namespace}/{name}");
    let found = cluster.ask(&what, async {
        let read = match kind {
            ObjectKind::StatefulSet => {
                let api: Api<StatefulSet> = Api::namespaced(cluster.client.clone(), namespace);
                api.get(name).await.map(|set| Workload::of_stateful_set(&set))
            }
            _ => {
                let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
                api.get(name).await.map(|deployment| Workload::of_deployment(&deployment))
            }
        };
        match read {
            Err(error) if is_missing(&error) => Ok(None),
            other => other.map(Some),
        }
    });
    found
        .await?
        .ok_or_else(|| Trouble::one(format!("there is no {kind} {namespace}/{name}; choose its namespace with -n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_written_as_for_kubectl() {
        assert_eq!(parse("deploy/account").unwrap(), (ObjectKind::Deployment, "account"));
        assert_eq!(parse("StatefulSet/account").unwrap(), (ObjectKind::StatefulSet, "account"));
        for wrong in ["account", "pod/account", "deploy/", "/x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
