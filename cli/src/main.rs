//! The `bannou` command.

mod commands;
mod demo;
mod dev;
mod explain;
mod folder;
mod lines;
mod playground;
mod table;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    commands::Cli::parse().run().await
}
