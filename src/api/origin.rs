//! Which web page may ask: a browser sends what a page of another origin tells it to, so that who may reach this machine
//! says little of who asks. Requests for a foreign `Host`, from a foreign `Origin`, or of another site are refused.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Api, Refusal};
use crate::config::{HostName, host_of, is_own};

/// What browsers say of where a request comes from (W3C Fetch Metadata).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What is sent with every answer: nobody embeds, guesses at, or keeps it.
const ANSWER_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Lets through what its own pages, programs and configured origins ask.
pub async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let listed = match check(&api, &request) {
        Ok(listed) => listed,
        Err(refusal) => return with_headers(refusal.into_response(), None),
    };
    // The question before the question: only listed origins get to ask it.
    if request.method() == Method::OPTIONS && listed.is_some() {
        let mut answer = StatusCode::NO_CONTENT.into_response();
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
        return with_headers(answer, listed);
    }
    with_headers(next.run(request).await, listed)
}

fn with_headers(mut answer: Response, listed: Option<HeaderValue>) -> Response {
    answer.headers_mut().extend(ANSWER_HEADERS);
    if let Some(origin) = listed {
        answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Origin"));
        answer.headers_mut().remove("cross-origin-resource-policy");
    }
    answer
}

/// The origin, where it is a foreign one that is listed.
fn check(api: &Api, request: &Request) -> Result<Option<HeaderValue>, Refusal> {
    let headers = request.headers();
    let authority = authority(request)?;
    let host = host_of(&authority);
    if !is_own(host) && !api.hosts.iter().any(|name: &HostName| name.matches(host)) {
        return Err(Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            format!("this API does not answer to the host `{}`", host.escape_debug()),
            "ask for localhost or an address, or add the name to api.hosts",
        ));
    }
    let foreign = |what: &str| {
        let error = format!("{what} may not ask this API");
        Refusal::new(StatusCode::FORBIDDEN, error, "use a program, or add the page's origin to api.origins")
    };
    if let Some(origin) = headers.get(header::ORIGIN) {
        let text = origin.to_str().unwrap_or("null").to_ascii_lowercase();
        if api.origins.contains(&text) {
            return Ok(Some(origin.clone()));
        }
        // `null` is what sandboxed frames and files are.
        let same = text.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(&authority));
        if !same {
            return Err(foreign("a page of another origin"));
        }
    }
    let of = |name: &HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    match of(&SITE) {
        None | Some(b"same-origin" | b"none") => Ok(None),
        // A link that somebody followed: its page cannot read what comes.
        Some(_) if of(&MODE) == Some(b"navigate") && is_reading(request.method()) => Ok(None),
        Some(_) => Err(foreign("a page of another site")),
    }
}

fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// What the request is for: the target's own authority (HTTP/2, proxies), else the one `Host`.
fn authority(request: &Request) -> Result<String, Refusal> {
    let unclear = || {
        let remedy = "send one Host header, such as localhost:8080";
        Refusal::new(StatusCode::BAD_REQUEST, "the request does not say for which host it is", remedy)
    };
    let header = one_host(request.headers()).map_err(|()| unclear())?;
    match (request.uri().authority(), header) {
        // Where both are there and differ, one of them is a lie.
        (Some(target), Some(header)) if !target.as_str().eq_ignore_ascii_case(header) => Err(unclear()),
        (Some(target), _) => Ok(target.as_str().to_owned()),
        (None, Some(header)) => Ok(header.to_owned()),
        (None, None) => Err(unclear()),
    }
}

fn one_host(headers: &HeaderMap) -> Result<Option<&str>, ()> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Ok(None),
        (Some(host), None) => host.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}
