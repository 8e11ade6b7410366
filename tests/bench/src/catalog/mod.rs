//! The operator's part: ten thousand endpoints compiled, and what one edit costs until every gateway's difference is ready to be sent. Each
//! size is measured in a process of its own, so that memory is its own.

mod world;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bannou_crds::push::{Version, snapshot};
use bannou_operator::catalog::{Compiled, compile, unattached};
use bannou_operator::index::{Key, World};
use bannou_operator::publish::{Gateway, Publisher};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::options::Options;
use crate::report::{Spread, spread};

/// Endpoints in all; five in an exposure, and a tier for every twenty.
const SIZES: [usize; 4] = [1_250, 2_500, 5_000, 10_000];
const GATEWAYS: [usize; 3] = [1, 10, 100];

#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    pub endpoints: usize,
    pub exposures: usize,
    pub tiers: usize,
    /// Milliseconds of CPU of a full compilation: catalog and every object's conditions.
    pub full_ms: Spread,
    /// Milliseconds of CPU from an edited object to its difference for so many gateways, and every object's conditions.
    pub edit_ms: Vec<(usize, Spread)>,
    /// Bytes that one gateway is sent for an edit, and as a snapshot.
    pub edit_bytes: usize,
    pub snapshot_bytes: usize,
    /// Of the process, after minus before.
    pub memory_bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct Outcomes {
    pub sizes: Vec<Outcome>,
    /// How figures grow with the number of endpoints: 1 is proportional, 0 not at all.
    pub exponents: Exponents,
}

#[derive(Debug, Serialize)]
pub struct Exponents {
    pub full: f64,
    pub edit: f64,
    pub edit_bytes: f64,
    pub memory: f64,
}

/// # Errors
/// A part ends badly.
pub fn measure(options: &Options) -> Result<Outcomes> {
    let rounds = if options.quick { 5 } else { 21 };
    let mut sizes: Vec<Outcome> = Vec::new();
    for endpoints in SIZES {
        eprintln!("the operator, {endpoints} endpoints");
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["catalog", &endpoints.to_string(), &rounds.to_string()]);
        let output = command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("the operator with {endpoints} endpoints: {}", output.status).into());
        }
        sizes.push(serde_json::from_slice(&output.stdout)?);
    }
    let of = |figure: fn(&Outcome) -> f64| exponent(sizes.iter().map(|o| (o.endpoints as f64, figure(o))));
    let exponents = Exponents {
        full: of(|o| o.full_ms.median),
        edit: of(|o| o.edit_ms[0].1.median),
        edit_bytes: of(|o| o.edit_bytes as f64),
        memory: of(|o| o.memory_bytes as f64),
    };
    Ok(Outcomes { sizes, exponents })
}

/// Of the power law that fits best: the slope of a line through the logarithms.
fn exponent(points: impl Iterator<Item = (f64, f64)>) -> f64 {
    let points: Vec<(f64, f64)> = points.map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let covariance: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    covariance / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

/// One size, in this process; prints its outcome as JSON.
///
/// # Errors
/// Wrong arguments.
pub fn alone(arguments: &[String]) -> Result<()> {
    let [endpoints, rounds] = arguments else { return Err("catalog ENDPOINTS ROUNDS".into()) };
    let outcome = one_size(endpoints.parse()?, rounds.parse()?)?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

fn one_size(endpoints: usize, rounds: usize) -> Result<Outcome> {
    let (exposures, tiers) = (endpoints / 5, endpoints / 20);
    let before = private_dirty()?;
    let mut operator = Operator::new(world::large(exposures, tiers)?);
    let full_ms = operator.full(rounds)?;
    let memory_bytes = private_dirty()?.saturating_sub(before);
    let mut edit_ms = Vec::new();
    let mut edit_bytes = 0;
    for gateways in GATEWAYS {
        let mut times = Vec::new();
        for round in 0..rounds {
            let edited = world::exposure(round % exposures, &format!("/edited/{gateways}/{round}"))?;
            let began = cpu()?;
            let texts = operator.edit(edited, gateways)?;
            times.push(millis(cpu()? - began));
            edit_bytes = texts.first().map_or(0, |text| text.len());
        }
        edit_ms.push((gateways, spread(&times)));
    }
    let snapshot_bytes = operator.snapshot()?;
    Ok(Outcome { endpoints, exposures, tiers, full_ms, edit_ms, edit_bytes, snapshot_bytes, memory_bytes })
}

/// What the controller does with an edit, without the API server and the links.
struct Operator {
    world: Arc<World>,
    compiled_from: Arc<World>,
    publisher: Publisher,
    fleet: Key,
}

impl Operator {
    fn new(world: World) -> Operator {
        let world = Arc::new(world);
        let mut operator = Operator {
            compiled_from: world.clone(),
            world,
            publisher: Publisher::new(1),
            fleet: Key::new(world::FLEET, "default"),
        };
        operator.compile();
        operator
    }

    fn full(&self, rounds: usize) -> Result<Spread> {
        let one = |_| {
            let began = cpu()?;
            std::hint::black_box(compile(&self.world, &self.fleet));
            Ok(millis(cpu()? - began))
        };
        Ok(spread(&(0..rounds).map(one).collect::<Result<Vec<_>>>()?))
    }

    fn compile(&mut self) -> Compiled {
        self.compiled_from = self.world.clone();
        let compiled = compile(&self.world, &self.fleet);
        std::hint::black_box(unattached(&self.world));
        if !self.world.is_settled(&self.fleet.namespace, &compiled.owners) {
            Arc::make_mut(&mut self.world).settle(&self.fleet.namespace, &compiled.owners);
        }
        self.publisher.publish(&self.fleet, &compiled);
        compiled
    }

    /// What each gateway is sent.
    fn edit(&mut self, edited: bannou_operator::index::Object, gateways: usize) -> Result<Vec<Arc<str>>> {
        let before = self.publisher.current(&self.fleet).cloned().ok_or("nothing was published")?;
        if !Arc::make_mut(&mut self.world).apply(edited) {
            return Err("the edit changes nothing".into());
        }
        let compiled = self.compile();
        let here: Vec<Gateway> = (0..gateways).map(|i| answered(i, before.version)).collect();
        for (object, status) in &compiled.conditions {
            std::hint::black_box(self.publisher.programmed(&self.fleet, object, status.clone(), &here));
        }
        let current = self.publisher.current(&self.fleet).ok_or("nothing was published")?;
        Ok(here.iter().map(|_| current.difference_to(&before)).collect())
    }

    fn snapshot(&self) -> Result<usize> {
        let current = self.publisher.current(&self.fleet).ok_or("nothing was published")?;
        let words = snapshot(current.version, &current.catalog, current.hash.clone());
        words.iter().map(|word| Ok(serde_json::to_string(word)?.len())).sum()
    }
}

fn answered(number: usize, version: Version) -> Gateway {
    Gateway { name: format!("gateway-{number}"), acked: Some(version), ..Gateway::default() }
}

/// Of this thread, which does it all: what others take of the machine is not in it.
fn cpu() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn private_dirty() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).ok_or("no Private_Dirty")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}
