//! The HTTP way in for services: the contract of the bus for those who speak no AMQP.

pub mod access;

use std::net::{Ipv4Addr, SocketAddr};

pub use access::{Access, Services};

/// What the internal port can be told.
#[derive(Clone)]
pub struct Options {
    pub addr: SocketAddr,
    pub access: Access,
}

impl Default for Options {
    fn default() -> Options {
        Options { addr: (Ipv4Addr::LOCALHOST, 9081).into(), access: Access::default() }
    }
}
