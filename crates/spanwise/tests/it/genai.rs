//! Calls of models, as they leave and as the rest of Spanwise reads them.

use futures::executor::block_on;
use futures::{StreamExt as _, stream};
use serde::Serialize;
use spanwise::genai::{self, Document, Message, Usage};
use spanwise_model::content::ContentPolicy;
use spanwise_model::span::StatusCode;

use crate::recording::{PATIENCE, with_default};

#[test]
fn calls_are_written_under_the_names_of_opentelemetry() {
    with_default(|sink, recorder| {
        let agent = spanwise::span("agent").enter();
        let mut chat = genai::chat("openai", "gpt-4o");
        chat.temperature(0.2).max_tokens(100).stop_sequences(&["END"]).seed(7);
        chat.messages(&[Message::system("Be brief."), Message::user("Why?")]);
        chat.scope(|| drop(spanwise::span("POST")));
        chat.output(&[Message::assistant("Because.").finished("stop")])
            .finish_reasons(&["stop"])
            .response_model("gpt-4o-2024-08-06")
            .usage(Usage { input: Some(17), output: Some(2), ..Usage::default() });
        drop(chat);
        let mut search = genai::retrieval("handbook");
        search.query("why").top_k(3);
        search.documents(&[Document { id: "d1".into(), score: Some(0.5), content: None }]);
        drop(search);
        genai::embedding("openai", "text-embedding-3-small").dimensions(256).input(&["why"]);
        genai::tool("weather").call_id("call_1").arguments(&("Oslo",)).result(&14.5);
        drop(agent);
        insta::assert_snapshot!(sink.tree(recorder), @r#"
        agent (internal, 0ns)
          chat gpt-4o (client, 0ns)
              gen_ai.operation.name = "chat"
              gen_ai.provider.name = "openai"
              gen_ai.request.model = "gpt-4o"
              llm.provider = "openai"
              llm.model = "gpt-4o"
              gen_ai.request.temperature = 0.2
              llm.temperature = 0.2
              gen_ai.request.max_tokens = 100
              gen_ai.request.stop_sequences = ["END"]
              gen_ai.request.seed = 7
              gen_ai.input.messages = "[{\"role\":\"system\",\"parts\":[{\"type\":\"text\",\"content\":\"Be brief.\"}]},{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"Why?\"}]}]"
              gen_ai.output.messages = "[{\"role\":\"assistant\",\"parts\":[{\"type\":\"text\",\"content\":\"Because.\"}],\"finish_reason\":\"stop\"}]"
              gen_ai.response.finish_reasons = ["stop"]
              gen_ai.response.model = "gpt-4o-2024-08-06"
              gen_ai.usage.input_tokens = 17
              gen_ai.usage.output_tokens = 2
            POST (internal, 0ns)
          retrieval handbook (client, 0ns)
              gen_ai.operation.name = "retrieval"
              gen_ai.data_source.id = "handbook"
              gen_ai.retrieval.query.text = "why"
              gen_ai.request.top_k = 3
              returned = 1
              gen_ai.retrieval.documents = "[{\"id\":\"d1\",\"score\":0.5}]"
          embeddings text-embedding-3-small (client, 0ns)
              gen_ai.operation.name = "embeddings"
              gen_ai.provider.name = "openai"
              gen_ai.request.model = "text-embedding-3-small"
              llm.provider = "openai"
              llm.model = "text-embedding-3-small"
              gen_ai.embeddings.dimension.count = 256
              input.value = "[\"why\"]"
          execute_tool weather (internal, 0ns)
              gen_ai.operation.name = "execute_tool"
              gen_ai.tool.name = "weather"
              gen_ai.tool.call.id = "call_1"
              gen_ai.tool.call.arguments = "[\"Oslo\"]"
              gen_ai.tool.call.result = "14.5"
        "#);
    });
}

#[test]
fn a_stream_tells_its_first_token_and_ends_its_span_even_if_it_is_abandoned() {
    with_default(|sink, recorder| {
        let watch = |chat: genai::Chat| {
            chat.watch(stream::iter(["a", "b"]), |chat, piece| {
                chat.set("last", *piece);
            })
        };
        assert_eq!(block_on(watch(genai::chat("x", "whole")).count()), 2);
        let mut abandoned = watch(genai::chat("x", "abandoned"));
        assert_eq!(block_on(abandoned.next()), Some("a"));
        drop(abandoned);
        drop(spanwise::span("after"));
        assert!(recorder.flush(PATIENCE));
        let spans = sink.spans();
        for (span, last) in spans.iter().zip(["b", "a"]) {
            assert_eq!(span.attributes.str("last"), Some(last));
            assert!(span.attributes.get("gen_ai.response.time_to_first_chunk").is_some());
        }
        assert_eq!((spans.len(), spans[2].parent_span_id), (3, None));
    });
}

struct Untouchable;

impl Serialize for Untouchable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("nobody should look")
    }
}

#[test]
fn content_that_is_off_is_not_even_written_to_json() {
    with_default(|sink, recorder| {
        recorder.set_content(ContentPolicy { content: false, ..ContentPolicy::default() });
        let mut chat = genai::chat("openai", "gpt-4o");
        chat.messages(&Untouchable).system("secret").tools(&Untouchable).output(&Untouchable);
        chat.failed("429", "too many requests");
        drop(chat);
        genai::tool("t").arguments(&Untouchable).result(&Untouchable);
        genai::embedding("p", "m").input(&Untouchable);
        genai::retrieval("r").query("secret");
        assert!(recorder.flush(PATIENCE));
        let spans = sink.spans();
        assert_eq!(spans[0].status.code, StatusCode::Error);
        assert_eq!(spans[0].attributes.str("error.type"), Some("429"));
        assert!(!format!("{spans:?}").contains("secret"));
    });
}
