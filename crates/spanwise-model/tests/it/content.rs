//! Recordings of every dialect, with content switched off: nothing of it is exported.

use std::path::Path;

use spanwise_model::Batch;
use spanwise_model::content::ContentPolicy;
use spanwise_model::wire::otlp;

/// What the recorded application told its models, and what it asked them.
const SYSTEM: &str = "You are a concise travel assistant";
const USER: &str = "Plan a rainy afternoon";

fn recordings() -> impl Iterator<Item = (String, Batch, Batch)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/dialects");
    let dialects = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    dialects.filter(|path| path.is_dir()).map(|path| {
        let traces = otlp::decode_traces_json(&std::fs::read(path.join("traces.json")).unwrap());
        let logs = std::fs::read(path.join("logs.json")).ok();
        let logs = logs.map(|logs| otlp::decode_logs_json(&logs).unwrap());
        (path.display().to_string(), traces.unwrap(), logs.unwrap_or_default())
    })
}

/// Everything that leaves under a policy, as text.
fn exported(policy: &ContentPolicy, traces: &Batch, logs: &Batch) -> String {
    let mut spans = traces.spans.clone();
    for span in &mut spans {
        policy.apply(span);
    }
    let mut log_events = logs.log_events.clone();
    for event in &mut log_events {
        policy.apply_to_log_event(event);
    }
    otlp::encode_traces_json(&spans) + &format!("{log_events:?}")
}

#[test]
fn without_content_no_word_of_it_leaves() {
    for (name, traces, logs) in recordings() {
        for policy in [
            ContentPolicy { content: false, ..ContentPolicy::default() },
            ContentPolicy { metadata_only: true, ..ContentPolicy::default() },
        ] {
            let exported = exported(&policy, &traces, &logs);
            assert!(!exported.contains(SYSTEM) && !exported.contains(USER), "{name}");
        }
    }
}

#[test]
fn system_prompts_leave_by_themselves() {
    let mut n_with_user = 0;
    for (name, traces, logs) in recordings() {
        let policy = ContentPolicy { system_prompts: false, ..ContentPolicy::default() };
        let exported = exported(&policy, &traces, &logs);
        assert!(!exported.contains(SYSTEM), "{name}");
        n_with_user += usize::from(exported.contains(USER));
    }
    assert!(n_with_user >= 4, "{n_with_user}");
}

/// The recorded model repeats the question in its answer, and a task's arguments are its own.
#[test]
fn user_input_leaves_calls_to_models() {
    let mut n_with_system = 0;
    for (name, mut traces, logs) in recordings() {
        traces.spans.retain(|span| {
            let keys = ["gen_ai.request.model", "llm.model_name", "llm.request.model"];
            keys.iter().any(|key| span.attributes.get(key).is_some())
        });
        let policy =
            ContentPolicy { user_inputs: false, llm_outputs: false, ..ContentPolicy::default() };
        let exported = exported(&policy, &traces, &logs);
        assert!(!exported.contains(USER), "{name}");
        n_with_system += usize::from(exported.contains(SYSTEM));
    }
    assert!(n_with_system >= 3, "{n_with_system}");
}
