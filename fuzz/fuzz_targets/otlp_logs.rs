//! Log records in protobuf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwise_model::wire::otlp;

fuzz_target!(|body: &[u8]| {
    let Ok(batch) = otlp::decode_logs(body.to_vec().into()) else { return };
    // Compared as bytes, because a NaN is not equal to itself.
    let written = otlp::encode_logs(&batch.log_events);
    let again = otlp::decode_logs(written.clone().into()).expect("what we write can be read");
    assert!(again.unrelated_logs == 0 && again.log_repairs.is_empty());
    assert_eq!(otlp::encode_logs(&again.log_events), written);
    let json = otlp::encode_logs_json(&batch.log_events);
    let from_json = otlp::decode_logs_json(json.as_bytes()).expect("what we write can be read");
    assert_eq!(otlp::encode_logs_json(&from_json.log_events), json);
});
