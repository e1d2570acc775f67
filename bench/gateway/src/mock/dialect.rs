//! The well-formed answers of the dialects that the mock speaks.
//!
//! Texts, ids and counts follow from the number of the request alone, so that whoever has seen an
//! answer's id knows what usage it must have led to.

use std::fmt::Write as _;

use serde::Deserialize;
use spanwise_model::genai::Usage;

use super::reply::Piece;
use super::script::{Counts, Script};

const CHAT_ID: &str = "chatcmpl-mock-";
const RESPONSE_ID: &str = "resp_mock_";
const MESSAGE_ID: &str = "msg_mock_";
const SENTENCE: &str = "The quick brown fox measures twice and cuts once. ";
const CREATED: u64 = 1_767_225_600;

/// Where the time of leaving stands in events that carry a clock.
pub(super) const CLOCK: &str = "fp_0000000000000000";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Chat,
    Responses,
    Embeddings,
    Messages,
    CountTokens,
    Models,
    /// Any other path: an agent that tells what it was asked.
    Other,
}

impl Endpoint {
    pub(super) fn of(path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        let ends: [(&str, Endpoint); 6] = [
            ("/chat/completions", Endpoint::Chat),
            ("/responses", Endpoint::Responses),
            ("/embeddings", Endpoint::Embeddings),
            ("/messages", Endpoint::Messages),
            ("/messages/count_tokens", Endpoint::CountTokens),
            ("/models", Endpoint::Models),
        ];
        let found = ends.into_iter().find(|(end, _)| path.ends_with(end));
        found.map_or(Endpoint::Other, |(_, endpoint)| endpoint)
    }

    fn is_anthropic(self) -> bool {
        matches!(self, Endpoint::Messages | Endpoint::CountTokens)
    }
}

/// What a request says that its answer depends on.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    pub(super) model: String,
    #[serde(default)]
    pub(super) stream: bool,
    stream_options: Option<StreamOptions>,
    encoding_format: Option<String>,
    input: Option<Input>,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// Only how many inputs there are matters.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Texts(Vec<String>),
    Tokens(Vec<Vec<u64>>),
    /// One text, or one array of tokens.
    One(serde::de::IgnoredAny),
}

/// One answer to be written.
pub(super) struct Writer<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) request: &'a Request,
    /// The name of the model, between its quotes.
    pub(super) model: String,
    pub(super) script: &'a Script,
    /// The number of the request.
    pub(super) number: u64,
}

/// What the counts of the answer with this id are, if it is the mock's.
pub fn usage_of(response_id: &str) -> Option<Usage> {
    let number = |prefix: &str| response_id.strip_prefix(prefix)?.parse().ok();
    if let Some(number) = number(MESSAGE_ID) {
        return Some(Usage { reasoning: None, ..usage_at(number) });
    }
    number(CHAT_ID).or_else(|| number(RESPONSE_ID)).map(usage_at)
}

fn usage_at(number: u64) -> Usage {
    let (input, output) = (1000 + number * 7919 % 9000, 100 + number % 900);
    Usage {
        input: Some(input),
        output: Some(output),
        total: Some(input + output),
        cache_read: Some(1 + number % 500),
        cache_write: Some(1 + number % 100),
        reasoning: Some(1 + number % 90),
    }
}

impl Writer<'_> {
    /// The body of a whole answer.
    pub(super) fn whole(&self) -> String {
        match self.endpoint {
            Endpoint::Chat => self.chat(),
            Endpoint::Responses => self.response("completed", &self.response_output()),
            Endpoint::Embeddings => self.embeddings(),
            Endpoint::Messages => self.message(),
            Endpoint::CountTokens => format!(r#"{{"input_tokens":{}}}"#, 1000 + self.number % 1000),
            Endpoint::Models => MODELS.to_owned(),
            Endpoint::Other => format!(r#"{{"ok":true,"request":{}}}"#, self.number),
        }
    }

    /// The events of a streamed answer.
    pub(super) fn events(&self) -> Vec<Piece> {
        let mut events = match self.endpoint {
            Endpoint::Responses => self.response_events(),
            Endpoint::Messages => self.message_events(),
            _ => self.chat_events(),
        };
        if self.script.endless_frame > 0 {
            let frame = format!(": {}", "x".repeat(self.script.endless_frame));
            events.insert(0, Piece::preamble(frame.into_bytes()));
        }
        events
    }

    /// An error, whole or as an event.
    pub(super) fn error(&self, status: u16) -> String {
        let kind = error_kind(self.endpoint, status);
        if self.endpoint.is_anthropic() {
            return format!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":"the mock says so"}},"request_id":"req_mock_{}"}}"#,
                self.number
            );
        }
        format!(
            r#"{{"error":{{"message":"the mock says so","type":"{kind}","param":null,"code":"{kind}"}}}}"#
        )
    }

    /// An error in the middle of a stream.
    pub(super) fn error_event(&self) -> Piece {
        let data = match self.endpoint {
            Endpoint::Responses => {
                r#"{"type":"error","sequence_number":99,"code":"server_error","message":"the mock says so","param":null}"#.to_owned()
            }
            Endpoint::Messages => self.error(529),
            _ => self.error(500),
        };
        let name = (self.endpoint != Endpoint::Chat).then_some("error");
        Piece::preamble(self.frame(name, &data))
    }

    fn frame(&self, event: Option<&str>, data: &str) -> Vec<u8> {
        let Script { line_end, comments, no_space, .. } = *self.script;
        let space = if no_space { "" } else { " " };
        let mut frame = String::with_capacity(data.len() + 64);
        if comments {
            write!(frame, ": keep-alive{line_end}{line_end}").ok();
        }
        if let Some(event) = event {
            write!(frame, "event:{space}{event}{line_end}").ok();
        }
        write!(frame, "data:{space}{data}{line_end}{line_end}").ok();
        frame.into_bytes()
    }

    /// The text of the answer, in as many pieces as asked for.
    fn deltas(&self) -> impl Iterator<Item = String> {
        let n_deltas = self.script.n_deltas.max(1);
        let size = (self.script.size / n_deltas).max(1);
        (0..n_deltas).map(move |number| text_at(number * size, size))
    }

    // OpenAI chat

    fn chat(&self) -> String {
        let (message, finish) = if self.script.n_tools > 0 {
            (format!(r#""content":null,"tool_calls":[{}]"#, self.chat_tools()), "tool_calls")
        } else {
            (format!(r#""content":"{}","refusal":null"#, text_at(0, self.script.size)), "stop")
        };
        format!(
            r#"{{"id":"{CHAT_ID}{}","object":"chat.completion","created":{CREATED},"model":{},"choices":[{{"index":0,"message":{{"role":"assistant",{message}}},"logprobs":null,"finish_reason":"{finish}"}}]{},"service_tier":"default","system_fingerprint":"{CLOCK}"}}"#,
            self.number,
            self.model,
            self.member(&self.chat_usage(self.number)),
        )
    }

    fn chat_tools(&self) -> String {
        let call = |index| {
            format!(
                r#"{{"id":"call_{index}","type":"function","function":{{"name":"tool_{index}","arguments":"{{\"step\":{index}}}"}}}}"#
            )
        };
        join((0..self.script.n_tools).map(call))
    }

    fn chat_events(&self) -> Vec<Piece> {
        let options = self.request.stream_options.as_ref();
        let include_usage = options.is_some_and(|options| options.include_usage);
        let usage = if include_usage { r#","usage":null"# } else { "" };
        let chunk = |delta: &str, finish: &str, usage: &str| {
            let choices = format!(
                r#"[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]"#
            );
            self.frame(None, &self.chat_chunk(&choices, usage))
        };
        let with_usage = |number| {
            let usage = self.member(&self.chat_usage(number));
            Piece::preamble(self.frame(None, &self.chat_chunk("[]", &usage)))
        };
        let role = chunk(r#"{"role":"assistant","content":""}"#, "null", usage);
        let mut events = vec![Piece::preamble(role)];
        for delta in self.chat_deltas() {
            events.push(Piece::content(chunk(&delta, "null", usage)));
        }
        let finish = if self.script.n_tools > 0 { r#""tool_calls""# } else { r#""stop""# };
        events.push(Piece::preamble(chunk("{}", finish, usage)));
        if include_usage && self.script.usage != Counts::Missing {
            match self.script.usage {
                Counts::Twice => events.push(with_usage(self.number + 1)),
                Counts::Middle => events.insert(events.len() / 2, with_usage(self.number)),
                _ => {}
            }
            if self.script.usage != Counts::Middle {
                events.push(with_usage(self.number));
            }
        }
        events.push(Piece::preamble(self.frame(None, "[DONE]")));
        events
    }

    fn chat_chunk(&self, choices: &str, usage: &str) -> String {
        format!(
            r#"{{"id":"{CHAT_ID}{}","object":"chat.completion.chunk","created":{CREATED},"model":{},"service_tier":"default","system_fingerprint":"{CLOCK}","choices":{choices}{usage}}}"#,
            self.number, self.model,
        )
    }

    /// Text, or the parts of parallel tool calls in turns.
    fn chat_deltas(&self) -> Vec<String> {
        if self.script.n_tools == 0 {
            return self.deltas().map(|text| format!(r#"{{"content":"{text}"}}"#)).collect();
        }
        let opening = (0..self.script.n_tools).map(|index| {
            format!(
                r#"{{"tool_calls":[{{"index":{index},"id":"call_{index}","type":"function","function":{{"name":"tool_{index}","arguments":""}}}}]}}"#
            )
        });
        let parts = ["{\\\"step\\\"", ":1}"].into_iter().flat_map(|part| {
            (0..self.script.n_tools).map(move |index| {
                format!(
                    r#"{{"tool_calls":[{{"index":{index},"function":{{"arguments":"{part}"}}}}]}}"#
                )
            })
        });
        opening.chain(parts).collect()
    }

    fn chat_usage(&self, number: u64) -> String {
        let counts = self.counts(number);
        format!(
            r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{},"cache_write_tokens":{},"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#,
            counts.input,
            counts.output,
            counts.total,
            counts.cache_read,
            counts.cache_write,
            counts.reasoning
        )
    }

    // OpenAI embeddings

    fn embeddings(&self) -> String {
        let n_inputs = match &self.request.input {
            Some(Input::Texts(texts)) => texts.len(),
            Some(Input::Tokens(inputs)) => inputs.len(),
            Some(Input::One(_)) | None => 1,
        };
        let base64 = self.request.encoding_format.as_deref() == Some("base64");
        let vector =
            if base64 { r#""AAAAPwAAgD4AAAA+AACAPQ==""# } else { "[0.5,0.25,0.125,0.0625]" };
        let item =
            |index| format!(r#"{{"object":"embedding","index":{index},"embedding":{vector}}}"#);
        let counts = self.counts(self.number);
        let usage = format!(r#"{{"prompt_tokens":{0},"total_tokens":{0}}}"#, counts.input);
        format!(
            r#"{{"object":"list","data":[{}],"model":{}{}}}"#,
            join((0..n_inputs).map(item)),
            self.model,
            self.member(&usage)
        )
    }

    // OpenAI responses

    fn response(&self, status: &str, output: &str) -> String {
        let counts = self.counts(self.number);
        let usage = format!(
            r#"{{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{},"cache_write_tokens":{}}},"output_tokens":{},"output_tokens_details":{{"reasoning_tokens":{}}},"total_tokens":{}}}"#,
            counts.input,
            counts.cache_read,
            counts.cache_write,
            counts.output,
            counts.reasoning,
            counts.total
        );
        let usage =
            if status == "completed" { self.member(&usage) } else { r#","usage":null"#.to_owned() };
        format!(
            r#"{{"id":"{RESPONSE_ID}{}","object":"response","created_at":{CREATED},"status":"{status}","error":null,"incomplete_details":null,"model":{},"output":[{output}],"previous_response_id":null,"store":true,"temperature":1.0,"tools":[]{usage}}}"#,
            self.number, self.model,
        )
    }

    fn response_output(&self) -> String {
        let text = self.deltas().collect::<String>();
        response_item("completed", &response_part(&text))
    }

    fn response_events(&self) -> Vec<Piece> {
        let mut sequence = 0..;
        let mut event = |name: &str, rest: &str| {
            let number = sequence.next().unwrap_or(0);
            let data = format!(r#"{{"type":"{name}","sequence_number":{number},{rest}}}"#);
            self.frame(Some(name), &data)
        };
        let text = self.deltas().collect::<String>();
        let at = r#""item_id":"msg_1","output_index":0,"content_index":0"#;
        let started = self.response("in_progress", "");
        let mut events = vec![
            Piece::preamble(event("response.created", &format!(r#""response":{started}"#))),
            Piece::preamble(event("response.in_progress", &format!(r#""response":{started}"#))),
            Piece::preamble(event(
                "response.output_item.added",
                &format!(r#""output_index":0,"item":{}"#, response_item("in_progress", "")),
            )),
            Piece::preamble(event(
                "response.content_part.added",
                &format!(r#"{at},"part":{}"#, response_part("")),
            )),
        ];
        for delta in self.deltas() {
            let rest = format!(r#"{at},"delta":"{delta}","logprobs":[],"obfuscation":"{CLOCK}""#);
            events.push(Piece::content(event("response.output_text.delta", &rest)));
        }
        let completed = self.response("completed", &self.response_output());
        let ends = [
            ("response.output_text.done", format!(r#"{at},"text":"{text}","logprobs":[]"#)),
            ("response.content_part.done", format!(r#"{at},"part":{}"#, response_part(&text))),
            (
                "response.output_item.done",
                format!(
                    r#""output_index":0,"item":{}"#,
                    response_item("completed", &response_part(&text))
                ),
            ),
            ("response.completed", format!(r#""response":{completed}"#)),
        ];
        events.extend(ends.iter().map(|(name, rest)| Piece::preamble(event(name, rest))));
        events
    }

    // Anthropic messages

    fn message(&self) -> String {
        let (content, stop) = if self.script.n_tools > 0 {
            let call = |index| {
                format!(
                    r#"{{"type":"tool_use","id":"toolu_{index}","name":"tool_{index}","input":{{"step":{index}}}}}"#
                )
            };
            (join((0..self.script.n_tools).map(call)), "tool_use")
        } else {
            (format!(r#"{{"type":"text","text":"{}"}}"#, text_at(0, self.script.size)), "end_turn")
        };
        let usage = self.message_usage(&self.counts(self.number).output);
        self.message_head(&content, &format!(r#""{stop}""#), &usage)
    }

    fn message_head(&self, content: &str, stop: &str, usage: &str) -> String {
        format!(
            r#"{{"id":"{MESSAGE_ID}{}","type":"message","role":"assistant","model":{},"content":[{content}],"stop_reason":{stop},"stop_sequence":null{}}}"#,
            self.number,
            self.model,
            self.member(usage)
        )
    }

    fn message_usage(&self, output: &str) -> String {
        let counts = self.counts(self.number);
        format!(
            r#"{{"input_tokens":{},"cache_creation_input_tokens":{1},"cache_read_input_tokens":{2},"cache_creation":{{"ephemeral_5m_input_tokens":{1},"ephemeral_1h_input_tokens":0}},"output_tokens":{output},"service_tier":"standard"}}"#,
            counts.input_alone, counts.cache_write, counts.cache_read,
        )
    }

    fn message_events(&self) -> Vec<Piece> {
        let event = |name: &str, rest: &str| {
            self.frame(Some(name), &format!(r#"{{"type":"{name}"{rest}}}"#))
        };
        let first = self.message_head("", "null", &self.message_usage("1"));
        let mut events =
            vec![Piece::preamble(event("message_start", &format!(r#","message":{first}"#)))];
        for (index, block) in self.message_blocks().into_iter().enumerate() {
            let opened = format!(r#","index":{index},"content_block":{}"#, block.opening);
            events.push(Piece::preamble(event("content_block_start", &opened)));
            if index == 0 {
                events.push(Piece::preamble(event("ping", "")));
            }
            for delta in block.deltas {
                let rest = format!(r#","index":{index},"delta":{delta}"#);
                events.push(Piece::content(event("content_block_delta", &rest)));
            }
            let closed = format!(r#","index":{index}"#);
            events.push(Piece::preamble(event("content_block_stop", &closed)));
        }
        let stop = if self.script.n_tools > 0 { "tool_use" } else { "end_turn" };
        let usage = format!(r#"{{"output_tokens":{}}}"#, self.counts(self.number).output);
        let rest = format!(
            r#","delta":{{"stop_reason":"{stop}","stop_sequence":null}}{}"#,
            self.member(&usage)
        );
        events.push(Piece::preamble(event("message_delta", &rest)));
        events.push(Piece::preamble(event("message_stop", "")));
        events
    }

    fn message_blocks(&self) -> Vec<Block> {
        if self.script.n_tools == 0 {
            let delta = |text| format!(r#"{{"type":"text_delta","text":"{text}"}}"#);
            let opening = r#"{"type":"text","text":""}"#.to_owned();
            return vec![Block { opening, deltas: self.deltas().map(delta).collect() }];
        }
        let part = |json| format!(r#"{{"type":"input_json_delta","partial_json":"{json}"}}"#);
        let block = |index| Block {
            opening: format!(
                r#"{{"type":"tool_use","id":"toolu_{index}","name":"tool_{index}","input":{{}}}}"#
            ),
            deltas: ["", "{\\\"step\\\"", ":1}"].map(part).into(),
        };
        (0..self.script.n_tools).map(block).collect()
    }

    // Counts

    /// The member `usage` of an object that has others before it.
    fn member(&self, usage: &str) -> String {
        match self.script.usage {
            Counts::Missing => String::new(),
            Counts::Null => r#","usage":null"#.to_owned(),
            _ => format!(r#","usage":{usage}"#),
        }
    }

    fn counts(&self, number: u64) -> Written {
        let usage = usage_at(number);
        let [input, output, mut read, write] =
            [usage.input, usage.output, usage.cache_read, usage.cache_write]
                .map(Option::unwrap_or_default);
        let mut total = input + output;
        let alone = input - read - write;
        if self.script.usage == Counts::Inconsistent {
            read = input + 1000;
            total += 1;
        }
        let written = |count: u64| match self.script.usage {
            Counts::Strings => format!("\"{count}\""),
            Counts::Negative => format!("-{count}"),
            Counts::Huge => "1e30".to_owned(),
            _ => count.to_string(),
        };
        Written {
            input: written(input),
            input_alone: written(alone),
            output: written(output),
            total: written(total),
            cache_read: written(read),
            cache_write: written(write),
            reasoning: written(usage.reasoning.unwrap_or_default()),
        }
    }
}

/// A block of content of a message.
struct Block {
    opening: String,
    deltas: Vec<String>,
}

/// Counts as they are put into JSON.
struct Written {
    input: String,
    /// Without what was read from or written to a cache.
    input_alone: String,
    output: String,
    total: String,
    cache_read: String,
    cache_write: String,
    reasoning: String,
}

const MODELS: &str = r#"{"object":"list","data":[{"id":"mock","object":"model","created":1767225600,"owned_by":"mock"}]}"#;

fn error_kind(endpoint: Endpoint, status: u16) -> &'static str {
    match (status, endpoint.is_anthropic()) {
        (400 | 413 | 422, _) => "invalid_request_error",
        (401, true) => "authentication_error",
        (401, false) => "invalid_api_key",
        (403, true) => "permission_error",
        (404, true) => "not_found_error",
        (429, true) => "rate_limit_error",
        (429, false) => "rate_limit_exceeded",
        (529, true) => "overloaded_error",
        (_, true) => "api_error",
        (_, false) => "server_error",
    }
}

fn response_item(status: &str, content: &str) -> String {
    format!(
        r#"{{"id":"msg_1","type":"message","status":"{status}","role":"assistant","content":[{content}]}}"#
    )
}

fn response_part(text: &str) -> String {
    format!(r#"{{"type":"output_text","annotations":[],"logprobs":[],"text":"{text}"}}"#)
}

/// So many bytes of an endless text, from there on.
fn text_at(start: usize, size: usize) -> String {
    SENTENCE.chars().cycle().skip(start % SENTENCE.len()).take(size).collect()
}

fn join(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}
