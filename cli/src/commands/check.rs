//! `bannou check`: what each object of a folder would be told in a cluster.

use std::path::PathBuf;
use std::process::ExitCode;

use bannou_operator::catalog::{ObjectStatus, compile, unattached};

use super::output::{Format, print, print_json};
use super::report;
use crate::folder;

const AFTER: &str = "\
Exit codes:
  0  every object is accepted, and all that it points at is there
  1  some object needs attention
  2  the folder has mistakes, or cannot be read";

/// Say what is wrong with a folder of resources, object by object.
///
/// Compiles every Fleet of FOLDER as the operator does it in a cluster, and prints the conditions that kubectl would show.
/// Backends are not looked for: a folder has none.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The folder with the resources.
    folder: PathBuf,
    /// How to print it.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Never waits for anything but files.
pub fn run(args: Args) -> ExitCode {
    let Args { folder, output } = args;
    let folder = match folder::load(&folder) {
        Ok(folder) => folder,
        Err(mistakes) => {
            for mistake in &mistakes {
                eprintln!("error: {mistake}");
            }
            return ExitCode::from(2);
        }
    };
    for note in &folder.notes {
        eprintln!("note: {note}");
    }
    let mut conditions = unattached(&folder.world);
    for fleet in folder.world.fleets.keys() {
        conditions.extend(compile(&folder.world, fleet).conditions);
    }
    match output {
        Format::Table => print(&report::table(&conditions)),
        Format::Json => print_json(&report::json(&conditions)),
    }
    ExitCode::from(u8::from(conditions.values().any(ObjectStatus::needs_attention)))
}
