//! What was counted, as Prometheus wants it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use super::{Call, Counts, Histogram, MAX_MODELS, Metrics, OVERHEAD, OfCalls, SECONDS, TOKENS};
use crate::balance::BreakerState;
use crate::config::Profile;
use crate::gateway::State;

/// A metric with all its series.
#[derive(Clone, Debug)]
pub struct Family {
    /// Its whole name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Its samples.
    pub samples: Vec<Sample>,
}

/// One number.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What follows the family's name: `_bucket`, `_sum`, `_count`, or nothing.
    pub suffix: &'static str,
    /// Labels and their values.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: f64,
}

impl Family {
    pub(super) fn new(name: &'static str, kind: &'static str, help: &'static str) -> Self {
        Family { name, kind, help, samples: Vec::new() }
    }

    fn with(mut self, labels: Vec<(&'static str, String)>, value: f64) -> Self {
        self.samples.push(Sample { suffix: "", labels, value });
        self
    }

    pub(super) fn histogram<const N: usize>(
        &mut self,
        labels: &[(&'static str, String)],
        bounds: &[f64; N],
        histogram: &Histogram<N>,
    ) {
        if histogram.count == 0 {
            return;
        }
        let mut below = 0;
        let mut push = |suffix, labels, value| self.samples.push(Sample { suffix, labels, value });
        let with = |bound: String| {
            let mut labels = labels.to_vec();
            labels.push(("le", bound));
            labels
        };
        for (bound, n) in bounds.iter().zip(histogram.buckets) {
            below += n;
            push("_bucket", with(bound.to_string()), below as f64);
        }
        push("_bucket", with("+Inf".to_owned()), histogram.count as f64);
        push("_sum", labels.to_vec(), histogram.sum);
        push("_count", labels.to_vec(), histogram.count as f64);
    }
}

/// Everything that there is to say about a gateway now.
pub fn families(state: &State) -> Vec<Family> {
    let metrics = &state.metrics;
    let counts = metrics.counts();
    let mut families = counts.of_exchanges();
    families.extend(counts.of_calls(state.tracer.profile));
    drop(counts);
    families.extend(metrics.of_gateway());
    families.extend(of_targets(state));
    families.extend(of_spans(state));
    families
}

fn counter(name: &'static str, help: &'static str) -> Family {
    Family::new(name, "counter", help)
}

fn gauge(name: &'static str, help: &'static str) -> Family {
    Family::new(name, "gauge", help)
}

impl Counts {
    fn of_exchanges(&self) -> Vec<Family> {
        let mut requests = Family::new(
            "spanwise_gateway_request_duration_seconds",
            "histogram",
            "requests of clients from the first byte to the last; status 0 had no answer",
        );
        for ((route, status), histogram) in sorted(&self.requests) {
            let labels = [("route", route.to_string()), ("status", status.to_string())];
            requests.histogram(&labels, &SECONDS, histogram);
        }
        let mut overhead = Family::new(
            "spanwise_gateway_overhead_seconds",
            "histogram",
            "the gateway's own part of the time of a request",
        );
        overhead.histogram(&[], &OVERHEAD, &self.overhead);
        let mut attempts = counter(
            "spanwise_gateway_attempts_total",
            "requests to upstreams; error_type is empty where they went well",
        );
        for ((upstream, error), n) in sorted(&self.attempts) {
            let labels =
                vec![("upstream", upstream.to_string()), ("error_type", error.to_string())];
            attempts = attempts.with(labels, *n as f64);
        }
        let mut retries = counter(
            "spanwise_gateway_retries_total",
            "attempts after the first, by where they went",
        );
        for (upstream, n) in sorted(&self.retries) {
            retries = retries.with(vec![("upstream", upstream.to_string())], *n as f64);
        }
        let cached = counter("spanwise_gateway_cached_total", "answers out of the cache")
            .with(Vec::new(), self.cached as f64);
        vec![requests, overhead, attempts, retries, cached]
    }

    /// Calls of models, under the newest names, those of 1.41, or both, as their spans are.
    fn of_calls(&self, profile: Profile) -> Vec<Family> {
        const DURATION: &str = "time of a call of a model, with all attempts";
        const FIRST: &str = "time until the first piece of content of a stream";
        let calls = sorted(&self.calls);
        let mut families = Vec::new();
        let mut histogram = |name, help, bounds: &[f64; 14], of: fn(&OfCalls) -> &Histogram<14>| {
            let mut family = Family::new(name, "histogram", help);
            for (call, of_calls) in &calls {
                family.histogram(&call.labels(), bounds, of(of_calls));
            }
            families.push(family);
        };
        if profile != Profile::GenAi141 {
            let name = "gen_ai_client_inference_duration_seconds";
            histogram(name, DURATION, &SECONDS, |of| &of.duration);
            let name = "gen_ai_client_inference_time_to_first_chunk_seconds";
            histogram(name, FIRST, &SECONDS, |of| &of.first_chunk);
            let name = "gen_ai_client_inference_operation_input_tokens";
            histogram(name, "tokens into a model, of one call", &TOKENS, |of| &of.input);
            let name = "gen_ai_client_inference_operation_output_tokens";
            histogram(name, "tokens out of a model, of one call", &TOKENS, |of| &of.output);
        }
        if profile != Profile::Strict {
            let name = "gen_ai_client_operation_duration_seconds";
            histogram(name, DURATION, &SECONDS, |of| &of.duration);
            let name = "gen_ai_client_operation_time_to_first_chunk_seconds";
            histogram(name, FIRST, &SECONDS, |of| &of.first_chunk);
            families.push(token_usage(&calls));
        }
        families.extend(usage(&calls));
        families
    }
}

/// Tokens of both kinds under one name, as OpenTelemetry had it up to 1.41.
fn token_usage(calls: &[(&Call, &OfCalls)]) -> Family {
    let help = "tokens of one call of a model";
    let mut family = Family::new("gen_ai_client_token_usage", "histogram", help);
    for (call, of_calls) in calls {
        for (kind, histogram) in [("input", &of_calls.input), ("output", &of_calls.output)] {
            let mut labels = call.labels();
            labels.push(("gen_ai_token_type", kind.to_owned()));
            family.histogram(&labels, &TOKENS, histogram);
        }
    }
    family
}

fn usage(calls: &[(&Call, &OfCalls)]) -> impl Iterator<Item = Family> {
    type Column = (&'static str, &'static str, fn(&OfCalls) -> f64);
    const COLUMNS: [Column; 6] = [
        ("gen_ai_client_inference_usage_input_tokens_total", "tokens into models", |of| {
            of.input.sum
        }),
        ("gen_ai_client_inference_usage_output_tokens_total", "tokens out of models", |of| {
            of.output.sum
        }),
        (
            "gen_ai_client_inference_usage_cache_read_input_tokens_total",
            "of those into models, read from a provider's cache",
            |of| of.cache_read as f64,
        ),
        (
            "gen_ai_client_inference_usage_cache_write_input_tokens_total",
            "of those into models, written to a provider's cache",
            |of| of.cache_write as f64,
        ),
        (
            "gen_ai_client_inference_usage_reasoning_output_tokens_total",
            "of those out of models, reasoning",
            |of| of.reasoning as f64,
        ),
        ("spanwise_gateway_cost_usd_total", "what calls of models cost, as far as known", |of| {
            of.nano_usd as f64 / 1e9
        }),
    ];
    COLUMNS.into_iter().map(|(name, help, column)| {
        let used = calls.iter().filter(|(_, of_calls)| column(of_calls) > 0.0);
        let sum = |family: Family, (call, of_calls): &(&Call, &OfCalls)| {
            family.with(call.labels(), column(of_calls))
        };
        used.fold(counter(name, help), sum)
    })
}

impl Call {
    fn labels(&self) -> Vec<(&'static str, String)> {
        let mut labels = vec![
            ("gen_ai_operation_name", self.operation.to_owned()),
            ("gen_ai_provider_name", self.provider.to_string()),
            ("gen_ai_request_model", self.model.to_string()),
        ];
        labels.extend(self.error.iter().map(|error| ("error_type", error.to_string())));
        labels
    }
}

impl Metrics {
    fn of_gateway(&self) -> [Family; 4] {
        let by = |family: Family, label, counts: &Mutex<BTreeMap<&'static str, u64>>| {
            let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.iter().fold(family, |family, (value, n)| {
                family.with(vec![(label, (*value).to_owned())], *n as f64)
            })
        };
        let reloads = [("ok", &self.reloads), ("failed", &self.failed_reloads)];
        let help = "changes of the configuration; with a mistake in it the old one stayed";
        let reloads = reloads.into_iter().fold(
            counter("spanwise_gateway_config_reloads_total", help),
            |family, (outcome, n)| {
                family.with(vec![("outcome", outcome.to_owned())], n.load(Relaxed) as f64)
            },
        );
        let help = "requests that were not served, by the reason";
        let refused = counter("spanwise_gateway_refused_total", help);
        let help = "headers of trace context that made no sense and were ignored";
        let problems = counter("spanwise_gateway_bad_trace_context_total", help);
        let panics = counter("spanwise_gateway_panics_total", "faults of the gateway's own");
        [
            reloads,
            by(refused, "reason", &self.refused),
            by(problems, "header", &self.context_problems),
            panics.with(Vec::new(), self.panics.load(Relaxed) as f64),
        ]
    }
}

/// How upstreams fare, and how many requests are under way.
fn of_targets(state: &State) -> Vec<Family> {
    let in_flight = state.admission.in_flight() as f64;
    let waiting = state.admission.waiting() as f64;
    let mut busy = gauge("spanwise_gateway_target_in_flight", "requests under way at a target");
    let mut open = gauge(
        "spanwise_gateway_breaker_open",
        "1 while a target is left alone, 0.5 while one request tries it",
    );
    let mut denied = gauge(
        "spanwise_gateway_credential_breaker_open",
        "the same for the credential that the target is used with",
    );
    let openness = |state| match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 0.5,
        BreakerState::Open { .. } => 1.0,
    };
    for target in state.plan.targets().iter().take(MAX_MODELS) {
        let label = || vec![("target", target.name().to_string())];
        busy = busy.with(label(), f64::from(target.in_flight()));
        open = open.with(label(), openness(target.state()));
        denied = denied.with(label(), openness(target.credential().state()));
    }
    vec![
        gauge("spanwise_gateway_requests_in_flight", "requests that are being served")
            .with(Vec::new(), in_flight),
        gauge("spanwise_gateway_requests_waiting", "requests that wait for their turn")
            .with(Vec::new(), waiting),
        busy,
        open,
        denied,
    ]
}

/// What became of the gateway's own spans.
fn of_spans(state: &State) -> Vec<Family> {
    let Some(recorder) = &state.tracer.recorder else { return Vec::new() };
    let spans = recorder.metrics();
    let mut dropped = counter("spanwise_gateway_spans_dropped_total", "spans lost, by the reason");
    for (reason, n) in [
        ("queue_full", spans.dropped_queue_full),
        ("undelivered", spans.dropped_undelivered),
        ("rejected", spans.dropped_rejected),
        ("after_shutdown", spans.dropped_after_shutdown),
    ] {
        dropped = dropped.with(vec![("reason", reason.to_owned())], n as f64);
    }
    let exported = counter("spanwise_gateway_spans_exported_total", "spans delivered");
    let waiting = gauge("spanwise_gateway_spans_waiting", "spans that wait to be delivered");
    let errors =
        counter("spanwise_gateway_export_errors_total", "attempts to deliver spans that failed");
    vec![
        exported.with(Vec::new(), spans.spans_exported as f64),
        dropped,
        waiting.with(Vec::new(), spans.queue_size as f64),
        errors.with(Vec::new(), spans.export_errors as f64),
    ]
}

fn sorted<K: Ord, V>(map: &HashMap<K, V>) -> Vec<(&K, &V)> {
    let mut all: Vec<_> = map.iter().collect();
    all.sort_by(|one, other| one.0.cmp(other.0));
    all
}
