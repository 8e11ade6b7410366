//! What the system tests are made of: processes, sidecars, services, a gateway, a client.

pub mod amqp;
pub mod broker;
pub mod catalog;
pub mod client;
pub mod daprd;
pub mod gateway;
pub mod pair;
pub mod process;
pub mod proxy;
