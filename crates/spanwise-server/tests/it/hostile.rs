//! Bad input: refused with a reason or repaired with a warning, and the server lives on.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use hyper::StatusCode;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{JSON, PROTOBUF, Server, frame, gzip, request, span, text, trace_hex};

/// A generator of bytes that are the same in every run.
fn noise(seed: u64, n_bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..n_bytes).map(|_| next()).collect()
}

async fn lives(server: &Server) {
    server.take(&request(vec![span(200, 0)])).await;
    let trace = format!("/api/v1/traces/{}", trace_hex(200));
    assert_eq!(server.get(&trace).await.status, StatusCode::OK);
    let panics = server.get("/metrics").await;
    assert!(panics.text().contains("spanwise_panics_total 0"), "a request panicked");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_and_truncated_bytes() {
    let server = Server::start().await;
    let good = request(vec![span(0, 0), span(0, 1)]).encode_to_vec();
    let mut bodies: Vec<Vec<u8>> =
        (0..40).map(|seed| noise(seed, 1 + seed as usize * 17)).collect();
    bodies.extend((0..good.len()).step_by(7).map(|end| good[..end].to_vec()));
    bodies.extend((0..40).map(|at| {
        let mut flipped = good.clone();
        let at = at * 13 % good.len();
        flipped[at] ^= 0x55;
        flipped
    }));
    for body in bodies {
        for headers in [
            [PROTOBUF].as_slice(),
            &[JSON],
            &[PROTOBUF, ("content-encoding", "gzip")],
            &[PROTOBUF, ("content-encoding", "zstd")],
            &[PROTOBUF, ("content-encoding", "deflate")],
        ] {
            for path in ["/v1/traces", "/v1/logs", "/v1/metrics"] {
                let status = server.post(path, headers, body.clone()).await.status.as_u16();
                assert!(matches!(status, 200 | 400 | 413), "{path} {headers:?}: {status}");
            }
        }
        for body in [frame(false, &body), frame(true, &body), body.clone().into()] {
            let code = server.export(&[("grpc-encoding", "gzip")], body).await.code();
            assert!(matches!(code, 0 | 3 | 8), "{code}");
        }
    }
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_and_giants_are_too_large() {
    let server = Server::with("limits: {max_body_bytes: 1MiB}").await;
    let zeros = vec![0; 64 << 20];
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&zeros).unwrap();
        encoder.finish().unwrap()
    };
    let zstd_bomb = zstd::encode_all(&zeros[..], 3).unwrap();
    for (name, body) in [("gzip", &bomb), ("zstd", &zstd_bomb)] {
        let headers = [PROTOBUF, ("content-encoding", name)];
        let answer = server.post("/v1/traces", &headers, body.clone()).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{name}: {answer:?}");
        let call = server.export(&[("grpc-encoding", name)], frame(true, body)).await;
        assert_eq!(call.code(), 8, "{name}: {call:?}");
        assert!(!call.headers.contains_key("grpc-status-details-bin"), "not to be retried");
    }
    let answer = server.post("/v1/metrics", &[PROTOBUF, ("content-encoding", "gzip")], bomb).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_100_mb_is_refused_before_it_is_read() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.http).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
                content-length: 100000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    lives(&server).await;
}

#[tokio::test]
async fn a_slow_client_is_given_up() {
    let server = Server::with("limits: {body_timeout: 50ms}").await;
    let mut stream = TcpStream::connect(server.http).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
                content-length: 10\r\n\r\n12345";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    lives(&server).await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_given_up() {
    let server = Server::with("limits: {header_timeout: 50ms}").await;
    for start in ["", "P", "PRI * HTTP/2.0", "POST /v1/traces HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // A reset is as much of an end as a close.
        drop(stream.read_to_end(&mut rest).await);
    }
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_and_odd_json() {
    let server = Server::start().await;
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    let value = "{\"arrayValue\":{\"values\":[".repeat(5_000) + &"]}}".repeat(5_000);
    let nested = format!(
        "{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"k\",\"value\":{value}}}]}}}}]}}"
    );
    let invalid_utf8 = b"{\"resourceSpans\":[{\"schemaUrl\":\"\xff\xfe\"}]}".to_vec();
    for body in [
        deep("[", "]").into_bytes(),
        deep("{\"resourceSpans\":[", "]}").into_bytes(),
        nested.into_bytes(),
        invalid_utf8,
        b"{\"resourceSpans\": {}}".to_vec(),
        b"{\"resourceSpans\": [{\"scopeSpans\": [{\"spans\": [null, 7, \"x\"]}]}]}".to_vec(),
        b"null".to_vec(),
    ] {
        for path in ["/v1/traces", "/v1/logs", "/v1/metrics"] {
            let status = server.post(path, &[JSON], body.clone()).await.status.as_u16();
            assert!(matches!(status, 200 | 400), "{status} for {:.60?}", Bytes::from(body));
        }
    }
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_spans_are_kept_and_their_oddities_told() {
    let server = Server::start().await;
    let mut backwards = span(0, 0);
    std::mem::swap(&mut backwards.start_time_unix_nano, &mut backwards.end_time_unix_nano);
    let mut of_1970 = span(0, 1);
    (of_1970.start_time_unix_nano, of_1970.end_time_unix_nano) = (1, 2);
    let mut of_2200 = span(0, 2);
    (of_2200.start_time_unix_nano, of_2200.end_time_unix_nano) =
        (7_258_118_400_000_000_000, 7_258_118_401_000_000_000);
    let mut nameless = span(0, 3);
    nameless.name.clear();
    let mut wide = span(0, 4);
    wide.attributes = (0..100_000).map(|n| text(&format!("key.{n}"), "v")).collect();
    let mut long_key = span(0, 5);
    long_key.attributes = vec![text(&"k".repeat(1 << 20), "v")];
    let twin = span(0, 3);
    let spans = vec![backwards, of_1970, of_2200, nameless, wide, long_key, twin];
    server.take(&request(spans)).await;
    let trace = server.get(&format!("/api/v1/traces/{}", trace_hex(0))).await.json();
    assert!(trace["span_count"].as_u64().unwrap() >= 6, "{}", trace["span_count"]);
    let problems = server.get("/api/v1/ingest/problems").await.json();
    assert!(!problems["problems"].as_array().unwrap().is_empty());

    let mut utf8 = request(vec![span(1, 0)]).encode_to_vec();
    let at = utf8.windows(4).position(|window| window == b"step").unwrap();
    utf8[at] = 0xff;
    let answer = server.post("/v1/traces", &[PROTOBUF], gzip(&utf8)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "gzip without saying so");
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], utf8).await.status, StatusCode::OK);
    let trace = server.get(&format!("/api/v1/traces/{}", trace_hex(1))).await.json();
    assert_eq!(trace["spans"][0]["warnings"][0]["kind"], "invalid_utf8");
    lives(&server).await;
}

/// Clients that send everything before they look must still see the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_is_read_to_its_end() {
    let server = Server::with("{auth: required, limits: {max_body_bytes: 1MiB}}").await;
    let large = vec![0; 8 << 20];
    for (headers, status) in [
        ([PROTOBUF, ("x-api-key", "sw-wrong")], 401),
        ([("content-type", "text/plain"), ("x-api-key", "sw-wrong")], 415),
    ] {
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: x\r\n{}: {}\r\n{}: {}\r\ncontent-length: {}\r\n\r\n",
            headers[0].0,
            headers[0].1,
            headers[1].0,
            headers[1].1,
            large.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&large).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status}").as_bytes());
    }
    let call = server.export(&[], frame(false, &large)).await;
    assert_eq!(call.code(), 16);
}
