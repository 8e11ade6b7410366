//! An object that the operator makes: written where it differs, and left alone where it is somebody else's.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Trouble;
use crate::lease::Holding;
use crate::metrics::Meters;

/// By which the operator knows what it made.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "bannou-operator");

/// For one request.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn is_ours(metadata: &ObjectMeta) -> bool {
    metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY.0)).is_some_and(|by| by == MANAGED_BY.1)
}

/// # Errors
/// What a person is told who looks for the object.
pub async fn asked<T>(what: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T, Trouble> {
    match timeout(PATIENCE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            Err(Trouble::Forbidden(format!("{what}: {}", status.message)))
        }
        Ok(Err(error)) => Err(Trouble::Failed(format!("{what}: {error}"))),
        Err(_) => Err(Trouble::Failed(format!("{what}: the API server does not answer"))),
    }
}

/// Who writes.
pub struct Writer<'a> {
    pub client: &'a Client,
    pub holding: &'a Holding,
    pub meters: &'a Meters,
}

impl Writer<'_> {
    /// Makes the object what `wanted` says, given what is there. A write names the version that was read, so that of two writers one fails.
    ///
    /// # Errors
    /// Why it is not as wanted. Nothing is written over that is not the operator's.
    pub async fn put<K>(
        &self,
        what: &'static str,
        (namespace, name): (&str, &str),
        owner: Option<&OwnerReference>,
        wanted: impl FnOnce(Option<&K>) -> Result<K, Trouble>,
    ) -> Result<K, Trouble>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + PartialEq
            + Serialize
            + DeserializeOwned,
    {
        let called = format!("{} {namespace}/{name}", K::kind(&()));
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let there = asked(&called, api.get_opt(name)).await?;
        if there.as_ref().is_some_and(|there| !is_ours(there.meta())) {
            return Err(Trouble::NotOwned(called));
        }
        let mut object = wanted(there.as_ref())?;
        mark(object.meta_mut(), name, owner);
        if there.as_ref() == Some(&object) {
            return Ok(object);
        }
        if !self.holding.is_valid() {
            return Err(Trouble::Failed(format!("{called}: the lease is lost")));
        }
        let how = PostParams::default();
        let written = match there {
            Some(_) => asked(&called, api.replace(name, &how, &object)).await,
            None => asked(&called, api.create(&how, &object)).await,
        };
        self.meters.wrote(what, if written.is_ok() { "written" } else { "failed" });
        if written.is_ok() {
            tracing::info!(object = called, "written");
        }
        written
    }
}

fn mark(metadata: &mut ObjectMeta, name: &str, owner: Option<&OwnerReference>) {
    metadata.name = Some(name.to_owned());
    metadata.labels.get_or_insert_default().insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    if let Some(owner) = owner {
        metadata.owner_references = Some(vec![owner.clone()]);
    }
}
