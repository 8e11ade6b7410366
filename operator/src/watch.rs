//! The only reader of the API server: every object of the kinds that the operator reads, as words to the index.
//!
//! Objects are read as JSON first, so that one that does not fit its type is an object still ([`decode`]) and cannot stop the stream.

use std::time::Duration;

use futures_util::StreamExt;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::index::{Key, Object, ObjectKind, ObjectRef, decode};

/// What the API server said.
#[derive(Debug)]
pub enum Seen {
    /// An object, and what is written on it.
    Apply(Box<Object>, Written),
    Delete(ObjectRef),
    /// All objects of a kind: what is not among them is gone. After a start, and whenever the stream had to begin anew.
    Reset(ObjectKind, Vec<(Object, Written)>),
    /// A kind cannot be read at the moment; what was read before may be old. Tried again, with backoff.
    Failing(ObjectKind, String),
}

/// What the operator itself writes on objects, as it is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    pub status: Value,
    /// Of the whole object: a write of the status that was judged by another version is refused.
    pub resource_version: Option<String>,
}

/// How many words may wait: the index takes them faster than they come, unless it is told a whole cluster at once.
const WAITING: usize = 1024;

/// In seconds. A watch ends after it and goes on where it was; an API server that is silent for longer is away, and that is said.
const WATCH: u32 = 60;

const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Reads until the result is dropped.
pub fn watch(client: &Client) -> (mpsc::Receiver<Seen>, JoinSet<()>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let mut tasks = JoinSet::new();
    for kind in ObjectKind::ALL {
        tasks.spawn(follow(client.clone(), kind, sender.clone()));
    }
    (receiver, tasks)
}

/// Group, version and plural of a kind.
pub fn resource(kind: ObjectKind) -> ApiResource {
    let (group, version, plural) = match kind {
        ObjectKind::Fleet => ("bannou.dev", "v1alpha1", "fleets"),
        ObjectKind::AccessTier => ("bannou.dev", "v1alpha1", "accesstiers"),
        ObjectKind::ServiceExposure => ("bannou.dev", "v1alpha1", "serviceexposures"),
        ObjectKind::Deployment => ("apps", "v1", "deployments"),
        ObjectKind::StatefulSet => ("apps", "v1", "statefulsets"),
        ObjectKind::Service => ("", "v1", "services"),
        ObjectKind::Namespace => ("", "v1", "namespaces"),
    };
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
        kind: kind.as_str().to_owned(),
        plural: plural.to_owned(),
    }
}

/// Begins anew after every error, with a list: a stream that goes on where it stopped does not say that it does.
async fn follow(client: Client, kind: ObjectKind, sender: mpsc::Sender<Seen>) {
    let api: Api<DynamicObject> = Api::all_with(client, &resource(kind));
    // Begins at its shortest again after two minutes without an error.
    let mut backoff = DefaultBackoff::default();
    loop {
        let mut events = watcher(api.clone(), watcher::Config::default().timeout(WATCH)).boxed();
        let mut listed = Vec::new();
        while let Some(event) = events.next().await {
            let seen = match event {
                Ok(Event::Init) => {
                    listed = Vec::new();
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    listed.extend(read(kind, object));
                    continue;
                }
                Ok(Event::InitDone) => Seen::Reset(kind, std::mem::take(&mut listed)),
                Ok(Event::Apply(object)) => {
                    let reference = reference(kind, &object);
                    match read(kind, object) {
                        Some((object, written)) => Seen::Apply(Box::new(object), written),
                        None => Seen::Delete(reference),
                    }
                }
                Ok(Event::Delete(object)) => Seen::Delete(reference(kind, &object)),
                Err(error) => {
                    if sender.send(Seen::Failing(kind, error.to_string())).await.is_err() {
                        return;
                    }
                    break;
                }
            };
            if sender.send(seen).await.is_err() {
                return;
            }
        }
        sleep(backoff.next().unwrap_or(LONGEST_WAIT)).await;
    }
}

fn reference(kind: ObjectKind, object: &DynamicObject) -> ObjectRef {
    ObjectRef { kind, key: Key::of(&object.metadata) }
}

fn read(kind: ObjectKind, object: DynamicObject) -> Option<(Object, Written)> {
    let reference = reference(kind, &object);
    let mut value = object.data;
    let written = Written {
        status: value.get("status").cloned().unwrap_or_default(),
        resource_version: object.metadata.resource_version.clone(),
    };
    let members = value.as_object_mut()?;
    let types = resource(kind);
    members.insert("apiVersion".to_owned(), types.api_version.into());
    members.insert("kind".to_owned(), types.kind.into());
    members.insert("metadata".to_owned(), serde_json::to_value(object.metadata).ok()?);
    let read = decode(kind, value);
    match &read {
        None => tracing::warn!(object = %reference, "cannot be read, and counts as if it were not there"),
        Some(Object::Undecodable(unread)) => {
            tracing::warn!(object = %reference, error = unread.error, "cannot be read")
        }
        Some(_) => {}
    }
    Some((read?, written))
}
