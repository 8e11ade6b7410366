//! Whether a Dapr access policy lets the gateway call an app: what `daprd` decides by a Configuration's `spec.accessControl`.

use serde_json::Value;

/// Dapr's own, where nothing is said.
const TRUST_DOMAIN: &str = "public";

/// Who calls: the gateway's sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub app_id: String,
    pub namespace: String,
    pub trust_domain: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// What decided it.
    Denied(String),
    /// `daprd` does not start with it.
    Invalid(String),
}

/// The trust domain that a Configuration gives the app that uses it.
pub fn trust_domain(spec: &Value) -> String {
    let named = spec.pointer("/accessControl/trustDomain").and_then(Value::as_str).filter(|t| !t.is_empty());
    named.unwrap_or(TRUST_DOMAIN).to_owned()
}

/// `spec`: of the Configuration of the app that is called. `method` as HTTP has it, `path` with `x` in the place of variables.
pub fn verdict(spec: &Value, caller: &Caller, method: &str, path: &str) -> Verdict {
    let control = &spec["accessControl"];
    let text = |of: &Value, member: &str| of[member].as_str().unwrap_or_default().to_owned();
    let policies = control["policies"].as_array();
    let (domain, default) = (text(control, "trustDomain"), text(control, "defaultAction"));
    if control.is_null() || (domain.is_empty() && default.is_empty() && policies.is_none_or(Vec::is_empty)) {
        return Verdict::Allowed;
    }
    for policy in policies.into_iter().flatten() {
        for member in ["appId", "trustDomain", "namespace"] {
            if text(policy, member).is_empty() {
                return Verdict::Invalid(format!("the policy of the app {:?} has no {member}", text(policy, "appId")));
            }
        }
    }
    let global = match default.as_str() {
        // With policies and no default, everybody else is out.
        "" if policies.is_none_or(|p| !p.is_empty()) => "deny",
        "" => "allow",
        given => given,
    };
    let decide = |action: &str, by: String| {
        if action.eq_ignore_ascii_case("allow") { Verdict::Allowed } else { Verdict::Denied(by) }
    };
    let mine =
        |policy: &&Value| text(policy, "appId") == caller.app_id && text(policy, "namespace") == caller.namespace;
    // Of two policies for one app the later counts.
    let Some(policy) = policies.into_iter().flatten().rfind(mine) else {
        let by = format!(
            "it has no policy for the app {} of {}, and its default is {global}",
            caller.app_id, caller.namespace
        );
        return decide(global, by);
    };
    if text(policy, "trustDomain") != caller.trust_domain {
        let by = format!(
            "its policy for the app {} is for the trust domain {:?}, not {:?}, and its default is {global}",
            caller.app_id,
            text(policy, "trustDomain"),
            caller.trust_domain
        );
        return decide(global, by);
    }
    let own = text(policy, "defaultAction");
    let otherwise = if own.is_empty() { global.to_owned() } else { own };
    for operation in policy["operations"].as_array().into_iter().flatten() {
        if !matches(&text(operation, "name"), path) {
            continue;
        }
        let verbs: Vec<&str> =
            operation["httpVerb"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if verbs.contains(&method) || verbs.contains(&"*") {
            let action = text(operation, "action");
            return decide(&action, format!("its operation {:?} says {action:?}", text(operation, "name")));
        }
        break;
    }
    decide(
        &otherwise,
        format!(
            "its policy for the app {} names no operation {method} {path}, and the default is {otherwise}",
            caller.app_id
        ),
    )
}

/// `/a/*` is one part, `/a/**` all that follow, a `*` in a part any letters; without regard to case.
fn matches(pattern: &str, path: &str) -> bool {
    let parts =
        |text: &str| -> Vec<String> { text.trim_start_matches('/').split('/').map(str::to_lowercase).collect() };
    let (pattern, path) = (parts(pattern), parts(path));
    for (i, part) in pattern.iter().enumerate() {
        if part == "**" {
            return true;
        }
        match path.get(i) {
            Some(given) if fits(part.as_bytes(), given.as_bytes()) => {}
            _ => return false,
        }
    }
    pattern.len() == path.len()
}

fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| fits(rest, &text[skip..])),
        Some((letter, rest)) => text.split_first().is_some_and(|(first, more)| first == letter && fits(rest, more)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(control: Value, method: &str, path: &str) -> Verdict {
        let caller = Caller {
            app_id: "bannou-gateway".into(),
            namespace: "bannou-system".into(),
            trust_domain: "public".into(),
        };
        verdict(&json!({"accessControl": control}), &caller, method, path)
    }

    fn policy(more: Value) -> Value {
        let mut policy = json!({"appId": "bannou-gateway", "trustDomain": "public", "namespace": "bannou-system"});
        policy.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        policy
    }

    #[test]
    fn as_daprd_decides() {
        let denied = |verdict: Verdict| matches!(verdict, Verdict::Denied(_));
        assert_eq!(ask(Value::Null, "POST", "/a"), Verdict::Allowed);
        assert_eq!(ask(json!({}), "POST", "/a"), Verdict::Allowed);
        assert!(denied(ask(json!({"defaultAction": "deny"}), "POST", "/a")));
        assert_eq!(ask(json!({"defaultAction": "Allow"}), "POST", "/a"), Verdict::Allowed);
        let other = json!({"appId": "other", "trustDomain": "public", "namespace": "x", "defaultAction": "allow"});
        assert!(
            denied(ask(json!({"policies": [other]}), "POST", "/a")),
            "policies without a default shut the rest out"
        );
        assert_eq!(
            ask(json!({"policies": [policy(json!({"defaultAction": "allow"}))]}), "POST", "/a"),
            Verdict::Allowed
        );
        let elsewhere = policy(json!({"trustDomain": "mine", "defaultAction": "allow"}));
        assert!(denied(ask(json!({"policies": [elsewhere]}), "POST", "/a")));
        assert!(matches!(ask(json!({"policies": [{"appId": "x"}]}), "POST", "/a"), Verdict::Invalid(_)));
        assert!(denied(ask(json!({"trustDomain": "public"}), "POST", "/a")), "a list that is missing is no empty list");
    }

    #[test]
    fn operations_by_path_and_verb() {
        let with = |name: &str, verbs: Value| {
            let operation = json!({"name": name, "httpVerb": verbs, "action": "allow"});
            json!({"defaultAction": "deny", "policies": [policy(json!({"defaultAction": "deny", "operations": [operation]}))]})
        };
        for (name, path, fits) in [
            ("/v1/accounts", "/v1/accounts", true),
            ("v1/Accounts", "/v1/accounts", true),
            ("/v1/*", "/v1/accounts", true),
            ("/v1/*", "/v1/accounts/me", false),
            ("/v1/**", "/v1/accounts/me", true),
            ("/v1/acc*", "/v1/accounts", true),
            ("/v1", "/v1/accounts", false),
        ] {
            assert_eq!(ask(with(name, json!(["POST"])), "POST", path) == Verdict::Allowed, fits, "{name} {path}");
        }
        assert!(ask(with("/a", json!(["GET"])), "POST", "/a") != Verdict::Allowed);
        assert_eq!(ask(with("/a", json!(["*"])), "POST", "/a"), Verdict::Allowed);
    }
}
