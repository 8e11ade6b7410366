//! Writes the custom resource definitions into a folder, one file each, named as kubectl names them: `crdgen FOLDER`.

use std::path::Path;
use std::{env, fs, process};

use bannou_crds::kinds::definitions;

fn main() {
    let Some(folder) = env::args_os().nth(1) else {
        eprintln!("usage: crdgen FOLDER");
        process::exit(2);
    };
    for definition in definitions() {
        let name = definition["metadata"]["name"].as_str().expect("a definition has a name");
        let path = Path::new(&folder).join(format!("{name}.yaml"));
        let yaml = serde_saphyr::to_string(&definition).expect("a definition is YAML");
        let text =
            format!("# Written by crdgen from the Rust types in crds/src/kinds; `make crds` writes it anew.\n{yaml}");
        if let Err(error) = fs::write(&path, text) {
            eprintln!("crdgen: {}: {error}", path.display());
            process::exit(1);
        }
    }
}
