//! The gateways of a cluster, and how each is asked.

use bannou_gateway::inspect;
use futures_util::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::http::{self, Failure};
use super::{ANSWER_WITHIN, CONNECT_WITHIN, Cluster, Target};
use crate::trouble::Trouble;

pub const SELECTOR: &str = "app.kubernetes.io/name=bannou,app.kubernetes.io/component=gateway";
/// Of one cluster; a fleet of more is asked in part, and that is said.
const MOST: u32 = 500;
/// Asked at one time: each port-forward is work for the API server.
const AT_ONCE: usize = 8;

/// One gateway.
#[derive(Clone)]
pub struct Gateway {
    /// `namespace/pod`, or its URL.
    pub name: String,
    /// Of its Pod.
    pub namespace: Option<String>,
    /// Whether its Pod is ready; `None` where there is no Pod to ask about.
    pub ready: Option<bool>,
    /// Its Pod asks for Dapr's sidecar and was made without: nobody adds one later.
    pub without_sidecar: bool,
    way: Way,
}

#[derive(Clone)]
enum Way {
    /// `host:port`.
    Direct(String),
    Forward(kube::Client, String, String),
}

/// What one gateway answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer<T> {
    pub gateway: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub answer: Option<T>,
}

impl Target {
    /// The gateways that are meant: those named, or those that the cluster has.
    ///
    /// # Errors
    /// The cluster cannot be asked, an address is none, or there is no gateway.
    pub async fn find(&self) -> Result<Vec<Gateway>, Trouble> {
        if !self.gateways.is_empty() {
            return self.gateways.iter().map(|url| direct(url)).collect();
        }
        let gateways = of_cluster(&self.at.connect().await?).await?;
        if gateways.is_empty() {
            let place =
                self.at.namespace.as_ref().map_or_else(|| "any namespace".to_owned(), |n| format!("the namespace {n}"));
            return Err(Trouble::one(format!(
                "there is no gateway in {place}: no Pod has the labels {SELECTOR}; install the chart, or name one by --gateway URL"
            )));
        }
        Ok(gateways)
    }
}

fn direct(url: &str) -> Result<Gateway, Trouble> {
    let wrong = || {
        Trouble::one(format!("--gateway {url:?} is not http://HOST:PORT, such as http://127.0.0.1:{}", inspect::PORT))
    };
    let uri: axum::http::Uri = url.parse().map_err(|_| wrong())?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(wrong)?;
    if !matches!(uri.path(), "" | "/") || authority.as_str().contains('@') {
        return Err(wrong());
    }
    let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(inspect::PORT));
    Ok(Gateway {
        name: format!("http://{address}"),
        namespace: None,
        ready: None,
        without_sidecar: false,
        way: Way::Direct(address),
    })
}

/// Every gateway of the cluster, or of the namespace that is meant; in order of name.
///
/// # Errors
/// The cluster cannot be asked.
pub async fn of_cluster(cluster: &Cluster) -> Result<Vec<Gateway>, Trouble> {
    let pods: Api<Pod> = match &cluster.namespace {
        Some(namespace) => Api::namespaced(cluster.client.clone(), namespace),
        None => Api::all(cluster.client.clone()),
    };
    let params = ListParams::default().labels(SELECTOR).limit(MOST);
    let listed = cluster.ask("list Pods, to find the gateways", pods.list(&params)).await?;
    if listed.metadata.continue_.is_some() {
        eprintln!("note: there are more than {MOST} gateways; the first ones are asked");
    }
    let gateway = |pod: Pod| {
        let without_sidecar = without_sidecar(&pod);
        let (namespace, name) = (pod.metadata.namespace?, pod.metadata.name?);
        let conditions = pod.status.and_then(|s| s.conditions).unwrap_or_default();
        let ready = conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
        Some(Gateway {
            name: format!("{namespace}/{name}"),
            namespace: Some(namespace.clone()),
            ready: Some(ready),
            without_sidecar,
            way: Way::Forward(cluster.client.clone(), namespace, name),
        })
    };
    let mut gateways: Vec<Gateway> = listed.items.into_iter().filter_map(gateway).collect();
    gateways.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(gateways)
}

fn without_sidecar(pod: &Pod) -> bool {
    let asks = pod.metadata.annotations.as_ref().is_some_and(|a| a.get("dapr.io/enabled").is_some_and(|v| v == "true"));
    let spec = pod.spec.as_ref();
    let all = spec.into_iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    asks && all.into_iter().all(|container| container.name != "daprd")
}

impl Gateway {
    /// # Errors
    /// Why there is no answer, without the gateway's name.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str, body: Option<Vec<u8>>) -> Result<T, String> {
        match &self.way {
            Way::Direct(address) => match timeout(CONNECT_WITHIN, TcpStream::connect(address.as_str())).await {
                Ok(Ok(stream)) => http::ask(stream, path, body).await.map_err(Failure::into_text),
                Ok(Err(error)) => Err(format!("cannot be reached: {error}")),
                Err(_) => Err(format!("cannot be reached within {} s", CONNECT_WITHIN.as_secs())),
            },
            Way::Forward(client, namespace, pod) => {
                let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
                let forward = timeout(ANSWER_WITHIN, pods.portforward(pod, &[inspect::PORT])).await;
                let mut forward = match forward {
                    Ok(Ok(forward)) => forward,
                    Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                        return Err(format!("you may not port-forward to it: {}", status.message));
                    }
                    Ok(Err(error)) => return Err(format!("there is no port-forward to it: {}", super::root(&error))),
                    Err(_) => return Err("there is no port-forward to it: the API server does not answer".to_owned()),
                };
                let stream = forward.take_stream(inspect::PORT).ok_or("there is no port-forward to it")?;
                let refused = forward.take_error(inspect::PORT);
                let answer = http::ask(stream, path, body).await;
                // The kubelet's own word says more than a connection that ended.
                let said = match (&answer, refused) {
                    (Err(Failure::Lost(_)), Some(said)) => timeout(CONNECT_WITHIN, said).await.ok().flatten(),
                    _ => None,
                };
                forward.abort();
                match said {
                    Some(said) => Err(format!("its inspect port does not answer: {}", said.trim())),
                    None => answer.map_err(Failure::into_text),
                }
            }
        }
    }
}

/// Asks each, a few at a time; in the order of the gateways.
pub async fn ask_each<T: DeserializeOwned>(gateways: &[Gateway], path: &str, body: Option<&[u8]>) -> Vec<Answer<T>> {
    let ask = |gateway: &Gateway| {
        let gateway = gateway.clone();
        async move {
            let answer = gateway.ask::<T>(path, body.map(<[u8]>::to_vec)).await;
            let (answer, error) = match answer {
                Ok(answer) => (Some(answer), None),
                Err(error) => (None, Some(error)),
            };
            Answer { gateway: gateway.name, error, answer }
        }
    };
    stream::iter(gateways.iter().map(ask).collect::<Vec<_>>()).buffered(AT_ONCE).collect().await
}

/// Those that did not answer are told on standard error.
///
/// # Errors
/// None of them answered.
pub fn answered<T>(answers: Vec<Answer<T>>) -> Result<Vec<(String, T)>, Trouble> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for Answer { gateway, error, answer } in answers {
        match answer {
            Some(answer) => good.push((gateway, answer)),
            None => bad.push(format!("the gateway {gateway}: {}", error.unwrap_or_default())),
        }
    }
    if good.is_empty() {
        return Err(Trouble(bad));
    }
    for line in bad {
        eprintln!("warning: {line}");
    }
    Ok(good)
}

#[cfg(test)]
mod tests;
