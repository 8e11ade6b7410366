//! Writes the custom resource definitions into a folder, one file each, named as kubectl names them, and the roles that go with them
//! into `roles.yaml`: `crdgen FOLDER`.

use std::path::Path;
use std::{env, fs, process};

use bannou_crds::kinds::{definitions, roles};
use serde_json::Value;

fn main() {
    let Some(folder) = env::args_os().nth(1) else {
        eprintln!("usage: crdgen FOLDER");
        process::exit(2);
    };
    for definition in definitions() {
        let name = definition["metadata"]["name"].as_str().expect("a definition has a name");
        write(Path::new(&folder), name, std::slice::from_ref(&definition));
    }
    write(Path::new(&folder), "roles", &roles());
}

fn write(folder: &Path, name: &str, objects: &[Value]) {
    let path = folder.join(format!("{name}.yaml"));
    let yaml = |object| serde_saphyr::to_string(object).expect("an object is YAML");
    let all: Vec<String> = objects.iter().map(yaml).collect();
    let header = "# Written by crdgen from the Rust types in crds/src/kinds; `make crds` writes it anew.\n";
    if let Err(error) = fs::write(&path, header.to_owned() + &all.join("---\n")) {
        eprintln!("crdgen: {}: {error}", path.display());
        process::exit(1);
    }
}
