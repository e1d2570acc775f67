//! Receivers: wire formats over the network, each ending in [`Ingest::accept`].
//!
//! A receiver authenticates, reads the body within bounds, and turns the outcome into the words
//! of its protocol. That is all: what a body holds is the business of the ingest.

pub mod body;
pub mod otlp_grpc;
pub mod otlp_http;

use std::sync::Arc;
use std::time::Duration;

use spanwise_store::AppendError;

use crate::auth::Gate;
use crate::ingest::{Ingest, IngestError};
use body::{BodyError, Budget};

/// What every receiver needs.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Who may send.
    pub gate: Arc<Gate>,
    /// Where spans go.
    pub ingest: Arc<Ingest>,
    /// How much may be on its way in.
    pub budget: Budget,
}

/// The services of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Service {
    Traces,
    Logs,
    Metrics,
}

/// Why a request was turned down, with the words of both protocols.
#[derive(Debug)]
struct Refused {
    http: u16,
    grpc: tonic::Code,
    message: String,
    retry_after: Option<Duration>,
}

impl Refused {
    fn new(http: u16, grpc: tonic::Code, message: impl Into<String>) -> Self {
        Refused { http, grpc, message: message.into(), retry_after: None }
    }
}

impl From<crate::auth::Refusal> for Refused {
    fn from(refusal: crate::auth::Refusal) -> Self {
        use crate::auth::Refusal;
        let (http, grpc) = match refusal {
            Refusal::NoKey | Refusal::UnknownKey => (401, tonic::Code::Unauthenticated),
            Refusal::NotForIngest | Refusal::NotForReading | Refusal::OtherProject => {
                (403, tonic::Code::PermissionDenied)
            }
            Refusal::BadProject => (400, tonic::Code::InvalidArgument),
        };
        Refused::new(http, grpc, refusal.to_string())
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        let message = error.to_string();
        match error {
            BodyError::TooLarge { .. } => {
                Refused::new(413, tonic::Code::ResourceExhausted, message)
            }
            BodyError::TooSlow => Refused::new(408, tonic::Code::DeadlineExceeded, message),
            BodyError::Busy => Refused {
                retry_after: Some(Duration::from_secs(1)),
                ..Refused::new(503, tonic::Code::Unavailable, message)
            },
            BodyError::BrokenOff => Refused::new(400, tonic::Code::Cancelled, message),
            BodyError::BadCompression(_) => {
                Refused::new(400, tonic::Code::InvalidArgument, message)
            }
        }
    }
}

impl From<IngestError> for Refused {
    fn from(error: IngestError) -> Self {
        let retry_after = error.retry_after();
        let (http, grpc) = match &error {
            IngestError::Malformed(_) => (400, tonic::Code::InvalidArgument),
            IngestError::TooLarge { .. } | IngestError::Append(AppendError::TooLarge { .. }) => {
                (413, tonic::Code::ResourceExhausted)
            }
            IngestError::Append(AppendError::Overloaded { .. }) => (429, tonic::Code::Unavailable),
            IngestError::Append(_) => (503, tonic::Code::Unavailable),
            // Retrying would most likely meet the same fault, so this is final.
            IngestError::Internal => (500, tonic::Code::Internal),
        };
        Refused { retry_after, ..Refused::new(http, grpc, error.to_string()) }
    }
}
