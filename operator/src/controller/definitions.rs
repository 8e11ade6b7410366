//! Whether a definition of the project is there, or on its way out.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PartialObjectMeta;
use kube::{Api, Client};

use crate::index::ObjectKind;
use crate::watch::resource;

/// # Errors
/// A sentence that says why objects of this kind that went may be missed.
pub(super) async fn state(client: &Client, kind: ObjectKind) -> Result<(), String> {
    let types = resource(kind);
    let name = format!("{}.{}", types.plural, types.group);
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let found: Result<Option<PartialObjectMeta<CustomResourceDefinition>>, _> = api.get_metadata_opt(&name).await;
    match found {
        Ok(Some(definition)) if definition.metadata.deletion_timestamp.is_some() => {
            Err(format!("the definition {name} is being deleted; the last good catalog counts until it is back"))
        }
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(format!("the definition {name} is gone; the last good catalog counts until it is back")),
        Err(error) => Err(format!("cannot ask for the definition {name}: {error}")),
    }
}
