//! `envoy.service.ratelimit.v3.RateLimitService`: one question for each request that Envoy's rate limit filter asks about.
//!
//! Descriptors have the keys `entry` (or `method` and `path`), `client`, `priority` and `retries`, in one or in several.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::HeaderValue;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::{Code, DescriptorStatus, RateLimit};
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::RateLimitService;
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use tonic::{Request, Response, Status};

use super::Gateway;
use super::asked::{Asked, Unknown};
use crate::shape::Answer;

pub(super) struct RateLimits(pub Arc<Gateway>);

#[tonic::async_trait]
impl RateLimitService for RateLimits {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        Ok(Response::new(answer(&self.0, request.get_ref())))
    }
}

fn answer(gateway: &Gateway, request: &RateLimitRequest) -> RateLimitResponse {
    let descriptors = request.descriptors.len();
    if request.domain != gateway.domain() {
        gateway.unknown(Unknown::Domain);
        return respond(descriptors, &Answer::Admitted);
    }
    let mut asked = Asked::default();
    for entry in request.descriptors.iter().flat_map(|descriptor| &descriptor.entries) {
        let field = match entry.key.as_str() {
            "entry" => &mut asked.entry,
            "method" => &mut asked.method,
            "path" => &mut asked.path,
            "client" => &mut asked.client,
            "priority" => &mut asked.priority,
            "retries" => &mut asked.retries,
            _ => continue,
        };
        *field = entry.value.as_str();
    }
    if asked.entry.is_empty() && asked.path.is_empty() {
        gateway.unknown(Unknown::Descriptor);
        return respond(descriptors, &Answer::Admitted);
    }
    respond(descriptors, &gateway.ask(&asked))
}

fn respond(descriptors: usize, answer: &Answer) -> RateLimitResponse {
    let (code, limit, headers) = match answer {
        Answer::Admitted => (Code::Ok, None, Vec::new()),
        Answer::Shed { retry_after_s, per_s, .. } => {
            let requests_per_unit = per_s.round().clamp(0.0, f64::from(u32::MAX)) as u32;
            let limit = RateLimit { name: "headroom".into(), requests_per_unit, unit: Unit::Second.into() };
            (Code::OverLimit, Some(limit), headers(*retry_after_s, *per_s))
        }
    };
    let status = DescriptorStatus {
        code: code.into(),
        current_limit: limit,
        limit_remaining: 0,
        duration_until_reset: None,
        ..DescriptorStatus::default()
    };
    let header = |(key, value): (&str, String)| HeaderValue { key: key.into(), value, ..HeaderValue::default() };
    RateLimitResponse {
        overall_code: code.into(),
        statuses: vec![status; descriptors],
        response_headers_to_add: headers.into_iter().map(header).collect(),
        ..RateLimitResponse::default()
    }
}

/// What a client is told: when to come again (RFC 9110), and the limit (the IETF's draft of RateLimit header fields).
pub(super) fn headers(retry_after_s: f64, per_s: f64) -> Vec<(&'static str, String)> {
    let seconds = retry_after_s.ceil();
    vec![
        ("retry-after", format!("{seconds}")),
        ("ratelimit-policy", format!("\"headroom\";q={};w=1", per_s.round())),
        ("ratelimit", format!("\"headroom\";r=0;t={seconds}")),
    ]
}
