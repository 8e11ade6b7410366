//! `bannou catalog`: what a fleet's gateways are told.

use std::path::PathBuf;

use bannou_crds::Catalog;
use bannou_crds::catalog::{Backend, PathPart, Service};

use super::output::{Format, print, print_json};
use super::source::{self, Source};
use crate::cluster::Target;
use crate::table::table;
use crate::trouble::Trouble;

const AFTER: &str = "\
Exit codes:
  0  the catalog is printed
  2  there is none, or it cannot be asked for";

/// Show the compiled catalog of a fleet: every endpoint and event, where it leads, and who may use it.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// A folder with the resources, instead of a cluster's.
    #[arg(long, value_name = "DIR", conflicts_with = "gateways")]
    folder: Option<PathBuf>,
    /// The Fleet that is meant, where there are several.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    fleet: Option<String>,
    #[command(flatten)]
    target: Target,
    /// How to print it; json is the catalog as gateways have it.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub async fn run(args: Args) -> Result<bool, Trouble> {
    let Args { folder, fleet, target, output } = args;
    let catalog = match (folder, target.gateways.as_slice()) {
        (None, [_, ..]) => in_force(&target).await?,
        (folder, _) => {
            let Source { world, fleet, .. } = source::read(folder.as_deref(), fleet.as_deref(), &target.at).await?;
            source::compiled(&world, &fleet)?
        }
    };
    match output {
        Format::Table => print(&text(&catalog)),
        Format::Json => print_json(&catalog),
    }
    Ok(true)
}

/// Of the first gateway that was named.
async fn in_force(target: &Target) -> Result<Catalog, Trouble> {
    let gateways = target.find().await?;
    let first = &gateways[0];
    first.ask("/v1/catalog", None).await.map_err(|why| Trouble::one(format!("the gateway {}: {why}", first.name)))
}

fn text(catalog: &Catalog) -> String {
    let mut rows: Vec<[String; 4]> = Vec::new();
    for service in &catalog.services {
        for endpoint in &service.endpoints {
            let what = format!("{} {}", endpoint.method, path(&endpoint.path));
            rows.push([
                format!("{}.{}", service.name, endpoint.name),
                what,
                backend(service),
                endpoint.tiers.join(", "),
            ]);
        }
        for event in &service.events {
            let what = format!("event, {:?}", event.interaction);
            rows.push([format!("{}.{}", service.name, event.name), what, backend(service), event.tiers.join(", ")]);
        }
    }
    let head = format!("fleet {}/{}\n\n", catalog.fleet.namespace, catalog.fleet.name);
    head + &table(["NAME", "WHAT", "BACKEND", "TIERS"], &rows)
}

fn backend(service: &Service) -> String {
    match &service.backend {
        Backend::Dapr { app_id } => format!("dapr {app_id}.{}", service.namespace),
        Backend::Service { name, port } => format!("service {name}.{}:{port}", service.namespace),
    }
}

fn path(parts: &[PathPart]) -> String {
    let text = |part: &PathPart| match part {
        PathPart::Text(text) => text.clone(),
        PathPart::Subject => "{subject}".to_owned(),
        PathPart::Session => "{session}".to_owned(),
        PathPart::Claim(path) => format!("{{claims.{}}}", path.join(".")),
    };
    parts.iter().map(text).collect()
}
