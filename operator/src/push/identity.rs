//! Who dials: a gateway proves by a projected token of its ServiceAccount that it is a Pod of its fleet. The API server is asked; the
//! operator holds no key.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};

/// In the claims that the API server puts into a projected token.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";

/// What a token must say.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The audience that the token is made for: the operator's own, so that no other service's token will do.
    pub audience: String,
    /// The gateways' ServiceAccount, by its name in the fleet's namespace.
    pub service_account: String,
}

/// A gateway that has shown who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The fleet's, since that is where its ServiceAccount is. It gets this fleet's catalog and nothing else.
    pub namespace: String,
    pub pod: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("no token")]
    NoToken,
    #[error("the API server does not know the token: {0}")]
    Unknown(String),
    #[error("the token is not made for the operator")]
    Audience,
    #[error("{0:?} is not the ServiceAccount of a gateway")]
    ServiceAccount(String),
    #[error("the token is not bound to a Pod")]
    NoPod,
    #[error("the token is the Pod {bound:?}'s, not {said:?}'s")]
    OtherPod { bound: String, said: String },
    #[error("the API server cannot be asked: {0}")]
    Unavailable(#[from] kube::Error),
    #[error("the API server does not answer")]
    Silent,
}

impl Refused {
    /// For metrics and logs; the token is in neither.
    pub fn reason(&self) -> &'static str {
        match self {
            Refused::NoToken => "NoToken",
            Refused::Unknown(_) => "UnknownToken",
            Refused::Audience => "WrongAudience",
            Refused::ServiceAccount(_) => "WrongServiceAccount",
            Refused::NoPod => "NoPod",
            Refused::OtherPod { .. } => "OtherPod",
            Refused::Unavailable(_) | Refused::Silent => "Unavailable",
        }
    }
}

/// Asks the API server about the token of a gateway that says that it is the Pod `said`.
///
/// # Errors
/// Why it gets nothing.
pub async fn identify(client: &Client, expected: &Expected, token: &str, said: &str) -> Result<Identity, Refused> {
    if token.is_empty() {
        return Err(Refused::NoToken);
    }
    let review = TokenReview {
        spec: TokenReviewSpec { audiences: Some(vec![expected.audience.clone()]), token: token.to_owned() },
        ..TokenReview::default()
    };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    judge(&answer.status.unwrap_or_default(), expected, said)
}

fn judge(status: &TokenReviewStatus, expected: &Expected, said: &str) -> Result<Identity, Refused> {
    if status.authenticated != Some(true) {
        return Err(Refused::Unknown(status.error.clone().unwrap_or_else(|| "not authenticated".to_owned())));
    }
    // An API server that knows nothing of audiences authenticates without one.
    if !status.audiences.iter().flatten().any(|audience| *audience == expected.audience) {
        return Err(Refused::Audience);
    }
    let user = status.user.clone().unwrap_or_default();
    let name = user.username.unwrap_or_default();
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    let Some((namespace, _)) = account.filter(|(_, account)| *account == expected.service_account) else {
        return Err(Refused::ServiceAccount(name));
    };
    let bound = user.extra.unwrap_or_default().remove(POD_NAME).and_then(|mut pods| pods.pop());
    match bound {
        None => Err(Refused::NoPod),
        Some(bound) if bound != said => Err(Refused::OtherPod { bound, said: said.to_owned() }),
        Some(pod) => Ok(Identity { namespace: namespace.to_owned(), pod }),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authentication::v1::UserInfo;

    use super::*;

    /// What the real API server never answers, a broken or an old one may.
    #[test]
    fn an_answer_without_the_audience_is_not_enough() {
        let expected = Expected { audience: "operator".into(), service_account: "gateway".into() };
        let mut status = TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(vec!["operator".into()]),
            user: Some(UserInfo {
                username: Some("system:serviceaccount:game:gateway".into()),
                extra: Some([(POD_NAME.to_owned(), vec!["gateway-0".to_owned()])].into()),
                ..UserInfo::default()
            }),
            error: None,
        };
        let good = Identity { namespace: "game".into(), pod: "gateway-0".into() };
        assert_eq!(judge(&status, &expected, "gateway-0").expect("it is good"), good);
        status.audiences = None;
        assert_eq!(judge(&status, &expected, "gateway-0").expect_err("no audience").reason(), "WrongAudience");
        assert_eq!(judge(&TokenReviewStatus::default(), &expected, "").expect_err("nothing").reason(), "UnknownToken");
    }
}
