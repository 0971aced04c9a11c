//! Every form of file a Collector or headroom writes, whole and damaged.

use std::io::Write;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::model::{Kind, SpanBuilder, SpanId, SpanRow, Time, TraceId};

/// Two requests, one span each, as lines.
const LINES: &str = concat!(
    r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"spans":[{"traceId":"01000000000000000000000000000000","spanId":"0100000000000000","name":"first","startTimeUnixNano":"5","endTimeUnixNano":"7"}]}]}]}"#,
    "\n",
    r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"spans":[{"traceId":"02000000000000000000000000000000","spanId":"0200000000000000","name":"second","startTimeUnixNano":"6","endTimeUnixNano":"9"}]}]}]}"#,
    "\n",
);

fn protobuf_of(line: &str) -> Vec<u8> {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    prost::Message::encode_to_vec(&serde_json::from_str::<ExportTraceServiceRequest>(line).unwrap())
}

fn framed(messages: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    messages.flat_map(|m| [(m.len() as u32).to_be_bytes().as_slice(), &m].concat()).collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

struct Fixture {
    _directory: TempDir,
    path: PathBuf,
}

fn file(content: &[u8]) -> Fixture {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("spans");
    std::fs::write(&path, content).unwrap();
    Fixture { _directory: directory, path }
}

fn read(content: &[u8], damage: Damage) -> Result<(Vec<String>, u64), String> {
    let file = file(content);
    let path = file.path.to_str().unwrap();
    let run = || {
        let mut spans = open(path, decode::Options::default(), damage)?;
        let mut names = Vec::new();
        for batch in spans.by_ref() {
            names.extend(batch?.iter().map(|row| row.operation.to_owned()));
        }
        names.extend(spans.notes().into_iter().map(|note| note.replace(path, "FILE")));
        Ok((names, spans.passed_over()))
    };
    run().map_err(|error: Error| error.to_string().replace(path, "FILE"))
}

fn names(content: &[u8]) -> Vec<String> {
    read(content, Damage::Refuse).unwrap().0
}

#[test]
fn every_form_holds_the_same_spans() {
    let lines = LINES.as_bytes();
    let halves: Vec<&str> = LINES.lines().collect();
    let messages = || halves.iter().map(|line| protobuf_of(line));
    let forms = [
        ("lines", lines.to_vec()),
        (
            "lines with a byte order mark, blank lines and no last end",
            ["\u{feff}\n\n", LINES.trim_end()].concat().into(),
        ),
        ("gzip", gzip(lines)),
        ("two gzip members", [gzip(halves[0].as_bytes()), gzip(b"\n"), gzip(halves[1].as_bytes())].concat()),
        ("zstd", zstd(lines)),
        ("zstd twice", zstd(&zstd(lines))),
        ("length-prefixed protobuf", framed(messages())),
        ("length-prefixed protobuf in gzip", gzip(&framed(messages()))),
        ("length-prefixed messages compressed one by one", framed(messages().map(|m| zstd(&m)))),
        ("length-prefixed JSON compressed one by one", framed(halves.iter().map(|line| zstd(line.as_bytes())))),
    ];
    for (form, content) in forms {
        assert_eq!(names(&content), ["first", "second"], "{form}");
    }
    assert!(names(b"").is_empty());
    assert!(names(&gzip(b"")).is_empty());
    assert!(names(b"{\"resourceMetrics\":[]}\n").is_empty());
}

#[test]
fn parquet_keeps_every_column() {
    let rows: Vec<SpanRow<'_>> = (1..=20_000u16)
        .map(|n| SpanRow {
            trace_id: TraceId([n as u8 | 1; 16]),
            span_id: SpanId([3; 8]),
            parent_span_id: (n % 3 == 0).then_some(SpanId([9; 8])),
            start: Time(i64::from(n) * 1_000),
            duration_ns: i64::from(n),
            kind: Kind::from_otlp(i64::from(n % 6)),
            service: if n % 2 == 0 { "shop" } else { "auth" },
            operation: "GET /",
            peer: if n % 5 == 0 { "postgresql:orders" } else { "" },
            sampled_weight: (n % 7 == 0).then_some(4.0),
            promoted: ["/", "200", ""],
            ..SpanRow::default()
        })
        .collect();
    let mut builder = SpanBuilder::new();
    rows.iter().for_each(|row| builder.append(row));
    let mut content = Vec::new();
    assert_eq!(write_parquet([&builder.finish()], &mut content).unwrap(), 20_000);
    let file = file(&content);
    let spans = open(file.path.to_str().unwrap(), decode::Options::default(), Damage::Refuse).unwrap();
    let batches = spans.collect::<Result<Vec<_>, _>>().unwrap();
    assert!(batches.iter().all(|batch| batch.len() <= 8192));
    assert_eq!(batches.iter().flat_map(|batch| batch.iter()).collect::<Vec<_>>(), rows);
}

#[test]
fn damage_is_named_with_its_place() {
    let refused = |content: &[u8]| read(content, Damage::Refuse).unwrap_err();
    let message = protobuf_of(LINES.lines().next().unwrap());
    let damaged_line = format!("{}{{\"resourceSpans\":[}}\n{LINES}", LINES);
    insta::assert_snapshot!(refused(damaged_line.as_bytes()), @"FILE line 3: not an OTLP trace request in JSON: expected value at column 19; one ExportTraceServiceRequest a line is expected, `jq -c .` writes it so");
    insta::assert_snapshot!(refused(b"\x7fELF, say"), @r#"FILE is neither OTLP JSON lines, nor length-prefixed OTLP, nor Parquet (it begins with "\u{7f}ELF")"#);
    insta::assert_snapshot!(refused(&framed([message.clone(), vec![0xff; 9], message].into_iter())), @"FILE message 2: not an OTLP trace request in protobuf: the message ends in the middle of a field");
    insta::assert_snapshot!(refused(b"PAR1 and nothing more"), @"FILE: Parquet error: Invalid Parquet file. Corrupt footer");
    let missing = open("no-such-file", decode::Options::default(), Damage::Refuse).err().unwrap();
    insta::assert_snapshot!(missing, @"cannot read no-such-file: No such file or directory (os error 2)");
}

#[test]
fn a_file_that_is_still_written_is_read_up_to_there() {
    let first = LINES.lines().next().unwrap();
    let message = protobuf_of(first);
    let framed = framed([message.clone(), message].into_iter());
    let long = LINES.repeat(2_000);
    let (gzip, zstd) = (gzip(long.as_bytes()), zstd(long.as_bytes()));
    let cut = [
        ("lines", LINES.as_bytes()[..LINES.len() - 80].to_vec(), "line 2"),
        ("lines within a letter", [LINES.as_bytes(), b"{\"resourceSpans\":[{\"caf\xc3"].concat(), "line 3"),
        ("messages", framed[..framed.len() - 5].to_vec(), "message 2"),
        ("a message's length", framed[..framed.len() / 2 + 2].to_vec(), "message 2"),
        ("gzip", gzip[..gzip.len() / 2].to_vec(), "line"),
        ("zstd", zstd[..zstd.len() / 2].to_vec(), "line"),
    ];
    for (form, content, place) in cut {
        let (read, _) = read(&content, Damage::Refuse).unwrap();
        let (note, spans) = read.split_last().unwrap();
        assert!(note.starts_with(&format!("FILE: {place}")) && note.contains("cut off"), "{form}: {note}");
        assert!(spans.iter().all(|name| name == "first" || name == "second"), "{form}");
        assert!(!spans.is_empty() || form.ends_with("std") || form == "gzip", "{form}");
    }
}

#[test]
fn other_systems_documents_and_old_scopes_are_read_and_named() {
    let tempo = LINES.lines().next().unwrap().replace("resourceSpans", "batches");
    let spread = serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(&tempo).unwrap()).unwrap();
    let note = "FILE: this is a trace as Tempo's API answers it; it was read as far as it says what OTLP says";
    for document in [&tempo, &spread] {
        assert_eq!(names(document.as_bytes()), ["first", note]);
    }
    let pretty_otlp = spread.replace("batches", "resourceSpans");
    assert_eq!(names(pretty_otlp.as_bytes()), ["first"]);
    let old = LINES.replace("scopeSpans", "instrumentationLibrarySpans");
    assert_eq!(names(old.as_bytes()), ["first", "second"]);
    let zipkin = r#"[{"traceId":"0102030405060708","id":"0909090909090909","name":"get","timestamp":5,"duration":4}]"#;
    assert_eq!(names(zipkin.as_bytes())[0], "get");
}

#[test]
fn milliseconds_are_taken_as_such_and_told() {
    let in_ms = LINES.replace(r#""5""#, r#""1795962000000""#).replace(r#""7""#, r#""1795962000005""#);
    let file = file(in_ms.as_bytes());
    let options = decode::Options { rescale: true, ..decode::Options::default() };
    let mut spans = open(file.path.to_str().unwrap(), options, Damage::Refuse).unwrap();
    let batch = spans.next().unwrap().unwrap();
    assert_eq!((batch.row(0).start, batch.row(0).duration_ns), (Time(1_795_962_000_000_000_000), 5_000_000));
    assert!(spans.by_ref().all(|batch| batch.is_ok()));
    assert!(spans.notes()[0].contains("1 spans have times in milliseconds"), "{:?}", spans.notes());
}

#[test]
fn damaged_parts_can_be_passed_over() {
    let damaged = format!("{LINES}not json\n{LINES}[1,2]\n");
    assert_eq!(
        read(damaged.as_bytes(), Damage::PassOver),
        Ok((["first", "second", "first", "second"].map(str::to_owned).to_vec(), 2))
    );
    let message = protobuf_of(LINES.lines().next().unwrap());
    let messages = framed([message.clone(), vec![0xff; 9], message].into_iter());
    assert_eq!(read(&messages, Damage::PassOver), Ok((vec!["first".to_owned(); 2], 1)));
}

#[test]
fn a_line_past_the_limit_is_not_held() {
    let mut source = std::io::Cursor::new([vec![b'x'; 50], b"\nshort\n".to_vec()].concat());
    assert!(matches!(messages::read_line(&mut source, 10), Ok(Some(messages::Line::TooLong))));
    assert_eq!(messages::read_line(&mut source, 10).unwrap().unwrap().whole().unwrap(), b"short\n");
    assert!(messages::read_line(&mut source, 10).unwrap().is_none());
}
