//! The `bannou` command.

mod commands;
#[allow(dead_code, reason = "started by `dev`, which comes next")]
mod demo;
#[allow(dead_code, reason = "as above")]
mod lines;
#[allow(dead_code, reason = "as above")]
mod playground;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    commands::Cli::parse().run().await
}
