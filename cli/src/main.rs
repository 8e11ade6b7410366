//! The `bannou` command.

mod cluster;
mod commands;
mod demo;
mod dev;
mod explain;
mod folder;
mod lines;
mod playground;
mod table;
mod trouble;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    commands::Cli::parse_as_called().run().await
}
