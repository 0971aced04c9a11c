//! `envoy.service.auth.v3.Authorization`: the same question by Envoy's external authorization, for gateways whose global
//! rate limit takes no service of one's own.
//!
//! The entry operation is named by the route (`context_extensions: {entry: …}`), or found by method and path; client,
//! priority and retries are headers that the configuration names.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::rpc;
use tonic::{Code, Request, Response, Status};

use super::Gateway;
use super::asked::{Asked, Unknown};
use super::ratelimit::headers;
use crate::shape::Answer;

const TOO_MANY_REQUESTS: i32 = 429;

pub(super) struct Authorizations(pub Arc<Gateway>);

#[tonic::async_trait]
impl Authorization for Authorizations {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(respond(&answer(&self.0, request.get_ref()))))
    }
}

fn answer(gateway: &Gateway, request: &CheckRequest) -> Answer {
    let attributes = request.attributes.as_ref();
    let http = attributes.and_then(|of| of.request.as_ref()).and_then(|request| request.http.as_ref());
    let (Some(attributes), Some(http)) = (attributes, http) else {
        gateway.unknown(Unknown::Descriptor);
        return Answer::Admitted;
    };
    let names = gateway.headers();
    let header = |name: Option<&str>| name.and_then(|name| http.headers.get(name)).map_or("", String::as_str);
    let extension = |name: &str| attributes.context_extensions.get(name).map_or("", String::as_str);
    // What the route says goes before what the request says.
    let either = |given: &'static str, by_header: Option<&str>| {
        Some(extension(given)).filter(|given| !given.is_empty()).unwrap_or(header(by_header))
    };
    gateway.ask(&Asked {
        entry: extension("entry"),
        method: &http.method,
        path: &http.path,
        client: either("client", names.client),
        priority: either("priority", names.priority),
        retries: header(names.retry),
    })
}

fn respond(answer: &Answer) -> CheckResponse {
    let (code, response) = match answer {
        Answer::Admitted => (Code::Ok, HttpResponse::OkResponse(OkHttpResponse::default())),
        Answer::Shed { retry_after_s, per_s, .. } => {
            let option = |(key, value): (&str, String)| HeaderValueOption {
                header: Some(HeaderValue { key: key.into(), value, ..HeaderValue::default() }),
                ..HeaderValueOption::default()
            };
            let denied = DeniedHttpResponse {
                status: Some(HttpStatus { code: TOO_MANY_REQUESTS }),
                headers: headers(*retry_after_s, *per_s).into_iter().map(option).collect(),
                body: String::new(),
            };
            (Code::ResourceExhausted, HttpResponse::DeniedResponse(denied))
        }
    };
    CheckResponse {
        status: Some(rpc::Status { code: code.into(), ..rpc::Status::default() }),
        http_response: Some(response),
        ..CheckResponse::default()
    }
}
