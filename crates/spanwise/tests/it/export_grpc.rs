//! OTLP over gRPC, against a server that says what it is told to; and encryption.

use std::collections::VecDeque;
use std::net::TcpListener as StdListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use spanwise::{Config, Recorder, Start, Started};
use spanwise_model::wire::base64;
use spanwise_model::wire::otlp::{decode_traces, encode_partial_success, encode_status};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::receiver::{Answer, PATIENCE, Receiver};
use crate::started;

/// How a call is answered.
#[derive(Clone, Debug)]
enum Say {
    /// A message and status 0.
    Ok(Vec<u8>),
    /// A status at the end, with details.
    Status(u32, Option<Duration>),
    /// A status at once, without a body.
    AtOnce(u32),
    /// No status at all.
    Nothing,
}

/// What a client sent: the head, and the message in its frame.
type Call = (Request<()>, Bytes);

#[derive(Clone, Default)]
struct Server {
    calls: Arc<Mutex<Vec<Call>>>,
    answers: Arc<Mutex<VecDeque<Say>>>,
    tls: Option<Arc<ServerConfig>>,
    /// Says goodbye after this many calls.
    calls_per_connection: Option<usize>,
}

impl Server {
    fn of(answers: impl IntoIterator<Item = Say>) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        Server { answers, ..Server::default() }
    }

    /// Its address. It serves until the process ends.
    fn start(&self) -> String {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = self.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let server = server.clone();
                    tokio::spawn(async move {
                        match server.tls.clone() {
                            None => server.serve(stream).await,
                            Some(tls) => {
                                let stream = TlsAcceptor::from(tls).accept(stream).await.ok()?;
                                server.serve(stream).await
                            }
                        }
                    });
                }
            });
        });
        address
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let mut connection = h2::server::handshake(stream).await.ok()?;
        let mut n_calls = 0;
        while let Some(call) = connection.accept().await {
            let (request, respond) = call.ok()?;
            let (head, mut body) = request.into_parts();
            let server = self.clone();
            n_calls += 1;
            if self.calls_per_connection == Some(n_calls) {
                connection.graceful_shutdown();
            }
            tokio::spawn(async move {
                let mut message = Vec::new();
                while let Some(data) = body.data().await {
                    let data = data.ok()?;
                    let _ = body.flow_control().release_capacity(data.len());
                    message.extend_from_slice(&data);
                }
                server.calls.lock().unwrap().push((Request::from_parts(head, ()), message.into()));
                let answer = server.answers.lock().unwrap().pop_front();
                say(answer.unwrap_or(Say::Ok(Vec::new())), respond).ok()
            });
        }
        Some(())
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

fn say(answer: Say, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let head = |status: Option<u32>| {
        let mut response = Response::new(());
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.extend(
            status
                .map(|status| ("grpc-status".parse().unwrap(), status.into()))
                .map(|(name, value): (http::HeaderName, HeaderValue)| (Some(name), value)),
        );
        response
    };
    let framed = |message: &[u8]| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        Bytes::from([&[0], &length[..], message].concat())
    };
    let mut trailers = HeaderMap::new();
    match answer {
        Say::AtOnce(status) => {
            respond.send_response(head(Some(status)), true)?;
        }
        Say::Nothing => {
            respond.send_response(head(None), true)?;
        }
        Say::Ok(message) => {
            let mut body = respond.send_response(head(None), false)?;
            body.send_data(framed(&message), false)?;
            trailers.insert("grpc-status", 0.into());
            body.send_trailers(trailers)?;
        }
        Say::Status(status, retry_after) => {
            let mut body = respond.send_response(head(None), false)?;
            trailers.insert("grpc-status", status.into());
            let details = base64::encode(&encode_status(status, "busy", retry_after));
            let details = HeaderValue::try_from(details.trim_end_matches('=')).unwrap();
            trailers.insert("grpc-status-details-bin", details);
            body.send_trailers(trailers)?;
        }
    }
    Ok(())
}

fn record(recorder: &Arc<Recorder>, n: usize) {
    for _ in 0..n {
        let Started::Recording(recording) = recorder.start(&Start::named("work"), None) else {
            panic!("everything is sampled");
        };
        Recorder::end(recording, None);
    }
}

fn grpc(endpoint: String) -> Config {
    let mut config = Config::new("shop").endpoint(endpoint);
    config.set("otlp_protocol", "grpc").unwrap();
    config
}

/// Ten spans to this server, and whether they were delivered.
fn deliver(server: &Server) -> (Arc<Recorder>, bool) {
    let recorder = started(grpc(format!("http://{}", server.start())));
    record(&recorder, 10);
    let delivered = recorder.flush(PATIENCE);
    let metrics = recorder.metrics();
    assert_eq!(metrics.spans_exported + metrics.spans_dropped, 10);
    (recorder, delivered)
}

fn n_spans(message: &Bytes) -> usize {
    decode_traces(message.slice(5..)).unwrap().spans.len()
}

#[test]
fn a_call_has_everything_that_grpc_asks_for() {
    let server = Server::default();
    let address = server.start();
    let recorder =
        started(grpc(format!("http://{address}/ignored")).api_key("k-1").header("X-Team", "blue"));
    record(&recorder, 10);
    assert!(recorder.flush(PATIENCE));
    record(&recorder, 1);
    assert!(recorder.flush(PATIENCE));
    let calls = server.calls();
    assert_eq!(calls.len(), 2);
    let (head, message) = &calls[0];
    assert_eq!(head.uri().path(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    assert_eq!(head.uri().authority().unwrap().as_str(), address);
    let header = |name| head.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("te"), Some("trailers"));
    assert_eq!(header("content-type"), Some("application/grpc"));
    assert_eq!(header("authorization"), Some("Bearer k-1"));
    assert_eq!(header("x-team"), Some("blue"));
    assert!(header("grpc-timeout").unwrap().ends_with('m'));
    assert_eq!(header("grpc-encoding"), None);
    assert_eq!(message[0], 0);
    assert_eq!(n_spans(message), 10);
}

#[test]
fn messages_can_be_compressed() {
    let server = Server::default();
    let mut config = grpc(format!("http://{}", server.start()));
    config.set("otlp_compression", "gzip").unwrap();
    let recorder = started(config);
    record(&recorder, 10);
    assert!(recorder.flush(PATIENCE));
    let (head, message) = server.calls()[0].clone();
    assert_eq!(head.headers()["grpc-encoding"], "gzip");
    assert_eq!(message[0], 1);
    let mut plain = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(&message[5..]), &mut plain).unwrap();
    assert_eq!(decode_traces(plain.into()).unwrap().spans.len(), 10);
}

#[test]
fn statuses_that_may_pass_are_tried_again() {
    let passing = [
        Say::Status(14, None),
        Say::Status(8, Some(Duration::from_millis(1))),
        Say::AtOnce(4),
        Say::Nothing,
    ];
    for answer in passing {
        let server = Server::of([answer.clone()]);
        let (recorder, delivered) = deliver(&server);
        assert!(delivered, "{answer:?}");
        assert_eq!(server.calls().len(), 2, "{answer:?}");
        assert_eq!(recorder.metrics().export_errors, 1);
    }
}

#[test]
fn statuses_that_will_not_pass_are_counted() {
    for answer in [Say::AtOnce(16), Say::Status(3, None), Say::Status(99, None)] {
        let server = Server::of([answer.clone()]);
        let (recorder, delivered) = deliver(&server);
        assert!(!delivered, "{answer:?}");
        assert_eq!(server.calls().len(), 1, "{answer:?}");
        assert_eq!(recorder.metrics().dropped_undelivered, 10);
    }
    let server = Server::of([Say::Ok(encode_partial_success(4, "too old"))]);
    let (recorder, delivered) = deliver(&server);
    assert!(!delivered);
    assert_eq!(recorder.metrics().dropped_rejected, 4);
}

#[test]
fn what_is_too_large_is_sent_in_parts() {
    let server = Server::of([Say::Status(8, None)]);
    let (_, delivered) = deliver(&server);
    assert!(delivered);
    let sizes = server.calls().iter().map(|(_, message)| n_spans(message)).collect::<Vec<_>>();
    assert_eq!(sizes, [10, 5, 5]);
}

#[test]
fn a_connection_that_was_closed_meanwhile_costs_nothing() {
    let server = Server { calls_per_connection: Some(1), ..Server::default() };
    let recorder = started(grpc(format!("http://{}", server.start())));
    for _ in 0..3 {
        record(&recorder, 1);
        assert!(recorder.flush(PATIENCE));
    }
    let metrics = recorder.metrics();
    assert_eq!((metrics.spans_exported, metrics.export_errors), (3, 0));
    assert_eq!(server.calls().len(), 3);
}

#[test]
fn a_receiver_that_speaks_http_1_is_an_error() {
    let receiver = Receiver::start([Answer::Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")]);
    let recorder = started(grpc(receiver.url()));
    record(&recorder, 10);
    assert!(!recorder.flush(Duration::from_millis(300)));
    assert!(recorder.shutdown(Duration::from_millis(300)));
    assert_eq!(recorder.metrics().dropped_undelivered, 10);
}

/// A server's identity, a client's identity, and the authority behind both, as files.
struct Identities {
    server: ServerConfig,
    folder: tempfile::TempDir,
}

impl Identities {
    fn new() -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

        let folder = tempfile::tempdir().unwrap();
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_certificate = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let issued = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &issuer).unwrap(), key)
        };
        let (certificate, key) = issued("127.0.0.1");
        let (client, client_key) = issued("client");
        let write =
            |name: &str, pem: String| std::fs::write(folder.path().join(name), pem).unwrap();
        write("authority.pem", authority_certificate.pem());
        write("client.pem", client.pem());
        write("client.key", client_key.serialize_pem());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority_certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
            roots.into(),
            Arc::clone(&provider),
        );
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        server.alpn_protocols = vec![b"h2".to_vec()];
        Identities { server, folder }
    }

    /// The option with the path of a file.
    fn set(&self, config: &mut Config, option: &str, name: &str) {
        let path = self.folder.path().join(name).to_str().unwrap().to_owned();
        config.set(option, path).unwrap();
    }
}

#[test]
fn both_ends_can_prove_who_they_are() {
    let identities = Identities::new();
    let server = Server { tls: Some(Arc::new(identities.server.clone())), ..Server::default() };
    let endpoint = format!("https://{}", server.start());

    let mut config = grpc(endpoint.clone());
    identities.set(&mut config, "otlp_certificate", "authority.pem");
    identities.set(&mut config, "otlp_client_certificate", "client.pem");
    identities.set(&mut config, "otlp_client_key", "client.key");
    let recorder = started(config);
    record(&recorder, 10);
    assert!(recorder.flush(PATIENCE), "{:?}", recorder.metrics());
    assert_eq!(server.calls().len(), 1);

    // Neither an unknown authority nor a client without an identity gets through.
    let mut nameless = grpc(endpoint.clone());
    identities.set(&mut nameless, "otlp_certificate", "authority.pem");
    for config in [grpc(endpoint), nameless] {
        let recorder = started(config);
        record(&recorder, 10);
        assert!(recorder.shutdown(Duration::from_millis(500)));
        assert_eq!(recorder.metrics().dropped_undelivered, 10);
    }
    assert_eq!(server.calls().len(), 1);
}

/// Over HTTP/1.1 the other client is in use; it is shown the same files.
#[test]
fn http_is_encrypted_with_the_same_options() {
    use std::io::{Read, Write};

    let identities = Identities::new();
    let mut tls = identities.server.clone();
    tls.alpn_protocols.clear();
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connection = rustls::ServerConnection::new(Arc::new(tls)).unwrap();
        let mut stream = rustls::Stream::new(&mut connection, &mut stream);
        let mut head = [0; 26];
        stream.read_exact(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        String::from_utf8(head.to_vec()).unwrap()
    });
    let mut config = Config::new("shop").endpoint(format!("https://{address}"));
    identities.set(&mut config, "otlp_certificate", "authority.pem");
    identities.set(&mut config, "otlp_client_certificate", "client.pem");
    identities.set(&mut config, "otlp_client_key", "client.key");
    let recorder = started(config);
    record(&recorder, 1);
    assert!(recorder.flush(PATIENCE), "{:?}", recorder.metrics());
    assert_eq!(served.join().unwrap(), "POST /v1/traces HTTP/1.1\r\n");
}
