//! OTLP over gRPC: the three `Export` methods.
//!
//! The calls are unary and their messages are raw OTLP bytes, so gRPC comes down to one frame in,
//! one frame out and a status. Doing that here rather than with a generated service keeps two
//! promises: a compressed message goes to the log as it came, and a message that is too large
//! ends in RESOURCE_EXHAUSTED, which exporters do not retry.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, Response, header};
use axum::routing::post;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Frame;
use spanwise_model::wire::otlp;
use spanwise_store::{Encoding, Signal};
use tonic::{Code, Status};

use super::{Receiver, Refused, Service};
use crate::auth::keys::Scope;
use crate::ingest::{Envelope, Format, Receipt};
use crate::receive::body::inflate;

/// One byte "compressed", four bytes length.
const FRAME_HEAD: usize = 5;

const SERVICES: [(&str, Service); 3] = [
    ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", Service::Traces),
    ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", Service::Logs),
    ("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", Service::Metrics),
];

/// The gRPC listener's router.
pub fn routes(receiver: Receiver) -> Router {
    let mut router = Router::new();
    for (path, service) in SERVICES {
        let export = move |State(receiver): State<Receiver>, request: Request<Body>| async move {
            let (head, body) = request.into_parts();
            let outcome = match admit(&receiver, &head.headers) {
                Ok((project, announced)) => {
                    take(&receiver, service, project, announced, body).await
                }
                Err(refused) => {
                    receiver.budget.discard(body);
                    Err(refused)
                }
            };
            match outcome {
                Ok(receipt) => success(&receipt),
                Err(refused) => failure(refused),
            }
        };
        router = router.route(path, post(export));
    }
    router.fallback(unknown_method).with_state(receiver)
}

async fn unknown_method(request: Request<Body>) -> Response<Body> {
    let message = format!("no such method: {}", request.uri().path());
    failure(Refused::new(501, Code::Unimplemented, message))
}

fn admit(receiver: &Receiver, headers: &HeaderMap) -> Result<(Arc<str>, Encoding), Refused> {
    let project = receiver.gate.admit(headers, Scope::Ingest)?.project;
    Ok((project, announced_encoding(headers)?))
}

async fn take(
    receiver: &Receiver,
    service: Service,
    project: Arc<str>,
    announced: Encoding,
    body: Body,
) -> Result<Receipt, Refused> {
    let held = receiver.budget.read(body, FRAME_HEAD).await?;
    let (compressed, message) = message_of(&held.bytes)?;
    let encoding = match (compressed, announced) {
        (false, _) => Encoding::Identity,
        (true, Encoding::Identity) => {
            return Err(Refused::new(
                400,
                Code::InvalidArgument,
                "the message is flagged as compressed, but grpc-encoding names no compression",
            ));
        }
        (true, encoding) => encoding,
    };
    let signal = match service {
        Service::Traces => Signal::Traces,
        Service::Logs => Signal::Logs,
        Service::Metrics => {
            let plain = inflate(encoding, &message, receiver.budget.max_body_bytes())?;
            return otlp::check_metrics(&plain)
                .map(|_| Receipt::default())
                .map_err(|error| Refused::new(400, Code::InvalidArgument, error.to_string()));
        }
    };
    let envelope = Envelope {
        project,
        signal,
        format: Format::Protobuf,
        encoding,
        body: message,
        source: "otlp-grpc",
    };
    Ok(receiver.ingest.accept(envelope).await?)
}

fn announced_encoding(headers: &HeaderMap) -> Result<Encoding, Refused> {
    match headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(Encoding::Identity),
        Some(b"gzip") => Ok(Encoding::Gzip),
        Some(b"zstd") => Ok(Encoding::Zstd),
        Some(b"deflate") => Ok(Encoding::Deflate),
        Some(_) => Err(Refused::new(
            415,
            Code::Unimplemented,
            "grpc-encoding must be gzip, zstd, deflate or identity",
        )),
    }
}

/// The one message of a unary call.
fn message_of(body: &Bytes) -> Result<(bool, Bytes), Refused> {
    let malformed = |reason| Refused::new(400, Code::InvalidArgument, reason);
    let Some((head, _)) = body.split_first_chunk::<FRAME_HEAD>() else {
        return Err(malformed("the call carries no complete gRPC message"));
    };
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if head[0] > 1 {
        return Err(malformed("the gRPC message's compression flag is neither 0 nor 1"));
    }
    if body.len() - FRAME_HEAD != length {
        return Err(malformed("the gRPC message's length does not fit the body"));
    }
    Ok((head[0] == 1, body.slice(FRAME_HEAD..)))
}

fn success(receipt: &Receipt) -> Response<Body> {
    let message = otlp::encode_partial_success(receipt.rejected, &receipt.message);
    let mut frame = BytesMut::with_capacity(FRAME_HEAD + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.extend_from_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Ok::<_, std::convert::Infallible>(Frame::data(frame.freeze()))];
    let trailers = Ok(Frame::trailers(trailers));
    let body = http_body_util::StreamBody::new(futures::stream::iter(
        frames.into_iter().chain([trailers]),
    ));
    let mut response = Response::new(Body::new(body.boxed_unsync()));
    grpc_headers(response.headers_mut());
    response
}

fn failure(refused: Refused) -> Response<Body> {
    let Refused { grpc, message, retry_after, .. } = refused;
    let status = if retry_after.is_some() {
        let details = otlp::encode_status(grpc as u32, &message, retry_after);
        Status::with_details(grpc, message, details.into())
    } else {
        Status::new(grpc, message)
    };
    let mut response = status.into_http::<Body>();
    grpc_headers(response.headers_mut());
    response
}

fn grpc_headers(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip,zstd,deflate"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        let body = |bytes: &'static [u8]| message_of(&Bytes::from_static(bytes));
        assert_eq!(body(b"\0\0\0\0\x02ab").unwrap(), (false, Bytes::from_static(b"ab")));
        assert_eq!(body(b"\x01\0\0\0\0").unwrap(), (true, Bytes::new()));
        for wrong in [&b""[..], b"\0\0\0\0", b"\x02\0\0\0\0", b"\0\0\0\0\x02a", b"\0\0\0\0\0a"] {
            assert_eq!(body(wrong).unwrap_err().grpc, Code::InvalidArgument, "{wrong:?}");
        }
    }
}
