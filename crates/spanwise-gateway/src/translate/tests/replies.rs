//! Answers: a stream says the same as a whole answer, from every dialect to every other.

use proptest::prelude::*;
use spanwise_model::genai::Usage;

use super::super::answer::{Answer, Choice, Finish};
use super::super::conversation::{Arguments, Call, Part, Thought};
use super::super::json::Text;
use super::super::reply::Wants;
use super::super::stream::{Block, Event, Step, reader, writer};
use super::super::*;
use super::DIALECTS;
use super::frames::frames;

const STAMP: Stamp<'_> = Stamp { id: "made-id", model: "made-model", created: 1_700_000_000 };

/// What an answer says, without what a dialect may order or join in its own way.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    thoughts: String,
    calls: Vec<(String, String, serde_json::Value)>,
    finish: Finish,
    usage: Usage,
}

fn said(parts: &[Part<'_>], finish: Finish, usage: Usage) -> Said {
    let mut said = Said { finish, usage, ..Said::default() };
    for part in parts {
        match part {
            Part::Reasoning(thought) => said.thoughts.push_str(&thought.text.plain()),
            Part::Call(call) => said.calls.push((
                call.id.plain().into_owned(),
                call.name.plain().into_owned(),
                serde_json::from_str(&call.arguments.text().plain()).unwrap(),
            )),
            part => said.text.push_str(&part.as_text().unwrap().plain()),
        }
    }
    said
}

fn wants() -> Wants {
    Wants { usage: true, thoughts: true, echo: Vec::new() }
}

fn read_whole(dialect: Dialect, body: &[u8]) -> Said {
    let root = json::parse(body).unwrap();
    let mut answer = match dialect {
        Dialect::Chat | Dialect::Embeddings => chat::read_answer(&root),
        Dialect::Responses => responses::read_answer(&root),
        Dialect::Messages => messages::read_answer(&root),
        Dialect::Gemini => gemini::read_answer(&root),
        Dialect::Converse => converse::read_answer(&root),
        Dialect::Ollama => ollama::read_answer(&root),
    }
    .unwrap();
    answer.choices[0].settle();
    said(&answer.choices[0].parts, answer.choices[0].finish.clone(), answer.usage)
}

fn read_stream(dialect: Dialect, stream: &[u8]) -> Said {
    let mut reader = reader(dialect);
    let mut blocks = stream::Blocks::new(&STAMP);
    let mut parts: Vec<Part<'static>> = Vec::new();
    let mut end = None;
    let mut sink = |step: &Step<'_>| match step {
        Step::Open(block) => parts.push(match block {
            Block::Text => Part::Text(Text::default()),
            Block::Refusal => Part::Refusal(Text::default()),
            Block::Thought | Block::Redacted { .. } => Part::Reasoning(Thought::default()),
            Block::Call { id, name, .. } => Part::Call(stream::whole_call(id, name, None)),
        }),
        Step::Delta(more) => match parts.last_mut().unwrap() {
            Part::Text(text)
            | Part::Refusal(text)
            | Part::Reasoning(Thought { text, .. })
            | Part::Call(Call { arguments: Arguments::Text(text), .. }) => text.push(more),
            part => panic!("{part:?}"),
        },
        Step::End { finish, usage } => end = Some(((*finish).clone(), **usage)),
        Step::Error { message, .. } => panic!("{message:?}"),
        Step::Start { .. } | Step::Signature(_) | Step::Close => {}
    };
    for (event, data) in frames(dialect, stream) {
        if data == b"[DONE]" {
            continue;
        }
        let node = json::parse(&data).unwrap();
        let mut events = Vec::new();
        reader.read(event.as_deref(), &node, &mut events);
        for event in events {
            blocks.take(event, &mut sink);
        }
    }
    blocks.take(Event::End, &mut sink);
    let (finish, usage) = end.unwrap();
    said(&parts, finish, usage)
}

fn write_whole(dialect: Dialect, answer: &Answer<'_>) -> String {
    let mut notes = Notes::default();
    match dialect {
        Dialect::Chat | Dialect::Embeddings => chat::write_answer(answer, 1),
        Dialect::Responses => responses::write_answer(answer, &wants(), 1),
        Dialect::Messages => messages::write_answer(answer, &mut notes),
        Dialect::Gemini => gemini::write_answer(answer, &mut notes),
        Dialect::Converse => converse::write_answer(answer, &mut notes).unwrap(),
        Dialect::Ollama => ollama::write_answer(answer, 1, &mut notes),
    }
}

/// Writes an answer as a stream, in pieces of this many characters.
fn write_stream(dialect: Dialect, answer: &Answer<'_>, size: usize) -> Vec<u8> {
    let mut writer = writer(dialect, wants(), 1);
    let mut out = Vec::new();
    let mut step = |step: Step<'_>| writer.write(&step, &mut out);
    let nothing = Text::default();
    step(Step::Start {
        id: answer.id.as_ref().unwrap_or(&nothing),
        model: answer.model.as_ref().unwrap_or(&nothing),
    });
    let choice = &answer.choices[0];
    for part in &choice.parts {
        let (block, text) = match part {
            Part::Text(text) => (Block::Text, text.clone()),
            Part::Reasoning(thought) => (Block::Thought, thought.text.clone()),
            Part::Call(call) => {
                let block = Block::Call { id: &call.id, name: &call.name, signature: None };
                (block, call.arguments.text())
            }
            part => panic!("{part:?}"),
        };
        step(Step::Open(block));
        let plain: Vec<char> = text.plain().chars().collect();
        for piece in plain.chunks(size) {
            step(Step::Delta(&Text::from_plain(piece.iter().collect::<String>())));
        }
        if let Part::Reasoning(Thought { signature: Some(signature), .. }) = part {
            step(Step::Signature(signature));
        }
        step(Step::Close);
    }
    step(Step::End { finish: &choice.finish, usage: &answer.usage });
    out
}

fn text() -> impl Strategy<Value = Text<'static>> {
    "[a-z \"\\\\\n{}é😀]{0,12}x".prop_map(Text::from_plain)
}

fn call(number: usize) -> impl Strategy<Value = Part<'static>> {
    let arguments = prop::collection::btree_map("[a-z]{1,3}", "[a-z\"}{\\\\ é]{0,6}", 0..3);
    ("[a-z_]{1,8}", arguments).prop_map(move |(name, arguments)| {
        let arguments = serde_json::to_string(&arguments).unwrap();
        Part::Call(Call {
            id: Text::from_plain(format!("id_{number}")),
            name: Text::from_plain(name),
            arguments: Arguments::Text(Text::from_plain(arguments)),
            signature: None,
        })
    })
}

prop_compose! {
    fn answer()(
        thought in prop::option::of((text(), prop::option::of("[a-z]{4}"))),
        texts in prop::collection::vec(text(), 0..2),
        calls in (0..3usize).prop_flat_map(|n| (0..n).map(call).collect::<Vec<_>>()),
        length: bool,
        usage in prop::option::of((0..1000u64, 0..1000u64, 0..100u64, 0..100u64, 0..50u64)),
    ) -> Answer<'static> {
        let mut parts: Vec<Part<'static>> = Vec::new();
        parts.extend(thought.map(|(text, signature)| Part::Reasoning(Thought {
            text,
            signature: signature.map(Text::from_plain),
            redacted: None,
        })));
        parts.extend(texts.into_iter().map(Part::Text));
        let finish = if length { Finish::Length } else if calls.is_empty() { Finish::Stop } else { Finish::Calls };
        parts.extend(calls);
        let usage = usage.map(|(fresh, said, read, written, thought)| Usage {
            input: Some(fresh + read + written),
            output: Some(said + thought),
            total: None,
            cache_read: Some(read),
            cache_write: Some(written),
            reasoning: Some(thought),
        });
        Answer {
            id: Some(Text::from_plain("answer-1")),
            model: Some(Text::from_plain("model-1")),
            choices: vec![Choice { parts, finish }],
            usage: usage.unwrap_or_default(),
        }
    }
}

/// Not every dialect counts everything.
fn counted(dialect: Dialect, usage: Usage) -> Usage {
    let total = usage.input.zip(usage.output).map(|(input, output)| input + output);
    let all = Usage { total, ..usage };
    match dialect {
        Dialect::Messages if !usage.is_known() => {
            Usage { input: Some(0), output: Some(0), ..Usage::default() }
        }
        Dialect::Responses if usage.is_known() => all,
        Dialect::Messages => Usage { total: None, reasoning: None, ..usage },
        Dialect::Gemini => Usage { cache_write: None, ..all },
        Dialect::Converse => Usage { reasoning: None, ..all },
        Dialect::Ollama => Usage { input: usage.input, output: usage.output, ..Usage::default() },
        Dialect::Chat | Dialect::Responses | Dialect::Embeddings => all,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_again(answer in answer(), size in 1..5usize) {
        for dialect in DIALECTS {
            let choice = &answer.choices[0];
            let mut expected = said(&choice.parts, choice.finish.clone(), counted(dialect, answer.usage));
            let whole = read_whole(dialect, write_whole(dialect, &answer).as_bytes());
            if expected.finish == Finish::Length && whole.finish == Finish::Calls {
                expected.finish = Finish::Calls;
            }
            prop_assert_eq!(&whole, &expected, "whole {}", dialect);
            let streamed = read_stream(dialect, &write_stream(dialect, &answer, size));
            prop_assert_eq!(&streamed, &expected, "streamed {}", dialect);
        }
    }

    #[test]
    fn a_stream_says_the_same_as_a_whole_answer(answer in answer(), size in 1..5usize) {
        for upstream in DIALECTS {
            for client in DIALECTS {
                let reply = Reply { client, upstream, wants: wants() };
                let body = reply.answer(write_whole(upstream, &answer).as_bytes(), &STAMP).unwrap();
                let mut stream = reply.stream(&STAMP);
                let mut out = Vec::new();
                for (event, data) in frames(upstream, &write_stream(upstream, &answer, size)) {
                    out.extend_from_slice(&stream.frame(event.as_deref(), &data));
                }
                out.extend_from_slice(&stream.finish(Ending::Closed));
                prop_assert!(stream.has_ended());
                let whole = read_whole(client, &body);
                prop_assert_eq!(&read_stream(client, &out), &whole, "{} to {}", upstream, client);
                let choice = &answer.choices[0];
                let original = said(&choice.parts, choice.finish.clone(), Usage::default());
                prop_assert_eq!(&whole.text, &original.text);
                prop_assert_eq!(&whole.thoughts, &original.thoughts);
                prop_assert_eq!(&whole.calls, &original.calls);
            }
        }
    }
}
