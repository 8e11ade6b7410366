//! What can be typed after `bannou`: one module per subcommand, each with its `Args` and a `run`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::trouble::Trouble;

mod adopt;
mod can_i;
mod catalog;
mod check;
mod compile;
mod demo;
mod dev;
mod explain;
mod output;
mod people;
mod playground;
mod preview;
pub mod report;
mod source;
mod status;

/// As kubectl finds its plugins: `kubectl bannou` runs what is called so on the PATH.
const PLUGIN: &str = "kubectl-bannou";

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
    Status(status::Args),
    Catalog(catalog::Args),
    Explain(explain::Args),
    Why(people::WhyArgs),
    Conns(people::ConnsArgs),
    Kick(people::KickArgs),
    Preview(preview::Args),
    Adopt(adopt::Args),
    Demo(demo::Args),
    Playground(playground::Args),
}

impl Cli {
    /// Ends the process where the arguments are wrong, or ask for help.
    pub fn parse_as_called() -> Cli {
        let called = std::env::args_os().next();
        let matches = command(called.as_deref()).get_matches();
        Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    pub async fn run(self) -> ExitCode {
        let outcome = match self.command {
            Command::Compile(args) => return compile::run(args),
            Command::Dev(args) => return ended(dev::run(args).await),
            Command::Demo(args) => return ended(demo::run(args).await),
            Command::Playground(args) => return ended(playground::run(args).await),
            Command::Check(args) => check::run(args).await,
            Command::CanI(args) => can_i::run(args).await,
            Command::Status(args) => status::run(args).await,
            Command::Catalog(args) => catalog::run(args).await,
            Command::Explain(args) => explain::run(args).await,
            Command::Why(args) => people::why(args).await,
            Command::Conns(args) => people::conns(args).await,
            Command::Kick(args) => people::kick(args).await,
            Command::Preview(args) => preview::run(args).await,
            Command::Adopt(args) => adopt::run(args).await,
        };
        match outcome {
            Ok(good) => ExitCode::from(u8::from(!good)),
            Err(Trouble(lines)) => {
                for line in lines {
                    eprintln!("error: {line}");
                }
                ExitCode::from(2)
            }
        }
    }
}

/// Of what serves until it is told to stop.
fn ended<E: std::fmt::Display>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The usage lines say what was typed.
fn command(called: Option<&OsStr>) -> clap::Command {
    let name = called.map(Path::new).and_then(Path::file_stem);
    let command = Cli::command();
    if name == Some(OsStr::new(PLUGIN)) { command.bin_name("kubectl bannou") } else { command }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_plugin_the_usage_is_kubectls() {
        let usage = |called: &str| {
            let mut command = command(Some(OsStr::new(called)));
            command.build();
            command.find_subcommand_mut("can-i").unwrap().render_usage().to_string()
        };
        assert!(usage("/usr/local/bin/kubectl-bannou").contains("kubectl bannou can-i"), "{}", usage("kubectl-bannou"));
        assert!(usage("/usr/local/bin/bannou").contains("Usage: bannou can-i"), "{}", usage("bannou"));
    }

    #[test]
    fn every_command_documents_its_exit_codes() {
        Cli::command().debug_assert();
        for command in
            Cli::command().get_subcommands().filter(|c| !["dev", "demo", "playground"].contains(&c.get_name()))
        {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Exit codes:") && after.contains("  2  "), "{}", command.get_name());
        }
    }
}
