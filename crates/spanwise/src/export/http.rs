//! One request after the other over HTTP/1.1, on the calling thread.

use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use super::{ExportError, Retry, Tls};

/// What is read of an answer; OTLP keeps them below four megabytes, and all we look for is short.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// Where requests go, and how.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub url: Uri,
    /// Sent with each request. May hold credentials.
    pub headers: HeaderMap,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// How long one request may take.
    pub timeout: Duration,
    pub tls: Tls,
}

/// A client of one target, which keeps its connection.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    agent: Option<Agent>,
}

/// A request's own part.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub method: Method,
    pub content_type: &'static str,
    pub headers: &'a [(&'static str, &'a str)],
    pub body: &'a [u8],
}

/// Why a request failed. What is too large may go through in parts.
#[derive(Debug)]
pub(crate) enum Failure {
    TooLarge(ExportError),
    Other(ExportError),
}

impl From<Failure> for ExportError {
    fn from(failure: Failure) -> Self {
        let (Failure::TooLarge(error) | Failure::Other(error)) = failure;
        error
    }
}

impl Client {
    /// Nothing is opened or loaded before the first request.
    pub fn new(target: Target) -> Self {
        Client { target, agent: None }
    }

    /// Sends a request and returns the body of the answer to it.
    pub fn send(&mut self, request: &Request<'_>, deadline: Instant) -> Result<Vec<u8>, Failure> {
        let left = deadline.saturating_duration_since(Instant::now()).min(self.target.timeout);
        if left.is_zero() {
            return Err(self.failed("no time is left"));
        }
        let target = &self.target;
        let compressed = if target.gzip { Some(gzip(request.body)) } else { None };
        let builder = http::Request::builder().method(&request.method).uri(&target.url);
        let mut message = builder
            .body(compressed.as_deref().unwrap_or(request.body))
            .map_err(|error| Failure::Other(ExportError::never(error.to_string())))?;
        let headers = message.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if compressed.is_some() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        for (name, value) in request.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers.extend(target.headers.clone());
        let agent = self.agent.get_or_insert_with(|| agent(target));
        let message = agent.configure_request(message).timeout_global(Some(left)).build();
        let answer = agent.run(message);
        let mut answer = answer.map_err(|error| self.failed(&described(&error)))?;
        let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let status = answer.status();
        if is_grpc(answer.headers()) {
            // Such servers say 200 to everything and mean something else.
            let reason = format!("{}: this receiver speaks gRPC (otlp_protocol)", self.place());
            return Err(Failure::Other(ExportError::never(reason)));
        }
        if status.is_success() {
            // The receiver took it, even if the rest of what it said got lost.
            return Ok(body.unwrap_or_default());
        }
        Err(self.refused(status, answer.headers()))
    }

    fn failed(&self, reason: &str) -> Failure {
        Failure::Other(ExportError::later(format!("{}: {reason}", self.place())))
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap) -> Failure {
        let reason = match status.as_u16() {
            300..400 => format!("{}: {status}; redirects are not followed", self.place()),
            _ => format!("{}: {status}", self.place()),
        };
        let asked = headers.get(header::RETRY_AFTER).and_then(pause);
        let retry = match (status.as_u16(), asked) {
            (429 | 502 | 503 | 504, Some(pause)) => Retry::After(pause),
            (429 | 502 | 503 | 504, None) => Retry::Later,
            _ => Retry::Never,
        };
        let error = ExportError { reason, retry };
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => Failure::TooLarge(error),
            _ => Failure::Other(error),
        }
    }

    /// The target without its path and query, where a key could stand.
    fn place(&self) -> String {
        place(&self.target.url)
    }
}

const USER_AGENT: &str = concat!("spanwise/", env!("CARGO_PKG_VERSION"));

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Scheme, host and port.
pub(crate) fn place(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or("http");
    format!("{scheme}://{}", url.authority().map_or("", |authority| authority.as_str()))
}

pub(crate) fn agent(target: &Target) -> Agent {
    let trusted = target.url.scheme_str() == Some("https");
    let certificates = if trusted { target.tls.trusted() } else { Vec::new() };
    let certificates: Vec<_> = certificates
        .iter()
        .map(|certificate| Certificate::from_der(certificate.as_ref()).to_owned())
        .collect();
    let identity = target.tls.identity.as_ref().and_then(|identity| {
        let chain =
            identity.chain.iter().map(|link| Certificate::from_der(link.as_ref()).to_owned());
        let key = PrivateKey::from_pem(&identity.key_pem).ok()?;
        Some(ClientCert::new_with_certs(&chain.collect::<Vec<_>>(), key))
    });
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&certificates))
        .client_cert(identity)
        .unversioned_rustls_crypto_provider(Tls::provider())
        .build();
    Agent::config_builder()
        .http_status_as_error(false)
        // A redirect would take headers with credentials elsewhere.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(if is_local(&target.url) { None } else { Proxy::try_from_env() })
        .tls_config(tls)
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .build()
        .new_agent()
}

/// Whether the target is this machine, to which no proxy leads.
fn is_local(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4 + 64), Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// Seconds or a date, as `Retry-After` has it.
fn pause(value: &HeaderValue) -> Option<Duration> {
    let value = value.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// In a few words, and without the URL, which may hold a key.
pub(crate) fn described(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "the host is not known".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Rustls(error) => format!("TLS failed: {error}"),
        ureq::Error::Tls(error) => format!("TLS failed: {error}"),
        ureq::Error::ConnectionFailed => "the connection failed".to_owned(),
        ureq::Error::Protocol(error) => format!("the answer is not HTTP: {error}"),
        ureq::Error::Http(_) => "the answer is not HTTP".to_owned(),
        _ => "the request failed".to_owned(),
    }
}
