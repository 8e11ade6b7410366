//! The table for people and the JSON for machines.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::options::Options;
use crate::{Result, broker, catalog, connects, edits, relay};

const CONNECT_AIM_MICROS: f64 = 95.0;
const IDLE_AIM_BYTES: f64 = 2048.0;

/// Of several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

pub fn spread(values: &[f64]) -> Spread {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (half, last) = (sorted.len() / 2, sorted.len() - 1);
    let median = if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 };
    Spread { median, least: sorted[0], most: sorted[last] }
}

/// # Errors
/// The folder for results cannot be written.
pub fn write(
    options: &Options,
    relays: &[relay::Outcome],
    connects: &[connects::Outcome],
    edits: Option<&edits::Outcome>,
    broker: Option<&broker::Outcome>,
    catalog: Option<&catalog::Outcomes>,
) -> Result<()> {
    let congestion = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
    println!("\n{}, {} worker threads each, congestion control {}", machine(), options.workers, congestion.trim());
    if congestion.trim() == "bbr" {
        println!("NOTE: bbr paces loopback and spoils these figures; run tests/bench/run.sh where `unshare -n` works");
    }
    if options.quick {
        println!("NOTE: a quick run; for figures to keep, run without QUICK");
    }
    if !relays.is_empty() {
        println!(
            "\npeer relay: server CPU per message, median of {} rounds [least–most], ratio to the copy of the same round",
            options.rounds
        );
        relays.iter().for_each(print_relay);
    }
    if !connects.is_empty() {
        println!(
            "\nconnect until {} services were received, and what an idle connection holds",
            crate::fixture::SERVICES
        );
        connects.iter().for_each(print_connect);
    }
    edits.into_iter().for_each(print_edits);
    broker.into_iter().for_each(print_broker);
    catalog.into_iter().for_each(print_catalog);
    if !options.peers {
        println!("\nLEFT OUT: the comparison with tokio-tungstenite (a quick run, or --peers no)");
    }
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let json = serde_json::json!({
        "unix_seconds": seconds, "machine": machine(), "workers": options.workers, "congestion_control": congestion.trim(),
        "quick": options.quick, "rounds": options.rounds, "relay": relays, "connect": connects, "edit": edits, "broker": broker, "catalog": catalog,
        "aims": {"connect_micros": CONNECT_AIM_MICROS, "idle_bytes": IDLE_AIM_BYTES},
    });
    std::fs::create_dir_all(&options.out)?;
    for name in [format!("{seconds}.json"), "latest.json".into()] {
        std::fs::write(options.out.join(name), serde_json::to_vec_pretty(&json)?)?;
    }
    println!("\n{}", options.out.join("latest.json").display());
    Ok(())
}

fn print_catalog(outcomes: &catalog::Outcomes) {
    println!(
        "\nthe operator: compiling, and from one edit to what every gateway is sent (ms of CPU, median [least–most])"
    );
    for of in &outcomes.sizes {
        print!(
            "  {:>6} endpoints, {} exposures, {} tiers: full {}",
            of.endpoints,
            of.exposures,
            of.tiers,
            told(of.full_ms)
        );
        for (gateways, edit) in &of.edit_ms {
            print!("; edit for {gateways} {}", told(*edit));
        }
        println!(
            "; push {} bytes a gateway (snapshot {} KiB); memory {:.1} MiB",
            of.edit_bytes,
            of.snapshot_bytes / 1024,
            of.memory_bytes as f64 / 1_048_576.0
        );
    }
    let catalog::Exponents { full, edit, edit_bytes, memory } = outcomes.exponents;
    println!(
        "  growth with endpoints, as a power: full {full:.2}, edit {edit:.2}, push {edit_bytes:.2}, memory {memory:.2}"
    );
}

fn told(spread: Spread) -> String {
    format!("{:.1} [{:.1}–{:.1}]", spread.median, spread.least, spread.most)
}

fn print_relay(outcome: &relay::Outcome) {
    println!("  {} (others took {:.0} % of a core meanwhile)", outcome.case, outcome.disturbance * 100.0);
    for figures in &outcome.servers {
        let (micros, ratio) = (figures.micros, figures.ratio);
        let verdict =
            if figures.server == "bannou-gateway" { verdict(ratio.median, outcome.aim, "×") } else { String::new() };
        println!(
            "    {:<18} {:>8.3} µs [{:.3}–{:.3}]  {:>5.2}× [{:.2}–{:.2}]  {:>9.0} msg/s  {verdict}",
            figures.server,
            micros.median,
            micros.least,
            micros.most,
            ratio.median,
            ratio.least,
            ratio.most,
            figures.messages_per_second,
        );
    }
}

fn print_connect(outcome: &connects::Outcome) {
    let aimed = outcome.login == "Hs256";
    println!(
        "  {:<10} {:>6.1} µs CPU {}  {:>6.0}/s  discovery {} B",
        outcome.login,
        outcome.micros,
        if aimed { verdict(outcome.micros, CONNECT_AIM_MICROS, " µs") } else { String::new() },
        outcome.connects_per_second,
        outcome.discovery,
    );
    println!(
        "             {:>6.0} B private dirty each {} ({:.0} B anonymous), {} connections",
        outcome.private_dirty,
        if aimed { verdict(outcome.private_dirty, IDLE_AIM_BYTES, " B") } else { String::new() },
        outcome.anonymous,
        outcome.connections,
    );
}

fn print_edits(outcome: &edits::Outcome) {
    let edits::Outcome { connections, endpoints, cpu_ms, unseen_ms, told_ms, calm_ms, pause_ms } = outcome;
    println!("\none edit of a catalog of {endpoints} endpoints, {connections} connections: median [least–most]");
    for (what, ms) in [
        ("CPU until every client was told", cpu_ms),
        ("CPU for an edit that none sees", unseen_ms),
        ("every client told after", told_ms),
        ("longest way of a relayed frame", pause_ms),
    ] {
        println!("    {what:<32} {:>8.1} ms [{:.1}–{:.1}]", ms.median, ms.least, ms.most);
    }
    println!("    {:<32} {calm_ms:>8.1} ms", "the same while nothing is edited");
}

fn print_broker(outcome: &broker::Outcome) {
    println!("\nthrough RabbitMQ: CPU of whoever receives, per message; latency at a walking pace");
    for way in &outcome.ways {
        println!(
            "    {:<28} {:>7.1} µs  {:>7.0} msg/s  p50 {:>6.0} µs  p99 {:>7.0} µs",
            way.name, way.micros, way.messages_per_second, way.p50, way.p99
        );
    }
    let broker::Footprint { connections, queues, bindings, memory } = outcome.footprint;
    println!(
        "    {connections} connects added to the broker: {queues} queues, {bindings} bindings {}, {} KiB of memory",
        verdict_zero(queues + bindings),
        memory / 1024
    );
}

fn verdict_zero(got: i64) -> &'static str {
    if got == 0 { "(aim 0: reached)" } else { "(aim 0: MISSED)" }
}

fn verdict(got: f64, aim: f64, unit: &str) -> String {
    let word = match got / aim {
        r if r <= 1.0 => "reached",
        r if r <= 1.25 => "missed by less than a quarter",
        _ => "MISSED by more than a quarter",
    };
    format!("(aim {aim}{unit}: {word})")
}

fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .map_or("unknown CPU", |l| l.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
    }

    #[test]
    fn an_aim_missed_by_more_than_a_quarter_is_said_aloud() {
        assert!(verdict(1.1, 1.1, "×").contains("reached"));
        assert!(verdict(1.3, 1.1, "×").contains("less than a quarter"));
        assert!(verdict(1.4, 1.1, "×").contains("MISSED"));
    }
}
