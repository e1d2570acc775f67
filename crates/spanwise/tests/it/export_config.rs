//! Options: by name, from variables, and what is said when they are wrong.

#![expect(clippy::float_cmp, reason = "a rate is as it was written")]

use spanwise::config::Environment;
use spanwise::{Config, ConfigError, Sampling};
use spanwise_model::{Attributes, Value};

use crate::receiver::{PATIENCE, Receiver};

fn with_variables(variables: &[(&str, &str)]) -> Config {
    Config::default().environment(Environment::of(variables.iter().copied()))
}

fn error_of(config: &Config) -> String {
    match config.settings() {
        Ok(_) => panic!("{config:?} is accepted"),
        Err(error) => error.to_string(),
    }
}

fn refused(option: &str, value: impl Into<Value>) -> String {
    let mut config = with_variables(&[]);
    match config.set(option, value) {
        Err(error) => error.to_string(),
        Ok(config) => error_of(config),
    }
}

fn rate(config: &Config) -> f64 {
    match config.settings().unwrap().sampling {
        Sampling::Rate(rate) => rate.get(),
        _ => panic!("another sampling"),
    }
}

#[test]
fn mistakes_name_the_option_and_what_was_expected() {
    let errors = [
        refused("trace_sampling_ratee", 0.5),
        refused("endpoint", "http://127.0.0.1"),
        refused("zzz", 1),
        refused("trace_sampling_rate", 1.5),
        refused("trace_sampling_rate", "half"),
        refused("trace_sampling_rate", true),
        refused("tracing_enabled", "maybe"),
        refused("opentelemetry_endpoint", "ftp://host"),
        refused("opentelemetry_endpoint", "http://"),
        refused("opentelemetry_endpoint", "http://host:99999"),
        refused("opentelemetry_endpoint", "http://me:secret@host"),
        refused("trace_exporter", "otlp,zipkinn"),
        refused("otlp_protocol", "grpc/json"),
        refused("otlp_compression", "brotli"),
        refused("otlp_headers", "no-value"),
        refused("otlp_headers", "a name=v"),
        refused("otlp_headers", "name=a%0Ab"),
        refused("otlp_certificate", "/nowhere/ca.pem"),
        refused("otlp_certificate", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")),
        refused("otlp_client_key", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")),
        refused("api_key", "two\nlines"),
        error_of(
            with_variables(&[("AWS_XRAY_DAEMON_ADDRESS", "localhost")])
                .set("trace_exporter", "xray")
                .unwrap(),
        ),
        refused("jaeger_agent_port", -1),
        refused("custom_patterns", "("),
        refused("slow_request_threshold_ms", -1.0),
        refused("high_priority_operations", "checkout=often"),
        refused("high_priority_operations", "checkout=2"),
    ];
    insta::assert_snapshot!(errors.join("\n"), @r"
    unknown option `trace_sampling_ratee`; did you mean `trace_sampling_rate`?
    unknown option `endpoint`; did you mean `zipkin_endpoint`?
    unknown option `zzz`
    trace_sampling_rate: a rate has to be a number from 0 to 1, got 1.5
    trace_sampling_rate: expected a number, got `half`
    trace_sampling_rate: expected a number, got true or false
    tracing_enabled: expected true or false, got `maybe`
    opentelemetry_endpoint: the scheme has to be http or https: `ftp://host`
    opentelemetry_endpoint: not a URL: `http://`
    opentelemetry_endpoint: the port is no number up to 65535: `http://host:99999`
    opentelemetry_endpoint: credentials do not belong into the URL but into a header (otlp_headers)
    trace_exporter: unknown exporter `zipkinn`; there are otlp, jaeger, zipkin, datadog, xray, console, log, none
    otlp_protocol: expected `grpc`, `http/protobuf` or `http/json`, got `grpc/json`
    otlp_compression: expected `gzip` or `none`, got `brotli`
    otlp_headers: expected `name=value,name=value`
    otlp_headers: `a name` is no name of a header
    otlp_headers: the value of `name` has characters that headers cannot have
    otlp_certificate: /nowhere/ca.pem: No such file or directory (os error 2)
    otlp_certificate: has no certificate in it
    otlp_client_key: needs otlp_client_certificate beside it
    api_key: the value of `authorization` has characters that headers cannot have
    AWS_XRAY_DAEMON_ADDRESS: expected `host:port`, got `localhost`
    jaeger_agent_port: expected a whole number from 0 on, got `-1`
    custom_patterns[0]: `(` is not a regular expression: unclosed group
    slow_request_threshold_ms: has to be a number of milliseconds from 0 on, got -1
    high_priority_operations.checkout: expected a number
    high_priority_operations.checkout: a rate has to be a number from 0 to 1, got 2
    ");
}

#[test]
fn variables_stand_in_for_options_and_code_wins() {
    let variables = [
        ("SPANWISE_TRACE_SAMPLING_RATE", "0.25"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_SERVICE_NAME", "named"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=unseen,team=a%2Cb"),
        ("APP_ENV", "staging"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "7"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
    ];
    let config = with_variables(&variables);
    let settings = config.settings().unwrap();
    assert_eq!(rate(&config), 0.25);
    assert_eq!(settings.resource.service(), "named");
    assert_eq!(settings.resource.attributes.str("team"), Some("a,b"));
    let environment = settings.resource.attributes.str("deployment.environment.name");
    assert_eq!(environment, Some("staging"));
    assert_eq!(settings.limits.attributes, 7);
    // OpenTelemetry's variables are ignored where they make no sense.
    assert_eq!(settings.export_every.as_millis(), 500);

    let mut config = config.sampling_rate(0.5);
    config.set("app_name", "in code").unwrap();
    assert_eq!(rate(&config), 0.5);
    assert_eq!(config.settings().unwrap().resource.service(), "in code");

    // Ours are not.
    let error = error_of(&with_variables(&[("SPANWISE_TRACE_CONTENT", "perhaps")]));
    assert_eq!(error, "SPANWISE_TRACE_CONTENT: expected true or false, got `perhaps`");
    let error = error_of(&with_variables(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://")]));
    assert!(error.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT: not a URL"), "{error}");
}

#[test]
fn running_spans_leave_only_if_that_was_asked_for() {
    let every = |variables: &[(&str, &str)]| {
        let settings = with_variables(variables).settings().unwrap();
        settings.running_every.map(|every| every.as_millis())
    };
    assert_eq!(every(&[]), None);
    assert_eq!(every(&[("SPANWISE_EXPORT_RUNNING_SPANS_MS", "0")]), None);
    assert_eq!(every(&[("SPANWISE_EXPORT_RUNNING_SPANS_MS", "5000")]), Some(5000));
}

#[test]
fn a_service_without_a_name_gets_one() {
    let settings = with_variables(&[]).settings().unwrap();
    assert!(settings.resource.service().starts_with("unknown_service:it-"));
}

#[test]
fn sampling_follows_the_environment_and_opentelemetrys_variables() {
    let rate_of = |variables: &[(&str, &str)]| rate(&with_variables(variables));
    assert_eq!(rate_of(&[]), 1.0);
    assert_eq!(rate_of(&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]), 0.0);
    let ratio = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
    assert_eq!(rate_of(&[ratio, ("OTEL_TRACES_SAMPLER_ARG", "0.125")]), 0.125);
    assert_eq!(rate_of(&[ratio, ("OTEL_TRACES_SAMPLER_ARG", "lots")]), 1.0);
    let rates = ("SPANWISE_ENVIRONMENT_SAMPLING_RATES", "production=0.1,test=1");
    assert_eq!(rate_of(&[rates, ("ENVIRONMENT", "production")]), 0.1);
    assert_eq!(rate_of(&[rates, ("ENVIRONMENT", "elsewhere")]), 1.0);
    let mut config = with_variables(&[]);
    config.set("error_sampling_rate", 1).unwrap();
    assert!(matches!(config.settings().unwrap().sampling, Sampling::Intelligent(_)));
}

#[test]
fn options_of_other_languages_are_understood() {
    let mut config = with_variables(&[]);
    let headers: Attributes = [("x-team", "blue")].into_iter().collect();
    config.set("otlp_headers", Value::Map(headers)).unwrap();
    config.set("trace_exporter", Value::Array(vec!["otlp".into(), "log".into()])).unwrap();
    config.set("trace_sampling_rate", 1).unwrap();
    config.set("api_key", Value::Null).unwrap();
    config.set("console_exporter", "yes").unwrap();
    assert_eq!(config.settings().unwrap().exporters.len(), 3);
    let error = config.set("trace_exporter", Value::Array(vec![1.into()])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "trace_exporter: expected a text or a list of texts, got a number"
    );
    assert_eq!(error.option(), "trace_exporter");
}

/// One test, as there is one running instance in a process.
#[test]
fn tracing_starts_once_changes_and_ends() {
    let receiver = Receiver::start([]);
    let config = || {
        Config::new("shop").endpoint(receiver.url()).environment(Environment::of::<&str, &str>([]))
    };
    let bad = spanwise::init(config().sampling_rate(7.0)).unwrap_err();
    assert_eq!(
        bad.to_string(),
        "trace_sampling_rate: a rate has to be a number from 0 to 1, got 7"
    );
    let spanwise = spanwise::init(config()).unwrap();
    let second = spanwise::init(config().sampling_rate(0.0)).unwrap();
    assert!(std::ptr::eq(spanwise.recorder().as_ref(), second.recorder().as_ref()));
    drop(second);
    let shown = spanwise.config();
    assert_eq!((shown.enabled, shown.sampling_rate), (true, 1.0));
    assert_eq!(shown.endpoint, receiver.url() + "/v1/traces");
    assert_eq!(shown.exporters, ["otlp"]);

    let fixed = spanwise.update_config([("app_name", "other")]).unwrap_err();
    assert_eq!(fixed, ConfigError::Fixed { option: "app_name".to_owned() });
    let error =
        spanwise.update_config([("trace_sampling_rate", 0.5), ("error_sampling_rate", 2.0)]);
    assert!(error.is_err());
    assert_eq!(spanwise.config().sampling_rate, 1.0);
    spanwise.update_config([("trace_sampling_rate", 0.0)]).unwrap();
    assert_eq!(spanwise.config().sampling_rate, 0.0);
    assert!(spanwise.flush(PATIENCE));
    drop(spanwise);
    let spanwise = spanwise::init(config().enabled(false)).unwrap();
    assert!(!spanwise.is_enabled());
    assert!(spanwise.shutdown(PATIENCE));
    let spanwise = spanwise::init(config()).unwrap();
    assert!(spanwise.is_enabled());
}
