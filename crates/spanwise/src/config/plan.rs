//! From options to what a recorder is made of.

use std::time::Duration;

use spanwise_model::{Attributes, Resource, Value};

use super::{Config, ConfigError, values};
use crate::resource;
use crate::settings::{Limits, Settings};

/// How long ending takes at most, unless said otherwise.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Options, checked.
pub(crate) struct Plan {
    pub settings: Settings,
    pub is_enabled: bool,
    pub shutdown_timeout: Duration,
    /// Where spans go, for people.
    pub endpoint: String,
    pub exporters: Vec<String>,
    pub sampling_rate: f64,
    pub debug: bool,
}

impl Config {
    /// Checks every option, and makes what a recorder needs.
    pub(crate) fn plan(&self) -> Result<Plan, ConfigError> {
        let exporting = self.exporting()?;
        let defaults = Settings::default();
        let settings = Settings {
            resource: self.resource()?,
            describe_process: true,
            content: self.content_rules()?,
            limits: self.limits()?,
            sampling: self.sampling()?,
            exporters: exporting.exporters,
            export_every: self.millis("export_interval_ms", defaults.export_every)?,
            running_every: self.running_every()?,
            queue_bytes: self.count("queue_bytes", defaults.queue_bytes)?,
            export_timeout: self.millis("export_timeout_ms", defaults.export_timeout)?,
        };
        Ok(Plan {
            settings,
            is_enabled: self.is_enabled()?,
            shutdown_timeout: self.millis("shutdown_timeout_ms", SHUTDOWN_TIMEOUT)?,
            endpoint: exporting.endpoint,
            exporters: exporting.names,
            sampling_rate: self.base_rate()?.get(),
            debug: self.flag("trace_debug", false)?,
        })
    }

    /// How often running spans leave; zero is never.
    fn running_every(&self) -> Result<Option<Duration>, ConfigError> {
        let every = self.count("export_running_spans_ms", 0)?;
        Ok((every > 0).then(|| Duration::from_millis(every as u64)))
    }

    /// On, unless the application, a variable of ours, or `OTEL_SDK_DISABLED` says otherwise.
    fn is_enabled(&self) -> Result<bool, ConfigError> {
        let disabled = self.environment.get("OTEL_SDK_DISABLED");
        let disabled = disabled.is_some_and(|text| text.eq_ignore_ascii_case("true"));
        self.flag("tracing_enabled", !disabled)
    }

    /// Who records. What is said in code wins over what is said in variables, and what is said
    /// about the service alone over what is said among other things.
    fn resource(&self) -> Result<Resource, ConfigError> {
        let mut attributes = Attributes::default();
        if let Some(environment) = self.text("environment")? {
            attributes.push("deployment.environment.name", environment);
        }
        if let Some(text) = self.environment.get("OTEL_RESOURCE_ATTRIBUTES") {
            match values::Kind::Table.read("OTEL_RESOURCE_ATTRIBUTES", text.into()) {
                Ok(given) => attributes.0.extend(entries(given)),
                Err(error) => tracing::warn!(%error, "an environment variable was ignored"),
            }
        }
        let name = self.text("app_name")?;
        let in_code = self.said.contains_key("app_name");
        let push_name = |attributes: &mut Attributes| {
            if let Some(name) = &name {
                attributes.push("service.name", name.clone());
            }
        };
        if !in_code {
            push_name(&mut attributes);
        }
        attributes.0.extend(entries(self.get("resource_attributes")?.map(|(_, value)| value)));
        if in_code {
            push_name(&mut attributes);
        }
        Ok(resource::described(attributes))
    }

    fn limits(&self) -> Result<Limits, ConfigError> {
        let defaults = Limits::default();
        Ok(Limits {
            attributes: self.count("max_attributes", defaults.attributes)?,
            text_bytes: self.count("max_text_bytes", defaults.text_bytes)?,
            events: self.count("max_events", defaults.events)?,
            links: self.count("max_links", defaults.links)?,
            attributes_of_parts: self
                .count("max_attributes_of_parts", defaults.attributes_of_parts)?,
            ..defaults
        })
    }

    pub(super) fn text(&self, option: &'static str) -> Result<Option<String>, ConfigError> {
        Ok(self.named_text(option)?.map(|(_, text)| text))
    }

    /// The text with the name under which it was said.
    pub(super) fn named_text(
        &self,
        option: &'static str,
    ) -> Result<Option<(String, String)>, ConfigError> {
        let found = self.get(option)?;
        let text = |(name, value): (String, Value)| Some((name, value.as_str()?.to_owned()));
        Ok(found.and_then(text).filter(|(_, text)| !text.is_empty()))
    }

    pub(super) fn flag(&self, option: &'static str, default: bool) -> Result<bool, ConfigError> {
        Ok(match self.get(option)? {
            Some((_, Value::Bool(truth))) => truth,
            _ => default,
        })
    }

    pub(super) fn count(&self, option: &'static str, default: usize) -> Result<usize, ConfigError> {
        Ok(match self.get(option)? {
            Some((_, Value::Int(number))) => usize::try_from(number).unwrap_or(default),
            _ => default,
        })
    }

    pub(super) fn millis(
        &self,
        option: &'static str,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        let default = usize::try_from(default.as_millis()).unwrap_or(usize::MAX);
        Ok(Duration::from_millis(self.count(option, default)?.max(1) as u64))
    }

    pub(super) fn texts(
        &self,
        option: &'static str,
    ) -> Result<Option<(String, Vec<String>)>, ConfigError> {
        let found = self.get(option)?;
        Ok(found.map(|(name, value)| {
            let texts = match &value {
                Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            };
            (name, texts.into_iter().map(str::to_owned).collect())
        }))
    }
}

fn entries(table: Option<Value>) -> Vec<spanwise_model::Attribute> {
    match table {
        Some(Value::Map(entries)) => entries.0,
        _ => Vec::new(),
    }
}
