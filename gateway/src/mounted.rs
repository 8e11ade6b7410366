//! Files that somebody else swaps: those of ConfigMaps and Secrets are links to a link.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::{MissedTickBehavior, interval};

/// How often they are looked at. Polled, since watchers lose a link that is swapped.
pub const LOOK: Duration = Duration::from_millis(500);

pub type Stamp = (SystemTime, u64, PathBuf);

/// Differs when the file does; `None`: it is not there.
pub fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len(), std::fs::canonicalize(path).ok()?))
}

/// Calls `read` whenever `look` sees something else, first at once: what is in use may be older than that moment. What fails is tried again
/// at every look and logged once, after `failed`, a sentence that says what goes on meanwhile. For ever.
pub async fn follow<S: PartialEq, E: Display, R>(look: impl Fn() -> S, mut read: impl FnMut() -> R, failed: &str)
where
    R: Future<Output = Result<(), E>>,
{
    let (mut seen, mut told) = (None, String::new());
    let mut every = interval(LOOK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let now = Some(look());
        if now == seen {
            continue;
        }
        match read().await {
            Ok(()) => (seen, told) = (now, String::new()),
            Err(error) => {
                let error = error.to_string();
                if error != told {
                    tracing::error!("{failed}: {error}");
                    told = error;
                }
            }
        }
    }
}
