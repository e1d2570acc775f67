//! Zipkin v2 in JSON and in protobuf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwise_model::wire::zipkin;

fuzz_target!(|body: &[u8]| {
    let read = [
        zipkin::decode(body.to_vec().into()),
        zipkin::decode_protobuf(body.to_vec().into()),
    ];
    let rewrite = |json: &str| {
        let batch = zipkin::decode(json.to_owned().into()).expect("what we write can be read");
        assert!(batch.rejected.is_empty());
        zipkin::encode(&batch.spans)
    };
    for batch in read.into_iter().flatten() {
        // The first round adds what Zipkin's own fields imply; after that nothing changes.
        let second = rewrite(&zipkin::encode(&batch.spans));
        assert_eq!(rewrite(&second), second);
    }
});
