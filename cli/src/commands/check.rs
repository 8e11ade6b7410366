//! `bannou check`: what is missing or wrong, in a folder or in a cluster, and what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bannou_crds::kinds::definitions;
use bannou_gateway::inspect::report::Status;
use bannou_operator::catalog::{ObjectStatus, compile, unattached};
use bannou_operator::index::Key;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};

use super::output::{Format, print, print_json};
use super::report;
use super::source::mistakes;
use super::status::{hashes, listed};
use crate::cluster::findings::{self, Configurations, Definition, Finding, GatewayFact, Level, NotMade};
use crate::cluster::{Cluster, Where, gateways, is_missing, operator, outside, resources};
use crate::folder;
use crate::trouble::Trouble;

const AFTER: &str = "\
Exit codes:
  0  all is well
  1  something needs attention: it is printed, with what to do
  2  the folder has mistakes or cannot be read; the cluster cannot be asked

Examples:
  bannou check examples/quickstart
  kubectl bannou check
  bannou check --url wss://play.example.com/connect --origin https://play.example.com";

/// A person wonders what is going on.
const SOON: Duration = Duration::from_secs(5);

/// Say what is missing or wrong: in a folder of resources, in the cluster, or on the way from outside.
///
/// A FOLDER is compiled as the operator does it in a cluster, and the conditions printed that kubectl would show; backends are not looked
/// for, a folder has none. Without one, the cluster is looked at: definitions, operator and Lease, gateways, fleets, tiers, exposures, and
/// Dapr access policies that would stop the gateway. With --url, the way that clients come instead.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The folder with the resources. Left out: the cluster.
    #[arg(conflicts_with_all = ["url", "allow_warnings"])]
    folder: Option<PathBuf>,
    /// Where clients connect: try the way from here, as a client does.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The page's origin, as a browser would send it.
    #[arg(long, value_name = "ORIGIN", requires = "url")]
    origin: Option<String>,
    /// How long to be silent on the connection; 0 leaves it out, at most 10m.
    #[arg(long, value_name = "DURATION", default_value = "65s", value_parser = idle)]
    idle: Duration,
    /// A PEM file of CAs, where clients know one that this machine does not.
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
    /// Dial this in the URL's stead: the name counts for the certificate and the request alone.
    #[arg(long, value_name = "HOST:PORT", requires = "url")]
    via: Option<String>,
    /// Exit with 0 also where there are warnings.
    #[arg(long)]
    allow_warnings: bool,
    #[command(flatten)]
    at: Where,
    /// How to print it.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

fn idle(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration of at most 10m; write 65s, 2m or 0");
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        _ => None,
    };
    seconds.filter(|s| *s <= 600).map(Duration::from_secs).ok_or_else(wrong)
}

pub async fn run(args: Args) -> Result<bool, Trouble> {
    let Args { folder, url, origin, idle, ca, via, allow_warnings, at, output } = args;
    if let Some(folder) = folder {
        return of_folder(&folder, output);
    }
    let found = match url {
        Some(url) => {
            let read = |path: PathBuf| {
                std::fs::read(&path).map_err(|e| Trouble::one(format!("--ca {}: cannot be read: {e}", path.display())))
            };
            let asked = outside::Asked { url, via, origin, idle, ca: ca.map(read).transpose()? };
            let looking = outside::look(&asked);
            tokio::pin!(looking);
            tokio::select! {
                found = &mut looking => found?,
                () = tokio::time::sleep(SOON) => {
                    eprintln!("note: this is silent for {} s on the connection, to see what cuts it; --idle 0 leaves it out", idle.as_secs());
                    looking.await?
                }
            }
        }
        None => of_cluster(&at.connect().await?).await?,
    };
    match output {
        Format::Table => print(listed(&found).trim_start_matches('\n')),
        Format::Json => print_json(&found),
    }
    Ok(found.iter().all(|finding| finding.level == Level::Ok || (allow_warnings && finding.level == Level::Warning)))
}

fn of_folder(path: &Path, output: Format) -> Result<bool, Trouble> {
    let folder = folder::load(path).map_err(mistakes)?;
    for note in &folder.notes {
        eprintln!("note: {note}");
    }
    let mut conditions = unattached(&folder.world);
    for fleet in folder.world.fleets.keys() {
        conditions.extend(compile(&folder.world, fleet).conditions);
    }
    match output {
        Format::Table => print(&report::table(&conditions)),
        Format::Json => print_json(&report::json(&conditions)),
    }
    Ok(!conditions.values().any(ObjectStatus::needs_attention))
}

async fn of_cluster(cluster: &Cluster) -> Result<Vec<Finding>, Trouble> {
    let mut found = match defined(cluster).await {
        Ok(definitions) => findings::definitions(&definitions),
        Err(trouble) => vec![findings::unread("definitions", &trouble)],
    };
    if found.iter().any(|finding| finding.level == Level::Error) {
        // Nothing of the rest can be without them.
        return Ok(found);
    }
    let resources = resources::read(cluster).await?;
    let mut operators = Vec::new();
    for operator in &resources.operators {
        match operator::holder(cluster, operator).await {
            Ok(holder) => operators.push((operator.clone(), holder)),
            Err(trouble) => found.push(findings::unread("operator", &trouble)),
        }
    }
    if found.iter().all(|finding| finding.area != "operator") {
        found.extend(findings::operators(&operators));
    }
    let all = gateways::of_cluster(cluster).await?;
    let answers = gateways::ask_each::<Status>(&all, "/v1/status", None).await;
    let facts = all.iter().zip(answers).filter_map(|(gateway, answer)| {
        let hash = answer.answer.map(|status| status.catalog.hash).ok_or(answer.error.unwrap_or_default());
        let (name, namespace) = (gateway.name.clone(), gateway.namespace.clone()?);
        Some(GatewayFact {
            name,
            namespace,
            ready: gateway.ready.unwrap_or_default(),
            without_sidecar: gateway.without_sidecar,
            hash,
        })
    });
    let facts: Vec<GatewayFact> = facts.collect();
    found.extend(findings::gateways(&facts, &hashes(&resources, cluster.namespace.as_deref())));
    found.extend(findings::objects(&resources));
    for (kind, why) in &resources.unread {
        found.push(Finding::warning(
            "objects",
            format!("nothing is said about backends, since no {kind} can be read: {why}"),
            "have the right to list them given to you",
        ));
    }
    found.extend(findings::pod_security(&resources, &not_made(cluster).await));
    match configurations(cluster).await {
        Ok(configurations) => found.extend(findings::policies(&resources, &configurations)),
        Err(trouble) => found.push(Finding::warning(
            "dapr",
            trouble.to_string(),
            "without them nothing is said about access policies",
        )),
    }
    Ok(found)
}

async fn defined(cluster: &Cluster) -> Result<Vec<Definition>, Trouble> {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let mut all = Vec::new();
    for ours in definitions() {
        let name = ours["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let what = format!("read the definition {name}");
        let theirs = cluster.ask(&what, async {
            match api.get(&name).await {
                Err(error) if is_missing(&error) => Ok(None),
                other => other.map(Some),
            }
        });
        let theirs = theirs.await?.map(|definition| serde_json::to_value(definition).unwrap_or_default());
        all.push(Definition { name, ours, theirs });
    }
    Ok(all)
}

/// What Events say of Pods that could not be made; none where Events may not be read, since they are gone after an hour anyway.
async fn not_made(cluster: &Cluster) -> Vec<NotMade> {
    let events: Api<Event> = Api::all(cluster.client.clone());
    let params = ListParams::default().fields("reason=FailedCreate").limit(500);
    let listed = cluster.ask("list Events in every namespace", events.list(&params)).await;
    let each = |event: Event| {
        let of = event.involved_object;
        NotMade {
            namespace: of.namespace.unwrap_or_default(),
            object: format!("{} {}", of.kind.unwrap_or_default(), of.name.unwrap_or_default()),
            message: event.message.unwrap_or_default(),
        }
    };
    listed.map(|list| list.items.into_iter().map(each).collect()).unwrap_or_default()
}

/// Dapr's own; none where Dapr is not installed.
async fn configurations(cluster: &Cluster) -> Result<Configurations, Trouble> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("dapr.io", "v1alpha1", "Configuration"));
    let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &kind);
    let listed = cluster.ask("list Dapr Configurations in every namespace", async {
        match api.list(&ListParams::default().limit(1_000)).await {
            Err(error) if is_missing(&error) => Ok(Vec::new()),
            other => other.map(|list| list.items),
        }
    });
    let each = |object: DynamicObject| (Key::of(&object.metadata), object.data["spec"].clone());
    Ok(listed.await?.into_iter().map(each).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_bounded() {
        let good = ["65s", "2m", "0", "600s", "10m"].map(|text| idle(text).unwrap().as_secs());
        assert_eq!(good, [65, 120, 0, 600, 600]);
        for wrong in ["11m", "1h", "-1s", "", "s", "99999999999999999999s", "18446744073709551615m"] {
            assert!(idle(wrong).is_err(), "{wrong}");
        }
    }
}
