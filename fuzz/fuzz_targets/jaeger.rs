//! Jaeger's Thrift: a body of HTTP, a datagram.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwise_model::wire::jaeger;

fuzz_target!(|bytes: &[u8]| {
    let read = [
        jaeger::decode_batch(bytes.to_vec().into()),
        jaeger::decode_datagram(bytes.to_vec().into()),
    ];
    for batch in read.into_iter().flatten() {
        for body in jaeger::encode_batches(&batch.spans) {
            let again = jaeger::decode_batch(body.into()).expect("what we write can be read");
            assert!(again.rejected.is_empty());
        }
        let sent = jaeger::encode_datagrams(&batch.spans, 2000);
        let mut n_spans = sent.dropped;
        for datagram in sent.datagrams {
            assert!(datagram.len() <= 2000);
            let again = jaeger::decode_datagram(datagram.into()).expect("what we write can be read");
            n_spans += again.spans.len();
        }
        assert_eq!(n_spans, batch.spans.len());
    }
});
