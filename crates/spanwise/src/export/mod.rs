//! Where spans go.
//!
//! An [`Exporter`] gets a [`Batch`] and delivers it, or says why not and whether to try again. It
//! does nothing else: formats are those of [`spanwise_model::wire`], repetition, bounds and counts
//! are the recorder's. Exporters are made from a [`Config`](crate::Config); an application can add
//! its own.

mod batch;
mod console;
mod datadog;
#[cfg(feature = "grpc")]
mod grpc;
pub(crate) mod http;
mod jaeger;
pub(crate) mod log;
mod otlp;
mod tls;
mod udp;
mod xray;
mod zipkin;

use std::time::{Duration, Instant};

pub use batch::Batch;
pub(crate) use batch::Origin;
pub(crate) use console::Console;
pub(crate) use datadog::DatadogAgent;
#[cfg(feature = "grpc")]
pub(crate) use grpc::OtlpGrpc;
pub(crate) use http::Target as HttpTarget;
pub(crate) use jaeger::{JaegerAgent, JaegerHttp};
pub(crate) use log::Log;
pub(crate) use otlp::{Encoding, OtlpHttp};
pub(crate) use tls::Tls;
pub(crate) use xray::XrayDaemon;
pub(crate) use zipkin::Zipkin;

/// Delivers spans. Called from one thread only.
pub trait Exporter: Send {
    /// Delivers a batch, or says why not. Should give up at `deadline`. An error that may pass is
    /// tried again by the caller.
    fn export(&mut self, batch: &Batch, deadline: Instant) -> Result<Delivered, ExportError>;

    /// Whether it wants spans that have not ended too, without an end, to be replaced when they
    /// do. They are delivered at most once and counted nowhere.
    fn takes_running(&self) -> bool {
        false
    }

    /// What it is called where its counts are shown.
    fn name(&self) -> &'static str {
        "custom"
    }
}

/// What became of a batch that reached its receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// How many of its spans the receiver refused.
    pub rejected: u64,
    /// The receiver's words about them.
    pub reason: String,
}

/// Why a batch was not delivered.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{reason}")]
pub struct ExportError {
    /// In a few words, without content or secrets.
    pub reason: String,
    /// Whether it may work later, and if the receiver said when: how much later.
    pub retry: Retry,
}

impl ExportError {
    fn later(reason: impl Into<String>) -> Self {
        ExportError { reason: reason.into(), retry: Retry::Later }
    }

    fn never(reason: impl Into<String>) -> Self {
        ExportError { reason: reason.into(), retry: Retry::Never }
    }
}

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It will not work later either.
    Never,
    /// It may work after a while.
    Later,
    /// The receiver asked for this pause.
    After(Duration),
}
