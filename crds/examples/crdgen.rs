//! Writes the custom resource definitions into a folder, one file each, named as kubectl names them, and the roles that go with them
//! into `roles.yaml`; and the same as templates of a Helm chart: `crdgen FOLDER TEMPLATES`.

use std::path::Path;
use std::{env, fs, process};

use bannou_crds::kinds::{definitions, roles};
use serde_json::Value;

fn main() {
    let mut folders = env::args_os().skip(1);
    let (Some(folder), Some(templates), None) = (folders.next(), folders.next(), folders.next()) else {
        eprintln!("usage: crdgen FOLDER TEMPLATES");
        process::exit(2);
    };
    let (folder, templates) = (Path::new(&folder), Path::new(&templates));
    for definition in definitions() {
        let name = definition["metadata"]["name"].as_str().expect("a definition has a name").to_owned();
        write(folder, &name, std::slice::from_ref(&definition));
        write(templates, &name, &[kept(definition)]);
    }
    write(folder, "roles", &roles());
    write(templates, "roles", &roles());
}

/// Templates, unlike a chart's `crds/`, are upgraded with the chart. With a definition all its objects would go, so Helm leaves it behind.
fn kept(mut definition: Value) -> Value {
    definition["metadata"]["annotations"]["helm.sh/resource-policy"] = "keep".into();
    definition
}

fn write(folder: &Path, name: &str, objects: &[Value]) {
    let path = folder.join(format!("{name}.yaml"));
    let yaml = |object| serde_saphyr::to_string(object).expect("an object is YAML");
    let all: Vec<String> = objects.iter().map(yaml).collect();
    assert!(!all.iter().any(|text| text.contains("{{")), "Helm would take it for a template's");
    let header = "# Written by crdgen from the Rust types in crds/src/kinds; `make crds` writes it anew.\n";
    if let Err(error) = fs::write(&path, header.to_owned() + &all.join("---\n")) {
        eprintln!("crdgen: {}: {error}", path.display());
        process::exit(1);
    }
}
