//! Anthropic's messages.

use super::super::reply::Piece;
use super::{MESSAGE_ID, Writer, join, text_at};

impl Writer<'_> {
    pub(super) fn message(&self) -> String {
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

    pub(super) fn message_events(&self) -> Vec<Piece> {
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
}

/// A block of content of a message.
struct Block {
    opening: String,
    deltas: Vec<String>,
}
