//! Whose a token is, as the API server says: a service account's, or whatever else its cluster authenticates.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

/// Somebody whom the cluster knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// `system:serviceaccount:NAMESPACE:NAME` of a service account.
    pub name: String,
    pub groups: Vec<String>,
}

/// Asks the API server about tokens for one audience.
#[derive(Clone)]
pub struct Reviewer {
    reviews: Api<TokenReview>,
    audience: String,
}

impl Reviewer {
    pub fn new(client: Client, audience: String) -> Reviewer {
        Reviewer { reviews: Api::all(client), audience }
    }

    /// None where the token is not good, or for another audience.
    ///
    /// # Errors
    /// Where the API server does not answer, or does not let this account ask.
    pub async fn review(&self, token: &str) -> Result<Option<Person>, kube::Error> {
        let spec = TokenReviewSpec { audiences: Some(vec![self.audience.clone()]), token: token.to_owned() };
        let asked = TokenReview { spec, ..TokenReview::default() };
        let status = self.reviews.create(&PostParams::default(), &asked).await?.status.unwrap_or_default();
        // A server that knows nothing of audiences leaves them out, and its answer says nothing of ours.
        let is_for_us = status.audiences.unwrap_or_default().contains(&self.audience);
        if status.authenticated != Some(true) || !is_for_us {
            return Ok(None);
        }
        let user = status.user.unwrap_or_default();
        let groups = user.groups.unwrap_or_default();
        Ok(user.username.filter(|name| !name.is_empty()).map(|name| Person { name, groups }))
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// An API server that answers every review so.
    fn reviewer(status: Value) -> Reviewer {
        let answer =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {}, "status": status});
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = answer.to_string();
            async move {
                assert_eq!(request.uri().path(), "/apis/authentication.k8s.io/v1/tokenreviews");
                Ok::<_, std::convert::Infallible>(Response::new(Body::from(answer.into_bytes())))
            }
        });
        Reviewer::new(Client::new(service, "default"), "headroom".into())
    }

    #[tokio::test]
    async fn who_is_authenticated_for_this_audience_is_told() {
        let user = json!({"username": "system:serviceaccount:ops:grafana", "groups": ["system:serviceaccounts:ops"]});
        let good = json!({"authenticated": true, "audiences": ["headroom"], "user": user});
        let person = reviewer(good).review("token").await.unwrap().unwrap();
        assert_eq!((person.name.as_str(), person.groups.len()), ("system:serviceaccount:ops:grafana", 1));
        for bad in [
            json!({"authenticated": false, "error": "token expired"}),
            json!({"authenticated": true, "audiences": ["kubernetes"], "user": user}),
            json!({"authenticated": true, "user": user}),
            json!({"authenticated": true, "audiences": ["headroom"], "user": {}}),
            json!({}),
        ] {
            assert_eq!(reviewer(bad.clone()).review("token").await.unwrap(), None, "{bad}");
        }
    }
}
