//! The control plane, and what speaks to it.

pub mod certificates;
pub mod control_plane;
pub mod kubectl;
pub mod operator;
pub mod replica;

pub use control_plane::Cluster;
