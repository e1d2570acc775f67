//! Datadog's MessagePack in all versions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwise_model::wire::datadog::{self, Tracer};

fuzz_target!(|bytes: &[u8]| {
    let body = || bytes.to_vec().into();
    let read = [
        datadog::decode_v04(body(), Tracer::default()),
        datadog::decode_v05(body(), Tracer::default()),
        datadog::decode_v07(body(), Tracer::default()),
    ];
    for batch in read.into_iter().flatten() {
        let payload = datadog::encode(&batch.spans);
        let again = datadog::decode_v04(payload.body.into(), Tracer::default());
        let again = again.expect("what we write can be read");
        assert!(again.rejected.is_empty());
        assert_eq!(again.spans.len(), batch.spans.len());
    }
});
