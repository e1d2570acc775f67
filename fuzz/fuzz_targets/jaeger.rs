//! Jaeger's Thrift: a body of HTTP, a datagram.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwise_model::wire::jaeger;

fuzz_target!(|bytes: &[u8]| {
    let read = [
        jaeger::decode_batch(bytes.to_vec().into()),
        jaeger::decode_datagram(bytes.to_vec().into()),
    ];
    let rewrite = |bodies: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        let read = bodies.into_iter().map(|body| jaeger::decode_batch(body.into()));
        let batches = read.map(|batch| batch.expect("what we write can be read"));
        batches.flat_map(|batch| jaeger::encode_batches(&batch.spans)).collect()
    };
    for batch in read.into_iter().flatten() {
        let second = rewrite(jaeger::encode_batches(&batch.spans));
        assert_eq!(rewrite(second.clone()), second);
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
