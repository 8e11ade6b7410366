//! The system tests: one binary, real parts.

#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says by its panic what failed; Clippy sees only part of these as tests"
)]

mod gateway;
mod quickstart;
mod tokens;
