//! Questions that RAG control answers, refuses or rejects, stage by stage as the SDK records them.

use serde_json::{Value as Json, json};
use spanwise_model::{Kind, Value};

use super::recorder::Recorder;

/// A question to the handbook of a company, and how it went.
struct Case {
    question: &'static str,
    documents: &'static [(&'static str, f64, &'static str)],
    /// Documents that were found and that the user may not see.
    denied: i64,
    answer: &'static str,
    outcome: Outcome,
}

#[derive(PartialEq)]
enum Outcome {
    /// It keeps to its policy and cites this many documents.
    Passed(i64),
    /// Nothing was found that this user may see, so that no model was asked.
    Refused,
    /// The rule that it breaks, and how.
    Rejected(&'static str, &'static str),
}

const REFUSAL: &str = "I cannot answer this from the documents available to me.";

const CASES: [Case; 4] = [
    Case {
        question: "How many days of holiday do I have, and by when do I have to take them?",
        documents: &[
            ("holidays", 0.712, "Every employee has 28 days of paid holiday a year."),
            ("holidays-left", 0.583, "What is left of a year's holiday is taken until 31 March."),
        ],
        denied: 1,
        answer: "You have 28 days of paid holiday a year [1], to be taken until 31 March of the \
                 next one [2].",
        outcome: Outcome::Passed(2),
    },
    Case {
        question: "What class may I book for a flight of eight hours?",
        documents: &[(
            "travel-air",
            0.664,
            "Flights of more than six hours may be booked in premium economy.",
        )],
        denied: 0,
        answer: "Premium economy, since it is longer than six hours [1].",
        outcome: Outcome::Passed(1),
    },
    Case {
        question: "What does the head of sales earn?",
        documents: &[],
        denied: 3,
        answer: REFUSAL,
        outcome: Outcome::Refused,
    },
    Case {
        question: "Is the notebook that I work with insured at home?",
        documents: &[(
            "devices",
            0.518,
            "Company devices are insured in offices and while travelling.",
        )],
        denied: 0,
        answer: "Yes, company devices are insured everywhere [1], at home up to $2,500 [3].",
        outcome: Outcome::Rejected("unknown_citation", "[3] is none of the retrieved documents"),
    },
];

const ROOT: &str = "rag_control.request.run";

/// A question of an employee.
pub fn governed(recorder: &mut Recorder) {
    let case = recorder.pick(&CASES);
    recorder.in_service("hr-assistant", |recorder| {
        recorder.span(
            ROOT,
            Kind::Internal,
            &[
                ("gen_ai.operation.name", "invoke_workflow".into()),
                ("gen_ai.workflow.name", "rag_control".into()),
                ("mode", "run".into()),
                ("org_id", "meridian".into()),
                ("organization.id", "meridian".into()),
                ("input.value", case.question.into()),
            ],
            |recorder| {
                let failed = request(recorder, case);
                recorder.set("status", if failed { "error" } else { "ok" });
                if !failed {
                    recorder.set("output.value", case.answer);
                }
            },
        );
    });
}

/// The stages; whether the answer was rejected.
fn request(recorder: &mut Recorder, case: &Case) -> bool {
    recorder.wait(1, 2);
    let policy = if case.outcome == Outcome::Refused { "refusing" } else { "cited_answers" };
    let lookup = [("filter_name", "public_or_team".into()), ("retrieval_top_k", 3_i64.into())];
    stage(recorder, "org_lookup", &lookup, |_| {});
    let embedding = [
        ("gen_ai.operation.name", "embeddings".into()),
        ("gen_ai.request.model", "all-MiniLM-L6-v2".into()),
        ("embedding_model", "all-MiniLM-L6-v2".into()),
        ("embedding_dimensions", 384_i64.into()),
    ];
    stage(recorder, "embedding", &embedding, |recorder| recorder.wait(9, 24));
    stage(recorder, "retrieval", &[("vector_index", "handbook".into())], |recorder| {
        retrieve(recorder, case);
    });
    stage(recorder, "policy.resolve", &[("policy_name", policy.into())], |_| {});
    if case.outcome != Outcome::Refused {
        let built = [("prompt_documents", (case.documents.len() as i64).into())];
        stage(recorder, "prompt.build", &built, |_| {});
        generate(recorder, case);
    }
    let checked =
        [("gen_ai.operation.name", "apply_guardrail".into()), ("policy_name", policy.into())];
    stage(recorder, "enforcement", &checked, |recorder| match &case.outcome {
        Outcome::Passed(citations) => {
            recorder.set("enforcement_result", "passed");
            recorder.set("citations", *citations);
        }
        Outcome::Refused => recorder.set("enforcement_result", "refused"),
        Outcome::Rejected(rule, how) => {
            recorder.set("enforcement_result", "rejected");
            recorder.set("violated_rule", *rule);
            recorder.fail("policy_violation", &format!("{rule}: {how}"));
        }
    });
    let Outcome::Rejected(rule, how) = &case.outcome else { return false };
    recorder.fail("policy_violation", &format!("enforcement: {rule}: {how}"));
    true
}

fn stage(
    recorder: &mut Recorder,
    name: &str,
    attributes: &[(&'static str, Value)],
    body: impl FnOnce(&mut Recorder),
) {
    recorder.span(format!("{ROOT}.stage.{name}"), Kind::Internal, attributes, |recorder| {
        body(recorder);
        let latency = recorder.since_start() as f64 / 1e6;
        recorder.set("stage_latency_ms", latency);
    });
}

fn retrieve(recorder: &mut Recorder, case: &Case) {
    recorder.wait(2, 9);
    let document = |(id, score, content): &(&str, f64, &str)| {
        json!({"id": id, "content": content, "score": score,
               "metadata": {"visibility": "public", "source": "handbook"}})
    };
    let documents: Vec<Json> = case.documents.iter().map(document).collect();
    recorder.set("gen_ai.operation.name", "retrieval");
    recorder.set("gen_ai.data_source.id", "handbook");
    recorder.set("gen_ai.retrieval.query.text", case.question);
    recorder.set("gen_ai.retrieval.documents", Json::Array(documents).to_string());
    recorder.set("returned", case.documents.len() as i64);
    if case.denied > 0 {
        let denied = [("denied", case.denied)].into_iter().collect();
        recorder.event("documents.denied", denied);
    }
}

fn generate(recorder: &mut Recorder, case: &Case) {
    let quoted: Vec<String> = case
        .documents
        .iter()
        .enumerate()
        .map(|(at, (id, _, text))| {
            format!("<document number=\"{}\" id=\"{id}\">\n{text}\n</document>", at + 1)
        })
        .collect();
    let message = |role: &str, text: &str| json!({"role": role, "parts": [{"type": "text", "content": text}]});
    let rules = "Answer the question with the help of the numbered documents, and cite them.";
    let asked = format!("{}\n\nQuestion: {}", quoted.join("\n\n"), case.question);
    let input = json!([message("system", rules), message("user", &asked)]).to_string();
    let output = json!([message("assistant", case.answer)]).to_string();
    let (input_tokens, output_tokens) = (input.len() as i64 / 4, case.answer.len() as i64 / 4);
    let attributes = [
        ("gen_ai.operation.name", "chat".into()),
        ("gen_ai.provider.name", "openai".into()),
        ("gen_ai.request.model", "gpt-4o-mini".into()),
        ("gen_ai.request.temperature", 0.15.into()),
        ("llm_model", "gpt-4o-mini".into()),
        ("temperature", 0.15.into()),
        ("gen_ai.input.messages", input.into()),
        ("gen_ai.output.messages", output.into()),
        ("gen_ai.usage.input_tokens", input_tokens.into()),
        ("gen_ai.usage.output_tokens", output_tokens.into()),
        ("prompt_tokens", input_tokens.into()),
        ("completion_tokens", output_tokens.into()),
        ("total_tokens", (input_tokens + output_tokens).into()),
    ];
    stage(recorder, "llm.generate", &attributes, |recorder| recorder.wait(600, 1900));
}
