//! What a gateway is told to do, as it stands in a YAML file. [`Plan`](crate::plan::Plan) is what
//! it amounts to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::{self, Deserializer, Unexpected};
use serde::{Deserialize, Serialize};

use crate::limits::Rule;
use crate::size::bytes;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The version of the file's format; taken and ignored, as there is one.
    #[serde(default)]
    pub version: Option<String>,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// The models behind it.
    #[serde(default)]
    pub model_providers: Vec<ModelProvider>,
    /// Names that stand for several models.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// The agents behind it.
    #[serde(default)]
    pub agents: Vec<Agent>,
    /// Keys of its own, which clients present in place of the providers'.
    #[serde(default)]
    pub keys: Option<Keys>,
    /// How much each key and model may use.
    #[serde(default)]
    pub limits: Limits,
    /// How long everything may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// What happens when a provider fails.
    #[serde(default)]
    pub retry: Retry,
    /// Answers that are given again.
    #[serde(default)]
    pub cache: Option<Cache>,
    /// What is recorded, and where it goes.
    #[serde(default)]
    pub tracing: Tracing,
    /// Where Prometheus finds the metrics: at a listener of their own, so that clients of models
    /// do not see them.
    #[serde(default)]
    pub metrics: Option<MetricsListener>,
    /// Threads that serve; one per core, four at most, unless said otherwise.
    #[serde(default)]
    pub workers: Option<usize>,
}

/// A socket that clients connect to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// What it is called when it says where it listens.
    pub name: String,
    /// What it serves.
    #[serde(rename = "type", default)]
    pub kind: ListenerKind,
    /// Loopback unless said otherwise.
    #[serde(default = "loopback")]
    pub address: String,
    /// 0 takes a free one.
    pub port: u16,
    /// Which requests go to which agent, by path; the longest prefix wins.
    #[serde(default)]
    pub routes: Vec<AgentRoute>,
}

/// Where `/metrics` is served.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsListener {
    /// Loopback unless said otherwise.
    #[serde(default = "loopback")]
    pub address: String,
    /// 0 takes a free one.
    pub port: u16,
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerKind {
    /// The APIs of models.
    #[default]
    Model,
    /// Agents by path or by the header `spanwise-agent`.
    Agent,
}

/// Requests below a path go to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRoute {
    /// The beginning of the path; what follows it is the agent's path.
    pub path_prefix: String,
    /// The agent's id.
    pub agent: String,
}

/// A model, or with `provider/*` every model of a provider.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelProvider {
    /// `provider/model`, by which clients ask for it; the model alone will do where it is unique.
    pub model: String,
    /// The provider's key: `$VARIABLE` or `file:/path`. Without one the client's own is passed on.
    #[serde(default)]
    pub access_key: Option<Secret>,
    /// Whether it answers requests that name no model.
    #[serde(default)]
    pub default: bool,
    /// Where the provider is, if not at the place that its name says.
    #[serde(default)]
    pub base_url: Option<String>,
    /// What the provider calls the model, if not as above.
    #[serde(default)]
    pub upstream_model: Option<String>,
    /// What the provider speaks, if it is not known by its name: `chat`, `responses`,
    /// `embeddings`, `messages`, `gemini`, `converse`, `ollama`.
    #[serde(default)]
    pub dialects: Vec<String>,
    /// How it is seen by others: `openai` for every OpenAI-compatible server, for example.
    #[serde(default)]
    pub provider_name: Option<String>,
    /// Whether `stream_options.include_usage` is added to streams whose client did not ask for it,
    /// and the usage taken out of the answer; on where the provider is known to understand it.
    #[serde(default)]
    pub include_usage: Option<bool>,
    /// Azure's `api-version`.
    #[serde(default)]
    pub api_version: Option<String>,
    /// AWS's region, for Bedrock.
    #[serde(default)]
    pub region: Option<String>,
    /// AWS's secret beside `access_key`, for Bedrock.
    #[serde(default)]
    pub secret_key: Option<Secret>,
    /// AWS's session token, for Bedrock.
    #[serde(default)]
    pub session_token: Option<Secret>,
    /// Headers that each request gets.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// What the provider learns of the trace.
    #[serde(default)]
    pub propagate: Propagate,
    /// Whether it gets the baggage too. Providers at their public addresses do not unless said so.
    #[serde(default)]
    pub baggage: Option<bool>,
    /// Certificates to trust beside the system's, a PEM file.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// Overrides of the times below.
    #[serde(default)]
    pub timeouts: Option<Timeouts>,
}

/// What an upstream learns of the trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagate {
    /// The trace goes on there.
    #[default]
    Full,
    /// A new trace begins there; the attempt's span has a link to it.
    Restart,
    /// Nothing.
    None,
}

/// A name that stands for several models.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The name that clients ask for.
    pub model: String,
    /// How one of the targets is chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// What it stands for, in order of preference; names of models or of other routes.
    pub targets: Vec<RouteTarget>,
    /// Whether answers may come out of the cache; as `cache.enabled` says unless said otherwise.
    #[serde(default)]
    pub cache: Option<bool>,
}

/// How one of several targets is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The first that works.
    #[default]
    Fallback,
    /// By chance, in proportion to the weights.
    Weighted,
    /// The one with the fewest calls under way.
    LeastInflight,
    /// The one that gave its first token soonest lately.
    Latency,
    /// The same one for the same beginning of the prompt, for the sake of the provider's cache.
    Prefix,
}

/// One of the models behind a route: its name alone, or with a weight.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum RouteTarget {
    /// The name alone.
    Name(String),
    /// With a weight.
    Weighted {
        /// The name.
        model: String,
        /// Its share among the others' weights.
        #[serde(default = "one")]
        weight: u32,
    },
}

impl RouteTarget {
    /// The model's name.
    pub fn model(&self) -> &str {
        match self {
            RouteTarget::Name(model) | RouteTarget::Weighted { model, .. } => model,
        }
    }

    /// Its share among the others' weights.
    pub fn weight(&self) -> u32 {
        match self {
            RouteTarget::Name(_) => 1,
            RouteTarget::Weighted { weight, .. } => *weight,
        }
    }
}

/// An agent that speaks HTTP, A2A or MCP.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// What routes and spans call it.
    pub id: String,
    /// Where it is.
    pub url: String,
    /// What it learns of the trace.
    #[serde(default)]
    pub propagate: Propagate,
    /// Headers that each request gets.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Certificates to trust beside the system's, a PEM file.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// Overrides of the times below.
    #[serde(default)]
    pub timeouts: Option<Timeouts>,
}

/// Keys of the gateway's own.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// The file that has their hashes; `spanwise gateway keys` writes it.
    pub file: String,
    /// Whether requests without a key are refused.
    #[serde(default = "yes")]
    pub required: bool,
}

/// Bounds on what clients can make the gateway hold, use or wait for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a request's body.
    #[serde(deserialize_with = "bytes")]
    pub max_body_bytes: u64,
    /// Requests that are served at once, over all threads.
    pub max_in_flight: usize,
    /// How long a request waits for its turn before it is sent away.
    #[serde(deserialize_with = "duration")]
    pub max_wait: Duration,
    /// Bytes of one event in a stream that are looked at.
    #[serde(deserialize_with = "bytes")]
    pub max_event_bytes: usize,
    /// How often a request may pass through gateways before it is taken for a loop.
    pub max_hops: u32,
    /// Requests, tokens and dollars, by key, model and both.
    pub rules: Vec<Rule>,
    /// The file that has what was used, so that a restart forgets nothing; beside the file of keys
    /// unless said otherwise.
    pub state_file: Option<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_body_bytes: 64 << 20,
            max_in_flight: 4096,
            max_wait: Duration::from_secs(1),
            max_event_bytes: 1 << 20,
            max_hops: 8,
            rules: Vec::new(),
            state_file: None,
        }
    }
}

/// How long everything may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Until a client has sent the head of its request.
    #[serde(deserialize_with = "duration")]
    pub header: Duration,
    /// Until a client has sent the body.
    #[serde(deserialize_with = "duration")]
    pub body: Duration,
    /// Until the provider is connected, with encryption.
    #[serde(deserialize_with = "duration")]
    pub connect: Duration,
    /// Until the provider has sent the head of its answer, or the first event of a stream.
    #[serde(deserialize_with = "duration")]
    pub first_event: Duration,
    /// Between two pieces of an answer.
    #[serde(deserialize_with = "duration")]
    pub idle: Duration,
    /// For all of it, with retries.
    #[serde(deserialize_with = "duration")]
    pub total: Duration,
    /// After so long a silence of the provider, the client of a stream of server-sent events gets
    /// a comment, so that nobody in between takes the connection for dead. Never unless said so.
    #[serde(deserialize_with = "some_duration")]
    pub keep_alive: Option<Duration>,
    /// For what is under way when the gateway is told to stop.
    #[serde(deserialize_with = "duration")]
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            header: Duration::from_mins(1),
            body: Duration::from_mins(1),
            connect: Duration::from_secs(10),
            first_event: Duration::from_mins(5),
            idle: Duration::from_mins(5),
            total: Duration::from_mins(30),
            keep_alive: None,
            drain: Duration::from_secs(8),
        }
    }
}

/// What happens when a provider fails.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Attempts at one target, the first included.
    pub attempts: u32,
    /// The longest pause that a provider may ask for.
    #[serde(deserialize_with = "duration")]
    pub max_pause: Duration,
    /// The share of requests that may be retries, over a while.
    pub budget: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { attempts: 2, max_pause: Duration::from_secs(10), budget: 0.2 }
    }
}

/// Answers that are given again to the same question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// For every route that does not say otherwise.
    pub enabled: bool,
    /// How long an answer is good.
    #[serde(deserialize_with = "duration")]
    pub ttl: Duration,
    /// Bytes of answers that are kept.
    #[serde(deserialize_with = "bytes")]
    pub max_bytes: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Cache { enabled: true, ttl: Duration::from_hours(1), max_bytes: 64 << 20 }
    }
}

/// What is recorded, and where it goes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tracing {
    /// Percent of the traces that begin here, by their ids.
    pub random_sampling: f64,
    /// Whose decision counts for traces that began elsewhere.
    pub parent: Parent,
    /// What is kept although it was not sampled.
    pub keep: Keep,
    /// Where spans go: to the store within `spanwise serve`, else to a Spanwise server on this
    /// machine, unless said otherwise.
    pub exporters: Option<Vec<Exporter>>,
    /// Whether prompts and answers are recorded.
    pub content: Content,
    /// The names under which spans are written.
    pub profile: Profile,
    /// `service.name` of the spans.
    pub service_name: String,
    /// Attributes of the resource.
    pub resource: BTreeMap<String, String>,
}

impl Default for Tracing {
    fn default() -> Self {
        Tracing {
            random_sampling: 100.0,
            parent: Parent::default(),
            keep: Keep::default(),
            exporters: None,
            content: Content::default(),
            profile: Profile::default(),
            service_name: "spanwise-gateway".to_owned(),
            resource: BTreeMap::new(),
        }
    }
}

/// Whose decision counts for traces that began elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parent {
    /// The caller's.
    #[default]
    Honor,
    /// `random_sampling`.
    Override,
}

/// What is kept although it was not sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// Calls that failed.
    pub errors: bool,
    /// Calls that took at least this long.
    #[serde(deserialize_with = "some_duration")]
    pub slower_than: Option<Duration>,
    /// Calls that cost at least this, in dollars.
    pub costlier_than: Option<f64>,
}

/// Where spans go.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exporter {
    /// `otlp`, `zipkin`, `jaeger`, `datadog`, `xray`, `console`, `log` or `none`; within
    /// `spanwise serve` also `store`.
    #[serde(default = "otlp")]
    pub kind: String,
    /// The receiver's address. OTLP to port 4317 goes by gRPC, else over HTTP, unless `protocol`
    /// says otherwise.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// `grpc`, `http/protobuf` or `http/json`, for OTLP.
    #[serde(default)]
    pub protocol: Option<String>,
    /// Headers that each request gets.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
}

/// Whether prompts and answers are recorded.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Content {
    /// Off unless said otherwise.
    pub capture: bool,
    /// Percent of the calls whose content is recorded.
    pub sample: f64,
    /// Bytes of one text; the rest is cut, with a mark.
    #[serde(deserialize_with = "bytes")]
    pub max_bytes: usize,
    /// What is blackened, in the terms of `configure_content_redaction`.
    pub redaction: Option<Redaction>,
}

impl Default for Content {
    fn default() -> Self {
        Content { capture: false, sample: 100.0, max_bytes: 256 << 10, redaction: None }
    }
}

/// What is blackened in recorded content. Secrets always are where this is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redaction {
    /// Mail addresses, telephone numbers and the like.
    pub pii_redaction: bool,
    /// Cards and accounts.
    pub financial_data_redaction: bool,
    /// Regular expressions.
    pub custom_patterns: Vec<String>,
    /// What stands in its place.
    pub replacement_text: Option<String>,
}

/// The names under which spans are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Profile {
    /// OpenTelemetry GenAI's, with the aliases that 1.41 knew.
    #[default]
    #[serde(rename = "genai")]
    GenAi,
    /// Those of 1.41 alone.
    #[serde(rename = "genai-1.41")]
    GenAi141,
    /// OpenInference's.
    #[serde(rename = "openinference")]
    OpenInference,
    /// OpenTelemetry's and OpenInference's.
    #[serde(rename = "both")]
    Both,
    /// The newest names alone.
    #[serde(rename = "strict")]
    Strict,
}

/// A secret, or where it is to be found: `$VARIABLE`, `${VARIABLE}` or `file:/path`. Other texts
/// are taken as they are where they are no credentials.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The text that a person would write: `30s`, `1m 30s`, `250ms`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let read: Option<Duration> =
        text.parse::<jiff::SignedDuration>().ok().and_then(|time| time.try_into().ok());
    read.ok_or_else(|| de::Error::invalid_value(Unexpected::Str(&text), &"a time such as 30s"))
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn loopback() -> String {
    "127.0.0.1".to_owned()
}

fn otlp() -> String {
    "otlp".to_owned()
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}
