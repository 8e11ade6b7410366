//! What a gateway tells the command line.

pub mod standing;
