//! `bannou explain SERVICE`: one service, whole.

use std::path::PathBuf;

use super::output::{Format, print, print_json};
use super::source::{self, Source};
use crate::cluster::Where;
use crate::explain::service;
use crate::trouble::Trouble;

const AFTER: &str = "\
Exit codes:
  0  all is well with the service
  1  something needs attention: it stands below
  2  there is no such service, or the resources cannot be read";

/// Show one service in one view: workload, app-id, exposure, tiers, conditions, and who else wants its name.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The service's name, such as account.
    service: String,
    /// A folder with the resources, instead of a cluster's.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The Fleet that is meant, where there are several.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    fleet: Option<String>,
    #[command(flatten)]
    at: Where,
    /// How to print it.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub async fn run(args: Args) -> Result<bool, Trouble> {
    let Args { service: name, folder, fleet, at, output } = args;
    let Source { world, fleet, written } = source::read(folder.as_deref(), fleet.as_deref(), &at).await?;
    let view = service::service(&world, &written, &fleet, &name)?;
    match output {
        Format::Table => print(&service::print(&view)),
        Format::Json => print_json(&view),
    }
    Ok(view.attention.is_empty())
}
