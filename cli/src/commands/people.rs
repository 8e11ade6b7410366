//! `bannou conns`, `why` and `kick`: who is connected.

use bannou_gateway::inspect::report::{Connection, Connections, Kick, Kicked, Why, WhyConnection};
use bannou_gateway::inspect::standing::TierStanding;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::output::{Format, age, print, print_json};
use crate::cluster::Target;
use crate::cluster::gateways::{answered, ask_each};
use crate::explain::words;
use crate::folder::did_you_mean;
use crate::table::{pairs, table};
use crate::trouble::Trouble;

const AFTER_CONNS: &str = "\
Exit codes:
  0  printed, also where nobody is connected
  2  no gateway can be asked";

const AFTER_WHY: &str = "\
Exit codes:
  0  the client may use the name, on every one of its connections (without a name: it is connected)
  1  it may not, or is not connected; what is missing, and what would fix it, is printed
  2  no gateway can be asked, or the catalog has no such name";

const AFTER_KICK: &str = "\
The connections are closed with 4403, and their sessions end. A token stays good: whoever has one may come back.

Exit codes:
  0  at least one client was put out
  1  nobody was found
  2  no gateway can be asked";

/// Whom is meant.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Whom {
    /// A client_id, also a past one, or a session's id.
    #[arg(long, value_name = "ID", conflicts_with = "subject")]
    client: Option<String>,
    /// A token's subject.
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// With a subject: the issuer's name in the Fleet, or its `iss`. Left out: any.
    #[arg(long, value_name = "ISSUER", requires = "subject")]
    issuer: Option<String>,
}

impl Whom {
    fn required(&self) -> Result<(), Trouble> {
        match (&self.client, &self.subject) {
            (None, None) => Err(Trouble::one("name whom you mean: --client ID or --subject SUBJECT")),
            _ => Ok(()),
        }
    }

    fn query(&self, more: &[(&str, Option<&str>)]) -> String {
        let mine = [
            ("client", self.client.as_deref()),
            ("subject", self.subject.as_deref()),
            ("issuer", self.issuer.as_deref()),
        ];
        let all = mine.iter().chain(more).filter_map(|(name, value)| Some((name, (*value)?)));
        let encoded: Vec<String> =
            all.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))).collect();
        if encoded.is_empty() { String::new() } else { format!("?{}", encoded.join("&")) }
    }

    fn shown(&self) -> String {
        match (&self.client, &self.subject) {
            (Some(client), _) => format!("the client {client}"),
            (None, subject) => format!("the subject {:?}", subject.as_deref().unwrap_or_default()),
        }
    }
}

/// List the clients that are connected.
#[derive(clap::Args)]
#[command(after_help = AFTER_CONNS)]
pub struct ConnsArgs {
    #[command(flatten)]
    whom: Whom,
    /// Only holders of this tier.
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// At most so many of each gateway, up to 1000.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    target: Target,
    /// How to print it.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// What one gateway said.
#[derive(Serialize)]
struct Of<T> {
    gateway: String,
    #[serde(flatten)]
    answer: T,
}

fn of<T>(all: Vec<(String, T)>) -> Vec<Of<T>> {
    all.into_iter().map(|(gateway, answer)| Of { gateway, answer }).collect()
}

pub async fn conns(args: ConnsArgs) -> Result<bool, Trouble> {
    let ConnsArgs { whom, tier, limit, target, output } = args;
    let gateways = target.find().await?;
    let limit = limit.to_string();
    let path = format!("/v1/connections{}", whom.query(&[("tier", tier.as_deref()), ("limit", Some(&limit))]));
    let pages = of(answered(ask_each::<Connections>(&gateways, &path, None).await)?);
    match output {
        Format::Json => print_json(&pages),
        Format::Table => {
            let rows: Vec<[String; 9]> =
                pages.iter().flat_map(|p| p.answer.connections.iter().map(|c| row(&p.gateway, c))).collect();
            let shown = rows.len();
            print(&table(
                ["GATEWAY", "SESSION", "SUBJECT", "TIERS", "ADDRESS", "AGE", "REV", "IN FLIGHT", "QUEUED"],
                &rows,
            ));
            let total: usize = pages.iter().map(|p| p.answer.total).sum();
            if total > shown {
                eprintln!(
                    "note: {shown} of {total} are shown; see more with --limit, or fewer with --subject and --tier"
                );
            }
        }
    }
    Ok(true)
}

fn row(gateway: &str, c: &Connection) -> [String; 9] {
    [
        gateway.to_owned(),
        c.session_id.to_string(),
        c.subject.clone().unwrap_or_else(|| "-".to_owned()),
        c.tiers.join(","),
        c.address.to_string(),
        age(c.connected_s),
        c.revision.to_string(),
        c.in_flight.to_string(),
        format!("{} B", c.queued_bytes),
    ]
}

/// Say why one player may or may not use a name, on its live connection.
#[derive(clap::Args)]
#[command(after_help = AFTER_WHY)]
pub struct WhyArgs {
    /// What it is about, such as game.connect. Left out: what is held, and why.
    #[arg(value_name = "SERVICE.ENDPOINT")]
    name: Option<String>,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    target: Target,
    /// How to print it.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub async fn why(args: WhyArgs) -> Result<bool, Trouble> {
    let WhyArgs { name, whom, target, output } = args;
    whom.required()?;
    let gateways = target.find().await?;
    let path = format!("/v1/why{}", whom.query(&[("name", name.as_deref())]));
    let answers = of(answered(ask_each::<Why>(&gateways, &path, None).await)?);
    if let Some(name) = &name
        && answers.iter().all(|a| a.answer.known == Some(false))
    {
        return Err(unknown(&target, name).await);
    }
    let found: Vec<(&str, &WhyConnection)> =
        answers.iter().flat_map(|a| a.answer.connections.iter().map(|c| (a.gateway.as_str(), c))).collect();
    match output {
        Format::Json => print_json(&answers),
        Format::Table if found.is_empty() => {
            print(&format!("{} is not connected to any of {} gateways\n", whom.shown(), answers.len()));
        }
        Format::Table => {
            let texts: Vec<String> = found.iter().map(|(gateway, c)| explained(gateway, c, name.as_deref())).collect();
            print(&texts.join("\n"));
        }
    }
    let more: usize = answers.iter().map(|a| a.answer.more).sum();
    if more > 0 {
        eprintln!("note: {more} more connections are not shown; name one with --client");
    }
    let may = |c: &WhyConnection| name.is_none() || c.name.as_ref().is_some_and(|n| n.allowed);
    Ok(!found.is_empty() && found.iter().all(|(_, c)| may(c)))
}

async fn unknown(target: &Target, name: &str) -> Trouble {
    let plain = format!("the catalog in force has no {name:?}");
    let Ok(gateways) = target.find().await else { return Trouble::one(plain) };
    let Ok(catalog) = gateways[0].ask::<bannou_crds::Catalog>("/v1/catalog", None).await else {
        return Trouble::one(plain);
    };
    let names = catalog.services.iter().flat_map(|s| {
        let members = s.endpoints.iter().map(|e| &e.name).chain(s.events.iter().map(|e| &e.name));
        members.map(|member| format!("{}.{member}", s.name)).collect::<Vec<_>>()
    });
    let names: Vec<String> = names.collect();
    let near = did_you_mean(name, &names.iter().map(String::as_str).collect::<Vec<_>>());
    Trouble::one(format!("{plain}{near} (all of it: bannou catalog)"))
}

fn explained(gateway: &str, why: &WhyConnection, name: Option<&str>) -> String {
    let c = &why.connection;
    let mut text = match (name, &why.name) {
        (Some(name), Some(standing)) => format!("{}  {name}\n\n", if standing.allowed { "ALLOWED" } else { "DENIED" }),
        (Some(name), None) => format!("DENIED  {name}\n\n"),
        (None, _) => String::new(),
    };
    let mut rows: Vec<(&str, String)> = vec![
        ("client", c.client_id.clone()),
        ("gateway", gateway.to_owned()),
        ("from", format!("{}, connected for {}", c.address, age(c.connected_s))),
    ];
    rows.push(("token", token(why)));
    let held = |tier: &str| why.tiers.iter().any(|t| t.held && t.name == tier);
    let needed = why.name.as_ref().map(|n| n.tiers.as_slice()).unwrap_or_default();
    let shown: Vec<&TierStanding> = why.tiers.iter().filter(|t| t.held || needed.contains(&t.name)).collect();
    let width = shown.iter().map(|t| t.name.len()).max().unwrap_or_default();
    for (i, tier) in shown.iter().enumerate() {
        let mark = if tier.held { "held" } else { "not held" };
        rows.push((
            if i == 0 { "tiers" } else { "" },
            format!("{:width$}  {mark}: {}", tier.name, words::how(tier, held)),
        ));
    }
    rows.push(("limits", limits(why)));
    if let Some(standing) = &why.name {
        rows.push(("exposed", format!("to {}", standing.tiers.join(", "))));
        if !standing.allowed {
            let all = why.tiers.iter().filter(|t| standing.tiers.contains(&t.name) && !t.held);
            for (i, tier) in all.enumerate() {
                rows.push((if i == 0 { "to fix it" } else { "" }, fix(tier)));
            }
        }
    }
    if let Some(code) = c.closing {
        rows.push(("closing", format!("with {code}")));
    }
    if !why.told {
        rows.push(("told", "not yet all that it may use".to_owned()));
    }
    text.push_str(&pairs(&rows));
    text
}

fn token(why: &WhyConnection) -> String {
    let (Some(token), Some(subject)) = (&why.token, &why.connection.subject) else {
        return "none: it is anonymous".to_owned();
    };
    let left = match u64::try_from(token.expires_in_s) {
        Ok(left) => format!("expires in {}", age(left)),
        Err(_) => format!("expired {} ago", age(token.expires_in_s.unsigned_abs())),
    };
    format!("{subject:?} of {}, {left}", token.issuer)
}

fn limits(why: &WhyConnection) -> String {
    let l = &why.limits;
    let optional = |value: Option<String>| value.unwrap_or_else(|| "any number of".to_owned());
    format!(
        "{}/s (burst {}), {} in flight ({} now), {} bytes a message, {} connections a subject",
        l.requests_per_second,
        l.burst,
        l.max_in_flight,
        why.connection.in_flight,
        l.max_message_bytes,
        optional(l.max_connections_per_subject.map(|n| n.to_string())),
    )
}

fn fix(tier: &TierStanding) -> String {
    let missing: Vec<String> =
        words::telling(&tier.demands).filter(|d| !d.met).map(|d| words::demand(d) + &words::instead(d)).collect();
    let granted = if tier.grantable_by.is_empty() {
        String::new()
    } else {
        format!(", or a grant of {}", tier.grantable_by.join(" or "))
    };
    format!("{} needs {}{granted}", tier.name, missing.join(" and "))
}

/// Put a client, or everybody of a subject, out.
#[derive(clap::Args)]
#[command(after_help = AFTER_KICK)]
pub struct KickArgs {
    #[command(flatten)]
    whom: Whom,
    /// What the client is told; at most 120 bytes.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    target: Target,
    /// How to print it.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub async fn kick(args: KickArgs) -> Result<bool, Trouble> {
    let KickArgs { whom, reason, target, output } = args;
    whom.required()?;
    let gateways = target.find().await?;
    let Whom { client, subject, issuer } = whom.clone();
    let wish =
        serde_json::to_vec(&Kick { client, subject, issuer, reason }).map_err(|e| Trouble::one(e.to_string()))?;
    let answers = of(answered(ask_each::<Kicked>(&gateways, "/v1/kick", Some(&wish)).await)?);
    let all: usize = answers.iter().map(|a| a.answer.kicked).sum();
    match output {
        Format::Json => print_json(&answers),
        Format::Table => match all {
            0 => print(&format!("{} is not connected\n", whom.shown())),
            _ => {
                for answer in &answers {
                    for client in &answer.answer.clients {
                        print(&format!("kicked {client}\n"));
                    }
                }
            }
        },
    }
    Ok(all > 0)
}
