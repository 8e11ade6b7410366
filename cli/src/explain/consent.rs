//! What a tier consents to, in words.

use bannou_crds::kinds::{AllowedExposures, NamespacesFrom, Source};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// `own`: the namespace of the tier.
pub fn sentence(allowed: Option<&AllowedExposures>, own: &str) -> String {
    let namespaces = allowed.and_then(|a| a.namespaces.as_ref());
    let from = match namespaces.map(|n| n.from) {
        None | Some(NamespacesFrom::Same) => format!("of its own namespace {own}"),
        Some(NamespacesFrom::All) => "of every namespace".to_owned(),
        Some(NamespacesFrom::Selector) => {
            let selector = namespaces.and_then(|n| n.selector.as_ref()).map(selected).unwrap_or_default();
            format!("of namespaces with {selector}")
        }
    };
    let sources = allowed.map(|a| a.sources.as_slice()).unwrap_or_default();
    let what = match (sources.is_empty() || sources.contains(&Source::Resource), sources.contains(&Source::Annotation))
    {
        (true, true) => "exposures",
        (false, _) => "exposures by annotation",
        (true, false) => "written exposures",
    };
    let effects = allowed.map(|a| a.effects.as_slice()).unwrap_or_default();
    let effects = match effects {
        [] => "without effects".to_owned(),
        some => format!("with effects among {}", some.iter().map(|e| format!("{e:?}")).collect::<Vec<_>>().join(", ")),
    };
    format!("{what} {from}, {effects}")
}

fn selected(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let rules = selector.match_expressions.iter().flatten().map(|rule| {
        let values = rule.values.as_deref().unwrap_or_default().join(", ");
        if values.is_empty() {
            format!("{} {}", rule.key, rule.operator)
        } else {
            format!("{} {} ({values})", rule.key, rule.operator)
        }
    });
    labels.chain(rules).collect::<Vec<_>>().join(", ")
}
