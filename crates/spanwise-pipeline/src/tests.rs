use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use spanwise_model::genai::{CostSource, Operation, Part};
use spanwise_model::{Attributes, Event, Scope, SpanId, TraceId, Value};

use super::*;

const START: u64 = 1_780_000_000_000_000_000;
const MS: u64 = 1_000_000;

/// A span of 10 ms with text attributes.
pub fn span(id: u8, parent: Option<u8>, name: &str, attributes: &[(&str, &str)]) -> Span {
    let span_id = |n: u8| SpanId::from_bytes(&[0, 0, 0, 0, 0, 0, 0, n]).unwrap();
    Span {
        trace_id: TraceId::from_bytes(&[7; 16]).unwrap(),
        span_id: span_id(id),
        parent_span_id: parent.map(span_id),
        trace_state: Str::new(),
        flags: 0,
        name: name.into(),
        kind: Kind::Internal,
        start_time_unix_nano: START,
        end_time_unix_nano: START + 10 * MS,
        attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        dropped_attributes_count: 0,
        events: Vec::new(),
        dropped_events_count: 0,
        links: Vec::new(),
        dropped_links_count: 0,
        status: Status::default(),
        resource: Arc::default(),
        scope: Arc::default(),
    }
}

pub fn processed(spans: Vec<Span>) -> Vec<StoredSpan> {
    let batch = Batch { spans, ..Batch::default() };
    let pipeline = Pipeline::new(Arc::new(PriceTable::bundled()));
    pipeline.process(batch, &Arc::from("test"), START).stored
}

fn one(span: Span) -> StoredSpan {
    processed(vec![span]).remove(0)
}

/// The facts of a root span with these attributes.
fn facts(attributes: &[(&str, Value)]) -> Facts {
    one(with(attributes)).facts
}

fn with(attributes: &[(&str, Value)]) -> Span {
    let attributes: Attributes =
        attributes.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    Span { attributes, ..span(1, None, "op", &[]) }
}

fn kind_of(name: &str, parent: Option<u8>, attributes: &[(&str, &str)]) -> Option<Operation> {
    one(span(1, parent, name, attributes)).facts.operation
}

fn text(text: &str) -> Value {
    Value::from(text.to_owned())
}

#[test]
fn p2_values_without_meaning_are_passed_over() {
    let found = facts(&[
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.provider.name", text("unknown")),
        ("gen_ai.system", text("langchain")),
        ("llm.system", text("anthropic")),
        ("gen_ai.request.model", text("")),
        ("llm.model_name", text("claude-3-haiku-20240307")),
        ("gen_ai.usage.input_tokens", Value::Int(0)),
        ("gen_ai.usage.prompt_tokens", Value::Int(9)),
    ]);
    assert_eq!(found.provider, "anthropic");
    assert_eq!(found.request_model, "claude-3-haiku-20240307");
    assert_eq!(found.usage.input, Some(0), "T2: zero is meaningful, the current spelling wins");
}

#[test]
fn p3_current_names_win_over_older_ones_in_any_order() {
    let mut attributes = vec![
        ("model", text("e")),
        ("llm.model_name", text("d")),
        ("llm.request.model_name", text("c")),
        ("gen_ai.request.model", text("b")),
        ("gen_ai.operation.name", text("chat")),
    ];
    assert_eq!(facts(&attributes).request_model, "b");
    attributes.reverse();
    assert_eq!(facts(&attributes).request_model, "b");
}

#[test]
fn p6_numbers_arrive_in_many_types() {
    for number in [Value::Int(12), Value::Double(12.0), text("12"), text("12.0")] {
        let found = facts(&[("gen_ai.usage.input_tokens", number)]);
        assert_eq!(found.usage.input, Some(12));
    }
}

#[test]
fn t5_impossible_counts_are_dropped() {
    for number in [Value::Int(-1), Value::Double(f64::NAN), Value::Double(1.5), text("lots")] {
        assert_eq!(facts(&[("gen_ai.usage.input_tokens", number)]).usage.input, None);
    }
    assert_eq!(facts(&[("gen_ai.usage.input_tokens", Value::Int(1 << 54))]).usage.input, None);
}

#[test]
fn k1_kinds_are_asked_in_order() {
    let kind = |attributes: &[(&str, &str)]| kind_of("op", Some(9), attributes);
    let otel = ("gen_ai.operation.name", "chat");
    assert_eq!(kind(&[otel]), Some(Operation::Chat));
    assert_eq!(kind(&[otel, ("traceloop.span.kind", "tool")]), Some(Operation::Tool));
    let openinference = ("openinference.span.kind", "retriever");
    assert_eq!(kind(&[otel, openinference]), Some(Operation::Retriever));
    assert_eq!(kind(&[otel, openinference, ("spanwise.kind", "agent")]), Some(Operation::Agent));
    let unknown = ("openinference.span.kind", "UNKNOWN");
    assert_eq!(kind(&[unknown, otel]), Some(Operation::Chat), "unknown values ask the next rule");
    assert_eq!(kind(&[("gen_ai.operation.name", "fetch_response"), ("model", "m")]), None);
}

#[test]
fn k1_3_openinference_completions_have_prompts_but_no_messages() {
    let llm = ("openinference.span.kind", "LLM");
    let prompt = ("llm.prompts.0.prompt.text", "Once");
    let message = ("llm.input_messages.0.message.role", "user");
    assert_eq!(kind_of("op", None, &[llm, prompt]), Some(Operation::Completion));
    assert_eq!(kind_of("op", None, &[llm, prompt, message]), Some(Operation::Chat));
}

#[test]
fn k1_8_a_completion_with_roles_is_a_chat() {
    let request = ("llm.request.type", "completion");
    assert_eq!(kind_of("op", None, &[request]), Some(Operation::Completion));
    let role = ("gen_ai.prompt.0.role", "user");
    assert_eq!(kind_of("op", None, &[request, role]), Some(Operation::Chat));
}

#[test]
fn k1_13_to_15_tools_names_and_models() {
    assert_eq!(kind_of("op", None, &[("tool.name", "search")]), Some(Operation::Tool));
    assert_eq!(kind_of("op", None, &[("tool.id", "1")]), None);
    assert_eq!(kind_of("agent.planner", None, &[]), Some(Operation::Agent));
    assert_eq!(kind_of("plan.workflow", None, &[]), Some(Operation::Workflow));
    let stage = "rag_control.request.stream.stage.llm.stream";
    assert_eq!(kind_of(stage, Some(9), &[]), Some(Operation::Chat));
    assert_eq!(kind_of("op", None, &[("model", "x"), ("input", "hi")]), Some(Operation::Chat));
    assert_eq!(kind_of("op", None, &[("prompt_tokens", "5")]), Some(Operation::Chat));
    assert_eq!(kind_of("op", None, &[("model", "x")]), None);
    assert_eq!(kind_of("op", None, &[("input", "x")]), None);
}

#[test]
fn k2_an_http_call_is_only_an_http_call() {
    let http = ("http.request.method", "POST");
    assert_eq!(kind_of("agent.call", None, &[http, ("tool.name", "x")]), None);
    assert_eq!(
        kind_of("op", None, &[http, ("llm.model", "m"), ("prompt_tokens", "5")]),
        Some(Operation::Chat)
    );
}

#[test]
fn k3_a_chain_is_a_workflow_at_the_root_and_a_task_below() {
    let chain = [("openinference.span.kind", "CHAIN")];
    assert_eq!(kind_of("c", None, &chain), Some(Operation::Workflow));
    assert_eq!(kind_of("c", Some(9), &chain), Some(Operation::Task));
}

#[test]
fn c5_identity_comes_from_its_first_key() {
    let found = facts(&[
        ("metadata", text(r#"{"session_id":"from-metadata","user_id":"u-meta"}"#)),
        ("session.id", text("s-1")),
        ("traceloop.association.properties.user_id", Value::Int(42)),
    ]);
    assert_eq!((&*found.session_id, &*found.conversation_id), ("s-1", "s-1"));
    assert_eq!(found.user_id, "42");
    assert_eq!(found.environment, "default");
}

#[test]
fn names_of_agents_tools_and_workflows_come_from_span_names_at_last() {
    let named =
        |name, operation| one(span(1, None, name, &[("gen_ai.operation.name", operation)])).facts;
    assert_eq!(named("invoke_agent planner", "invoke_agent").agent_name, "planner");
    assert_eq!(named("execute_tool search", "execute_tool").tool_name, "search");
    assert_eq!(named("workflow.trip", "invoke_workflow").workflow_name, "trip");
    let class = one(span(1, None, "Runnable<x>", &[("openinference.span.kind", "AGENT")])).facts;
    assert_eq!(class.agent_name, "");
}

#[test]
fn s6_1_openinference_tells_the_answering_model() {
    let scoped = |scope: &'static str| {
        let mut of_scope = with(&[
            ("openinference.span.kind", text("LLM")),
            ("llm.invocation_parameters", text(r#"{"model":"gpt-4o-mini"}"#)),
            ("llm.model_name", text("gpt-4o-mini-2024-07-18")),
        ]);
        of_scope.scope = Arc::new(Scope { name: Str::from_static(scope), ..Scope::default() });
        one(of_scope).facts
    };
    let found = scoped("openinference.instrumentation.openai");
    assert_eq!(found.request_model, "gpt-4o-mini");
    assert_eq!(found.response_model, "gpt-4o-mini-2024-07-18");
    assert_eq!(scoped("app").response_model, "");
}

#[test]
fn t4_exclusive_counts_become_inclusive() {
    let found = facts(&[
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.usage.input_tokens", Value::Int(31)),
        ("gen_ai.usage.output_tokens", Value::Int(29)),
        ("gen_ai.usage.cache_read.input_tokens", Value::Int(2048)),
        ("gen_ai.usage.cache_creation.input_tokens", Value::Int(512)),
    ]);
    assert_eq!((found.usage.input, found.usage.total), (Some(2591), Some(2620)));
}

#[test]
fn t3_aggregates_are_not_usage_and_raw_usage_fills_parts_only() {
    let found = facts(&[
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.aggregated_usage.input_tokens", Value::Int(5)),
        ("gen_ai.usage.raw", text(r#"{"input_tokens":7,"cache_read_input_tokens":3}"#)),
    ]);
    assert_eq!((found.usage.input, found.usage.cache_read), (None, Some(3)));
}

#[test]
fn t6_an_embedding_has_no_output() {
    let tokens = ("gen_ai.usage.output_tokens", Value::Int(0));
    let output = |operation| {
        facts(&[("gen_ai.operation.name", text(operation)), tokens.clone()]).usage.output
    };
    assert_eq!((output("embeddings"), output("chat")), (None, Some(0)));
}

#[test]
fn cost_1_a_reported_cost_wins_and_cost_3_unknown_is_not_zero() {
    let call = |model, more: &[(&'static str, Value)]| {
        let mut attributes = vec![
            ("gen_ai.operation.name", text("chat")),
            ("gen_ai.request.model", text(model)),
            ("gen_ai.usage.input_tokens", Value::Int(1000)),
        ];
        attributes.extend_from_slice(more);
        facts(&attributes).cost.map(|cost| (cost.nano_usd, cost.source))
    };
    assert_eq!(call("gpt-4o", &[]), Some((2_500_000, CostSource::Computed)));
    let reported = [("cost.usd", text("0.5"))];
    assert_eq!(call("gpt-4o", &reported), Some((500_000_000, CostSource::Reported)));
    let parts = [("llm.cost.prompt", Value::Double(0.1)), ("llm.cost.completion", text("0.2"))];
    assert_eq!(call("gpt-4o", &parts), Some((300_000_000, CostSource::Reported)));
    assert_eq!(call("house-7b", &[]), None);
    assert_eq!(call("gpt-4o", &[("cost.usd", Value::Double(-1.0))]).unwrap().0, 2_500_000);
}

#[test]
fn cost_2_the_answering_model_is_priced_first() {
    let found = facts(&[
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.request.model", text("gpt-4o")),
        ("gen_ai.response.model", text("gpt-4o-mini-2024-07-18")),
        ("gen_ai.usage.input_tokens", Value::Int(1000)),
    ]);
    assert_eq!(found.cost.unwrap().nano_usd, 150_000);
}

#[test]
fn s11_time_to_first_token_has_units_and_events() {
    let chat = ("gen_ai.operation.name", text("chat"));
    let told =
        facts(&[chat.clone(), ("gen_ai.response.time_to_first_chunk", Value::Double(0.0025))]);
    assert_eq!(told.time_to_first_token_ns, Some(2_500_000));

    let mut streaming = with(&[chat]);
    for at in [7, 3, 50] {
        streaming.events.push(Event {
            time_unix_nano: START + at * MS,
            name: Str::from_static("First Token Stream Event"),
            attributes: Attributes::default(),
            dropped_attributes_count: 0,
        });
    }
    let row = one(streaming.clone());
    assert_eq!((row.facts.time_to_first_token_ns, row.warnings.len()), (Some(3 * MS), 0));
    streaming.events.drain(..2);
    let row = one(streaming);
    assert_eq!(row.facts.time_to_first_token_ns, Some(50 * MS));
    assert_eq!(row.warnings[0].kind, "first_token_outside");
}

#[test]
fn s12_finish_reasons_are_canonical() {
    let reasons = |value| {
        let chat = ("gen_ai.operation.name", text("chat"));
        facts(&[chat, ("gen_ai.response.finish_reasons", value)]).finish_reasons
    };
    assert_eq!(reasons(text("end_turn")), "stop");
    assert_eq!(reasons(text(r#"["tool_use","MAX_TOKENS"]"#)), "tool_call,length");
    assert_eq!(reasons(Value::Array(vec![text("stop"), text("STOP")])), "stop");
    assert_eq!(reasons(text("because")), "because");
    let in_message = facts(&[
        (
            "gen_ai.output.messages",
            text(r#"[{"role":"assistant","parts":[],"finish_reason":"length"}]"#),
        ),
        ("gen_ai.operation.name", text("chat")),
    ]);
    assert_eq!(in_message.finish_reasons, "length");
}

#[test]
fn e2_error_types_in_order() {
    let exception = |name: &'static str| Event {
        time_unix_nano: START,
        name: Str::from_static("exception"),
        attributes: [("exception.type", name)].into_iter().collect(),
        dropped_attributes_count: 0,
    };
    let mut failed = with(&[("http.response.status_code", Value::Int(429))]);
    assert_eq!(one(failed.clone()).facts.error_type, "429");
    failed.events = vec![exception("Old"), exception("New")];
    assert_eq!(one(failed.clone()).facts.error_type, "New");
    failed.attributes.push("error.type", "Told".to_owned());
    assert_eq!(one(failed).facts.error_type, "Told");
}

#[test]
fn previews_are_the_last_texts() {
    let found = facts(&[
        ("gen_ai.operation.name", text("chat")),
        (
            "gen_ai.input.messages",
            text(
                r#"[{"role":"user","parts":[{"type":"text","content":"first"}]},
                    {"role":"user","parts":[{"type":"text","content":"a \"quoted\" ]}, one"}]},
                    {"role":"tool","parts":[{"type":"tool_call_response","result":"x"}]}]"#,
            ),
        ),
        (
            "gen_ai.output.messages",
            text(r#"[{"role":"assistant","parts":[{"type":"text","content":"answer"}]}]"#),
        ),
    ]);
    assert_eq!(found.input_preview, r#"a "quoted" ]}, one"#);
    assert_eq!(found.output_preview, "answer");
    assert!(found.input_is_message && found.output_is_message);
}

#[test]
fn l1_flattened_indices_are_bounded() {
    let hostile = one(span(
        1,
        None,
        "op",
        &[
            ("openinference.span.kind", "LLM"),
            ("llm.input_messages.4294967295.message.role", "user"),
            ("llm.input_messages.4294967295.message.content", "no"),
            ("llm.input_messages.9999.message.role", "user"),
            ("llm.input_messages.9999.message.content", "yes"),
            ("llm.input_messages.-1.message.content", "no"),
            ("llm.input_messages..message.content", "no"),
        ],
    ));
    assert_eq!(hostile.facts.input_preview, "yes");
    let view = llm_view(&hostile, &[]).unwrap();
    assert_eq!(view.input_messages.len(), 1, "M7: gaps close");
}

#[test]
fn l3_long_arrays_are_read_as_far_as_the_limit() {
    let message = |n: usize| {
        let text = "x".repeat(1 << 20);
        json!({"role":"user","parts":[{"type":"text","content": format!("{n} {text}")}]})
    };
    let messages: serde_json::Value = (0..6).map(message).collect();
    let row = one(with(&[
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.input.messages", Value::from(messages.to_string())),
    ]));
    assert!(row.facts.input_preview.starts_with("5 xxx"));
    assert_eq!(llm_view(&row, &[]).unwrap().input_messages.len(), 3);
}

#[test]
fn l3_deep_json_is_text() {
    let deep = "[".repeat(100_000);
    let row = one(with(&[
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.input.messages", text(&deep)),
        ("gen_ai.tool.definitions", text(&deep)),
    ]));
    let view = llm_view(&row, &[]).unwrap();
    assert_eq!(view.input_messages[0].parts, [Part::Text { content: deep }]);
}

#[test]
fn an_ordinary_span_has_no_view() {
    let row = one(span(1, None, "GET /", &[("http.request.method", "GET"), ("user.id", "u")]));
    assert_eq!(row.facts.operation, None);
    assert_eq!(row.facts.user_id, "u");
    assert!(llm_view(&row, &[]).is_none());
}

#[test]
fn m3_arguments_that_do_not_parse_stay_text() {
    let messages = r#"[{"role":"assistant","tool_calls":[
        {"id":"1","function":{"name":"f","arguments":"{\"a\":1}"}},
        {"id":"2","function":{"name":"g","arguments":"{\"a\":"}}]}]"#;
    let row = one(with(&[
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.output.messages", text(messages)),
    ]));
    let view = llm_view(&row, &[]).unwrap();
    let arguments: Vec<_> = view.output_messages[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::ToolCall { arguments, .. } => arguments.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(arguments, [json!({"a":1}), json!("{\"a\":")]);
}

#[test]
fn m6_messages_may_be_structured_values() {
    let part = Value::Map([("type", "text"), ("content", "hi")].into_iter().collect());
    let mut message: Attributes = [("role", "developer")].into_iter().collect();
    message.push("parts", Value::Array(vec![part]));
    let row = one(with(&[
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.input.messages", Value::Array(vec![Value::Map(message)])),
    ]));
    let message = &llm_view(&row, &[]).unwrap().input_messages[0];
    assert_eq!(message.role, "system", "M1");
    assert_eq!(message.parts, [Part::Text { content: "hi".into() }]);
}

#[test]
fn s7_2_each_side_takes_its_first_source() {
    let row = one(with(&[
        ("openinference.span.kind", text("LLM")),
        ("gen_ai.input.messages", text(r#"[{"role":"user","content":"from otel"}]"#)),
        ("llm.input_messages.0.message.content", text("from openinference")),
        ("llm.output_messages.0.message.content", text("answer")),
    ]));
    let view = llm_view(&row, &[]).unwrap();
    assert_eq!(view.sources["input_messages"], "gen_ai.input.messages");
    assert_eq!(view.sources["output_messages"], "llm.output_messages.*");
    assert_eq!(view.dialects, ["otel", "openinference"]);
}

#[test]
fn log_records_become_rows_with_previews() {
    let owner = span(1, None, "chat", &[]);
    let log = LogEvent {
        trace_id: owner.trace_id,
        span_id: owner.span_id,
        time_unix_nano: 0,
        name: Str::from_static("gen_ai.user.message"),
        severity_number: 9,
        body: Value::Map([("content", "hello")].into_iter().collect()),
        attributes: Attributes::default(),
        resource: Arc::default(),
        scope: Arc::default(),
    };
    let batch = Batch { log_events: vec![log], unrelated_logs: 3, ..Batch::default() };
    let pipeline = Pipeline::new(Arc::new(PriceTable::empty()));
    let processed = pipeline.process(batch, &Arc::from("p"), START);
    assert_eq!((processed.n_spans, processed.n_unrelated_logs), (0, 3));
    let row = &processed.stored[0];
    assert_eq!(row.role, RowRole::LogEvent);
    assert_eq!(row.span.attributes.get(LOG_SEVERITY_KEY), Some(&Value::Int(9)));
    assert_eq!(row.span.start_time_unix_nano, START);
    assert_eq!((&*row.facts.input_preview, row.facts.input_is_message), ("hello", true));
    assert!(llm_view(row, &[]).is_none());
}

#[test]
fn repairs_of_the_decoder_stay_on_their_spans() {
    let warning = Warning::new("bad_utf8", "was bytes");
    let batch = Batch {
        spans: vec![span(1, None, "a", &[]), span(2, Some(1), "b", &[])],
        repairs: vec![(1, warning.clone()), (99, warning.clone())],
        ..Batch::default()
    };
    let pipeline = Pipeline::new(Arc::new(PriceTable::empty()));
    let processed = pipeline.process(batch, &Arc::from("p"), START);
    assert_eq!(processed.stored[0].warnings, []);
    assert_eq!(processed.stored[1].warnings, [warning]);
    assert_eq!(processed.n_repaired, 1);
}

/// Keys that mean something, so that hostile values reach the code behind them.
const KEYS: [&str; 24] = [
    "gen_ai.operation.name",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.response.finish_reasons",
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.prompt",
    "gen_ai.prompt.0.role",
    "gen_ai.prompt.0.tool_calls.1.arguments",
    "openinference.span.kind",
    "llm.input_messages.3.message.contents.0.message_content.text",
    "llm.input_messages.3.message.tool_calls.0.tool_call.function.name",
    "llm.invocation_parameters",
    "llm.tools.0.tool.json_schema",
    "retrieval.documents.0.document.score",
    "input.value",
    "output.value",
    "traceloop.entity.input",
    "cost.usd",
    "metadata",
];

fn any_value() -> impl Strategy<Value = Value> {
    let json = prop_oneof![
        Just(r#"[{"role":"user","content":[{"type":"text","text":"é"}]}]"#),
        Just(r#"{"args":[],"kwargs":{}}"#),
        Just(r#"{"messages":[[{"lc":1,"id":["HumanMessage"],"kwargs":{"content":1}}]]}"#),
        Just(r#"{"choices":[{"message":null},{"text":"x"}]}"#),
        Just(r#"[{"type":"tool_use","input":[]},null,3,"x"]"#),
        Just("chat"),
        Just("TOOL"),
        Just("["),
        Just("[\"\\"),
        Just("{\"a\":"),
    ];
    let leaf = prop_oneof![
        json.prop_map(Value::from),
        ".{0,300}".prop_map(Value::from),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Double),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
        Just(Value::Bytes(bytes::Bytes::from_static(&[0xff, 0]))),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            proptest::collection::vec((proptest::sample::select(&KEYS[..]), inner), 0..3)
                .prop_map(|entries| Value::Map(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_value_under_any_key_panics(
        attributes in proptest::collection::vec(
            (proptest::sample::select(&KEYS[..]), any_value()), 0..12),
        event in proptest::sample::select(
            &["gen_ai.choice", "gen_ai.user.message", "exception", "gen_ai.content.prompt"][..]),
    ) {
        let attributes: Attributes = attributes.into_iter().collect();
        let mut hostile = span(1, Some(1), "x.tool", &[]);
        hostile.events = vec![Event {
            time_unix_nano: 1,
            name: Str::from_static(event),
            attributes: attributes.clone(),
            dropped_attributes_count: 0,
        }];
        hostile.attributes = attributes;
        let rows = processed(vec![hostile]);
        let row = &rows[0];
        llm_view(row, &[]);
        diagnose(&rows);
        prop_assert!(row.facts.input_preview.chars().count() <= 256);
    }

    #[test]
    fn processing_what_was_processed_changes_nothing(
        attributes in proptest::collection::vec(
            (proptest::sample::select(&KEYS[..]), any_value()), 0..12),
    ) {
        let first = one(Span {
            attributes: attributes.into_iter().collect(),
            ..span(1, None, "op", &[])
        });
        let again = one(first.span.clone());
        prop_assert_eq!(again.facts.input_preview, first.facts.input_preview);
        prop_assert_eq!(again.facts.usage, first.facts.usage);
        // NaN is not equal to itself, so spans are compared as they are written.
        prop_assert_eq!(format!("{:?}", again.span), format!("{:?}", first.span));
    }
}
