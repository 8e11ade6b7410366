//! The room as a whole, with keys made for the run.

pub(super) mod support;

mod accepted;
mod config;
mod refused;
