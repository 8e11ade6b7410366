//! A decision as a person reads it.

use bannou_gateway::inspect::standing::{NameKind, TierStanding};

use super::can_i::Decision;
use super::words;
use crate::table::pairs;

pub fn decision(decision: &Decision) -> String {
    let word = if decision.allowed { "ALLOWED" } else { "DENIED" };
    let mut text = format!("{word}  {}\n\n", decision.name);
    let mut rows: Vec<(&str, String)> = vec![("fleet", decision.fleet.clone()), ("client", client(decision))];
    let held = |name: &str| decision.tiers.iter().any(|t| t.held && t.name == name);
    let width = decision.tiers.iter().map(|t| t.name.len()).max().unwrap_or_default();
    for (i, tier) in decision.tiers.iter().enumerate() {
        rows.push((if i == 0 { "tiers" } else { "" }, tier_line(tier, width, held)));
    }
    if let Some(exposure) = &decision.exposure {
        let is = match decision.is {
            Some(NameKind::Event) => "event",
            _ => "endpoint",
        };
        let written = match exposure.source {
            bannou_crds::kinds::Source::Resource => "",
            bannou_crds::kinds::Source::Annotation => " (by annotation)",
        };
        let to = if decision.exposed_to.is_empty() { "nobody".to_owned() } else { decision.exposed_to.join(", ") };
        rows.push((
            is,
            format!("exposed to {to} by ServiceExposure {}/{}{written}", exposure.namespace, exposure.name),
        ));
        for (i, consent) in exposure.consent.iter().enumerate() {
            rows.push((if i == 0 { "consent" } else { "" }, format!("{} admits {}", consent.tier, consent.to)));
        }
    }
    rows.extend(labelled("why not", &decision.reasons));
    rows.extend(labelled("to fix it", &decision.fixes));
    text.push_str(&pairs(&rows));
    text
}

fn labelled<'a>(label: &'a str, lines: &[String]) -> impl Iterator<Item = (&'a str, String)> {
    lines.iter().enumerate().map(move |(i, line)| (if i == 0 { label } else { "" }, line.clone()))
}

fn client(decision: &Decision) -> String {
    let client = &decision.client;
    match (&client.refused, &client.subject, &client.issuer) {
        (Some(refused), ..) => format!("refused: {}", refused.detail),
        (None, Some(subject), Some(issuer)) => format!("{subject:?} of the issuer {issuer}"),
        _ => "anonymous: without a token".to_owned(),
    }
}

fn tier_line(tier: &TierStanding, width: usize, held: impl Fn(&str) -> bool) -> String {
    let mark = if tier.held { "held" } else { "not held" };
    format!("{:width$}  {mark}: {}", tier.name, words::how(tier, held))
}
