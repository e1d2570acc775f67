//! Segment documents of AWS X-Ray, and datagrams with them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwise_model::wire::xray;

fuzz_target!(|bytes: &[u8]| {
    let read = [
        xray::decode_document(bytes.to_vec().into()),
        xray::decode_datagram(bytes.to_vec().into()),
    ];
    for span in read.into_iter().flatten().flat_map(|batch| batch.spans) {
        let Some(document) = xray::encode_document(&span, xray::ANNOTATIONS) else { continue };
        assert!(document.len() <= xray::MAX_DOCUMENT_BYTES);
        // Values that nest as deep as can be read are written one level deeper.
        if let Ok(again) = xray::decode_document(document.into()) {
            assert_eq!((again.spans.len(), again.rejected.len()), (1, 0));
        }
    }
});
