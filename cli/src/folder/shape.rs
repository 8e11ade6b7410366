//! Holds a document against the schema that the API server would hold it against, and names every mistake with its place.

use serde_json::{Map, Value};

use super::yaml::{Entry, Node, Place, Tree};

/// What is wrong, without the file's name.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    pub at: Place,
    /// Such as `spec.endpoints[0].tiers`; empty: the document itself.
    pub field: String,
    pub message: String,
}

/// The document as JSON, as far as it fits; what does not is among `wrongs`.
pub fn fit(node: &Node, schema: &Value, field: &str, wrongs: &mut Vec<Wrong>) -> Value {
    let mut say = |message: String| wrongs.push(Wrong { at: node.at, field: field.to_owned(), message });
    let expected = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    let secret = schema.get("writeOnly") == Some(&Value::Bool(true));
    match (expected, &node.tree) {
        ("object", Tree::Map(entries)) => return fit_map(entries, node.at, schema, field, wrongs),
        ("array", Tree::List(list)) => {
            let items = schema.get("items").unwrap_or(&Value::Null);
            let each = |(i, item): (usize, &Node)| fit(item, items, &format!("{field}[{i}]"), wrongs);
            return list.iter().enumerate().map(each).collect();
        }
        ("string", Tree::Text(_))
        | ("boolean", Tree::Bool(_))
        | ("number", Tree::Number(_))
        // Checked by whoever wrote the schema, or not at all.
        | ("", _) => {}
        ("integer", Tree::Number(number)) if number.is_i64() || number.is_u64() => {
            if let Some(message) = out_of_bounds(number.as_f64(), schema) {
                say(message);
            }
        }
        // Quoted nowhere.
        (_, _) if secret => say(format!("must be {}", a(expected))),
        ("array", Tree::Text(text)) => say(format!("must be a list, not {text:?}; write [{text}]")),
        ("string", Tree::Number(number)) => say(format!("must be a text, not the number {number}; write \"{number}\"")),
        ("string", Tree::Bool(value)) => say(format!("must be a text; as it stands it means {value}, so put it in quotes")),
        (_, tree) => say(format!("must be {}, not {}", a(expected), name(tree))),
    }
    let value = plain(node);
    if let Some(Value::Array(allowed)) = schema.get("enum")
        && !allowed.contains(&value)
        && let Some(text) = node.text()
    {
        let words: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        wrongs.push(Wrong {
            at: node.at,
            field: field.to_owned(),
            message: format!("{text:?} is not among {}{}", words.join(", "), did_you_mean(text, &words)),
        });
    }
    value
}

fn fit_map(entries: &[Entry], at: Place, schema: &Value, field: &str, wrongs: &mut Vec<Wrong>) -> Value {
    let nothing = Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&nothing);
    let additional = schema.get("additionalProperties").filter(|a| a.is_object());
    let free = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut out = Map::new();
    let mut misspelt = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        let path = join(field, &entry.key);
        let mut say = |message: String| wrongs.push(Wrong { at: entry.at, field: path.clone(), message });
        if let Some(first) = entries[..i].iter().find(|e| e.key == entry.key) {
            say(format!("is there twice, first in line {}; remove one", first.at.line));
            continue;
        }
        let value = match (known.get(&entry.key), additional) {
            // As if it were not there, as the API server does with a field that may be left out.
            (Some(_), _) if matches!(entry.value.tree, Tree::Null) && !required.contains(&entry.key.as_str()) => {
                continue;
            }
            (Some(schema), _) | (None, Some(schema)) => fit(&entry.value, schema, &path, wrongs),
            (None, None) if free => {
                duplicates(&entry.value, &path, wrongs);
                plain(&entry.value)
            }
            (None, None) => {
                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                let hint = match nearest(&entry.key, &names) {
                    None => format!("; known here: {}", names.join(", ")),
                    Some(near) => {
                        misspelt.push(near.to_owned());
                        format!("; did you mean {near:?}?")
                    }
                };
                say(format!("unknown field{hint}"));
                continue;
            }
        };
        out.insert(entry.key.clone(), value);
    }
    let there = |field: &str| entries.iter().any(|e| e.key == field) || misspelt.iter().any(|m| m == field);
    for missing in required.iter().filter(|field| !there(field)) {
        wrongs.push(Wrong { at, field: join(field, missing), message: "is missing".to_owned() });
    }
    Value::Object(out)
}

/// Inside a part that the schema leaves free.
fn duplicates(node: &Node, field: &str, wrongs: &mut Vec<Wrong>) {
    match &node.tree {
        Tree::List(list) => list.iter().enumerate().for_each(|(i, n)| duplicates(n, &format!("{field}[{i}]"), wrongs)),
        Tree::Map(entries) => {
            for (i, entry) in entries.iter().enumerate() {
                let path = join(field, &entry.key);
                if let Some(first) = entries[..i].iter().find(|e| e.key == entry.key) {
                    let message = format!("is there twice, first in line {}; remove one", first.at.line);
                    wrongs.push(Wrong { at: entry.at, field: path.clone(), message });
                }
                duplicates(&entry.value, &path, wrongs);
            }
        }
        _ => {}
    }
}

fn plain(node: &Node) -> Value {
    match &node.tree {
        Tree::Null => Value::Null,
        Tree::Bool(value) => Value::Bool(*value),
        Tree::Number(number) => Value::Number(number.clone()),
        Tree::Text(text) => Value::String(text.clone()),
        Tree::List(list) => list.iter().map(plain).collect(),
        Tree::Map(entries) => Value::Object(entries.iter().map(|e| (e.key.clone(), plain(&e.value))).collect()),
    }
}

fn out_of_bounds(number: Option<f64>, schema: &Value) -> Option<String> {
    let number = number?;
    let format_max = match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => Some(f64::from(u32::MAX)),
        _ => None,
    };
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(min) = bound("minimum").filter(|min| number < *min) {
        return Some(format!("must be {min} or more, not {number}"));
    }
    let max = bound("maximum").or(format_max).filter(|max| number > *max)?;
    Some(format!("must be {max} or less, not {number}"))
}

pub fn join(field: &str, key: &str) -> String {
    if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") }
}

fn a(kind: &str) -> &str {
    match kind {
        "object" => "a map",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => "a number",
    }
}

fn name(tree: &Tree) -> String {
    match tree {
        Tree::Null => "empty".to_owned(),
        Tree::Bool(value) => value.to_string(),
        Tree::Number(number) => format!("the number {number}"),
        Tree::Text(text) => format!("the text {text:?}"),
        Tree::List(_) => "a list".to_owned(),
        Tree::Map(_) => "a map".to_owned(),
    }
}

/// `; did you mean "…"?`, or nothing where no word is near.
pub fn did_you_mean(text: &str, words: &[&str]) -> String {
    nearest(text, words).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}

fn nearest<'w>(text: &str, words: &[&'w str]) -> Option<&'w str> {
    let lower = text.to_lowercase();
    let (slips, word) = words.iter().map(|w| (distance(&lower, &w.to_lowercase()), *w)).min()?;
    (slips <= 2 && slips < text.chars().count()).then_some(word)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // A name this long is no slip of the finger, and costs time.
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let best = (corner + usize::from(from != *to)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = best;
        }
    }
    row[b.len()]
}
