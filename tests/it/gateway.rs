//! Gateways ask, and headroom answers: a real Envoy with the shipped configuration, and a real `headroom serve`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use envoy_types::pb::envoy::service::ratelimit::v3::RateLimitRequest;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::Code;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use headroom::clock::Clock;
use headroom::config::{self, Pattern, Priority};
use headroom::gateway::{Gateway, Server};
use headroom::net;
use headroom::shape::{Cost, Level, Limits, ServiceLimit};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio_util::sync::CancellationToken;

use crate::process::{Daemon, pause};
use crate::real::ensemble::{Answered, Ensemble, Route, free_ports};
use crate::real::programs::Programs;
use crate::real::target::Target;
use crate::real::{probe, turn};
use crate::skip::{self, measured, say};

const SUBMIT: &str = "shop POST /exam/{id}/submit";
const VIDEO: &str = "shop GET /video/{id}";
const CATALOGUE: &str = "shop GET /catalogue";
const SOON: Duration = Duration::from_secs(60);

/// What cannot cross the limited service is never limited; the others may make a second of work a second there.
fn limits(clock: &Clock) -> Limits {
    let cost = Cost { calls: 1.0, work_s: 0.05 };
    let limit = ServiceLimit {
        service: "exam".into(),
        work_per_s: 1.0,
        levels: vec![Level::new(2, false), Level::new(8, false)],
        costs: [(SUBMIT.to_owned(), cost), (VIDEO.to_owned(), cost)].into(),
    };
    Limits { valid_until: clock.now() + Duration::from_secs(600), services: vec![limit], routes: Vec::new() }
}

/// Ended with its test.
struct Envoy(Child);

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Envoy {
    fn start(program: &Path, configuration: &str) -> Envoy {
        let mut command = Command::new(program);
        command.args([
            "--config-yaml",
            configuration,
            "--disable-hot-restart",
            "--concurrency",
            "1",
            "--log-level",
            "error",
        ]);
        Envoy(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

/// The shipped configuration, and a backend that answers everything. With `authorization`, the authorization filter asks in
/// place of the rate limit filter.
fn configuration(ports: [u16; 3], headroom: SocketAddr, authorization: bool) -> String {
    let [port, admin, backend] = ports.map(|port| port.to_string());
    let shipped = include_str!("../../deploy/gateway/envoy.yaml");
    let filled = shipped.replace("@PORT@", &port).replace("@ADMIN_PORT@", &admin).replace("@BACKEND_PORT@", &backend);
    let filled = filled.replace("@HEADROOM_PORT@", &headroom.port().to_string());
    let backend = format!(
        r#"
    - name: backend
      address: {{ socket_address: {{ address: 127.0.0.1, port_value: {backend} }} }}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: backend
                route_config:
                  virtual_hosts:
                    - {{ name: all, domains: ["*"], routes: [{{ match: {{ prefix: "/" }}, direct_response: {{ status: 200 }} }}] }}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"#
    );
    let filled = filled.replacen("  listeners:", &format!("  listeners:{}", backend.trim_end()), 1);
    if !authorization {
        return filled;
    }
    let from = filled.find("                  - name: envoy.filters.http.ratelimit").unwrap();
    let to = from + filled[from..].find("                  - name: envoy.filters.http.router").unwrap();
    let filter = r#"                  - name: envoy.filters.http.ext_authz
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
                      transport_api_version: V3
                      failure_mode_allow: true
                      grpc_service: { envoy_grpc: { cluster_name: headroom }, timeout: 0.05s }
"#;
    format!("{}{filter}{}", &filled[..from], &filled[to..])
}

#[derive(Default)]
struct Seen {
    admitted: u32,
    shed: u32,
    /// Of the last that was shed.
    headers: HeaderMap,
}

/// Asks for each of these alternately, so many times a second in all, for three seconds.
async fn ask(port: u16, requests: &[(reqwest::Method, &str)], per_s: u32) -> Vec<Seen> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    let mut seen: Vec<Seen> = requests.iter().map(|_| Seen::default()).collect();
    let mut beat = tokio::time::interval(Duration::from_secs(1) / per_s);
    for turn in 0..(3 * per_s) as usize {
        beat.tick().await;
        let index = turn % requests.len();
        let (method, path) = &requests[index];
        let answer = client.request(method.clone(), format!("http://127.0.0.1:{port}{path}")).send().await.unwrap();
        match answer.status() {
            StatusCode::OK => seen[index].admitted += 1,
            StatusCode::TOO_MANY_REQUESTS => {
                seen[index].shed += 1;
                seen[index].headers = answer.headers().clone();
            }
            other => panic!("{other} for {path}"),
        }
    }
    seen
}

#[test]
fn envoy_turns_away_the_lowest_priority_and_lets_everything_in_once_headroom_is_gone() {
    let test = "envoy_turns_away_the_lowest_priority_and_lets_everything_in_once_headroom_is_gone";
    if Programs::find(test).is_none() {
        return;
    }
    let env = std::fs::read_to_string(skip::cache().join("real/env")).unwrap();
    let envoy = env.lines().find_map(|line| line.strip_prefix("HEADROOM_ENVOY=")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let of = |entry: &str, priority| Priority { entry: Pattern::new(entry), priority };
    let priorities = vec![of(SUBMIT, 8), of(VIDEO, 2)];
    for authorization in [false, true] {
        let clock = Clock::system();
        let said = config::Gateway { priorities: priorities.clone(), ..config::Gateway::default() };
        let gateway = Arc::new(Gateway::new(said, Vec::new(), clock.clone()));
        gateway.set(&limits(&clock), [SUBMIT, VIDEO, CATALOGUE].into_iter());
        let places = net::Limits { connections_max: 64, first_request: SOON, idle: SOON };
        let stop = CancellationToken::new();
        let _inside = runtime.enter();
        let server = Server::bind(gateway.clone(), "127.0.0.1:0".parse().unwrap(), None, None, places).unwrap();
        let headroom = server.address();
        let serving = runtime.spawn(server.serve(stop.clone()));
        let ports = free_ports::<3>();
        let _envoy = Envoy::start(Path::new(envoy), &configuration(ports, headroom, authorization));
        let ready = format!("http://127.0.0.1:{}/ready", ports[1]);
        probe::until("Envoy is ready", SOON, || probe::get(&ready));

        // Twenty a second have room at the service; sixty come of each of the two that cross it.
        let requests = [
            (reqwest::Method::POST, "/exam/7/submit"),
            (reqwest::Method::GET, "/video/7?quality=high"),
            (reqwest::Method::GET, "/catalogue"),
        ];
        let seen = runtime.block_on(ask(ports[0], &requests, 180));
        let [submit, video, catalogue] = seen.as_slice() else { panic!("three kinds of requests") };
        let story = format!(
            "{} and {} of submits, {} and {} of videos",
            submit.admitted, submit.shed, video.admitted, video.shed
        );
        assert!(submit.admitted >= 40 && submit.admitted <= 90, "{story}");
        assert!(video.admitted < 20 && video.shed > 100, "{story}");
        assert_eq!((catalogue.shed, catalogue.admitted), (0, 180), "it never reaches the service");
        let header = |name: &str| video.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let again: f64 = header("retry-after").expect("when to come again").parse().unwrap();
        assert!((2.0..=4.0).contains(&again));
        assert!(header("ratelimit").is_some_and(|told| told.starts_with("\"headroom\";r=0;t=")), "{:?}", video.headers);
        assert_eq!(header("ratelimit-policy").as_deref(), Some("\"headroom\";q=20;w=1"));

        // It ends, and nobody is turned away any more.
        stop.cancel();
        runtime.block_on(serving).unwrap();
        let seen = runtime.block_on(ask(ports[0], &requests, 60));
        assert!(seen.iter().all(|of| of.shed == 0), "it fails open");
    }
}

/// Asks by gRPC as Envoy does.
async fn code(gateway: &str, token: Option<&str>, domain: &str, entries: &[(&str, &str)]) -> Result<Code, tonic::Code> {
    let channel =
        tonic::transport::Endpoint::from_shared(format!("http://{gateway}")).unwrap().connect().await.unwrap();
    let entry = |(key, value): &(&str, &str)| Entry { key: (*key).into(), value: (*value).into() };
    let descriptor =
        RateLimitDescriptor { entries: entries.iter().map(entry).collect(), ..RateLimitDescriptor::default() };
    let mut request =
        tonic::Request::new(RateLimitRequest { domain: domain.into(), descriptors: vec![descriptor], hits_addend: 0 });
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let answer = RateLimitServiceClient::new(channel).should_rate_limit(request).await;
    answer.map(|answer| answer.into_inner().overall_code()).map_err(|status| status.code())
}

#[test]
fn serve_answers_and_lets_in_what_it_does_not_understand() {
    let directory = tempfile::tempdir().unwrap();
    let token = "correct-horse-battery";
    let config = format!(
        "receive: {{grpc: 127.0.0.1:0, http: 127.0.0.1:0}}
api: {{listen: 127.0.0.1:0}}
gateway:
  listen: 127.0.0.1:0
  token: {token}
"
    );
    std::fs::write(directory.path().join("headroom.yaml"), config).unwrap();
    let daemon = Daemon::start(directory.path(), &["--config", "headroom.yaml"]);
    let listening = daemon.seen.iter().find(|line| line["message"] == "listening").unwrap();
    let gateway = listening["gateway"].as_str().unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let huge = "x".repeat(64 << 10);
    let asked = [
        (Some(token), "headroom", vec![("method", "GET"), ("path", "/never/seen")], Ok(Code::Ok)),
        (Some(token), "headroom", vec![("path", huge.as_str())], Ok(Code::Ok)),
        (Some(token), "headroom", vec![("colour", "green")], Ok(Code::Ok)),
        (Some(token), "another", vec![("path", "/")], Ok(Code::Ok)),
        (Some("wrong-horse-battery"), "headroom", vec![("path", "/")], Err(tonic::Code::Unauthenticated)),
        (None, "headroom", vec![("path", "/")], Err(tonic::Code::Unauthenticated)),
    ];
    for (token, domain, entries, expected) in asked {
        assert_eq!(runtime.block_on(code(&gateway, token, domain, &entries)), expected, "{domain} {entries:.60?}");
    }
    let page = probe::get(&format!("{}/metrics", daemon.api)).unwrap();
    let unknown = |what: &str| probe::series(&page, &format!("headroom_gateway_unknown_total{{what=\"{what}\"}}"));
    assert_eq!(["entry", "descriptor", "domain"].map(|what| unknown(&format!("unknown_{what}"))), [2, 1, 1]);
    assert_eq!(daemon.terminate(), 0);
}

/// What a load driver was answered, as shares of what it sent.
struct Shares {
    admitted: f64,
    shed: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Shares {
    fn of(answered: &Answered) -> Shares {
        let report = &answered.report;
        let sent = report["sent"].as_f64().unwrap().max(1.0);
        let share = |status: &str| report["statuses"][status].as_f64().unwrap_or(0.0) / sent;
        let ms = |quantile: &str| report[quantile].as_f64().unwrap_or(f64::INFINITY);
        Shares { admitted: share("200"), shed: share("429"), p50_ms: ms("p50_ms"), p99_ms: ms("p99_ms") }
    }
}

/// The whole way: Envoy traces and asks, the shop's `stock` can do 50 requests a second and is asked for 120, of which those
/// that matter are few. Without shaping all of them wait for the stock until they give up.
#[test]
fn at_twice_what_a_service_can_do_what_matters_is_served_and_the_rest_turned_away() {
    let test = "at_twice_what_a_service_can_do_what_matters_is_served_and_the_rest_turned_away";
    let Some(programs) = Programs::find(test) else { return };
    let _turn = turn();
    let [gateway] = free_ports();
    let target = Target::with(&format!(
        "mode: enforce
default_objective: {{latency: 400ms, quantile: 0.9, errors: 5%}}
gateway:
  listen: 127.0.0.1:{gateway}
  priorities: [{{entry: \"* GET /submit\", priority: 9}}, {{entry: \"* GET /page\", priority: 2}}]
cluster: {{fixed: {{services: [{{service: loopback/shop/stock, instances: stock-0}}]}}}}
"
    ));
    let (grpc, asked) = (target.grpc(), gateway.to_string());
    let route = Route {
        sdk: "http",
        collector: &["--to-grpc", &grpc],
        shop: &["--workers", "stock=4"],
        envoy: &["--headroom-port", &asked],
    };
    let ensemble = Ensemble::start(&programs, target.directory(), &route);
    ensemble.slow_stock(75);
    let (submits, pages) =
        (ensemble.load_of("submits", "/submit", 8, 600), ensemble.load_of("pages", "/page", 12, 600));
    probe::until("healthy time is being learnt", SOON, || target.has_baseline().then_some(()));
    let enough = target.spans() + 10 * 20 * 7;
    probe::until("ten seconds have been learnt", SOON, || (target.spans() >= enough).then_some(()));
    assert_eq!(
        target.metric("headroom_gateway_answers_total{answer=\"shed\"}"),
        0,
        "nobody is turned away in healthy time"
    );
    let calm = Shares::of(&submits.stop());
    assert_eq!((calm.admitted, calm.shed), (1.0, 0.0));

    let burst = ensemble.load_of("burst", "/page", 100, 600);
    let under_load = ensemble.load_of("submits_at_first", "/submit", 8, 600);
    let shed = || target.metric("headroom_gateway_answers_total{answer=\"shed\"}");
    let (_, took) = probe::until("requests are turned away", SOON, || (shed() > 50).then_some(()));
    measured("gateway.shed_within", format!("{:.1}", took.as_secs_f64()), "s");
    let _ = under_load.stop();
    // What had queued by then is worked off within seconds.
    pause(Duration::from_secs(8));
    let submits = ensemble.load_of("submits_while_shed", "/submit", 8, 600);
    pause(Duration::from_secs(15));
    let (submits, burst) = (Shares::of(&submits.stop()), Shares::of(&burst.stop()));
    let story = || {
        let decided = target.api("decisions?limit=20").unwrap_or_default();
        say(&format!("verdicts: {:?}\n{decided:#}", target.verdicts()));
    };
    for (who, shares) in [("submits", &submits), ("pages", &burst)] {
        measured(&format!("gateway.{who}_admitted"), format!("{:.3}", shares.admitted), "share");
        measured(&format!("gateway.{who}_shed"), format!("{:.3}", shares.shed), "share");
        measured(&format!("gateway.{who}_p50"), format!("{:.0}", shares.p50_ms), "ms");
        measured(&format!("gateway.{who}_p99"), format!("{:.0}", shares.p99_ms), "ms");
    }
    if submits.admitted < 0.95 || submits.p50_ms > 400.0 || burst.shed < 0.3 {
        story();
    }
    assert!(submits.admitted >= 0.95, "{} of submits were served", submits.admitted);
    assert!(submits.p50_ms <= 400.0, "half of them within their objective: {} ms", submits.p50_ms);
    assert!(burst.shed >= 0.3, "{} of pages were turned away", burst.shed);

    // The load is over: nobody is turned away any more.
    let quiet = || {
        let before = shed();
        pause(Duration::from_secs(3));
        (shed() == before && target.api("interventions").unwrap_or_default()["interventions"] == serde_json::json!([]))
            .then_some(())
    };
    let (_, took) = probe::until("the limit is gone", SOON, quiet);
    measured("gateway.limit_gone_within", format!("{:.0}", took.as_secs_f64()), "s");
    let pages = Shares::of(&pages.stop());
    say(&format!("of the calm load's pages, all the time, {:.2} were turned away", pages.shed));
    let others: Vec<String> = target.ever_named().into_iter().filter(|name| name != "loopback/shop/stock").collect();
    assert!(others.is_empty(), "{others:?} were named");
}
