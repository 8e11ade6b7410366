//! The control plane, and what speaks to it.

pub mod audit;
pub mod backend;
pub mod binary;
pub mod certificates;
pub mod control_plane;
pub mod gateway;
pub mod helm;
pub mod history;
pub mod kubectl;
pub mod kubelet;
pub mod operator;
pub mod plugin;
pub mod pod;
pub mod replica;
pub mod running;

pub use control_plane::Cluster;
