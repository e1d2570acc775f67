//! The options: what they are called, what they take, which variables stand in for them.

use spanwise_model::Value;

use super::ConfigError;
use super::values::Kind;

/// One option.
pub(super) struct Opt {
    pub name: &'static str,
    kind: Kind,
    /// Variables beside `SPANWISE_<NAME>`, best first.
    variables: &'static [&'static str],
    /// Whether it can be changed while tracing runs.
    pub is_live: bool,
}

const fn fixed(name: &'static str, kind: Kind, variables: &'static [&'static str]) -> Opt {
    Opt { name, kind, variables, is_live: false }
}

const fn live(name: &'static str, kind: Kind) -> Opt {
    Opt { name, kind, variables: &[], is_live: true }
}

pub(super) const OPTIONS: &[Opt] = &[
    fixed("app_name", Kind::Text, &["OTEL_SERVICE_NAME"]),
    fixed("api_key", Kind::Text, &[]),
    fixed("tracing_enabled", Kind::Flag, &[]),
    fixed("environment", Kind::Text, &["ENVIRONMENT", "APP_ENV"]),
    fixed("resource_attributes", Kind::Table, &[]),
    fixed(
        "opentelemetry_endpoint",
        Kind::Text,
        &[
            "SPANWISE_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTLP_ENDPOINT",
        ],
    ),
    fixed("trace_exporter", Kind::Texts, &["OTEL_TRACES_EXPORTER"]),
    fixed(
        "otlp_protocol",
        Kind::Text,
        &["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"],
    ),
    fixed(
        "otlp_headers",
        Kind::Table,
        &["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"],
    ),
    fixed(
        "otlp_compression",
        Kind::Text,
        &["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"],
    ),
    fixed(
        "otlp_timeout_ms",
        Kind::Count,
        &["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"],
    ),
    fixed(
        "otlp_certificate",
        Kind::Text,
        &["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"],
    ),
    fixed(
        "otlp_client_certificate",
        Kind::Text,
        &["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"],
    ),
    fixed(
        "otlp_client_key",
        Kind::Text,
        &["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"],
    ),
    fixed("jaeger_endpoint", Kind::Text, &["OTEL_EXPORTER_JAEGER_ENDPOINT"]),
    fixed("jaeger_agent_host", Kind::Text, &["OTEL_EXPORTER_JAEGER_AGENT_HOST"]),
    fixed("jaeger_agent_port", Kind::Count, &["OTEL_EXPORTER_JAEGER_AGENT_PORT"]),
    fixed("jaeger_service_name", Kind::Text, &[]),
    fixed("zipkin_endpoint", Kind::Text, &["OTEL_EXPORTER_ZIPKIN_ENDPOINT"]),
    fixed("zipkin_service_name", Kind::Text, &[]),
    fixed("datadog_api_key", Kind::Text, &["DD_API_KEY"]),
    fixed("datadog_service", Kind::Text, &["DD_SERVICE"]),
    fixed("datadog_env", Kind::Text, &["DD_ENV"]),
    fixed("datadog_site", Kind::Text, &["DD_SITE"]),
    fixed("datadog_agent_url", Kind::Text, &["DD_TRACE_AGENT_URL"]),
    fixed("datadog_otlp_endpoint", Kind::Text, &[]),
    fixed("xray_daemon_address", Kind::Text, &["AWS_XRAY_DAEMON_ADDRESS"]),
    fixed("console_exporter", Kind::Flag, &[]),
    fixed("trace_debug", Kind::Flag, &[]),
    fixed("export_interval_ms", Kind::Count, &["OTEL_BSP_SCHEDULE_DELAY"]),
    fixed("export_timeout_ms", Kind::Count, &["OTEL_BSP_EXPORT_TIMEOUT"]),
    fixed("export_running_spans_ms", Kind::Count, &[]),
    fixed("shutdown_timeout_ms", Kind::Count, &[]),
    fixed("queue_bytes", Kind::Count, &[]),
    fixed(
        "max_attributes",
        Kind::Count,
        &["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"],
    ),
    fixed(
        "max_text_bytes",
        Kind::Count,
        &["OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"],
    ),
    fixed("max_events", Kind::Count, &["OTEL_SPAN_EVENT_COUNT_LIMIT"]),
    fixed("max_links", Kind::Count, &["OTEL_SPAN_LINK_COUNT_LIMIT"]),
    fixed(
        "max_attributes_of_parts",
        Kind::Count,
        &["OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"],
    ),
    live("trace_sampling_rate", Kind::Number),
    live("environment_sampling_rates", Kind::Table),
    live("error_sampling_rate", Kind::Number),
    live("slow_request_sampling_rate", Kind::Number),
    live("slow_request_threshold_ms", Kind::Number),
    live("high_priority_operations", Kind::Table),
    live("low_priority_operations", Kind::Table),
    live("trace_content", Kind::Flag),
    live("trace_llm_inputs", Kind::Flag),
    live("trace_llm_outputs", Kind::Flag),
    live("trace_user_inputs", Kind::Flag),
    live("trace_system_prompts", Kind::Flag),
    live("trace_metadata_only", Kind::Flag),
    live("trace_content_hashes", Kind::Flag),
    live("content_hash_key", Kind::Text),
    live("content_redaction_enabled", Kind::Flag),
    live("pii_redaction", Kind::Flag),
    live("financial_data_redaction", Kind::Flag),
    live("custom_patterns", Kind::Texts),
    live("replacement_text", Kind::Text),
];

/// The option of this name.
pub(super) fn find(name: &str) -> Result<&'static Opt, ConfigError> {
    OPTIONS.iter().find(|option| option.name == name).ok_or_else(|| {
        let alike = |option: &&Opt| strsim::normalized_damerau_levenshtein(option.name, name);
        let nearest = OPTIONS.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)));
        let nearest = nearest.filter(|nearest| alike(nearest) > 0.4).map(|nearest| nearest.name);
        ConfigError::Unknown { option: name.to_owned(), nearest }
    })
}

impl Opt {
    /// The value as it is kept; `None` for nothing. `named` is what an error names.
    pub fn read(&self, named: &str, value: Value) -> Result<Option<Value>, ConfigError> {
        self.kind.read(named, value)
    }

    /// The variables that stand in for it, best first.
    pub fn variables(&self) -> Vec<String> {
        let own = format!("SPANWISE_{}", self.name.to_ascii_uppercase());
        let others = self.variables.iter().map(|variable| (*variable).to_owned());
        std::iter::once(own).chain(others).collect()
    }

    /// Whether tracing can do without what a variable tried to say.
    pub fn is_lenient(&self) -> bool {
        matches!(self.kind, Kind::Count | Kind::Number | Kind::Flag)
    }
}
