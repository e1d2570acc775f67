//! OpenAI's chat completions and embeddings.

use super::super::reply::Piece;
use super::super::script::Counts;
use super::{CHAT_ID, CLOCK, CREATED, Input, Writer, join, text_at};

impl Writer<'_> {
    pub(super) fn chat(&self) -> String {
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

    pub(super) fn chat_events(&self) -> Vec<Piece> {
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

    pub(super) fn embeddings(&self) -> String {
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
}
