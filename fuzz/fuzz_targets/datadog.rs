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
    let rewrite = |body: Vec<u8>| {
        let batch = datadog::decode_v04(body.into(), Tracer::default());
        let batch = batch.expect("what we write can be read");
        assert!(batch.rejected.is_empty());
        datadog::encode(&batch.spans).body
    };
    for batch in read.into_iter().flatten() {
        let second = rewrite(datadog::encode(&batch.spans).body);
        assert_eq!(rewrite(second.clone()), second);
    }
});
