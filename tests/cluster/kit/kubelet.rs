//! What a kubelet does for a Pod, but for containers: its volumes become folders, its container a process of this machine with the
//! arguments and the environment that the Pod says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, KeyToPath, Pod, Secret, ServiceAccount, Volume};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::Cluster;
use crate::process::{PATIENCE, Process, binary};

/// A container of a Pod, as a process.
pub struct Container {
    pub pod: String,
    pub process: Process,
    /// Where its volumes are.
    pub folder: TempDir,
}

impl Cluster {
    /// A Pod of this component that the controllers have made, the first by name but for so many.
    pub async fn pod_of(&self, namespace: &str, component: &str, skip: usize) -> Pod {
        let api: Api<Pod> = Api::namespaced(self.client().await, namespace);
        let labels = format!("app.kubernetes.io/name=bannou,app.kubernetes.io/component={component}");
        let search = async {
            loop {
                let mut all = api.list(&ListParams::default().labels(&labels)).await.unwrap().items;
                all.sort_by_key(|pod| pod.metadata.name.clone());
                if let Some(pod) = all.into_iter().nth(skip) {
                    return pod;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("no Pod of {component} in {namespace}"))
    }

    /// Waits for its Secrets and ConfigMaps, as a kubelet does, then starts it. `instead` are arguments with other values than the Pod's,
    /// since Pods have a network that processes of this machine do not have.
    pub async fn run(&self, pod: &Pod, instead: &[(&str, String)]) -> Container {
        let client = self.client().await;
        let spec = pod.spec.clone().unwrap();
        let name = pod.metadata.name.clone().unwrap();
        let namespace = pod.metadata.namespace.clone().unwrap();
        let folder = tempfile::tempdir_in(self.folder()).unwrap();
        for volume in spec.volumes.iter().flatten() {
            mount(&client, pod, volume, &folder.path().join(&volume.name)).await;
        }
        let container = &spec.containers[0];
        let mounts: BTreeMap<String, PathBuf> = container
            .volume_mounts
            .iter()
            .flatten()
            .map(|mount| (mount.mount_path.clone(), folder.path().join(&mount.name)))
            .collect();
        let arguments: Vec<String> =
            container.args.iter().flatten().map(|argument| rewritten(argument, &mounts, instead)).collect();
        let environment: Vec<(String, String)> = container
            .env
            .iter()
            .flatten()
            .map(|variable| {
                let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
                let value = match field.map(|field| field.field_path.as_str()) {
                    Some("metadata.name") => name.clone(),
                    Some("metadata.namespace") => namespace.clone(),
                    Some("status.podIP") => "127.0.0.1".to_owned(),
                    Some(other) => panic!("{other}"),
                    None => variable.value.clone().unwrap_or_default(),
                };
                (variable.name.clone(), value)
            })
            .collect();
        let api_token = mounts.get("/var/run/secrets/kubernetes.io/serviceaccount").map(|at| at.join("token"));
        let kubeconfig =
            api_token.map(|token| self.kubeconfig_of_token(&name, &std::fs::read_to_string(token).unwrap()));
        let program = binary(&format!("bannou-{}", container.name), "");
        let process = Process::start(&program, |command| {
            command.args(arguments).envs(environment);
            match kubeconfig {
                Some(kubeconfig) => command.env("KUBECONFIG", kubeconfig),
                None => command.env_remove("KUBECONFIG"),
            };
        });
        Container { pod: name, process, folder }
    }
}

fn rewritten(argument: &str, mounts: &BTreeMap<String, PathBuf>, instead: &[(&str, String)]) -> String {
    let Some((flag, value)) = argument.split_once('=') else { return argument.to_owned() };
    if let Some((_, other)) = instead.iter().find(|(name, _)| *name == flag) {
        return format!("{flag}={other}");
    }
    for (path, folder) in mounts {
        if let Some(rest) = value.strip_prefix(path.as_str()) {
            return format!("{flag}={}{rest}", folder.display());
        }
    }
    argument.to_owned()
}

async fn mount(client: &Client, pod: &Pod, volume: &Volume, folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let namespace = pod.metadata.namespace.as_deref().unwrap();
    if let Some(source) = &volume.secret {
        let name = source.secret_name.clone().unwrap();
        let secret: Secret = existing(client, namespace, &name).await;
        let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
        write(folder, data, source.items.as_deref());
    } else if let Some(source) = &volume.config_map {
        write_config_map(client, namespace, &source.name, source.items.as_deref(), folder).await;
    } else if let Some(projected) = &volume.projected {
        for source in projected.sources.iter().flatten() {
            if let Some(token) = &source.service_account_token {
                let text = token_of(client, pod, token.audience.as_deref()).await;
                std::fs::write(folder.join(&token.path), text).unwrap();
            } else if let Some(source) = &source.config_map {
                write_config_map(client, namespace, &source.name, source.items.as_deref(), folder).await;
            }
        }
    } else {
        assert!(volume.empty_dir.is_some(), "{volume:?}");
    }
}

async fn write_config_map(client: &Client, namespace: &str, name: &str, items: Option<&[KeyToPath]>, folder: &Path) {
    let map: ConfigMap = existing(client, namespace, name).await;
    let data = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes())).collect();
    write(folder, data, items);
}

async fn existing<K>(client: &Client, namespace: &str, name: &str) -> K
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let search = async {
        loop {
            match api.get_opt(name).await.unwrap() {
                Some(object) => return object,
                None => sleep(Duration::from_millis(100)).await,
            }
        }
    };
    timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("{namespace}/{name} is never made"))
}

/// Without `items`: every key by its name.
fn write(folder: &Path, data: BTreeMap<String, Vec<u8>>, items: Option<&[KeyToPath]>) {
    match items {
        None => data.iter().for_each(|(key, value)| std::fs::write(folder.join(key), value).unwrap()),
        Some(items) => {
            for item in items {
                let value =
                    data.get(&item.key).unwrap_or_else(|| panic!("no key {} among {:?}", item.key, data.keys()));
                std::fs::write(folder.join(&item.path), value).unwrap();
            }
        }
    }
}

async fn token_of(client: &Client, pod: &Pod, audience: Option<&str>) -> String {
    let (metadata, spec) = (&pod.metadata, pod.spec.as_ref().unwrap());
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": metadata.name, "uid": metadata.uid});
    let audiences: Vec<&str> = audience.into_iter().collect();
    let request: TokenRequest = serde_json::from_value(json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {},
        "spec": {"audiences": audiences, "expirationSeconds": 3600, "boundObjectRef": bound},
    }))
    .unwrap();
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), metadata.namespace.as_deref().unwrap());
    let account = spec.service_account_name.as_deref().unwrap();
    let made = api.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    made.status.and_then(|status| status.token).unwrap()
}
