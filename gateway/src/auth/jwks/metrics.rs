//! What Prometheus reads of the JWKS. Asked for at each scrape: URLs come and go with catalogs.

use std::fmt;
use std::time::UNIX_EPOCH;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::{JwksCache, JwksStatus};

/// For `Registry::register_collector(Box::new(cache))`, where `cache` is the `Arc`.
impl Collector for JwksCache {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let all = self.status();
        let help = "Usable keys of a JWKS, once for each algorithm";
        family(&mut encoder, "jwks_keys", help, None, &all, |s| Some(ConstGauge::new(s.keys as f64)))?;
        let help = "Times a JWKS was fetched";
        family(&mut encoder, "jwks_fetches", help, None, &all, |s| Some(ConstCounter::new(s.fetches)))?;
        let help = "Times that failed: the last good keys stay in use";
        family(&mut encoder, "jwks_fetch_failures", help, None, &all, |s| Some(ConstCounter::new(s.failures)))?;
        let help = "When a JWKS was last fetched, in seconds since 1970";
        family(&mut encoder, "jwks_last_success_timestamp", help, Some(&Unit::Seconds), &all, |s| {
            let since = s.last_success?.duration_since(UNIX_EPOCH).ok()?;
            Some(ConstGauge::new(since.as_secs_f64()))
        })
    }
}

fn family<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    all: &[JwksStatus],
    metric: impl Fn(&JwksStatus) -> Option<M>,
) -> Result<(), fmt::Error> {
    let known: Vec<_> = all.iter().filter_map(|status| Some((status, metric(status)?))).collect();
    let Some((_, first)) = known.first() else { return Ok(()) };
    let mut family = encoder.encode_descriptor(name, help, unit, first.metric_type())?;
    for (status, metric) in &known {
        metric.encode(family.encode_family(&[("url", status.url.as_str())])?)?;
    }
    Ok(())
}
