//! Zipkin v2 in JSON and in protobuf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwise_model::wire::zipkin;

fuzz_target!(|body: &[u8]| {
    let read = [
        zipkin::decode(body.to_vec().into()),
        zipkin::decode_protobuf(body.to_vec().into()),
    ];
    for batch in read.into_iter().flatten() {
        let json = zipkin::encode(&batch.spans);
        let again = zipkin::decode(json.into()).expect("what we write can be read");
        assert!(again.rejected.is_empty());
        assert_eq!(again.spans.len(), batch.spans.len());
    }
});
