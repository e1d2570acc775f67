use super::*;
use crate::fold::Capture;

#[test]
fn operations_are_known_by_the_names_of_both_versions() {
    for (method, name, is_old) in [
        ("SendMessage", "SendMessage", false),
        ("message/send", "SendMessage", true),
        ("message/stream", "SendStreamingMessage", true),
        ("tasks/get", "GetTask", true),
        ("tasks/resubscribe", "SubscribeToTask", true),
        ("tasks/pushNotificationConfig/set", "CreateTaskPushNotificationConfig", true),
        ("agent/getAuthenticatedExtendedCard", "GetExtendedAgentCard", true),
    ] {
        assert_eq!(Operation::of_method(method), Some(Operation { name, is_old }), "{method}");
    }
    assert_eq!(Operation::of_method("Sendmessage"), None);
}

#[test]
fn operations_are_known_by_their_paths() {
    let mut declared = HeaderMap::new();
    declared.insert("a2a-version", "1.0".parse().unwrap());
    for (method, path, expected) in [
        ("POST", "/message:send", "SendMessage"),
        ("POST", "/v1/message:stream", "SendStreamingMessage"),
        ("POST", "/tenant/message:send", "SendMessage"),
        ("GET", "/tasks/7", "GetTask 7"),
        ("GET", "/tasks", "ListTasks"),
        ("POST", "/tasks/7:cancel", "CancelTask 7"),
        ("GET", "/tasks/7:subscribe", "SubscribeToTask 7"),
        ("POST", "/tasks/7/pushNotificationConfigs", "CreateTaskPushNotificationConfig 7"),
        ("GET", "/tasks/7/pushNotificationConfigs", "ListTaskPushNotificationConfigs 7"),
        ("DELETE", "/tasks/7/pushNotificationConfigs/1", "DeleteTaskPushNotificationConfig 7"),
        ("GET", "/extendedAgentCard", "GetExtendedAgentCard"),
        ("GET", "/v1/card", "GetExtendedAgentCard"),
        ("PUT", "/tasks/7", ""),
        ("GET", "/message:send", ""),
    ] {
        let method: Method = method.parse().unwrap();
        let found = Operation::of_path(&method, path, &declared);
        let shown = found.map_or(String::new(), |(operation, task)| {
            task.map_or(operation.name.to_owned(), |task| format!("{} {task}", operation.name))
        });
        assert_eq!(shown, expected, "{method} {path}");
    }
    // Anybody may have tasks.
    assert_eq!(Operation::of_path(&Method::GET, "/tasks/7", &HeaderMap::new()), None);
}

fn heard(results: &[&str], max_bytes: usize) -> Heard {
    let mut heard = Heard {
        call: AgentCall::default(),
        fault: None,
        said: Said::default(),
        task_state: None,
        room: Room::new(Capture { max_bytes }),
    };
    for result in results {
        hear(Value::first(result).unwrap(), &mut heard);
    }
    heard
}

#[test]
fn results_of_both_versions_tell_the_same() {
    for result in [
        r#"{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_INPUT_REQUIRED"}}}"#,
        r#"{"kind":"task","id":"t","contextId":"c","status":{"state":"input-required"}}"#,
        r#"{"id":"t","contextId":"c","status":{"state":"TASK_STATE_INPUT_REQUIRED"}}"#,
        r#"{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_INPUT_REQUIRED"}}}"#,
        r#"{"kind":"status-update","taskId":"t","contextId":"c","status":{"state":"input-required"}}"#,
    ] {
        let call = heard(&[result], 0).call;
        assert_eq!(call.facts.str("a2a.task.id"), Some("t"), "{result}");
        assert_eq!(call.facts.str("gen_ai.conversation.id"), Some("c"), "{result}");
        let state = Some("TASK_STATE_INPUT_REQUIRED");
        assert_eq!(call.facts.str("a2a.task.state"), state, "{result}");
    }
}

#[test]
fn a_state_that_nobody_knows_is_not_told() {
    let call = heard(&[r#"{"task":{"id":"t","status":{"state":"dreaming"}}}"#], 0).call;
    assert_eq!(call.facts.get("a2a.task.state"), None);
}

#[test]
fn pieces_of_an_artifact_are_one_text() {
    let piece = |text: &str, append: bool| {
        format!(
            r#"{{"artifactUpdate":{{"taskId":"t","contextId":"c","append":{append},
                 "artifact":{{"artifactId":"a","parts":[{{"text":"{text}"}}]}}}}}}"#
        )
    };
    let pieces = [piece("It ", false), piece("rains", true)];
    let pieces: Vec<_> = pieces.iter().map(String::as_str).collect();
    let said = heard(&pieces, 1000).said.into_messages().unwrap().to_string();
    assert!(said.contains(r#""content":"It rains""#), "{said}");
    assert!(heard(&pieces, 0).said.into_messages().is_none());
    let cut = heard(&pieces, 4);
    assert!(cut.room.is_cut);
    assert!(cut.said.into_messages().unwrap().to_string().contains(r#""content":"It r""#));
}
