//! `spanwise import`: files of OTLP, sent to the running server.
//!
//! A file holds OTLP JSON (one request, or an array of requests), JSON lines as the OpenTelemetry
//! Collector's file exporter writes them, or one protobuf request; any of these may be gzipped.
//! Traces and log records are taken, metrics are passed on and only counted there.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use serde_json::Value as Json;
use spanwise_model::wire::otlp;

use crate::client::{Client, ClientError};

/// What an import did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Requests that the server took.
    pub requests: usize,
    /// Spans and log records that the server refused, with its words.
    pub rejected: Vec<String>,
}

/// Why a file was not imported. Requests before the failure were taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line or document is neither OTLP JSON nor protobuf.
    #[error("{path}: {place}: {reason}")]
    Format {
        /// The file.
        path: String,
        /// Where in it.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The server did not take it.
    #[error("{path}: {place}: {source}")]
    Server {
        /// The file.
        path: String,
        /// Where in it.
        place: String,
        /// What the server said.
        source: ClientError,
    },
}

/// Sends everything in `path` to the server.
pub fn file(client: &Client, path: &Path) -> Result<Imported, ImportError> {
    let name = path.display().to_string();
    let bytes = read(path).map_err(|source| ImportError::Read { path: name.clone(), source })?;
    let mut import = Import { client, path: name, done: Imported::default() };
    let is_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if matches!(is_json, Some(b'{' | b'[')) {
        import.json(&bytes)?;
    } else {
        import.protobuf(bytes)?;
    }
    Ok(import.done)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut inflated = Vec::new();
    MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut inflated)?;
    Ok(inflated)
}

struct Import<'a> {
    client: &'a Client,
    path: String,
    done: Imported,
}

impl Import<'_> {
    /// One document, or one document per line: what a stream of JSON values covers alike.
    fn json(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        let documents = serde_json::Deserializer::from_slice(bytes).into_iter::<Json>();
        for (n, document) in documents.enumerate() {
            let place = format!("document {}", n + 1);
            match document {
                Ok(document) => self.document(&place, document)?,
                Err(error) => return Err(self.malformed(&place, error.to_string())),
            }
        }
        Ok(())
    }

    /// One request. It is read here too, so that what it lacks is said in words.
    fn protobuf(&mut self, bytes: Vec<u8>) -> Result<(), ImportError> {
        let place = "the file";
        let bytes = Bytes::from(bytes);
        let batch = otlp::decode_traces(bytes.clone())
            .map_err(|error| self.malformed(place, format!("neither JSON nor OTLP: {error}")))?;
        self.send(place, "/v1/traces", "application/x-protobuf", &bytes)?;
        self.done.rejected.extend(batch.rejected.into_iter().map(|rejection| {
            format!("span {} `{}`: {}", rejection.index, rejection.name, rejection.reason)
        }));
        Ok(())
    }

    fn document(&mut self, place: &str, document: Json) -> Result<(), ImportError> {
        match document {
            Json::Array(requests) => {
                for (n, request) in requests.into_iter().enumerate() {
                    self.document(&format!("{place}, item {}", n + 1), request)?;
                }
                Ok(())
            }
            Json::Object(ref request) => {
                let signal = if request.contains_key("resourceSpans") {
                    "/v1/traces"
                } else if request.contains_key("resourceLogs") {
                    "/v1/logs"
                } else if request.contains_key("resourceMetrics") {
                    "/v1/metrics"
                } else if let Some(wrapped) = request.get("request") {
                    return self.document(place, wrapped.clone());
                } else {
                    let reason = "no resourceSpans, resourceLogs or resourceMetrics in it";
                    return Err(self.malformed(place, reason.to_owned()));
                };
                self.send(place, signal, "application/json", document.to_string().as_bytes())
            }
            _ => Err(self.malformed(place, "expected a JSON object or an array of them".into())),
        }
    }

    fn send(
        &mut self,
        place: &str,
        signal: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<(), ImportError> {
        let answer = self.client.post(signal, content_type, body).map_err(|source| {
            ImportError::Server { path: self.path.clone(), place: place.to_owned(), source }
        })?;
        self.done.requests += 1;
        let partial = serde_json::from_slice::<Json>(&answer).ok();
        if let Some(message) = partial
            .as_ref()
            .and_then(|answer| answer.pointer("/partialSuccess/errorMessage"))
            .and_then(Json::as_str)
        {
            self.done.rejected.push(format!("{place}: {message}"));
        }
        Ok(())
    }

    fn malformed(&self, place: &str, reason: String) -> ImportError {
        ImportError::Format { path: self.path.clone(), place: place.to_owned(), reason }
    }
}
