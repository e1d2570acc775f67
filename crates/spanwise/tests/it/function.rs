//! What the attribute macros record, of every shape of function.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::pin::Pin;

use futures::executor::block_on;
use serde::Serialize;
use spanwise::{Sampling, agent, task, tool, workflow};
use spanwise_model::content::{ContentPolicy, HashKey};
use spanwise_model::sampling::Rate;
use spanwise_model::span::StatusCode;
use spanwise_model::{Span, Str};

use crate::recording::{PATIENCE, with_default};

/// The spans that `work` records, in the order in which they end.
fn recorded(work: impl FnOnce()) -> Vec<Span> {
    let mut spans = Vec::new();
    with_default(|sink, recorder| {
        work();
        assert!(recorder.flush(PATIENCE));
        spans = sink.spans();
    });
    spans
}

fn input(span: &Span) -> &str {
    span.attributes.str("input.value").unwrap_or("-")
}

fn output(span: &Span) -> &str {
    span.attributes.str("output.value").unwrap_or("-")
}

#[derive(Clone, Serialize)]
struct Order {
    dish: String,
    count: u32,
}

#[derive(Debug)]
struct OnlyDebug(#[expect(dead_code, reason = "it is shown")] u8);

struct Neither;

#[tool]
fn cook(order: &Order, _ignored: u8, debug: OnlyDebug, neither: Neither) -> String {
    let _ = (debug, neither);
    format!("{} {}", order.count, order.dish)
}

#[agent(name = "waiter", skip(tip))]
fn serve(mut orders: Vec<Order>, tip: f64) -> Vec<String> {
    orders.retain(|order| order.count > 0);
    let _ = tip;
    orders.iter().map(|order| cook(order, 0, OnlyDebug(7), Neither)).collect()
}

#[workflow(organization_id = "acme", project_id = "kitchen", user_id = guest.to_string())]
fn dinner(guest: u64, order: Order) -> Vec<String> {
    serve(vec![order], 1.5)
}

#[test]
fn calls_nest_and_carry_arguments_results_and_ids() {
    with_default(|sink, recorder| {
        assert_eq!(dinner(17, Order { dish: "soup".into(), count: 2 }), ["2 soup"]);
        insta::assert_snapshot!(sink.tree(recorder), @r#"
        workflow.dinner (internal, 0ns)
            spanwise.kind = "workflow"
            gen_ai.operation.name = "invoke_workflow"
            gen_ai.workflow.name = "dinner"
            organization.id = "acme"
            project.id = "kitchen"
            user.id = "17"
            input.value = "{\"guest\":17,\"order\":{\"dish\":\"soup\",\"count\":2}}"
            input.mime_type = "application/json"
            output.value = "[\"2 soup\"]"
            output.mime_type = "application/json"
          agent.waiter (internal, 0ns)
              spanwise.kind = "agent"
              gen_ai.operation.name = "invoke_agent"
              gen_ai.agent.name = "waiter"
              input.value = "{\"orders\":[{\"dish\":\"soup\",\"count\":2}]}"
              input.mime_type = "application/json"
              output.value = "[\"2 soup\"]"
              output.mime_type = "application/json"
              organization.id = "acme"
              project.id = "kitchen"
              user.id = "17"
            tool.cook (internal, 0ns)
                spanwise.kind = "tool"
                gen_ai.operation.name = "execute_tool"
                gen_ai.tool.name = "cook"
                input.value = "{\"order\":{\"dish\":\"soup\",\"count\":2},\"debug\":\"OnlyDebug(7)\",\"neither\":\"<it::function::Neither>\"}"
                input.mime_type = "application/json"
                output.value = "\"2 soup\""
                output.mime_type = "application/json"
                organization.id = "acme"
                project.id = "kitchen"
                user.id = "17"
        "#);
    });
}

#[task(err)]
fn parse(text: &str) -> Result<i32, std::num::ParseIntError> {
    let number: i32 = text.parse()?;
    if number < 0 {
        return Ok(0);
    }
    Ok(number)
}

#[task(err)]
fn refuse(_: ()) -> Result<(), &'static str> {
    Err("no")
}

#[task(err)]
async fn fail_later() -> Result<u8, OnlyDebug> {
    futures::pending!();
    Err(OnlyDebug(1))
}

#[test]
fn errors_fail_the_span_where_it_was_asked_for() {
    let spans = recorded(|| {
        assert_eq!(parse("7"), Ok(7));
        assert_eq!(parse("-7"), Ok(0));
        assert!(parse("x").is_err());
        assert!(refuse(()).is_err());
        let mut later = Box::pin(fail_later());
        block_on(async { assert!(futures::poll!(later.as_mut()).is_pending()) });
        assert!(block_on(later).is_err());
    });
    assert_eq!((output(&spans[0]), spans[0].status.code), ("7", StatusCode::Unset));
    assert_eq!(output(&spans[1]), "0");
    assert_eq!((output(&spans[2]), spans[2].status.code), ("-", StatusCode::Error));
    assert_eq!(
        spans[2].events[0].attributes.str("exception.message"),
        Some("invalid digit found in string")
    );
    assert_eq!(&*spans[3].status.message, "no");
    assert_eq!(&*spans[4].status.message, "OnlyDebug(1)");
}

#[task]
async fn add(a: i32, b: i32) -> i32 {
    step(a).await + step(b).await
}

#[task(skip_output)]
async fn step(n: i32) -> i32 {
    futures::pending!();
    n
}

#[test]
fn async_functions_are_current_whenever_they_run() {
    let spans = recorded(|| {
        let mut both = Box::pin(async { futures::join!(add(1, 2), add(3, 4)) });
        while block_on(async { futures::poll!(both.as_mut()).is_pending() }) {
            drop(spanwise::span("beside"));
        }
    });
    let adds: Vec<_> = spans.iter().filter(|span| span.name == "task.add").collect();
    let below = |add: &Span| {
        let steps = spans.iter().filter(|span| span.parent_span_id == Some(add.span_id));
        steps.map(|step| input(step).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (below(adds[0]), output(adds[0])),
        (vec![r#"{"n":1}"#.into(), r#"{"n":2}"#.into()], "3")
    );
    assert_eq!(
        (below(adds[1]), output(adds[1])),
        (vec![r#"{"n":3}"#.into(), r#"{"n":4}"#.into()], "7")
    );
    assert!(
        spans.iter().filter(|span| span.name == "beside").all(|span| span.parent_span_id.is_none())
    );
}

struct Counter {
    count: u32,
}

impl Counter {
    #[task]
    fn by_ref(&self, step: u32) -> u32 {
        self.count + step
    }

    #[task]
    fn by_mut(&mut self, step: u32) -> &mut Self {
        self.count += step;
        self
    }

    #[task]
    fn by_value(self) -> u32 {
        self.count
    }

    #[task]
    async fn later(&mut self, text: &str) -> usize {
        self.count += 1;
        text.len() + self.count as usize
    }

    #[task]
    fn boxed<'a>(
        &'a self,
        n: &'a u32,
    ) -> Pin<Box<dyn Future<Output = Result<u32, String>> + Send + 'a>> {
        Box::pin(async move {
            if *n > 100 {
                return Err("too much".into());
            }
            Ok(self.count + n)
        })
    }
}

impl Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Counter at {}", self.count)
    }
}

#[async_trait::async_trait]
trait Answers {
    async fn answer(&self, question: &str) -> Result<String, String>;

    #[task]
    fn by_default(&self) -> bool {
        true
    }
}

struct Oracle;

#[async_trait::async_trait]
impl Answers for Oracle {
    #[agent(name = "oracle", err)]
    async fn answer(&self, question: &str) -> Result<String, String> {
        futures::pending!();
        let n: i32 = question.parse().map_err(|_| "not a number".to_owned())?;
        Ok(format!("{}", n + 1))
    }
}

#[test]
fn methods_of_all_sorts_work() {
    let spans = recorded(|| {
        let mut counter = Counter { count: 1 };
        assert_eq!(counter.by_ref(2), 3);
        counter.by_mut(3).by_mut(4);
        assert_eq!(block_on(counter.later("four")), 13);
        assert_eq!(block_on(counter.boxed(&1)), Ok(10));
        assert_eq!(counter.by_value(), 9);
        let oracle: Box<dyn Answers> = Box::new(Oracle);
        for question in ["41", "why"] {
            let mut answer = oracle.answer(question);
            block_on(async { assert!(futures::poll!(answer.as_mut()).is_pending()) });
            assert_eq!(block_on(answer).is_ok(), question == "41");
        }
        assert!(oracle.by_default());
    });
    let seen: Vec<_> = spans
        .iter()
        .map(|span| format!("{} {} {}", span.name, input(span), output(span)))
        .collect();
    insta::assert_snapshot!(seen.join("\n"), @r#"
        task.by_ref {"step":2} 3
        task.by_mut {"step":3} "Counter at 4"
        task.by_mut {"step":4} "Counter at 8"
        task.later {"text":"four"} 13
        task.boxed {"n":1} 10
        task.by_value - 9
        agent.oracle {"question":"41"} "42"
        agent.oracle {"question":"why"} -
        task.by_default - true
        "#);
    assert_eq!(&*spans[7].status.message, "not a number");
}

#[task]
fn generic<T: Display, const N: usize>(
    things: [T; N],
    also: impl Serialize,
    deep: &dyn Debug,
) -> String {
    let _ = (also, deep);
    things.iter().map(ToString::to_string).collect()
}

#[task]
fn opaque(n: u32) -> impl Iterator<Item = u32> + Clone {
    0..n
}

#[task]
fn fallible_opaque(n: u32) -> Result<impl Iterator<Item = u32>, std::num::ParseIntError> {
    let limit: u32 = "3".parse()?;
    Ok(0..n.min(limit))
}

#[task]
#[expect(clippy::manual_async_fn, reason = "it is another shape")]
fn future(n: u32) -> impl Future<Output = u32> + Send {
    async move { n + 1 }
}

#[task]
fn patterns((a, Order { dish, .. }): (i32, Order), [first, ..]: [u8; 3]) -> (i32, String) {
    (a + i32::from(first), dish)
}

#[task]
fn unit() {}

#[task]
fn coerced(yes: bool) -> Box<dyn Debug> {
    if yes { Box::new(1) } else { Box::new("no") }
}

#[task]
async fn borrowed<'a>(text: &'a str, r#type: &str) -> &'a str {
    let _ = r#type;
    text.trim()
}

#[test]
fn signatures_of_all_sorts_work() {
    let spans = recorded(|| {
        assert_eq!(generic([1, 2], vec![Some(1)], &"x"), "12");
        assert_eq!(opaque(3).clone().count(), 3);
        assert_eq!(fallible_opaque(5).unwrap().count(), 3);
        assert_eq!(block_on(future(1)), 2);
        assert_eq!(
            patterns((1, Order { dish: "pie".into(), count: 1 }), [1, 2, 3]),
            (2, "pie".into())
        );
        unit();
        assert_eq!(format!("{:?}", coerced(false)), "\"no\"");
        assert_eq!(block_on(borrowed(" x ", "t")), "x");
    });
    let seen: Vec<_> = spans
        .iter()
        .map(|span| format!("{} {} {}", span.name, input(span), output(span)))
        .collect();
    insta::assert_snapshot!(seen.join("\n"), @r#"
        task.generic {"things":"<[i32; 2]>","also":[1],"deep":"\"x\""} "12"
        task.opaque {"n":3} -
        task.fallible_opaque {"n":5} {"start":0,"end":3}
        task.future {"n":1} 2
        task.patterns {"a":1,"dish":"pie","first":1} [2,"pie"]
        task.unit - -
        task.coerced {"yes":false} "\"no\""
        task.borrowed {"text":" x ","type":"t"} "x"
        "#);
}

#[tool]
fn explode(at: u8) -> u8 {
    assert!(at > 3, "as asked");
    at
}

struct Explosive;

impl Serialize for Explosive {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("as asked")
    }
}

#[tool]
fn handle(thing: Explosive) -> Explosive {
    thing
}

#[test]
fn panics_go_on_and_fail_the_span_and_those_of_recording_go_nowhere() {
    let spans = recorded(|| {
        assert!(std::panic::catch_unwind(|| explode(1)).is_err());
        let _ = handle(Explosive);
    });
    assert_eq!((&*spans[0].status.message, output(&spans[0])), ("panicked", "-"));
    assert_eq!(spans[1].status.code, StatusCode::Unset);
    assert_eq!(input(&spans[1]), r#"{"thing":"<a panic while it was shown>"}"#);
}

struct Untouchable;

impl Debug for Untouchable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("nobody should look")
    }
}

#[workflow]
fn private(secret: Untouchable) -> Untouchable {
    secret
}

#[test]
fn nothing_is_looked_at_where_nothing_is_recorded() {
    with_default(|sink, recorder| {
        recorder.set_sampling(Sampling::Rate(Rate::new(0.0).unwrap()));
        let _ = private(Untouchable);
        assert!(recorder.flush(PATIENCE));
        assert!(sink.spans().is_empty());
    });
    with_default(|sink, recorder| {
        recorder.set_content(ContentPolicy { metadata_only: true, ..ContentPolicy::default() });
        let _ = private(Untouchable);
        assert!(recorder.flush(PATIENCE));
        let keys: Vec<Str> = sink.spans()[0].attributes.iter().map(|a| a.key.clone()).collect();
        assert_eq!(keys, ["spanwise.kind", "gen_ai.operation.name", "gen_ai.workflow.name"]);
    });
}

#[test]
fn where_hashes_are_wanted_they_stand_in_place_of_content() {
    with_default(|sink, recorder| {
        let hashes = Some(HashKey::Unkeyed);
        recorder.set_content(ContentPolicy { content: false, hashes, ..ContentPolicy::default() });
        assert_eq!(opaque(3).count(), 3);
        assert!(recorder.flush(PATIENCE));
        let span = &sink.spans()[0];
        assert_eq!(input(span), "-");
        assert!(span.attributes.str("input.value.hash").unwrap().starts_with("sha256:"));
    });
}

#[test]
fn a_future_that_is_dropped_ends_its_span() {
    let spans = recorded(|| {
        let mut dropped = Box::pin(step(1));
        block_on(async { assert!(futures::poll!(dropped.as_mut()).is_pending()) });
        drop(dropped);
        drop(spanwise::span("next"));
    });
    assert_eq!(&*spans[0].name, "task.step");
    assert_eq!(spans[1].parent_span_id, None);
}

fn is_send<T: Send>(future: T) -> T {
    future
}

#[test]
fn futures_stay_send() {
    drop(is_send(add(1, 2)));
    drop(is_send(Counter { count: 1 }.boxed(&1)));
}

#[test]
fn what_cannot_be_recorded_is_said_clearly() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
