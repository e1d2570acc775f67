//! Libraries that use the API of OpenTelemetry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{
    FutureExt as _, Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _,
    TracerProvider as _, get_active_span,
};
use opentelemetry::{Array, Context, KeyValue, Value};
use spanwise::interop::{Propagator, TracerProvider};
use spanwise::{Recorder, Sampling};
use spanwise_model::Span;
use spanwise_model::sampling::{IntelligentSampling, IntelligentSamplingConfig, Rate};
use spanwise_model::span::{Kind, StatusCode};

use crate::recording::{PATIENCE, with_default};
use crate::sink::Sink;

fn recorded(work: impl FnOnce(&TracerProvider, &Arc<Recorder>)) -> Vec<Span> {
    let mut spans = Vec::new();
    with_default(|sink, recorder| {
        work(&TracerProvider::new(), recorder);
        assert!(recorder.flush(PATIENCE));
        spans = sink.spans();
    });
    spans
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    spans.iter().find(|span| span.name == name).unwrap()
}

/// The names from a span up to its root.
fn path(spans: &[Span], name: &str) -> String {
    let span = named(spans, name);
    let parent = spans.iter().find(|above| Some(above.span_id) == span.parent_span_id);
    match (parent, span.parent_span_id) {
        (Some(parent), _) => format!("{name} < {}", path(spans, &parent.name)),
        (None, None) => name.to_owned(),
        (None, Some(_)) => format!("{name} < ?"),
    }
}

#[test]
fn spans_of_libraries_are_recorded_with_all_they_carry() {
    let spans = recorded(|provider, _| {
        let scope =
            opentelemetry::InstrumentationScope::builder("library").with_version("7").build();
        let tracer = provider.tracer_with_scope(scope);
        let other = tracer.start("other");
        let to = other.span_context().clone();
        let mut span = tracer
            .span_builder("call")
            .with_kind(SpanKind::Client)
            .with_start_time(SystemTime::UNIX_EPOCH + Duration::from_secs(1))
            .with_attributes([KeyValue::new("n", 1), KeyValue::new("x", 0.5)])
            .start(&tracer);
        let list = Value::Array(Array::String(vec!["a".into(), "b".into()]));
        span.set_attributes([KeyValue::new("list", list), KeyValue::new("yes", true)]);
        span.add_event("retry", vec![KeyValue::new("after", "1s")]);
        span.add_link(to, vec![]);
        span.set_status(Status::error("no route"));
        span.update_name("GET");
        assert!(span.is_recording());
        span.end_with_timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(2));
        assert!(!span.is_recording());
        span.set_attribute(KeyValue::new("late", true));
    });
    let span = named(&spans, "GET");
    assert_eq!(
        (&*span.scope.name, &*span.scope.version, span.kind),
        ("library", "7", Kind::Client)
    );
    assert_eq!(
        (span.start_time_unix_nano, span.end_time_unix_nano),
        (1_000_000_000, 2_000_000_000)
    );
    let keys: Vec<_> = span.attributes.iter().map(|attribute| &*attribute.key).collect();
    assert_eq!(keys, ["n", "x", "list", "yes"]);
    assert_eq!(span.events[0].attributes.str("after"), Some("1s"));
    assert_eq!(span.links[0].span_id, named(&spans, "other").span_id);
    assert_eq!((span.status.code, &*span.status.message), (StatusCode::Error, "no route"));
}

#[test]
fn both_kinds_of_spans_nest_in_each_other() {
    let spans = recorded(|provider, _| {
        let tracer = provider.tracer("library");
        let a = spanwise::span("a").enter();
        tracer.in_span("b", |_| {
            let c = spanwise::span("c").enter();
            get_active_span(|span| span.set_attribute(KeyValue::new("by", "theirs")));
            drop(tracer.start("d"));
            drop(c);
            drop(spanwise::span("e"));
            drop(tracer.start("f"));
        });
        drop(tracer.start("g"));
        drop(a);
        drop(tracer.start("h"));
        drop(spanwise::span("i"));
    });
    for expected in ["d < c < b < a", "e < b < a", "f < b < a", "g < a", "h", "i"] {
        assert_eq!(path(&spans, &expected[..1]), expected);
    }
    assert_eq!(named(&spans, "c").attributes.str("by"), Some("theirs"));
}

#[test]
fn contexts_go_through_futures_and_threads() {
    let spans = recorded(|provider, _| {
        let tracer = provider.tracer("library");
        let work = async {
            futures::pending!();
            drop(spanwise::span("inner"));
            let theirs = tracer.start("theirs");
            async { drop(spanwise::span("leaf")) }
                .with_context(Context::current_with_span(theirs))
                .await;
        };
        let mut work = Box::pin(spanwise::InSpan::in_span(work, spanwise::span("task")));
        futures::executor::block_on(async { assert!(futures::poll!(work.as_mut()).is_pending()) });
        drop(tracer.start("beside"));
        futures::executor::block_on(work);
        let outer = spanwise::span("outer").enter();
        outer.inherit("user.id", "u-17");
        let context = Context::current();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _here = context.attach();
                drop(spanwise::span("elsewhere"));
                drop(tracer.start("elsewhere too"));
            });
        });
        drop(tracer.start("here"));
    });
    assert_eq!(path(&spans, "inner"), "inner < task");
    assert_eq!(path(&spans, "leaf"), "leaf < theirs < task");
    assert_eq!(path(&spans, "beside"), "beside");
    for name in ["elsewhere", "elsewhere too", "here"] {
        assert_eq!(path(&spans, name), format!("{name} < outer"));
    }
    assert_eq!(named(&spans, "here").attributes.str("user.id"), Some("u-17"));
}

#[test]
fn explicit_contexts_are_obeyed() {
    let spans = recorded(|provider, _| {
        let tracer = provider.tracer("library");
        let outer = spanwise::span("outer").enter();
        drop(tracer.start_with_context("root", &Context::new()));
        let suppressed = Context::current().with_telemetry_suppressed();
        let mut silent = tracer.start_with_context("silent", &suppressed);
        silent.set_attribute(KeyValue::new("a", 1));
        drop(silent);
        drop(outer);
    });
    assert_eq!(path(&spans, "root"), "root");
    assert_eq!(spans.len(), 2);
}

#[test]
fn what_a_root_decides_and_hands_down_reaches_spans_of_libraries() {
    let rules = |errors: f64| {
        let config = IntelligentSamplingConfig {
            error_sampling_rate: errors,
            slow_request_sampling_rate: 0.0,
            ..IntelligentSamplingConfig::default()
        };
        let rules = IntelligentSampling::new(config).unwrap();
        Sampling::Intelligent(Arc::new(rules.with_base_rate(Rate::new(0.0).unwrap())))
    };
    let spans = recorded(|provider, recorder| {
        recorder.set_sampling(rules(1.0));
        let tracer = provider.tracer("library");
        for fails in [true, false] {
            tracer.in_span("root", |_| {
                tracer.in_span("middle", |_| {
                    let leaf = spanwise::span("leaf").enter();
                    if fails {
                        leaf.failed("as asked");
                    }
                });
            });
        }
    });
    let mut names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["leaf", "middle", "root"]);
}

#[test]
fn headers_carry_contexts_of_both_kinds() {
    let spans = recorded(|provider, _| {
        let (propagator, tracer) = (Propagator::new(), provider.tracer("library"));
        let headers = HashMap::from([
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("tracestate", "vendor=1"),
            ("baggage", "user=m%20e"),
        ]);
        let headers: HashMap<String, String> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let caller = propagator.extract(&headers);
        assert_eq!(caller.baggage().get("user").map(ToString::to_string).as_deref(), Some("m e"));
        let _caller = caller.attach();
        let serve = spanwise::span("serve").enter();
        assert_eq!(
            spanwise::current_context().unwrap().baggage().get("user").as_deref(),
            Some("m e")
        );
        tracer.in_span("theirs", |_| {
            let mut out = HashMap::new();
            propagator.inject(&mut out);
            let theirs = spanwise::current_context().unwrap();
            assert!(out["traceparent"].contains(&theirs.span_id.to_string()));
            assert_eq!((&*out["tracestate"], &*out["baggage"]), ("vendor=1", "user=m%20e"));
        });
        drop(serve);
    });
    assert_eq!(path(&spans, "theirs"), "theirs < serve < ?");
    assert_eq!(&*named(&spans, "theirs").trace_state, "vendor=1");
}

#[test]
fn the_layer_of_tracing_takes_part() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let spans = recorded(|provider, _| {
        let tracer = provider.tracer("library");
        let subscriber = tracing_subscriber::registry().with(spanwise::layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("outer").in_scope(|| {
                tracer.in_span("theirs", |_| tracing::info_span!("inner").in_scope(|| ()));
            });
            drop(tracer.start("after"));
        });
    });
    assert_eq!(path(&spans, "inner"), "inner < theirs < outer");
    assert_eq!(path(&spans, "after"), "after");
}

#[test]
fn a_provider_may_have_its_own_recorder_and_serve_the_whole_process() {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let sink = Sink::default();
    let recorder = sink.recorder();
    let provider = TracerProvider::with_recorder(Arc::clone(&recorder));
    opentelemetry::global::set_tracer_provider(provider);
    opentelemetry::global::tracer("library").in_span("global", |context| {
        context.span().add_event("seen", vec![]);
    });
    assert!(recorder.flush(PATIENCE));
    assert_eq!(sink.spans()[0].events[0].name, "seen");
}
