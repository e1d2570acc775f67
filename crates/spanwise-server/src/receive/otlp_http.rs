//! OTLP over HTTP: `POST /v1/traces`, `/v1/logs`, `/v1/metrics`, protobuf or JSON.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use axum::routing::post;
use bytes::Bytes;
use spanwise_model::wire::otlp;
use spanwise_store::{Encoding, Signal};

use super::{Receiver, Refused, Service};
use crate::auth::keys::Scope;
use crate::ingest::{Envelope, Format, Receipt};
use crate::receive::body::inflate;

/// The paths of OTLP, to be merged into a listener's router.
pub fn routes(receiver: Receiver) -> Router {
    Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/logs", post(logs))
        .route("/v1/metrics", post(metrics))
        .with_state(receiver)
}

async fn traces(State(receiver): State<Receiver>, request: Request<Body>) -> Response<Body> {
    answer(&receiver, Service::Traces, request).await
}

async fn logs(State(receiver): State<Receiver>, request: Request<Body>) -> Response<Body> {
    answer(&receiver, Service::Logs, request).await
}

async fn metrics(State(receiver): State<Receiver>, request: Request<Body>) -> Response<Body> {
    answer(&receiver, Service::Metrics, request).await
}

async fn answer(receiver: &Receiver, service: Service, request: Request<Body>) -> Response<Body> {
    let format = format_of(request.headers());
    // An answer in a format that was not asked for is still better than none.
    let answer_format = format.unwrap_or(Format::Protobuf);
    let (head, body) = request.into_parts();
    let outcome = match admit(receiver, format, &head.headers) {
        Ok(admitted) => take(receiver, service, admitted, body).await,
        Err(refused) => {
            receiver.budget.discard(body);
            Err(refused)
        }
    };
    match outcome {
        Ok(receipt) => success(service, answer_format, &receipt),
        Err(refused) => failure(answer_format, &refused),
    }
}

/// What the head of an acceptable request says.
struct Admitted {
    project: Arc<str>,
    format: Format,
    encoding: Encoding,
}

fn admit(
    receiver: &Receiver,
    format: Option<Format>,
    headers: &HeaderMap,
) -> Result<Admitted, Refused> {
    let format = format.ok_or_else(|| {
        Refused::new(
            415,
            tonic::Code::InvalidArgument,
            "content-type must be application/x-protobuf or application/json",
        )
    })?;
    let project = receiver.gate.admit(headers, Scope::Ingest)?.project;
    Ok(Admitted { project, format, encoding: encoding_of(headers)? })
}

async fn take(
    receiver: &Receiver,
    service: Service,
    admitted: Admitted,
    body: Body,
) -> Result<Receipt, Refused> {
    let Admitted { project, format, encoding } = admitted;
    let held = receiver.budget.read(body, 0).await?;
    let signal = match service {
        Service::Traces => Signal::Traces,
        Service::Logs => Signal::Logs,
        Service::Metrics => return check_metrics(receiver, format, encoding, &held.bytes),
    };
    let envelope = Envelope {
        project,
        signal,
        format,
        encoding,
        body: held.bytes.clone(),
        source: match format {
            Format::Protobuf => "otlp-http",
            Format::Json => "otlp-http-json",
        },
    };
    Ok(receiver.ingest.accept(envelope).await?)
}

/// Metrics are taken politely, so that exporters that send all signals to one place are content;
/// they are not kept.
fn check_metrics(
    receiver: &Receiver,
    format: Format,
    encoding: Encoding,
    body: &Bytes,
) -> Result<Receipt, Refused> {
    let plain = inflate(encoding, body, receiver.budget.max_body_bytes())?;
    match format {
        Format::Protobuf => otlp::check_metrics(&plain),
        Format::Json => otlp::check_metrics_json(&plain),
    }
    .map(|_| Receipt::default())
    .map_err(|error| Refused::new(400, tonic::Code::InvalidArgument, error.to_string()))
}

fn format_of(headers: &HeaderMap) -> Option<Format> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/x-protobuf")
        || essence.eq_ignore_ascii_case("application/protobuf")
    {
        Some(Format::Protobuf)
    } else if essence.eq_ignore_ascii_case("application/json") {
        Some(Format::Json)
    } else {
        None
    }
}

fn encoding_of(headers: &HeaderMap) -> Result<Encoding, Refused> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    match value.to_str().map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        Ok("" | "identity" | "none") => Ok(Encoding::Identity),
        Ok("gzip" | "x-gzip") => Ok(Encoding::Gzip),
        Ok("deflate") => Ok(Encoding::Deflate),
        Ok("zstd") => Ok(Encoding::Zstd),
        _ => Err(Refused::new(
            415,
            tonic::Code::Unimplemented,
            "content-encoding must be gzip, deflate, zstd or identity",
        )),
    }
}

fn success(service: Service, format: Format, receipt: &Receipt) -> Response<Body> {
    let signal = match service {
        Service::Traces => otlp::Signal::Traces,
        Service::Logs => otlp::Signal::Logs,
        Service::Metrics => otlp::Signal::Metrics,
    };
    let body = match format {
        Format::Protobuf => otlp::encode_partial_success(receipt.rejected, &receipt.message),
        Format::Json => {
            otlp::encode_partial_success_json(signal, receipt.rejected, &receipt.message).into()
        }
    };
    respond(StatusCode::OK, format, body)
}

fn failure(format: Format, refused: &Refused) -> Response<Body> {
    let (code, message) = (refused.grpc as u32, refused.message.as_str());
    let body = match format {
        Format::Protobuf => otlp::encode_status(code, message, refused.retry_after),
        Format::Json => otlp::encode_status_json(code, message, refused.retry_after).into(),
    };
    let status = StatusCode::from_u16(refused.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = respond(status, format, body);
    if let Some(delay) = refused.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, crate::error::retry_after(delay));
    }
    if refused.http == 401 {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

fn respond(status: StatusCode, format: Format, body: Vec<u8>) -> Response<Body> {
    let content_type = HeaderValue::from_static(match format {
        Format::Protobuf => "application/x-protobuf",
        Format::Json => "application/json",
    });
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
