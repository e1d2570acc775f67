//! Spans like those of real agents: model calls that re-send their history, tools, retrieval,
//! services around them, text in words that repeat as words do.

use std::sync::Arc;

use spanwise_model::span::StatusCode;
use spanwise_model::{
    Attributes, Event, Kind, Resource, Scope, Span, SpanId, Status, Str, TraceId, Value,
};

use crate::dice::{Dice, mix};

/// A second in nanoseconds.
pub const SECOND: u64 = 1_000_000_000;

/// Two words that stand beside each other in very few texts.
pub const RARE_PHRASE: &str = "quixotic zephyr";

/// Services, the busy ones first.
pub const SERVICES: [&str; 8] = [
    "chat-gateway",
    "support-agent",
    "research-agent",
    "rag-worker",
    "billing-agent",
    "code-agent",
    "mail-agent",
    "batch-scorer",
];

const MODELS: [(&str, &str); 10] = [
    ("openai", "gpt-4o"),
    ("anthropic", "claude-sonnet-4-5"),
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4.1"),
    ("gcp.gemini", "gemini-2.5-flash"),
    ("openai", "o3-mini"),
    ("anthropic", "claude-haiku-4-5"),
    ("gcp.gemini", "gemini-2.5-pro"),
    ("mistral_ai", "mistral-large-latest"),
    ("openai", "gpt-4.1-nano"),
];

const TOOLS: [&str; 12] = [
    "search_orders",
    "get_customer",
    "web_search",
    "read_file",
    "run_query",
    "send_mail",
    "list_invoices",
    "get_weather",
    "create_ticket",
    "calculate",
    "translate",
    "refund",
];

const SYLLABLES: [&str; 40] = [
    "an", "ber", "ca", "den", "el", "for", "gra", "hi", "in", "jor", "ka", "lo", "mer", "nit",
    "or", "per", "qua", "ra", "sel", "tor", "un", "ver", "wil", "xen", "yo", "zan", "stre", "pli",
    "con", "mo", "ta", "re", "si", "du", "fo", "gen", "ho", "ist", "al", "ne",
];

/// Text to cut from: words with the frequencies that words have.
pub struct Prose {
    pool: String,
}

impl Prose {
    /// Eight megabytes of it.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let words: Vec<String> = (0..6000)
            .map(|rank| {
                let n_syllables = 1 + usize::from(rank > 40) + dice.below(3);
                (0..n_syllables).map(|_| SYLLABLES[dice.below(SYLLABLES.len())]).collect()
            })
            .collect();
        let mut pool = String::with_capacity(8 << 20);
        while pool.len() < 8 << 20 {
            for _ in 0..dice.between(6, 18) {
                // Twice favoured: a few words make up most of a text.
                let skewed = dice.unit() * dice.unit() * dice.unit();
                pool.push_str(&words[(skewed * words.len() as f64) as usize]);
                pool.push(' ');
            }
            pool.pop();
            pool.push_str(". ");
        }
        Prose { pool }
    }

    /// About this many characters, which no earlier call is likely to have given.
    pub fn cut(&self, dice: &mut Dice, length: usize) -> &str {
        let start = dice.below(self.pool.len() - length);
        let text = &self.pool[start..start + length];
        text.split_once(' ').map_or(text, |(_, rest)| rest)
    }
}

/// Makes spans; shared by all threads.
pub struct Workload {
    prose: Prose,
    system_prompts: Vec<String>,
    resources: Vec<Arc<Resource>>,
    scope: Arc<Scope>,
    /// How many traces there will be, which places the rare phrase.
    n_traces: u64,
}

/// The id of the trace with this number.
pub fn trace_id(number: u64) -> TraceId {
    let halves = [mix(number ^ 0xabcd_0000_0000_0000), mix(number)];
    // `mix` maps only zero to zero, and the two inputs differ.
    let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_be_bytes()).collect();
    TraceId::from_bytes(&bytes).unwrap_or_else(|_| unreachable!("two distinct numbers"))
}

fn span_id(number: u64, ordinal: usize) -> SpanId {
    let id = mix(number << 12 | (ordinal as u64 + 1)).max(1);
    SpanId::from_bytes(&id.to_be_bytes()).unwrap_or_else(|_| unreachable!("at least one"))
}

/// A chat message as the GenAI conventions write it. The text needs no escapes.
pub fn message(role: &str, text: &str) -> String {
    format!(r#"{{"role":"{role}","parts":[{{"type":"text","content":"{text}"}}]}}"#)
}

fn tool_call(id: u64, tool: &str, arguments: &str) -> String {
    format!(
        r#"{{"role":"assistant","parts":[{{"type":"tool_call","id":"call_{id:x}","name":"{tool}","arguments":{{"query":"{arguments}"}}}}]}}"#
    )
}

fn tool_answer(id: u64, text: &str) -> String {
    format!(
        r#"{{"role":"tool","parts":[{{"type":"tool_call_response","id":"call_{id:x}","response":"{text}"}}]}}"#
    )
}

/// A trace in the making.
struct Draft<'a> {
    workload: &'a Workload,
    dice: Dice,
    number: u64,
    resource: Arc<Resource>,
    now: u64,
    spans: Vec<Span>,
}

impl Workload {
    /// A workload of so many traces.
    pub fn new(n_traces: u64) -> Self {
        let prose = Prose::new(7);
        let mut dice = Dice::new(11);
        let system_prompts = (0..50)
            .map(|_| {
                let length = dice.between(400, 1200);
                format!("You are a careful assistant. {}", prose.cut(&mut dice, length))
            })
            .collect();
        let scope = Arc::new(Scope {
            name: Str::from_static("opentelemetry.instrumentation.agents"),
            version: Str::from_static("2.3.1"),
            ..Scope::default()
        });
        let resources = SERVICES.iter().map(|service| Arc::new(resource(service))).collect();
        Workload { prose, system_prompts, resources, scope, n_traces }
    }

    /// The spans of a trace that starts then; about thirteen.
    pub fn trace(&self, number: u64, start: u64) -> Vec<Span> {
        let mut dice = Dice::new(number);
        let service = (dice.unit() * dice.unit() * SERVICES.len() as f64) as usize;
        let resource = Arc::clone(&self.resources[service]);
        let draft = Draft {
            workload: self,
            dice,
            number,
            resource,
            now: start,
            spans: Vec::with_capacity(16),
        };
        draft.agent_run()
    }

    /// A model call of about 1.8 kB, the `ordinal`th of its trace.
    pub fn model_call(&self, number: u64, ordinal: usize, start: u64) -> Span {
        let mut dice = Dice::new(number << 8 | ordinal as u64);
        let resource = Arc::clone(&self.resources[dice.below(SERVICES.len())]);
        let input = [
            message("system", self.prose.cut(&mut dice, 220)),
            message("user", &format!("{} {UNIQUE_TEXT}", self.prose.cut(&mut dice, 300))),
        ];
        let output = self.prose.cut(&mut dice, 220).to_owned();
        let mut draft =
            Draft { workload: self, dice, number, resource, now: start, spans: Vec::new() };
        draft.push("invoke_agent support", Kind::Internal, None, Attributes::default(), SECOND);
        let root = draft.spans[0].span_id;
        draft.chat(Some(root), &input.join(","), &message("assistant", &output));
        let mut span = draft.spans.swap_remove(1);
        span.span_id = span_id(number, ordinal);
        span.parent_span_id = (ordinal > 0).then(|| span_id(number, 0));
        span
    }
}

/// Stands in pre-encoded texts where a number is patched in.
pub const UNIQUE_TEXT: &str = "ref0000000000000000";

fn resource(service: &str) -> Resource {
    let attributes = [
        ("service.name", service.to_owned()),
        ("service.version", "4.18.2".to_owned()),
        ("service.instance.id", format!("{service}-7f9c4d-x2x4")),
        ("deployment.environment.name", "production".to_owned()),
        ("host.name", format!("ip-10-0-3-{}", service.len())),
        ("telemetry.sdk.name", "opentelemetry".to_owned()),
        ("telemetry.sdk.language", "python".to_owned()),
        ("telemetry.sdk.version", "1.45.2".to_owned()),
    ];
    Resource { attributes: attributes.into_iter().collect(), ..Resource::default() }
}

impl Draft<'_> {
    fn agent_run(mut self) -> Vec<Span> {
        let user = self.dice.below(20_000);
        let session = self.number / 3;
        let who: Attributes = [
            ("user.id", format!("user-{user}")),
            ("session.id", format!("session-{session:x}")),
            ("http.request.method", "POST".to_owned()),
            ("url.path", "/v1/chat".to_owned()),
        ]
        .into_iter()
        .collect();
        let root = self.push("POST /v1/chat", Kind::Server, None, who, 0);
        let mut agent = Attributes::default();
        agent.push("gen_ai.operation.name", "invoke_agent");
        agent.push("gen_ai.agent.name", format!("agent-{}", self.dice.below(24)));
        agent.push("gen_ai.conversation.id", format!("session-{session:x}"));
        let agent = self.push("invoke_agent", Kind::Internal, Some(root), agent, 0);
        self.retrieve(agent);
        self.converse(agent);
        self.close(&[root, agent]);
        self.spans
    }

    fn retrieve(&mut self, parent: SpanId) {
        let mut embedding = Attributes::default();
        embedding.push("gen_ai.operation.name", "embeddings");
        embedding.push("gen_ai.provider.name", "openai");
        embedding.push("gen_ai.request.model", "text-embedding-3-small");
        embedding.push("gen_ai.usage.input_tokens", self.dice.between(8, 60) as i64);
        let took = self.took(20, 90);
        self.push("embeddings text-embedding-3-small", Kind::Client, Some(parent), embedding, took);
        let mut search = Attributes::default();
        search.push("db.system.name", "postgresql");
        search.push("db.operation.name", "SELECT");
        search.push("db.collection.name", "chunks");
        search.push("db.response.returned_rows", self.dice.between(1, 20) as i64);
        let took = self.took(2, 40);
        self.push("SELECT chunks", Kind::Client, Some(parent), search, took);
    }

    /// One to five model calls; all but the last ask for tools. Each sends what was said before.
    fn converse(&mut self, agent: SpanId) {
        let prose = &self.workload.prose;
        let system = self.workload.system_prompts[self.dice.below(50)].clone();
        let mut question = prose.cut(&mut self.dice, 220).to_owned();
        self.plant_rare_words(&mut question);
        let mut history = [message("system", &system), message("user", &question)].join(",");
        for _ in 0..self.dice.below(5) {
            let (id, tool) = (self.dice.bits(), *self.dice.favour(&TOOLS));
            let arguments = prose.cut(&mut self.dice, 60);
            let result = prose.cut(&mut self.dice, 560);
            let call = tool_call(id, tool, arguments);
            self.chat(Some(agent), &history, &call);
            self.tool(agent, id, tool, arguments, result);
            history = [history, call, tool_answer(id, result)].join(",");
        }
        let answer = prose.cut(&mut self.dice, 520);
        self.chat(Some(agent), &history, &message("assistant", answer));
    }

    /// The phrase in about forty traces, its words alone in one of 2,000.
    fn plant_rare_words(&self, text: &mut String) {
        if self.number % (self.workload.n_traces / 40).max(2) == 1 {
            text.insert_str(0, &format!("{RARE_PHRASE} "));
        } else if self.number.is_multiple_of(2000) {
            text.insert_str(0, "quixotic ");
        } else if self.number % 2000 == 1000 {
            text.insert_str(0, "zephyr ");
        }
    }

    fn chat(&mut self, parent: Option<SpanId>, history: &str, output: &str) {
        let (provider, model) = *self.dice.favour(&MODELS);
        let mut attributes = Attributes::default();
        attributes.push("gen_ai.operation.name", "chat");
        attributes.push("gen_ai.provider.name", provider);
        attributes.push("gen_ai.request.model", model);
        attributes.push("gen_ai.response.model", model);
        attributes.push("gen_ai.response.id", format!("chatcmpl-{:016x}", self.dice.bits()));
        attributes.push("gen_ai.request.temperature", 0.2);
        attributes.push("gen_ai.request.max_tokens", 1024);
        attributes.push("gen_ai.usage.input_tokens", (history.len() / 4) as i64);
        attributes.push("gen_ai.usage.output_tokens", (output.len() / 4) as i64);
        let finish = Value::Array(vec![Value::from("stop")]);
        attributes.push("gen_ai.response.finish_reasons", finish);
        attributes.push("server.address", "api.example.com");
        attributes.push("server.port", 443);
        attributes.push("gen_ai.input.messages", format!("[{history}]"));
        attributes.push("gen_ai.output.messages", format!("[{output}]"));
        let took = self.took(250, 9000);
        self.push(&format!("chat {model}"), Kind::Client, parent, attributes, took);
    }

    fn tool(&mut self, agent: SpanId, id: u64, tool: &'static str, arguments: &str, result: &str) {
        let mut attributes = Attributes::default();
        attributes.push("gen_ai.operation.name", "execute_tool");
        attributes.push("gen_ai.tool.name", tool);
        attributes.push("gen_ai.tool.call.id", format!("call_{id:x}"));
        attributes.push("gen_ai.tool.call.arguments", format!(r#"{{"query":"{arguments}"}}"#));
        attributes.push("gen_ai.tool.call.result", result.to_owned());
        let took = self.took(5, 800);
        let span = self.push(
            &format!("execute_tool {tool}"),
            Kind::Internal,
            Some(agent),
            attributes,
            took,
        );
        for _ in 0..self.dice.between(1, 3) {
            let mut call = Attributes::default();
            call.push("http.request.method", "GET");
            call.push(
                "url.full",
                format!("http://{tool}.internal/items/{}", self.dice.below(100_000)),
            );
            call.push("http.response.status_code", 200);
            call.push("network.peer.address", "10.0.7.12");
            let took = self.took(1, 300);
            self.push("GET", Kind::Client, Some(span), call, took);
        }
    }

    /// A time in nanoseconds between bounds in milliseconds, short ones far more often.
    fn took(&mut self, low: usize, high: usize) -> u64 {
        let skewed = self.dice.unit() * self.dice.unit() * self.dice.unit();
        ((low as f64 + skewed * (high - low) as f64) * 1e6) as u64
    }

    /// Adds a span that begins now and moves the clock past it. One in fifty fails.
    fn push(
        &mut self,
        name: &str,
        kind: Kind,
        parent_span_id: Option<SpanId>,
        attributes: Attributes,
        took: u64,
    ) -> SpanId {
        let span_id = span_id(self.number, self.spans.len());
        let mut span = Span {
            trace_id: trace_id(self.number),
            span_id,
            parent_span_id,
            trace_state: Str::new(),
            flags: 0x101,
            name: name.to_owned().into(),
            kind,
            start_time_unix_nano: self.now,
            end_time_unix_nano: self.now + took,
            attributes,
            dropped_attributes_count: 0,
            events: Vec::new(),
            dropped_events_count: 0,
            links: Vec::new(),
            dropped_links_count: 0,
            status: Status::default(),
            resource: Arc::clone(&self.resource),
            scope: Arc::clone(&self.workload.scope),
        };
        if self.dice.happens(0.02) {
            fail(&mut span);
        }
        self.now += took + 40_000;
        self.spans.push(span);
        span_id
    }

    /// Ends spans that stayed open around the others.
    fn close(&mut self, open: &[SpanId]) {
        let now = self.now;
        for span in self.spans.iter_mut().filter(|span| open.contains(&span.span_id)) {
            span.end_time_unix_nano = now;
        }
    }
}

fn fail(span: &mut Span) {
    let message = "upstream answered 429: rate limit reached, try again in 20 s";
    span.status = Status { code: StatusCode::Error, message: Str::from_static(message) };
    span.attributes.push("error.type", "RateLimitError");
    span.events.push(Event {
        time_unix_nano: span.end_time_unix_nano,
        name: Str::from_static("exception"),
        attributes: [("exception.type", "RateLimitError"), ("exception.message", message)]
            .into_iter()
            .collect(),
        dropped_attributes_count: 0,
    });
}
