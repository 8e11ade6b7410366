//! `bannou dev examples/quickstart` as a person starts it, and every line of its table as a client sees it.

mod broker;
pub mod dev;
mod edits;
mod services;
mod start;
