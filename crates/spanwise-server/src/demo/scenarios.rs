//! What the demo's people ask, and what its agents do about it.

use serde_json::{Value as Json, json};
use spanwise_model::{Kind, Span};

use super::governed::governed;
use super::recorder::{Conversation, Model, Recorder, Reply};

const GPT: Model = Model {
    name: "gpt-4o",
    dated: "gpt-4o-2024-08-06",
    provider: "openai",
    first_token_ms: 420,
    tokens_per_second: 95,
};
const GPT_MINI: Model = Model {
    name: "gpt-4o-mini",
    dated: "gpt-4o-mini-2024-07-18",
    provider: "openai",
    first_token_ms: 260,
    tokens_per_second: 140,
};
const SONNET: Model = Model {
    name: "claude-sonnet-4-5",
    dated: "claude-sonnet-4-5-20250929",
    provider: "anthropic",
    first_token_ms: 780,
    tokens_per_second: 70,
};
const GEMINI: Model = Model {
    name: "gemini-2.5-flash",
    dated: "gemini-2.5-flash",
    provider: "gcp.gemini",
    first_token_ms: 310,
    tokens_per_second: 180,
};

const USERS: [&str; 8] = ["amara", "bjorn", "chiara", "dmitri", "esra", "fatou", "goro", "hana"];

/// One trace of the demo: the `n`th since the demo began, starting at `start` (ns since 1970).
pub fn trace(n: u64, start: u64) -> Vec<Span> {
    let user = USERS[(n % USERS.len() as u64) as usize];
    let session = format!("{user}-{}", n / (USERS.len() as u64 * 3));
    let mut recorder = Recorder::new(n, start, user, session);
    match n % 10 {
        0..=3 => support(&mut recorder),
        4 | 5 => handbook(&mut recorder),
        6 => governed(&mut recorder),
        7 | 8 => research(&mut recorder),
        _ => repair(&mut recorder),
    }
    recorder.finish()
}

struct BillingCase {
    question: &'static str,
    invoice: &'static str,
    amount: f64,
    answer: &'static str,
}

const BILLING_CASES: [BillingCase; 4] = [
    BillingCase {
        question: "Hi, I was charged twice for October. Can you look into invoice INV-20418?",
        invoice: "INV-20418",
        amount: 49.0,
        answer: "You're right: **INV-20418** was paid twice on 3 October. I've refunded the second \
                 payment of **$49.00**; it reaches your card within 5 working days.",
    },
    BillingCase {
        question: "Why is my bill higher this month? The invoice is INV-20977.",
        invoice: "INV-20977",
        amount: 128.5,
        answer: "Your plan is unchanged. The extra **$29.50** on INV-20977 is for three seats that \
                 were added on the 12th, charged for the rest of the month.",
    },
    BillingCase {
        question: "請求書 INV-21003 の宛名を会社名に変更できますか？",
        invoice: "INV-21003",
        amount: 310.0,
        answer: "はい、INV-21003 の宛名を会社名に変更しました。新しい PDF は請求ページからダウンロードできます。",
    },
    BillingCase {
        question: "I cancelled last week but INV-21250 just came in. What now?",
        invoice: "INV-21250",
        amount: 19.0,
        answer: "The cancellation took effect after the period had begun, so INV-21250 covers the \
                 days until then. I've credited the unused part, **$14.20**, to your account.",
    },
];

/// A customer writes in: the web front hands over to triage, triage to billing.
fn support(recorder: &mut Recorder) {
    let case = recorder.pick(&BILLING_CASES);
    recorder.in_service("shop-web", |recorder| {
        recorder.span(
            "POST /chat",
            Kind::Server,
            &[
                ("http.request.method", "POST".into()),
                ("http.route", "/chat".into()),
                ("url.path", "/chat".into()),
            ],
            |recorder| {
                recorder.wait(1, 6);
                recorder.span(
                    "POST agents.internal",
                    Kind::Client,
                    &[("http.request.method", "POST".into()), ("server.port", 8001.into())],
                    |recorder| {
                        recorder.in_service("support-agents", |recorder| {
                            support_agents(recorder, case);
                        });
                        recorder.set("http.response.status_code", 200);
                    },
                );
                recorder.set("http.response.status_code", 200);
            },
        );
    });
}

fn support_agents(recorder: &mut Recorder, case: &BillingCase) {
    recorder.span(
        "workflow.customer_support",
        Kind::Server,
        &[
            ("gen_ai.operation.name", "invoke_workflow".into()),
            ("gen_ai.workflow.name", "customer_support".into()),
        ],
        |recorder| {
            recorder.agent("triage", |recorder| {
                let mut talk = Conversation::new(
                    "You are the first contact of Northwind support. Decide who should help and \
                     hand over. Never answer billing questions yourself.",
                    &[
                        ("handoff", "Hand the conversation to another agent"),
                        ("close", "Close a conversation that needs no answer"),
                    ],
                );
                talk.user(case.question);
                let to = json!({"agent": "billing", "reason": "a question about an invoice"});
                recorder.chat(GPT_MINI, &mut talk, &Reply::Tools(&[("handoff", to.clone())]));
                recorder.tool(&mut talk, "handoff", &to, |_| Ok(json!({"accepted": true})));
            });
            recorder.agent("billing", |recorder| billing(recorder, case));
            recorder.answer(case.question, case.answer);
        },
    );
}

fn billing(recorder: &mut Recorder, case: &BillingCase) {
    let mut talk = Conversation::new(
        "You are Northwind's billing specialist. Look the invoice up before you say anything about \
         it. Refund only what was paid twice. Answer in the customer's language, briefly.",
        &[
            ("lookup_invoice", "Find an invoice with its payments by number"),
            ("issue_refund", "Refund a payment, in dollars"),
        ],
    );
    talk.user(case.question);
    if recorder.one_in(6) {
        recorder.refused_chat(
            GPT,
            "RateLimitError",
            "429 Too Many Requests: rate limit reached for gpt-4o, try again in 1.2 s",
        );
        recorder.wait(1200, 1600);
    }
    let number = json!({"number": case.invoice});
    recorder.chat(GPT, &mut talk, &Reply::Tools(&[("lookup_invoice", number.clone())]));
    let found = !recorder.one_in(9);
    recorder.tool(&mut talk, "lookup_invoice", &number, |recorder| {
        query_database(recorder, "SELECT * FROM invoices WHERE number = $1", found);
        if found {
            Ok(json!({"number": case.invoice, "total": case.amount, "currency": "USD",
                      "payments": [{"id": "pay_88", "amount": case.amount},
                                   {"id": "pay_91", "amount": case.amount}]}))
        } else {
            Err(("DatabaseTimeout", "the invoice database did not answer within 2000 ms".into()))
        }
    });
    if !found {
        let sorry = "I can't reach our invoice records right now. I've opened a ticket and a \
                     colleague will write to you today.";
        recorder.chat(GPT, &mut talk, &Reply::Text(sorry, "stop"));
        return;
    }
    if case.answer.contains("refunded") {
        let refund = json!({"payment": "pay_91", "amount": case.amount});
        recorder.chat(GPT, &mut talk, &Reply::Tools(&[("issue_refund", refund.clone())]));
        recorder.tool(&mut talk, "issue_refund", &refund, |recorder| {
            recorder.wait(180, 420);
            Ok(json!({"refund": "re_12", "status": "succeeded"}))
        });
    }
    recorder.chat(GPT, &mut talk, &Reply::Text(case.answer, "stop"));
}

fn query_database(recorder: &mut Recorder, statement: &'static str, answers: bool) {
    recorder.span(
        "SELECT invoices",
        Kind::Client,
        &[("db.system.name", "postgresql".into()), ("db.query.text", statement.into())],
        |recorder| {
            if answers {
                recorder.wait(2, 14);
            } else {
                recorder.wait(2000, 2001);
                recorder.fail("DatabaseTimeout", "canceling statement due to statement timeout");
            }
        },
    );
}

struct HandbookCase {
    question: &'static str,
    documents: [(&'static str, f64, &'static str); 3],
    answer: &'static str,
}

const HANDBOOK_CASES: [HandbookCase; 3] = [
    HandbookCase {
        question: "How many days of parental leave do I get in Portugal?",
        documents: [
            (
                "leave-pt",
                0.91,
                "Employees in Portugal may take 120 or 150 days of initial parental leave.",
            ),
            ("leave-general", 0.78, "Leave is requested in the HR portal at least 30 days ahead."),
            ("benefits-2024", 0.41, "Meal allowance is paid for days worked on site."),
        ],
        answer: "In Portugal you can take **120 or 150 days** of initial parental leave [leave-pt]. \
                 Request it in the HR portal at least 30 days ahead [leave-general].",
    },
    HandbookCase {
        question: "Can I expense a second monitor for my home office?",
        documents: [
            (
                "equipment",
                0.88,
                "Each employee may expense one external monitor up to $400 every three years.",
            ),
            ("home-office", 0.83, "The home-office budget is $600 in the first year."),
            ("travel", 0.29, "Book travel through the agency."),
        ],
        answer: "One external monitor up to **$400** every three years is covered [equipment]. A \
                 second one can come out of the first-year home-office budget of $600 [home-office].",
    },
    HandbookCase {
        question: "What is the on-call compensation for the platform team?",
        documents: [
            ("on-call", 0.86, "On-call is paid at $300 per week plus time and a half for pages."),
            ("platform", 0.71, "The platform team rotates weekly, seven people."),
            ("security", 0.33, "Report incidents within one hour."),
        ],
        answer: "On-call on the platform team pays **$300 per week**, and pages count as time and \
                 a half [on-call]. The rotation is weekly among seven people [platform].",
    },
];

/// A short retrieval-augmented answer.
fn handbook(recorder: &mut Recorder) {
    let case = recorder.pick(&HANDBOOK_CASES);
    let truncated = recorder.one_in(7);
    recorder.in_service("handbook-bot", |recorder| {
        recorder.span(
            "workflow.handbook_answer",
            Kind::Server,
            &[
                ("gen_ai.operation.name", "invoke_workflow".into()),
                ("gen_ai.workflow.name", "handbook_answer".into()),
            ],
            |recorder| {
                let documents: Vec<Json> = case
                    .documents
                    .iter()
                    .map(|(id, score, content)| json!({"id": id, "score": score, "content": content}))
                    .collect();
                recorder.retrieve(case.question, &Json::Array(documents));
                let mut talk = Conversation::new(
                    "Answer from the handbook only. Cite the document after each statement. If the \
                     handbook does not say, say so.",
                    &[],
                );
                let context: Vec<String> = case
                    .documents
                    .iter()
                    .map(|(id, _, content)| format!("[{id}] {content}"))
                    .collect();
                talk.user(&format!("{}\n\n{}", context.join("\n"), case.question));
                let answer = if truncated { &case.answer[..60] } else { case.answer };
                let reason = if truncated { "length" } else { "stop" };
                recorder.chat(GEMINI, &mut talk, &Reply::Text(answer, reason));
                recorder.answer(case.question, answer);
            },
        );
    });
}

const TOPICS: [(&str, &str); 3] = [
    ("solid-state batteries", "energy density, cost per kWh and who ships in volume"),
    ("heat pumps in cold climates", "efficiency below -15 °C and running costs against gas"),
    ("open-weight language models", "licences, sizes and how they compare on coding tasks"),
];

/// A long-running agent that searches, reads, and sends its growing history every turn.
fn research(recorder: &mut Recorder) {
    let (topic, angle) = *recorder.pick(&TOPICS);
    let question = format!("Write a briefing on {topic}: {angle}.");
    recorder.in_service("research-agents", |recorder| {
        recorder.span(
            "workflow.briefing",
            Kind::Server,
            &[
                ("gen_ai.operation.name", "invoke_workflow".into()),
                ("gen_ai.workflow.name", "briefing".into()),
            ],
            |recorder| {
                let notes = recorder.agent("researcher", |r| investigate(r, topic, &question));
                let briefing = recorder.agent("writer", |recorder| {
                    let mut talk = Conversation::new(
                        "Turn notes into a one-page briefing with a clear recommendation.",
                        &[],
                    );
                    talk.user(&format!("{question}\n\nNotes:\n{notes}"));
                    let text = format!(
                        "# {topic}\n\n## What we found\n\n{notes}\n\n## Recommendation\n\nWatch, and \
                         decide again in two quarters: the numbers move faster than the contracts.",
                    );
                    recorder.chat(SONNET, &mut talk, &Reply::Text(&text, "stop"));
                    text
                });
                recorder.answer(&question, &briefing);
            },
        );
    });
}

fn investigate(recorder: &mut Recorder, topic: &str, question: &str) -> String {
    let mut talk = Conversation::new(
        "You research thoroughly. Search, open the best pages, compare sources, and keep short \
         notes with the source of every number. Stop when new pages add nothing.",
        &[
            ("web_search", "Search the web; returns titles and addresses"),
            ("open_page", "Fetch one page as text"),
        ],
    );
    talk.user(question);
    let rounds = 3 + u64::from(recorder.one_in(2)) * 3;
    for round in 1..=rounds {
        let search = json!({"query": format!("{topic} comparison {}", 2023 + round)});
        recorder.chat(SONNET, &mut talk, &Reply::Tools(&[("web_search", search.clone())]));
        recorder.tool(&mut talk, "web_search", &search, |recorder| {
            recorder.wait(300, 900);
            Ok(json!([{"title": format!("{topic}: state of the field, part {round}"),
                       "url": format!("https://example.org/{round}/report")}]))
        });
        let open = json!({"url": format!("https://example.org/{round}/report")});
        recorder.chat(SONNET, &mut talk, &Reply::Tools(&[("open_page", open.clone())]));
        let blocked = recorder.one_in(8);
        recorder.tool(&mut talk, "open_page", &open, |recorder| {
            recorder.wait(200, 1500);
            if blocked {
                return Err((
                    "HTTPError",
                    "403 Forbidden: the site refuses automated readers".into(),
                ));
            }
            let paragraph = format!(
                "Report {round} on {topic}. Measured over twelve sites, costs fell by {} % while \
                 output rose by {} %. The authors name supply of skilled installers as the limit. ",
                7 + round,
                11 + round * 2,
            );
            Ok(json!({"text": paragraph.repeat(6)}))
        });
    }
    let notes = format!(
        "- Costs fell by 8 to {} % a year across {rounds} reports\n- Skilled installers, not \
         parts, are the limit\n- Sources agree on direction, not on pace",
        7 + rounds,
    );
    recorder.chat(SONNET, &mut talk, &Reply::Text(&notes, "stop"));
    notes
}

/// A coding agent that goes in circles until it is stopped.
fn repair(recorder: &mut Recorder) {
    let question = "The test `parses_leap_seconds` fails since yesterday. Please fix it.";
    recorder.in_service("code-agent", |recorder| {
        recorder.agent("coder", |recorder| {
            let mut talk = Conversation::new(
                "You fix failing tests. Make the smallest change, run the tests, and explain.",
                &[
                    ("run_tests", "Run the test suite, optionally one test"),
                    ("edit_file", "Replace text in a file"),
                ],
            );
            talk.user(question);
            let stuck = recorder.one_in(2);
            let run = json!({"test": "parses_leap_seconds"});
            for attempt in 1..=if stuck { 5 } else { 2 } {
                let fixed = !stuck && attempt == 2;
                recorder.chat(GPT, &mut talk, &Reply::Tools(&[("run_tests", run.clone())]));
                recorder.tool(&mut talk, "run_tests", &run, |recorder| {
                    recorder.wait(900, 2600);
                    if fixed {
                        Ok(json!({"passed": 218, "failed": 0}))
                    } else {
                        Err(("TestFailure", "assertion failed: left: 59, right: 60".into()))
                    }
                });
                if !fixed && !stuck {
                    let edit =
                        json!({"file": "src/time.rs", "old": "second < 60", "new": "second <= 60"});
                    recorder.chat(GPT, &mut talk, &Reply::Tools(&[("edit_file", edit.clone())]));
                    recorder.tool(&mut talk, "edit_file", &edit, |recorder| {
                        recorder.wait(3, 20);
                        Ok(json!({"changed": 1}))
                    });
                }
            }
            if stuck {
                recorder.fail(
                    "MaxTurnsExceeded",
                    "the agent was stopped after 5 turns without progress",
                );
                recorder.set("input.value", question);
            } else {
                let answer = "Fixed: seconds may be 60 during a leap second. One comparison in \
                              `src/time.rs` was off by one; all 218 tests pass.";
                recorder.chat(GPT, &mut talk, &Reply::Text(answer, "stop"));
                recorder.answer(question, answer);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::trace;

    #[test]
    fn equal_numbers_give_equal_traces() {
        assert_eq!(trace(7, 1_700_000_000_000_000_000), trace(7, 1_700_000_000_000_000_000));
    }

    #[test]
    fn every_trace_is_one_tree_whose_children_lie_within_their_parents() {
        for n in 0..60 {
            let spans = trace(n, 1_700_000_000_000_000_000);
            let roots = spans.iter().filter(|span| span.parent_span_id.is_none()).count();
            assert_eq!(roots, 1, "trace {n}");
            for span in &spans {
                let Some(parent_id) = span.parent_span_id else { continue };
                let parent = spans.iter().find(|other| other.span_id == parent_id);
                let parent = parent.expect("the parent is in the trace");
                assert!(parent.start_time_unix_nano <= span.start_time_unix_nano);
                assert!(parent.end_time_unix_nano >= span.end_time_unix_nano);
            }
        }
    }
}
