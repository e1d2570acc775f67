//! The sink as an exporter sees it.

use super::*;
use crate::http1::Connection;
use spanwise_model::wire::otlp::encode_traces;
use spanwise_model::{Attributes, Kind};

const PATIENCE: Duration = Duration::from_secs(10);

fn call(number: u8, input_tokens: u64) -> Span {
    let mut attributes = Attributes::default();
    let id = format!("chatcmpl-mock-{number}");
    let usage = usage_of(&id).unwrap();
    let count = |count: Option<u64>| count.unwrap().cast_signed();
    attributes.push("gen_ai.response.id", id);
    attributes.push("gen_ai.usage.input_tokens", input_tokens.cast_signed());
    attributes.push("gen_ai.usage.output_tokens", count(usage.output));
    attributes.push("gen_ai.usage.cache_read.input_tokens", count(usage.cache_read));
    attributes.push("gen_ai.usage.cache_write.input_tokens", count(usage.cache_write));
    attributes.push("gen_ai.usage.reasoning.output_tokens", count(usage.reasoning));
    Span {
        trace_id: TraceId::from_bytes(&[number + 1; 16]).unwrap(),
        span_id: SpanId::from_bytes(&[number + 1; 8]).unwrap(),
        name: "chat m".into(),
        kind: Kind::Client,
        attributes,
        ..span()
    }
}

fn span() -> Span {
    Span {
        trace_id: TraceId::from_bytes(&[1; 16]).unwrap(),
        span_id: SpanId::from_bytes(&[1; 8]).unwrap(),
        parent_span_id: None,
        trace_state: "".into(),
        flags: 0,
        name: "".into(),
        kind: Kind::Internal,
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        attributes: Attributes::default(),
        events: Vec::new(),
        links: Vec::new(),
        status: spanwise_model::Status::default(),
        dropped_attributes_count: 0,
        dropped_events_count: 0,
        dropped_links_count: 0,
        resource: Arc::default(),
        scope: Arc::default(),
    }
}

async fn post(sink: &Sink, body: &[u8]) -> io::Result<u16> {
    let stream = TcpStream::connect(sink.address).await?;
    let mut connection = Connection::new(stream)?;
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: sink\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    connection.write(head.as_bytes()).await?;
    connection.write(body).await?;
    let head = connection.head().await?;
    Ok(head.and_then(|head| head.status()).unwrap_or_default())
}

#[tokio::test]
async fn spans_are_counted_once_and_their_usage_is_checked() {
    let sink = Sink::start().unwrap();
    let body = encode_traces(&[call(0, usage_of("chatcmpl-mock-0").unwrap().input.unwrap())]);
    assert_eq!(post(&sink, &body).await.unwrap(), 200);
    assert_eq!(post(&sink, &body).await.unwrap(), 200);
    assert_eq!(post(&sink, &encode_traces(&[call(1, 7)])).await.unwrap(), 200);
    assert_eq!(post(&sink, b"no spans").await.unwrap(), 400);
    let first_wrong =
        Some("gen_ai.usage.input_tokens of chatcmpl-mock-1: Some(7) instead of Some(8919)".into());
    let expected = Counts {
        n_requests: 3,
        n_spans: 2,
        n_repeated: 1,
        n_right: 1,
        n_wrong: 1,
        first_wrong,
        n_malformed: 1,
    };
    assert_eq!(sink.counts(), expected);
    assert_eq!(sink.wait_for(PATIENCE, |spans| spans.len() == 2).await.unwrap()[0].name, "chat m");
}

#[tokio::test]
async fn it_refuses_and_dies_and_comes_back() {
    let sink = Sink::start().unwrap();
    let body = encode_traces(&[span()]);
    sink.set_mode(Mode::Refusing);
    assert_eq!(post(&sink, &body).await.unwrap(), 429);
    sink.set_mode(Mode::Dead);
    while post(&sink, &body).await.is_ok() {}
    sink.set_mode(Mode::Live);
    while post(&sink, &body).await.is_err() {}
    assert_eq!(sink.counts().n_spans, 1);
}

#[test]
fn grpc_messages_are_unwrapped() {
    let wrap = |flag: u8, message: &[u8]| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        Bytes::from([&[flag], length.as_slice(), message].concat())
    };
    assert_eq!(message(wrap(0, b"spans")).unwrap(), "spans");
    let mut encoder =
        flate2::read::GzEncoder::new(b"spans".as_slice(), flate2::Compression::fast());
    let mut compressed = Vec::new();
    encoder.read_to_end(&mut compressed).unwrap();
    assert_eq!(message(wrap(1, &compressed)).unwrap(), "spans");
    assert_eq!(message(Bytes::from_static(b"\0\0\0\0\x05span")), None);
    assert_eq!(message(Bytes::from_static(b"\0")), None);
}
