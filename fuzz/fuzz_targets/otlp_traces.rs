//! Spans and metrics in protobuf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwise_model::wire::otlp;

fuzz_target!(|body: &[u8]| {
    let _ = otlp::check_metrics(body);
    let Ok(batch) = otlp::decode_traces(body.to_vec().into()) else { return };
    // Compared as bytes, because a NaN is not equal to itself.
    let written = otlp::encode_traces(&batch.spans);
    let again = otlp::decode_traces(written.clone().into()).expect("what we write can be read");
    assert!(again.rejected.is_empty() && again.repairs.is_empty());
    assert_eq!(otlp::encode_traces(&again.spans), written);
    let json = otlp::encode_traces_json(&batch.spans);
    let from_json = otlp::decode_traces_json(json.as_bytes()).expect("what we write can be read");
    assert_eq!(from_json.spans.len(), batch.spans.len());
    assert_eq!(otlp::encode_traces_json(&from_json.spans), json);
});
