//! The control plane: the verb that turns custom resources into the catalogs which gateways obey.

pub mod catalog;
pub mod index;
