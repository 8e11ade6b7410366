//! From a folder to a catalog, by the operator's own `compile`.

use std::path::Path;

use bannou_crds::Catalog;
use bannou_operator::catalog::{Compiled, compile, unattached};

use super::secrets::Secrets;
use crate::commands::report;
use crate::folder;

/// What a folder says.
pub struct Reading {
    pub catalog: Catalog,
    /// From the Secrets in it, as far as the Fleet refers to them.
    pub secrets: Secrets,
    /// What compiles and still needs attention.
    pub advice: Vec<String>,
}

/// Reads and compiles. `fleet`: as `namespace/name`, where there are several.
///
/// # Errors
/// Lines that each name file, line and field where they can, and say what to do.
pub fn read(path: &Path, fleet: Option<&str>) -> Result<Reading, Vec<String>> {
    let folder = folder::load(path).map_err(|m| m.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let fleet = folder.fleet(fleet).map_err(|line| vec![line])?;
    let Compiled { catalog, conditions, .. } = compile(&folder.world, &fleet);
    let mut advice = report::advice(&conditions);
    advice.extend(report::advice(&unattached(&folder.world)));
    let Some(catalog) = catalog else {
        advice.push(format!("the Fleet {fleet} is not accepted, so there is nothing to run"));
        return Err(advice);
    };
    let given = folder.key_files(&fleet).into_iter();
    let secrets =
        given.filter_map(|(secret, value)| Some((format!("{}/{}", secret.name, secret.key), value?.to_owned())));
    let secrets = secrets.collect();
    advice.extend(folder.notes);
    Ok(Reading { catalog, secrets, advice })
}
