//! What a run is told: flags set by `run.sh`, and how much of everything a short or a full run does.

use std::path::PathBuf;
use std::time::Duration;

use crate::Result;

pub struct Options {
    /// The release build of the gateway under test.
    pub gateway: PathBuf,
    /// Where the JSON goes.
    pub out: PathBuf,
    /// Worker threads of every server compared, so that none has an advantage.
    pub workers: usize,
    pub rounds: usize,
    pub warm: Duration,
    pub measure: Duration,
    pub connections: usize,
    /// Also measure the relay on tokio-tungstenite.
    pub peers: bool,
    pub quick: bool,
    /// Of `relay`, `connect`, `edit`, `broker` and `catalog`; empty: all.
    only: Option<String>,
    /// A part of the names of the relay cases to run; empty: all.
    pub case: String,
}

impl Options {
    /// # Errors
    /// A flag that is not known, lacks its value or has an unusable one.
    pub fn parse(arguments: &[String]) -> Result<Options> {
        let quick = std::env::var("QUICK").is_ok_and(|v| !v.is_empty() && v != "0");
        let mut options = Options {
            gateway: PathBuf::from("target/release/bannou-gateway"),
            out: PathBuf::from("build/bench"),
            workers: 2,
            rounds: if quick { 3 } else { 7 },
            warm: Duration::from_millis(if quick { 150 } else { 300 }),
            measure: Duration::from_millis(if quick { 500 } else { 2_000 }),
            connections: if quick { 2_000 } else { 10_000 },
            peers: !quick,
            quick,
            only: None,
            case: String::new(),
        };
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            let value = rest.next().ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--gateway" => options.gateway = value.into(),
                "--out" => options.out = value.into(),
                "--workers" => options.workers = value.parse()?,
                "--rounds" => options.rounds = value.parse()?,
                "--millis" => options.measure = Duration::from_millis(value.parse()?),
                "--connections" => options.connections = value.parse()?,
                "--peers" => options.peers = value == "yes",
                "--only" => options.only = Some(value.clone()),
                "--case" => options.case = value.clone(),
                _ => return Err(format!("unknown flag {flag}: see tests/bench/src/options.rs").into()),
            }
        }
        Ok(options)
    }

    pub fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}
