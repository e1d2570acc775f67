//! What an application says about its tracing: in code, by name, or in environment variables.
//!
//! Options have the same names in Rust and in Python. What is not said in code is looked for in
//! `SPANWISE_<OPTION>`, then in the variables that OpenTelemetry, Datadog and AWS define. A mistake
//! is an error, except in numbers and switches of `OTEL_*` variables, which are ignored with a
//! warning as OpenTelemetry wants it.
//!
//! | option | meaning |
//! |---|---|
//! | `app_name` | `service.name`; also `OTEL_SERVICE_NAME` |
//! | `tracing_enabled` | whether there is tracing at all; also `OTEL_SDK_DISABLED` |
//! | `environment` | `deployment.environment.name`; also `ENVIRONMENT`, `APP_ENV` |
//! | `resource_attributes` | facts that go with every span; also `OTEL_RESOURCE_ATTRIBUTES` |
//! | `opentelemetry_endpoint` | where spans go; also `SPANWISE_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` (used as it is), `OTLP_ENDPOINT` |
//! | `api_key` | authenticates at the OTLP endpoint, as a bearer token |
//! | `trace_exporter` | some of `otlp`, `jaeger`, `zipkin`, `datadog`, `xray`, `console`, `log`, `none`; inferred from the endpoint where it is not said; also `OTEL_TRACES_EXPORTER` |
//! | `console_exporter` | a readable line for each span on standard error, beside the others |
//! | `otlp_protocol` | `grpc`, `http/protobuf` or `http/json`; port 4317 is gRPC, everything else HTTP where it is not said |
//! | `otlp_headers` | headers of every OTLP request, `name=value,…` in a variable |
//! | `otlp_compression` | `gzip` or `none` |
//! | `otlp_timeout_ms` | how long one request may take, 10 s |
//! | `otlp_certificate` | PEM file of the authorities that are trusted instead of the system's |
//! | `otlp_client_certificate`, `otlp_client_key` | PEM files by which this process identifies itself |
//! | `jaeger_endpoint` | Jaeger's collector; without it the agent |
//! | `jaeger_agent_host`, `jaeger_agent_port` | Jaeger's agent, `127.0.0.1:6831` |
//! | `jaeger_service_name`, `zipkin_service_name` | `service.name` for that exporter alone |
//! | `zipkin_endpoint` | Zipkin, `http://127.0.0.1:9411/api/v2/spans` |
//! | `datadog_agent_url` | Datadog's agent, `http://127.0.0.1:8126`; also `DD_TRACE_AGENT_URL` |
//! | `datadog_api_key` | without an agent: sends to Datadog itself; also `DD_API_KEY` |
//! | `datadog_site`, `datadog_otlp_endpoint` | which Datadog, `datadoghq.com`; also `DD_SITE` |
//! | `datadog_service`, `datadog_env` | what Datadog is told; also `DD_SERVICE`, `DD_ENV` |
//! | `xray_daemon_address` | X-Ray's daemon, `127.0.0.1:2000`; also `AWS_XRAY_DAEMON_ADDRESS` |
//! | `trace_sampling_rate` | the share of traces that is recorded, 0 to 1; also `OTEL_TRACES_SAMPLER` with `OTEL_TRACES_SAMPLER_ARG` |
//! | `environment_sampling_rates` | rates by `environment`, where no rate was set |
//! | `error_sampling_rate`, `slow_request_sampling_rate`, `slow_request_threshold_ms`, `high_priority_operations`, `low_priority_operations` | intelligent sampling, as soon as one of them is set |
//! | `trace_content` | whether content is recorded; `trace_user_inputs`, `trace_system_prompts`, `trace_llm_inputs`, `trace_llm_outputs` are its classes |
//! | `trace_metadata_only` | no content, whatever the other switches say |
//! | `trace_content_hashes`, `content_hash_key` | leaves hashes where content was removed, keyed with a key |
//! | `content_redaction_enabled` | replaces secrets in everything that is recorded; `pii_redaction` and `financial_data_redaction` (on unless switched off), `custom_patterns`, `replacement_text` say what else, and with what |
//! | `export_interval_ms`, `export_timeout_ms` | how often spans leave, 500; how long a batch is tried for, 60,000; also `OTEL_BSP_SCHEDULE_DELAY`, `OTEL_BSP_EXPORT_TIMEOUT` |
//! | `export_running_spans_ms` | spans that are open for so long leave as they are, and again when they change, at most so often: a process that is killed leaves them behind. For OTLP receivers that replace them when they end, as Spanwise does; others would show them twice. Off unless set |
//! | `shutdown_timeout_ms` | how long the end may take, 5,000 |
//! | `queue_bytes` | memory for spans that wait, 32 MiB. OpenTelemetry's queues count spans; `OTEL_BSP_MAX_QUEUE_SIZE` and `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` have no effect |
//! | `max_attributes`, `max_text_bytes`, `max_events`, `max_links`, `max_attributes_of_parts` | [`Limits`](crate::Limits); also `OTEL_*_LIMIT` |
//! | `trace_debug` | tells that debugging was asked for; what happens is logged with `tracing` in any case |

mod endpoint;
mod environment;
mod error;
mod exporters;
mod options;
mod plan;
mod rules;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use spanwise_model::{Attributes, Value};

pub use self::environment::Environment;
pub use self::error::ConfigError;
pub(crate) use self::plan::Plan;

use crate::sampler::Sampler;
pub use crate::settings::MakeExporter;
use crate::settings::Settings;

/// The options of [`init`](crate::init()). Whatever is not set has a sensible default.
///
/// ```
/// use spanwise::Config;
///
/// let config = Config::new("support-bot")
///     .endpoint("http://127.0.0.1:4318")
///     .sampling_rate(0.25)
///     .resource_attribute("deployment.environment.name", "test");
///
/// // By name, as configuration files and other languages do it.
/// let mut config = config;
/// config.set("trace_system_prompts", false)?;
/// let error = config.set("trace_sampling_ratee", 0.5).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "unknown option `trace_sampling_ratee`; did you mean `trace_sampling_rate`?"
/// );
/// # Ok::<(), spanwise::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct Config {
    said: BTreeMap<&'static str, Value>,
    sampler: Option<Arc<dyn Sampler>>,
    exporters: Vec<MakeExporter>,
    environment: Environment,
}

impl Config {
    /// The options of an application of this name, its `service.name`.
    pub fn new(app_name: impl Into<String>) -> Self {
        Config::default().with("app_name", app_name.into())
    }

    /// Sets an option by its name. [`Value::Null`] leaves it as it was. Texts are understood as
    /// they would be in an environment variable.
    pub fn set(&mut self, option: &str, value: impl Into<Value>) -> Result<&mut Self, ConfigError> {
        let option = options::find(option)?;
        if let Some(value) = option.read(option.name, value.into())? {
            self.said.insert(option.name, value);
        }
        Ok(self)
    }

    /// The names of all options, for those who want to check or to list them.
    pub fn options() -> impl Iterator<Item = &'static str> {
        options::OPTIONS.iter().map(|option| option.name)
    }

    /// Whether there is tracing at all; there is, unless this is called with `false`.
    #[must_use]
    pub fn enabled(self, is_on: bool) -> Self {
        self.with("tracing_enabled", is_on)
    }

    /// Where spans go, `http://127.0.0.1:4318` unless said otherwise. The protocol is inferred
    /// from it where it is not said: port 4317 is gRPC, `/api/v2/spans` Zipkin, and so on.
    #[must_use]
    pub fn endpoint(self, url: impl Into<String>) -> Self {
        self.with("opentelemetry_endpoint", url.into())
    }

    /// Authenticates at the endpoint.
    #[must_use]
    pub fn api_key(self, key: impl Into<String>) -> Self {
        self.with("api_key", key.into())
    }

    /// How spans leave: some of `otlp`, `jaeger`, `zipkin`, `datadog`, `xray`, `console`, `log`
    /// and `none`. With several, each gets every span.
    #[must_use]
    pub fn exporters<'n>(self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let names = names.into_iter().map(|name| Value::from(name.to_owned())).collect();
        self.with("trace_exporter", Value::Array(names))
    }

    /// An exporter of the application's own, beside the others.
    #[must_use]
    pub fn exporter(mut self, make: MakeExporter) -> Self {
        self.exporters.push(make);
        self
    }

    /// A header of every OTLP request.
    #[must_use]
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with_entry("otlp_headers", name.into(), value.into())
    }

    /// The share of traces that are recorded, from 0 to 1.
    #[must_use]
    pub fn sampling_rate(self, rate: f64) -> Self {
        self.with("trace_sampling_rate", rate)
    }

    /// Decides which traces are recorded, instead of the rate.
    #[must_use]
    pub fn sampler(mut self, sampler: Arc<dyn Sampler>) -> Self {
        self.sampler = Some(sampler);
        self
    }

    /// Whether what people, models and tools say is recorded. Single classes are the options
    /// `trace_user_inputs`, `trace_system_prompts`, `trace_llm_inputs` and `trace_llm_outputs`.
    #[must_use]
    pub fn content(self, is_on: bool) -> Self {
        self.with("trace_content", is_on)
    }

    /// Replaces secrets, personal and financial data before anything leaves the process.
    #[must_use]
    pub fn redaction(self, is_on: bool) -> Self {
        self.with("content_redaction_enabled", is_on)
    }

    /// A fact about the application that goes with every span.
    #[must_use]
    pub fn resource_attribute(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.with_entry("resource_attributes", key.into(), value.into())
    }

    /// Other environment variables than the process's own.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// What a recorder is made of, for those who make one of their own instead of calling
    /// [`init`](crate::init()).
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        self.plan().map(|plan| plan.settings)
    }

    fn with(mut self, option: &'static str, value: impl Into<Value>) -> Self {
        self.said.insert(option, value.into());
        self
    }

    fn with_entry(mut self, option: &'static str, key: String, value: String) -> Self {
        let entries = self.said.entry(option).or_insert_with(|| Value::Map(Attributes::default()));
        if let Value::Map(entries) = entries {
            entries.push(key, value);
        }
        self
    }

    /// What was said in code, else in an environment variable; with the name under which it was.
    fn get(&self, option: &'static str) -> Result<Option<(String, Value)>, ConfigError> {
        if let Some(value) = self.said.get(option) {
            return Ok(Some((option.to_owned(), value.clone())));
        }
        let option = options::find(option)?;
        let found = self.environment.first(&option.variables());
        let Some((variable, text)) = found else { return Ok(None) };
        match option.read(&variable, Value::from(text)) {
            Ok(value) => Ok(value.map(|value| (variable, value))),
            Err(error) if variable.starts_with("OTEL_") && option.is_lenient() => {
                // OpenTelemetry wants what cannot be understood to be ignored.
                tracing::warn!(%error, "an environment variable was ignored");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl std::fmt::Debug for Config {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("said", &self.said.keys()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn every_option_is_documented() {
        let documentation = include_str!("config.rs");
        for option in Config::options() {
            assert!(documentation.contains(&format!("`{option}`")), "{option}");
        }
    }
}
