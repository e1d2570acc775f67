//! All signals in JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwise_model::wire::otlp;

fuzz_target!(|body: &[u8]| {
    let _ = otlp::check_metrics_json(body);
    if let Ok(batch) = otlp::decode_logs_json(body) {
        let json = otlp::encode_logs_json(&batch.log_events);
        let again = otlp::decode_logs_json(json.as_bytes()).expect("what we write can be read");
        assert_eq!(otlp::encode_logs_json(&again.log_events), json);
    }
    if let Ok(batch) = otlp::decode_traces_json(body) {
        let json = otlp::encode_traces_json(&batch.spans);
        let again = otlp::decode_traces_json(json.as_bytes()).expect("what we write can be read");
        assert!(again.rejected.is_empty() && again.repairs.is_empty());
        assert_eq!(otlp::encode_traces_json(&again.spans), json);
        let written = otlp::encode_traces(&batch.spans);
        let again = otlp::decode_traces(written.clone().into()).expect("what we write can be read");
        assert_eq!(otlp::encode_traces(&again.spans), written);
    }
});
