//! A replica of the operator.

use std::process::ExitCode;

use bannou_operator::command;
use bannou_operator::config::Args;
use clap::Parser;

fn main() -> ExitCode {
    match command::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bannou-operator: {error}");
            ExitCode::FAILURE
        }
    }
}
