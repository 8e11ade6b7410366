//! The gateway: follows the operator, or a catalog file.

use std::process::ExitCode;

use bannou_gateway::command;
use bannou_gateway::config::Args;
use clap::Parser;

fn main() -> ExitCode {
    match command::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bannou-gateway: {error}");
            ExitCode::FAILURE
        }
    }
}
