//! Bytes that nobody meant well: an error or a batch, never a panic.

use bytes::Bytes;
use proptest::prelude::*;
use spanwise_model::wire::otlp;

const TRACES: &[u8] = include_bytes!("../../testdata/otlp/openai.traces.pb");
const LOGS: &[u8] = include_bytes!("../../testdata/otlp/openai.logs.pb");
const TRACES_JSON: &[u8] = include_bytes!("../../testdata/otlp/openai.traces.json");

/// Reads `body` as everything there is; errors have to point into it.
fn read(body: &[u8]) {
    let shared = Bytes::copy_from_slice(body);
    let errors = [
        otlp::decode_traces(shared.clone()).err(),
        otlp::decode_logs(shared).err(),
        otlp::check_metrics(body).err(),
        otlp::decode_traces_json(body).err(),
        otlp::decode_logs_json(body).err(),
        otlp::check_metrics_json(body).err(),
    ];
    for error in errors.into_iter().flatten() {
        assert!(error.offset <= body.len(), "{error} in {} bytes", body.len());
        assert!(!error.reason.is_empty() && error.reason.len() < 1000);
    }
}

#[test]
fn every_prefix_of_a_protobuf_body_is_survived() {
    for body in [TRACES, LOGS] {
        (0..=body.len()).for_each(|end| read(&body[..end]));
    }
}

#[test]
fn prefixes_of_a_json_body_are_refused() {
    for end in (0..TRACES_JSON.trim_ascii().len()).step_by(7) {
        let error = otlp::decode_traces_json(&TRACES_JSON[..end]).unwrap_err();
        assert!(error.offset <= end, "{error} in {end} bytes");
    }
}

#[test]
fn deep_json_does_not_overflow_the_stack() {
    let depth = 1 << 20;
    let open_arrays = "[".repeat(depth);
    let closed_arrays = format!("{open_arrays}{}", "]".repeat(depth));
    let nested_values = r#"{"arrayValue":{"values":["#.repeat(depth);
    for body in [
        open_arrays,
        format!(r#"{{"unknown":{closed_arrays}}}"#),
        format!(r#"{{"resourceSpans":{closed_arrays}}}"#),
        format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"value":{nested_values}"#),
    ] {
        read(body.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn flipped_bytes_are_survived(
        body in proptest::sample::select(vec![TRACES, LOGS, TRACES_JSON]),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut body = body.to_vec();
        for (position, byte) in flips {
            let position = position.index(body.len());
            body[position] = byte;
        }
        read(&body);
    }

    #[test]
    fn random_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        read(&body);
    }
}
