//! An agent that plans, searches, calls a tool and answers, with every step recorded.
//!
//! It needs no network: the model is played by a function. Its spans are printed, or sent to a
//! Spanwise server with
//!
//! ```sh
//! SPANWISE_TRACE_EXPORTER=otlp cargo run -p spanwise --example agent
//! ```

#![expect(clippy::print_stdout, reason = "it prints its answer")]

use std::time::Duration;

use futures::executor::block_on;
use futures::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};
use spanwise::genai::{self, Document, Message, Usage};
use spanwise::{Config, agent, task, tool, workflow};

const PROVIDER: &str = "openai";
const MODEL: &str = "gpt-4o-mini";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::new("weather-agent");
    if std::env::var_os("SPANWISE_TRACE_EXPORTER").is_none() {
        config = config.exporters(["console"]);
    }
    let spanwise = spanwise::init(config)?;
    let answer = block_on(chat("u-17", "Do I need a coat in Oslo tomorrow?"))?;
    println!("{answer}");
    spanwise.shutdown(Duration::from_secs(5));
    Ok(())
}

/// What a person asks for: the root of the trace.
#[workflow(name = "customer_chat", organization_id = "acme", project_id = "support", user_id = user, err)]
async fn chat(user: &str, question: &str) -> Result<String, String> {
    let notes = recall(question).await;
    let answer = plan(question, &notes).await?;
    Ok(polish(&answer))
}

/// Searches what is known already.
#[task]
async fn recall(question: &str) -> Vec<String> {
    let mut embedding = genai::embedding(PROVIDER, "text-embedding-3-small");
    embedding.dimensions(3).input(&[question]);
    embedding.usage(Usage { input: Some(9), ..Usage::default() });
    drop(embedding);
    let mut search = genai::retrieval("handbook");
    search.query(question).top_k(1);
    let found = search.run(async { "Below 10 °C people want a coat.".to_owned() }).await;
    search.documents(&[Document {
        id: "clothes#3".to_owned(),
        score: Some(0.82),
        content: Some(found.clone()),
    }]);
    vec![found]
}

/// Lets the model choose a tool, uses it, and lets the model answer.
#[agent(name = "forecaster", skip(notes), err)]
async fn plan(question: &str, notes: &[String]) -> Result<String, String> {
    let mut messages =
        vec![Message::system(format!("You know: {}", notes.join(" "))), Message::user(question)];
    let wish = ask(&messages).await;
    messages.push(wish.clone());
    let spanwise::genai::Part::ToolCall { id, arguments, .. } = &wish.parts[0] else {
        return Err("the model wants no tool".to_owned());
    };
    let city = arguments["city"].as_str().ok_or("the model names no city")?;
    messages.push(Message::tool(id, &forecast(city)));
    Ok(answer(&messages).await)
}

/// A call of the model that comes back whole.
async fn ask(messages: &[Message]) -> Message {
    let mut call = genai::chat(PROVIDER, MODEL);
    call.temperature(0.0).messages(messages);
    call.tools(&json!([{"type": "function", "function": {"name": "forecast"}}]));
    let wish = call.run(async { played_wish() }).await;
    call.output(&[&wish]).finish_reasons(&["tool_call"]);
    call.usage(Usage { input: Some(64), output: Some(17), ..Usage::default() });
    wish
}

/// A call of the model that comes back in pieces.
async fn answer(messages: &[Message]) -> String {
    let mut call = genai::chat(PROVIDER, MODEL);
    call.temperature(0.2).messages(messages);
    let mut text = String::new();
    let pieces = call.watch(played_answer(), |call, piece| {
        text.push_str(piece);
        if piece.ends_with('.') {
            call.output(&[Message::assistant(&*text).finished("stop")]).finish_reasons(&["stop"]);
            call.usage(Usage { input: Some(96), output: Some(12), ..Usage::default() });
        }
    });
    pieces.collect::<String>().await
}

/// What the model may use.
#[tool]
fn forecast(city: &str) -> Value {
    json!({"city": city, "celsius": 4.5})
}

#[task]
fn polish(answer: &str) -> String {
    answer.trim().to_owned()
}

fn played_wish() -> Message {
    let mut wish = Message::assistant("").tool_call("call_1", "forecast", &json!({"city": "Oslo"}));
    wish.parts.remove(0);
    wish.finished("tool_call")
}

fn played_answer() -> impl Stream<Item = &'static str> {
    stream::iter(["Yes: it will be ", "4.5 °C in Oslo, ", "so take a coat."])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_and_every_step_is_delivered() {
        let spanwise = spanwise::init(Config::new("agent").exporters(["none"]));
        let spanwise = spanwise.unwrap_or_else(|error| panic!("{error}"));
        let answer = block_on(chat("u-17", "Do I need a coat in Oslo tomorrow?"));
        assert_eq!(answer.as_deref(), Ok("Yes: it will be 4.5 °C in Oslo, so take a coat."));
        assert!(spanwise.shutdown(Duration::from_secs(5)));
        assert_eq!(spanwise.metrics().spans_exported, 9);
    }
}
