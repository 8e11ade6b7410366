//! Annotations in, exposures or mistakes out. A case is a file with one workload; `UPDATE_GOLDEN=1` writes what comes out beside it.

use std::fs;
use std::path::Path;

use bannou_operator::annotations::{Mistake, adopted, exposure, owned};
use bannou_operator::index::Workload;
use serde_json::{Value, json};

fn workload(text: &str) -> Workload {
    let document: Value = serde_saphyr::from_str(text).expect("YAML");
    match document["kind"].as_str() {
        Some("StatefulSet") => Workload::of_stateful_set(&serde_json::from_value(document).expect("a StatefulSet")),
        _ => Workload::of_deployment(&serde_json::from_value(document).expect("a Deployment")),
    }
}

fn outcome(workload: &Workload) -> Value {
    match exposure(workload) {
        Ok(None) => json!("nothing"),
        Ok(Some(spec)) => serde_json::to_value(owned(workload, spec)).expect("JSON"),
        Err(mistakes) => json!({"mistakes": mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>()}),
    }
}

fn cases() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/annotations");
    let files = fs::read_dir(folder).expect("the cases").map(|e| e.expect("a case").path());
    let mut cases: Vec<_> = files
        .filter(|path| path.to_string_lossy().ends_with(".in.yaml"))
        .map(|path| (path.to_string_lossy().replace(".in.yaml", ""), fs::read_to_string(&path).expect("a case")))
        .collect();
    cases.sort();
    assert!(cases.len() >= 10, "the cases are found");
    cases
}

#[test]
fn every_case_comes_out_as_it_is_written() {
    let mut wrong = Vec::new();
    for (name, text) in cases() {
        let out = serde_saphyr::to_string(&outcome(&workload(&text))).expect("YAML");
        let file = format!("{name}.out.yaml");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, out).expect("it is written");
        } else if fs::read_to_string(&file).unwrap_or_default() != out {
            wrong.push(file);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?} differ; UPDATE_GOLDEN=1 cargo test -p bannou-operator writes them anew");
}

/// `bannou adopt` prints what says the same: it has the same backend and name, so that it takes the place of the operator's.
#[test]
fn what_is_adopted_says_the_same() {
    let mut adopted_some = 0;
    for (_, text) in cases() {
        let workload = workload(&text);
        let Ok(Some(spec)) = exposure(&workload) else { continue };
        let (ours, theirs) = (owned(&workload, spec.clone()), adopted(&workload, spec));
        assert_eq!(theirs.spec, ours.spec);
        assert_ne!(theirs.metadata.name, ours.metadata.name, "both can be there at one time");
        assert_eq!((theirs.metadata.labels, theirs.metadata.owner_references), (None, None));
        adopted_some += 1;
    }
    assert_eq!(adopted_some, 2, "the good cases are found");
}
