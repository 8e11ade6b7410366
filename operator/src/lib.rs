//! The control plane: the verb that turns custom resources into the catalogs which gateways obey.

pub mod annotations;
pub mod catalog;
pub mod index;
pub mod publish;
