use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use spanwise::{Context, InSpan, Limits, Recorder, Sampler, Sampling, Settings, Start, Started};
use spanwise_model::Attributes;
use spanwise_model::propagate::Extracted;
use spanwise_model::sampling::{IntelligentSampling, IntelligentSamplingConfig, Rate};
use spanwise_model::span::StatusCode;
use spanwise_model::wire::otlp::ValueRef;

use crate::sink::Sink;

pub const PATIENCE: Duration = Duration::from_secs(10);

/// Spans that name no recorder go to one for the whole process; tests of them take turns.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

pub fn with_default(test: impl FnOnce(&Sink, &Arc<Recorder>)) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let sink = Sink::default();
    let recorder = sink.recorder();
    spanwise::set_default(Some(Arc::clone(&recorder)));
    test(&sink, &recorder);
    spanwise::set_default(None);
    assert!(recorder.shutdown(PATIENCE));
}

fn record(recorder: &Arc<Recorder>, name: &str, parent: Option<&Context>) -> Context {
    match recorder.start(&Start::named(name), parent) {
        Started::Unsampled(context) => context,
        Started::Recording(recording) => {
            let context = recording.context().clone();
            Recorder::end(recording, None);
            context
        }
    }
}

#[test]
fn spans_nest_as_they_are_entered() {
    with_default(|sink, recorder| {
        let agent = spanwise::span("agent").enter();
        agent.set("agent.name", "planner").set("retries", 2).set("none", None::<i64>);
        spanwise::span("plan").in_scope(|| {
            spanwise::current().set("score", 0.5).set("ok", true);
        });
        drop(spanwise::span("act").enter().exit());
        drop(agent);
        drop(spanwise::span("next"));
        insta::assert_snapshot!(sink.tree(recorder), @r#"
        agent (internal, 0ns)
            agent.name = "planner"
            retries = 2
          plan (internal, 0ns)
              score = 0.5
              ok = true
          act (internal, 0ns)
        next (internal, 0ns)
        "#);
    });
}

#[test]
fn a_span_that_is_left_before_those_inside_it_disturbs_nobody() {
    with_default(|sink, recorder| {
        let outer = spanwise::span("outer").enter();
        let inner = spanwise::span("inner").enter();
        drop(outer);
        drop(spanwise::span("within inner"));
        drop(inner);
        drop(spanwise::span("alone"));
        insta::assert_snapshot!(sink.tree(recorder), @"
        outer (internal, 0ns)
          inner (internal, 0ns)
            within inner (internal, 0ns)
        alone (internal, 0ns)
        ");
    });
}

#[test]
fn a_future_is_in_its_span_whichever_thread_polls_it() {
    with_default(|sink, recorder| {
        let work = async {
            spanwise::current().set("thread", 1);
            futures::pending!();
            spanwise::current().set("thread", 2);
            async { drop(spanwise::span("leaf")) }.in_span(spanwise::span("inner")).await;
        };
        let mut work = Box::pin(work.in_span(spanwise::span("task")));
        thread::scope(|scope| {
            let poll = || block_on(async { assert!(futures::poll!(work.as_mut()).is_pending()) });
            scope.spawn(poll).join().unwrap();
            drop(spanwise::span("beside"));
        });
        block_on(work);
        insta::assert_snapshot!(sink.tree(recorder), @"
        task (internal, 0ns)
            thread = 2
          inner (internal, 0ns)
            leaf (internal, 0ns)
        beside (internal, 0ns)
        ");
    });
}

#[test]
fn a_context_goes_to_other_threads_and_comes_from_other_processes() {
    with_default(|sink, recorder| {
        let headers = [
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"),
            ("tracestate", "vendor=1"),
            ("baggage", "user=me"),
        ];
        let Extracted { parent: Some(parent), baggage, .. } = Extracted::from_pairs(&headers)
        else {
            panic!("the headers are legal");
        };
        let _remote = spanwise::Span::remote(Context::remote(parent, baggage)).enter();
        let server = spanwise::span("serve").enter();
        let here = spanwise::current_context().unwrap();
        assert_eq!(here.baggage().get("user").as_deref(), Some("me"));
        thread::spawn(move || drop(spanwise::span_below(&here, "elsewhere"))).join().unwrap();
        drop(server);
        assert!(recorder.flush(PATIENCE));
        for span in sink.spans() {
            assert_eq!(span.trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
            assert_eq!(&*span.trace_state, "vendor=1");
            // Known to be remote: the parent of the first, not of the second.
            let expected = if span.name == "serve" { 0x303 } else { 0x103 };
            assert_eq!(span.flags, expected, "{}", span.name);
        }
        assert_eq!(sink.spans().len(), 2);
    });
}

#[test]
fn what_is_inherited_reaches_everything_below_and_ends_with_its_span() {
    with_default(|sink, recorder| {
        let request = spanwise::span("request").enter();
        let before = spanwise::span("before").enter();
        spanwise::set_span_context([("user_id", "u-17"), ("tier", "gold")]);
        drop(spanwise::span("within"));
        drop(before);
        request.inherit("organization.id", "acme");
        let mut own = spanwise::span("own");
        own.set("organization.id", "other");
        let here = spanwise::current_context().unwrap();
        let elsewhere = move || drop(spanwise::span_below(&here, "elsewhere"));
        drop(own);
        thread::spawn(elsewhere).join().unwrap();
        drop(request);
        drop(spanwise::span("after"));
        spanwise::set_span_context([("user_id", "nobody")]);
        insta::assert_snapshot!(sink.tree(recorder), @r#"
        request (internal, 0ns)
            organization.id = "acme"
          before (internal, 0ns)
              user.id = "u-17"
              tier = "gold"
            within (internal, 0ns)
                user.id = "u-17"
                tier = "gold"
          own (internal, 0ns)
              organization.id = "other"
          elsewhere (internal, 0ns)
              organization.id = "acme"
        after (internal, 0ns)
        "#);
    });
}

#[test]
fn a_panic_leaves_its_spans_as_failed() {
    with_default(|sink, recorder| {
        let caught = std::panic::catch_unwind(|| {
            let _outer = spanwise::span("outer").enter();
            let work = async { panic!("as asked") }.in_span(spanwise::span("inner"));
            block_on(work)
        });
        assert!(caught.is_err());
        assert!(recorder.flush(PATIENCE));
        let spans = sink.spans();
        let names: Vec<_> = spans.iter().map(|span| span.name.to_string()).collect();
        assert_eq!(names, ["inner", "outer"]);
        assert!(spans.iter().all(|span| span.status.message == "panicked"));
    });
}

#[test]
fn errors_events_and_links_are_recorded() {
    with_default(|sink, recorder| {
        let other = record(recorder, "other", None);
        let cause = std::io::Error::other("no route");
        let error = std::io::Error::other(cause);
        spanwise::span("call").error(&error).event("retry", &Attributes::default()).link(&other);
        spanwise::span("fine").ok().failed("too late");
        assert!(recorder.flush(PATIENCE));
        let spans = sink.spans();
        let call = spans.iter().find(|span| span.name == "call").unwrap();
        assert_eq!(call.status.code, StatusCode::Error);
        assert_eq!(call.status.message, "no route");
        assert_eq!(call.events[0].name, "exception");
        assert_eq!(call.events[1].name, "retry");
        assert_eq!(call.links[0].span_id, other.span_id);
        let fine = spans.iter().find(|span| span.name == "fine").unwrap();
        assert_eq!((fine.status.code, &*fine.status.message), (StatusCode::Ok, ""));
    });
}

#[test]
fn a_hundred_threads_lose_nothing_and_share_no_id() {
    let sink = Sink::default();
    let recorder = sink.recorder();
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| (0..500).for_each(|_| drop(record(&recorder, "work", None))));
        }
    });
    assert!(recorder.flush(PATIENCE));
    let mut ids: Vec<_> = sink.spans().iter().map(|span| (span.trace_id, span.span_id)).collect();
    ids.sort_unstable();
    ids.dedup();
    let metrics = recorder.metrics();
    assert_eq!(
        (ids.len(), metrics.spans_started, metrics.spans_exported),
        (50_000, 50_000, 50_000)
    );
    assert_eq!((metrics.spans_dropped, metrics.queue_size), (0, 0));
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let sink = Sink::default();
    let settings = Settings { queue_bytes: 200_000, ..sink.settings() };
    let recorder = Recorder::new(settings);
    sink.fail(usize::MAX);
    (0..50_000).for_each(|_| drop(record(&recorder, "work", None)));
    let metrics = recorder.metrics();
    assert!(metrics.dropped_queue_full > 0);
    sink.fail(0);
    recorder.shutdown(PATIENCE);
    let metrics = recorder.metrics();
    assert_eq!(metrics.spans_exported + metrics.spans_dropped, 50_000, "{metrics:?}");
    assert_eq!(metrics.spans_exported, sink.spans().len() as u64);
}

#[test]
fn a_delivery_that_fails_is_repeated_and_one_that_panics_is_counted() {
    let sink = Sink::default();
    let recorder = sink.recorder();
    sink.fail(2);
    record(&recorder, "late", None);
    assert!(recorder.flush(PATIENCE));
    sink.panic(1);
    record(&recorder, "lost", None);
    assert!(!recorder.flush(PATIENCE), "a lost span is no success");
    record(&recorder, "after", None);
    assert!(recorder.flush(PATIENCE));
    let names: Vec<_> = sink.spans().iter().map(|span| span.name.to_string()).collect();
    assert_eq!(names, ["late", "after"]);
    let metrics = recorder.metrics();
    assert_eq!((metrics.dropped_undelivered, metrics.export_errors), (1, 3));
}

#[test]
fn after_the_shutdown_spans_are_counted_and_nothing_else() {
    let sink = Sink::default();
    let recorder = sink.recorder();
    let Started::Recording(open) = recorder.start(&Start::named("open"), None) else {
        panic!("everything is sampled");
    };
    record(&recorder, "before", None);
    assert!(recorder.shutdown(PATIENCE));
    Recorder::end(open, None);
    assert!(matches!(recorder.start(&Start::named("late"), None), Started::Unsampled(_)));
    assert_eq!(sink.spans().len(), 1);
    assert_eq!(recorder.metrics().dropped_after_shutdown, 1);
}

#[test]
fn with_a_dead_receiver_the_shutdown_keeps_its_deadline_and_counts() {
    let sink = Sink::default();
    let recorder = sink.recorder();
    sink.fail(usize::MAX);
    (0..10).for_each(|_| drop(record(&recorder, "work", None)));
    recorder.shutdown(Duration::from_millis(50));
    let metrics = recorder.metrics();
    assert_eq!((metrics.spans_started, metrics.dropped_undelivered), (10, 10));
}

#[test]
fn a_rate_keeps_the_same_traces_everywhere_and_children_follow() {
    let (all, some) = (Sink::default(), Sink::default());
    let all_recorder = all.recorder();
    let sampling = Sampling::Rate(Rate::new(0.25).unwrap());
    let some_recorder = Recorder::new(Settings { sampling, ..some.settings() });
    for _ in 0..4_000 {
        let root = record(&some_recorder, "root", None);
        record(&some_recorder, "child", Some(&root));
        // The same trace, seen by somebody who keeps all.
        let passed_on = Context::remote(root.span_context(), root.baggage());
        record(&all_recorder, "below", Some(&passed_on));
    }
    assert!(some_recorder.flush(PATIENCE) && all_recorder.flush(PATIENCE));
    let n_kept = some.spans().len();
    // Four standard deviations.
    assert!((1_780..=2_220).contains(&n_kept), "{n_kept} of 8000");
    assert_eq!(all.spans().len() * 2, n_kept, "a caller's decision is followed");
}

struct Picky;

impl Sampler for Picky {
    fn should_sample(&self, _: &Context, name: &str) -> bool {
        assert_ne!(name, "panic");
        name == "wanted"
    }
}

#[test]
fn a_sampler_is_asked_for_roots_and_may_panic() {
    let sink = Sink::default();
    let sampling = Sampling::Custom(Arc::new(Picky), Rate::ALL);
    let recorder = Recorder::new(Settings { sampling, ..sink.settings() });
    let wanted = record(&recorder, "wanted", None);
    record(&recorder, "child", Some(&wanted));
    let unwanted = record(&recorder, "unwanted", None);
    record(&recorder, "wanted", Some(&unwanted));
    record(&recorder, "panic", None);
    assert!(recorder.flush(PATIENCE));
    let names: Vec<_> = sink.spans().iter().map(|span| span.name.to_string()).collect();
    assert_eq!(names, ["wanted", "child", "panic"]);
}

#[test]
fn limits_hold_and_what_they_drop_is_counted_on_the_span() {
    let sink = Sink::default();
    let limits = Limits { attributes: 3, text_bytes: 10, events: 1, links: 0, ..Limits::default() };
    let recorder = Recorder::new(Settings { limits, ..sink.settings() });
    let Started::Recording(mut recording) = recorder.start(&Start::named("full"), None) else {
        panic!("everything is sampled");
    };
    for key in ["a", "b", "c", "d", "e"] {
        recording.set(key, ValueRef::String(&"x".repeat(1000)));
    }
    let to = recording.context().span_context();
    for _ in 0..3 {
        recording.event("again", None, &Attributes::default());
        recording.link(&to, false, &Attributes::default());
    }
    Recorder::end(recording, None);
    assert!(recorder.flush(PATIENCE));
    let span = &sink.spans()[0];
    assert_eq!(span.attributes.str("a"), Some("xxxxxxxxxx"));
    assert_eq!((span.attributes.len(), span.dropped_attributes_count), (3, 2));
    assert_eq!((span.events.len(), span.dropped_events_count), (1, 2));
    assert_eq!((span.links.len(), span.dropped_links_count), (0, 3));
}

#[test]
fn spans_carry_their_scope_and_said_times() {
    let sink = Sink::default();
    let recorder = sink.recorder();
    let library =
        spanwise_model::Scope { name: "library".into(), version: "7".into(), ..Default::default() };
    let scope = recorder.scope(&library);
    assert_eq!(scope, recorder.scope(&library));
    let start = Start { scope, time: Some(1_000), ..Start::named("then") };
    let Started::Recording(recording) = recorder.start(&start, None) else {
        panic!("everything is sampled");
    };
    Recorder::end(recording, Some(2_000));
    record(&recorder, "own", None);
    assert!(recorder.flush(PATIENCE));
    let mut spans = sink.spans();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    assert_eq!((spans[0].start_time_unix_nano, spans[0].end_time_unix_nano), (1_000, 2_000));
    assert_eq!(*spans[0].scope, library);
    assert_eq!(spans[1].scope.name, "spanwise");
    assert!(spans[1].start_time_unix_nano > 1_600_000_000_000_000_000);
}

fn nested(recorder: &Arc<Recorder>, root: &str, child: &str, child_fails: bool) {
    let Started::Recording(open) = recorder.start(&Start::named(root), None) else {
        panic!("spans wait for their root");
    };
    let Started::Recording(mut child) = recorder.start(&Start::named(child), Some(open.context()))
    else {
        panic!("spans wait for their root");
    };
    if child_fails {
        child.set_status(StatusCode::Error, "caught by the root");
    }
    Recorder::end(child, None);
    Recorder::end(open, None);
}

#[test]
fn intelligent_sampling_decides_when_the_root_ends() {
    let sink = Sink::default();
    let rules = IntelligentSamplingConfig {
        base_sampling_rate: 0.0,
        high_priority_operations: [("checkout".to_owned(), 1.0), ("pay".to_owned(), 1.0)].into(),
        ..IntelligentSamplingConfig::default()
    };
    let rules = Arc::new(IntelligentSampling::new(rules).unwrap());
    let sampling = Sampling::Intelligent(rules);
    let recorder = Recorder::new(Settings { sampling, ..sink.settings() });
    nested(&recorder, "dull", "child", false);
    nested(&recorder, "unlucky", "child", true);
    nested(&recorder, "workflow.checkout", "child", false);
    nested(&recorder, "workflow.order", "task.pay", false);
    assert!(recorder.flush(PATIENCE));
    let mut names: Vec<_> = sink.spans().iter().map(|span| span.name.to_string()).collect();
    names.sort_unstable();
    let expected = ["child", "child", "task.pay", "unlucky", "workflow.checkout", "workflow.order"];
    assert_eq!(names, expected);
    let metrics = recorder.metrics();
    assert_eq!((metrics.spans_started, metrics.spans_exported, metrics.sampled_out), (8, 6, 2));
    assert_eq!(metrics.queue_size, 0);
}

#[test]
fn a_trace_too_long_to_wait_for_is_kept() {
    let sink = Sink::default();
    let rules = IntelligentSamplingConfig { base_sampling_rate: 0.0, ..Default::default() };
    let rules = Arc::new(IntelligentSampling::new(rules).unwrap());
    let sampling = Sampling::Intelligent(rules);
    let recorder = Recorder::new(Settings { sampling, ..sink.settings() });
    let Started::Recording(open) = recorder.start(&Start::named("long"), None) else {
        panic!("spans wait for their root");
    };
    for _ in 0..10 {
        let Started::Recording(mut child) =
            recorder.start(&Start::named("child"), Some(open.context()))
        else {
            panic!("spans wait for their root");
        };
        child.set("text", ValueRef::String(&"x".repeat(1 << 20)));
        Recorder::end(child, None);
    }
    Recorder::end(open, None);
    assert!(recorder.flush(PATIENCE));
    assert_eq!(sink.spans().len(), 11);
}

#[test]
fn a_rate_below_one_tells_how_many_traces_one_stands_for() {
    let sink = Sink::default();
    let sampling = Sampling::Rate(Rate::new(0.5).unwrap());
    let recorder = Recorder::new(Settings { sampling, ..sink.settings() });
    (0..100).for_each(|_| drop(record(&recorder, "work", None)));
    assert!(recorder.flush(PATIENCE));
    let spans = sink.spans();
    assert!(!spans.is_empty() && spans.iter().all(|span| &*span.trace_state == "ot=th:8"));
}

#[test]
fn what_waits_for_a_root_that_is_lost_is_counted() {
    let sink = Sink::default();
    let rules = Arc::new(IntelligentSampling::new(IntelligentSamplingConfig::default()).unwrap());
    let sampling = Sampling::Intelligent(rules);
    let recorder = Recorder::new(Settings { sampling, ..sink.settings() });
    let Started::Recording(root) = recorder.start(&Start::named("lost"), None) else {
        panic!("spans wait for their root");
    };
    record(&recorder, "child", Some(root.context()));
    assert_eq!(recorder.metrics().queue_size, 1);
    drop(root);
    let metrics = recorder.metrics();
    assert_eq!((metrics.queue_size, metrics.dropped_undelivered, metrics.sampled_out), (0, 1, 0));
}
