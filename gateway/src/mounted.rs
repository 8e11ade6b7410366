//! Files that somebody else swaps: those of ConfigMaps and Secrets are links to a link.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often they are looked at. Polled, since watchers lose a link that is swapped.
pub const LOOK: Duration = Duration::from_millis(500);

/// Differs when the file does; `None`: it is not there.
pub fn stamp(path: &Path) -> Option<(SystemTime, u64, PathBuf)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len(), std::fs::canonicalize(path).ok()?))
}
