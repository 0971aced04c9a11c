//! What one span costs to decode: OTLP bytes to Arrow, beside prost's structs alone (the budget is a ratio to them,
//! for machines differ) and beside OTLP/JSON and gzip. Throughput is in spans.
//!
//! The figures at the end are measured turn by turn, so that what disturbs the machine disturbs both; with `--figures`
//! nothing else is done.

#[path = "../examples/load/payload.rs"]
#[allow(dead_code, reason = "what only a sender needs")]
mod payload;
mod per_span;

use std::hint::black_box;
use std::io::{Read, Write};

use criterion::{Criterion, Throughput};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use headroom::receive::Encoding;
use headroom::receive::decode::{Options, decode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

// Both sides of the comparison have the program's own.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn prost(body: &[u8]) {
    black_box(ExportTraceServiceRequest::decode(body).expect("a good request"));
}

fn arrow(encoding: Encoding, body: &[u8]) {
    black_box(decode(encoding, body, &Options::default()).expect("a good request"));
}

fn gunzip_and_decode(body: &[u8]) {
    let mut plain = Vec::new();
    GzDecoder::new(body).read_to_end(&mut plain).expect("our own gzip");
    arrow(Encoding::Protobuf, &plain);
}

/// A load in every form that is decoded.
struct Load {
    name: &'static str,
    spans: usize,
    protobuf: Vec<Vec<u8>>,
    json: Vec<Vec<u8>>,
    gzip: Vec<Vec<u8>>,
}

impl Load {
    fn new(name: &'static str, requests: Vec<payload::Request>) -> Load {
        let spans = requests.iter().map(|request| request.spans).sum();
        let protobuf: Vec<Vec<u8>> = requests.into_iter().map(|request| request.bytes).collect();
        let json = |body: &Vec<u8>| {
            let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("our own request");
            serde_json::to_vec(&request).expect("structs become JSON")
        };
        let gzip = |body: &Vec<u8>| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to memory")
        };
        Load {
            name,
            spans,
            json: protobuf.iter().map(json).collect(),
            gzip: protobuf.iter().map(gzip).collect(),
            protobuf,
        }
    }

    fn all() -> [Load; 2] {
        [Load::new("narrow", payload::narrow()), Load::new("wide", payload::wide())]
    }

    fn protobuf_to_structs(&self) {
        self.protobuf.iter().for_each(|body| prost(body));
    }

    fn protobuf_to_arrow(&self) {
        self.protobuf.iter().for_each(|body| arrow(Encoding::Protobuf, body));
    }

    fn json_to_arrow(&self) {
        self.json.iter().for_each(|body| arrow(Encoding::Json, body));
    }

    fn gzip_to_arrow(&self) {
        self.gzip.iter().for_each(|body| gunzip_and_decode(body));
    }
}

fn benches(criterion: &mut Criterion) {
    for load in Load::all() {
        let mut group = criterion.benchmark_group(format!("decode {}", load.name));
        group.throughput(Throughput::Elements(load.spans as u64));
        group.bench_function("protobuf to prost structs", |b| b.iter(|| load.protobuf_to_structs()));
        group.bench_function("protobuf to Arrow", |b| b.iter(|| load.protobuf_to_arrow()));
        group.bench_function("JSON to Arrow", |b| b.iter(|| load.json_to_arrow()));
        group.bench_function("gzip to Arrow", |b| b.iter(|| load.gzip_to_arrow()));
        group.finish();
    }
}

fn figures() {
    for load in Load::all() {
        let [prost, arrow, json, gzip] = per_span::interleaved(
            load.spans,
            [
                &mut || load.protobuf_to_structs(),
                &mut || load.protobuf_to_arrow(),
                &mut || load.json_to_arrow(),
                &mut || load.gzip_to_arrow(),
            ],
        );
        let name = load.name;
        per_span::say(&format!("decode.{name}.prost"), prost);
        per_span::say(&format!("decode.{name}.arrow"), arrow);
        per_span::say(&format!("decode.{name}.json"), json);
        per_span::say(&format!("decode.{name}.gzip"), gzip);
        per_span::figure(&format!("decode.{name}.ratio"), arrow / prost, "of prost");
    }
}

fn main() {
    if !std::env::args().any(|argument| argument == "--figures") {
        let mut criterion = Criterion::default().configure_from_args();
        benches(&mut criterion);
        criterion.final_summary();
    }
    figures();
}
