//! Any bytes: the walk accepts what prost accepts, reads the same rows of it, and refuses the rest. Of what is accepted,
//! written as JSON, the JSON reader reads the same rows again.
#![no_main]

use decoders::receive::decode::reference;
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    if let Some(difference) = reference::difference(bytes) {
        panic!("{difference}");
    }
    let Ok(mut request) = ExportTraceServiceRequest::decode(bytes) else { return };
    drop_doubles(&mut request);
    if deeper_than_json_goes(&request) {
        return;
    }
    if let Some(difference) = reference::difference_in_json(&request) {
        panic!("{difference}");
    }
});

/// JSON has no NaN, and of a long fraction serde_json may read the neighbouring double.
fn drop_doubles(request: &mut ExportTraceServiceRequest) {
    let drop = |attribute: &mut KeyValue| {
        if let Some(Value::DoubleValue(_)) = attribute.value.as_ref().and_then(|any| any.value.as_ref()) {
            attribute.value = None;
        }
    };
    for resource_spans in &mut request.resource_spans {
        resource_spans.resource.iter_mut().flat_map(|resource| &mut resource.attributes).for_each(drop);
        let spans = resource_spans.scope_spans.iter_mut().flat_map(|scope| &mut scope.spans);
        spans.flat_map(|span| &mut span.attributes).for_each(drop);
    }
}

/// serde_json stops at 128 levels, which a hundred messages inside one another may pass.
fn deeper_than_json_goes(request: &ExportTraceServiceRequest) -> bool {
    let json = serde_json::to_vec(request).unwrap_or_default();
    serde_json::from_slice::<serde_json::Value>(&json).is_err()
}
