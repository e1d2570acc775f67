//! Talks to a running server, for the commands that are not the server.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde_json::Value as Json;

/// A running server, as a command reaches it.
pub struct Client {
    agent: ureq::Agent,
    endpoint: String,
    key: Option<String>,
}

/// Why the server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("cannot reach {endpoint}: {reason}; is `spanwise serve` running there?")]
    Unreachable {
        /// Where we tried.
        endpoint: String,
        /// What the connection said.
        reason: String,
    },
    /// The server said no.
    #[error("the server answered {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's reason.
        message: String,
    },
}

impl Client {
    /// A client of the server at `endpoint`, such as `http://127.0.0.1:4319`.
    pub fn new(endpoint: &str, key: Option<String>) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .build()
            .into();
        Client { agent, endpoint: endpoint.trim_end_matches('/').to_owned(), key }
    }

    /// Sends an `ExportTraceServiceRequest`.
    pub fn send_otlp(&self, body: &[u8]) -> Result<(), ClientError> {
        self.post("/v1/traces", "application/x-protobuf", body).map(|_| ())
    }

    /// Sends a body; returns the answer's bytes.
    pub fn post(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, ClientError> {
        let mut request = self.agent.post(self.url(path)).header("content-type", content_type);
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        self.answer(request.send(body))
    }

    /// Fetches a JSON document; `query` pairs are escaped.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Json, ClientError> {
        let body = self.answer(self.request(path, query).call())?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Refused {
            status: 200,
            message: format!("not JSON: {error}"),
        })
    }

    /// Follows a stream of server-sent events; calls `on_event` with each one's data.
    pub fn follow(
        &self,
        path: &str,
        query: &[(&str, &str)],
        mut on_event: impl FnMut(Json) -> std::io::Result<()>,
    ) -> Result<(), ClientError> {
        let response =
            self.request(path, query).call().map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return self.answer(Ok(response)).map(|_| ());
        }
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            let line = line.map_err(|error| self.unreachable(&error))?;
            let Some(data) = line.strip_prefix("data:") else { continue };
            let Ok(event) = serde_json::from_str(data) else { continue };
            if on_event(event).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn request(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> ureq::RequestBuilder<ureq::typestate::WithoutBody> {
        let mut request = self.agent.get(self.url(path));
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        request
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint)
    }

    fn answer(
        &self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Vec<u8>, ClientError> {
        let response = response.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = response
            .into_body()
            .with_config()
            .limit(u64::MAX)
            .read_to_vec()
            .map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return Ok(body);
        }
        Err(ClientError::Refused { status: status.as_u16(), message: reason(&body) })
    }

    fn unreachable(&self, error: &impl ToString) -> ClientError {
        ClientError::Unreachable { endpoint: self.endpoint.clone(), reason: error.to_string() }
    }
}

/// The sentence in an error answer: ours, or whatever text came back.
fn reason(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    serde_json::from_str::<Json>(&text)
        .ok()
        .and_then(|json| {
            let message = json.pointer("/error/message").or_else(|| json.get("message"))?;
            message.as_str().map(str::to_owned)
        })
        .unwrap_or_else(|| text.chars().take(300).collect())
}
