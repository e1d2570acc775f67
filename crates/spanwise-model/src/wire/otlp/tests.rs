use bytes::Bytes;

use super::*;

const EXAMPLE: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
 "scopeSpans":[{"scope":{"name":"demo","version":"1"},
  "spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","parentSpanId":"",
   "name":"chat gpt-4o","kind":3,"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000250000000",
   "attributes":[{"key":"gen_ai.usage.input_tokens","value":{"intValue":"12"}}],
   "events":[{"timeUnixNano":"1700000000120000000","name":"gen_ai.choice"}],
   "status":{"code":2,"message":"rate limited"}}]}]}]}"#;

#[test]
fn both_encodings_agree() {
    let from_json = decode_traces_json(EXAMPLE.as_bytes()).unwrap();
    let bytes = encode_traces(&from_json.spans);
    let from_protobuf = decode_traces(Bytes::from(bytes)).unwrap();
    assert_eq!(from_json.spans.len(), 1);
    assert_eq!(from_protobuf.spans, from_json.spans);
    let json = encode_traces_json(&from_protobuf.spans);
    assert_eq!(decode_traces_json(json.as_bytes()).unwrap().spans, from_json.spans);
}
