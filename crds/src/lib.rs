//! The nouns of Bannou: names parsed once, and the catalog that the operator compiles and the gateway obeys.
//!
//! With feature `k8s` also the custom resources as `kubectl` takes them. Neither brings a client.

pub mod catalog;
pub mod duration;
#[cfg(feature = "k8s")]
pub mod kinds;
pub mod push;
pub mod target;

pub use catalog::Catalog;
pub use target::{Kind, Target};
