//! Keys that the operator makes and rotates: its CA, and a key for each fleet. Only the holder of the lease writes them; every replica serves
//! with a certificate that it makes from the CA in memory. No key is ever logged.

pub mod authority;
pub mod fleet_key;
pub mod object;
pub mod rotation;
pub mod serve;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aws_lc_rs::rand;
use bannou_crds::kinds::Fleet;
use futures_util::future::ready;
use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::{Client, Resource};
use tokio::sync::watch;
use tokio::time::timeout;

use self::object::Writer;
use self::rotation::{Due, ROTATED_AT, due};
use crate::catalog::Reason;
use crate::controller::Output;
use crate::index::{Key, World};
use crate::lease::Holding;
use crate::metrics::{Meters, OfFleet};

/// Fleets at one time.
const AT_ONCE: usize = 4;

#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's own.
    pub namespace: String,
    /// Its Deployment, which owns what is made beside it.
    pub owner: Option<OwnerReference>,
    pub fleet_key_rotation: Duration,
    /// `None`: it has no CA of its own, its certificate is given.
    pub ca_rotation: Option<Duration>,
}

impl Settings {
    /// Between two looks at what is there: often enough for its periods, and for somebody who deleted something.
    fn every(&self) -> Duration {
        let shortest = self.ca_rotation.map_or(self.fleet_key_rotation, |ca| ca.min(self.fleet_key_rotation));
        (shortest / 8).clamp(Duration::from_millis(500), Duration::from_secs(60))
    }
}

/// Why a fleet's keys are not as they should be. Nothing else stops for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The operator's Role in that namespace is not there, or lacks something.
    Forbidden(String),
    /// An object by that name is somebody else's.
    NotOwned(String),
    Failed(String),
}

impl Trouble {
    /// What was answered, without advice.
    pub fn why(&self) -> &str {
        match self {
            Trouble::Forbidden(why) | Trouble::NotOwned(why) | Trouble::Failed(why) => why,
        }
    }

    pub fn reason(&self) -> Reason {
        match self {
            Trouble::Forbidden(_) => Reason::KeysForbidden,
            Trouble::NotOwned(_) => Reason::KeysNotOwned,
            Trouble::Failed(_) => Reason::KeysFailed,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Forbidden(why) => write!(
                f,
                "The operator may not write what gateways need: {why}. Install the chart in this namespace, or give the operator that right."
            ),
            Trouble::NotOwned(what) => write!(
                f,
                "{what} is not the operator's, so it is left as it is and not rotated; remove it, or see to it yourself."
            ),
            Trouble::Failed(why) => write!(f, "What gateways need is not written: {why}."),
        }
    }
}

/// By fleet; one that has none is not in it.
pub type Troubles = BTreeMap<Key, Trouble>;

/// Keeps everything as it should be while the lease is held.
pub async fn run(
    client: Client,
    holding: Holding,
    settings: Settings,
    meters: Meters,
    mut outputs: watch::Receiver<Output>,
    troubles: watch::Sender<Troubles>,
) {
    let writer = Writer { client: &client, holding: &holding, meters: &meters };
    while holding.is_valid() {
        let bundle = match settings.ca_rotation {
            Some(period) => Some(ca(&writer, &settings, period).await),
            None => None,
        };
        if let Some(Err(trouble)) = &bundle {
            tracing::warn!(%trouble, "the operator's CA");
        }
        let fleets = fleets_of(&outputs.borrow().world);
        let found: Troubles = stream::iter(fleets.clone())
            .map(|(fleet, owner)| {
                let (writer, settings, bundle) = (&writer, &settings, bundle.as_ref());
                async move { (fleet.clone(), of_fleet(writer, settings, &fleet, &owner, bundle).await) }
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(|(fleet, done)| ready(done.err().map(|trouble| (fleet, trouble))))
            .collect()
            .await;
        tell(&troubles, &meters, found);
        // The next look comes with its time, or with another fleet.
        let others = outputs.wait_for(|output| fleets_of(&output.world) != fleets);
        if let Ok(Err(_)) = timeout(settings.every(), others).await {
            return;
        }
    }
}

fn tell(troubles: &watch::Sender<Troubles>, meters: &Meters, found: Troubles) {
    meters.fleets_without_keys.clear();
    for fleet in found.keys() {
        meters.fleets_without_keys.get_or_create(&OfFleet { fleet: fleet.to_string() }).set(1);
    }
    troubles.send_if_modified(|before| {
        for (fleet, trouble) in found.iter().filter(|(fleet, trouble)| before.get(*fleet) != Some(*trouble)) {
            tracing::warn!(%fleet, %trouble, "the fleet's keys");
        }
        let changed = *before != found;
        *before = found;
        changed
    });
}

/// With what would own something beside it.
fn fleets_of(world: &World) -> BTreeMap<Key, OwnerReference> {
    let namespaces = world.all_fleets().into_iter().map(|fleet| fleet.namespace);
    let fleets = namespaces.filter_map(|namespace| world.fleet_in(&namespace));
    fleets
        .filter_map(|key| {
            let uid = world.fleets.get(&key)?.metadata.uid.clone()?;
            Some((key.clone(), owner::<Fleet>(&key.name, uid)))
        })
        .collect()
}

/// Does not hold up the owner's own deletion.
pub(crate) fn owner<K: Resource<DynamicType = ()>>(name: &str, uid: String) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: name.to_owned(),
        uid,
        ..OwnerReference::default()
    }
}

/// Says what gateways are to trust: as it was before this look, so that every replica has a new certificate before gateways forget the old CA.
async fn ca(writer: &Writer<'_>, settings: &Settings, period: Duration) -> Result<String, Trouble> {
    let mut before = None;
    let place = (settings.namespace.as_str(), authority::NAME);
    let secret = writer
        .put("secret", place, settings.owner.as_ref(), |there: Option<&Secret>| {
            let (now, mut secret) = (Timestamp::now(), there.cloned().unwrap_or_default());
            let due = due(rotated_at(&secret.metadata), period, now);
            let data = secret.data.take().unwrap_or_default();
            before = there.map(|_| authority::bundle(&data));
            let (data, changed) = authority::contents(&data, due == Due::Now, now, period)
                .map_err(|error| Trouble::Failed(format!("no CA can be made: {error}")))?;
            date(&mut secret.metadata, changed || due == Due::Unknown, now);
            secret.data = Some(data);
            Ok(secret)
        })
        .await?;
    Ok(before.unwrap_or_else(|| authority::bundle(&secret.data.unwrap_or_default())))
}

async fn of_fleet(
    writer: &Writer<'_>,
    settings: &Settings,
    fleet: &Key,
    owner: &OwnerReference,
    bundle: Option<&Result<String, Trouble>>,
) -> Result<(), Trouble> {
    let beside = (fleet.namespace == settings.namespace).then_some(settings.owner.as_ref()).flatten();
    let owner = Some(beside.unwrap_or(owner));
    let key = fleet_key(writer, settings, &fleet.namespace, owner).await;
    if let Some(bundle) = bundle {
        let bundle = bundle.as_ref().map_err(Clone::clone)?;
        writer
            .put("configmap", (&fleet.namespace, authority::NAME), owner, |there: Option<&ConfigMap>| {
                let mut map = there.cloned().unwrap_or_default();
                map.data = Some(BTreeMap::from([(authority::BUNDLE.to_owned(), bundle.clone())]));
                Ok(map)
            })
            .await?;
    }
    key
}

async fn fleet_key(
    writer: &Writer<'_>,
    settings: &Settings,
    namespace: &str,
    owner: Option<&OwnerReference>,
) -> Result<(), Trouble> {
    let place = (namespace, fleet_key::NAME);
    let put = writer.put("secret", place, owner, |there: Option<&Secret>| {
        let (now, mut secret) = (Timestamp::now(), there.cloned().unwrap_or_default());
        let due = due(rotated_at(&secret.metadata), settings.fleet_key_rotation, now);
        let (data, changed) = fleet_key::contents(&secret.data.take().unwrap_or_default(), due == Due::Now, random);
        date(&mut secret.metadata, changed || due == Due::Unknown, now);
        secret.data = Some(data);
        Ok(secret)
    });
    put.await.map(drop)
}

fn rotated_at(metadata: &ObjectMeta) -> Option<&str> {
    metadata.annotations.as_ref()?.get(ROTATED_AT).map(String::as_str)
}

fn date(metadata: &mut ObjectMeta, anew: bool, now: Timestamp) {
    if anew {
        metadata.annotations.get_or_insert_default().insert(ROTATED_AT.to_owned(), format!("{now:.0}"));
    }
}

fn random() -> [u8; 64] {
    let mut bytes = [0; 64];
    rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}
