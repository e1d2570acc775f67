//! What arrives, byte by byte where that matters: endpoints, headers, bodies of every exporter.

use std::sync::Arc;

use spanwise::{Config, Recorder, Start, Started};
use spanwise_model::span::StatusCode;
use spanwise_model::tree::tree_with_attributes;
use spanwise_model::wire::datadog::{Tracer, decode_v04};
use spanwise_model::wire::otlp::{ValueRef, decode_traces, decode_traces_json};
use spanwise_model::wire::{jaeger, xray, zipkin};
use spanwise_model::{Kind, Span};

use crate::receiver::{PATIENCE, Receiver, Request, datagrams, receive};
use crate::started;

/// Records a trace of two spans that took no time.
fn record_order(recorder: &Arc<Recorder>) {
    let start = |name, kind, parent: Option<&spanwise::Context>| {
        let start = Start { time: Some(1_700_000_000_000_000_000), ..Start::named(name) };
        match recorder.start(&start.kind(kind), parent) {
            Started::Recording(recording) => recording,
            Started::Unsampled(_) => panic!("everything is sampled"),
        }
    };
    let end = Some(1_700_000_000_250_000_000);
    let root = start("order", Kind::Server, None);
    let context = root.context().clone();
    let mut charge = start("charge", Kind::Client, Some(&context));
    charge.set("card", ValueRef::String("4"));
    charge.set("amount", ValueRef::Int(12));
    charge.set_status(StatusCode::Error, "declined");
    Recorder::end(charge, end);
    Recorder::end(root, end);
}

/// Records an order with this configuration, and delivers it.
fn send(config: Config) {
    let recorder = started(config);
    record_order(&recorder);
    assert!(recorder.flush(PATIENCE), "{:?}", recorder.metrics());
    assert_eq!(recorder.metrics().spans_exported, 2);
    assert!(recorder.shutdown(PATIENCE));
}

/// The one request that a configuration leads to.
fn request(config: impl FnOnce(&Receiver) -> Config) -> Request {
    let receiver = Receiver::start([]);
    send(config(&receiver));
    let requests = receiver.requests(1);
    assert_eq!(requests.len(), 1);
    requests[0].clone()
}

/// The trees of the spans.
fn drawn(spans: &[Span]) -> String {
    tree_with_attributes(spans)
}

const ORDER: &str = r#"order (server, 250ms)
  charge (client, 250ms) error: declined
      card = "4"
      amount = 12
"#;

#[test]
fn otlp_in_protobuf_is_the_default() {
    let request = request(|receiver| {
        Config::new("shop").endpoint(receiver.url()).api_key("k-1").header("x-team", "blue")
    });
    assert_eq!(request.line, "POST /v1/traces HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(request.header("content-encoding"), None);
    assert_eq!(request.header("authorization"), Some("Bearer k-1"));
    assert_eq!(request.header("x-team"), Some("blue"));
    assert!(request.header("user-agent").unwrap().starts_with("spanwise/"));
    let batch = decode_traces(request.body.into()).unwrap();
    assert_eq!(drawn(&batch.spans), ORDER);
    let resource = &batch.spans[0].resource;
    assert_eq!(resource.service(), "shop");
    for key in ["telemetry.sdk.name", "telemetry.sdk.version", "host.name", "service.instance.id"] {
        assert!(resource.attributes.str(key).is_some_and(|value| !value.is_empty()), "{key}");
    }
    let pid = resource.attributes.get("process.pid");
    assert_eq!(pid, Some(&i64::from(std::process::id()).into()));
    assert_eq!(batch.spans[0].scope.name, "spanwise");
}

#[test]
#[cfg(unix)]
#[allow(unsafe_code)]
fn a_forked_child_is_another_instance() {
    let receiver = Receiver::start([]);
    let recorder = started(Config::new("shop").endpoint(receiver.url()));
    record_order(&recorder);
    assert!(recorder.flush(PATIENCE));
    // SAFETY: the child uses nothing but this recorder, which is made for it, and ends at once.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        record_order(&recorder);
        let delivered = recorder.flush(PATIENCE);
        // SAFETY: ends the process without running what belongs to its parent.
        unsafe { libc::_exit(i32::from(!delivered)) };
    }
    let mut status = 0;
    // SAFETY: the child is ours, and the status has a place.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    let resources = receiver.requests(2).into_iter().map(|request| {
        let batch = decode_traces(request.body.into()).unwrap();
        let attributes = &batch.spans[0].resource.attributes;
        let instance = attributes.str("service.instance.id").unwrap().to_owned();
        (attributes.get("process.pid").unwrap().clone(), instance)
    });
    let [parents, childs] = &resources.collect::<Vec<_>>()[..] else { panic!("two requests") };
    assert_eq!(childs.0, i64::from(child).into());
    assert_ne!(parents.0, childs.0);
    assert_ne!(parents.1, childs.1);
}

#[test]
fn otlp_in_json_and_compressed_is_an_option() {
    let request = request(|receiver| {
        let mut config = Config::new("shop").endpoint(receiver.url() + "/base/");
        config.set("otlp_protocol", "http/json").unwrap();
        config.set("otlp_compression", "gzip").unwrap();
        config
    });
    assert_eq!(request.line, "POST /base/v1/traces HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    assert_eq!(drawn(&decode_traces_json(&request.content()).unwrap().spans), ORDER);
}

#[test]
fn zipkin_is_found_by_its_path() {
    let request = request(|receiver| {
        let mut config = Config::new("shop").endpoint(receiver.url() + "/api/v2/spans");
        config.set("zipkin_service_name", "till").unwrap();
        config
    });
    assert_eq!(request.line, "POST /api/v2/spans HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    let spans = zipkin::decode(request.body.into()).unwrap().spans;
    assert!(
        drawn(&spans)
            .starts_with("order (server, 250ms)\n  charge (client, 250ms) error: declined")
    );
    assert!(spans.iter().all(|span| span.resource.service() == "till"));
}

#[test]
fn jaeger_takes_thrift_over_http_from_an_endpoint_that_was_named() {
    let request =
        request(|receiver| Config::new("shop").endpoint(receiver.url()).exporters(["jaeger"]));
    assert_eq!(request.line, "POST /api/traces HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/x-thrift"));
    let spans = jaeger::decode_batch(request.body.into()).unwrap().spans;
    assert_eq!(spans[0].resource.service(), "shop");
    assert!(drawn(&spans).contains("charge (client, 250ms) error: declined"));
}

#[test]
fn jaegers_agent_takes_datagrams() {
    let (socket, address) = datagrams();
    let (host, port) = address.split_once(':').unwrap();
    let mut config = Config::new("shop").exporters(["jaeger"]);
    config.set("jaeger_agent_host", host.to_owned()).unwrap();
    config.set("jaeger_agent_port", port.parse::<i64>().unwrap()).unwrap();
    config.set("jaeger_service_name", "till").unwrap();
    send(config);
    let spans = jaeger::decode_datagram(receive(&socket).into()).unwrap().spans;
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].resource.service(), "till");
}

#[test]
fn datadogs_agent_takes_messagepack() {
    let request = request(|receiver| {
        let mut config = Config::new("shop").exporters(["datadog"]);
        config.set("datadog_agent_url", receiver.url()).unwrap();
        config.set("datadog_service", "till").unwrap();
        config.set("datadog_env", "staging").unwrap();
        // A key is not for the agent.
        config.set("datadog_api_key", "dd-1").unwrap();
        config
    });
    assert_eq!(request.line, "PUT /v0.4/traces HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/msgpack"));
    assert_eq!(request.header("x-datadog-trace-count"), Some("1"));
    assert_eq!(request.header("datadog-meta-lang"), Some("rust"));
    assert_eq!(request.header("dd-api-key"), None);
    let spans = decode_v04(request.body.into(), Tracer::default()).unwrap().spans;
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].resource.service(), "till");
    let environment = spans[0].resource.attributes.str("deployment.environment.name");
    assert_eq!(environment, Some("staging"));
}

#[test]
fn datadog_itself_takes_otlp_with_a_key() {
    let request = request(|receiver| {
        let mut config = Config::new("shop").exporters(["datadog"]).api_key("not this one");
        config.set("datadog_api_key", "dd-1").unwrap();
        config.set("datadog_otlp_endpoint", receiver.url()).unwrap();
        config.set("datadog_service", "till").unwrap();
        config
    });
    assert_eq!(request.line, "POST /v1/traces HTTP/1.1");
    assert_eq!(request.header("dd-api-key"), Some("dd-1"));
    assert_eq!(request.header("authorization"), None);
    let spans = decode_traces(request.body.into()).unwrap().spans;
    assert_eq!(spans[0].resource.service(), "till");
    assert_eq!(drawn(&spans), ORDER);
}

#[test]
fn new_relic_and_langtrace_get_otlp_where_and_how_they_document_it() {
    let new_relic = request(|receiver| {
        let mut config = Config::new("shop").endpoint(receiver.url()).header("api-key", "nr-1");
        config.set("otlp_compression", "gzip").unwrap();
        config
    });
    assert_eq!(new_relic.line, "POST /v1/traces HTTP/1.1");
    assert_eq!(new_relic.header("api-key"), Some("nr-1"));
    assert_eq!(new_relic.header("content-encoding"), Some("gzip"));
    let langtrace = request(|receiver| {
        Config::new("shop").endpoint(receiver.url() + "/api/trace").header("x-api-key", "lt-1")
    });
    assert_eq!(langtrace.line, "POST /api/trace HTTP/1.1");
    assert_eq!(langtrace.header("x-api-key"), Some("lt-1"));
    for request in [new_relic, langtrace] {
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(drawn(&decode_traces(request.content().into()).unwrap().spans), ORDER);
    }
}

#[test]
fn xrays_daemon_takes_a_datagram_for_each_span() {
    let (socket, address) = datagrams();
    let mut config = Config::new("shop").exporters(["xray"]);
    config.set("xray_daemon_address", address).unwrap();
    send(config);
    for _ in 0..2 {
        let datagram = receive(&socket);
        assert!(datagram.starts_with(b"{\"format\":\"json\",\"version\":1}\n"));
        assert_eq!(xray::decode_datagram(datagram.into()).unwrap().spans.len(), 1);
    }
}

#[test]
fn several_exporters_each_get_everything() {
    let (first, second) = (Receiver::start([]), Receiver::start([]));
    let mut config = Config::new("shop").endpoint(first.url()).exporters(["otlp", "zipkin"]);
    config.set("zipkin_endpoint", second.url()).unwrap();
    config.set("zipkin_service_name", "till").unwrap();
    send(config);
    let otlp = decode_traces(first.requests(1)[0].body.clone().into()).unwrap().spans;
    let zipkin = zipkin::decode(second.requests(1)[0].body.clone().into()).unwrap().spans;
    assert_eq!((otlp.len(), zipkin.len()), (2, 2));
    assert_eq!(otlp[0].resource.service(), "shop");
    assert_eq!(zipkin[0].resource.service(), "till");
}
