//! Which exporters, where they send to, and with what.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use spanwise_model::Value;

use super::endpoint::{Protocol, address, protocol, url, with_path};
use super::{Config, ConfigError};
use crate::export::{
    Console, DatadogAgent, Encoding, Exporter, HttpTarget, JaegerAgent, JaegerHttp, Log, Origin,
    OtlpHttp, Tls, XrayDaemon, Zipkin,
};
use crate::settings::MakeExporter;

const NAMES: [&str; 8] = ["otlp", "jaeger", "zipkin", "datadog", "xray", "console", "log", "none"];

/// How long one request may take, unless said otherwise.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Exporters, and how to tell people about them.
pub(super) struct Exporting {
    pub exporters: Vec<MakeExporter>,
    pub names: Vec<String>,
    pub endpoint: String,
}

/// An endpoint that the application named itself.
struct Said {
    url: Uri,
    /// Used as it is.
    is_exact: bool,
    /// Not said about OTLP alone.
    is_for_any: bool,
}

/// How the requests of OTLP are sent.
enum Transport {
    Grpc,
    Http(Encoding),
}

impl Config {
    pub(super) fn exporting(&self) -> Result<Exporting, ConfigError> {
        let said = self.said_endpoint()?;
        let names = self.exporter_names(said.as_ref())?;
        let remote = |name: &&String| !matches!(name.as_str(), "console" | "log" | "none");
        let is_alone = names.iter().filter(remote).count() == 1;
        let own = |wanted: Protocol| {
            let said = said.as_ref().filter(|said| said.is_for_any)?;
            (is_alone || protocol(&said.url) == wanted).then(|| said.url.clone())
        };
        let mut all = Exporting {
            exporters: self.exporters.clone(),
            names: vec!["custom".to_owned(); self.exporters.len()],
            endpoint: String::new(),
        };
        for name in names {
            let (exporter, place) = match name.as_str() {
                "otlp" => self.otlp(said.as_ref())?,
                "zipkin" => self.zipkin(own(Protocol::Zipkin))?,
                "jaeger" => self.jaeger(own(Protocol::Jaeger))?,
                "datadog" => self.datadog(own(Protocol::Datadog))?,
                "xray" => self.xray()?,
                "console" => (make(|| Console), String::new()),
                "log" => (make(|| Log), String::new()),
                _ => continue,
            };
            all.exporters.push(exporter);
            if all.endpoint.is_empty() {
                all.endpoint = place;
            }
            all.names.push(name);
        }
        Ok(all)
    }

    /// What was asked for, else what the endpoint suggests.
    fn exporter_names(&self, said: Option<&Said>) -> Result<Vec<String>, ConfigError> {
        let mut names = match self.texts("trace_exporter")? {
            Some((option, names)) => {
                let known = |name: &String| known_name(&option, &name.to_ascii_lowercase());
                names.iter().map(known).collect::<Result<Vec<_>, _>>()?
            }
            None if !self.exporters.is_empty() && said.is_none() => Vec::new(),
            None => {
                let suggested = said.filter(|said| said.is_for_any).map(|said| protocol(&said.url));
                let name = match suggested {
                    Some(Protocol::Zipkin) => "zipkin",
                    Some(Protocol::Jaeger) => "jaeger",
                    Some(Protocol::Datadog) => "datadog",
                    Some(Protocol::Grpc | Protocol::Http) | None => "otlp",
                };
                vec![name.to_owned()]
            }
        };
        if self.flag("console_exporter", false)? {
            names.push("console".to_owned());
        }
        let mut distinct: Vec<String> = Vec::new();
        for name in names {
            if !distinct.contains(&name) {
                distinct.push(name);
            }
        }
        Ok(distinct)
    }

    fn said_endpoint(&self) -> Result<Option<Said>, ConfigError> {
        let Some((name, text)) = self.named_text("opentelemetry_endpoint")? else {
            return Ok(None);
        };
        Ok(Some(Said {
            url: url(&name, &text)?,
            is_exact: name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            is_for_any: !name.starts_with("OT"),
        }))
    }

    fn otlp(&self, said: Option<&Said>) -> Result<(MakeExporter, String), ConfigError> {
        let transport = self.transport(said)?;
        let default = match transport {
            Transport::Grpc => "http://127.0.0.1:4317",
            Transport::Http(_) => "http://127.0.0.1:4318",
        };
        let base =
            said.map_or_else(|| url("opentelemetry_endpoint", default), |s| Ok(s.url.clone()));
        let base = base?;
        let is_exact = said.is_some_and(|said| said.is_exact) || base.path().contains("/api/trace");
        let target = |url| self.target(url, self.otlp_headers()?);
        match transport {
            Transport::Grpc => grpc(target(base)?),
            Transport::Http(encoding) => {
                let url = if is_exact { base } else { with_path(base, "/v1/traces") };
                let (target, place) = (target(url.clone())?, url.to_string());
                let exporter =
                    make(move || OtlpHttp::new(target.clone(), encoding, Origin::default()));
                Ok((exporter, place))
            }
        }
    }

    fn transport(&self, said: Option<&Said>) -> Result<Transport, ConfigError> {
        let Some((option, name)) = self.named_text("otlp_protocol")? else {
            return Ok(match said.map(|said| protocol(&said.url)) {
                Some(Protocol::Grpc) => Transport::Grpc,
                _ => Transport::Http(Encoding::Protobuf),
            });
        };
        match name.as_str() {
            "grpc" => Ok(Transport::Grpc),
            "http/protobuf" | "http" => Ok(Transport::Http(Encoding::Protobuf)),
            "http/json" => Ok(Transport::Http(Encoding::Json)),
            _ => {
                let known = "expected `grpc`, `http/protobuf` or `http/json`";
                Err(ConfigError::invalid(option, format!("{known}, got `{name}`")))
            }
        }
    }

    fn otlp_headers(&self) -> Result<HeaderMap, ConfigError> {
        let mut headers = HeaderMap::new();
        if let Some((option, key)) = self.named_text("api_key")? {
            insert(&mut headers, &option, "authorization", &format!("Bearer {key}"))?;
        }
        if let Some((option, Value::Map(entries))) = self.get("otlp_headers")? {
            for entry in &entries {
                let Some(value) = entry.value.as_str() else {
                    let reason = format!("the value of `{}` is not a text", entry.key);
                    return Err(ConfigError::invalid(option, reason));
                };
                insert(&mut headers, &option, &entry.key, value)?;
            }
        }
        Ok(headers)
    }

    fn zipkin(&self, own: Option<Uri>) -> Result<(MakeExporter, String), ConfigError> {
        let url = match self.named_text("zipkin_endpoint")? {
            Some((option, text)) => url(&option, &text)?,
            None => own.map_or_else(|| url("zipkin_endpoint", "http://127.0.0.1:9411"), Ok)?,
        };
        let url = with_path(url, "/api/v2/spans");
        let origin = Origin { service: self.text("zipkin_service_name")?, environment: None };
        let (target, place) = (self.target(url.clone(), HeaderMap::new())?, url.to_string());
        Ok((make(move || Zipkin::new(target.clone(), origin.clone())), place))
    }

    /// Over HTTP to an endpoint that was named, else to the agent.
    fn jaeger(&self, own: Option<Uri>) -> Result<(MakeExporter, String), ConfigError> {
        let origin = Origin { service: self.text("jaeger_service_name")?, environment: None };
        let url = match self.named_text("jaeger_endpoint")? {
            Some((option, text)) => Some(url(&option, &text)?),
            None => own,
        };
        if let Some(url) = url {
            let url = with_path(url, "/api/traces");
            let (target, place) = (self.target(url.clone(), HeaderMap::new())?, url.to_string());
            return Ok((make(move || JaegerHttp::new(target.clone(), origin.clone())), place));
        }
        let host = self.text("jaeger_agent_host")?.unwrap_or_else(|| "127.0.0.1".to_owned());
        let port = self.count("jaeger_agent_port", 6831)?;
        let agent = address("jaeger_agent_port", &format!("{host}:{port}"))?;
        let place = format!("udp://{agent}");
        Ok((make(move || JaegerAgent::new(agent.clone(), origin.clone())), place))
    }

    /// To an agent that was named; with a key and no agent to Datadog itself.
    fn datadog(&self, own: Option<Uri>) -> Result<(MakeExporter, String), ConfigError> {
        let origin = Origin {
            service: self.text("datadog_service")?,
            environment: self.text("datadog_env")?,
        };
        let agent = match self.named_text("datadog_agent_url")? {
            Some((option, text)) => Some(url(&option, &text)?),
            None => own,
        };
        let (None, Some((option, key))) = (&agent, self.named_text("datadog_api_key")?) else {
            let agent =
                agent.map_or_else(|| url("datadog_agent_url", "http://127.0.0.1:8126"), Ok)?;
            let url = with_path(agent, "/v0.4/traces");
            let (target, place) = (self.target(url.clone(), HeaderMap::new())?, url.to_string());
            return Ok((make(move || DatadogAgent::new(target.clone(), origin.clone())), place));
        };
        let mut headers = HeaderMap::new();
        insert(&mut headers, &option, "dd-api-key", &key)?;
        insert(&mut headers, &option, "compute_stats", "true")?;
        let intake = if let Some((option, text)) = self.named_text("datadog_otlp_endpoint")? {
            url(&option, &text)?
        } else {
            let site = self.named_text("datadog_site")?;
            let (option, site) =
                site.unwrap_or_else(|| ("datadog_site".to_owned(), "datadoghq.com".to_owned()));
            url(&option, &format!("https://otlp.{site}"))?
        };
        let url = with_path(intake, "/v1/traces");
        let (target, place) = (self.target(url.clone(), headers)?, url.to_string());
        let new =
            move || OtlpHttp::new(target.clone(), Encoding::Protobuf, origin.clone()).only_ended();
        Ok((make(new), place))
    }

    fn xray(&self) -> Result<(MakeExporter, String), ConfigError> {
        let daemon = match self.named_text("xray_daemon_address")? {
            None => "127.0.0.1:2000".to_owned(),
            Some((option, text)) => {
                // AWS also writes `tcp:host:port udp:host:port`; spans go over UDP.
                let of_udp = text.split(' ').find_map(|part| part.strip_prefix("udp:"));
                address(&option, of_udp.unwrap_or(&text))?
            }
        };
        let place = format!("udp://{daemon}");
        Ok((make(move || XrayDaemon::new(daemon.clone())), place))
    }

    fn target(&self, url: Uri, headers: HeaderMap) -> Result<HttpTarget, ConfigError> {
        let gzip = match self.named_text("otlp_compression")? {
            None => false,
            Some((_, name)) if name == "none" => false,
            Some((_, name)) if name == "gzip" => true,
            Some((option, name)) => {
                let reason = format!("expected `gzip` or `none`, got `{name}`");
                return Err(ConfigError::invalid(option, reason));
            }
        };
        let timeout = self.millis("otlp_timeout_ms", REQUEST_TIMEOUT)?;
        Ok(HttpTarget { url, headers, gzip, timeout, tls: self.tls()? })
    }

    fn tls(&self) -> Result<Tls, ConfigError> {
        let certificates = |option: &str, pem: &[u8]| {
            Tls::certificates(pem).map_err(|reason| ConfigError::invalid(option, reason))
        };
        let authorities = self.file("otlp_certificate")?;
        let authorities =
            authorities.map(|(option, pem)| certificates(&option, &pem)).transpose()?;
        let chain = self.file("otlp_client_certificate")?;
        let key = self.file("otlp_client_key")?;
        let identity = match (chain, key) {
            (None, None) => None,
            (Some((option, chain)), Some((key_option, key))) => {
                let identity = Tls::identity(certificates(&option, &chain)?, key);
                Some(identity.map_err(|reason| ConfigError::invalid(key_option, reason))?)
            }
            (Some((option, _)), None) => {
                return Err(ConfigError::invalid(option, "needs otlp_client_key beside it"));
            }
            (None, Some((option, _))) => {
                return Err(ConfigError::invalid(
                    option,
                    "needs otlp_client_certificate beside it",
                ));
            }
        };
        Ok(Tls { authorities, identity })
    }

    /// The content of the file that an option names.
    fn file(&self, option: &'static str) -> Result<Option<(String, Vec<u8>)>, ConfigError> {
        let Some((option, path)) = self.named_text(option)? else { return Ok(None) };
        match std::fs::read(&path) {
            Ok(content) => Ok(Some((option, content))),
            Err(error) => Err(ConfigError::invalid(option, format!("{path}: {error}"))),
        }
    }
}

#[cfg(feature = "grpc")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it is an error")]
fn grpc(target: HttpTarget) -> Result<(MakeExporter, String), ConfigError> {
    let place = target.url.to_string();
    let new = move || crate::export::OtlpGrpc::new(target.clone(), Origin::default());
    Ok((make(new), place))
}

#[cfg(not(feature = "grpc"))]
fn grpc(_: HttpTarget) -> Result<(MakeExporter, String), ConfigError> {
    Err(ConfigError::invalid("otlp_protocol", "gRPC was left out: the feature `grpc` is off"))
}

fn make<E: Exporter + 'static>(new: impl Fn() -> E + Send + Sync + 'static) -> MakeExporter {
    Arc::new(move || Box::new(new()))
}

/// The name as it is kept, also for other systems' names of the same.
fn known_name(option: &str, name: &str) -> Result<String, ConfigError> {
    let name = match name {
        "logging" => "log",
        "stdout" | "stderr" => "console",
        other => other,
    };
    if NAMES.contains(&name) {
        return Ok(name.to_owned());
    }
    let known = format!("unknown exporter `{name}`; there are {}", NAMES.join(", "));
    Err(ConfigError::invalid(option, known))
}

/// Values are marked as secret, so that nothing prints them.
fn insert(
    headers: &mut HeaderMap,
    option: &str,
    name: &str,
    value: &str,
) -> Result<(), ConfigError> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| ConfigError::invalid(option, format!("`{name}` is no name of a header")))?;
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        let reason = format!("the value of `{name}` has characters that headers cannot have");
        ConfigError::invalid(option, reason)
    })?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}
