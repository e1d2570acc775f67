//! An agent of 50 turns, each of which re-sends its history: what is stored against what was sent.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use spanwise_model::wire::otlp::encode_traces;
use spanwise_model::{Attributes, Kind, Resource, Scope, Span, SpanId, Status, Str, TraceId};

use crate::dice::Dice;
use crate::http::Connection;
use crate::ingest::{post, unix_nanos};
use crate::server::{Server, fresh_folder};
use crate::table::{self, verdict};
use crate::workload::{Prose, SECOND, message};
use crate::{Outcome, Target, disk, disk::Kinds, row};

const TURNS: usize = 50;
const BAR: f64 = 15.0;
/// Sealed within a second, so that segments can be weighed.
const CONFIG: &str = "store: {seal_after: 1s}\n";

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
}

/// How instrumentations write down messages.
#[derive(Clone, Copy)]
enum Dialect {
    /// One attribute with a JSON array.
    OneAttribute,
    /// An attribute per part of a message.
    Flattened,
}

pub fn run(options: &Options) -> Outcome<()> {
    let mut rows = vec![row![
        "conversations",
        "sent",
        "stored",
        "of it text index",
        "sent ÷ stored",
        "bar",
        ""
    ]];
    for (what, dialect, n_conversations) in [
        ("one, `gen_ai.input.messages`", Dialect::OneAttribute, 1),
        ("twenty, `gen_ai.input.messages`", Dialect::OneAttribute, 20),
        ("one, `llm.input_messages.N`", Dialect::Flattened, 1),
        ("twenty, `llm.input_messages.N`", Dialect::Flattened, 20),
    ] {
        let (sent, kinds) = weigh(options, dialect, n_conversations)?;
        let stored = disk::without_log(&kinds);
        let index = table::bytes(kinds.get("text/").copied().unwrap_or_default());
        let ratio = sent as f64 / stored as f64;
        let met = verdict(ratio >= BAR);
        rows.push(row![
            what,
            table::bytes(sent),
            table::bytes(stored),
            index,
            format!("{ratio:.1}×"),
            "≥ 15×",
            met
        ]);
    }
    table::print("An agent of 50 turns that re-sends its history", &rows);
    Ok(())
}

fn weigh(options: &Options, dialect: Dialect, n_conversations: u64) -> Outcome<(u64, Kinds)> {
    fresh_folder(&options.target.data_dir)?;
    let server = Server::start(&options.target, CONFIG)?;
    let mut connection = Connection::open(&server.otlp)?;
    let prose = Prose::new(3);
    let mut sent = 0;
    for number in 0..n_conversations {
        for span in conversation(&prose, dialect, number) {
            let body = encode_traces([&span]);
            sent += body.len() as u64;
            while !post(&mut connection, &body)? {
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
    wait_for_index(&server)?;
    server.settle(Duration::from_mins(1))?;
    server.stop()?;
    Ok((sent, disk::by_kind(&options.target.data_dir)?))
}

/// Waits until everything is sealed, and indexed where an index pays.
fn wait_for_index(server: &Server) -> Outcome<()> {
    let deadline = Instant::now() + Duration::from_mins(2);
    while server.gauge("live_rows")? + server.gauge("text_pending_rows")? > 0.0 {
        if Instant::now() > deadline {
            return Err("not everything was sealed and indexed within two minutes".into());
        }
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// The model calls of one conversation.
fn conversation(prose: &Prose, dialect: Dialect, number: u64) -> Vec<Span> {
    let mut dice = Dice::new(number);
    let start = unix_nanos() - 600 * SECOND;
    let resource = Resource {
        attributes: [("service.name", "long-agent")].into_iter().collect(),
        ..Resource::default()
    };
    let (resource, scope) = (Arc::new(resource), Arc::new(Scope::default()));
    let trace_id = TraceId::from_bytes(&[dice.bits().to_be_bytes(), [1; 8]].concat());
    let mut history = vec![("system", prose.cut(&mut dice, 1200).to_owned())];
    (0..TURNS)
        .filter_map(|turn| {
            history.push(("user", prose.cut(&mut dice, 350).to_owned()));
            let answer = prose.cut(&mut dice, 700).to_owned();
            let began = start + turn as u64 * 10 * SECOND;
            let span = Span {
                trace_id: trace_id.ok()?,
                span_id: SpanId::from_bytes(&(dice.bits() | 1).to_be_bytes()).ok()?,
                parent_span_id: None,
                trace_state: Str::new(),
                flags: 1,
                name: Str::from_static("chat gpt-4o"),
                kind: Kind::Client,
                start_time_unix_nano: began,
                end_time_unix_nano: began + 3 * SECOND,
                attributes: attributes(dialect, &history, &answer),
                dropped_attributes_count: 0,
                events: Vec::new(),
                dropped_events_count: 0,
                links: Vec::new(),
                dropped_links_count: 0,
                status: Status::default(),
                resource: Arc::clone(&resource),
                scope: Arc::clone(&scope),
            };
            history.push(("assistant", answer));
            Some(span)
        })
        .collect()
}

fn attributes(dialect: Dialect, history: &[(&str, String)], answer: &str) -> Attributes {
    let mut attributes = Attributes::default();
    match dialect {
        Dialect::OneAttribute => {
            let messages: Vec<_> = history.iter().map(|(role, text)| message(role, text)).collect();
            attributes.push("gen_ai.operation.name", "chat");
            attributes.push("gen_ai.request.model", "gpt-4o");
            attributes.push("gen_ai.usage.input_tokens", (history.len() * 130) as i64);
            attributes.push("gen_ai.input.messages", format!("[{}]", messages.join(",")));
            attributes
                .push("gen_ai.output.messages", format!("[{}]", message("assistant", answer)));
        }
        Dialect::Flattened => {
            attributes.push("openinference.span.kind", "LLM");
            attributes.push("llm.model_name", "gpt-4o");
            attributes.push("llm.token_count.prompt", (history.len() * 130) as i64);
            for (number, (role, text)) in history.iter().enumerate() {
                let prefix = format!("llm.input_messages.{number}.message");
                attributes.push(format!("{prefix}.role"), (*role).to_owned());
                attributes.push(format!("{prefix}.content"), text.clone());
            }
            attributes.push("llm.output_messages.0.message.role", "assistant");
            attributes.push("llm.output_messages.0.message.content", answer.to_owned());
        }
    }
    attributes
}
