//! Why a command has no answer.

/// Lines that each say what is wrong, and what to do. A command that ends with it exits with 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Trouble(pub Vec<String>);

impl Trouble {
    pub fn one(line: impl Into<String>) -> Trouble {
        Trouble(vec![line.into()])
    }
}
