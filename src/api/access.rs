//! Who may ask, how long it may take, and what is answered where nothing is.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::warn;

use super::issued::{Found, Provider, Reviews};
use super::jwt::Unverified;
use super::{Api, Refusal};
use crate::clock::Stopwatch;
use crate::config::callers::{digest, is_same};
use crate::config::{Caller, Role, Token};
use crate::model::printable;

/// Where a request comes from; put into its extensions by whoever accepted the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Who asks, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// No token is asked for, or one that all share: then who it is says the request itself.
    Unnamed,
    Named {
        name: String,
        role: Role,
    },
}

/// Who may ask, and who lately tried in vain.
#[derive(Default)]
pub struct Access {
    /// Of the token that all share.
    shared: Option<[u8; 32]>,
    callers: Vec<Caller>,
    provider: Option<Provider>,
    reviews: Option<Reviews>,
    failures: Mutex<HashMap<Option<IpAddr>, Failures>>,
}

/// Failed attempts of one peer, in a bucket that drains.
#[derive(Debug)]
struct Failures {
    since: Stopwatch,
    count: u32,
}

/// Wrong tokens that one peer may present in [`DRAINED`]: a person's mistakes, and a dashboard with an old token; of more
/// neither each is answered with a reason nor is each logged.
const FAILURES_MAX: u32 = 10;
const DRAINED: Duration = Duration::from_secs(60);
/// Peers that are remembered; past them all are forgotten, which costs a line of log each.
const PEERS_MAX: usize = 4_096;

impl Access {
    pub fn new(shared: Option<&Token>, callers: Vec<Caller>) -> Access {
        Access { shared: shared.map(|token| digest(token.reveal())), callers, ..Access::default() }
    }

    /// Takes the tokens that these issue too.
    pub fn with_issuers(self, provider: Option<Provider>, reviews: Option<Reviews>) -> Access {
        Access { provider, reviews, ..self }
    }

    pub(super) fn asks_for_a_token(&self) -> bool {
        self.shared.is_some() || !self.callers.is_empty() || self.provider.is_some() || self.reviews.is_some()
    }

    /// Whose token it is, as those say who issue some. Whoever presented many wrong ones has nobody asked for them: what is
    /// known already, or can be told from the token itself, is let in all the same.
    async fn ask(&self, token: &str, may_ask: bool) -> Found {
        if let (Some(provider), Some(unverified)) = (&self.provider, Unverified::read(token))
            && provider.issued(&unverified)
        {
            return provider.identify(unverified).await;
        }
        match &self.reviews {
            Some(reviews) => match reviews.known(token) {
                Some(found) => found,
                None if may_ask => reviews.identify(token).await,
                None => Found::No,
            },
            None => Found::No,
        }
    }

    /// Whose token it is, of those in the configuration. All are compared, in a time that tells nothing.
    fn identify(&self, token: &str) -> Option<Identity> {
        let presented = digest(token);
        let mut found = None;
        for caller in &self.callers {
            if caller.has(&presented) {
                found = Some(Identity::Named { name: caller.name.clone(), role: caller.role });
            }
        }
        if self.shared.as_ref().is_some_and(|shared| is_same(shared, &presented)) && found.is_none() {
            found = Some(Identity::Unnamed);
        }
        found
    }

    /// Whether this peer lately presented more wrong tokens than are each looked into.
    fn is_barred(&self, peer: Option<IpAddr>) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures
            .get(&peer)
            .is_some_and(|failures| failures.count >= FAILURES_MAX && failures.since.elapsed() <= DRAINED)
    }

    /// Counts a failed attempt; how many of this peer there were lately.
    fn failed(&self, peer: Option<IpAddr>) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= PEERS_MAX && !failures.contains_key(&peer) {
            failures.clear();
        }
        let of_peer = failures.entry(peer).or_insert_with(|| Failures { since: Stopwatch::start(), count: 0 });
        if of_peer.since.elapsed() > DRAINED {
            if of_peer.count > FAILURES_MAX {
                warn!(peer = in_words(peer), count = of_peer.count, "API tokens were rejected within a minute");
            }
            *of_peer = Failures { since: Stopwatch::start(), count: 0 };
        }
        of_peer.count = of_peer.count.saturating_add(1);
        of_peer.count
    }
}

fn in_words(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "unknown".into(), |peer| peer.to_string())
}

/// Lets a request through when no token is asked for or it presents a right one, and says who it is.
pub async fn authenticate(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let path = request.uri().path();
    // Nothing of the request is borrowed while others are asked: its body cannot be shared.
    let token = bearer(request.headers()).map(str::to_owned);
    let identity = match identity(&api.access, peer, path.to_owned(), token).await {
        Ok(identity) => identity,
        Err(refusal) => return ([(header::WWW_AUTHENTICATE, "Bearer")], refusal).into_response(),
    };
    request.extensions_mut().insert(identity);
    next.run(request).await
}

async fn identity(
    access: &Arc<Access>,
    peer: Option<IpAddr>,
    path: String,
    token: Option<String>,
) -> Result<Identity, Refusal> {
    if !access.asks_for_a_token() {
        return Ok(Identity::Unnamed);
    }
    let Some(token) = token else {
        return Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "this API asks for a bearer token",
            "send the header `Authorization: Bearer TOKEN`, with the token of `api` in the configuration",
        ));
    };
    if let Some(identity) = access.identify(&token) {
        return Ok(identity);
    }
    match access.ask(&token, !access.is_barred(peer)).await {
        Found::Caller { name, role } => return Ok(Identity::Named { name, role }),
        Found::Nobody { name } => {
            warn!(peer = in_words(peer), path, name = %printable(&name), "a caller with a good token may do nothing here");
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                format!("{} may do nothing here", printable(&name)),
                "ask for a place in `viewers` or `operators` of api.oidc or api.token_review",
            ));
        }
        Found::Unknown { cause } => {
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, cause, "ask again in a minute"));
        }
        Found::No => {}
    }
    let count = access.failed(peer);
    if count > FAILURES_MAX {
        return Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many wrong tokens from this address",
            "correct the token; a right one of the configuration is let in at once",
        ));
    }
    warn!(peer = in_words(peer), path, count, "API token rejected");
    Err(Refusal::new(
        StatusCode::UNAUTHORIZED,
        "token rejected",
        "present the token of `api` in the configuration, one of its tokens_file, or one of its issuers",
    ))
}

/// Whether a request may change what headroom does, where the route itself decides who may ask otherwise.
pub async fn may_operate(api: &Api, headers: &HeaderMap, peer: Option<IpAddr>, path: &str) -> Result<(), Response> {
    let token = bearer(headers).map(str::to_owned);
    match identity(&api.access, peer, path.to_owned(), token).await {
        Ok(Identity::Unnamed | Identity::Named { role: Role::Operator, .. }) => Ok(()),
        Ok(Identity::Named { name, role: Role::Viewer }) => Err(viewer(&name).into_response()),
        Err(refusal) => Err(([(header::WWW_AUTHENTICATE, "Bearer")], refusal).into_response()),
    }
}

fn viewer(name: &str) -> Refusal {
    Refusal::new(
        StatusCode::FORBIDDEN,
        format!("{name} is a viewer and may change nothing"),
        "ask an operator, or make this name one in api.tokens_file or in `operators` of its issuer",
    )
}

/// Lets through who may change what headroom does.
pub async fn operators(Extension(identity): Extension<Identity>, request: Request, next: Next) -> Response {
    match identity {
        Identity::Unnamed | Identity::Named { role: Role::Operator, .. } => next.run(request).await,
        Identity::Named { name, role: Role::Viewer } => viewer(&name).into_response(),
    }
}

/// RFC 6750: the scheme's name is case-insensitive. Two of them are none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub async fn deadline(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("no answer within {} s", limit.as_secs()),
            "ask again; if it stays, look at the daemon's log",
        )
        .into_response(),
    }
}

pub async fn not_found(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("nothing is at {}", uri.path()),
        "the paths are /livez, /readyz, /metrics and /api/v1/{status,bottleneck,findings,services,entries,\
         decisions,notices,interventions,schedule,explain/ID,pause,resume,sql,schedule/changes}",
    )
}

pub async fn method_not_allowed(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} does not take this method", uri.path()),
        "use POST for pause, resume, sql and schedule/changes, GET for all else",
    )
}
