//! What helm renders, as objects.

use std::path::PathBuf;

use serde_json::Value;

use crate::kit::helm::{chart, helm};
use crate::process::repository;

/// The namespace that everything is rendered for.
pub const NAMESPACE: &str = "bannou-system";

/// The values that people find beside the chart, none at all, and everything on.
pub const VALUES: [&str; 5] = ["defaults", "laptop", "production", "second-fleet", "everything"];

pub fn values(name: &str) -> Option<PathBuf> {
    match name {
        "defaults" => None,
        "everything" => Some(repository().join("tests/cluster/charts/everything.yaml")),
        name => Some(chart("bannou").join(format!("examples/{name}.yaml"))),
    }
}

/// `helm template`, with more arguments.
pub async fn template(name: &str, more: &[&str]) -> Result<String, String> {
    let (chart, values) = (chart("bannou"), values(name));
    let mut arguments = vec!["template", "bannou", chart.to_str().unwrap(), "--namespace", NAMESPACE];
    if let Some(values) = &values {
        arguments.extend(["--values", values.to_str().unwrap()]);
    }
    arguments.extend(more);
    helm(None, &arguments).await
}

pub struct Rendered(Vec<Value>);

impl Rendered {
    pub async fn of(name: &str, more: &[&str]) -> Rendered {
        let text = template(name, more).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        Rendered(objects(&text))
    }

    pub fn all(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    pub fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.all().filter(|object| object["kind"] == kind).collect()
    }

    pub fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        self.all().find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
    }

    pub fn get(&self, kind: &str, name: &str) -> &Value {
        self.find(kind, name).unwrap_or_else(|| panic!("no {kind} {name}"))
    }
}

/// Of YAML with several documents, those that are not empty.
pub fn objects(text: &str) -> Vec<Value> {
    let documents = text.split("\n---\n").map(|text| text.trim_start_matches("---\n"));
    documents.filter_map(|text| serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))).collect()
}

/// The container of that name.
pub fn container<'a>(workload: &'a Value, name: &str) -> &'a Value {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    containers.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no container {name}"))
}

/// What it is told by `--name=value`.
pub fn argument<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let arguments = container["args"].as_array()?.iter().filter_map(Value::as_str);
    arguments.filter_map(|argument| argument.split_once('=')).find(|(n, _)| *n == name).map(|(_, value)| value)
}
