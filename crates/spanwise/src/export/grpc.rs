//! OTLP over gRPC: one unary call on HTTP/2 after the other.
//!
//! HTTP/2 wants an async runtime. This one lives in the exporter, runs on the exporter's thread
//! and only while something is sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use spanwise_model::wire::base64;
use spanwise_model::wire::otlp::{decode_partial_success, decode_retry_delay, encode_traces};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;

use super::http::{Failure, Target, gzip, place};
use super::otlp::{USER_AGENT, in_halves};
use super::{Batch, Delivered, ExportError, Exporter, Origin, Retry, Tls};

const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What is read of an answer.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Calls `TraceService/Export`.
pub(crate) struct OtlpGrpc {
    channel: Channel,
    runtime: Option<Runtime>,
    origin: Origin,
}

/// A connection that is opened when it is needed.
struct Channel {
    target: Target,
    connection: Option<SendRequest<Bytes>>,
}

/// What a receiver said.
struct Answer {
    message: Bytes,
    status: u32,
    /// A `google.rpc.Status`, if there was one.
    details: Option<Vec<u8>>,
}

impl OtlpGrpc {
    pub fn new(target: Target, origin: Origin) -> Self {
        OtlpGrpc { channel: Channel { target, connection: None }, runtime: None, origin }
    }

    fn call(&mut self, request: &[u8], deadline: Instant) -> Result<Delivered, Failure> {
        let timeout = self.channel.target.timeout;
        let left = deadline.saturating_duration_since(Instant::now()).min(timeout);
        if left.is_zero() {
            return Err(self.failed("no time is left"));
        }
        let runtime = match &self.runtime {
            Some(runtime) => runtime,
            None => match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => self.runtime.insert(runtime),
                Err(error) => return Err(self.failed(&error.to_string())),
            },
        };
        let message = frame(request, self.channel.target.gzip);
        let call = self.channel.call(message, left);
        let answer = runtime.block_on(async { tokio::time::timeout(left, call).await });
        match answer {
            Ok(Ok(answer)) => self.judge(&answer),
            Ok(Err(reason)) => Err(self.failed(&reason)),
            Err(_) => {
                // Maybe the connection is dead and nobody noticed.
                self.channel.connection = None;
                Err(self.failed("no answer in time"))
            }
        }
    }

    fn judge(&self, answer: &Answer) -> Result<Delivered, Failure> {
        if answer.status == 0 {
            let message = answer.message.get(5..).unwrap_or_default();
            let (rejected, reason) = decode_partial_success(message);
            return Ok(Delivered { rejected, reason });
        }
        let asked = answer.details.as_deref().and_then(decode_retry_delay);
        let retry = match (answer.status, asked) {
            (1 | 4 | 8 | 10 | 11 | 14 | 15, Some(pause)) => Retry::After(pause),
            (1 | 4 | 10 | 11 | 14 | 15, None) => Retry::Later,
            _ => Retry::Never,
        };
        let name = STATUS.get(answer.status as usize).unwrap_or(&"an unknown status");
        let reason = format!("{}: {name}", place(&self.channel.target.url));
        let error = ExportError { reason, retry };
        // RESOURCE_EXHAUSTED with nothing said about when to come back.
        match (answer.status, asked) {
            (8, None) => Err(Failure::TooLarge(error)),
            _ => Err(Failure::Other(error)),
        }
    }

    fn failed(&self, reason: &str) -> Failure {
        let place = place(&self.channel.target.url);
        Failure::Other(ExportError::later(format!("{place}: {reason}")))
    }
}

impl Exporter for OtlpGrpc {
    fn export(&mut self, batch: &Batch, deadline: Instant) -> Result<Delivered, ExportError> {
        let sent = if self.origin.is_as_recorded() {
            self.call(batch.otlp(), deadline)
        } else {
            let request = encode_traces(&*self.origin.apply(batch.spans()));
            self.call(&request, deadline)
        };
        match sent {
            Err(Failure::TooLarge(_)) if batch.len() > 1 => {
                let spans = self.origin.apply(batch.spans());
                in_halves(&spans, &mut |half| self.call(&encode_traces(half), deadline))
            }
            other => Ok(other?),
        }
    }

    fn takes_running(&self) -> bool {
        true
    }

    fn name(&self) -> &'static str {
        "otlp"
    }
}

/// The names of gRPC's status codes, by number.
const STATUS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A message with what gRPC puts before it: whether it is compressed, and its length.
fn frame(message: &[u8], compress: bool) -> Bytes {
    let compressed = compress.then(|| gzip(message));
    let message = compressed.as_deref().unwrap_or(message);
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(u8::from(compress));
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

impl Channel {
    /// A call, on a new connection if the old one turns out to be closed. Errors are reasons.
    async fn call(&mut self, message: Bytes, timeout: Duration) -> Result<Answer, String> {
        if let Some(connection) = self.connection.take()
            && let Ok(answer) = self.call_on(connection, message.clone(), timeout).await
        {
            return Ok(answer);
        }
        let connection = connect(&self.target).await?;
        self.call_on(connection, message, timeout).await
    }

    async fn call_on(
        &mut self,
        connection: SendRequest<Bytes>,
        message: Bytes,
        timeout: Duration,
    ) -> Result<Answer, String> {
        let mut connection = connection.ready().await.map_err(described)?;
        let request = self.request(timeout)?;
        let (answer, mut body) = connection.send_request(request, false).map_err(described)?;
        body.send_data(message, true).map_err(described)?;
        let (head, mut body) = answer.await.map_err(described)?.into_parts();
        if !head.status.is_success() {
            return Err(head.status.to_string());
        }
        let mut received = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data.map_err(described)?;
            let _ = body.flow_control().release_capacity(data.len());
            if received.len() + data.len() > MAX_ANSWER_BYTES {
                return Err("the answer is too long".to_owned());
            }
            received.extend_from_slice(&data);
        }
        let trailers = body.trailers().await.map_err(described)?;
        let trailers = trailers.as_ref().unwrap_or(&head.headers);
        let Some(status) = number(trailers, "grpc-status") else {
            return Err("the answer is not gRPC".to_owned());
        };
        self.connection = Some(connection);
        let details = trailers.get("grpc-status-details-bin");
        let details = details.and_then(|details| base64::decode(details.to_str().ok()?));
        Ok(Answer { message: received.freeze(), status, details })
    }

    fn request(&self, timeout: Duration) -> Result<Request<()>, String> {
        let mut url = self.target.url.clone().into_parts();
        url.path_and_query = Some(http::uri::PathAndQuery::from_static(PATH));
        let url = Uri::from_parts(url).map_err(|error| error.to_string())?;
        let request = Request::post(url).version(http::Version::HTTP_2).body(());
        let mut request = request.map_err(|error| error.to_string())?;
        let headers = request.headers_mut();
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if self.target.gzip {
            headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
        }
        let millis = timeout.as_millis().clamp(1, 99_999_999);
        if let Ok(timeout) = HeaderValue::try_from(format!("{millis}m")) {
            headers.insert("grpc-timeout", timeout);
        }
        headers.extend(self.target.headers.clone());
        Ok(request)
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

async fn connect(target: &Target) -> Result<SendRequest<Bytes>, String> {
    let is_encrypted = target.url.scheme_str() == Some("https");
    let host = target.url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = target.url.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port));
    let stream = stream.await.map_err(|error| error.to_string())?;
    // Failing to switch a delay off is no reason not to send.
    let _ = stream.set_nodelay(true);
    if !is_encrypted {
        return handshake(stream).await;
    }
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(encryption(&target.tls)?));
    let stream = connector.connect(name, stream).await;
    handshake(stream.map_err(|error| format!("TLS failed: {error}"))?).await
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Bytes>, String> {
    let (sender, connection) = h2::client::handshake(stream).await.map_err(described)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended");
        }
    });
    Ok(sender)
}

fn encryption(tls: &Tls) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(tls.trusted());
    let builder = ClientConfig::builder_with_provider(Tls::provider());
    let builder =
        builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let builder = builder.with_root_certificates(roots);
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::from_pem_slice(&identity.key_pem);
            let key = key.map_err(|error| error.to_string())?;
            let config = builder.with_client_auth_cert(identity.chain.clone(), key);
            config.map_err(|error| error.to_string())?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn described(error: h2::Error) -> String {
    if error.is_io() {
        return error.get_io().map_or_else(|| error.to_string(), ToString::to_string);
    }
    if error.is_go_away() || error.is_reset() {
        return format!("HTTP/2 failed: {error}");
    }
    format!(
        "HTTP/2 failed ({error}); an OTLP/HTTP receiver, usually on port 4318, does not speak gRPC"
    )
}
