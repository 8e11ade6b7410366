//! The resources, and edits of them: one write each, always the same ones.

use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use super::reading::{Reading, claims};
use crate::journey::Issuer;
use crate::kit::Cluster;

const SERVICES: u64 = 20;
/// Of one service; the oldest makes room.
const ENDPOINTS: usize = 8;
const TIERS: [&str; 4] = ["anonymous", "player", "vip", "staff"];

pub struct World {
    namespace: String,
    client: kube::Client,
    issuers: [(&'static str, Issuer); 2],
    reading: Reading,
    chance: Chance,
    /// Rises with every endpoint that is new.
    number: u64,
}

/// The same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's constants; the low bits are the weak ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

impl World {
    pub async fn new(cluster: &Cluster) -> World {
        let namespace = cluster.namespace("crowd", &[]).await;
        let client = cluster.client().await;
        let issuers = ["main", "staff"].map(|name| (name, Issuer::new(&format!("https://{name}.test/"))));
        let chance = Chance(1);
        let mut world = World { namespace, client, issuers, reading: Reading::default(), chance, number: 0 };
        let specs: Vec<Value> = world.issuers.iter().map(|(name, issuer)| issuer.spec(name)).collect();
        world.write("Fleet", "default", &json!({"issuers": specs})).await;
        for (tier, spec) in [
            ("anonymous", json!({"admission": {"principal": "Anonymous"}})),
            (
                "player",
                json!({"includes": ["anonymous"], "admission": {"principal": "Authenticated", "issuers": ["main"]}}),
            ),
            (
                "vip",
                json!({"includes": ["player"], "admission": {"principal": "Authenticated", "issuers": ["main"],
                           "claims": [{"path": ["roles"], "operator": "In", "values": ["vip"]}]}}),
            ),
            ("staff", json!({"admission": {"principal": "Authenticated", "issuers": ["staff"]}})),
        ] {
            let allowed = json!({"namespaces": {"from": "All"}, "sources": ["Resource"]});
            let mut spec = spec;
            spec["allowedExposures"] = allowed;
            world.tier(tier, spec).await;
        }
        for service in 0..SERVICES {
            world.exposure(service).await;
        }
        world
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What was written, as far as this knows.
    pub fn reading(&self) -> Reading {
        self.reading.clone()
    }

    pub fn token(&self, kind: &str, number: usize) -> Option<String> {
        let (of, more) = claims(kind)?;
        let (_, issuer) = self.issuers.iter().find(|(name, _)| *name == of)?;
        Some(issuer.token(&format!("{kind}-{number}"), &more))
    }

    /// One write; `false`: there was nothing to write.
    pub async fn edit(&mut self) -> bool {
        let service = self.chance.below(SERVICES);
        let name = format!("service-{service}");
        match self.chance.below(20) {
            0 => {
                // Whoever holds `gold` alone becomes a vip, or is one no more.
                let mut spec = self.reading.tiers["vip"].clone();
                let values = &mut spec["admission"]["claims"][0]["values"];
                *values = if *values == json!(["vip"]) { json!(["vip", "gold"]) } else { json!(["vip"]) };
                self.tier("vip", spec).await;
            }
            1 => {
                let mut spec = self.reading.tiers["player"].clone();
                spec["includes"] =
                    if spec["includes"] == json!(["anonymous"]) { json!(["staff"]) } else { json!(["anonymous"]) };
                self.tier("player", spec).await;
            }
            2 if self.reading.exposures.contains_key(&name) => {
                self.api("ServiceExposure").delete(&name, &DeleteParams::default()).await.unwrap();
                self.reading.exposures.remove(&name);
            }
            _ if !self.reading.exposures.contains_key(&name) => self.exposure(service).await,
            3..=10 => {
                let mut spec = self.reading.exposures[&name].clone();
                let fresh = self.endpoint();
                let endpoints = spec["endpoints"].as_array_mut().unwrap();
                endpoints.push(fresh);
                if endpoints.len() > ENDPOINTS {
                    endpoints.remove(0);
                }
                self.write_exposure(&name, spec).await;
            }
            _ => {
                let mut spec = self.reading.exposures[&name].clone();
                let tiers = self.some_tiers();
                let endpoints = spec["endpoints"].as_array_mut().unwrap();
                let at = self.chance.below(endpoints.len() as u64) as usize;
                if endpoints[at]["tiers"] == tiers {
                    return false;
                }
                endpoints[at]["tiers"] = tiers;
                self.write_exposure(&name, spec).await;
            }
        }
        true
    }

    async fn exposure(&mut self, service: u64) {
        let name = format!("service-{service}");
        let endpoints = [self.endpoint(), self.endpoint(), self.endpoint()];
        let spec = json!({"serviceName": name, "backend": {"dapr": {"appId": name}}, "endpoints": endpoints});
        self.write_exposure(&name, spec).await;
    }

    fn endpoint(&mut self) -> Value {
        self.number += 1;
        json!({"name": format!("call-{}", self.number), "path": "/x", "tiers": self.some_tiers()})
    }

    /// One to three of them, in their order.
    fn some_tiers(&mut self) -> Value {
        let chosen = 1 + self.chance.below(14);
        let tiers = TIERS.iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1).map(|(_, tier)| *tier);
        tiers.collect::<Vec<_>>().into()
    }

    async fn tier(&mut self, name: &str, spec: Value) {
        self.write("AccessTier", name, &spec).await;
        self.reading.tiers.insert(name.to_owned(), spec);
    }

    async fn write_exposure(&mut self, name: &str, spec: Value) {
        self.write("ServiceExposure", name, &spec).await;
        self.reading.exposures.insert(name.to_owned(), spec);
    }

    async fn write(&self, kind: &str, name: &str, spec: &Value) {
        let object =
            json!({"apiVersion": "bannou.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let how = PatchParams::apply("tests").force();
        self.api(kind).patch(name, &how, &Patch::Apply(object)).await.unwrap();
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("bannou.dev", "v1alpha1", kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }
}
