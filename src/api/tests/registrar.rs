//! What a registrar sends: who may, what of it is taken, and what is answered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use super::*;

/// A request of the registrar's, signed for now and so many seconds.
fn signed(secret: &str, id: &str, ago_s: i64, body: &str) -> Request<Body> {
    let second = Clock::system().now().second() - ago_s;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{id}.{second}.{body}").as_bytes());
    Request::post("/api/v1/schedule/changes")
        .header(header::CONTENT_TYPE, "application/cloudevents+json")
        .header("webhook-id", id)
        .header("webhook-timestamp", second.to_string())
        .header("webhook-signature", format!("v1,{}", STANDARD.encode(tag)))
        .body(Body::from(body.to_owned()))
        .unwrap()
}

/// An exam in an hour, of which each message of another id says something later.
fn course(id: &str) -> String {
    course_of(id, |_| {})
}

fn course_of(id: &str, change: impl Fn(&mut Value)) -> String {
    let now = Clock::system().now();
    let (starts, ends) = (now + Duration::from_secs(3_600), now + Duration::from_secs(7_200));
    let mut message = json!({
        "specversion": "1.0", "id": id, "source": "/registrar", "type": "dev.headroom.schedule.changed",
        "time": now.to_string(),
        "data": {
            "id": "algebra@campus", "title": "Algebra", "kind": "exam", "participants": 400,
            "starts": starts.to_string(), "ends": ends.to_string(), "sequence": id.parse::<i64>().unwrap_or(1),
        },
    });
    change(&mut message);
    message.to_string()
}

#[tokio::test]
async fn a_change_of_the_schedule_is_taken_once_from_whoever_signs_it() {
    let Fixture { api, mut heard, .. } = fixture(config::Api::default());
    let (status, body) = ask(&api, signed(REGISTRARS_SECRET, "m-1", 0, &course("1"))).await;
    assert_eq!((status, body.as_str()), (StatusCode::ACCEPTED, r#"{"taken":1,"again":false}"#));
    let Ok(Said::Of { source, events }) = heard.try_recv() else { panic!("nothing was said") };
    assert_eq!(
        (source.as_str(), events[0].id.as_str(), events[0].participants),
        ("webhook", "algebra@campus", Some(400))
    );
    // Sent again, as a sender does that saw no answer, or as somebody does that kept it.
    let (status, body) = ask(&api, signed(REGISTRARS_SECRET, "m-2", 0, &course("1"))).await;
    assert_eq!((status, body.as_str()), (StatusCode::ACCEPTED, r#"{"taken":0,"again":true}"#));
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn a_forged_or_old_change_does_nothing() {
    let Fixture { api, mut heard, .. } =
        fixture(config::Api { token: Some(Token::new("correct-horse-battery")), ..config::Api::default() });
    let mut changed = signed(REGISTRARS_SECRET, "m-1", 0, &course("1"));
    *changed.body_mut() = Body::from(course("2"));
    let mut unsigned = signed(REGISTRARS_SECRET, "m-1", 0, &course("1"));
    unsigned.headers_mut().remove("webhook-signature");
    let mut nonsense = signed(REGISTRARS_SECRET, "m-1", 0, &course("1"));
    nonsense.headers_mut().insert("webhook-signature", "v1,AAAA v2,x ,".parse().unwrap());
    for (request, why) in [
        (signed("another secret of another one", "m-1", 0, &course("1")), "signed by another secret"),
        (signed(REGISTRARS_SECRET, "m-1", 400, &course("1")), "five minutes away"),
        (signed(REGISTRARS_SECRET, "m-1", -400, &course("1")), "five minutes away"),
        (changed, "signed by another secret, or was changed"),
        (nonsense, "signed by another secret"),
        (unsigned, "asks for a bearer token"),
    ] {
        let (status, body) = ask(&api, request).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
        assert!(body.contains(why), "{why}: {body}");
    }
    assert!(heard.try_recv().is_err());
    // Who may operate headroom needs no signature.
    let with_token = Request::post("/api/v1/schedule/changes")
        .header(header::AUTHORIZATION, "Bearer correct-horse-battery")
        .header("ce-specversion", "1.0")
        .header("ce-id", "9")
        .header("ce-source", "/registrar")
        .header("ce-type", "dev.headroom.schedule.changed")
        .header("ce-time", Clock::system().now().to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(serde_json::from_str::<Value>(&course("9")).unwrap()["data"].to_string()))
        .unwrap();
    let (status, body) = ask(&api, with_token).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    assert!(heard.try_recv().is_ok());
}

/// A compliant sender was refused.
#[tokio::test]
async fn a_secret_of_standard_webhooks_signs_by_the_bytes_that_it_stands_for() {
    let Fixture { mut api, mut heard, .. } = fixture(config::Api::default());
    let (heard_in, heard_out) = mpsc::channel(2);
    heard.close();
    let secret = Token::new(&format!("whsec_{}", STANDARD.encode(REGISTRARS_SECRET)));
    api.registrar = Arc::new(Registrar::new(Some(secret), crate::schedule::Settings::default(), vec![], heard_in));
    heard = heard_out;
    let (status, body) = ask(&api, signed(REGISTRARS_SECRET, "m-1", 0, &course("1"))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    assert!(heard.try_recv().is_ok());
    let text = format!("whsec_{}", STANDARD.encode(REGISTRARS_SECRET));
    assert_eq!(ask(&api, signed(&text, "m-2", 0, &course("2"))).await.0, StatusCode::UNAUTHORIZED);
}

/// Whoever left the signature away was let in.
#[tokio::test]
async fn with_a_secret_and_no_token_nobody_changes_anything_without_a_signature() {
    let Fixture { api, mut heard, .. } = fixture(config::Api::default());
    let mut unsigned = signed(REGISTRARS_SECRET, "m-1", 0, &course("1"));
    unsigned.headers_mut().remove("webhook-signature");
    let (status, body) = ask(&api, unsigned).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains("it has none, and schedule.webhook has a secret"), "{body}");
    for kind in ["text/plain", "application/cloudevents-batch+json", ""] {
        let mut other = signed(REGISTRARS_SECRET, "m-1", 0, &course("1"));
        other.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        let (status, body) = ask(&api, other).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{body}");
    }
    assert!(heard.try_recv().is_err());
}

/// What changes nothing was answered as what does.
#[tokio::test]
async fn an_answer_says_what_had_no_effect() {
    let Fixture { api, mut heard, .. } = fixture(config::Api::default());
    let mut told = async |message: String| {
        let (status, body) = ask(&api, signed(REGISTRARS_SECRET, "m", 0, &message)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        while heard.try_recv().is_ok() {}
        let body: Value = serde_json::from_str(&body).unwrap();
        (body["taken"].as_u64().unwrap(), body["notes"].to_string())
    };
    assert_eq!(told(course("5")).await, (1, "null".into()));
    let (taken, notes) = told(course("4")).await;
    assert!(taken == 0 && notes.contains("something as late or later of it (revision 5, this is 4)"), "{notes}");
    let (taken, notes) = told(course_of("6", |of| of["data"]["kind"] = "excursion".into())).await;
    assert!(taken == 1 && notes.contains("`excursion` is no kind under schedule.kinds (exam)"), "{notes}");
    let (taken, notes) = told(course_of("7", |of| of["data"]["room"] = "A1".into())).await;
    assert!(taken == 1 && notes.contains("`room` means nothing here"), "{notes}");
    let over = |of: &mut Value| {
        (of["data"]["starts"], of["data"]["ends"]) = ("2020-01-01T09:00:00Z".into(), "2020-01-01T10:00:00Z".into());
    };
    let (taken, notes) = told(course_of("8", over)).await;
    assert!(taken == 0 && notes.contains("it is over"), "{notes}");
}

#[tokio::test]
async fn a_change_that_cannot_be_read_or_taken_is_said_to_be_and_may_come_again() {
    let Fixture { api, mut heard, .. } = fixture(config::Api::default());
    for body in ["{", "{}", r#"{"specversion":"1.0"}"#, "[]"] {
        let (status, told) = ask(&api, signed(REGISTRARS_SECRET, "m", 0, body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
    }
    let large = format!("{}{}", course("1"), " ".repeat(BODY_BYTES_MAX));
    assert_eq!(ask(&api, signed(REGISTRARS_SECRET, "m", 0, &large)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    for id in ["1", "2"] {
        assert_eq!(ask(&api, signed(REGISTRARS_SECRET, id, 0, &course(id))).await.0, StatusCode::ACCEPTED);
    }
    let (status, _) = ask(&api, signed(REGISTRARS_SECRET, "3", 0, &course("3"))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "nobody listens");
    while heard.try_recv().is_ok() {}
    assert!(ask(&api, signed(REGISTRARS_SECRET, "3", 0, &course("3"))).await.1.contains(r#""taken":1"#));
}
