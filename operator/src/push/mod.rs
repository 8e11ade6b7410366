//! The link to gateways, seen from the operator: who dials is asked for, told what its fleet is to obey, and heard.

pub mod identity;
mod link;
mod registry;
mod server;

pub use self::registry::Registry;
pub use self::server::{Push, serve};
