//! What became of a write.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::timeout;

use crate::metrics::Meters;

/// For one write. The API server gives up earlier itself.
const PATIENCE: Duration = Duration::from_secs(40);

/// Writes; says whether there is nothing left to do about it. `what` is the metric's word, `object` the log's.
pub async fn write<T>(
    meters: &Meters,
    what: &'static str,
    object: impl Display,
    writing: impl Future<Output = kube::Result<T>>,
) -> bool {
    let (result, done) = match timeout(PATIENCE, writing).await {
        Ok(Ok(_)) => ("written", true),
        // It went, or another came by the name: the next output knows.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => ("outdated", true),
        Ok(Err(error)) => {
            tracing::warn!(%object, %error, "is not written");
            ("failed", false)
        }
        Err(_) => {
            meters.no_answer();
            tracing::warn!(%object, "is not written: the API server does not answer");
            ("failed", false)
        }
    };
    meters.wrote(what, result);
    done
}
