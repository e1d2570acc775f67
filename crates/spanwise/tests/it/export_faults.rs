//! Receivers that are away, slow, overloaded or broken: nothing is lost without a count, and the
//! application notices nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spanwise::export::{Batch, Delivered, ExportError, Exporter};
use spanwise::{Config, Recorder, Start, Started};
use spanwise_model::content::ContentPolicy;
use spanwise_model::wire::otlp::{ValueRef, decode_traces, encode_partial_success};

use crate::receiver::{Answer, PATIENCE, Receiver};
use crate::sink::Sink;
use crate::started;

fn record(recorder: &Arc<Recorder>, n: usize) {
    for _ in 0..n {
        let Started::Recording(mut recording) = recorder.start(&Start::named("work"), None) else {
            panic!("everything is sampled");
        };
        recording.set("number", ValueRef::Int(7));
        recording.set("text", ValueRef::String("some words"));
        recording.set("truth", ValueRef::Bool(true));
        recording.set("share", ValueRef::Double(0.5));
        recording.set("input.value", ValueRef::String("ask ada@example.org"));
        Recorder::end(recording, None);
    }
}

/// Every span is somewhere.
fn assert_balanced(recorder: &Recorder, n_spans: u64) {
    let metrics = recorder.metrics();
    assert_eq!(metrics.spans_started, n_spans);
    let known = metrics.spans_exported + metrics.spans_dropped + metrics.queue_size as u64;
    assert_eq!(known, n_spans, "{metrics:?}");
}

/// Ten spans to a receiver with these answers; how many requests it takes and what becomes of them.
fn deliver(answers: Vec<Answer>) -> (Receiver, Arc<Recorder>, bool) {
    let receiver = Receiver::start(answers);
    let recorder = started(Config::new("shop").endpoint(receiver.url()));
    record(&recorder, 10);
    let delivered = recorder.flush(PATIENCE);
    assert_balanced(&recorder, 10);
    (receiver, recorder, delivered)
}

#[test]
fn what_may_pass_is_tried_again() {
    let answers = [
        Answer::Http("429 Too Many Requests", "retry-after: 0\r\n", Vec::new()),
        Answer::Http("503 Gone", "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n", Vec::new()),
        Answer::status("502 Bad Gateway"),
        Answer::Reset,
        Answer::Raw(b"HTTP/1.1 200"),
        Answer::Raw(b"220 smtp.example.org ESMTP\r\n\r\n"),
    ];
    for answer in answers {
        let (receiver, recorder, delivered) = deliver(vec![answer.clone()]);
        assert!(delivered, "{answer:?}");
        let requests = receiver.requests(2);
        assert_eq!(requests.len(), 2, "{answer:?}");
        let metrics = recorder.metrics();
        assert_eq!((metrics.spans_exported, metrics.export_errors), (10, 1));
        let body = requests[1].body.clone();
        assert_eq!(decode_traces(body.into()).unwrap().spans.len(), 10);
    }
}

#[test]
fn what_will_not_pass_is_dropped_and_counted() {
    for status in ["400 Bad Request", "401 Unauthorized", "500 Internal Server Error"] {
        let (receiver, recorder, delivered) = deliver(vec![Answer::status(status)]);
        assert!(!delivered, "{status}");
        assert_eq!(receiver.requests(1).len(), 1);
        assert_eq!(recorder.metrics().dropped_undelivered, 10);
        // The next batch is another matter, and so is the next flush.
        record(&recorder, 1);
        assert!(recorder.flush(PATIENCE));
        assert_eq!(recorder.metrics().spans_exported, 1);
    }
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = Receiver::start([]);
    let location = format!("location: {}/v1/traces\r\n", elsewhere.url());
    let answer = Answer::Http("307 Temporary Redirect", location.leak(), Vec::new());
    let (_, recorder, delivered) = deliver(vec![answer]);
    assert!(!delivered);
    assert_eq!(recorder.metrics().dropped_undelivered, 10);
    assert!(elsewhere.requests(0).is_empty());
}

#[test]
fn refused_spans_are_counted() {
    let partial = encode_partial_success(3, "too old");
    let (_, recorder, delivered) = deliver(vec![Answer::Http("200 OK", "", partial)]);
    assert!(!delivered);
    let metrics = recorder.metrics();
    assert_eq!((metrics.spans_exported, metrics.dropped_rejected), (7, 3));
    // Answers that make no sense, or too much of it, are as good as none.
    for garbage in [b"<html>".to_vec(), encode_partial_success(u64::MAX, "")] {
        let (_, recorder, _) = deliver(vec![Answer::Http("202 Accepted", "", garbage)]);
        assert_balanced(&recorder, 10);
    }
}

#[test]
fn what_is_too_large_is_sent_in_parts() {
    let too_large = || Answer::status("413 Content Too Large");
    let (receiver, recorder, delivered) = deliver(vec![too_large(), too_large()]);
    assert!(delivered);
    let sizes = receiver.requests(5);
    let sizes =
        sizes.iter().map(|request| decode_traces(request.body.clone().into()).unwrap().spans.len());
    assert_eq!(sizes.collect::<Vec<_>>(), [10, 5, 2, 3, 5]);
    assert_eq!(recorder.metrics().spans_exported, 10);

    let receiver = Receiver::start((0..3).map(|_| too_large()));
    let recorder = started(Config::new("shop").endpoint(receiver.url()));
    record(&recorder, 2);
    assert!(!recorder.flush(PATIENCE));
    assert_eq!(recorder.metrics().dropped_rejected, 2);
}

#[test]
fn nobody_at_home_delays_nobody_and_ends_in_time() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let recorder = started(Config::new("shop").endpoint(format!("http://{address}")));
    record(&recorder, 10);
    assert!(!recorder.flush(Duration::from_millis(300)));
    assert_balanced(&recorder, 10);
    assert!(recorder.shutdown(Duration::from_millis(300)));
    assert_balanced(&recorder, 10);
    assert_eq!(recorder.metrics().dropped_undelivered, 10);
}

#[test]
fn silence_is_waited_for_until_the_deadline_only() {
    let receiver = Receiver::start(vec![Answer::Silence]);
    let mut config = Config::new("shop").endpoint(receiver.url());
    config.set("otlp_timeout_ms", 200).unwrap();
    let recorder = started(config);
    record(&recorder, 10);
    assert!(recorder.flush(PATIENCE));
    assert_eq!(receiver.requests(2).len(), 2);
    assert_balanced(&recorder, 10);
}

#[test]
fn encryption_that_fails_is_an_error_like_others() {
    let receiver = Receiver::start([]);
    let recorder = started(Config::new("shop").endpoint(format!("https://{}", receiver.address)));
    record(&recorder, 10);
    assert!(!recorder.flush(Duration::from_millis(500)));
    assert!(recorder.shutdown(Duration::from_secs(1)));
    assert_balanced(&recorder, 10);
    assert_eq!(recorder.metrics().spans_exported, 0);
}

#[test]
fn a_burst_is_delivered_whole_with_default_settings() {
    let receiver = Receiver::start([]);
    let recorder = started(Config::new("shop").endpoint(receiver.url()));
    record(&recorder, 50_000);
    assert!(recorder.flush(PATIENCE), "{:?}", recorder.metrics());
    assert_eq!(recorder.metrics().spans_exported, 50_000);
    let bodies = receiver.requests(1);
    let arrived = bodies
        .iter()
        .map(|request| decode_traces(request.body.clone().into()).unwrap().spans.len());
    assert_eq!(arrived.sum::<usize>(), 50_000);
}

/// Does not come back.
struct Stuck;

impl Exporter for Stuck {
    fn export(&mut self, _: &Batch, _: Instant) -> Result<Delivered, ExportError> {
        loop {
            std::thread::park();
        }
    }

    fn name(&self) -> &'static str {
        "stuck"
    }
}

#[test]
fn an_exporter_that_hangs_does_not_starve_the_others() {
    let sink = Sink::default();
    let mut settings = sink.settings();
    settings.exporters.push(Arc::new(|| Box::new(Stuck)));
    settings.queue_bytes = 1 << 20;
    settings.export_every = Duration::from_millis(5);
    let recorder = Recorder::new(settings);
    for _ in 0..20 {
        record(&recorder, 1000);
        // Until everything has reached the other one.
        let deadline = Instant::now() + PATIENCE;
        while recorder.metrics().queue_size > 0 {
            assert!(Instant::now() < deadline, "{:?}", recorder.metrics());
            std::thread::yield_now();
        }
    }
    assert_eq!(sink.spans().len(), 20_000);
    assert_balanced(&recorder, 20_000);
    assert_eq!(recorder.metrics().spans_exported, 20_000);
    let [healthy, stuck] = recorder.exporter_metrics()[..] else { panic!("there are two") };
    assert_eq!((healthy.spans_exported, healthy.spans_dropped), (20_000, 0));
    assert_eq!((stuck.name, stuck.spans_exported), ("stuck", 0));
    assert!(stuck.dropped_queue_full > 0);
    assert!(!recorder.flush(Duration::from_millis(50)));
    assert!(!recorder.shutdown(Duration::from_millis(50)));
}

#[test]
fn content_is_removed_by_the_rules_in_force_when_the_span_ended() {
    let sink = Sink::default();
    let recorder = sink.recorder();
    let none = ContentPolicy { content: false, ..ContentPolicy::default() };
    record(&recorder, 1);
    recorder.set_content(none);
    record(&recorder, 1);
    recorder.set_content(ContentPolicy::default());
    record(&recorder, 1);
    assert!(recorder.flush(PATIENCE));
    let inputs: Vec<_> = sink
        .spans()
        .iter()
        .map(|span| span.attributes.str("input.value").map(str::to_owned))
        .collect();
    let input = Some("ask ada@example.org".to_owned());
    assert_eq!(inputs, [input.clone(), None, input]);
}

#[test]
fn the_same_rules_hold_while_a_trace_waits_to_be_kept() {
    let sink = Sink::default();
    let mut settings = sink.settings();
    let mut config = Config::new("shop");
    config.set("error_sampling_rate", 1.0).unwrap();
    settings.sampling = config.settings().unwrap().sampling;
    let recorder = Recorder::new(settings);
    let start = |parent: Option<&spanwise::Context>| {
        let Started::Recording(mut span) = recorder.start(&Start::named("work"), parent) else {
            panic!("everything is sampled");
        };
        span.set("input.value", ValueRef::String("text"));
        span
    };
    let root = start(None);
    let context = root.context().clone();
    recorder.set_content(ContentPolicy { content: false, ..ContentPolicy::default() });
    Recorder::end(start(Some(&context)), None);
    recorder.set_content(ContentPolicy::default());
    Recorder::end(start(Some(&context)), None);
    Recorder::end(root, None);
    assert!(recorder.flush(PATIENCE));
    let inputs = sink.spans().into_iter().map(|span| span.attributes.str("input.value").is_some());
    assert_eq!(inputs.collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn nothing_sensitive_reaches_any_exporter() {
    let (first, second) = (Receiver::start([]), Receiver::start([]));
    let config = Config::new("shop").endpoint(first.url()).exporters(["otlp", "zipkin"]);
    let mut config = config.redaction(true);
    config.set("zipkin_endpoint", second.url()).unwrap();
    config.set("custom_patterns", "some w[a-z]+").unwrap();
    config.set("replacement_text", "<gone>").unwrap();
    let recorder = started(config);
    record(&recorder, 3);
    assert!(recorder.flush(PATIENCE));
    for receiver in [first, second] {
        for request in receiver.requests(1) {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            assert!(body.contains("ask <gone>"), "{body}");
            assert!(!body.contains("ada@example.org") && !body.contains("some words"), "{body}");
        }
    }
}

#[test]
fn spans_of_delivering_are_not_recorded() {
    struct Curious(Sink);
    impl Exporter for Curious {
        fn export(&mut self, batch: &Batch, deadline: Instant) -> Result<Delivered, ExportError> {
            assert!(!spanwise::current().is_recording());
            assert!(!spanwise::current_context().unwrap().is_sampled());
            self.0.export(batch, deadline)
        }
    }
    let sink = Sink::default();
    let mut settings = sink.settings();
    let inner = sink.clone();
    settings.exporters = vec![Arc::new(move || Box::new(Curious(inner.clone())))];
    let recorder = Recorder::new(settings);
    record(&recorder, 1);
    assert!(recorder.flush(PATIENCE), "{:?}", recorder.metrics());
}
