//! Who may use what, and why: questions to a world of resources, answered by the operator's own `compile` and the gateway's own admission.
//! Pure; whoever asks has read a folder, or a cluster.

pub mod access;
mod can_i;
mod consent;
mod fixes;
pub mod service;
mod text;
pub mod words;

pub use self::can_i::{Question, can_i};
pub use self::text::decision as print;

#[cfg(test)]
mod tests;
