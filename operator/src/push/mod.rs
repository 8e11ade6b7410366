//! The link to gateways, seen from the operator.

pub mod identity;
