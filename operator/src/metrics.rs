//! What Prometheus reads: counters where things happen, and a look at the state whenever somebody asks.

use std::collections::BTreeMap;
use std::fmt;

use http::{Response, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::watch;
use tower::BoxError;
use tower::util::MapResultLayer;

use crate::controller::{Gateways, Output};
use crate::index::Key;
use crate::lease::Role;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OfFleet {
    pub fleet: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OfKind {
    pub kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Write {
    /// "status", "exposure", "event", "secret", "configmap".
    pub what: &'static str,
    /// "written", "outdated" (another version was there; judged again), "failed".
    pub result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Because {
    pub reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ApiError {
    /// The status of the answer, or "none" where there was no answer.
    pub status: String,
}

/// Clones count into the same.
#[derive(Clone, Debug)]
pub struct Meters {
    pub compiles: Counter,
    pub compile_seconds: Histogram,
    pub writes: Family<Write, Counter>,
    pub rejected: Family<OfFleet, Counter>,
    pub turned_away: Family<Because, Counter>,
    pub api_errors: Family<ApiError, Counter>,
    pub pushed_bytes: Counter,
    pub fleets_without_keys: Family<OfFleet, Gauge>,
}

impl Default for Meters {
    fn default() -> Meters {
        Meters {
            compiles: Counter::default(),
            compile_seconds: Histogram::new(exponential_buckets(0.000_25, 2.5, 12)),
            writes: Family::default(),
            rejected: Family::default(),
            turned_away: Family::default(),
            api_errors: Family::default(),
            pushed_bytes: Counter::default(),
            fleets_without_keys: Family::default(),
        }
    }
}

/// A result of the API server's, passed on.
type Answer<B> = Result<Response<B>, BoxError>;

impl Meters {
    /// Everything, by its name and what it says.
    pub fn registry(&self, view: View) -> Registry {
        let mut registry = Registry::with_prefix("bannou_operator");
        registry.register("compiles", "Times that the world was compiled", self.compiles.clone());
        registry.register_with_unit(
            "compile",
            "How long a compilation of all fleets took",
            Unit::Seconds,
            self.compile_seconds.clone(),
        );
        registry.register("writes", "Writes to the API server", self.writes.clone());
        registry.register("catalogs_rejected", "Catalogs that a gateway refused", self.rejected.clone());
        registry.register("gateways_turned_away", "Who dialled and showed no good token", self.turned_away.clone());
        registry.register("api_errors", "Requests to the API server that failed", self.api_errors.clone());
        registry.register_with_unit("pushed", "What was sent to gateways", Unit::Bytes, self.pushed_bytes.clone());
        let help = "Fleets whose keys could not be written; the log and the Fleet's conditions say why";
        registry.register("fleet_without_keys", help, self.fleets_without_keys.clone());
        registry.register_collector(Box::new(view));
        registry
    }

    pub fn wrote(&self, what: &'static str, result: &'static str) {
        self.writes.get_or_create(&Write { what, result }).inc();
    }

    /// Somebody waited for the API server no longer.
    pub fn no_answer(&self) {
        self.api_errors.get_or_create(&ApiError { status: "none".to_owned() }).inc();
    }

    /// A layer of kube's client. What is gone, there already, or too old to be watched on is an answer like any other.
    pub fn layer<B>(&self) -> MapResultLayer<impl Fn(Answer<B>) -> Answer<B> + Clone + use<B>> {
        let errors = self.api_errors.clone();
        MapResultLayer::new(move |answer: Answer<B>| {
            let status = match &answer {
                Err(_) => Some("none".to_owned()),
                Ok(response) if is_failure(response.status()) => Some(response.status().as_u16().to_string()),
                Ok(_) => None,
            };
            if let Some(status) = status {
                errors.get_or_create(&ApiError { status }).inc();
            }
            answer
        })
    }
}

fn is_failure(status: StatusCode) -> bool {
    let usual = matches!(status, StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE);
    (status.is_client_error() || status.is_server_error()) && !usual
}

/// What is the case at the moment.
#[derive(Clone, Debug)]
pub struct View {
    pub role: watch::Receiver<Role>,
    pub output: watch::Receiver<Output>,
    pub gateways: watch::Receiver<Gateways>,
}

impl Collector for View {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (holder, term) = match &*self.role.borrow() {
            Role::Holder(holding) => (u64::from(holding.is_valid()), holding.term),
            _ => (0, 0),
        };
        gauge(&mut encoder, "holder", "Whether this replica holds the lease")?.encode_gauge(&holder)?;
        gauge(&mut encoder, "term", "The term of the lease that this replica holds, else 0")?.encode_gauge(&term)?;
        let output = self.output.borrow().clone();
        let gateways = self.gateways.borrow().clone();
        let catalogs = || output.catalogs.iter();
        let help = "The term in the version of the catalog that is published";
        by_fleet(&mut encoder, "catalog_term", help, catalogs().map(|(fleet, p)| (fleet, p.version.term)))?;
        let help = "The number in the version of the catalog that is published";
        by_fleet(&mut encoder, "catalog_number", help, catalogs().map(|(fleet, p)| (fleet, p.version.number)))?;
        let help = "Services in the catalog that is published";
        by_fleet(
            &mut encoder,
            "catalog_services",
            help,
            catalogs().map(|(f, p)| (f, p.catalog.services.len() as u64)),
        )?;
        let connected = gateways.iter().map(|(fleet, here)| (fleet, here.len() as u64));
        by_fleet(&mut encoder, "gateways", "Gateways that are connected", connected)?;
        let obeying: BTreeMap<&Key, u64> = gateways
            .iter()
            .map(|(fleet, here)| {
                let version = output.catalogs.get(fleet).map(|p| p.version);
                (fleet, here.iter().filter(|g| version.is_some() && g.acked >= version).count() as u64)
            })
            .collect();
        let help = "Connected gateways that obey the catalog that is published";
        by_fleet(&mut encoder, "gateways_acked", help, obeying.into_iter())?;
        let mut stale = gauge(&mut encoder, "stale", "Kinds that cannot be read: what was read before counts on")?;
        for kind in output.stale.keys() {
            stale.encode_family(&OfKind { kind: kind.as_str() })?.encode_gauge(&1u64)?;
        }
        Ok(())
    }
}

fn gauge<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
) -> Result<prometheus_client::encoding::MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)
}

fn by_fleet<'k>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (&'k Key, u64)>,
) -> fmt::Result {
    let mut metric = gauge(encoder, name, help)?;
    for (fleet, value) in values {
        metric.encode_family(&OfFleet { fleet: fleet.to_string() })?.encode_gauge(&value)?;
    }
    Ok(())
}
