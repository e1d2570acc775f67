//! What the tests live in: a gateway, its upstream, its clients, and what it recorded.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use spanwise::config::MakeExporter;
use spanwise::export::{Batch, Delivered, ExportError, Exporter};
use spanwise::{Recorder, Settings};
use spanwise_bench_gateway::mock::{MockUpstream, Options, Reply, Seen};
use spanwise_gateway::config::Config;
use spanwise_gateway::gateway::{Gateway, Listening, State};
use spanwise_gateway::keys::Key;
use spanwise_gateway::plan::{Plan, Secrets};
use spanwise_model::{Span, SpanId, Value};

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a house is built of.
#[derive(Default)]
pub struct Parts {
    /// Keys of its own.
    pub keys: Option<Vec<Key>>,
    /// Takes the spans, in place of the house.
    pub exporter: Option<MakeExporter>,
}

/// A running gateway in front of a mock.
pub struct House {
    pub mock: MockUpstream,
    gateway: Option<Gateway>,
    pub url: String,
    pub recorder: Arc<Recorder>,
    spans: Arc<Mutex<Vec<Span>>>,
}

/// Takes spans for the test to look at.
struct Taker(Arc<Mutex<Vec<Span>>>);

impl Exporter for Taker {
    fn export(&mut self, batch: &Batch, _: Instant) -> Result<Delivered, ExportError> {
        self.0.lock().unwrap().extend_from_slice(batch.spans());
        Ok(Delivered::default())
    }
}

pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "KEY").then(|| "sk-upstream".to_owned())
    }

    fn file(&self, path: &str) -> Result<String, String> {
        Err(format!("no {path}"))
    }
}

impl House {
    /// A gateway whose `openai/…` and `anthropic/…` models are the mock's.
    pub fn new() -> Self {
        Self::with("{}")
    }

    /// The same with more configuration, in JSON. `MOCK` stands for the mock's address, `SELF` for
    /// the gateway's.
    pub fn with(more: &str) -> Self {
        Self::start(more, None)
    }

    /// The same with keys of its own.
    pub fn start(more: &str, keys: Option<Vec<Key>>) -> Self {
        Self::build(more, Parts { keys, ..Parts::default() })
    }

    /// The same in front of this mock.
    pub fn before(mock: MockUpstream, more: &str, keys: Option<Vec<Key>>) -> Self {
        Self::furnished(mock, more, Parts { keys, ..Parts::default() })
    }

    /// The same with a mock that answers so.
    pub fn answering(
        more: &str,
        answer: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let mock = Options { answer: Some(Arc::new(answer)), ..Options::default() };
        Self::before(MockUpstream::start_with(mock).unwrap(), more, None)
    }

    /// The same of these parts.
    pub fn build(more: &str, parts: Parts) -> Self {
        Self::furnished(MockUpstream::start().unwrap(), more, parts)
    }

    fn furnished(mock: MockUpstream, more: &str, parts: Parts) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let plan = Plan::new(config(&mock, &url, more), &NoSecrets).unwrap();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&spans);
        let own: MakeExporter = Arc::new(move || Box::new(Taker(Arc::clone(&taken))));
        let exporters = vec![parts.exporter.unwrap_or(own)];
        let recorder = Recorder::new(Settings { exporters, ..Settings::default() });
        let state = State::new(plan, parts.keys, Some(Arc::clone(&recorder)), None).unwrap();
        let listening = vec![Listening { name: "models".to_owned(), socket }];
        let gateway = Some(Gateway::start(state, &listening).unwrap());
        House { mock, gateway, url, recorder, spans }
    }

    /// Takes over another configuration, and tells of the state before whether it still is there.
    pub fn reload(&self, more: &str, keys: Option<Vec<Key>>) -> Weak<State> {
        let gateway = self.gateway.as_ref().unwrap();
        let before = gateway.state();
        let config = config(&self.mock, &self.url, more);
        let plan = Plan::after(config, &NoSecrets, Some(&before.plan)).unwrap();
        let recorder = Some(Arc::clone(&self.recorder));
        gateway.reload(State::new(plan, keys, recorder, Some(&before)).unwrap());
        Arc::downgrade(&before)
    }

    /// Stops the gateway when what is under way has ended.
    pub fn stop(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.drain();
        }
    }

    /// Sends a request and reads the whole answer.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.post_with(path, body, &[])
    }

    /// The same with headers.
    pub fn post_with(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let agent = agent();
        let mut request = agent.post(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.content_type("application/json").send(body).unwrap())
    }

    /// A connection to the gateway, on which a test writes what it likes.
    pub fn wire(&self) -> Wire {
        let stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Wire(BufReader::new(stream))
    }

    /// Sends a request as it stands, and reads until the gateway closes the connection.
    pub fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut wire = self.wire();
        wire.send(request);
        wire.rest()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", &[])
    }

    /// Sends any request.
    pub fn send(&self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let uri = format!("{}{path}", self.url);
        let mut request = ureq::http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let agent = agent();
        Answer::read(if body.is_empty() {
            agent.run(request.body(()).unwrap()).unwrap()
        } else {
            agent.run(request.body(body.to_owned()).unwrap()).unwrap()
        })
    }

    /// The spans of all exchanges so far, which have to be this many. They are written when the
    /// last byte has gone out, which the client may notice before the gateway does.
    pub fn spans(&self, n: usize) -> Vec<Span> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            self.recorder.flush(Duration::from_secs(5));
            let spans = self.spans.lock().unwrap().clone();
            if spans.len() >= n || Instant::now() > until {
                assert_eq!(spans.len(), n, "{}", tree(&spans, &[]));
                return spans;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All metrics, by their names with labels.
    pub fn metrics(&self) -> HashMap<String, f64> {
        let families = self.gateway.as_ref().unwrap().observer().families();
        let mut metrics = HashMap::new();
        for family in families {
            for sample in family.samples {
                let labels =
                    sample.labels.iter().map(|(name, value)| format!("{name}=\"{value}\""));
                let labels = labels.collect::<Vec<_>>().join(",");
                let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
                metrics.insert(format!("{}{}{labels}", family.name, sample.suffix), sample.value);
            }
        }
        metrics
    }

    /// Checks what one of them comes to. An exchange is counted when its last byte has gone out,
    /// which the client may notice before the gateway does.
    pub fn assert_metric(&self, name: &str, expected: f64) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.metrics().get(name).copied();
            if found == Some(expected) || Instant::now() > until {
                assert_eq!(found, Some(expected), "{name}");
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The spans as a tree, each with those of these attributes that it has.
    pub fn tree(&self, n: usize, shown: &[&str]) -> String {
        tree(&self.spans(n), shown)
    }
}

/// The configuration of a house, with more in JSON.
fn config(mock: &MockUpstream, url: &str, more: &str) -> Config {
    let mut config: Json = serde_json::json!({
        "listeners": [{"name": "models", "port": 0}],
        "workers": 1,
        "model_providers": [
            {"model": "openai/*", "base_url": mock.url(), "access_key": "$KEY"},
            {"model": "anthropic/*", "base_url": mock.url(), "access_key": "$KEY"},
        ],
    });
    let more = more.replace("MOCK", &mock.url()).replace("SELF", url);
    let more: Json = serde_json::from_str(&more).unwrap();
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    serde_json::from_value(config).unwrap()
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .build()
        .into()
}

/// A client without manners.
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request to a model in the usual way.
    pub fn post(&mut self, path: &str, body: &str) {
        let n_bytes = body.len();
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {n_bytes}\r\n\r\n{body}"
        ));
    }

    /// What arrives up to and with this.
    pub fn until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        let last = *end.as_bytes().last().unwrap();
        let until = Instant::now() + PATIENCE;
        while !read.ends_with(end.as_bytes()) {
            let n = self.0.read_until(last, &mut read).unwrap();
            let so_far = || String::from_utf8_lossy(&read[..read.len().min(10_000)]);
            assert!(n > 0 && Instant::now() < until, "{end:?} has not come: {}", so_far());
        }
        String::from_utf8_lossy(&read).into_owned()
    }

    /// What arrives until the gateway ends the connection, in whatever way.
    pub fn rest(&mut self) -> String {
        let mut read = Vec::new();
        match self.0.read_to_end(&mut read) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("nothing came: {}", String::from_utf8_lossy(&read))
            }
            _ => String::from_utf8_lossy(&read).into_owned(),
        }
    }
}

/// An answer that a client got.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: String,
    pub bytes: Vec<u8>,
    /// Whether it ended as it should.
    pub is_whole: bool,
}

impl Answer {
    fn read(response: ureq::http::Response<ureq::Body>) -> Self {
        let (head, body) = response.into_parts();
        let text =
            |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        let headers = headers.collect();
        let mut bytes = Vec::new();
        let is_whole = body.into_reader().read_to_end(&mut bytes).is_ok();
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: head.status.as_u16(), headers, body, bytes, is_whole }
    }

    pub fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The data of the events of a stream.
    pub fn events(&self) -> Vec<String> {
        let lines = BufReader::new(self.body.as_bytes()).lines().map(Result::unwrap);
        lines.filter_map(|line| Some(line.strip_prefix("data: ")?.to_owned())).collect()
    }
}

/// Spans as an indented tree, children by time.
pub fn tree(spans: &[Span], shown: &[&str]) -> String {
    let ids: Vec<SpanId> = spans.iter().map(|span| span.span_id).collect();
    let mut text = String::new();
    let mut roots: Vec<&Span> = spans
        .iter()
        .filter(|span| span.parent_span_id.is_none_or(|parent| !ids.contains(&parent)))
        .collect();
    roots.sort_by_key(|span| span.start_time_unix_nano);
    for root in roots {
        branch(root, spans, shown, 0, &mut text);
    }
    text
}

fn branch(span: &Span, spans: &[Span], shown: &[&str], depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let _ = write!(text, "{indent}{}", span.name);
    for key in shown {
        if let Some(value) = span.attributes.get(key) {
            let _ = match value {
                Value::String(value) => write!(text, " {key}={value}"),
                Value::Int(value) => write!(text, " {key}={value}"),
                Value::Bool(value) => write!(text, " {key}={value}"),
                other => write!(text, " {key}={other:?}"),
            };
        }
    }
    text.push('\n');
    let mut children: Vec<&Span> =
        spans.iter().filter(|child| child.parent_span_id == Some(span.span_id)).collect();
    children.sort_by_key(|child| child.start_time_unix_nano);
    for child in children {
        branch(child, spans, shown, depth + 1, text);
    }
}
