//! One operator's text for each thing that can be wrong, and what is said about it.

use crate::analyse::rollup::sql::{Overrides, SHIPPED, Sql, query};

/// What the check says of a text for a query; empty for one that may run.
fn complaint(name: &str, text: &str) -> String {
    let overrides = Overrides::from([(name.to_owned(), text.to_owned())]);
    let errors: Vec<String> = Sql::check(&overrides).iter().map(ToString::to_string).collect();
    errors.join("\n")
}

fn shipped(name: &str) -> &'static str {
    query(name).expect("a shipped query").text
}

/// The shipped text of `durations` with one change, which has to be there.
fn durations(from: &str, to: &str) -> String {
    let text = shipped("durations");
    assert!(text.contains(from), "{from}");
    complaint("durations", &text.replacen(from, to, 1))
}

#[test]
fn the_shipped_texts_pass_their_own_check() {
    let all: Overrides = SHIPPED.iter().map(|query| (query.name.to_owned(), query.text.to_owned())).collect();
    assert_eq!(Sql::check(&all), []);
    for query in &SHIPPED {
        let answer = Sql::plan(&all).expect("checked").answer_schema(query.name).expect("planned");
        let names: Vec<&str> = answer.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, query.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "documented as answered");
    }
}

#[test]
fn a_text_that_does_not_parse_shows_where() {
    let texts = [
        ("no statement", String::new()),
        ("a comment alone", "-- later\n".into()),
        ("two statements", "SELECT 1; SELECT 2".into()),
        ("not a SELECT", "DROP TABLE tick".into()),
        ("a bracket that does not close", shipped("durations").replace("SUM(d.requests)", "SUM(d.requests")),
        ("a word in the wrong place", shipped("blame").replace("LEFT JOIN", "LEFT JION")),
        ("a text that does not end", "SELECT 'x".into()),
    ];
    let told = texts.map(|(case, text)| {
        let name = if text.contains("blame_ns") { "blame" } else { "durations" };
        format!("{case}\n{}\n", complaint(name, &text))
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_name_that_does_not_exist_shows_where_and_what_there_is() {
    let told = [
        durations("service_durations", "service_duration"),
        durations("d.requests", "d.request"),
        durations("SUM(", "SUMM("),
        durations("service_durations d, tick t", "generate_series(1, 9) d, tick t"),
        complaint("durables", shipped("durations")),
    ];
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn an_answer_that_would_not_be_the_same_twice_is_refused() {
    let told = [
        durations("SUM(d.requests)", "SUM(d.requests) + CAST(random() * 10 AS BIGINT)"),
        durations("d.second >= t.fast_from", "d.second >= now() - INTERVAL '3 seconds'"),
        durations("SUM(d.requests) AS requests", "CAST(length(uuid()) AS BIGINT) AS requests"),
        durations("SUM(d.requests)", "first_value(d.requests)"),
        durations("FROM service_durations d", "FROM (SELECT * FROM service_durations LIMIT 9) d"),
        durations("SUM(d.requests)", "SUM(d.requests) + row_number() OVER ()"),
        complaint("durations", "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"),
    ];
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn the_order_of_rows_is_fixed() {
    let told = [
        durations("ORDER BY d.service, d.bucket", ""),
        durations("ORDER BY d.service, d.bucket", "ORDER BY d.service"),
        durations("ORDER BY d.service, d.bucket", "ORDER BY d.service, d.bucket DESC"),
        complaint("blame", &shipped("blame").replace("blame_ns DESC", "blame_ns")),
    ];
    insta::assert_snapshot!(told.join("\n\n"));
    assert_eq!(durations("d.service, d.bucket\n", "1, 2, requests\n"), "", "more keys may follow");
    assert_eq!(durations("ORDER BY d.service, d.bucket", "ORDER BY d.service, d.bucket LIMIT 1000"), "");
}

#[test]
fn the_columns_are_those_that_the_analysis_reads() {
    let told = [
        durations("SUM(d.requests)", "CAST(SUM(d.requests) AS DOUBLE)"),
        durations("AS requests", "AS asked"),
        durations("d.bucket, SUM", "d.bucket, 1 AS one, SUM"),
        durations("SUM(d.requests)", "array_agg(d.requests ORDER BY d.requests)"),
    ];
    insta::assert_snapshot!(told.join("\n\n"));
    // Texts may be laid out otherwise, and columns stand in any order.
    let literal = "WITH d AS (SELECT 'all' AS service, bucket, requests FROM service_durations)
        SELECT service, bucket, SUM(requests) AS requests FROM d GROUP BY service, bucket ORDER BY service, bucket";
    assert_eq!(complaint("durations", literal), "");
    let turned = shipped("durations").replace(
        "SELECT d.service, d.bucket, SUM(d.requests) AS requests",
        "SELECT SUM(d.requests) AS requests, d.bucket, d.service",
    );
    assert_eq!(complaint("durations", &turned), "");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let overrides =
        Overrides::from([("durations".to_owned(), "SELECT".to_owned()), ("edges".to_owned(), "SELECT 1".to_owned())]);
    assert_eq!(Sql::check(&overrides).len(), 2);
}
