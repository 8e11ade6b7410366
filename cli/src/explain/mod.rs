//! Who may use what, and why: questions to a world of resources, answered by the operator's own `compile` and the gateway's own admission.
//! Pure; whoever asks has read a folder, or a cluster.

mod can_i;
mod consent;
mod fixes;
mod text;
pub mod words;

pub use self::can_i::{Decision, Question, Unanswerable, can_i};
pub use self::text::decision as print;

#[cfg(test)]
mod tests;
