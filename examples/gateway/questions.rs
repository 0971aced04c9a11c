//! The questions of a rate limit filter with the shipped actions: method, path, client and priority.

use bytes::Bytes;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use envoy_types::pb::envoy::service::ratelimit::v3::RateLimitRequest;
use prost::Message;

/// Encoded ahead, and asked in turn: a generator costs as little as it can. More than there are routes, and prime, so that routes meet
/// all classes in time.
const AHEAD: usize = 20_011;

/// Areas of the routes: a site has so many first segments.
const AREAS: usize = 25;

/// The route of a number, as traces name it. Of letters alone: a number in a name is taken for an identifier.
pub fn route(number: usize) -> String {
    format!("{}/{{id}}/view", place(number))
}

/// A path of that route.
fn path(number: usize, id: usize) -> String {
    format!("{}/{id}/view?page=2", place(number))
}

fn place(number: usize) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    let area = letter(number % AREAS);
    format!("/area-{area}/things-{}{}{}", letter(number / 676), letter(number / 26), letter(number))
}

fn question(route: usize, id: usize, client: String, priority: usize) -> Bytes {
    let entry = |key: &str, value: String| Entry { key: key.into(), value };
    let entries = vec![
        entry("method", "GET".into()),
        entry("path", path(route, id)),
        entry("client", client),
        entry("priority", priority.to_string()),
    ];
    let descriptor = RateLimitDescriptor { entries, ..RateLimitDescriptor::default() };
    let request = RateLimitRequest { domain: "headroom".into(), descriptors: vec![descriptor], hits_addend: 0 };
    request.encode_to_vec().into()
}

/// Questions without an end.
pub struct Questions {
    encoded: Vec<Bytes>,
    routes: usize,
    /// Each by a client that was never heard of.
    are_strangers: bool,
    asked: usize,
}

impl Questions {
    pub fn new(routes: usize, classes: usize, are_strangers: bool) -> Questions {
        let one = |n: usize| {
            // Fibonacci hashing scatters both.
            let scattered = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
            question(n % routes, n, format!("class-{}", scattered % classes), scattered / classes % 4)
        };
        let encoded = if are_strangers { Vec::new() } else { (0..AHEAD).map(one).collect() };
        Questions { encoded, routes, are_strangers, asked: 0 }
    }

    pub fn next(&mut self) -> Bytes {
        self.asked += 1;
        if self.are_strangers {
            return question(self.asked % self.routes, self.asked, format!("stranger-{}", self.asked), self.asked % 4);
        }
        self.encoded[self.asked % self.encoded.len()].clone()
    }
}
