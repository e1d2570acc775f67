//! Records one trace and exports it with the `opentelemetry-otlp` crate.
//!
//! usage: `rust-exporter (grpc|http) ENDPOINT`; prints `{"trace_id":"…"}`.

use std::error::Error;
use std::io::Write;

use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(protocol), Some(endpoint)) = (args.next(), args.next()) else {
        return Err("usage: rust-exporter (grpc|http) ENDPOINT".into());
    };
    // The gRPC exporter needs a runtime; the blocking HTTP client must not be dropped inside one.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let provider = provider(&runtime, &protocol, &endpoint)?;
    let trace_id = record(&provider);
    provider.force_flush()?;
    provider.shutdown()?;
    writeln!(std::io::stdout(), "{{\"trace_id\":\"{trace_id}\"}}")?;
    Ok(())
}

fn provider(
    runtime: &tokio::runtime::Runtime,
    protocol: &str,
    endpoint: &str,
) -> Result<SdkTracerProvider, Box<dyn Error>> {
    let exporter = if protocol == "grpc" {
        let _inside = runtime.enter();
        SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?
    } else {
        SpanExporter::builder().with_http().with_endpoint(endpoint).build()?
    };
    Ok(SdkTracerProvider::builder()
        .with_resource(Resource::builder_empty().with_service_name("rust-shop").build())
        .with_batch_exporter(exporter)
        .build())
}

fn record(provider: &SdkTracerProvider) -> String {
    let tracer = provider.tracer("e2e");
    let order = tracer.start("order");
    let order = Context::new().with_span(order);
    let charge = tracer
        .span_builder("charge")
        .with_kind(SpanKind::Client)
        .with_attributes([KeyValue::new("amount", 12.5), KeyValue::new("items", 3)])
        .start_with_context(&tracer, &order);
    let charge = order.with_span(charge);
    charge.span().add_event("declined", vec![KeyValue::new("code", 51)]);
    charge.span().set_status(Status::error("card declined"));
    charge.span().end();
    order.span().end();
    order.span().span_context().trace_id().to_string()
}
