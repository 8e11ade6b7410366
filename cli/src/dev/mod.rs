//! What `bannou dev` is made of: a folder that is followed, apps that stand in for Dapr's name resolution, words for people.

pub mod apps;
pub mod bus;
mod changes;
pub mod follow;
pub mod greeting;
pub mod internal;
mod project;
mod secrets;
mod watch;
