//! What an application says about its tracing: in code, by name, or in environment variables.
//!
//! Options have the same names in Rust and in Python. What is not said in code is looked for in
//! `SPANWISE_<OPTION>`, then in the variables that OpenTelemetry, Datadog and AWS define.

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

/// The options of [`init`](crate::init). Whatever is not set has a sensible default.
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
    /// [`init`](crate::init).
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
