//! Writes the seeds: a few small requests that have everything the decoders look at, for the fuzzer to start from.
//!
//!     cargo run --example seeds -- corpus

use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

#[path = "../../examples/load/payload.rs"]
#[allow(dead_code)]
mod payload;

/// Small inputs are mutated faster.
const SPANS: usize = 2;

fn main() -> std::io::Result<()> {
    let corpus = std::env::args().nth(1).map_or_else(|| PathBuf::from("corpus"), PathBuf::from);
    let requests = payload::narrow().into_iter().chain(payload::wide());
    for (index, request) in requests.enumerate() {
        let mut request = ExportTraceServiceRequest::decode(request.bytes.as_slice()).expect("our own request");
        request.resource_spans.truncate(3);
        for resource_spans in &mut request.resource_spans {
            resource_spans.scope_spans.iter_mut().for_each(|scope| scope.spans.truncate(SPANS));
        }
        let json = serde_json::to_vec(&request).expect("structs become JSON");
        write(&corpus, "protobuf", index, &request.encode_to_vec())?;
        write(&corpus, "json", index, &json)?;
    }
    write(&corpus, "json", 100, br#"{"resource_spans":[{"scope_spans":[{"spans":[{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","kind":"SPAN_KIND_SERVER","start_time_unix_nano":"1","end_time_unix_nano":2,"status":{"code":"STATUS_CODE_ERROR"},"name":null}]}]}]}"#)?;
    // Groups, fields out of order, a message in two parts.
    write(&corpus, "protobuf", 100, &[0x0b, 0x10, 5, 0x1b, 0x1c, 0x0c, 0x0a, 2, 0x12, 0, 0x0a, 4, 0x1a, 2, b'h', b'i'])
}

fn write(corpus: &Path, target: &str, index: usize, bytes: &[u8]) -> std::io::Result<()> {
    let directory = corpus.join(target);
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join(format!("seed-{index:03}")), bytes)
}
