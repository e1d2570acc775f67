//! Where the spans of a gateway go.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use spanwise::export::{Batch, Delivered, ExportError, Exporter, Retry};
use spanwise::{ConfigError, Recorder, Settings};
use spanwise_gateway::config::{Exporter as Wanted, Secret, Tracing};
use spanwise_gateway::plan::look_up;
use spanwise_model::redact::{self, Redactor};
use spanwise_store::{Encoding, Signal};
use tokio::runtime::Handle;

use super::files::Reader;
use crate::StartError;
use crate::auth::DEFAULT_PROJECT;
use crate::ingest::{Envelope, Format, Ingest};

/// What an exporter to the store of this process is called.
const STORE: &str = "store";

/// The store of the server that the gateway is a part of. Spans enter it as they would over the
/// network, only without one.
#[derive(Clone, Debug)]
pub struct Home {
    ingest: Arc<Ingest>,
    runtime: Handle,
}

impl Home {
    /// The way into the store, from within the server's runtime.
    pub fn new(ingest: Arc<Ingest>) -> Self {
        Home { ingest, runtime: Handle::current() }
    }
}

impl Exporter for Home {
    fn export(&mut self, batch: &Batch, deadline: Instant) -> Result<Delivered, ExportError> {
        let envelope = Envelope {
            project: DEFAULT_PROJECT.into(),
            signal: Signal::Traces,
            format: Format::Protobuf,
            encoding: Encoding::Identity,
            body: Bytes::copy_from_slice(batch.otlp()),
            source: "gateway",
        };
        let accepted = self.ingest.accept(envelope);
        let in_time = self
            .runtime
            .block_on(async { tokio::time::timeout_at(deadline.into(), accepted).await });
        // What was stored although it came late is stored once, however often it is sent.
        let late =
            |_| ExportError { reason: "the store took too long".to_owned(), retry: Retry::Later };
        match in_time.map_err(late)? {
            Ok(receipt) => Ok(Delivered { rejected: receipt.rejected, reason: receipt.message }),
            Err(error) => {
                let retry = error.retry_after().map_or(Retry::Never, Retry::After);
                Err(ExportError { reason: error.to_string(), retry })
            }
        }
    }

    fn name(&self) -> &'static str {
        STORE
    }
}

/// A recorder that sends spans where the configuration says: within a server to its store, unless
/// it says otherwise; nowhere, if it says so.
pub fn recorder(
    tracing: &Tracing,
    home: Option<&Home>,
) -> Result<Option<Arc<Recorder>>, StartError> {
    let Some(mut settings) = settings(tracing, home.is_some())? else { return Ok(None) };
    if let Some(home) = home.filter(|_| goes_to_store(tracing)).cloned() {
        settings.exporters.push(Arc::new(move || Box::new(home.clone())));
    }
    Ok(Some(Recorder::new(settings)))
}

/// What such a recorder is made of, but for the way into the store.
pub fn settings(tracing: &Tracing, is_within_server: bool) -> Result<Option<Settings>, StartError> {
    let wrong = |error: ConfigError| StartError::Config(format!("tracing: {error}"));
    let exporters = tracing.exporters.iter().flatten();
    let others: Vec<_> = exporters.filter(|exporter| exporter.kind != STORE).collect();
    let is_stored = is_within_server && goes_to_store(tracing);
    if !is_within_server && tracing.exporters.is_some() && goes_to_store(tracing) {
        let reason = "tracing.exporters: `store` is for a gateway within `spanwise serve`";
        return Err(StartError::Config(reason.to_owned()));
    }
    let kinds: Vec<_> = others.iter().map(|exporter| exporter.kind.as_str()).collect();
    let is_nowhere = tracing.exporters.is_some() && kinds.iter().all(|kind| *kind == "none");
    if is_nowhere && !is_stored {
        return Ok(None);
    }
    let mut sdk = spanwise::Config::new(&tracing.service_name);
    for (key, value) in &tracing.resource {
        sdk = sdk.resource_attribute(key, value.as_str());
    }
    sdk = match kinds.as_slice() {
        [] if is_stored => sdk.exporters(["none"]),
        [] => sdk,
        kinds => sdk.exporters(kinds.iter().copied()),
    };
    for exporter in others {
        sdk = with_exporter(sdk, exporter)?;
    }
    let mut settings = sdk.settings().map_err(wrong)?;
    settings.content.redactor = redactor(tracing)?.or(settings.content.redactor);
    Ok(Some(settings))
}

fn goes_to_store(tracing: &Tracing) -> bool {
    let is_store = |exporter: &Wanted| exporter.kind == STORE;
    tracing.exporters.as_ref().is_none_or(|exporters| exporters.iter().any(is_store))
}

fn with_exporter(
    mut sdk: spanwise::Config,
    exporter: &Wanted,
) -> Result<spanwise::Config, StartError> {
    let wrong = |error: ConfigError| StartError::Config(format!("tracing.exporters: {error}"));
    let option = match exporter.kind.as_str() {
        "zipkin" => "zipkin_endpoint",
        _ => "opentelemetry_endpoint",
    };
    if let Some(endpoint) = &exporter.endpoint {
        sdk.set(option, endpoint.clone()).map_err(wrong)?;
    }
    if let Some(protocol) = &exporter.protocol {
        sdk.set("otlp_protocol", protocol.clone()).map_err(wrong)?;
    }
    for (name, value) in &exporter.headers {
        sdk = sdk.header(name, resolved(value)?);
    }
    Ok(sdk)
}

fn redactor(tracing: &Tracing) -> Result<Option<Redactor>, StartError> {
    let Some(redaction) = &tracing.content.redaction else { return Ok(None) };
    let usual = redact::RedactionConfig::default();
    let replacement = redaction.replacement_text.clone();
    let config = redact::RedactionConfig {
        pii: redaction.pii_redaction,
        financial: redaction.financial_data_redaction,
        custom_patterns: redaction.custom_patterns.clone(),
        replacement_text: replacement.unwrap_or(usual.replacement_text),
    };
    let redactor = Redactor::new(config)
        .map_err(|error| StartError::Config(format!("tracing.content.redaction: {error}")))?;
    Ok(Some(redactor))
}

fn resolved(secret: &Secret) -> Result<String, StartError> {
    let found = look_up(secret, &Reader::default())
        .map_err(|reason| StartError::Config(format!("tracing: {reason}")))?;
    Ok(found.unwrap_or_else(|| secret.0.clone()))
}
