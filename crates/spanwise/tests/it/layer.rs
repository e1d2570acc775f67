//! Spans of `tracing`, as they leave.

use std::sync::Arc;
use std::thread;

use spanwise::{Limits, Recorder, Sampling, Settings};
use spanwise_model::Span;
use spanwise_model::sampling::Rate;
use spanwise_model::span::{Kind, StatusCode};
use tracing::subscriber::with_default;
use tracing::{Instrument as _, error_span, info, info_span};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::recording::{PATIENCE, with_default as with_recorder};
use crate::sink::Sink;

fn traced(test: impl FnOnce(&Sink, &Arc<Recorder>)) {
    with_recorder(|sink, recorder| {
        let subscriber = tracing_subscriber::registry().with(spanwise::layer().location(false));
        with_default(subscriber, || test(sink, recorder));
    });
}

#[test]
fn fields_are_typed_attributes_and_both_sorts_of_spans_nest() {
    traced(|sink, recorder| {
        let agent = spanwise::span("agent").enter();
        info_span!("lookup", city = "Oslo", tries = 2, ratio = 0.5, ok = true, who = ?Some(1))
            .in_scope(|| {
                spanwise::current().set("hits", 3);
                drop(spanwise::span("read"));
                info_span!("inner").in_scope(|| drop(spanwise::span("leaf")));
            });
        drop(agent);
        info_span!("alone");
        insta::assert_snapshot!(sink.tree(recorder), @r#"
        agent (internal, 0ns)
          lookup (internal, 0ns)
              level = "INFO"
              target = "it::layer"
              city = "Oslo"
              tries = 2
              ratio = 0.5
              ok = true
              who = "Some(1)"
              hits = 3
            read (internal, 0ns)
            inner (internal, 0ns)
                level = "INFO"
                target = "it::layer"
              leaf (internal, 0ns)
        alone (internal, 0ns)
            level = "INFO"
            target = "it::layer"
        "#);
    });
}

#[test]
fn explicit_parents_late_fields_and_links_are_followed() {
    traced(|sink, recorder| {
        let first = info_span!(parent: None, "first", answer = tracing::field::Empty);
        let second = info_span!("second");
        let here = second.enter();
        drop(info_span!(parent: &first, "below first"));
        drop(info_span!(parent: None, "root"));
        first.record("answer", 42);
        second.follows_from(&first);
        drop(here);
        drop((first, second));
        assert!(recorder.flush(PATIENCE));
        let spans = sink.spans();
        let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
        assert_eq!(named("below first").parent_span_id, Some(named("first").span_id));
        assert_eq!(named("root").parent_span_id, None);
        assert_eq!(named("second").links[0].span_id, named("first").span_id);
        assert_eq!(named("first").attributes.get("answer"), Some(&42.into()));
    });
}

#[test]
fn events_stand_in_the_span_that_the_thread_is_in_and_errors_fail_it() {
    traced(|sink, recorder| {
        let ours = spanwise::span("ours").enter();
        info!(hits = 3, "found it");
        drop(ours);
        error_span!("theirs").in_scope(|| {
            let error = std::io::Error::other("no route");
            tracing::warn!(error = &error as &dyn std::error::Error);
        });
        info_span!("failing").in_scope(|| tracing::error!("out of tokens"));
        info!("in no span");
        assert!(recorder.flush(PATIENCE));
        let spans = sink.spans();
        assert_eq!(spans[0].events[0].name, "found it");
        assert_eq!(spans[0].events[0].attributes.get("hits"), Some(&3.into()));
        assert_eq!(spans[0].status.code, StatusCode::Unset);
        assert_eq!(spans[1].events[0].name, "exception");
        assert_eq!(spans[1].events[0].attributes.str("exception.message"), Some("no route"));
        assert_eq!(
            (spans[1].status.code, &*spans[1].status.message),
            (StatusCode::Error, "no route")
        );
        assert_eq!(&*spans[2].status.message, "out of tokens");
    });
}

#[test]
fn fields_of_opentelemetry_set_what_they_name() {
    traced(|sink, recorder| {
        info_span!("x", otel.name = "GET /", otel.kind = "client", otel.status_code = "OK");
        assert!(recorder.flush(PATIENCE));
        let span = &sink.spans()[0];
        assert_eq!(
            (&*span.name, span.kind, span.status.code),
            ("GET /", Kind::Client, StatusCode::Ok)
        );
        assert_eq!(span.attributes.str("level"), Some("INFO"));
        assert_eq!(span.attributes.str("target"), Some(module_path!()));
    });
}

#[test]
fn a_span_may_be_entered_on_several_threads_and_in_futures() {
    traced(|sink, recorder| {
        let shared = info_span!("shared");
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    tracing::dispatcher::with_default(&dispatch, || {
                        let _in = shared.enter();
                        spanwise::current().inherit("user.id", "u-17");
                        drop(spanwise::span("work"));
                    });
                });
            }
        });
        drop(shared);
        let task = async { drop(spanwise::span("awaited")) }.instrument(info_span!("task"));
        futures::executor::block_on(task);
        assert!(recorder.flush(PATIENCE));
        let spans = sink.spans();
        let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
        let shared = named("shared")[0];
        assert_eq!(named("work").len(), 4);
        for work in named("work") {
            assert_eq!(work.parent_span_id, Some(shared.span_id));
            assert_eq!(work.attributes.str("user.id"), Some("u-17"));
        }
        assert_eq!(shared.attributes.str("user.id"), Some("u-17"));
        assert_eq!(named("awaited")[0].parent_span_id, Some(named("task")[0].span_id));
    });
}

#[test]
fn spans_of_two_subscribers_are_told_apart() {
    with_recorder(|sink, recorder| {
        let subscriber = || tracing_subscriber::registry().with(spanwise::layer());
        // Each is the first span of its registry, so both have the same number.
        let first = with_default(subscriber(), || info_span!("first"));
        let second = with_default(subscriber(), || info_span!("second"));
        first.in_scope(|| drop(spanwise::span("below first")));
        second.in_scope(|| drop(spanwise::span("below second")));
        drop((second, first));
        assert!(recorder.flush(PATIENCE));
        let spans = sink.spans();
        let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
        for name in ["first", "second"] {
            let below = named(&format!("below {name}"));
            assert_eq!(below.parent_span_id, Some(named(name).span_id));
        }
    });
}

#[test]
fn a_callsite_is_described_as_each_layer_and_recorder_wants() {
    let sink = Sink::default();
    let limits = Limits { attributes: 1, ..Limits::default() };
    let (plain, narrow) = (sink.recorder(), Recorder::new(Settings { limits, ..sink.settings() }));
    for (recorder, has_location) in [(&plain, true), (&plain, false), (&narrow, true)] {
        let layer = spanwise::layer().location(has_location).recorder(Arc::clone(recorder));
        with_default(tracing_subscriber::registry().with(layer), || drop(info_span!("here")));
        assert!(recorder.flush(PATIENCE));
    }
    let keys = |span: &Span| span.attributes.iter().map(|one| one.key.to_string()).collect();
    let keys: Vec<Vec<String>> = sink.spans().iter().map(keys).collect();
    let all = ["level", "target", "code.file.path", "code.line.number"];
    assert_eq!(keys, [&all[..], &all[..2], &all[..1]]);
}

#[test]
fn what_is_not_sampled_is_passed_on_and_nothing_is_written() {
    let sink = Sink::default();
    let sampling = Sampling::Rate(Rate::new(0.0).unwrap());
    let recorder = Recorder::new(Settings { sampling, ..sink.settings() });
    let layer = spanwise::layer().recorder(Arc::clone(&recorder));
    with_default(tracing_subscriber::registry().with(layer), || {
        let _outer = info_span!("outer").entered();
        info!("unheard");
        let trace = spanwise::current_context().unwrap().trace_id;
        info_span!("inner").in_scope(|| {
            assert_eq!(spanwise::current_context().unwrap().trace_id, trace);
        });
    });
    assert_eq!(recorder.metrics().spans_started, 0);
}

struct Nosy;

impl std::fmt::Debug for Nosy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        info!("somebody looks");
        f.write_str("Nosy")
    }
}

#[test]
fn a_value_that_traces_while_it_is_shown_does_no_harm() {
    traced(|sink, recorder| {
        let span = info_span!("curious", late = tracing::field::Empty, early = ?Nosy);
        span.in_scope(|| {
            span.record("late", tracing::field::debug(Nosy));
            info!(nosy = ?Nosy, "looked");
        });
        drop(span);
        assert!(recorder.flush(PATIENCE));
        let span = &sink.spans()[0];
        assert_eq!(span.attributes.str("late"), Some("Nosy"));
        assert_eq!(span.attributes.str("early"), Some("Nosy"));
        assert!(span.events.iter().any(|event| event.name == "looked"));
    });
}
