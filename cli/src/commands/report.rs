//! Conditions as people and scripts read them.

use std::collections::BTreeMap;

use bannou_operator::catalog::{Condition, ConditionType, ObjectStatus, Status};
use bannou_operator::index::ObjectRef;

use crate::table::table as columns;

/// One line for each condition that is False and not the mere consequence of another one.
pub fn advice(conditions: &BTreeMap<ObjectRef, ObjectStatus>) -> Vec<String> {
    let lines = |(object, status): (&ObjectRef, &ObjectStatus)| {
        let object = object.clone();
        false_ones(status)
            .into_iter()
            .map(move |c| format!("{object}: {}: {}", c.reason, c.message))
            .collect::<Vec<_>>()
    };
    conditions.iter().flat_map(lines).collect()
}

fn false_ones(status: &ObjectStatus) -> Vec<&Condition> {
    let wrong = status.conditions.iter().filter(|c| c.status == Status::False);
    // Nobody can repair this one by itself.
    wrong.filter(|c| c.kind != ConditionType::Programmed).collect()
}

/// Object, Accepted, ResolvedRefs, number of endpoints; and below it what to do.
pub fn table(conditions: &BTreeMap<ObjectRef, ObjectStatus>) -> String {
    let rows: Vec<[String; 5]> = conditions.iter().map(|(object, status)| row(object, status)).collect();
    let mut text = columns(["KIND", "NAME", "ACCEPTED", "RESOLVED", "ENDPOINTS"], &rows);
    let advice = advice(conditions);
    if !advice.is_empty() {
        text.push('\n');
    }
    for line in advice {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn row(object: &ObjectRef, status: &ObjectStatus) -> [String; 5] {
    let cell = |kind| match status.condition(kind) {
        Some(c) if c.status == Status::True => "yes".to_owned(),
        Some(c) => c.reason.to_string(),
        None => "-".to_owned(),
    };
    [
        object.kind.to_string(),
        object.key.to_string(),
        cell(ConditionType::Accepted),
        cell(ConditionType::ResolvedRefs),
        status.endpoints.map_or_else(|| "-".to_owned(), |n| n.to_string()),
    ]
}

/// A list, one element for each object.
pub fn json(conditions: &BTreeMap<ObjectRef, ObjectStatus>) -> serde_json::Value {
    let each = |(object, status): (&ObjectRef, &ObjectStatus)| {
        serde_json::json!({
            "kind": object.kind, "namespace": object.key.namespace, "name": object.key.name, "status": status,
        })
    };
    conditions.iter().map(each).collect()
}

#[cfg(test)]
mod tests;
