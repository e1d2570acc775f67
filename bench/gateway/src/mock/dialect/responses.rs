//! OpenAI's responses.

use super::super::reply::Piece;
use super::{CLOCK, CREATED, RESPONSE_ID, Writer};

impl Writer<'_> {
    pub(super) fn response(&self, status: &str, output: &str) -> String {
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

    pub(super) fn response_output(&self) -> String {
        let text = self.deltas().collect::<String>();
        item("completed", &part(&text))
    }

    pub(super) fn response_events(&self) -> Vec<Piece> {
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
                &format!(r#""output_index":0,"item":{}"#, item("in_progress", "")),
            )),
            Piece::preamble(event(
                "response.content_part.added",
                &format!(r#"{at},"part":{}"#, part("")),
            )),
        ];
        for delta in self.deltas() {
            let rest = format!(r#"{at},"delta":"{delta}","logprobs":[],"obfuscation":"{CLOCK}""#);
            events.push(Piece::content(event("response.output_text.delta", &rest)));
        }
        let completed = self.response("completed", &self.response_output());
        let ends = [
            ("response.output_text.done", format!(r#"{at},"text":"{text}","logprobs":[]"#)),
            ("response.content_part.done", format!(r#"{at},"part":{}"#, part(&text))),
            (
                "response.output_item.done",
                format!(r#""output_index":0,"item":{}"#, item("completed", &part(&text))),
            ),
            ("response.completed", format!(r#""response":{completed}"#)),
        ];
        events.extend(ends.iter().map(|(name, rest)| Piece::preamble(event(name, rest))));
        events
    }
}

fn item(status: &str, content: &str) -> String {
    format!(
        r#"{{"id":"msg_1","type":"message","status":"{status}","role":"assistant","content":[{content}]}}"#
    )
}

fn part(text: &str) -> String {
    format!(r#"{{"type":"output_text","annotations":[],"logprobs":[],"text":"{text}"}}"#)
}
