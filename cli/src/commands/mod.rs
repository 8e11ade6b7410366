//! What can be typed after `bannou`: one module per subcommand, each with its `Args` and a `run`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod can_i;
mod check;
mod compile;
mod dev;
mod output;
pub mod report;

/// Bannou: one WebSocket per client, in front of your services.
#[derive(Parser)]
#[command(name = "bannou", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dev(dev::Args),
    Compile(compile::Args),
    Check(check::Args),
    CanI(can_i::Args),
}

impl Cli {
    pub async fn run(self) -> ExitCode {
        let outcome = match self.command {
            Command::Compile(args) => return compile::run(args),
            Command::Check(args) => return check::run(args),
            Command::CanI(args) => return can_i::run(args),
            Command::Dev(args) => dev::run(args).await.map_err(|e| e.to_string()),
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                eprintln!("error: {message}");
                ExitCode::FAILURE
            }
        }
    }
}
