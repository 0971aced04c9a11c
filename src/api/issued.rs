//! Tokens that others issue: an OpenID provider's, checked by its public keys, and those that Kubernetes knows, of which its
//! API server is asked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;
use serde::Deserialize;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tracing::warn;

use super::jwt::{Expected, Unverified};
use crate::act::kubernetes::token_review::Reviewer;
use crate::clock::{Clock, Stopwatch};
use crate::config::callers::digest;
use crate::config::jwks::{self, Jwks};
use crate::config::{Oidc, People, Role};
use crate::disk;
use crate::net::{Often, https};

/// Who presents a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Caller {
        name: String,
        role: Role,
    },
    /// The token is good, and this configuration lets its owner do nothing.
    Nobody {
        name: String,
    },
    /// It is not good.
    No,
    /// Whoever could tell does not answer.
    Unknown {
        cause: String,
    },
}

fn found(name: String, groups: &[String], people: &People) -> Found {
    match people.role(&name, groups) {
        Some(role) => Found::Caller { name, role },
        None => Found::Nobody { name },
    }
}

/// An OpenID provider, and its keys as far as they are known.
pub struct Provider {
    oidc: Oidc,
    clock: Clock,
    /// PEM of the issuer's authority, where the system does not know it.
    authority: Option<String>,
    keys: Mutex<Option<Arc<Jwks>>>,
    /// Since the issuer was last asked, with or without an answer; locked while it is.
    asked: AsyncMutex<Option<Stopwatch>>,
}

/// How long the issuer may take for one of its two documents.
const ISSUER_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two questions: whoever sends tokens of unknown keys does not make headroom ask for each.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// A key that the issuer withdrew is believed for so long.
const KEYS_KEPT: Duration = Duration::from_secs(3_600);

/// What the issuer says of itself (OpenID Connect Discovery 1.0, 3).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Provider {
    /// Reads the authority's certificate; the issuer is asked when its first token comes.
    pub fn new(oidc: Oidc, clock: Clock) -> Result<Provider, String> {
        let read = |file: &PathBuf| {
            disk::read_text(file, jwks::BYTES_MAX).map_err(|error| format!("{}: {error}", file.display()))
        };
        let authority = oidc.ca_file.as_ref().map(read).transpose()?;
        let keys = Mutex::new(oidc.keys.clone().map(Arc::new));
        Ok(Provider { oidc, clock, authority, keys, asked: AsyncMutex::new(None) })
    }

    /// Whether a token says to be of this provider.
    pub fn issued(&self, token: &Unverified<'_>) -> bool {
        token.issuer() == Some(&self.oidc.issuer)
    }

    pub async fn identify(&self, token: Unverified<'_>) -> Found {
        let keys = match self.keys(token.key_id()).await {
            Ok(keys) => keys,
            Err(cause) => return Found::Unknown { cause },
        };
        let Oidc { issuer, audience, name_claim, groups_claim, people, .. } = &self.oidc;
        let now_s = self.clock.now().0 as f64 / 1e9;
        let claims = match token.verify(&keys, Expected { issuer, audience, now_s }) {
            Ok(claims) => claims,
            Err(cause) => {
                warn!(issuer, "a token of the OpenID provider is not taken: {cause}");
                return Found::No;
            }
        };
        let Some(name) = claims.name(name_claim) else {
            warn!(issuer, claim = name_claim, "a token of the OpenID provider has no plain name in this claim");
            return Found::No;
        };
        let groups = claims.groups(groups_claim);
        match found(name.to_owned(), &groups, people) {
            // Not to be taken for a name of the tokens' file.
            Found::Caller { name, role } => Found::Caller { name: format!("{name} (oidc)"), role },
            other => other,
        }
    }

    /// The keys, asked of the issuer anew where they are old or one is missing.
    async fn keys(&self, id: Option<&str>) -> Result<Arc<Jwks>, String> {
        if self.oidc.keys.is_some() {
            return Ok(self.known().unwrap_or_default());
        }
        let mut asked = self.asked.lock().await;
        let since = asked.as_ref().map(Stopwatch::elapsed);
        let known = self.known();
        let is_enough = known.as_ref().is_some_and(|keys| keys.has(id)) && since.is_some_and(|since| since < KEYS_KEPT);
        if is_enough || since.is_some_and(|since| since < ASK_EVERY) {
            return known.ok_or_else(|| "the OpenID provider did not answer lately".into());
        }
        *asked = Some(Stopwatch::start());
        match fetch(&self.oidc.issuer, self.authority.as_deref()).await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Some(keys.clone());
                Ok(keys)
            }
            Err(cause) => {
                warn!(issuer = self.oidc.issuer, "cannot read the keys of the OpenID provider: {cause}");
                // Known keys go on being good while it is away.
                known.ok_or_else(|| "the OpenID provider does not answer".into())
            }
        }
    }

    fn known(&self) -> Option<Arc<Jwks>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn fetch(issuer: &str, authority: Option<&str>) -> Result<Jwks, String> {
    let of_itself = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let text = document(&of_itself, authority).await?;
    let discovery: Discovery = serde_json::from_slice(&text).map_err(|error| format!("{of_itself}: {error}"))?;
    if discovery.issuer != issuer {
        return Err(format!("it names itself {}", discovery.issuer.escape_debug()));
    }
    let is_safe = discovery.jwks_uri.starts_with("https://") || issuer.starts_with("http://");
    if !is_safe {
        return Err("its keys lie at an address without TLS".into());
    }
    Jwks::parse(&String::from_utf8_lossy(&document(&discovery.jwks_uri, authority).await?))
}

/// What lies at an address.
async fn document(url: &str, authority: Option<&str>) -> Result<Bytes, String> {
    let failed = |cause: String| format!("{url}: {cause}");
    let request = http::Request::get(url).body(Vec::new()).map_err(|error| failed(error.to_string()))?;
    let bytes_max = usize::try_from(jwks::BYTES_MAX).unwrap_or(usize::MAX);
    let answer = https::ask(request, authority, ISSUER_TIMEOUT, bytes_max).await.map_err(failed)?;
    if answer.status() == http::StatusCode::OK {
        Ok(answer.into_body())
    } else {
        Err(failed(answer.status().to_string()))
    }
}

/// Kubernetes, and what its API server said lately.
pub struct Reviews {
    reviewer: Reviewer,
    people: People,
    /// By the token's digest.
    answers: Cache<[u8; 32], Found>,
    at_once: Semaphore,
    failed: Often,
}

/// A token that was withdrawn is believed for so long.
const ANSWER_KEPT: Duration = Duration::from_secs(60);
const ANSWERS_MAX: u64 = 1_000;
/// The API server has better to do than to look at tokens.
const REVIEWS_AT_ONCE: usize = 4;
const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);

impl Reviews {
    pub fn new(reviewer: Reviewer, people: People) -> Reviews {
        Reviews {
            reviewer,
            people,
            answers: Cache::builder().max_capacity(ANSWERS_MAX).time_to_live(ANSWER_KEPT).build(),
            at_once: Semaphore::new(REVIEWS_AT_ONCE),
            failed: Often::new(),
        }
    }

    /// What was said of it lately.
    pub fn known(&self, token: &str) -> Option<Found> {
        self.answers.get(&digest(token))
    }

    pub async fn identify(&self, token: &str) -> Found {
        let reviewing = async {
            // Never closed.
            let _one = self.at_once.acquire().await;
            self.reviewer.review(token).await
        };
        let answer = match tokio::time::timeout(REVIEW_TIMEOUT, reviewing).await {
            Ok(Ok(Some(person))) => found(person.name, &person.groups, &self.people),
            Ok(Ok(None)) => Found::No,
            Ok(Err(error)) => return self.unanswered(&error.to_string()),
            Err(_) => return self.unanswered("it does not answer"),
        };
        self.answers.insert(digest(token), answer.clone());
        answer
    }

    fn unanswered(&self, cause: &str) -> Found {
        if let Some(times) = self.failed.happened() {
            warn!(
                times,
                cause, "the API server cannot be asked whose a token is; it may need the right to create tokenreviews"
            );
        }
        Found::Unknown { cause: "Kubernetes' API server cannot be asked whose the token is".into() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::super::jwt::tests::Provider as Issuer;
    use super::*;
    use crate::config::Who;

    fn oidc(issuer: &str, keys: Option<&str>) -> Oidc {
        Oidc {
            issuer: issuer.into(),
            audience: "headroom".into(),
            keys: keys.map(|keys| Jwks::parse(keys).unwrap()),
            ca_file: None,
            name_claim: "sub".into(),
            groups_claim: "groups".into(),
            people: People { operators: Who::list("group:sre"), viewers: Who::list("bob") },
        }
    }

    fn claims(issuer: &str, name: &str, groups: &[&str]) -> Value {
        let exp = Clock::system().now().0 / 1_000_000_000 + 300;
        json!({"iss": issuer, "aud": "headroom", "exp": exp, "sub": name, "groups": groups})
    }

    async fn identify(provider: &Provider, token: &str) -> Found {
        let unverified = Unverified::read(token).unwrap();
        assert!(provider.issued(&unverified));
        provider.identify(unverified).await
    }

    #[tokio::test]
    async fn callers_get_the_role_that_their_names_and_groups_have() {
        let (issuer, of) = (Issuer::new(), "https://login.example.org");
        let provider = Provider::new(oidc(of, Some(&issuer.jwks())), Clock::system()).unwrap();
        let token =
            |name: &str, groups: &[&str]| issuer.sign(json!({"alg": "ES256", "kid": "a"}), &claims(of, name, groups));
        let caller = |name: &str, role| Found::Caller { name: name.into(), role };
        assert_eq!(identify(&provider, &token("ada", &["sre"])).await, caller("ada (oidc)", Role::Operator));
        assert_eq!(identify(&provider, &token("bob", &[])).await, caller("bob (oidc)", Role::Viewer));
        assert_eq!(identify(&provider, &token("eve", &["dev"])).await, Found::Nobody { name: "eve".into() });
        let forged = Issuer::new().sign(json!({"alg": "ES256", "kid": "a"}), &claims(of, "ada", &["sre"]));
        assert_eq!(identify(&provider, &forged).await, Found::No);
        let of_another = issuer.sign(json!({"alg": "ES256"}), &claims("https://other.example.org", "ada", &[]));
        assert!(!provider.issued(&Unverified::read(&of_another).unwrap()), "Kubernetes may know it");
    }

    #[tokio::test]
    async fn keys_are_asked_of_the_issuer_and_not_for_each_token() {
        let (issuer, asked) = (Issuer::new(), Arc::<AtomicUsize>::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let of = format!("http://{}", listener.local_addr().unwrap());
        let (counted, jwks) = (asked.clone(), issuer.jwks());
        let of_itself = json!({"issuer": of, "jwks_uri": format!("{of}/keys")});
        let keys = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready(jwks.clone())
        };
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(move || std::future::ready(Json(of_itself.clone()))))
            .route("/keys", get(keys));
        let serving = tokio::spawn(axum::serve(listener, app).into_future());
        let provider = Provider::new(oidc(&of, None), Clock::system()).unwrap();
        for key in ["a", "b", "unknown", "unknown"] {
            let alg = if key == "b" { "EdDSA" } else { "ES256" };
            let token = issuer.sign(json!({"alg": alg, "kid": key}), &claims(&of, "bob", &[]));
            let is_let_in = matches!(identify(&provider, &token).await, Found::Caller { .. });
            assert_eq!(is_let_in, key != "unknown", "{key}");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        serving.abort();
    }

    #[tokio::test]
    async fn an_issuer_that_is_away_is_said_and_lets_nobody_in() {
        // A port that nobody listens on.
        let of = "http://127.0.0.1:1";
        let provider = Provider::new(oidc(of, None), Clock::system()).unwrap();
        let token = Issuer::new().sign(json!({"alg": "ES256", "kid": "a"}), &claims(of, "bob", &[]));
        assert!(matches!(identify(&provider, &token).await, Found::Unknown { .. }));
    }

    fn reviews(status: &Value, asked: Arc<AtomicUsize>) -> Reviews {
        let answer =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {}, "status": status});
        let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
            asked.fetch_add(1, Ordering::Relaxed);
            let answer = kube::client::Body::from(answer.to_string().into_bytes());
            std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(answer)))
        });
        let reviewer = Reviewer::new(kube::Client::new(service, "default"), "headroom".into());
        Reviews::new(reviewer, People { operators: vec![], viewers: Who::list("group:system:serviceaccounts:ops") })
    }

    #[tokio::test]
    async fn kubernetes_is_asked_once_about_a_token() {
        let asked = Arc::<AtomicUsize>::default();
        let name = "system:serviceaccount:ops:grafana";
        let user = json!({"username": name, "groups": ["system:serviceaccounts:ops"]});
        let reviews = reviews(&json!({"authenticated": true, "audiences": ["headroom"], "user": user}), asked.clone());
        assert_eq!(reviews.known("token"), None);
        let caller = Found::Caller { name: name.into(), role: Role::Viewer };
        assert_eq!(reviews.identify("token").await, caller);
        assert_eq!((reviews.known("token"), asked.load(Ordering::Relaxed)), (Some(caller), 1));
    }
}
