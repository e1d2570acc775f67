//! A server on free ports with a folder of its own, a plain HTTP client, and OTLP bodies.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::OnceLock;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use http_body_util::{BodyExt, Full};
use hyper::http::request::Builder;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::Value as Json;
use spanwise_server::config::Settings;
use spanwise_server::{App, Config, StartError};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server. Ends when dropped; [`Server::stop`] waits for it.
pub struct Server {
    pub api: SocketAddr,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    dir: Option<TempDir>,
    stop: oneshot::Sender<()>,
    run: JoinHandle<Result<(), StartError>>,
}

impl Server {
    pub async fn start() -> Server {
        Server::with("").await
    }

    /// A server with these lines of YAML in its configuration.
    pub async fn with(yaml: &str) -> Server {
        Server::in_folder(tempfile::tempdir().unwrap(), yaml).await
    }

    pub async fn in_folder(dir: TempDir, yaml: &str) -> Server {
        let config = dir.path().join("spanwise.yaml");
        std::fs::write(&config, yaml).unwrap();
        let any = || Some("127.0.0.1:0".to_owned());
        let settings = Settings {
            config: Some(config),
            data_dir: Some(dir.path().join("data")),
            listen: any(),
            otlp_grpc: any(),
            otlp_http: any(),
            ..Settings::default()
        };
        let mut config = Config::load(settings).unwrap();
        config.store.min_free_bytes = 1 << 20;
        let app = App::build(config).await.unwrap();
        let address = |what| app.address(what).unwrap();
        let (api, grpc, http) = (address("ui"), address("otlp-grpc"), address("otlp-http"));
        let (stop, stopped) = oneshot::channel();
        let run = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        Server { api, grpc, http, dir: Some(dir), stop, run }
    }

    pub fn data_dir(&self) -> std::path::PathBuf {
        self.dir.as_ref().unwrap().path().join("data")
    }

    /// Stops the server and gives its folder.
    pub async fn stop(mut self) -> TempDir {
        self.stop.send(()).unwrap();
        self.run.await.unwrap().unwrap();
        self.dir.take().unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub async fn get_with(&self, path: &str, headers: Headers<'_>) -> Answer {
        let request = with_headers(Request::get(path), headers);
        send(self.api, request.body(Bytes::new()).unwrap()).await
    }

    /// Posts to the OTLP/HTTP port.
    pub async fn post(&self, path: &str, headers: Headers<'_>, body: impl Into<Bytes>) -> Answer {
        let request = with_headers(Request::post(path), headers);
        send(self.http, request.body(body.into()).unwrap()).await
    }

    /// Posts protobuf spans and expects them to be taken.
    pub async fn take(&self, request: &ExportTraceServiceRequest) {
        let answer = self.post("/v1/traces", &[PROTOBUF], request.encode_to_vec()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }

    /// One gRPC call of a trace export.
    pub async fn export(&self, headers: Headers<'_>, frame: Bytes) -> Call {
        self.call("/opentelemetry.proto.collector.trace.v1.TraceService/Export", headers, frame)
            .await
    }

    pub async fn call(&self, path: &str, headers: Headers<'_>, frame: Bytes) -> Call {
        let uri = format!("http://{}{path}", self.grpc);
        let request =
            Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
        let request = with_headers(request, headers).body(Full::new(frame)).unwrap();
        let stream = TcpStream::connect(self.grpc).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let mut headers = response.headers().clone();
        let collected = response.into_body().collect().await.unwrap();
        headers.extend(collected.trailers().cloned().unwrap_or_default());
        Call { headers, body: collected.to_bytes() }
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A gRPC answer: headers and trailers together.
#[derive(Debug)]
pub struct Call {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    pub fn code(&self) -> i32 {
        self.headers["grpc-status"].to_str().unwrap().parse().unwrap()
    }

    /// The message without its frame head.
    pub fn message(&self) -> Bytes {
        self.body.slice(5..)
    }
}

pub async fn send(address: SocketAddr, request: Request<Bytes>) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (mut head, body) = request.into_parts();
    let host = address.to_string().parse().unwrap();
    head.headers.entry("host").or_insert(host);
    let request = Request::from_parts(head, Full::new(body));
    let response = sender.send_request(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}

pub fn with_headers(mut request: Builder, headers: Headers<'_>) -> Builder {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
}

pub const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
pub const JSON: (&str, &str) = ("content-type", "application/json");

/// A request with these spans, from the service `shop`.
pub fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource =
        Resource { attributes: vec![text("service.name", "shop")], ..Resource::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

/// The `n`th span of trace `trace`; number 0 is the root. Recent, and all of different start.
pub fn span(trace: u8, n: u8) -> Span {
    static BASE: OnceLock<u64> = OnceLock::new();
    let base = BASE.get_or_init(|| now_ns() - 300_000_000_000);
    let start = base + u64::from(trace) * 1_000_000_000 + u64::from(n) * 1000;
    Span {
        trace_id: trace_id(trace),
        span_id: span_id(n),
        parent_span_id: if n == 0 { Vec::new() } else { span_id(0) },
        name: format!("step {n}"),
        kind: 1,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 1_000_000,
        attributes: vec![text("color", "blue")],
        ..Span::default()
    }
}

pub fn trace_id(trace: u8) -> Vec<u8> {
    [vec![0xaa; 15], vec![trace + 1]].concat()
}

pub fn span_id(n: u8) -> Vec<u8> {
    vec![0xbb, 0, 0, 0, 0, 0, 0, n + 1]
}

/// Names and values of headers.
pub type Headers<'a> = &'a [(&'a str, &'a str)];

/// The trace's id as the API writes it.
pub fn trace_hex(trace: u8) -> String {
    hex(&trace_id(trace))
}

pub use spanwise_server::auth::hex;

pub fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

pub fn number(key: &str, value: i64) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::IntValue(value)) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

pub fn now_ns() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

pub fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

pub fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// A gRPC message.
pub fn frame(compressed: bool, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(u8::from(compressed));
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.extend_from_slice(message);
    frame.freeze()
}
