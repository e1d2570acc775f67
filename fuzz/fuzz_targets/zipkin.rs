//! Zipkin v2 in JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwise_model::wire::zipkin;

fuzz_target!(|body: &[u8]| {
    let Ok(batch) = zipkin::decode(body.to_vec().into()) else { return };
    let json = zipkin::encode(&batch.spans);
    let again = zipkin::decode(json.into()).expect("what we write can be read");
    assert!(again.rejected.is_empty());
    assert_eq!(again.spans.len(), batch.spans.len());
});
