//! Time across processes of one machine: nanoseconds of the system's clock in the first eight bytes of a payload.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::Result;

pub const PAYLOAD: usize = 64;

pub fn stamp() -> Vec<u8> {
    let mut payload = vec![0; PAYLOAD];
    payload[..8].copy_from_slice(&now().to_be_bytes());
    payload
}

/// µs since the stamp.
///
/// # Errors
/// No payload of the bench.
pub fn since(payload: &[u8]) -> Result<f64> {
    let stamp = payload.first_chunk::<8>().filter(|_| payload.len() == PAYLOAD).ok_or("a message of somebody else")?;
    Ok(now().saturating_sub(u64::from_be_bytes(*stamp)) as f64 / 1e3)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}
