//! What differs between two catalogs, and the way from the one to the other.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Hash, ToGateway, Version};
use crate::catalog::{Catalog, Fleet, Service, Tier};

/// Whole services and tiers, since those are what gateways intern.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delta {
    /// The version that it is a difference to.
    pub base: Version,
    pub version: Version,
    /// Absent: as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Fleet>,
    /// New or changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers_gone: Vec<String>,
    /// New or changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services_gone: Vec<String>,
    /// Of the catalog that it leads to.
    pub hash: Hash,
}

/// Why a message leads to no catalog. The link is of no use after it: dialled again, it begins with a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It goes back, or repeats.
    Older { has: Version, offered: Version },
    /// It is a difference to what is not there.
    OtherBase { has: Option<Version>, base: Version },
    /// It leads to something else than it says.
    OtherHash,
    /// A piece of a snapshot that did not begin.
    OutOfOrder,
    /// Another version of the catalog's format.
    OtherFormat(u32),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Older { has, offered } => write!(f, "the version {offered} does not follow {has}"),
            Refused::OtherBase { has: Some(has), base } => write!(f, "a difference to {base}, but {has} is here"),
            Refused::OtherBase { has: None, base } => write!(f, "a difference to {base}, but nothing is here"),
            Refused::OtherHash => f.write_str("the catalog is not what its hash says"),
            Refused::OutOfOrder => f.write_str("a piece of a snapshot that did not begin"),
            Refused::OtherFormat(format) => write!(f, "the catalog's format {format} is not known"),
        }
    }
}

impl std::error::Error for Refused {}

impl Delta {
    /// `hash`: of the second catalog, made once for all gateways.
    pub fn between(base: (Version, &Catalog), next: (Version, &Catalog), hash: Hash) -> Delta {
        let (tiers, tiers_gone) = changes(&base.1.tiers, &next.1.tiers, |t| &t.name);
        let (services, services_gone) = changes(&base.1.services, &next.1.services, |s| &s.name);
        Delta {
            base: base.0,
            version: next.0,
            fleet: (base.1.fleet != next.1.fleet).then(|| next.1.fleet.clone()),
            tiers,
            tiers_gone,
            services,
            services_gone,
            hash,
        }
    }

    fn apply(self, base: &Catalog) -> Catalog {
        Catalog {
            format: base.format,
            fleet: self.fleet.unwrap_or_else(|| base.fleet.clone()),
            tiers: changed(&base.tiers, self.tiers, &self.tiers_gone, |t| &t.name),
            services: changed(&base.services, self.services, &self.services_gone, |s| &s.name),
        }
    }
}

/// What is new or changed, and the names of what is gone. Both lists are in order of name, and are walked side by side.
fn changes<T: Clone + PartialEq>(base: &[T], next: &[T], name: impl Fn(&T) -> &String) -> (Vec<T>, Vec<String>) {
    let (mut new, mut gone) = (Vec::new(), Vec::new());
    let mut before = base.iter().peekable();
    for item in next {
        while let Some(over) = before.next_if(|b| name(b) < name(item)) {
            gone.push(name(over).clone());
        }
        if before.next_if(|b| name(b) == name(item)) != Some(item) {
            new.push(item.clone());
        }
    }
    gone.extend(before.map(|over| name(over).clone()));
    (new, gone)
}

fn changed<T: Clone>(base: &[T], new: Vec<T>, gone: &[String], name: impl Fn(&T) -> &String) -> Vec<T> {
    let mut all: BTreeMap<String, T> = base.iter().map(|item| (name(item).clone(), item.clone())).collect();
    all.retain(|name, _| !gone.contains(name));
    all.extend(new.into_iter().map(|item| (name(&item).clone(), item)));
    all.into_values().collect()
}

/// What a gateway has of the catalogs that it is sent: the last whole one, and the pieces of the next.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    whole: Option<(Version, Catalog)>,
    pieces: Option<(Version, Catalog)>,
}

impl Snapshot {
    /// Begins with one that was saved.
    pub fn of(version: Version, catalog: Catalog) -> Snapshot {
        Snapshot { whole: Some((version, catalog)), pieces: None }
    }

    pub fn version(&self) -> Option<Version> {
        self.whole.as_ref().map(|whole| whole.0)
    }

    pub fn catalog(&self) -> Option<&Catalog> {
        self.whole.as_ref().map(|whole| &whole.1)
    }

    /// The link broke: what was not whole is discarded.
    pub fn broken_off(&mut self) {
        self.pieces = None;
    }

    /// Takes a message. `Some`: a catalog is whole, and offered: [`Snapshot::keep`] makes it the one that counts.
    ///
    /// # Errors
    /// Why the message leads nowhere; what is here stays.
    pub fn take(&mut self, message: ToGateway) -> Result<Option<(Version, Catalog)>, Refused> {
        match message {
            ToGateway::Begin { version, format, fleet, tiers } => {
                self.pieces = None;
                if format != crate::catalog::FORMAT {
                    return Err(Refused::OtherFormat(format));
                }
                self.follows(version)?;
                self.pieces = Some((version, Catalog { format, fleet: *fleet, tiers, services: Vec::new() }));
                Ok(None)
            }
            ToGateway::Services { services } => {
                let (_, catalog) = self.pieces.as_mut().ok_or(Refused::OutOfOrder)?;
                catalog.services.extend(services);
                Ok(None)
            }
            ToGateway::End { version, hash } => {
                let pieces = self.pieces.take().filter(|(begun, _)| *begun == version).ok_or(Refused::OutOfOrder)?;
                if Hash::of(&pieces.1) == hash { Ok(Some(pieces)) } else { Err(Refused::OtherHash) }
            }
            ToGateway::Delta { delta } => {
                self.follows(delta.version)?;
                let base = self.whole.as_ref().filter(|whole| whole.0 == delta.base);
                let Some((_, base)) = base else {
                    return Err(Refused::OtherBase { has: self.version(), base: delta.base });
                };
                let (version, hash) = (delta.version, delta.hash.clone());
                let catalog = delta.apply(base);
                if Hash::of(&catalog) == hash { Ok(Some((version, catalog))) } else { Err(Refused::OtherHash) }
            }
            ToGateway::Elsewhere { .. } => Ok(None),
        }
    }

    /// What was offered is good.
    pub fn keep(&mut self, version: Version, catalog: Catalog) {
        self.whole = Some((version, catalog));
    }

    fn follows(&self, version: Version) -> Result<(), Refused> {
        match self.version() {
            Some(has) if version <= has => Err(Refused::Older { has, offered: version }),
            _ => Ok(()),
        }
    }
}
