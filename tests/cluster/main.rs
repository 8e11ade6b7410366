//! Tests against a real control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl. One of it for the
//! whole binary, a namespace for each test.

#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says by its panic what failed; Clippy sees only part of these as tests"
)]

mod charts;
#[path = "../system/support/client.rs"]
#[expect(dead_code, reason = "what the system tests use of it, too")]
mod client;
mod commands;
mod definitions;
mod identity;
mod journey;
mod keys;
#[expect(dead_code, reason = "a kit: what one test does not use, the next one does")]
mod kit;
mod pods;
#[path = "../system/support/process.rs"]
#[expect(dead_code, reason = "what runs the parts of the system tests, too")]
mod process;
mod pushing;
mod replicas;
mod roles;
mod syncing;
mod undisturbed;
mod watching;
mod writing;
