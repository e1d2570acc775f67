//! What the server is told to do: flag, else environment, else file, else default.
//!
//! [`File`] is what the YAML says (unknown keys are refused by name), [`Settings`] what the
//! command line and the environment say, and [`Config`] the outcome with nothing left open.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Visitor};
use spanwise_store::Durability;

use crate::StartError;
use crate::units::{parse_bytes, parse_duration};

/// A running server's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// UI, query API, and the receivers' HTTP paths.
    pub listen: Listen,
    /// OTLP over gRPC.
    pub otlp_grpc: Listen,
    /// OTLP over HTTP.
    pub otlp_http: Listen,
    /// Whether the UI is served beside the API.
    pub ui: bool,
    /// Who may send and read.
    pub auth: AuthMode,
    /// Host names under which a loopback listener may be reached beside `localhost`; `*` for any.
    pub allowed_hosts: Vec<String>,
    /// Bounds on what clients can make the server hold or wait for.
    pub limits: Limits,
    /// Filter of the log on standard error.
    pub log: String,
    /// The store; its `dir` is the data folder.
    pub store: spanwise_store::Config,
    /// The file that says below `gateway:` what the gateway of this process does, if it has one.
    pub gateway: Option<PathBuf>,
}

/// Whether callers need a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// Nobody is asked.
    #[default]
    Off,
    /// Receivers, API and UI ask for a key.
    Required,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere (`off`).
    Off,
    /// At this `host:port`; port 0 takes a free one.
    At(String),
}

/// Bounds on what clients can make the server hold or wait for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest body, after decompression.
    pub max_body_bytes: usize,
    /// How many bytes of bodies may be in the making at once.
    pub max_inflight_bytes: usize,
    /// Connections per listener; more wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a connection may take to send the next request's head.
    pub header_timeout: Duration,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long running requests may take to finish at shutdown.
    pub drain_timeout: Duration,
}

/// Command line and environment. Every field may be absent.
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// Configuration file (YAML)
    #[arg(long, env = "SPANWISE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder for all data [default: ./spanwise-data]
    #[arg(long, env = "SPANWISE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of UI and API, or `off` [default: 127.0.0.1:4319]
    #[arg(long, env = "SPANWISE_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// Address for OTLP over gRPC, or `off` [default: 127.0.0.1:4317]
    #[arg(long, env = "SPANWISE_OTLP_GRPC", value_name = "ADDR")]
    pub otlp_grpc: Option<String>,
    /// Address for OTLP over HTTP, or `off` [default: 127.0.0.1:4318]
    #[arg(long, env = "SPANWISE_OTLP_HTTP", value_name = "ADDR")]
    pub otlp_http: Option<String>,
    /// Serve the API without the UI
    #[arg(long, env = "SPANWISE_NO_UI",
          value_parser = clap::builder::FalseyValueParser::new())]
    pub no_ui: bool,
    /// Whether senders and readers need a key [default: off]
    #[arg(long, env = "SPANWISE_AUTH", value_name = "MODE")]
    pub auth: Option<AuthMode>,
    /// Another host name under which a loopback listener is reached; `*` for any
    #[arg(long, env = "SPANWISE_ALLOWED_HOSTS", value_name = "HOST", value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,
    /// When a batch counts as stored: fsync, interval or off [default: fsync]
    #[arg(long, env = "SPANWISE_DURABILITY", value_name = "WHEN")]
    pub durability: Option<String>,
    /// Delete what is older, such as 30d [default: keep]
    #[arg(long, env = "SPANWISE_RETAIN_FOR", value_name = "AGE")]
    pub retain_for: Option<String>,
    /// Delete the oldest while the data is larger, such as 50GiB [default: keep]
    #[arg(long, env = "SPANWISE_RETAIN_BYTES", value_name = "SIZE")]
    pub retain_bytes: Option<String>,
    /// Set a damaged part of the log aside and start anyway
    #[arg(long, env = "SPANWISE_REPAIR",
          value_parser = clap::builder::FalseyValueParser::new())]
    pub repair: bool,
    /// Filter of the log on standard error [default: info]
    #[arg(long, env = "SPANWISE_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// The configuration file, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    data_dir: Option<PathBuf>,
    listen: Option<String>,
    otlp_grpc: Option<String>,
    otlp_http: Option<String>,
    ui: Option<bool>,
    auth: Option<FileAuth>,
    allowed_hosts: Vec<String>,
    log: Option<String>,
    store: FileStore,
    limits: FileLimits,
    gateway: Option<spanwise_gateway::config::Config>,
}

/// `auth: required`, or `auth: {enabled: true}`.
#[derive(Clone, Copy, Debug)]
struct FileAuth(AuthMode);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAuthTable {
    enabled: bool,
}

/// Either form, so that a mistake in the table is named (an untagged enum could not say which).
struct FileAuthVisitor;

impl<'de> Visitor<'de> for FileAuthVisitor {
    type Value = FileAuth;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("auth: `off`, `required` or {enabled: true}")
    }

    fn visit_bool<E: de::Error>(self, enabled: bool) -> Result<FileAuth, E> {
        Ok(FileAuth(if enabled { AuthMode::Required } else { AuthMode::Off }))
    }

    fn visit_str<E: de::Error>(self, mode: &str) -> Result<FileAuth, E> {
        match mode {
            "required" | "on" => self.visit_bool(true),
            "off" => self.visit_bool(false),
            other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<FileAuth, A::Error> {
        let table = FileAuthTable::deserialize(de::value::MapAccessDeserializer::new(map))?;
        self.visit_bool(table.enabled)
    }
}

impl<'de> Deserialize<'de> for FileAuth {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FileAuthVisitor)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileStore {
    durability: Option<String>,
    retain_for: Option<String>,
    retain_bytes: Option<String>,
    seal_spans: Option<usize>,
    seal_bytes: Option<String>,
    seal_after: Option<String>,
    max_live_bytes: Option<String>,
    running_for: Option<String>,
    min_free_bytes: Option<String>,
    text_index: Option<bool>,
    repair: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileLimits {
    max_body_bytes: Option<String>,
    max_inflight_bytes: Option<String>,
    max_connections: Option<usize>,
    header_timeout: Option<String>,
    body_timeout: Option<String>,
    drain_timeout: Option<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_body_bytes: 64 << 20,
            max_inflight_bytes: 256 << 20,
            max_connections: 1024,
            header_timeout: Duration::from_mins(1),
            body_timeout: Duration::from_mins(1),
            drain_timeout: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// Puts flags and environment over the file they name (if any) over the defaults.
    pub fn load(settings: Settings) -> Result<Config, StartError> {
        let file = match &settings.config {
            Some(path) => read_file(path)?,
            None => File::default(),
        };
        resolve(settings, file).map_err(StartError::Config)
    }

    /// The data folder.
    pub fn data_dir(&self) -> &Path {
        &self.store.dir
    }
}

fn read_file(path: &Path) -> Result<File, StartError> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| StartError::Config(format!("cannot read {name}: {error}")))?;
    parse_file(&text).map_err(|error| StartError::Config(format!("{name}: {error}")))
}

fn parse_file(text: &str) -> Result<File, String> {
    parse_yaml::<Option<File>>(text, expected_of).map(Option::unwrap_or_default)
}

/// What the section `gateway:` of the server's file says, if there is one.
pub(crate) fn section_gateway(
    text: &str,
) -> Result<Option<spanwise_gateway::config::Config>, String> {
    parse_file(text).map(|file| file.gateway)
}

/// Whether a file with a gateway in it is the server's, and not the gateway's own.
pub(crate) fn is_servers(text: &str) -> bool {
    read_loosely(text).get("gateway").is_some()
}

/// Whether a file is a gateway's own.
pub(crate) fn is_gateways(text: &str) -> bool {
    let file = read_loosely(text);
    ["listeners", "model_providers"].iter().any(|key| file.get(key).is_some())
}

fn read_loosely(text: &str) -> serde_json::Value {
    serde_saphyr::from_str_with_options(text, yaml_options()).unwrap_or_default()
}

/// Where something stands in a file, such as ` at line 2, column 19`.
pub(crate) fn place_in(text: &str, path: &str) -> Option<String> {
    let steps = path.split(['.', '[']).map(|step| step.trim_end_matches(']'));
    let steps: Vec<_> = steps.filter(|step| !step.is_empty()).collect();
    let read =
        serde_saphyr::with_deserializer_from_str_with_options(text, yaml_options(), |yaml| {
            de::DeserializeSeed::deserialize(Seek(&steps), yaml)
        });
    let place = read.err()?.location()?;
    Some(format!(" at line {}, column {}", place.line(), place.column()))
}

/// Follows a path, and stumbles over what is at its end: an error knows where it happened.
struct Seek<'p>(&'p [&'p str]);

impl<'de> de::DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("something else")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.0.split_first() else {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        };
        while let Some(key) = map.next_key::<String>()? {
            if key == *step {
                map.next_value_seed(Seek(rest))?;
            } else {
                map.next_value::<de::IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.0.split_first() else {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        };
        for _ in 0..step.parse().unwrap_or(0) {
            seq.next_element::<de::IgnoredAny>()?;
        }
        seq.next_element_seed(Seek(rest))?;
        Err(de::Error::custom("it is behind us"))
    }
}

/// How YAML is read: a configuration may be long, as nobody but its owner writes it.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! { max_nodes: 2_000_000, max_events: 8_000_000 },
    }
}

/// Reads YAML. Mistakes name the key and the place; `expected_of` says what should stand at a key.
pub(crate) fn parse_yaml<T: DeserializeOwned>(
    text: &str,
    expected_of: fn(&str) -> Option<&'static str>,
) -> Result<T, String> {
    let mut key = String::new();
    let read =
        serde_saphyr::with_deserializer_from_str_with_options(text, yaml_options(), |yaml| {
            serde_path_to_error::deserialize::<_, T>(yaml).map_err(|error| {
                key = error.path().to_string();
                error.into_inner()
            })
        });
    read.map_err(|error| {
        let Some(expected) = expected_of(&key) else {
            let name = key.rsplit('.').next().unwrap_or_default();
            let message = error.to_string().lines().collect::<Vec<_>>().join(" ");
            let message = message
                .replace(&format!("unknown field `{name}`"), &format!("unknown key `{key}`"));
            let is_named = name.is_empty() || message.contains(&format!("`{key}`"));
            return if is_named { message } else { format!("{key}: {message}") };
        };
        let found = found_at(text, &key);
        let place = error.location().map_or_else(String::new, |place| {
            format!(" at line {}, column {}", place.line(), place.column())
        });
        format!("{key}: expected {expected}, found {found}{place}")
    })
}

/// What should stand at a key that exists.
fn expected_of(key: &str) -> Option<&'static str> {
    if key.starts_with("gateway") {
        return None;
    }
    let name = key.rsplit('.').next().unwrap_or_default();
    let name = name.split('[').next().unwrap_or_default();
    Some(match name {
        "data_dir" => "the path of a folder",
        "listen" | "otlp_grpc" | "otlp_http" => "an address such as 127.0.0.1:4319, or off",
        "ui" | "text_index" | "repair" | "enabled" => "true or false",
        "auth" => "required or off",
        "allowed_hosts" => "a list of host names such as [traces.example.com]",
        "log" => "a filter such as info",
        "store" | "limits" => "settings, indented below it",
        "durability" => "fsync, interval or off",
        "seal_spans" | "max_connections" => "a whole number such as 1024",
        "retain_bytes" | "seal_bytes" | "max_live_bytes" | "min_free_bytes" | "max_body_bytes"
        | "max_inflight_bytes" => "a size such as 64MiB",
        "retain_for" | "seal_after" | "running_for" | "header_timeout" | "body_timeout"
        | "drain_timeout" => "a time such as 30s or 30d",
        _ => return None,
    })
}

/// What stands there instead, as a person would call it.
fn found_at(text: &str, key: &str) -> String {
    let pointer = key.replace(['.', '['], "/").replace(']', "");
    match read_loosely(text).pointer(&format!("/{pointer}")) {
        Some(serde_json::Value::Array(_)) => "a list".to_owned(),
        Some(serde_json::Value::Object(_)) => "settings".to_owned(),
        Some(serde_json::Value::String(text)) => format!("`{text}`"),
        None | Some(serde_json::Value::Null) => "nothing".to_owned(),
        Some(scalar) => format!("`{scalar}`"),
    }
}

fn resolve(settings: Settings, file: File) -> Result<Config, String> {
    let auth = settings.auth.or(file.auth.map(|FileAuth(mode)| mode)).unwrap_or_default();
    let allowed_hosts = if settings.allowed_hosts.is_empty() {
        file.allowed_hosts
    } else {
        settings.allowed_hosts.clone()
    };
    Ok(Config {
        listen: listen("listen", settings.listen.as_ref(), file.listen, "127.0.0.1:4319")?,
        otlp_grpc: listen(
            "otlp_grpc",
            settings.otlp_grpc.as_ref(),
            file.otlp_grpc,
            "127.0.0.1:4317",
        )?,
        otlp_http: listen(
            "otlp_http",
            settings.otlp_http.as_ref(),
            file.otlp_http,
            "127.0.0.1:4318",
        )?,
        ui: !settings.no_ui && file.ui.unwrap_or(true),
        auth,
        allowed_hosts,
        limits: limits(file.limits)?,
        log: settings.log.clone().or(file.log).unwrap_or_else(|| "info".to_owned()),
        gateway: settings.config.clone().filter(|_| file.gateway.is_some()),
        store: store(settings, file.data_dir, file.store)?,
    })
}

fn listen(
    key: &str,
    setting: Option<&String>,
    file: Option<String>,
    default: &str,
) -> Result<Listen, String> {
    let text = setting.cloned().or(file).unwrap_or_else(|| default.to_owned());
    if text == "off" {
        return Ok(Listen::Off);
    }
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(Listen::At(text)),
        _ => Err(format!("{key}: `{text}` is no address; write host:port, or off")),
    }
}

fn limits(file: FileLimits) -> Result<Limits, String> {
    let usual = Limits::default();
    let size = |key: &str, text, usual: usize| {
        bytes(&format!("limits.{key}"), text, usual as u64).map(|bytes| bytes as usize)
    };
    let time = |key: &str, text, usual: Duration| {
        duration(&format!("limits.{key}"), text, usual.as_secs())
    };
    Ok(Limits {
        max_body_bytes: size("max_body_bytes", file.max_body_bytes, usual.max_body_bytes)?,
        max_inflight_bytes: size(
            "max_inflight_bytes",
            file.max_inflight_bytes,
            usual.max_inflight_bytes,
        )?,
        max_connections: file.max_connections.unwrap_or(usual.max_connections).max(1),
        header_timeout: time("header_timeout", file.header_timeout, usual.header_timeout)?,
        body_timeout: time("body_timeout", file.body_timeout, usual.body_timeout)?,
        drain_timeout: time("drain_timeout", file.drain_timeout, usual.drain_timeout)?,
    })
}

fn store(
    settings: Settings,
    data_dir: Option<PathBuf>,
    file: FileStore,
) -> Result<spanwise_store::Config, String> {
    let durability = match settings.durability.or(file.durability).as_deref() {
        None | Some("fsync") => Durability::Fsync,
        Some("interval") => Durability::Interval,
        Some("off" | "false") => Durability::Off,
        Some(other) => {
            return Err(format!("durability: `{other}` is not fsync, interval or off"));
        }
    };
    let dir = settings.data_dir.or(data_dir).unwrap_or_else(|| "./spanwise-data".into());
    let retain_for = settings.retain_for.or(file.retain_for);
    let retain_bytes = settings.retain_bytes.or(file.retain_bytes);
    let base = spanwise_store::Config::new(dir);
    Ok(spanwise_store::Config {
        durability,
        seal_spans: file.seal_spans.unwrap_or(base.seal_spans).max(1),
        seal_bytes: bytes("store.seal_bytes", file.seal_bytes, base.seal_bytes as u64)? as usize,
        seal_after: duration("store.seal_after", file.seal_after, base.seal_after.as_secs())?,
        max_live_bytes: bytes(
            "store.max_live_bytes",
            file.max_live_bytes,
            base.max_live_bytes as u64,
        )? as usize,
        running_for: duration("store.running_for", file.running_for, base.running_for.as_secs())?,
        min_free_bytes: bytes("store.min_free_bytes", file.min_free_bytes, base.min_free_bytes)?,
        retain_for: retain_for
            .map(|text| parse_duration(&text).map_err(|error| format!("retain_for: {error}")))
            .transpose()?,
        retain_bytes: retain_bytes
            .map(|text| parse_bytes(&text).map_err(|error| format!("retain_bytes: {error}")))
            .transpose()?,
        text_index: file.text_index.unwrap_or(base.text_index),
        repair: settings.repair || file.repair.unwrap_or(base.repair),
        ..base
    })
}

fn bytes(key: &str, text: Option<String>, default: u64) -> Result<u64, String> {
    text.map_or(Ok(default), |text| parse_bytes(&text).map_err(|error| format!("{key}: {error}")))
}

fn duration(key: &str, text: Option<String>, default_secs: u64) -> Result<Duration, String> {
    text.map_or(Ok(Duration::from_secs(default_secs)), |text| {
        parse_duration(&text).map_err(|error| format!("{key}: {error}"))
    })
}

#[cfg(test)]
mod tests;
