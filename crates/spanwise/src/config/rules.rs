//! What can change while tracing runs: which traces are recorded, and what content may leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanwise_model::Value;
use spanwise_model::content::{ContentPolicy, HashKey};
use spanwise_model::redact::{RedactionConfig, Redactor};
use spanwise_model::sampling::{IntelligentSampling, IntelligentSamplingConfig, Rate};

use super::options::find;
use super::{Config, ConfigError};
use crate::content::Content;
use crate::sampler::Sampling;

impl Config {
    /// Changes options that can be changed while tracing runs. All or none.
    pub(crate) fn updated(&self, changes: &[(&str, Value)]) -> Result<Self, ConfigError> {
        let mut config = self.clone();
        for (option, value) in changes {
            if !find(option)?.is_live {
                return Err(ConfigError::Fixed { option: (*option).to_owned() });
            }
            config.set(option, value.clone())?;
        }
        Ok(config)
    }

    pub(crate) fn sampling(&self) -> Result<Sampling, ConfigError> {
        let base = self.base_rate()?;
        if let Some(sampler) = &self.sampler {
            return Ok(Sampling::Custom(Arc::clone(sampler), base));
        }
        let intelligent = [
            "error_sampling_rate",
            "slow_request_sampling_rate",
            "slow_request_threshold_ms",
            "high_priority_operations",
            "low_priority_operations",
        ];
        let mut is_intelligent = false;
        for option in intelligent {
            is_intelligent |= self.get(option)?.is_some();
        }
        if !is_intelligent {
            return Ok(Sampling::Rate(base));
        }
        let defaults = IntelligentSamplingConfig::default();
        let config = IntelligentSamplingConfig {
            error_sampling_rate: self
                .number("error_sampling_rate", defaults.error_sampling_rate)?,
            slow_request_sampling_rate: self
                .number("slow_request_sampling_rate", defaults.slow_request_sampling_rate)?,
            slow_request_threshold_ms: self
                .number("slow_request_threshold_ms", defaults.slow_request_threshold_ms)?,
            high_priority_operations: self.rates("high_priority_operations")?,
            low_priority_operations: self.rates("low_priority_operations")?,
            base_sampling_rate: base.get(),
        };
        let rules = IntelligentSampling::new(config).map_err(|error| as_said(&error))?;
        Ok(Sampling::Intelligent(Arc::new(rules)))
    }

    /// The rate where no other rule says more: of the option, of the environment, of
    /// OpenTelemetry's variables, or everything.
    pub(crate) fn base_rate(&self) -> Result<Rate, ConfigError> {
        if let Some((name, Value::Double(rate))) = self.get("trace_sampling_rate")? {
            return Rate::named(&name, rate).map_err(|error| as_said(&error));
        }
        let rates = self.rates("environment_sampling_rates")?;
        if let Some(environment) = self.text("environment")?
            && let Some(rate) = rates.get(&environment)
        {
            let name = format!("environment_sampling_rates.{environment}");
            return Rate::named(&name, *rate).map_err(|error| as_said(&error));
        }
        Ok(self.rate_of_opentelemetry().unwrap_or_default())
    }

    /// `OTEL_TRACES_SAMPLER`; what cannot be understood is ignored, as OpenTelemetry wants it.
    fn rate_of_opentelemetry(&self) -> Option<Rate> {
        let sampler = self.environment.get("OTEL_TRACES_SAMPLER")?;
        let ignored = |name: &str| {
            tracing::warn!("{name} was ignored: it cannot be understood");
            None
        };
        match sampler.strip_prefix("parentbased_").unwrap_or(&sampler) {
            "always_on" => Some(Rate::ALL),
            "always_off" => Some(Rate::NONE),
            "traceidratio" => match self.environment.get("OTEL_TRACES_SAMPLER_ARG") {
                None => Some(Rate::ALL),
                Some(rate) => {
                    let rate = rate.parse().ok().and_then(|rate| Rate::new(rate).ok());
                    rate.or_else(|| ignored("OTEL_TRACES_SAMPLER_ARG"))
                }
            },
            _ => ignored("OTEL_TRACES_SAMPLER"),
        }
    }

    pub(crate) fn content_rules(&self) -> Result<Content, ConfigError> {
        let hashes =
            match (self.flag("trace_content_hashes", false)?, self.text("content_hash_key")?) {
                (false, _) => None,
                (true, None) => Some(HashKey::Unkeyed),
                (true, Some(key)) => Some(HashKey::Keyed(key.into_bytes().into())),
            };
        let policy = ContentPolicy {
            content: self.flag("trace_content", true)?,
            llm_inputs: self.flag("trace_llm_inputs", true)?,
            llm_outputs: self.flag("trace_llm_outputs", true)?,
            user_inputs: self.flag("trace_user_inputs", true)?,
            system_prompts: self.flag("trace_system_prompts", true)?,
            metadata_only: self.flag("trace_metadata_only", false)?,
            hashes,
        };
        Ok(Content { policy, redactor: self.redactor()? })
    }

    /// Patterns are checked even while redaction is off.
    fn redactor(&self) -> Result<Option<Redactor>, ConfigError> {
        let defaults = RedactionConfig::default();
        let config = RedactionConfig {
            pii: self.flag("pii_redaction", true)?,
            financial: self.flag("financial_data_redaction", true)?,
            custom_patterns: self.texts("custom_patterns")?.unwrap_or_default().1,
            replacement_text: self.text("replacement_text")?.unwrap_or(defaults.replacement_text),
        };
        let is_on = self.flag("content_redaction_enabled", false)?;
        if !is_on && config.custom_patterns.is_empty() {
            return Ok(None);
        }
        let redactor = Redactor::new(config).map_err(|error| as_said(&error))?;
        Ok(is_on.then_some(redactor))
    }

    fn number(&self, option: &'static str, default: f64) -> Result<f64, ConfigError> {
        Ok(match self.get(option)? {
            Some((_, Value::Double(number))) => number,
            _ => default,
        })
    }

    fn rates(&self, option: &'static str) -> Result<BTreeMap<String, f64>, ConfigError> {
        let Some((name, Value::Map(entries))) = self.get(option)? else {
            return Ok(BTreeMap::new());
        };
        let rate = |entry: &spanwise_model::Attribute| {
            let rate = match &entry.value {
                Value::Double(number) => Some(*number),
                Value::Int(number) => Some(*number as f64),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            };
            let key = entry.key.to_string();
            let unreadable = || ConfigError::invalid(format!("{name}.{key}"), "expected a number");
            Ok((key.clone(), rate.ok_or_else(unreadable)?))
        };
        entries.iter().map(rate).collect()
    }
}

/// An error whose text begins with the setting that it is about.
fn as_said(error: &dyn std::error::Error) -> ConfigError {
    let text = error.to_string();
    let (option, reason) = text.split_once([' ', ':']).unwrap_or(("", &text));
    ConfigError::invalid(option, reason.trim_start_matches([' ', ':']))
}
