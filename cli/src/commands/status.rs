//! `bannou status`: operator, fleets and gateways at a glance.

use bannou_gateway::inspect::report::Status;
use bannou_operator::index::{Key, ObjectKind, ObjectRef};
use serde::Serialize;

use super::output::{Format, age, print, print_json};
use crate::cluster::findings::{self, Finding, Level};
use crate::cluster::gateways::{self, Answer, Gateway};
use crate::cluster::operator::{self, Holder, Operator};
use crate::cluster::resources::{self, Resources, Written};
use crate::cluster::{Cluster, Target};
use crate::table::table;
use crate::trouble::Trouble;

const AFTER: &str = "\
Exit codes:
  0  all is well
  1  something needs attention: it is printed, with what to do
  2  the cluster, or every gateway, cannot be asked";

/// Show operator, fleets and gateways: versions, since when they obey what, connections, and what needs attention.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// How to print it.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    operators: Vec<OperatorRow>,
    fleets: Vec<FleetRow>,
    gateways: Vec<GatewayRow>,
    attention: Vec<Finding>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OperatorRow {
    #[serde(flatten)]
    operator: Operator,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<Holder>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FleetRow {
    namespace: String,
    name: String,
    conditions: Vec<Written>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GatewayRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<bool>,
    #[serde(flatten)]
    answer: Answer<Status>,
}

pub async fn run(args: Args) -> Result<bool, Trouble> {
    let Args { target, output } = args;
    let report = if target.gateways.is_empty() {
        let cluster = target.at.connect().await?;
        of_cluster(&cluster).await?
    } else {
        let gateways = target.find().await?;
        let rows = ask(&gateways).await;
        let attention = rows.iter().filter_map(silent).collect();
        let report = Report { operators: Vec::new(), fleets: Vec::new(), gateways: rows, attention };
        if report.gateways.iter().all(|row| row.answer.answer.is_none()) {
            return Err(Trouble(report.attention.into_iter().map(|f| f.what).collect()));
        }
        report
    };
    match output {
        Format::Table => print(&text(&report)),
        Format::Json => print_json(&report),
    }
    Ok(report.attention.is_empty())
}

async fn of_cluster(cluster: &Cluster) -> Result<Report, Trouble> {
    let resources = resources::read(cluster).await?;
    let (mut operators, mut unread) = (Vec::new(), Vec::new());
    for operator in &resources.operators {
        let holder = operator::holder(cluster, operator).await;
        let holder = holder.unwrap_or_else(|trouble| {
            unread.push(findings::unread("operator", &trouble));
            None
        });
        operators.push((operator.clone(), holder));
    }
    let found = gateways::of_cluster(cluster).await?;
    let rows = ask(&found).await;
    let facts: Vec<findings::GatewayFact> = found.iter().zip(&rows).filter_map(fact).collect();
    // Without the Lease, "nobody holds it" would be a guess.
    let mut attention = if unread.is_empty() { findings::operators(&operators) } else { unread };
    attention.extend(findings::gateways(&facts, &hashes(&resources, cluster.namespace.as_deref())));
    attention.extend(findings::objects(&resources));
    attention.retain(|finding| finding.level != Level::Ok);
    let fleets = resources.world.all_fleets().into_iter().map(|key| {
        let object = ObjectRef { kind: ObjectKind::Fleet, key: key.clone() };
        let conditions = resources.written.get(&object).cloned().unwrap_or_default();
        FleetRow { namespace: key.namespace, name: key.name, conditions }
    });
    Ok(Report {
        operators: operators.into_iter().map(|(operator, holder)| OperatorRow { operator, holder }).collect(),
        fleets: fleets.collect(),
        gateways: rows,
        attention,
    })
}

async fn ask(found: &[Gateway]) -> Vec<GatewayRow> {
    let answers = gateways::ask_each::<Status>(found, "/v1/status", None).await;
    found.iter().zip(answers).map(|(gateway, answer)| GatewayRow { ready: gateway.ready, answer }).collect()
}

fn silent(row: &GatewayRow) -> Option<Finding> {
    let error = row.answer.error.as_ref()?;
    Some(Finding::error("gateways", format!("{}: {error}", row.answer.gateway), "is that its inspect port?"))
}

fn fact((gateway, row): (&Gateway, &GatewayRow)) -> Option<findings::GatewayFact> {
    let hash = match (&row.answer.answer, &row.answer.error) {
        (Some(status), _) => Ok(status.catalog.hash.clone()),
        (None, error) => Err(error.clone().unwrap_or_default()),
    };
    let namespace = gateway.namespace.clone()?;
    Some(findings::GatewayFact {
        name: gateway.name.clone(),
        namespace,
        ready: gateway.ready.unwrap_or_default(),
        without_sidecar: gateway.without_sidecar,
        hash,
    })
}

/// What the gateways of each fleet should obey. `None`: the Fleet is not accepted.
pub fn hashes(resources: &Resources, namespace: Option<&str>) -> Vec<(Key, Option<String>)> {
    let fleets = resources.world.all_fleets().into_iter().filter(|key| namespace.is_none_or(|n| n == key.namespace));
    let hash = |key: &Key| {
        let catalog = bannou_operator::catalog::compile(&resources.world, key).catalog?;
        Some(bannou_crds::push::Hash::of(&catalog).to_string())
    };
    fleets.map(|key| (key.clone(), hash(&key))).collect()
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    if !report.operators.is_empty() {
        let rows: Vec<[String; 4]> = report
            .operators
            .iter()
            .map(|OperatorRow { operator, holder }| {
                let name = holder.as_ref().and_then(|h| h.name.clone()).unwrap_or_else(|| "nobody".to_owned());
                let renewed = holder
                    .as_ref()
                    .and_then(|h| h.renewed_s)
                    .map_or_else(|| "-".to_owned(), |s| age(s.max(0).unsigned_abs()));
                [
                    format!("{}/{}", operator.namespace, operator.name),
                    format!("{}/{}", operator.ready, operator.replicas),
                    name,
                    renewed,
                ]
            })
            .collect();
        text += &table(["OPERATOR", "READY", "HOLDER", "RENEWED"], &rows);
        text.push('\n');
    }
    if !report.fleets.is_empty() {
        let rows: Vec<[String; 3]> = report
            .fleets
            .iter()
            .map(|fleet| {
                let word = |kind: &str| {
                    let condition = fleet.conditions.iter().find(|c| c.kind == kind);
                    condition.map_or_else(
                        || "-".to_owned(),
                        |c| if c.status == "True" { "yes".to_owned() } else { c.reason.clone() },
                    )
                };
                [format!("{}/{}", fleet.namespace, fleet.name), word("Accepted"), word("Programmed")]
            })
            .collect();
        text += &table(["FLEET", "ACCEPTED", "PROGRAMMED"], &rows);
        text.push('\n');
    }
    let rows: Vec<[String; 7]> = report.gateways.iter().map(gateway_row).collect();
    text += &table(["GATEWAY", "READY", "VERSION", "CATALOG", "SYNCED", "LINK", "CONNECTIONS"], &rows);
    if report.gateways.is_empty() {
        text += "none\n";
    }
    text + &listed(&report.attention)
}

fn gateway_row(row: &GatewayRow) -> [String; 7] {
    let ready = match row.ready {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    };
    let dash = || "-".to_owned();
    let Some(status) = &row.answer.answer else {
        return [
            row.answer.gateway.clone(),
            ready.to_owned(),
            "does not answer".to_owned(),
            dash(),
            dash(),
            dash(),
            dash(),
        ];
    };
    let hash: String = status.catalog.hash.chars().take(8).collect();
    let link = status.operator.as_ref();
    let catalog = link.and_then(|l| l.version.as_ref()).map_or_else(|| hash.clone(), |v| format!("{v} ({hash})"));
    let linked = match link {
        None => "file".to_owned(),
        Some(link) => link.linked.clone().unwrap_or_else(|| format!("none for {}", age(link.silent_s))),
    };
    let synced = link.and_then(|l| l.synced_s).map_or_else(dash, |s| format!("{} ago", age(s)));
    [
        row.answer.gateway.clone(),
        ready.to_owned(),
        status.software.clone(),
        catalog,
        synced,
        linked,
        status.connections.to_string(),
    ]
}

/// Findings as a person reads them, with what to do below each.
pub fn listed(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        text += &format!("\n{word}: {}: {}", finding.area, finding.what);
        if let Some(fix) = &finding.fix {
            text += &format!("\n  to fix it: {fix}");
        }
    }
    if text.is_empty() { text } else { text + "\n" }
}
