//! The system tests: one binary, real parts.

#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says by its panic what failed; Clippy sees only part of these as tests"
)]

mod broker;
mod bus;
mod dapr;
mod deliver;
mod fleet;
mod inspect;
mod internal;
mod outside;
mod quickstart;
mod rotated;
#[expect(dead_code, reason = "a kit: what one test does not use, the next one does")]
mod support;
mod tokens;
mod ways;
mod wire;
