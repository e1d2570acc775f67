//! Spans that leave before they end.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use spanwise::export::{Batch, Delivered, ExportError, Exporter, Retry};
use spanwise::{Recorder, Recording, Sampling, Settings, Start, Started};
use spanwise_model::content::ContentPolicy;
use spanwise_model::sampling::{IntelligentSampling, IntelligentSamplingConfig};
use spanwise_model::span::StatusCode;
use spanwise_model::wire::otlp::ValueRef;
use spanwise_model::{Attributes, Span, Value};

use tracing::info_span;
use tracing::subscriber::with_default;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::recording::PATIENCE;

/// An exporter that keeps what it is given, running spans too if it wants them.
#[derive(Clone)]
struct Window {
    takes_running: bool,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

#[derive(Default)]
struct Seen {
    spans: Vec<Span>,
    failures: usize,
}

impl Window {
    fn new(takes_running: bool) -> Self {
        Window { takes_running, seen: Arc::default() }
    }

    fn settings(&self) -> Settings {
        let own = self.clone();
        Settings {
            exporters: vec![Arc::new(move || Box::new(own.clone()))],
            export_every: Duration::from_millis(2),
            running_every: Some(Duration::from_millis(1)),
            ..Settings::default()
        }
    }

    fn recorder(&self) -> Arc<Recorder> {
        Recorder::new(self.settings())
    }

    /// Waits for a span that is like this.
    fn wait_for(&self, is_it: impl Fn(&Span) -> bool) -> Span {
        let (seen, changed) = &*self.seen;
        let missing = |seen: &mut Seen| !seen.spans.iter().any(&is_it);
        let seen = changed.wait_timeout_while(seen.lock().unwrap(), PATIENCE, missing).unwrap().0;
        seen.spans.iter().find(|span| is_it(span)).expect("it never came").clone()
    }

    fn spans(&self) -> Vec<Span> {
        self.seen.0.lock().unwrap().spans.clone()
    }

    fn fail(&self, times: usize) {
        self.seen.0.lock().unwrap().failures = times;
    }
}

impl Exporter for Window {
    fn export(&mut self, batch: &Batch, _: Instant) -> Result<Delivered, ExportError> {
        let mut seen = self.seen.0.lock().unwrap();
        if seen.failures > 0 {
            seen.failures -= 1;
            return Err(ExportError { reason: "as asked".to_owned(), retry: Retry::Later });
        }
        seen.spans.extend_from_slice(batch.spans());
        self.seen.1.notify_all();
        Ok(Delivered::default())
    }

    fn takes_running(&self) -> bool {
        self.takes_running
    }
}

fn start(recorder: &Arc<Recorder>, name: &str) -> Box<Recording> {
    match recorder.start(&Start::named(name), None) {
        Started::Recording(recording) => recording,
        Started::Unsampled(_) => panic!("every span is recorded"),
    }
}

fn is_running(span: &Span) -> bool {
    span.end_time_unix_nano == 0
}

#[test]
fn an_open_span_leaves_as_it_is_and_again_when_it_changed() {
    let window = Window::new(true);
    let recorder = window.recorder();
    let mut agent = start(&recorder, "agent");
    agent.set("step", ValueRef::Int(1));
    let first = window.wait_for(|span| span.attributes.get("step") == Some(&Value::Int(1)));
    assert!(is_running(&first));
    agent.set("step", ValueRef::Int(2));
    agent.rename("planner");
    agent.event("thought", None, &[("about", "lunch")].into_iter().collect::<Attributes>());
    agent.set_status(StatusCode::Error, "no lunch");
    let later = window.wait_for(|span| span.status.code == StatusCode::Error);
    assert_eq!((&*later.name, later.events.len(), later.attributes.len()), ("planner", 1, 1));
    assert_eq!(later.start_time_unix_nano, first.start_time_unix_nano);
    Recorder::end(agent, None);
    let ended = window.wait_for(|span| !is_running(span));
    let as_it_was = Span { end_time_unix_nano: 0, ..ended.clone() };
    assert_eq!(as_it_was, later, "it ends as it was seen last, and starts when it did");
    assert!(recorder.shutdown(PATIENCE));
    assert_eq!(window.spans().last(), Some(&ended), "nothing is told of it after its end");
    let metrics = recorder.metrics();
    assert_eq!((metrics.spans_started, metrics.spans_exported, metrics.spans_dropped), (1, 1, 0));
}

#[test]
fn exporters_that_do_not_want_them_get_none() {
    let (wanting, other) = (Window::new(true), Window::new(false));
    let mut settings = wanting.settings();
    settings.exporters.extend(other.settings().exporters);
    let recorder = Recorder::new(settings);
    let open = start(&recorder, "open");
    wanting.wait_for(is_running);
    Recorder::end(open, None);
    assert!(recorder.shutdown(PATIENCE));
    assert_eq!(other.spans().len(), 1);
    assert!(!is_running(&other.spans()[0]));
}

#[test]
fn what_is_open_at_the_end_is_left_behind() {
    let window = Window::new(true);
    let every = Some(Duration::from_hours(1));
    let recorder = Recorder::new(Settings { running_every: every, ..window.settings() });
    let open = start(&recorder, "open");
    assert!(recorder.shutdown(PATIENCE));
    assert!(window.spans().iter().map(|span| &*span.name).eq(["open"]));
    drop(open);
}

#[test]
fn a_span_is_seen_after_the_thread_that_started_it() {
    let window = Window::new(true);
    let recorder = window.recorder();
    let mut open = thread::scope(|scope| scope.spawn(|| start(&recorder, "open")).join().unwrap());
    window.wait_for(is_running);
    open.set("handed", ValueRef::Bool(true));
    window.wait_for(|span| is_running(span) && !span.attributes.is_empty());
    Recorder::end(open, None);
    assert!(recorder.shutdown(PATIENCE));
}

#[test]
fn content_rules_hold_for_open_spans() {
    let window = Window::new(true);
    let recorder = window.recorder();
    recorder.set_content(ContentPolicy { content: false, ..ContentPolicy::default() });
    let mut open = start(&recorder, "open");
    open.set("input.value", ValueRef::String("secret"));
    open.set("done", ValueRef::Bool(true));
    let seen = window.wait_for(|span| span.attributes.get("done").is_some());
    assert_eq!(seen.attributes.get("input.value"), None);
    Recorder::end(open, None);
    assert!(recorder.shutdown(PATIENCE));
}

#[test]
fn what_is_handed_down_is_seen() {
    let window = Window::new(true);
    let recorder = window.recorder();
    let mut above = start(&recorder, "above");
    above.inherit("user.id", ValueRef::String("u-17"));
    let Started::Recording(below) = recorder.start(&Start::named("below"), Some(above.context()))
    else {
        panic!("it shares the fate of its parent");
    };
    let seen = window.wait_for(|span| &*span.name == "below");
    assert_eq!(seen.attributes.str("user.id"), Some("u-17"));
    assert_eq!(seen.parent_span_id, Some(above.context().span_id));
    Recorder::end(below, None);
    Recorder::end(above, None);
    assert!(recorder.shutdown(PATIENCE));
}

#[test]
fn spans_of_tracing_are_seen_too() {
    let window = Window::new(true);
    let recorder = window.recorder();
    let layer = spanwise::layer().recorder(Arc::clone(&recorder));
    with_default(tracing_subscriber::registry().with(layer), || {
        let span = info_span!("lookup");
        let seen = window.wait_for(is_running);
        assert_eq!((&*seen.name, seen.attributes.str("level")), ("lookup", Some("INFO")));
        span.in_scope(|| tracing::info!("found"));
        window.wait_for(|span| is_running(span) && !span.events.is_empty());
    });
    assert!(recorder.shutdown(PATIENCE));
    assert_eq!(window.spans().iter().filter(|span| !is_running(span)).count(), 1);
}

#[test]
fn what_was_not_delivered_is_told_again() {
    let window = Window::new(true);
    window.fail(3);
    let recorder = window.recorder();
    let open = start(&recorder, "open");
    window.wait_for(is_running);
    Recorder::end(open, None);
    assert!(recorder.shutdown(PATIENCE));
    assert_eq!(recorder.metrics().spans_exported, 1);
}

/// Its trace may not be wanted, which is known when its root ends.
#[test]
fn a_span_that_waits_for_a_decision_is_not_told_of() {
    let window = Window::new(true);
    let rules = IntelligentSampling::new(IntelligentSamplingConfig::default()).unwrap();
    let sampling = Sampling::Intelligent(Arc::new(rules));
    let recorder = Recorder::new(Settings { sampling, ..window.settings() });
    let open = start(&recorder, "open");
    assert!(recorder.shutdown(PATIENCE));
    assert_eq!(window.spans(), []);
    drop(open);
}

#[test]
fn spans_that_come_and_go_leave_nothing_behind() {
    let window = Window::new(true);
    let every = Some(Duration::from_hours(1));
    let recorder = Recorder::new(Settings { running_every: every, ..window.settings() });
    for _ in 0..10_000 {
        Recorder::end(start(&recorder, "brief"), None);
    }
    assert!(recorder.shutdown(PATIENCE));
    assert_eq!(window.spans().len(), 10_000);
    assert!(!window.spans().iter().any(is_running));
}
