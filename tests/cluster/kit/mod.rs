//! The control plane, and what speaks to it.

pub mod certificates;
pub mod control_plane;
pub mod kubectl;

pub use control_plane::Cluster;
