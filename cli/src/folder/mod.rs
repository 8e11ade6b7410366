//! Reads a folder of resources, exactly as kubectl would take them, into the world that `compile` reads.
//!
//! All mistakes are told at once, each in one line with file, line, column and field. With any mistake there is no world:
//! half a folder must not take rights away, or give them.

mod files;
mod objects;
mod shape;
mod yaml;

pub use self::files::collect;
pub use self::shape::did_you_mean;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use bannou_crds::kinds::SecretRef;
use bannou_operator::index::{Key, Object, World};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use self::objects::Document;
use self::shape::Wrong;
use self::yaml::Place;

/// A folder that could be read.
pub struct Folder {
    pub world: World,
    /// Values by Secret and key. Not printable on purpose.
    pub secrets: BTreeMap<Key, BTreeMap<String, Vec<u8>>>,
    /// What was left aside, for people: one sentence each, with its file.
    pub notes: Vec<String>,
}

/// A mistake in a file, told in one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    pub file: PathBuf,
    /// From 1; `None`: the whole file.
    pub line: Option<u64>,
    pub column: Option<u64>,
    /// Such as `spec.endpoints[0].tiers`; empty where no field is meant.
    pub field: String,
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        match self.field.as_str() {
            "" => write!(f, ": {}", self.message),
            field => write!(f, ": {field}: {}", self.message),
        }
    }
}

impl Mistake {
    fn of_file(file: &Path, message: String) -> Mistake {
        Mistake { file: file.to_owned(), line: None, column: None, field: String::new(), message }
    }

    fn at(file: &Path, place: Place, field: &str, message: String) -> Mistake {
        let known = place != Place::default();
        Mistake {
            file: file.to_owned(),
            line: known.then_some(place.line),
            column: known.then_some(place.column),
            field: field.to_owned(),
            message,
        }
    }
}

/// Reads every `*.yaml` and `*.yml` of the folder and of the folders in it.
///
/// # Errors
/// Every mistake, in order of file and line.
pub fn load(folder: &Path) -> Result<Folder, Vec<Mistake>> {
    let mut reader = Reader::default();
    match files::collect(folder) {
        Ok(files) => {
            for (path, text) in files {
                reader.file(&path, &text);
            }
        }
        Err(mistakes) => reader.mistakes.extend(mistakes),
    }
    reader.finish()
}

/// The same for a folder or a single file: what `kubectl apply -f` takes.
///
/// # Errors
/// As [`load`].
pub fn load_path(path: &Path) -> Result<Folder, Vec<Mistake>> {
    if !path.is_file() {
        return load(path);
    }
    let mut reader = Reader::default();
    match files::single(path) {
        Ok((path, text)) => reader.file(&path, &text),
        Err(mistakes) => reader.mistakes.extend(mistakes),
    }
    reader.finish()
}

/// Puts the objects of `upper` into `lower`, as an apply does: what exists keeps its age and its name.
pub fn lay_over(lower: &mut World, upper: &World) {
    let keep = |new: &mut ObjectMeta, old: Option<&ObjectMeta>| {
        if let Some(old) = old {
            new.uid.clone_from(&old.uid);
            new.creation_timestamp.clone_from(&old.creation_timestamp);
            new.owner_references.clone_from(&old.owner_references);
        }
    };
    for (name, labels) in &upper.namespaces {
        let mut all = lower.namespaces.get(name).cloned().unwrap_or_default();
        all.extend(labels.clone());
        lower.apply(Object::Namespace { name: name.clone(), labels: all });
    }
    for (key, fleet) in &upper.fleets {
        let mut fleet = fleet.clone();
        keep(&mut fleet.metadata, lower.fleets.get(key).map(|old| &old.metadata));
        lower.apply(Object::Fleet(fleet));
    }
    for (key, tier) in &upper.tiers {
        let mut tier = tier.clone();
        keep(&mut tier.metadata, lower.tiers.get(key).map(|old| &old.metadata));
        lower.apply(Object::AccessTier(tier));
    }
    for (key, exposure) in &upper.exposures {
        let mut exposure = exposure.clone();
        keep(&mut exposure.metadata, lower.exposures.get(key).map(|old| &old.metadata));
        lower.apply(Object::ServiceExposure(Box::new(exposure)));
    }
}

/// What a document is called where two of them must not be the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity(&'static str, Key);

#[derive(Default)]
struct Reader {
    world: World,
    secrets: BTreeMap<Key, BTreeMap<String, Vec<u8>>>,
    notes: Vec<String>,
    mistakes: Vec<Mistake>,
    seen: BTreeMap<Identity, (PathBuf, u64)>,
}

impl Reader {
    fn file(&mut self, path: &Path, text: &str) {
        let nodes = match yaml::read(text) {
            Ok(nodes) => nodes,
            Err((place, message)) => {
                self.mistakes.push(Mistake::at(path, place, "", message));
                return;
            }
        };
        let (mut documents, mut wrongs) = (Vec::new(), Vec::new());
        for node in &nodes {
            objects::read(node, &mut documents, &mut wrongs);
        }
        let mistake = |w: Wrong| Mistake::at(path, w.at, &w.field, w.message);
        self.mistakes.extend(wrongs.into_iter().map(mistake));
        for (node, document) in documents {
            self.document(path, node.at, document);
        }
    }

    fn document(&mut self, path: &Path, at: Place, document: Document) {
        let identity = match &document {
            Document::Other(what) => {
                self.notes.push(format!("{}:{}: {what} is of no concern here and ignored", path.display(), at.line));
                return;
            }
            Document::Secret { key, .. } => Identity("Secret", key.clone()),
            Document::Object(object) => {
                let reference = object.reference();
                Identity(reference.kind.as_str(), reference.key)
            }
        };
        if let Some((file, line)) = self.seen.get(&identity) {
            let Identity(kind, key) = &identity;
            let name = if key.namespace.is_empty() { key.name.clone() } else { key.to_string() };
            let message = format!("{kind} {name} is there twice, first in {}:{line}; remove one", file.display());
            self.mistakes.push(Mistake::at(path, at, "metadata.name", message));
            return;
        }
        self.seen.insert(identity, (path.to_owned(), at.line));
        match document {
            Document::Object(object) => {
                self.world.apply(object);
            }
            Document::Secret { key, data } => {
                self.secrets.insert(key, data);
            }
            Document::Other(_) => {}
        }
    }

    fn finish(mut self) -> Result<Folder, Vec<Mistake>> {
        if !self.mistakes.is_empty() {
            self.mistakes.sort();
            return Err(self.mistakes);
        }
        let mut world = self.world;
        // As in a cluster, where every namespace exists and carries its name as a label.
        let used = world.fleets.keys().chain(world.tiers.keys()).chain(world.exposures.keys());
        let used: Vec<String> = used.map(|key| key.namespace.clone()).collect();
        for namespace in used {
            world.namespaces.entry(namespace).or_default();
        }
        for (name, labels) in &mut world.namespaces {
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
        }
        // The operator has a setting for this; a folder with one fleet needs none.
        let mut fleets = world.fleets.keys();
        if let (Some(only), None) = (fleets.next(), fleets.next()) {
            world.default_fleet_namespace = Some(only.namespace.clone());
        }
        Ok(Folder { world, secrets: self.secrets, notes: self.notes })
    }
}

impl Folder {
    /// The fleet that is meant: the one that is asked for as `namespace/name`, or the only one there is.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    pub fn fleet(&self, asked: Option<&str>) -> Result<Key, String> {
        let here: Vec<String> = self.world.fleets.keys().map(Key::to_string).collect();
        if let Some(asked) = asked {
            let wanted = asked.split_once('/').map(|(namespace, name)| Key::new(namespace, name));
            return wanted.filter(|key| self.world.fleets.contains_key(key)).ok_or_else(|| match here.as_slice() {
                [] => format!("there is no Fleet {asked:?} in this folder, nor any other"),
                _ => format!("there is no Fleet {asked:?} in this folder; there is {}", here.join(", ")),
            });
        }
        let mut fleets = self.world.fleets.keys();
        match (fleets.next(), fleets.next()) {
            (Some(only), None) => Ok(only.clone()),
            (None, _) => Err("there is no Fleet in this folder; see examples/quickstart/fleet.yaml for one".to_owned()),
            (Some(_), Some(_)) => {
                Err(format!("there are several Fleets in this folder; choose by --fleet one of {}", here.join(", ")))
            }
        }
    }

    /// Keys of Secrets that the fleet's issuers name, with their value where the folder has it.
    pub fn key_files(&self, fleet: &Key) -> Vec<(SecretRef, Option<&[u8]>)> {
        let issuers = self.world.fleets.get(fleet).map(|f| f.spec.issuers.as_slice()).unwrap_or_default();
        let mut files: Vec<(SecretRef, Option<&[u8]>)> = issuers
            .iter()
            .filter_map(|issuer| issuer.keys.secret_ref.clone())
            .map(|secret| {
                let data = self.secrets.get(&Key::new(&fleet.namespace, &secret.name));
                let value = data.and_then(|d| d.get(&secret.key)).map(Vec::as_slice);
                (secret, value)
            })
            .collect();
        files.sort_by(|a, b| a.0.cmp(&b.0));
        files.dedup_by(|a, b| a.0 == b.0);
        files
    }
}

#[cfg(test)]
mod tests;
