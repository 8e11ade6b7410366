//! From a folder to a catalog. (A stand-in until the folder's own reader is here: it names no lines.)

use std::path::Path;

use bannou_crds::Catalog;
use bannou_operator::catalog::{Compiled, compile};
use bannou_operator::index::{Key, Object, World};
use serde_json::Value;

use super::secrets::Secrets;

/// What a folder says.
pub struct Reading {
    pub catalog: Catalog,
    /// From the Secrets in it.
    pub secrets: Secrets,
    /// What compiles and still needs attention.
    pub advice: Vec<String>,
}

/// Reads and compiles.
///
/// # Errors
/// Lines that each name file, line and field, and say what to do.
pub fn read(folder: &Path, _fleet: Option<&str>) -> Result<Reading, Vec<String>> {
    let mut world = World::default();
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).map_err(|e| vec![format!("{}: {e}", folder.display())])?.flatten().collect();
    entries.sort_by_key(|e| e.path());
    for entry in entries {
        let text =
            std::fs::read_to_string(entry.path()).map_err(|e| vec![format!("{}: {e}", entry.path().display())])?;
        let docs: Vec<Value> =
            serde_saphyr::from_multiple(&text).map_err(|e| vec![format!("{}: {e}", entry.path().display())])?;
        for doc in docs {
            let object = match doc["kind"].as_str().unwrap_or_default() {
                "Fleet" => Object::Fleet(
                    serde_json::from_value(doc).map_err(|e| vec![format!("{}: {e}", entry.path().display())])?,
                ),
                "AccessTier" => Object::AccessTier(
                    serde_json::from_value(doc).map_err(|e| vec![format!("{}: {e}", entry.path().display())])?,
                ),
                "ServiceExposure" => Object::ServiceExposure(
                    serde_json::from_value(doc).map_err(|e| vec![format!("{}: {e}", entry.path().display())])?,
                ),
                "Namespace" => Object::Namespace {
                    name: doc["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                    labels: serde_json::from_value(doc["metadata"]["labels"].clone()).unwrap_or_default(),
                },
                other => return Err(vec![format!("{}: kind {other}", entry.path().display())]),
            };
            world.apply(object);
        }
    }
    let fleet: Key = world.fleets.keys().next().cloned().ok_or_else(|| vec!["no fleet".to_owned()])?;
    let Compiled { catalog, conditions } = compile(&world, &fleet);
    let advice: Vec<String> = conditions
        .iter()
        .filter(|(_, s)| s.needs_attention())
        .flat_map(|(o, s)| s.conditions.iter().map(move |c| format!("{o}: {}", c.message)))
        .collect();
    let catalog = catalog.ok_or_else(|| advice.clone())?;
    Ok(Reading { catalog, secrets: Secrets::new(), advice })
}
