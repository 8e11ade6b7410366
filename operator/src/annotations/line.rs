//! `POST /v1/accounts tiers=anonymous timeout=3s`: an endpoint in one line.

use bannou_crds::kinds::Endpoint;
use serde::de::DeserializeOwned;

/// Reads it; what the words mean is judged later, with everything else.
pub(super) fn parse(name: &str, text: &str) -> Result<Endpoint, String> {
    let mut words = text.split_ascii_whitespace();
    let example = "write for example POST /v1/accounts tiers=anonymous timeout=3s";
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(format!("needs a method and a path; {example}"));
    };
    let mut endpoint = Endpoint {
        name: name.to_owned(),
        path: path.to_owned(),
        http_method: Some(
            word(method)
                .ok_or_else(|| format!("{method:?} is not one of GET, POST, PUT, PATCH and DELETE; {example}"))?,
        ),
        payload: None,
        tiers: Vec::new(),
        timeout: None,
        interaction: None,
        idempotent: false,
        effects: Vec::new(),
        authorization: None,
        rate_limit: None,
        content_type: None,
        schema: None,
        deprecated: None,
    };
    let mut seen = Vec::new();
    for assignment in words {
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(format!("{assignment:?} has no \"=\"; {example}"));
        };
        if seen.contains(&key) {
            return Err(format!("{key} is there twice"));
        }
        seen.push(key);
        if value.is_empty() {
            return Err(format!("{key} has no value"));
        }
        match key {
            "tiers" => endpoint.tiers = list(value).map(str::to_owned).collect(),
            "timeout" => endpoint.timeout = Some(value.to_owned()),
            "payload" => endpoint.payload = Some(one_of(key, value, "Body, Query and None")?),
            "interaction" => endpoint.interaction = Some(one_of(key, value, "Request, OneWay and Stream")?),
            "authorization" => endpoint.authorization = Some(one_of(key, value, "None and Forward")?),
            "effects" => {
                let effects = list(value).map(|v| one_of(key, v, "Login, Tiers, Peers and Groups"));
                endpoint.effects = effects.collect::<Result<_, _>>()?;
            }
            "idempotent" => {
                endpoint.idempotent = value.parse().map_err(|_| format!("idempotent={value} is not true or false"))?;
            }
            "contentType" => endpoint.content_type = Some(value.to_owned()),
            _ => {
                return Err(format!(
                    "{key:?} is not known; there are tiers, timeout, payload, interaction, idempotent, effects, authorization and \
                     contentType, and more in {}",
                    super::ENDPOINTS
                ));
            }
        }
    }
    Ok(endpoint)
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').filter(|v| !v.is_empty())
}

fn one_of<T: DeserializeOwned>(key: &str, value: &str, allowed: &str) -> Result<T, String> {
    word(value).ok_or_else(|| format!("{key}={value} is not one of {allowed}"))
}

fn word<T: DeserializeOwned>(value: &str) -> Option<T> {
    serde_json::from_value(value.into()).ok()
}
