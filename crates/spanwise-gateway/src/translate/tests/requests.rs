//! Requests: what a dialect can say survives being written and read again.

use proptest::prelude::*;

use super::super::conversation::{
    Arguments, Call, Conversation, Format, Media, Part, Role, Sampling, Schema, Source, Tool,
    ToolChoice, ToolResult, Turn, joined,
};
use super::super::json::Text;
use super::super::*;
use super::{DIALECTS, model_of};

/// A part in words, so that it can be compared however it was written.
fn words(part: &Part<'_>) -> String {
    match part {
        Part::Text(text) | Part::Refusal(text) => format!("text {}", text.plain()),
        Part::Image(media) => format!("image {}", media.to_url().unwrap().plain()),
        Part::Document(media) => format!("document {}", media.to_url().unwrap().plain()),
        Part::Reasoning(thought) => format!("thought {}", thought.text.plain()),
        Part::Call(call) => {
            let arguments: serde_json::Value =
                serde_json::from_str(&call.arguments.text().plain()).unwrap();
            format!("call {} {} {arguments}", call.id.plain(), call.name.plain())
        }
        Part::Result(result) => {
            format!("result {} {}", result.id.plain(), result.as_text().plain())
        }
    }
}

/// What a conversation says, without how its turns are cut. Texts that follow each other may have
/// been joined.
fn essence(conversation: Conversation<'_>) -> Vec<String> {
    let mut essence = Vec::new();
    let system = joined(conversation.system.iter().cloned()).unwrap_or_default();
    essence.push(format!("system {}", system.plain()));
    let sampling = &conversation.sampling;
    essence.push(format!(
        "{:?} {:?} {:?} {:?}",
        sampling.max_tokens, sampling.temperature, conversation.tool_choice, conversation.stream
    ));
    if let Format::Schema(schema) = &conversation.format {
        essence.push(format!("schema {}", schema.json));
    }
    for tool in &conversation.tools {
        let description = tool.description.as_ref().map(|text| text.plain().into_owned());
        essence.push(format!("tool {} {description:?} {:?}", tool.name.plain(), tool.parameters));
    }
    for turn in conversation.alternating() {
        let mut texts = String::new();
        essence.push(format!("{:?}", turn.role));
        for part in &turn.parts {
            match part.as_text() {
                Some(text) => texts.push_str(text.plain().trim()),
                None => essence.push(words(part)),
            }
        }
        essence.push(texts.replace("\n\n", ""));
    }
    essence
}

fn text() -> impl Strategy<Value = Text<'static>> {
    "x[a-z \"\\\\é😀]{0,12}x".prop_map(Text::from_plain)
}

fn arguments() -> impl Strategy<Value = String> {
    prop::collection::btree_map("[a-z]{1,3}", "[a-z\"}{\\\\ é]{0,6}", 0..3)
        .prop_map(|map| serde_json::to_string(&map).unwrap())
}

fn image() -> Part<'static> {
    let source = Source::Inline {
        mime: Text::from_plain("image/png"),
        data: Text::from_plain("iVBORw0KGgo="),
    };
    Part::Image(Media { source, name: None, detail: None })
}

/// A question, and perhaps calls of tools with their results, and an answer.
fn exchange(number: usize) -> impl Strategy<Value = Vec<Turn<'static>>> {
    let calls = prop::collection::vec(("[a-z]{1,8}", arguments(), text(), any::<bool>()), 0..3);
    (text(), any::<bool>(), calls, text()).prop_map(move |(question, with_image, calls, answer)| {
        let mut asked = vec![Part::Text(question)];
        asked.extend(with_image.then(image));
        let mut turns = vec![Turn { role: Role::User, parts: asked }];
        if !calls.is_empty() {
            let mut wanted = Vec::new();
            let mut got = Vec::new();
            for (at, (name, arguments, result, is_value)) in calls.into_iter().enumerate() {
                let id = Text::from_plain(format!("call_{number}_{at}"));
                wanted.push(Part::Call(Call {
                    id: id.clone(),
                    name: Text::from_plain(name.clone()),
                    arguments: if is_value {
                        Arguments::Value(arguments.into())
                    } else {
                        Arguments::Text(Text::from_plain(arguments))
                    },
                    signature: None,
                }));
                let name = Text::from_plain(name);
                let parts = vec![Part::Text(result)];
                got.push(Part::Result(ToolResult { id, name, parts, is_error: false }));
            }
            turns.push(Turn { role: Role::Assistant, parts: wanted });
            turns.push(Turn { role: Role::User, parts: got });
        }
        turns.push(Turn { role: Role::Assistant, parts: vec![Part::Text(answer)] });
        turns
    })
}

const SCHEMA: &str = r#"{"type":"object","properties":{"é":{"type":"number"}}}"#;

fn tools() -> impl Strategy<Value = Vec<Tool<'static>>> {
    let tool = ("[a-z]{1,8}", prop::option::of(text())).prop_map(|(name, description)| Tool {
        name: Text::from_plain(name),
        description,
        parameters: Some(SCHEMA.into()),
        strict: false,
    });
    prop::collection::vec(tool, 0..3)
}

prop_compose! {
    fn conversation()(
        system in prop::option::of(text()),
        turns in (1..4usize).prop_flat_map(|n| (0..n).map(exchange).collect::<Vec<_>>()),
        last in text(),
        tools in tools(),
        is_auto: bool,
        with_schema: bool,
        max_tokens in 1..100_000u64,
        temperature in prop::option::of(prop::sample::select(vec!["0", "0.70", "1e-1"])),
        stream: bool,
    ) -> Conversation<'static> {
        let mut turns = turns.into_iter().flatten().collect::<Vec<_>>();
        turns.push(Turn { role: Role::User, parts: vec![Part::Text(last)] });
        let schema = Schema { name: None, description: None, json: SCHEMA.into(), strict: false };
        Conversation {
            system: system.into_iter().collect(),
            turns,
            tool_choice: (is_auto && !tools.is_empty()).then_some(ToolChoice::Auto),
            tools,
            sampling: Sampling { max_tokens: Some(max_tokens), temperature, ..Sampling::default() },
            format: if with_schema { Format::Schema(schema) } else { Format::Text },
            stream,
            ..Conversation::default()
        }
    }
}

fn write(dialect: Dialect, conversation: Conversation<'_>) -> String {
    let notes = &mut Notes::default();
    let model = model_of(dialect);
    match dialect {
        Dialect::Chat | Dialect::Embeddings => chat::write_request(&conversation, model, notes),
        Dialect::Responses => responses::write_request(&conversation, model, notes),
        Dialect::Messages => messages::write_request(conversation, model, notes),
        Dialect::Gemini => gemini::write_request(conversation, model, notes),
        Dialect::Converse => converse::write_request(conversation, model, notes),
        Dialect::Ollama => ollama::write_request(&conversation, model, notes),
    }
    .unwrap()
}

fn read<'a>(dialect: Dialect, root: &json::Node<'a>) -> Conversation<'a> {
    let notes = &mut Notes::default();
    let conversation = match dialect {
        Dialect::Chat | Dialect::Embeddings => chat::read_request(root, notes),
        Dialect::Responses => responses::read_request(root, notes),
        Dialect::Messages => messages::read_request(root, notes),
        Dialect::Gemini => gemini::read_request(root, notes),
        Dialect::Converse => converse::read_request(root, notes),
        Dialect::Ollama => ollama::read_request(root, notes),
    };
    let mut conversation = conversation.unwrap();
    assert_eq!(notes.dropped, [], "{}", root.raw);
    conversation.link();
    conversation
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_dialect_says_what_it_was_told(conversation in conversation()) {
        // Chat carries all that is generated here, so it keeps the original.
        let kept = write(Dialect::Chat, conversation);
        let original = essence(read(Dialect::Chat, &json::parse(kept.as_bytes()).unwrap()));
        for dialect in DIALECTS {
            let body = {
                let root = json::parse(kept.as_bytes()).unwrap();
                write(dialect, read(Dialect::Chat, &root))
            };
            serde_json::from_str::<serde_json::Value>(&body).unwrap();
            let root = json::parse(body.as_bytes()).unwrap();
            let mut back = read(dialect, &root);
            // These two stand in the path, and the others say nothing for the usual choice.
            back.stream |= original[1].ends_with("true");
            if dialect == Dialect::Ollama && original[1].contains("Auto") {
                back.tool_choice = Some(ToolChoice::Auto);
            }
            prop_assert_eq!(&essence(back), &original, "{} {}", dialect, body);
        }
    }
}

/// Every request that can be refused is refused with the field's name.
#[test]
fn what_would_change_the_meaning_is_refused() {
    let hi = r#""messages":[{"role":"user","content":"hi"}]"#;
    for (from, to, body, what) in [
        (Dialect::Chat, Dialect::Messages, format!(r#"{{{hi},"n":2}}"#), "n"),
        (Dialect::Chat, Dialect::Gemini, format!(r#"{{{hi},"n":2,"stream":true}}"#), "n"),
        (Dialect::Chat, Dialect::Messages, format!(r#"{{{hi},"logprobs":true}}"#), "logprobs"),
        (Dialect::Chat, Dialect::Messages, format!(r#"{{{hi},"functions":[]}}"#), "functions"),
        (Dialect::Chat, Dialect::Messages, format!(r#"{{{hi},"modalities":["text","audio"]}}"#), "modalities"),
        (Dialect::Chat, Dialect::Messages, format!(r#"{{{hi},"new_thing":1}}"#), "new_thing"),
        (Dialect::Chat, Dialect::Responses, format!(r#"{{{hi},"stop":"x"}}"#), "stop"),
        (Dialect::Chat, Dialect::Ollama, format!(r#"{{{hi},"tool_choice":"required"}}"#), "tool_choice"),
        (Dialect::Chat, Dialect::Converse, format!(r#"{{{hi},"response_format":{{"type":"json_object"}}}}"#), "response_format"),
        (Dialect::Messages, Dialect::Chat, format!(r#"{{{hi},"mcp_servers":[{{}}]}}"#), "mcp_servers"),
        (Dialect::Messages, Dialect::Chat, format!(r#"{{{hi},"tools":[{{"type":"web_search_20250305","name":"w"}}]}}"#), "tools[].type"),
        (Dialect::Responses, Dialect::Chat, r#"{"input":"hi","previous_response_id":"r"}"#.to_owned(), "previous_response_id"),
        (Dialect::Responses, Dialect::Chat, r#"{"input":"hi","background":true}"#.to_owned(), "background"),
        (Dialect::Gemini, Dialect::Chat, r#"{"contents":[{"parts":[{"text":"hi"}]}],"cachedContent":"c"}"#.to_owned(), "cachedContent"),
        (Dialect::Gemini, Dialect::Chat, r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"audio/wav","data":""}}]}]}"#.to_owned(), "contents[].parts[].mimeType"),
        (Dialect::Converse, Dialect::Chat, format!(r#"{{{},"guardrailConfig":{{}}}}"#, r#""messages":[{"role":"user","content":[{"text":"hi"}]}]"#), "guardrailConfig"),
        (Dialect::Chat, Dialect::Converse, r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]}"#.to_owned(), "messages[].content[].url"),
        (Dialect::Chat, Dialect::Messages, r#"{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}]}"#.to_owned(), "messages[].content[].type input_audio"),
    ] {
        let refused = request(from, to, body.as_bytes(), model_of(to), false).unwrap_err();
        assert_eq!((refused.what.as_ref(), refused.kind), (what, ErrorKind::NotImplemented), "{body}");
    }
}

#[test]
fn what_no_dialect_allows_is_malformed() {
    for body in [
        "",
        "[]",
        r#"{"messages":"hi"}"#,
        r#"{"messages":[{"role":"user","content":"hi"}],"stream":"true"}"#,
        r#"{"messages":[{"role":"user","content":"hi"}],"temperature":"hot"}"#,
        r#"{"messages":[]}"#,
        "\u{feff}{}",
    ] {
        let refused =
            request(Dialect::Chat, Dialect::Messages, body.as_bytes(), "m", false).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::InvalidRequest, "{body}: {refused}");
    }
}
