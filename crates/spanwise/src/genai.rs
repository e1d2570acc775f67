//! Calls of models and what belongs to them, under OpenTelemetry's names for generative AI.
//!
//! A call starts when it is made here and ends when it is dropped. What is set on it in between is
//! written at once; nothing is turned into JSON when the trace is not recorded, or content of its
//! sort is switched off.
//!
//! ```
//! # let recorder = spanwise::Recorder::new(Default::default());
//! # spanwise::set_default(Some(recorder));
//! use spanwise::genai::{self, Message, Usage};
//!
//! let mut chat = genai::chat("openai", "gpt-4o");
//! chat.temperature(0.2).messages(&[Message::system("Be brief."), Message::user("Why?")]);
//! // … the model is called, inside the span:
//! let answer = chat.scope(|| "Because.");
//! chat.output(&[Message::assistant(answer).finished("stop")])
//!     .response_model("gpt-4o-2024-08-06")
//!     .usage(Usage { input: Some(17), output: Some(2), ..Usage::default() });
//! ```

mod message;
mod stream;

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Instant;

use serde::Serialize;
use spanwise_model::Kind;
use spanwise_model::content::Class;

pub use self::message::{Message, Part};
pub use self::stream::Watched;
use crate::context::Context;
use crate::recording::Start;
use crate::span::{Span, start};
use crate::value::ToValue;

/// Starts a call of a chat model: the span `chat <model>`.
pub fn chat(provider: &str, model: &str) -> Chat {
    Chat(Call::of_model("chat", provider, model))
}

/// Starts the making of embeddings: the span `embeddings <model>`.
pub fn embedding(provider: &str, model: &str) -> Embedding {
    Embedding(Call::of_model("embeddings", provider, model))
}

/// Starts the execution of a tool: the span `execute_tool <name>`.
pub fn tool(name: &str) -> Tool {
    let mut call = Call::start("execute_tool", name, Kind::Internal);
    call.span.set("gen_ai.tool.name", name);
    Tool(call)
}

/// Starts a search for documents in a source, such as a vector index: the span
/// `retrieval <source>`.
pub fn retrieval(source: &str) -> Retrieval {
    let mut call = Call::start("retrieval", source, Kind::Client);
    call.span.set("gen_ai.data_source.id", source);
    Retrieval(call)
}

/// A call of a chat model. See [`chat`].
#[derive(Debug)]
#[must_use = "a call ends when it is dropped"]
pub struct Chat(Call);

/// The making of embeddings. See [`embedding`].
#[derive(Debug)]
#[must_use = "a call ends when it is dropped"]
pub struct Embedding(Call);

/// The execution of a tool. See [`tool`].
#[derive(Debug)]
#[must_use = "a call ends when it is dropped"]
pub struct Tool(Call);

/// A search for documents. See [`retrieval`].
#[derive(Debug)]
#[must_use = "a call ends when it is dropped"]
pub struct Retrieval(Call);

/// How many tokens a call took. Numbers include their parts: `input` what was read from a cache,
/// `output` what was thought. What is not known stays `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All that the model was given.
    pub input: Option<u64>,
    /// All that it made.
    pub output: Option<u64>,
    /// Of the input, what was read from a cache.
    pub cache_read: Option<u64>,
    /// Of the input, what was written to a cache.
    pub cache_write: Option<u64>,
    /// Of the output, what was reasoning.
    pub reasoning: Option<u64>,
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Document {
    /// What the source calls it.
    pub id: String,
    /// How well it fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// What all calls have in common.
#[derive(Debug)]
struct Call {
    span: Span,
    started: Instant,
    has_first_token: bool,
}

impl Call {
    fn start(operation: &str, what: &str, kind: Kind) -> Self {
        let mut name = String::with_capacity(operation.len() + 1 + what.len());
        name.push_str(operation);
        if !what.is_empty() {
            name.push(' ');
            name.push_str(what);
        }
        let mut span = start(&Start::named(&name).kind(kind));
        span.set("gen_ai.operation.name", operation);
        Call { span, started: Instant::now(), has_first_token: false }
    }

    fn of_model(operation: &str, provider: &str, model: &str) -> Self {
        let mut call = Self::start(operation, model, Kind::Client);
        call.span
            .set("gen_ai.provider.name", provider)
            .set("gen_ai.request.model", model)
            .set("llm.provider", provider)
            .set("llm.model", model);
        call
    }

    /// Writes content as JSON, if content of one of these classes is recorded.
    fn json(&mut self, classes: &[Class], key: &str, value: &(impl Serialize + ?Sized)) {
        if classes.iter().any(|class| self.span.records(*class))
            && let Ok(json) = serde_json::to_string(value)
        {
            self.span.set(key, json);
        }
    }

    fn text(&mut self, class: Class, key: &str, text: &str) {
        if self.span.records(class) {
            self.span.set(key, text);
        }
    }

    fn usage(&mut self, usage: Usage) {
        self.span
            .set("gen_ai.usage.input_tokens", usage.input)
            .set("gen_ai.usage.output_tokens", usage.output)
            .set("gen_ai.usage.cache_read.input_tokens", usage.cache_read)
            .set("gen_ai.usage.cache_creation.input_tokens", usage.cache_write)
            .set("gen_ai.usage.reasoning.output_tokens", usage.reasoning);
    }
}

/// Methods of all four sorts of calls.
macro_rules! calls {
    ($($call:ident),*) => {$(
        impl $call {
            /// Sets any other attribute.
            pub fn set(&mut self, key: &str, value: impl ToValue) -> &mut Self {
                self.0.span.set(key, value);
                self
            }

            /// Records that it failed, with the error and what caused it.
            pub fn error(&mut self, error: &dyn Error) -> &mut Self {
                self.0.span.error(error);
                self
            }

            /// Records that it failed: OpenTelemetry's `error.type`, such as the status of an HTTP
            /// answer, and a few words.
            pub fn failed(&mut self, kind: &str, reason: &str) -> &mut Self {
                self.0.span.set("error.type", kind).failed(reason);
                self
            }

            /// Whether what is set on it goes anywhere.
            pub fn is_recording(&self) -> bool {
                self.0.span.is_recording()
            }

            /// What identifies its span.
            pub fn context(&self) -> Option<&Context> {
                self.0.span.context()
            }

            /// Runs `work` inside its span.
            pub fn scope<R>(&mut self, work: impl FnOnce() -> R) -> R {
                let entered = self.0.span.lend();
                let result = work();
                self.0.span.take_back(entered);
                result
            }

            /// Runs a future inside its span, which stays open.
            ///
            /// ```
            /// # futures::executor::block_on(async {
            /// let mut call = spanwise::genai::tool("weather");
            /// let answer = call.run(async { 14.5 }).await;
            /// call.set("temperature", answer);
            /// # });
            /// ```
            pub async fn run<F: Future>(&mut self, work: F) -> F::Output {
                let mut work = pin!(work);
                poll_fn(|task| self.scope(|| work.as_mut().poll(task))).await
            }

            /// Its span, to be entered or to put a future into it.
            pub fn into_span(self) -> Span {
                self.0.span
            }
        }
    )*};
}

calls!(Chat, Embedding, Tool, Retrieval);

/// Setters that do nothing but set an attribute.
macro_rules! setters {
    ($call:ident { $($(#[$doc:meta])* $name:ident: $type:ty => $($key:literal),+;)* }) => {
        impl $call {
            $($(#[$doc])* pub fn $name(&mut self, value: $type) -> &mut Self {
                $(self.0.span.set($key, value);)+
                self
            })*
        }
    };
}

setters! { Chat {
    /// How freely it chooses among likely words.
    temperature: f64 => "gen_ai.request.temperature", "llm.temperature";
    /// From how much of the probability it chooses.
    top_p: f64 => "gen_ai.request.top_p";
    /// Among how many words it chooses.
    top_k: f64 => "gen_ai.request.top_k";
    /// How many tokens it may make.
    max_tokens: u64 => "gen_ai.request.max_tokens";
    /// What makes the answer repeatable.
    seed: i64 => "gen_ai.request.seed";
    /// What frequent words cost.
    frequency_penalty: f64 => "gen_ai.request.frequency_penalty";
    /// What words that were used cost.
    presence_penalty: f64 => "gen_ai.request.presence_penalty";
    /// Where it has to stop.
    stop_sequences: &[&str] => "gen_ai.request.stop_sequences";
    /// How many answers it is to give.
    choice_count: u32 => "gen_ai.request.choice.count";
    /// Whether the answer comes in pieces.
    streams: bool => "gen_ai.request.stream";
    /// What the answer has to be: `text`, `json`, …
    output_type: &str => "gen_ai.output.type";
    /// Which conversation this is a turn of.
    conversation: &str => "gen_ai.conversation.id";
    /// The model that answered.
    response_model: &str => "gen_ai.response.model";
    /// What the provider calls the answer.
    response_id: &str => "gen_ai.response.id";
    /// Why it stopped, one for each answer.
    finish_reasons: &[&str] => "gen_ai.response.finish_reasons";
}}

impl Chat {
    /// What the model is given: [`Message`]s, or the provider's own in its own form.
    pub fn messages(&mut self, messages: &(impl Serialize + ?Sized)) -> &mut Self {
        let classes = [Class::UserInput, Class::SystemPrompt, Class::LlmInput];
        self.0.json(&classes, "gen_ai.input.messages", messages);
        self
    }

    /// System text that is given apart from the messages.
    pub fn system(&mut self, text: &str) -> &mut Self {
        let parts = [Part::Text { content: text.to_owned() }];
        self.0.json(&[Class::SystemPrompt], "gen_ai.system_instructions", &parts);
        self
    }

    /// The tools that the model may use, as the provider wants them described.
    pub fn tools(&mut self, definitions: &(impl Serialize + ?Sized)) -> &mut Self {
        self.0.json(&[Class::LlmInput], "gen_ai.tool.definitions", definitions);
        self
    }

    /// What the model answered.
    pub fn output(&mut self, messages: &(impl Serialize + ?Sized)) -> &mut Self {
        self.0.json(&[Class::LlmOutput], "gen_ai.output.messages", messages);
        self
    }

    /// How many tokens it took.
    pub fn usage(&mut self, usage: Usage) -> &mut Self {
        self.0.usage(usage);
        self
    }

    /// Notes that the first piece of the answer is here; only the first time counts.
    pub fn first_token(&mut self) -> &mut Self {
        if !std::mem::replace(&mut self.0.has_first_token, true) {
            let seconds = self.0.started.elapsed().as_secs_f64();
            self.0.span.set("gen_ai.response.time_to_first_chunk", seconds);
        }
        self
    }

    /// Follows an answer that comes in pieces: the stream is polled inside the span, the first
    /// item is the first token, `each` sees every item, and the span ends with the stream or when
    /// the stream is dropped before its end.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use futures::{StreamExt as _, stream};
    /// use spanwise::genai::{self, Message};
    ///
    /// let mut text = String::new();
    /// let pieces = stream::iter(["Be", "cause", "."]);
    /// let answer = genai::chat("openai", "gpt-4o").watch(pieces, |chat, piece| {
    ///     text.push_str(piece);
    ///     if *piece == "." {
    ///         chat.output(&[Message::assistant(&*text)]);
    ///     }
    /// });
    /// assert_eq!(answer.count().await, 3);
    /// # });
    /// ```
    pub fn watch<S, F>(mut self, stream: S, each: F) -> Watched<S, F>
    where
        S: futures_core::Stream,
        F: FnMut(&mut Chat, &S::Item),
    {
        self.streams(true);
        Watched::new(self, stream, each)
    }
}

setters! { Embedding {
    /// How many numbers an embedding has.
    dimensions: u64 => "gen_ai.embeddings.dimension.count";
    /// The model that answered.
    response_model: &str => "gen_ai.response.model";
}}

impl Embedding {
    /// The texts.
    pub fn input(&mut self, texts: &(impl Serialize + ?Sized)) -> &mut Self {
        self.0.json(&[Class::LlmInput], "input.value", texts);
        self
    }

    /// How many tokens it took.
    pub fn usage(&mut self, usage: Usage) -> &mut Self {
        self.0.usage(usage);
        self
    }
}

setters! { Tool {
    /// What the model called this call.
    call_id: &str => "gen_ai.tool.call.id";
    /// What it is for.
    description: &str => "gen_ai.tool.description";
    /// `function`, `extension` or `datastore`.
    sort: &str => "gen_ai.tool.type";
}}

impl Tool {
    /// What it is called with.
    pub fn arguments(&mut self, arguments: &(impl Serialize + ?Sized)) -> &mut Self {
        self.0.json(&[Class::ToolInput], "gen_ai.tool.call.arguments", arguments);
        self
    }

    /// What it gave.
    pub fn result(&mut self, result: &(impl Serialize + ?Sized)) -> &mut Self {
        self.0.json(&[Class::ToolOutput], "gen_ai.tool.call.result", result);
        self
    }
}

setters! { Retrieval {
    /// How many documents are wanted.
    top_k: u64 => "gen_ai.request.top_k";
}}

impl Retrieval {
    /// What is looked for.
    pub fn query(&mut self, text: &str) -> &mut Self {
        self.0.text(Class::ToolInput, "gen_ai.retrieval.query.text", text);
        self
    }

    /// What was found.
    pub fn documents(&mut self, documents: &[Document]) -> &mut Self {
        self.0.span.set("returned", documents.len());
        self.0.json(&[Class::ToolOutput], "gen_ai.retrieval.documents", documents);
        self
    }
}
