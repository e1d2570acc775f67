//! Asks a store that `generate` filled what people ask, over HTTP, and compares with the bars.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use crate::dice::Dice;
use crate::generate::n_traces;
use crate::http::{Connection, escape};
use crate::ingest::memory;
use crate::server::Server;
use crate::table::{self, ms, quantile, verdict};
use crate::workload::{RARE_PHRASE, SERVICES, trace_id};
use crate::{Outcome, Target, row};

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// What `generate` was told
    #[arg(long, default_value = "10000000")]
    spans: u64,
    /// How often each query is asked
    #[arg(long, default_value = "40")]
    repeat: usize,
}

/// One question, in variations so that no answer can be remembered.
struct Question {
    what: &'static str,
    times: usize,
    /// The bar on the median.
    bar: Option<Duration>,
    path: Box<dyn Fn(&mut Dice) -> String>,
    /// How many rows the answer has.
    rows: fn(&Value) -> usize,
}

pub fn run(options: &Options) -> Outcome<()> {
    let server = Server::start(&options.target, "")?;
    let at_start = server.memory()?;
    let mut connection = Connection::open(&server.api)?;
    let mut rows = vec![row!["query", "rows", "first", "p50", "p99", "bar", ""]];
    for question in questions(options) {
        rows.push(ask(&mut connection, &question)?);
    }
    table::print(&format!("Queries over about {} spans", options.spans), &rows);
    server.settle(Duration::from_mins(2))?;
    println!(
        "\nmemory: {} at start, {} after the queries",
        memory(at_start),
        memory(server.memory()?)
    );
    server.stop()
}

fn questions(options: &Options) -> Vec<Question> {
    let n_traces = n_traces(options.spans);
    let times = options.repeat;
    let list = |what, bar, q: fn(&mut Dice) -> String| Question {
        what,
        times,
        bar,
        path: Box::new(move |dice| format!("/api/v1/traces?limit=50&q={}", escape(&q(dice)))),
        rows: |answer| array_length(&answer["traces"]),
    };
    vec![
        Question {
            what: "trace by id",
            times: times * 10,
            bar: Some(Duration::from_millis(10)),
            path: Box::new(move |dice| {
                format!("/api/v1/traces/{}", trace_id(dice.below(n_traces as usize) as u64))
            }),
            rows: |answer| array_length(&answer["spans"]),
        },
        list("newest 50", None, |_| String::new()),
        list("newest 50, service + status + duration", Some(Duration::from_millis(50)), |dice| {
            let service = SERVICES[dice.below(SERVICES.len())];
            format!("service:{service} status:error duration:>{}ms", dice.between(900, 1400))
        }),
        list("newest 50 of a rare phrase", Some(Duration::from_millis(150)), |_| {
            format!("\"{RARE_PHRASE}\"")
        }),
        list("newest 50 of a common word", None, |_| "assistant".into()),
        list("newest 50 of one user", None, |dice| format!("user:user-{}", dice.below(20_000))),
        list("newest 50 of one attribute value", None, |dice| {
            format!("db.response.returned_rows:{}", dice.between(1, 20))
        }),
        Question {
            what: "p95 latency and cost by model, everything",
            times,
            bar: Some(Duration::from_millis(400)),
            path: Box::new(|_| "/api/v1/stats?measure=duration_p95,cost_usd&group_by=model".into()),
            rows: |answer| array_length(&answer["series"]),
        },
        Question {
            what: "p95 latency and cost by model, failed calls",
            times,
            bar: None,
            path: Box::new(|_| {
                let q = escape("status:error");
                format!("/api/v1/stats?measure=duration_p95,cost_usd&group_by=model&q={q}")
            }),
            rows: |answer| array_length(&answer["series"]),
        },
    ]
}

fn array_length(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

fn ask(connection: &mut Connection, question: &Question) -> Outcome<Vec<String>> {
    let mut dice = Dice::new(99);
    let (mut times, mut n_rows) = (Vec::new(), 0);
    for _ in 0..question.times {
        let path = (question.path)(&mut dice);
        let started = Instant::now();
        let body = connection.get(&path)?.success().map_err(|error| format!("{path}: {error}"))?;
        times.push(started.elapsed());
        n_rows = n_rows.max((question.rows)(&serde_json::from_slice(&body)?));
    }
    let first = times.first().copied().unwrap_or_default();
    times.sort_unstable();
    let p50 = quantile(&times, 0.5);
    let bar = question.bar.map_or_else(String::new, |bar| format!("p50 ≤ {} ms", bar.as_millis()));
    let met = question.bar.map_or("", |bar| verdict(p50 <= bar && n_rows > 0));
    Ok(row![question.what, n_rows, ms(first), ms(p50), ms(quantile(&times, 0.99)), bar, met])
}
