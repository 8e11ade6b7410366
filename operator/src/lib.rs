//! The control plane: the verb that turns custom resources into the catalogs which gateways obey.

#[cfg(feature = "controller")]
pub mod admin;
pub mod annotations;
#[cfg(feature = "controller")]
pub mod app;
#[cfg(feature = "controller")]
pub mod apply;
pub mod catalog;
#[cfg(feature = "controller")]
pub mod command;
#[cfg(feature = "controller")]
pub mod config;
#[cfg(feature = "controller")]
pub mod controller;
pub mod index;
#[cfg(feature = "controller")]
pub mod lease;
#[cfg(feature = "controller")]
pub mod metrics;
pub mod publish;
#[cfg(feature = "controller")]
pub mod push;
#[cfg(feature = "controller")]
pub mod tls;
#[cfg(feature = "controller")]
pub mod watch;
