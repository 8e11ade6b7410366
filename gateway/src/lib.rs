//! The data plane: each client holds one WebSocket; frames are routed by their header alone.

pub mod app;
pub mod auth;
pub mod bus;
pub mod command;
pub mod config;
pub mod control;
pub mod deliver;
pub mod forward;
pub mod handle;
pub mod inspect;
pub mod internal;
pub mod keyring;
pub mod metrics;
pub mod mounted;
pub mod problem;
pub mod rate;
pub mod resume;
pub mod session;
pub mod shared;
pub mod snapshot;
pub mod sync;
pub mod table;
pub mod tiers;
pub mod view;
pub mod wire;
pub mod ws;
