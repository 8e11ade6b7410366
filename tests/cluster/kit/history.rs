//! Every version of the project's objects from now on, as the API server tells it to somebody who watches.

use std::collections::BTreeMap;
use std::sync::Arc;

use bannou_operator::index::{Key, ObjectKind, ObjectRef};
use bannou_operator::watch::resource;
use futures_util::{StreamExt, TryStreamExt};
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinSet;

/// Ends when dropped.
pub struct History {
    /// What there was before.
    generations: BTreeMap<ObjectRef, i64>,
    seen: Arc<Mutex<Vec<Version>>>,
    _tasks: JoinSet<()>,
}

/// What an object was for a while.
#[derive(Clone, Debug)]
pub struct Version {
    pub object: ObjectRef,
    pub generation: i64,
    pub status: Value,
}

impl Version {
    /// A condition's member.
    pub fn condition(&self, kind: &str, member: &str) -> &str {
        let all = self.status["conditions"].as_array();
        let found = all.into_iter().flatten().find(|c| c["type"] == kind);
        found.and_then(|c| c[member].as_str()).unwrap_or_default()
    }
}

impl History {
    pub async fn begin(client: &Client) -> History {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut generations = BTreeMap::new();
        let mut tasks = JoinSet::new();
        for kind in [ObjectKind::Fleet, ObjectKind::AccessTier, ObjectKind::ServiceExposure] {
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(kind));
            let list = api.list(&ListParams::default()).await.unwrap();
            let from = list.metadata.resource_version.unwrap();
            let reference = move |object: &DynamicObject| ObjectRef { kind, key: Key::of(&object.metadata) };
            generations.extend(list.items.iter().map(|o| (reference(o), o.metadata.generation.unwrap_or_default())));
            let seen = seen.clone();
            tasks.spawn(async move {
                let mut events = api.watch(&WatchParams::default().timeout(290), &from).await.unwrap().boxed();
                while let Ok(Some(event)) = events.try_next().await {
                    if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event {
                        seen.lock().push(Version {
                            object: reference(&object),
                            generation: object.metadata.generation.unwrap_or_default(),
                            status: object.data["status"].clone(),
                        });
                    }
                }
            });
        }
        History { generations, seen, _tasks: tasks }
    }

    /// How many there are by now: a mark for [`History::since`].
    pub fn mark(&self) -> usize {
        self.seen.lock().len()
    }

    pub fn since(&self, mark: usize) -> Vec<Version> {
        self.seen.lock()[mark..].to_vec()
    }

    /// How many versions since then came by a write of the status: the others are people's, and a new generation each.
    pub fn statuses_since(&self, mark: usize) -> usize {
        let seen = self.seen.lock();
        let mut generations = self.generations.clone();
        generations.extend(seen[..mark].iter().map(|v| (v.object.clone(), v.generation)));
        let mut count = 0;
        for version in &seen[mark..] {
            let before = generations.insert(version.object.clone(), version.generation);
            count += usize::from(before.is_none_or(|before| before == version.generation));
        }
        count
    }
}
