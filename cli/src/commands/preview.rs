//! `bannou preview -f FILE`: what an apply would change for those who are connected.

use std::path::PathBuf;

use bannou_gateway::inspect::report::Preview;
use bannou_operator::catalog::{ObjectStatus, compile};
use bannou_operator::index::{Key, World};
use serde::Serialize;

use super::output::{Format, print, print_json};
use super::report;
use super::source::mistakes;
use crate::cluster::Target;
use crate::cluster::gateways::{Gateway, answered, ask_each};
use crate::cluster::resources::{self, pick};
use crate::folder;
use crate::table::table;
use crate::trouble::Trouble;

const AFTER: &str = "\
Exit codes:
  0  nobody who is connected would lose anything
  1  somebody would, or some object of FILE would not be accepted
  2  FILE has mistakes, or the cluster or a gateway cannot be asked

Examples:
  bannou preview -f exposure.yaml
  bannou preview -f examples/quickstart --alone --gateway http://127.0.0.1:9082";

/// Say which connected clients would gain or lose what, before anybody applies it.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// A file or folder with resources, as kubectl apply would take it.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// FILE is all there is: nothing is added of what the cluster has. Needs --gateway.
    #[arg(long, requires = "gateways")]
    alone: bool,
    /// The Fleet that is meant, where there are several.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    fleet: Option<String>,
    #[command(flatten)]
    target: Target,
    /// How to print it.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// What `preview -o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    fleet: String,
    /// What the operator would have against objects of FILE.
    problems: Vec<String>,
    #[serde(flatten)]
    total: Preview,
}

pub async fn run(args: Args) -> Result<bool, Trouble> {
    let Args { file, alone, fleet, target, output } = args;
    let read = folder::load_path(&file).map_err(mistakes)?;
    let (world, of_file) = if alone {
        (read.world.clone(), read.world)
    } else {
        let cluster = target.at.connect().await?;
        let mut world = resources::read(&cluster).await?.world;
        folder::lay_over(&mut world, &read.world);
        (world, read.world)
    };
    let fleet = pick(&world, fleet.as_deref(), only_namespace(&of_file).as_deref())?;
    let compiled = compile(&world, &fleet);
    let mine = compiled.conditions.iter().filter(|(object, _)| of_file.all(object.kind).any(|o| o == **object));
    let mine: std::collections::BTreeMap<_, ObjectStatus> = mine.map(|(o, s)| (o.clone(), s.clone())).collect();
    let problems = report::advice(&mine);
    let Some(catalog) = compiled.catalog else {
        let mut lines = report::advice(&compiled.conditions);
        lines.push(format!("the Fleet {fleet} would not be accepted: gateways would keep their last good catalog"));
        return Err(Trouble(lines));
    };
    let body = serde_json::to_vec(&catalog).map_err(|e| Trouble::one(e.to_string()))?;
    let gateways = of_fleet(target.find().await?, &fleet)?;
    let previews = answered(ask_each::<Preview>(&gateways, "/v1/preview", Some(&body)).await)?;
    let report = Report { fleet: fleet.to_string(), problems, total: sum(previews.into_iter().map(|(_, p)| p)) };
    match output {
        Format::Table => print(&text(&report)),
        Format::Json => print_json(&report),
    }
    Ok(report.problems.is_empty() && report.total.lost.is_empty() && report.total.shut_out == 0)
}

/// Where a Fleet or tier of the file lives.
fn only_namespace(world: &World) -> Option<String> {
    let mut all: Vec<&String> = world.fleets.keys().chain(world.tiers.keys()).map(|key| &key.namespace).collect();
    all.dedup();
    match all.as_slice() {
        [only] => Some((*only).clone()),
        _ => None,
    }
}

/// Those that were named, or the fleet's own.
fn of_fleet(gateways: Vec<Gateway>, fleet: &Key) -> Result<Vec<Gateway>, Trouble> {
    let mine: Vec<Gateway> =
        gateways.into_iter().filter(|g| g.namespace.as_ref().is_none_or(|n| *n == fleet.namespace)).collect();
    if mine.is_empty() {
        return Err(Trouble::one(format!("the Fleet {fleet} has no gateway, so nobody is connected to it")));
    }
    Ok(mine)
}

fn sum(all: impl Iterator<Item = Preview>) -> Preview {
    all.fold(Preview::default(), |mut total, one| {
        total.connections += one.connections;
        total.changed += one.changed;
        total.shut_out += one.shut_out;
        for (into, from) in [(&mut total.gained, one.gained), (&mut total.lost, one.lost)] {
            for (name, count) in from {
                *into.entry(name).or_default() += count;
            }
        }
        total.clients.extend(one.clients);
        total.clients.truncate(100);
        total
    })
}

fn text(report: &Report) -> String {
    let total = &report.total;
    let mut text = format!(
        "{} of {} connected clients of the fleet {} would gain or lose something\n",
        total.changed, total.connections, report.fleet
    );
    if total.shut_out > 0 {
        text += &format!(
            "{} would be admitted by no tier any more, and be closed unless they show a token\n",
            total.shut_out
        );
    }
    let rows: Vec<[String; 3]> = total
        .gained
        .iter()
        .map(|(name, count)| ["gain".to_owned(), name.clone(), count.to_string()])
        .chain(total.lost.iter().map(|(name, count)| ["lose".to_owned(), name.clone(), count.to_string()]))
        .collect();
    if !rows.is_empty() {
        text += &format!("\n{}", table(["WOULD", "NAME", "CLIENTS"], &rows));
        let rows: Vec<[String; 4]> = total
            .clients
            .iter()
            .map(|c| {
                let who = c.subject.clone().unwrap_or_else(|| "-".to_owned());
                let changes = c.gains.iter().map(|n| format!("+{n}")).chain(c.loses.iter().map(|n| format!("-{n}")));
                let tiers = if c.tiers_now == c.tiers_then {
                    c.tiers_now.join(",")
                } else {
                    format!("{} -> {}", c.tiers_now.join(","), c.tiers_then.join(","))
                };
                [c.client_id.clone(), who, tiers, changes.collect::<Vec<_>>().join(" ")]
            })
            .collect();
        text += &format!("\n{}", table(["CLIENT", "SUBJECT", "TIERS", "CHANGES"], &rows));
        if total.changed > total.clients.len() {
            text += &format!("and {} more\n", total.changed - total.clients.len());
        }
    }
    for problem in &report.problems {
        text += &format!("\nwarning: {problem}\n");
    }
    text
}
