//! `bannou compile`: a folder in, the catalog of a lone gateway out.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bannou_crds::Catalog;
use bannou_operator::catalog::{compile, unattached};
use bannou_operator::index::Key;

use super::report;
use crate::folder::{self, Folder};

const AFTER: &str = "\
Exit codes:
  0  the catalog is written, and nothing needs attention
  1  the catalog is written, but some objects need attention: their conditions are on standard error
  2  nothing is written: the folder has mistakes, or its Fleet is not accepted

Keys that issuers take from Secrets (`keys.secretRef`) never stand in the catalog, which names files instead: \
<secret>/<key>, below the catalog's folder or what the gateway gets as its own --secrets-dir. Secrets of FOLDER are \
written there; others must be there already.";

/// Write the catalog that `bannou-gateway --catalog FILE` follows.
///
/// Reads every *.yaml and *.yml of FOLDER: Fleet, AccessTier, ServiceExposure, Namespace and Secret as kubectl takes them,
/// compiled as the operator does it in a cluster.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The folder with the resources.
    folder: PathBuf,
    /// Where the catalog goes; left out: to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The Fleet to compile, where the folder has several.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    fleet: Option<String>,
    /// Where key files are, as <DIR>/<secret>/<key>; left out: beside the catalog.
    #[arg(long, value_name = "DIR")]
    secrets_dir: Option<PathBuf>,
}

/// Never waits for anything but files.
pub fn run(args: Args) -> ExitCode {
    let Args { folder, output, fleet, secrets_dir } = args;
    match write(&folder, output.as_deref(), fleet.as_deref(), secrets_dir.as_deref()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(lines) => {
            for line in lines {
                eprintln!("error: {line}");
            }
            ExitCode::from(2)
        }
    }
}

/// Says whether all is well.
fn write(
    path: &Path,
    output: Option<&Path>,
    fleet: Option<&str>,
    secrets_dir: Option<&Path>,
) -> Result<bool, Vec<String>> {
    let folder = folder::load(path).map_err(|m| m.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    for note in &folder.notes {
        eprintln!("note: {note}");
    }
    let fleet = folder.fleet(fleet).map_err(|line| vec![line])?;
    let compiled = compile(&folder.world, &fleet);
    let mut advice = report::advice(&compiled.conditions);
    advice.extend(report::advice(&unattached(&folder.world)));
    let Some(catalog) = compiled.catalog else {
        advice.push(format!("the Fleet {fleet} is not accepted, so there is no catalog"));
        return Err(advice);
    };
    for line in &advice {
        eprintln!("warning: {line}");
    }
    let beside = output.map(|o| o.parent().unwrap_or(Path::new("")));
    let keys = key_files(&folder, &fleet, secrets_dir.or(beside))?;
    put(output, &catalog, keys).map_err(|error| {
        let target = output.map_or_else(|| "standard output".to_owned(), |o| o.display().to_string());
        vec![format!("{target}: cannot be written: {error}")]
    })?;
    Ok(advice.is_empty())
}

/// The key files that have to be written.
fn key_files(folder: &Folder, fleet: &Key, dir: Option<&Path>) -> Result<Vec<(PathBuf, Vec<u8>)>, Vec<String>> {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for (secret, value) in folder.key_files(fleet) {
        let name = format!("Secret {}/{} (key {:?})", fleet.namespace, secret.name, secret.key);
        let file = dir.map(|dir| dir.join(&secret.name).join(&secret.key));
        match (value, file) {
            (Some(value), Some(file)) => files.push((file, value.to_owned())),
            (None, Some(file)) if file.is_file() => {}
            (None, Some(file)) => errors.push(format!(
                "{name} is not in this folder: add it, or put its value into {}, or choose another place with --secrets-dir",
                file.display()
            )),
            (_, None) => errors.push(format!(
                "{name} must become a file: name the catalog's own with -o FILE, or the key's folder with --secrets-dir DIR"
            )),
        }
    }
    if errors.is_empty() { Ok(files) } else { Err(errors) }
}

fn put(output: Option<&Path>, catalog: &Catalog, keys: Vec<(PathBuf, Vec<u8>)>) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(catalog)?;
    text.push('\n');
    for (path, value) in keys {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        replace(&path, &value, true)?;
    }
    match output {
        Some(path) => replace(path, text.as_bytes(), false),
        None => io::stdout().lock().write_all(text.as_bytes()),
    }
}

/// Puts a whole file in the place of the old one at once: a gateway may be reading it at this moment.
fn replace(path: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if private { 0o600 } else { 0o644 });
    let written = options.open(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let done = written.and_then(|()| fs::rename(&new, path));
    if done.is_err() {
        // The error that is told is the first one.
        let _ = fs::remove_file(&new);
    }
    done
}

#[cfg(test)]
mod tests;
