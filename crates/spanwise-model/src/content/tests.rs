use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::span::StatusCode;

use crate::wire::otlp;
use crate::{
    Attributes, Event, Kind as SpanKind, Link, Resource, Scope, SpanId, Status, Str, TraceId, Value,
};

const SYSTEM: &str = "SYSTEM-MARK";
const USER: &str = "USER-MARK";
/// The result of a tool that a model is given.
const INPUT: &str = "INPUT-MARK";
const OUTPUT: &str = "OUTPUT-MARK";
/// Content that only the switches for all content turn off.
const OTHER: &str = "OTHER-MARK";
const MARKS: [&str; 5] = [SYSTEM, USER, INPUT, OUTPUT, OTHER];

fn span(name: &str, attributes: Attributes) -> Span {
    Span {
        trace_id: TraceId::from_bytes(&[1; 16]).unwrap(),
        span_id: SpanId::from_bytes(&[2; 8]).unwrap(),
        parent_span_id: SpanId::from_bytes(&[3; 8]).ok(),
        trace_state: Str::new(),
        flags: 0,
        name: name.into(),
        kind: SpanKind::Internal,
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        attributes,
        dropped_attributes_count: 0,
        events: Vec::new(),
        dropped_events_count: 0,
        links: Vec::new(),
        dropped_links_count: 0,
        status: Status::default(),
        resource: Arc::new(Resource::default()),
        scope: Arc::new(Scope::default()),
    }
}

/// A span whose attributes are the members of a JSON object; what is not text there is written as
/// JSON, as instrumentations do.
fn of(name: &str, attributes: &Json) -> Span {
    let attributes = attributes.as_object().unwrap().iter().map(|(key, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (key.clone(), text)
    });
    span(name, attributes.collect())
}

fn event(name: &str, attributes: &[(&'static str, String)]) -> Event {
    let attributes = attributes.iter().cloned().collect();
    Event { time_unix_nano: 1, name: name.into(), attributes, dropped_attributes_count: 0 }
}

fn marks(bytes: &[u8]) -> Vec<&'static str> {
    let has = |mark: &&str| memchr::memmem::find(bytes, mark.as_bytes()).is_some();
    MARKS.into_iter().filter(has).collect()
}

type Switch = fn(&mut ContentPolicy);

const SWITCHES: [(&str, Switch); 4] = [
    (SYSTEM, |policy| policy.system_prompts = false),
    (USER, |policy| policy.user_inputs = false),
    (INPUT, |policy| policy.llm_inputs = false),
    (OUTPUT, |policy| policy.llm_outputs = false),
];

/// Every switch removes its mark from the exported bytes and leaves the others there.
fn check(span: &Span) {
    let exported = |policy: &ContentPolicy| {
        let mut span = span.clone();
        policy.apply(&mut span);
        let once = otlp::encode_traces(std::slice::from_ref(&span));
        policy.apply(&mut span);
        assert_eq!(otlp::encode_traces(&[span]), once, "twice is once");
        marks(&once)
    };
    let all = exported(&ContentPolicy::default());
    assert!(!all.is_empty(), "{span:?}");
    for (mark, switch) in SWITCHES {
        for hashes in [None, Some(HashKey::Unkeyed)] {
            let mut policy = ContentPolicy { hashes, ..ContentPolicy::default() };
            switch(&mut policy);
            let expected: Vec<&str> = all.iter().copied().filter(|left| *left != mark).collect();
            assert_eq!(exported(&policy), expected, "without {mark}: {span:?}");
        }
    }
    let no_content = ContentPolicy { content: false, ..ContentPolicy::default() };
    assert_eq!(exported(&no_content), [""; 0], "no content: {span:?}");
    let metadata_only = ContentPolicy { metadata_only: true, ..ContentPolicy::default() };
    assert_eq!(exported(&metadata_only), [""; 0], "metadata only: {span:?}");
}

/// A conversation in the form of OpenTelemetry's parts.
fn parts() -> Json {
    json!([
        {"role":"system","parts":[{"type":"text","content":SYSTEM}]},
        {"role":"user","parts":[{"type":"text","content":USER}]},
        {"role":"tool","parts":[{"type":"tool_call_response","id":"1","response":INPUT}]},
    ])
}

/// The same in OpenAI's form.
fn chat() -> Json {
    json!([
        {"role":"developer","content":SYSTEM},
        {"role":"user","content":[{"type":"text","text":USER}]},
        {"role":"tool","tool_call_id":"1","content":INPUT},
    ])
}

fn answer() -> Json {
    json!([{"role":"assistant","content":OUTPUT,"tool_calls":[{"function":{"arguments":OUTPUT}}]}])
}

#[test]
fn otel() {
    check(&of(
        "chat",
        &json!({
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": parts(),
            "gen_ai.output.messages": [{"role":"assistant","parts":[{"type":"text","content":OUTPUT}]}],
            "gen_ai.system_instructions": [{"type":"text","content":SYSTEM}],
            "gen_ai.tool.definitions": [{"name":INPUT}],
            "gen_ai.request.model": "gpt-4o",
        }),
    ));
    check(&of(
        "execute_tool",
        &json!({
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.call.arguments": {"city": OTHER},
            "gen_ai.tool.call.result": OTHER,
        }),
    ));
    check(&of(
        "retrieval",
        &json!({
            "gen_ai.operation.name": "retrieval",
            "gen_ai.retrieval.query.text": USER,
            "gen_ai.retrieval.documents": [{"id":"1","content":OTHER}],
        }),
    ));
}

#[test]
fn otel_as_structured_values() {
    let message = |role: &'static str, text: &'static str| {
        let fields: Attributes = [("role", role), ("content", text)].into_iter().collect();
        Value::Map(fields)
    };
    let mut attributes = Attributes::default();
    let messages = vec![message("system", SYSTEM), message("user", USER), message("tool", INPUT)];
    attributes.push("gen_ai.input.messages", Value::Array(messages));
    attributes.push("gen_ai.output.messages", Value::Array(vec![message("assistant", OUTPUT)]));
    check(&span("chat", attributes));
}

#[test]
fn otel_events() {
    let mut chat = span("chat", Attributes::default());
    chat.events = vec![
        event("gen_ai.system.message", &[("content", SYSTEM.into())]),
        event(
            "gen_ai.user.message",
            &[("gen_ai.event.content", format!(r#"{{"content":"{USER}"}}"#))],
        ),
        event("gen_ai.tool.message", &[("content", INPUT.into()), ("id", "1".into())]),
        event("gen_ai.choice", &[("message", OUTPUT.into()), ("tool_calls", OUTPUT.into())]),
    ];
    check(&chat);
    chat.events = vec![
        event("gen_ai.content.prompt", &[("gen_ai.prompt", self::chat().to_string())]),
        event("gen_ai.content.completion", &[("gen_ai.completion", answer().to_string())]),
    ];
    check(&chat);
    let details = [
        ("gen_ai.input.messages", parts().to_string()),
        ("gen_ai.output.messages", answer().to_string()),
        ("gen_ai.system_instructions", SYSTEM.to_owned()),
    ];
    chat.events = vec![event("gen_ai.client.inference.operation.details", &details)];
    check(&chat);
}

#[test]
fn openinference() {
    check(&of(
        "ChatOpenAI",
        &json!({
            "openinference.span.kind": "LLM",
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": SYSTEM,
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.1.message.contents.0.message_content.text": USER,
            "llm.input_messages.10.message.role": "tool",
            "llm.input_messages.10.message.content": INPUT,
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": OUTPUT,
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": OUTPUT,
            "llm.invocation_parameters": {"temperature": 0.1, "system": SYSTEM},
            "llm.tools.0.tool.json_schema": INPUT,
            "input.value": {"model":"gpt-4o","messages":chat()},
            "input.mime_type": "application/json",
            "output.value": {"choices":[{"message":{"role":"assistant","content":OUTPUT}}]},
        }),
    ));
    check(&of(
        "RunnableSequence",
        &json!({
            "openinference.span.kind": "AGENT", "input.value": USER, "output.value": OTHER,
        }),
    ));
    check(&of(
        "search",
        &json!({
            "openinference.span.kind": "TOOL", "input.value": OTHER, "output.value": OTHER,
            "tool.parameters": {"q": OTHER},
        }),
    ));
    check(&of(
        "Retriever",
        &json!({
            "openinference.span.kind": "RETRIEVER",
            "retrieval.documents.0.document.content": OTHER,
        }),
    ));
    check(&of(
        "Embeddings",
        &json!({
            "openinference.span.kind": "EMBEDDING", "embedding.embeddings.0.embedding.text": INPUT,
        }),
    ));
}

#[test]
fn traceloop() {
    check(&of(
        "openai.chat",
        &json!({
            "llm.request.type": "chat",
            "gen_ai.prompt.0.role": "system",
            "gen_ai.prompt.0.content": SYSTEM,
            "gen_ai.prompt.1.role": "user",
            "gen_ai.prompt.1.content": USER,
            "gen_ai.prompt.2.role": "tool",
            "gen_ai.prompt.2.content": INPUT,
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": OUTPUT,
            "gen_ai.completion.0.tool_calls.0.arguments": OUTPUT,
            "llm.request.functions.0.description": INPUT,
        }),
    ));
    check(&of(
        "joke.workflow",
        &json!({
            "traceloop.span.kind": "workflow",
            "traceloop.entity.input": {"args":[USER],"kwargs":{}},
            "traceloop.entity.output": OTHER,
        }),
    ));
    check(&of(
        "step.task",
        &json!({
            "traceloop.span.kind": "task",
            "traceloop.entity.input": {"args":[OTHER],"kwargs":{"messages":chat()}},
            "traceloop.entity.output": {"messages":answer(),"note":OTHER},
        }),
    ));
}

#[test]
fn vercel_langfuse_langsmith() {
    check(&of(
        "ai.generateText.doGenerate",
        &json!({
            "ai.model.id": "gpt-4o",
            "ai.prompt": {"system":SYSTEM,"prompt":[{"role":"user","content":USER}]},
            "ai.prompt.messages": chat(),
            "ai.prompt.tools": [INPUT],
            "ai.response.text": OUTPUT,
            "ai.response.toolCalls": [{"args":OUTPUT}],
        }),
    ));
    check(&of(
        "generation",
        &json!({
            "langfuse.observation.type": "generation",
            "langfuse.observation.input": {"system":SYSTEM,"messages":chat()},
            "langfuse.observation.output": {"role":"assistant","content":OUTPUT},
            "langfuse.trace.input": USER,
        }),
    ));
    let kwargs = |class: &str, text: &str| json!({"lc":1,"id":["langchain","schema",class],"kwargs":{"content":text}});
    check(&of(
        "ChatAnthropic",
        &json!({
            "langsmith.span.kind": "llm",
            "gen_ai.prompt": {"messages":[[kwargs("SystemMessage", SYSTEM),
                kwargs("HumanMessage", USER), kwargs("ToolMessage", INPUT)]]},
            "gen_ai.completion": {"generations":[[{"text":OUTPUT,"message":kwargs("AIMessage", OUTPUT)}]]},
        }),
    ));
}

#[test]
fn logfire_and_pydantic_ai() {
    check(&of(
        "chat gpt-4o",
        &json!({
            "gen_ai.operation.name": "chat",
            "events": [
                {"event.name":"gen_ai.system.message","content":SYSTEM},
                {"event.name":"gen_ai.user.message","role":"user","content":USER},
                {"event.name":"gen_ai.tool.message","content":INPUT},
                {"event.name":"gen_ai.choice","index":0,"message":{"role":"assistant","content":OUTPUT}},
            ],
            "request_data": {"model":"m","messages":chat()},
            "response_data": {"message":{"role":"assistant","content":OUTPUT}},
            "model_request_parameters": {"function_tools":[INPUT]},
        }),
    ));
    check(&of(
        "agent run",
        &json!({
            "gen_ai.operation.name": "invoke_agent",
            "pydantic_ai.all_messages": parts(),
            "final_result": OTHER,
        }),
    ));
    check(&of("running tool", &json!({ "tool_arguments": OTHER, "tool_response": OTHER })));
}

#[test]
fn google_mlflow_genkit_and_others() {
    check(&of(
        "call_llm",
        &json!({
            "gen_ai.operation.name": "call_llm",
            "gcp.vertex.agent.llm_request": {
                "config": {"system_instruction":SYSTEM},
                "contents": [{"role":"user","parts":[{"text":USER}]},
                    {"role":"user","parts":[{"function_response":{"response":INPUT}}]}],
            },
            "gcp.vertex.agent.llm_response": {"content":{"role":"model","parts":[{"text":OUTPUT}]}},
        }),
    ));
    check(&of(
        "mlflow",
        &json!({
            "mlflow.spanType": "\"CHAT_MODEL\"",
            "mlflow.spanInputs": {"messages":chat()},
            "mlflow.spanOutputs": {"choices":[{"message":{"role":"assistant","content":OUTPUT}}]},
            "mlflow.chat.tools": [INPUT],
        }),
    ));
    check(&of(
        "generate",
        &json!({
            "genkit:metadata:subtype": "model",
            "genkit:input": {"messages":chat()},
            "genkit:output": {"message":{"role":"model","content":[{"text":OUTPUT}]}},
        }),
    ));
    check(&of(
        "turn",
        &json!({
            "flue.turn.input": {"systemPrompt":SYSTEM,"messages":[{"role":"user","content":USER}]},
            "flue.turn.output": OUTPUT, "lk.input_text": USER, "lk.response.text": OUTPUT,
            "llm.prompts": chat(), "llm.responses": answer(), "mcp.request.argument": OTHER,
        }),
    ));
}

#[test]
fn plain_names() {
    check(&of(
        "llm",
        &json!({
            "llm.model_name": "gpt-4o", "prompt": chat(), "llm.response": OUTPUT, "completion": OUTPUT,
        }),
    ));
    check(&of(
        "workflow.chat",
        &json!({ "input.value": {"question":USER}, "output.value": OTHER }),
    ));
    check(&of("agent.chat", &json!({ "input": USER, "output": OTHER })));
    check(&of("task.chat", &json!({ "input.value": [OTHER], "output.value": OTHER })));
}

#[test]
fn text_of_unknown_origin_goes_with_any_class_that_it_can_be() {
    for (mark, switch) in SWITCHES {
        let mut span =
            of("llm", &json!({ "llm.model_name": "m", "llm.prompt": "Q", "llm.response": "A" }));
        let mut policy = ContentPolicy::default();
        switch(&mut policy);
        policy.apply(&mut span);
        assert_eq!(span.attributes.get("llm.prompt").is_some(), mark == OUTPUT);
        assert_eq!(span.attributes.get("llm.response").is_some(), mark != OUTPUT);
    }
}

#[test]
fn an_earlier_answer_goes_with_answers_and_with_inputs() {
    let history = json!([{"role":"assistant","content":"earlier"},{"role":"user","content":USER}]);
    for (mark, switch) in SWITCHES {
        let mut span = of("chat", &json!({ "gen_ai.input.messages": history }));
        let mut policy = ContentPolicy::default();
        switch(&mut policy);
        policy.apply(&mut span);
        let left = span.attributes.str("gen_ai.input.messages").unwrap();
        assert_eq!(left.contains("earlier"), mark == SYSTEM || mark == USER, "{mark}");
    }
}

#[test]
fn errors_do_not_quote_what_was_removed() {
    let mut span = of("workflow.chat", &json!({ "input.value": {"question": USER} }));
    span.status =
        Status { code: StatusCode::Error, message: format!("bad question: {USER}").into() };
    span.events = vec![event(
        "exception",
        &[
            ("exception.type", "ValueError".into()),
            ("exception.message", format!("'{USER}'")),
            ("exception.stacktrace", format!("chat(question='{USER}')")),
            ("exception.locals", format!("{{'q': '{USER}'}}")),
        ],
    )];
    span.links = vec![Link {
        trace_id: span.trace_id,
        span_id: span.span_id,
        trace_state: Str::new(),
        attributes: [("gen_ai.prompt", USER)].into_iter().collect(),
        dropped_attributes_count: 0,
        flags: 0,
    }];
    ContentPolicy { user_inputs: false, ..ContentPolicy::default() }.apply(&mut span);
    assert_eq!(marks(&otlp::encode_traces(std::slice::from_ref(&span))), [""; 0], "{span:?}");
    assert_eq!(span.status.message, "bad question: [REMOVED]");
    assert_eq!(span.events[0].attributes.str("exception.type"), Some("ValueError"));
}

#[test]
fn hashes_take_the_place_of_what_was_removed() {
    let attributes = json!({
        "output.value": "abc", "gen_ai.request.model": "m",
        "gen_ai.input.messages": [{"role":"system","content":"s"},{"role":"user","content":"u"}],
    });
    let mut span = of("chat", &attributes);
    let policy = ContentPolicy {
        llm_outputs: false,
        system_prompts: false,
        hashes: Some(HashKey::Unkeyed),
        ..ContentPolicy::default()
    };
    policy.apply(&mut span);
    let text = |key: &str| span.attributes.str(key);
    assert_eq!(text("output.value"), None);
    assert_eq!(text("output.value.hash"), Some(&*HashKey::Unkeyed.hash("abc")));
    assert_eq!(text("gen_ai.input.messages"), Some(r#"[{"role":"user","content":"u"}]"#));
    let whole = attributes["gen_ai.input.messages"].to_string();
    assert_eq!(text("gen_ai.input.messages.hash"), Some(&*HashKey::Unkeyed.hash(&whole)));
    assert_eq!(text("gen_ai.request.model"), Some("m"));
}

#[test]
fn what_is_on_is_not_rewritten() {
    let spaced = r#"[ {"role" : "user", "content" : "u"} ]"#;
    let span = of("chat", &json!({ "gen_ai.input.messages": spaced, "llm.prompt": "{ no json" }));
    let mut applied = span.clone();
    ContentPolicy { llm_outputs: false, ..ContentPolicy::default() }.apply(&mut applied);
    assert_eq!(applied, span);
}

#[test]
fn log_records_are_content_too() {
    let body =
        |fields: &[(&'static str, &'static str)]| Value::Map(fields.iter().copied().collect());
    let record = |name: &str, body: Value| LogEvent {
        trace_id: TraceId::from_bytes(&[1; 16]).unwrap(),
        span_id: SpanId::from_bytes(&[2; 8]).unwrap(),
        time_unix_nano: 1,
        name: name.into(),
        severity_number: 9,
        body,
        attributes: [("gen_ai.system", "openai")].into_iter().collect(),
        resource: Arc::default(),
        scope: Arc::default(),
    };
    let records = [
        record("gen_ai.system.message", body(&[("content", SYSTEM), ("role", "system")])),
        record("gen_ai.user.message", Value::from(USER)),
        record("gen_ai.choice", body(&[("finish_reason", "stop"), ("message", OUTPUT)])),
    ];
    for (mark, switch) in SWITCHES {
        let mut policy = ContentPolicy::default();
        switch(&mut policy);
        for record in &records {
            let before = format!("{record:?}");
            let mut record = record.clone();
            policy.apply_to_log_event(&mut record);
            let after = format!("{record:?}");
            assert_eq!(after.contains("MARK"), !before.contains(mark), "{mark} {after}");
            assert!(after.contains("openai"));
        }
    }
}
