//! The API as a client sees it: routes, refusals, and SQL within its limits.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::analyse::{Bottleneck, Findings, Verdict};
use crate::clock::Clock;
use crate::config::{self, Caller, HostName, HumanDuration, Role, Token};
use crate::engine::Event;
use crate::model::{SpanBuilder, SpanRow, Time, spans};
use crate::sql::Table;

mod registrar;

/// An API over a snapshot in which `auth` is saturated and three spans are known.
struct Fixture {
    api: Api,
    controls: mpsc::Receiver<Control>,
    readiness: watch::Sender<Readiness>,
    heard: mpsc::Receiver<Said>,
}

fn fixture(config: config::Api) -> Fixture {
    let mut builder = SpanBuilder::new();
    for service in ["auth", "auth", "ingress"] {
        builder.append(&SpanRow { service, operation: "POST /login", duration_ns: 7, ..SpanRow::default() });
    }
    let bottleneck = Bottleneck {
        entry: "ingress POST /login".into(),
        service: "auth".into(),
        verdict: Verdict::Saturated,
        ..Bottleneck::default()
    };
    let snapshot = Snapshot {
        tick: 1,
        at: Time::from_secs(1_764_000_000),
        findings: Findings { bottlenecks: vec![bottleneck], ..Findings::default() },
        tables: Arc::from([Table {
            name: "spans",
            schema: spans::schema(),
            batches: vec![builder.finish().record_batch().clone()],
        }]),
        ..Snapshot::default()
    };
    // A receiver goes on answering with the last value after its sender is gone.
    let (_, snapshot) = watch::channel(Arc::new(snapshot));
    let (readiness, readiness_out) = watch::channel(Readiness::Starting("the first tick"));
    let (controls_in, controls) = mpsc::channel(1);
    let (heard_in, heard) = mpsc::channel(2);
    let secret = Some(crate::config::Token::new(REGISTRARS_SECRET));
    let kinds = vec![crate::schedule::Kind { name: "exam".into(), ..crate::schedule::Kind::default() }];
    let api = Api {
        snapshot,
        readiness: readiness_out,
        controls: controls_in,
        metrics: Arc::new(Metrics::default().with_receivers(Arc::default())),
        sql: Arc::new(Sql::start(&tokio::runtime::Handle::current(), &config, Arc::default()).unwrap()),
        registrar: Arc::new(Registrar::new(secret, crate::schedule::Settings::default(), kinds, heard_in)),
        notices: Arc::default(),
        clock: Clock::system(),
        ticks_late: Duration::MAX,
        access: Arc::new(Access::new(config.token.as_ref(), config.callers)),
        hosts: config.hosts.into(),
        origins: config.origins.into(),
    };
    Fixture { api, controls, readiness, heard }
}

const REGISTRARS_SECRET: &str = "a secret of the registrar's";

async fn ask(api: &Api, mut request: Request<Body>) -> (StatusCode, String) {
    request.headers_mut().entry(header::HOST).or_insert("localhost:8080".parse().unwrap());
    let response = router(api.clone()).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(api: &Api, path: &str) -> (StatusCode, String) {
    ask(api, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn post(api: &Api, path: &str, body: Value) -> (StatusCode, Value) {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    let (status, body) = ask(api, request.body(Body::from(body.to_string())).unwrap()).await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn sql(api: &Api, query: &str) -> (StatusCode, Value) {
    post(api, "/api/v1/sql", json!({"query": query})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_names_its_remedy() {
    let Fixture { api, .. } = fixture(config::Api::default());
    let refused = [
        get(&api, "/nowhere").await,
        get(&api, "/api/v1/sql").await,
        get(&api, "/api/v1/explain/d-0").await,
        get(&api, "/api/v1/explain/%ff").await,
        get(&api, "/api/v1/decisions?size=3").await,
        get(&api, "/readyz").await,
    ];
    for (status, body) in refused {
        let body: Value = serde_json::from_str(&body).unwrap();
        assert!(status.is_client_error() || status.is_server_error(), "{status}");
        assert!(!body["error"].as_str().unwrap().is_empty() && !body["remedy"].as_str().unwrap().is_empty(), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_daemons_life() {
    let Fixture { api, readiness, .. } = fixture(config::Api::default());
    assert_eq!(get(&api, "/livez").await.0, StatusCode::OK);
    assert_eq!(get(&api, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    readiness.send_replace(Readiness::Ready);
    assert_eq!(get(&api, "/readyz").await.0, StatusCode::OK);
    readiness.send_replace(Readiness::Draining);
    assert_eq!(get(&api, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_only_health_is_open() {
    let token = Token::new("correct-horse-battery");
    let Fixture { api, readiness, .. } = fixture(config::Api { token: Some(token), ..config::Api::default() });
    readiness.send_replace(Readiness::Ready);
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/metrics", 401), ("/api/v1/bottleneck", 401)] {
        assert_eq!(get(&api, path).await.0.as_u16(), status, "{path}");
    }
    for (credentials, status) in
        [("Bearer correct-horse-battery", 200), ("bearer correct-horse-battery", 200), ("Bearer wrong", 401)]
    {
        let request = Request::get("/metrics").header(header::AUTHORIZATION, credentials).body(Body::empty());
        assert_eq!(ask(&api, request.unwrap()).await.0.as_u16(), status, "{credentials}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_bottleneck_comes_with_all() {
    let Fixture { api, .. } = fixture(config::Api::default());
    let (status, body) = get(&api, "/api/v1/bottleneck").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["at"], "2025-11-24T16:00:00.000Z");
    assert_eq!(body["bottleneck"]["service"], "auth");
    assert_eq!(body["bottleneck"]["verdict"], "saturated");
    assert_eq!(body["bottlenecks"].as_array().unwrap().len(), 1);
    let summary = body["summary"].as_str().unwrap();
    assert!(summary.ends_with("auth is saturated"), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_needs_a_name_and_a_reason() {
    let Fixture { api, mut controls, .. } = fixture(config::Api::default());
    assert_eq!(post(&api, "/api/v1/pause", json!({"by": "ada"})).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(post(&api, "/api/v1/pause", json!({"by": " ", "reason": "x"})).await.0, StatusCode::BAD_REQUEST);
    let asked = json!({"by": "ada", "reason": "load test"});
    let ((status, answer), event) = tokio::join!(post(&api, "/api/v1/pause", asked.clone()), obeyed(&mut controls));
    assert_eq!((status, &answer["by"]), (StatusCode::OK, &json!("ada (claimed): load test")));
    assert_eq!(event, Event::Paused { by: "ada (claimed): load test".into(), service: None, until: None });
    // The queue of this fixture holds one order: the next caller hears that the engine is behind.
    let (taken, _is_waited_for) = tokio::sync::oneshot::channel();
    assert!(api.controls.try_send(Control { event, taken }).is_ok());
    assert_eq!(post(&api, "/api/v1/resume", asked).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

/// The next order, taken as the engine takes it.
async fn obeyed(controls: &mut mpsc::Receiver<Control>) -> Event {
    let Control { event, taken } = controls.recv().await.unwrap();
    taken.send(()).unwrap();
    event
}

/// FIELD 15: a pause by service, and one that ends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_names_its_service_and_its_end() {
    let Fixture { api, mut controls, .. } = fixture(config::Api::default());
    let asked = json!({"by": "ada", "reason": "load test", "service": "auht", "for": "30m"});
    let ((status, answer), event) = tokio::join!(post(&api, "/api/v1/pause", asked), obeyed(&mut controls));
    assert_eq!(status, StatusCode::OK, "{answer}");
    let Event::Paused { service, until: Some(until), .. } = event else { panic!("expected a pause, got {event:?}") };
    assert_eq!(service.as_deref(), Some("auht"));
    assert_eq!(answer["until"], until.to_string());
    assert_eq!(answer["note"], "no spans of a service auht are seen now");
    for wrong in [json!({"for": "soon"}), json!({"for": "0s"}), json!({"for": "99d"}), json!({"service": " "})] {
        let mut asked = json!({"by": "ada", "reason": "load test"});
        asked.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(post(&api, "/api/v1/pause", asked.clone()).await.0, StatusCode::BAD_REQUEST, "{asked}");
    }
    let asked = json!({"by": "ada", "reason": "over", "for": "30m"});
    assert_eq!(post(&api, "/api/v1/resume", asked).await.0, StatusCode::BAD_REQUEST);
}

/// Issue 15: a name that no token stands for could be anybody's, whatever else stands in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_name_is_marked_as_claimed() {
    let Fixture { api, mut controls, .. } = fixture(config::Api::default());
    let forged = json!({"by": "root: approved (by ada)", "reason": "x"});
    let (_, event) = tokio::join!(post(&api, "/api/v1/pause", forged), obeyed(&mut controls));
    let Event::Paused { by, .. } = event else { panic!("expected a pause, got {event:?}") };
    assert_eq!(by, "root  approved  by ada (claimed): x");
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_reads_the_tables() {
    let Fixture { api, .. } = fixture(config::Api::default());
    let query = "select service, count(*) as n, sum(duration_ns) as busy from spans group by service order by service";
    let (status, answer) = sql(&api, query).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let rows = json!([{"service": "auth", "n": 2, "busy": 14}, {"service": "ingress", "n": 1, "busy": 7}]);
    assert_eq!(answer["rows"], rows);
    assert_eq!(answer["truncated"], false);
}

/// A query may say how often it ran: a generator of random numbers gives others each time that it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_query_of_one_tick_is_run_once() {
    let Fixture { api, .. } = fixture(config::Api::default());
    let query = "select random() as n from spans";
    let (status, first) = sql(&api, query).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    assert_eq!(sql(&api, query).await.1, first, "from the cache");
    assert_ne!(sql(&api, "select random() as n from spans --").await.1, first, "another query is run");
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_can_only_read() {
    let Fixture { api, .. } = fixture(config::Api::default());
    for query in [
        "create table t as select * from spans",
        "drop table spans",
        "insert into spans select * from spans",
        "copy spans to '/tmp/spans.csv'",
        "create external table hosts stored as csv location '/etc/hosts'",
        "set datafusion.execution.target_partitions = 64",
        "select * from '/etc/hosts'",
        "select 1; select 2",
        "select service from nowhere",
        "select",
    ] {
        let (status, answer) = sql(&api, query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {answer}");
        assert!(!answer["error"].as_str().unwrap().contains('\n'), "{query}: {answer}");
        assert_eq!(answer["remedy"], "the tables are spans", "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_ends_at_its_limits() {
    let config = config::Api { sql_rows_max: 2, sql_memory_bytes: 4 << 20, ..config::Api::default() };
    let Fixture { api, .. } = fixture(config);
    let (_, answer) = sql(&api, "select * from spans").await;
    assert_eq!((answer["rows"].as_array().unwrap().len(), &answer["truncated"]), (2, &json!(true)));
    let (status, answer) =
        sql(&api, "select value, count(*) as n from generate_series(1, 1000000) group by value order by n, value")
            .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{answer}");

    let config = config::Api { sql_timeout: Duration::from_millis(50), ..config::Api::default() };
    let limit = HumanDuration(config.sql_timeout).to_string();
    let Fixture { api, .. } = fixture(config);
    let endless = "select count(*) from generate_series(1, 100000000) a, generate_series(1, 100000000) b \
                   where a.value * b.value = 3";
    let (status, answer) = sql(&api, endless).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{limit}: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let Fixture { api, .. } = fixture(config::Api::default());
    for (accept, content_type, ending) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", "\n"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF\n"),
    ] {
        let mut request = Request::get("/metrics").header(header::ACCEPT, accept).body(Body::empty()).unwrap();
        request.headers_mut().insert(header::HOST, "localhost:8080".parse().unwrap());
        let response = router(api.clone()).oneshot(request).await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], content_type);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.ends_with(ending) && body.contains("headroom_verdict{verdict=\"saturated\"} 1\n"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_compressed_for_who_takes_it() {
    let Fixture { api, .. } = fixture(config::Api::default());
    let mut request = Request::get("/metrics").header(header::ACCEPT_ENCODING, "gzip").body(Body::empty()).unwrap();
    request.headers_mut().insert(header::HOST, "localhost:8080".parse().unwrap());
    let response = router(api.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&body[..]), &mut text).unwrap();
    assert!(text.contains("headroom_engine_ticks_total 0\n"), "{text}");
    assert!(body.len() * 4 < text.len());
}

fn with_headers(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body =
        if path.ends_with("sql") { json!({"query": "select 1"}) } else { json!({"by": "mallory", "reason": "test"}) };
    request.body(Body::from(body.to_string())).unwrap()
}

/// What a browser sends for a page of another origin, and for one whose name was made to mean this machine.
#[tokio::test(flavor = "multi_thread")]
async fn no_other_page_reads_or_changes_anything() {
    let hosts = vec![HostName::parse("*.monitoring.svc").unwrap()];
    let origins = vec!["https://grafana.example".to_owned()];
    let Fixture { api, mut controls, .. } = fixture(config::Api { hosts, origins, ..config::Api::default() });
    let refused: [(&[(&str, &str)], u16); 8] = [
        (&[("host", "evil.example")], 421),
        (&[("host", "evil.example"), ("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")], 421),
        (&[("host", "localhost.evil.example:8080")], 421),
        (&[("origin", "http://evil.example")], 403),
        (&[("origin", "null")], 403),
        (&[("origin", "http://localhost:3000")], 403),
        (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], 403),
        (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 403),
    ];
    for path in ["/api/v1/pause", "/api/v1/sql"] {
        for (headers, status) in refused {
            assert_eq!(ask(&api, with_headers(path, headers)).await.0.as_u16(), status, "{path} {headers:?}");
        }
    }
    assert!(controls.try_recv().is_err());
    let allowed: [&[(&str, &str)]; 6] = [
        &[],
        &[("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")],
        &[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")],
        &[("host", "[::1]:8080")],
        &[("host", "headroom.monitoring.svc:8080")],
        &[("origin", "https://grafana.example"), ("sec-fetch-site", "cross-site")],
    ];
    for headers in allowed {
        let asked = ask(&api, with_headers("/api/v1/pause", headers));
        let ((status, _), _) = tokio::join!(asked, obeyed(&mut controls));
        assert_eq!(status, StatusCode::OK, "{headers:?}");
    }
    let link =
        Request::get("/api/v1/status").header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "navigate");
    assert_eq!(ask(&api, link.body(Body::empty()).unwrap()).await.0, StatusCode::OK);
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let form = Request::post("/api/v1/pause").header(header::CONTENT_TYPE, content_type);
        let form = form.body(Body::from(r#"{"by": "mallory", "reason": "test"}"#)).unwrap();
        assert_eq!(ask(&api, form).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
    }
    let preflight = Request::options("/api/v1/pause").header("origin", "http://evil.example");
    assert_eq!(ask(&api, preflight.body(Body::empty()).unwrap()).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_names_its_caller_and_what_they_may_do() {
    let of = |name: &str, role| Caller::new(name, role, &Token::new(&format!("token-of-{name}-0123456789")));
    let callers = vec![of("ada", Role::Operator), of("bob", Role::Viewer)];
    let Fixture { api, mut controls, .. } = fixture(config::Api { callers, ..config::Api::default() });
    let post = |path: &'static str, token: &str| {
        let authorization = format!("Bearer {token}");
        let api = api.clone();
        async move { ask(&api, with_headers(path, &[("authorization", authorization.as_str())])).await }
    };
    let asked = post("/api/v1/pause", "token-of-ada-0123456789");
    let ((status, _), event) = tokio::join!(asked, obeyed(&mut controls));
    assert_eq!(status, StatusCode::OK);
    let named = Event::Paused { by: "ada: test".into(), service: None, until: None };
    assert_eq!(event, named, "not the mallory of the body");
    let (status, body) = post("/api/v1/pause", "token-of-bob-0123456789").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert!(controls.try_recv().is_err());
    assert_ne!(post("/api/v1/sql", "token-of-bob-0123456789").await.0, StatusCode::FORBIDDEN, "a viewer may read");
    let (status, body) = post("/api/v1/pause", "token-of-eve-0123456789").await;
    assert!(status == StatusCode::UNAUTHORIZED && body.contains("token rejected"), "{body}");
    let two = with_headers(
        "/api/v1/pause",
        &[("authorization", "Bearer x"), ("authorization", "Bearer token-of-ada-0123456789")],
    );
    assert_eq!(ask(&api, two).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_answered_for_a_while_and_a_right_one_always() {
    let token = Token::new("correct-horse-battery");
    let Fixture { api, .. } = fixture(config::Api { token: Some(token), ..config::Api::default() });
    let try_with = |token: &str| {
        let request = Request::get("/api/v1/status").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let api = api.clone();
        async move { ask(&api, request.body(Body::empty()).unwrap()).await.0.as_u16() }
    };
    let mut statuses = Vec::new();
    for n in 0..12 {
        statuses.push(try_with(&format!("wrong-{n}")).await);
    }
    assert_eq!((statuses[0], statuses[9], statuses[10], statuses[11]), (401, 401, 429, 429));
    assert_eq!(try_with("correct-horse-battery").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_acts_in_a_terminal_is_escaped_in_the_journal() {
    let Fixture { api, mut controls, .. } = fixture(config::Api::default());
    let forged = json!({"by": "ada\u{1b}[31m", "reason": "test\nlevel=ERROR forged\u{202e}"});
    let (_, event) = tokio::join!(post(&api, "/api/v1/pause", forged), obeyed(&mut controls));
    let Event::Paused { by, .. } = event else { panic!("expected a pause, got {event:?}") };
    assert_eq!(by, r"ada\u{1b}[31m (claimed): test\nlevel=ERROR forged\u{202e}");
    let long = json!({"by": "ada", "reason": "x".repeat(5_000)});
    assert_eq!(post(&api, "/api/v1/pause", long).await.0, StatusCode::BAD_REQUEST);
}

/// Of a server where all is well it said that the journal was empty.
#[tokio::test]
async fn what_is_well_from_the_start_on_is_explained() {
    let Fixture { mut api, .. } = fixture(config::Api::default());
    let snapshot = Snapshot { tick: 1, at: Time::from_secs(1_764_000_000), ..Snapshot::default() };
    let (_, snapshot) = watch::channel(Arc::new(snapshot));
    api.snapshot = snapshot;
    let (status, body) = get(&api, "/api/v1/explain/now").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(body.contains("Nothing was decided since 2025-11-24"), "{body}");
    let (status, body) = get(&api, "/api/v1/explain/last").await;
    assert!(status == StatusCode::NOT_FOUND && body.contains("nothing has been decided from"), "{body}");
}
