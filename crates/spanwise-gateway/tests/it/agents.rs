//! Requests to agents. The numbers are those of the list of faults that a gateway survives.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use spanwise_bench_gateway::mock::{End, MockUpstream, Options, Piece, Reply, Seen};
use spanwise_gateway::keys::{Key, KeyHash};
use spanwise_model::{Kind, Value};

use crate::house::House;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const JSON: (&str, &str) = ("content-type", "application/json");

/// A gateway in front of an agent `billing` under `/billing`, which answers like this.
fn house(answer: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> House {
    house_with(answer, "{}", None)
}

fn house_with(
    answer: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
    more: &str,
    keys: Option<Vec<Key>>,
) -> House {
    let options = Options { answer: Some(Arc::new(answer)), ..Options::default() };
    let mock = MockUpstream::start_with(options).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(
        r#"{"listeners":[{"name":"models","type":"agent","port":0,
              "routes":[{"path_prefix":"/billing","agent":"billing"}]}],
            "agents":[{"id":"billing","url":"MOCK/base"}],"model_providers":[]}"#,
    )
    .unwrap();
    let more: serde_json::Value = serde_json::from_str(more).unwrap();
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    House::before(mock, &config.to_string(), keys)
}

fn says(body: &'static str) -> impl Fn(&Seen) -> Option<Reply> {
    move |_| Some(Reply::json(body))
}

fn streams(events: &'static [&'static str]) -> impl Fn(&Seen) -> Option<Reply> {
    move |_| {
        let piece = |data: &&str| Piece::content(format!("data: {data}\n\n").into_bytes());
        Some(Reply::events(events.iter().map(piece).collect()))
    }
}

#[test]
fn any_method_path_and_query_reach_the_agent_and_are_three_spans() {
    let house = house(says("{}"));
    let headers = [("x-custom", "1"), ("content-type", "text/csv"), ("traceparent", CALLER)];
    let answer = house.send("PUT", "/billing/invoices/7?draft=1&a=%20", "a,b", &headers);
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    let seen = &house.mock.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("PUT", "/base/invoices/7?draft=1&a=%20")
    );
    assert_eq!(&*seen.body, b"a,b");
    assert_eq!(seen.header("x-custom"), Some("1"));
    assert_eq!(seen.header("host"), Some(house.mock.address().to_string().as_str()));
    let shown = ["http.request.method", "gen_ai.operation.name", "gen_ai.agent.id"];
    assert_eq!(
        house.tree(3, &shown),
        "PUT /billing http.request.method=PUT\n  \
           invoke_agent billing gen_ai.operation.name=invoke_agent gen_ai.agent.id=billing\n    \
             PUT http.request.method=PUT\n"
    );
    let spans = house.spans(3);
    let attempt = spans.iter().find(|span| span.name == "PUT").unwrap();
    let sent = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", attempt.span_id);
    assert_eq!(seen.header("traceparent"), Some(sent.as_str()));
    let server = spans.iter().find(|span| span.kind == Kind::Server).unwrap();
    assert_eq!(server.parent_span_id.unwrap().to_string(), "b7ad6b7169203331");
    assert!(answer.headers["traceresponse"].contains(&server.span_id.to_string()));
    assert!(answer.headers["server-timing"].starts_with("gateway;dur="));
    assert_eq!(spans.iter().filter(|span| span.name.contains("token")).count(), 0);
}

#[test]
fn an_agent_is_found_by_path_or_by_name_and_strangers_are_told() {
    let house = house(says("{}"));
    assert_eq!(house.get("/billing").status, 200);
    let by_name = house.send("GET", "/x?y", "", &[("spanwise-agent", "billing")]);
    assert_eq!(by_name.status, 200);
    let paths: Vec<_> = house.mock.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/base", "/base/x?y"]);
    assert!(house.mock.seen().iter().all(|seen| seen.header("spanwise-agent").is_none()));
    let unknown = house.send("GET", "/billing", "", &[("spanwise-agent", "nobody")]);
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("there is no agent `nobody`"), "{}", unknown.body);
    assert_eq!(house.get("/billings").status, 404);
    assert_eq!(house.get("/healthz").body, r#"{"status":"ok"}"#);
    assert_eq!(house.get("/billing/%2e%2e/secrets").status, 400);
    assert_eq!(house.mock.n_requests(), 2);
    let tree = house.tree(6, &[]);
    assert!(tree.contains("GET\n  invoke_agent billing\n"), "{tree}");
}

#[test]
fn unusual_methods_do_not_become_names_of_spans() {
    let house = house(says("{}"));
    let answer = house.send("PURGE", "/billing/x", "", &[]);
    assert_eq!(answer.status, 200);
    assert_eq!(house.mock.seen()[0].method, "PURGE");
    let shown = ["http.request.method", "http.request.method_original"];
    let tree = house.tree(3, &shown);
    let method = "http.request.method=_OTHER http.request.method_original=PURGE";
    assert!(tree.starts_with(&format!("HTTP {method}\n")), "{tree}");
}

#[test]
fn an_answer_streams_while_the_agent_is_still_talking() {
    let (go_on, wait) = mpsc::channel::<()>();
    let agent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", agent.local_addr().unwrap());
    let talking = thread::spawn(move || {
        let (mut stream, _) = agent.accept().unwrap();
        read_head(&mut stream);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(b"9\r\ndata: 1\n\n\r\n").unwrap();
        wait.recv().unwrap();
        stream.write_all(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n").unwrap();
    });
    let house =
        house_with(|_| None, &format!(r#"{{"agents":[{{"id":"billing","url":"{url}"}}]}}"#), None);
    let answer = ureq::get(format!("{}/billing", house.url)).call().unwrap();
    let mut lines = BufReader::new(answer.into_body().into_reader()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "data: 1");
    go_on.send(()).unwrap();
    assert_eq!(lines.nth(1).unwrap().unwrap(), "data: 2");
    drop(lines);
    talking.join().unwrap();
    house.spans(3);
}

#[test]
fn a_body_goes_on_while_the_client_is_still_sending_it() {
    let agent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", agent.local_addr().unwrap());
    let (first, has_come) = mpsc::channel::<String>();
    let listening = thread::spawn(move || {
        let (mut stream, _) = agent.accept().unwrap();
        let head = read_head(&mut stream);
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        let mut chunk = [0; 8];
        stream.read_exact(&mut chunk).unwrap();
        first.send(String::from_utf8_lossy(&chunk).into_owned()).unwrap();
        let mut rest = [0; 13];
        stream.read_exact(&mut rest).unwrap();
        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok").unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    });
    let house =
        house_with(|_| None, &format!(r#"{{"agents":[{{"id":"billing","url":"{url}"}}]}}"#), None);
    let mut client = TcpStream::connect(house.url.trim_start_matches("http://")).unwrap();
    let head = "POST /billing HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    client.write_all(b"3\r\none\r\n").unwrap();
    assert_eq!(has_come.recv().unwrap(), "3\r\none\r\n");
    client.write_all(b"3\r\ntwo\r\n0\r\n\r\n").unwrap();
    assert!(read_head(&mut client).starts_with("HTTP/1.1 201"));
    assert_eq!(listening.join().unwrap(), "3\r\ntwo\r\n0\r\n\r\n");
}

#[test]
fn who_does_not_read_is_not_sent_without_bound() {
    const MANY: usize = 256 << 20;
    let agent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", agent.local_addr().unwrap());
    let house =
        house_with(|_| None, &format!(r#"{{"agents":[{{"id":"billing","url":"{url}"}}]}}"#), None);
    let mut client = TcpStream::connect(house.url.trim_start_matches("http://")).unwrap();
    let head = "POST /billing HTTP/1.1\r\nhost: x\r\ncontent-length: 60000000\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    let (mut stream, _) = agent.accept().unwrap();
    read_head(&mut stream);
    let uploaded = pour(&mut client, 60_000_000);
    assert!(uploaded < 30_000_000, "{uploaded} bytes went to an agent that reads none");
    stream
        .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {MANY}\r\n\r\n").as_bytes())
        .unwrap();
    let downloaded = pour(&mut stream, MANY);
    assert!(downloaded < 30_000_000, "{downloaded} bytes went to a client that reads none");
}

/// Writes until nobody takes any more; how much that was.
fn pour(stream: &mut TcpStream, most: usize) -> usize {
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let piece = vec![b'x'; 1 << 16];
    let mut n_bytes = 0;
    while n_bytes < most {
        match stream.write(&piece[..piece.len().min(most - n_bytes)]) {
            Ok(n) => n_bytes += n,
            Err(_) => break,
        }
    }
    n_bytes
}

fn read_head(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).to_lowercase().replace("http/", "HTTP/")
}

const A2A: &[&str] = &[
    "a2a.protocol.version",
    "a2a.message.id",
    "a2a.task.id",
    "a2a.task.state",
    "gen_ai.operation.name",
    "gen_ai.conversation.id",
    "error.type",
];

#[test]
fn a2a_is_understood_in_the_spelling_of_both_versions() {
    let new = house(says(
        r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"id":"t-1","contextId":"c-1",
            "status":{"state":"TASK_STATE_COMPLETED"}}}}"#,
    ));
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{
        "message":{"messageId":"m-1","role":"ROLE_USER","parts":[{"text":"hello"}]}}}"#;
    new.send("POST", "/billing/", body, &[JSON, ("a2a-version", "1.0")]);
    assert_eq!(&*new.mock.seen()[0].body, body.as_bytes());
    assert_eq!(new.mock.seen()[0].header("a2a-version"), Some("1.0"));
    let tree = new.tree(3, A2A);
    let told = "a2a.message.id=m-1 a2a.task.id=t-1 a2a.task.state=TASK_STATE_COMPLETED \
                gen_ai.operation.name=invoke_agent gen_ai.conversation.id=c-1\n";
    assert!(tree.contains(&format!("  SendMessage a2a.protocol.version=1.0 {told}")), "{tree}");

    let old = house(says(
        r#"{"jsonrpc":"2.0","id":"x","result":{"kind":"task","id":"t-1","contextId":"c-1",
            "status":{"state":"completed"}}}"#,
    ));
    let body = r#"{"jsonrpc":"2.0","id":"x","method":"message/send","params":{
        "message":{"messageId":"m-1","role":"user","parts":[{"kind":"text","text":"hello"}]}}}"#;
    old.send("POST", "/billing/", body, &[JSON]);
    let tree = old.tree(3, A2A);
    assert!(tree.contains(&format!("  SendMessage a2a.protocol.version=0.3 {told}")), "{tree}");
    assert!(!format!("{:?}", old.spans(3)).contains("hello"));
}

#[test]
fn a2a_over_plain_http_is_understood() {
    let house = house(|seen: &Seen| {
        Some(match seen.method.as_str() {
            "GET" => Reply {
                status: 404,
                ..Reply::json(r#"{"error":{"code":404,"status":"NOT_FOUND","message":"no"}}"#)
            },
            _ => Reply::json(
                r#"{"message":{"messageId":"r","contextId":"c-2","parts":[{"text":"hi"}]}}"#,
            ),
        })
    });
    let headers = [("content-type", "application/a2a+json"), ("a2a-version", "1.0")];
    let body = r#"{"message":{"messageId":"m-2","role":"ROLE_USER","parts":[{"text":"hello"}]}}"#;
    house.send("POST", "/billing/message:send", body, &headers);
    let tree = house.tree(3, A2A);
    assert!(tree.contains("  SendMessage a2a.protocol.version=1.0 a2a.message.id=m-2 "), "{tree}");
    assert!(tree.contains("gen_ai.conversation.id=c-2"), "{tree}");
    let missing = house.send("GET", "/billing/tasks/t-9", "", &headers[1..]);
    assert_eq!(missing.status, 404);
    let tree = house.tree(6, A2A);
    assert!(
        tree.contains("  GetTask a2a.protocol.version=1.0 a2a.task.id=t-9 error.type=404\n"),
        "{tree}"
    );
    assert!(!tree.contains("GET /billing error.type"), "{tree}");
}

#[test]
fn the_state_of_the_last_update_of_a_task_is_told() {
    const EVENTS: &[&str] = &[
        r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_SUBMITTED"}}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"artifactUpdate":{"taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[{"text":"It "}]}}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"artifactUpdate":{"taskId":"t","contextId":"c","append":true,"artifact":{"artifactId":"a","parts":[{"text":"rains"}]}}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_FAILED"}}}}"#,
    ];
    let house = house_with(streams(EVENTS), r#"{"tracing":{"content":{"capture":true}}}"#, None);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"SendStreamingMessage","params":{
        "message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"weather?"}]}}}"#;
    let answer = house.send("POST", "/billing", body, &[JSON]);
    assert_eq!(answer.events(), EVENTS);
    let tree = house.tree(3, A2A);
    let told = "SendStreamingMessage a2a.message.id=m a2a.task.id=t a2a.task.state=TASK_STATE_FAILED \
                gen_ai.operation.name=invoke_agent gen_ai.conversation.id=c error.type=task_failed";
    assert!(tree.contains(told), "{tree}");
    let spans = house.spans(3);
    let call = spans.iter().find(|span| span.name == "SendStreamingMessage").unwrap();
    let output = call.attributes.str("gen_ai.output.messages").unwrap();
    assert!(output.contains(r#""content":"It rains""#), "{output}");
    assert!(call.attributes.str("gen_ai.input.messages").unwrap().contains("weather?"));
}

#[test]
fn fault_46_an_unknown_method_has_its_code_in_the_span() {
    let house = house(says(
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"method not found"}}"#,
    ));
    let body = r#"{"jsonrpc":"2.0","id":7,"method":"tasks/dream","params":{}}"#;
    let answer = house.send("POST", "/billing", body, &[JSON]);
    assert_eq!(answer.json()["error"]["code"], -32601);
    let shown = ["rpc.method", "rpc.response.status_code", "error.type"];
    let tree = house.tree(3, &shown);
    let told = "  invoke_agent billing rpc.method=tasks/dream rpc.response.status_code=-32601 error.type=-32601\n";
    assert!(tree.contains(told), "{tree}");
}

#[test]
fn fault_46_a_batch_passes_and_the_first_error_in_it_is_told() {
    let house = house(says(
        r#"[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"error":{"code":-32001,"message":"no such task"}}]"#,
    ));
    let body = r#"[{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"id":"a"}},
        {"jsonrpc":"2.0","id":2,"method":"tasks/get","params":{"id":"b"}}]"#;
    let answer = house.send("POST", "/billing", body, &[JSON]);
    assert_eq!(answer.json()[1]["error"]["code"], -32001);
    assert_eq!(&*house.mock.seen()[0].body, body.as_bytes());
    let tree = house.tree(3, &["spanwise.gateway.batch", "error.type"]);
    assert!(
        tree.contains("invoke_agent billing spanwise.gateway.batch=2 error.type=-32001\n"),
        "{tree}"
    );
}

#[test]
fn fault_46_a_task_stream_that_breaks_off_can_be_joined_again() {
    let house = house(|seen: &Seen| {
        let update = |id: u8, state: &str| {
            let result = format!(
                r#"{{"statusUpdate":{{"taskId":"t","contextId":"c","status":{{"state":"{state}"}}}}}}"#
            );
            Piece::content(
                format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n\n").into(),
            )
        };
        Some(Reply::events(match seen.json()["method"].as_str() {
            Some("message/stream") => {
                vec![update(1, "working"), update(1, "completed"), update(1, "completed")]
            }
            _ => vec![update(2, "completed")],
        }))
    });
    let ask = |method: &str, id: u8, params: &str, script: &str| {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        house.send("POST", "/billing", &body, &[JSON, ("x-mock", script)])
    };
    let message = r#"{"message":{"messageId":"m","role":"user","parts":[]}}"#;
    let broken = ask("message/stream", 1, message, "cut=1");
    assert!(!broken.is_whole);
    assert_eq!(broken.events().len(), 1);
    let joined = ask("tasks/resubscribe", 2, r#"{"id":"t"}"#, "delay=0");
    assert!(joined.is_whole);
    let shown = ["a2a.task.id", "a2a.task.state", "error.type"];
    let tree = house.tree(6, &shown);
    let told = "SendStreamingMessage a2a.task.id=t a2a.task.state=TASK_STATE_WORKING error.type=connection_closed\n";
    assert!(tree.contains(told), "{tree}");
    let told = "SubscribeToTask a2a.task.id=t a2a.task.state=TASK_STATE_COMPLETED\n";
    assert!(tree.contains(told), "{tree}");
}

#[test]
fn fault_46_a_card_with_a_private_address_leads_through_the_gateway() {
    let house = house(|seen: &Seen| {
        let host = seen.header("host").unwrap_or_default();
        Some(Reply::json(format!(
            r#"{{"name":"Billing","url":"http://{host}/base/rpc","supportedInterfaces":[
                {{"url":"http://localhost:10510/base/rpc","protocolBinding":"JSONRPC"}},
                {{"url":"http://0.0.0.0/base","protocolBinding":"HTTP+JSON"}}]}}"#
        )))
    });
    for place in ["agent-card.json", "agent.json"] {
        let card = house.get(&format!("/billing/.well-known/{place}"));
        let (url, body) = (&house.url, card.json());
        assert_eq!(body["url"], format!("{url}/billing/rpc"));
        assert_eq!(body["supportedInterfaces"][0]["url"], format!("{url}/billing/rpc"));
        assert_eq!(body["supportedInterfaces"][1]["url"], format!("{url}/billing"));
    }
    let seen = house.mock.seen();
    assert!(seen.iter().all(|seen| seen.header("accept-encoding") == Some("identity")));
    assert!(house.tree(6, &["gen_ai.operation.name"]).contains("  GET agent-card\n"));
}

#[test]
fn tools_of_mcp_are_told_and_their_context_is_in_the_body_too() {
    let house = house(says(
        r#"{"jsonrpc":"2.0","id":3,"result":{"isError":true,"content":[{"type":"text","text":"no city"}]}}"#,
    ));
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{{"name":"weather","arguments":{{"city":"Oslo"}},
            "_meta":{{"progressToken":1,"traceparent":"{CALLER}","tracestate":"a=1"}}}}}}"#
    );
    let headers = [JSON, ("mcp-session-id", "s-1"), ("mcp-protocol-version", "2025-11-25")];
    house.send("POST", "/billing/mcp", &body, &headers);
    let shown = [
        "mcp.method.name",
        "mcp.session.id",
        "mcp.protocol.version",
        "jsonrpc.request.id",
        "gen_ai.operation.name",
        "gen_ai.tool.name",
        "gen_ai.agent.id",
        "gen_ai.tool.call.arguments",
        "error.type",
    ];
    let tree = house.tree(3, &shown);
    let told = "  tools/call weather mcp.method.name=tools/call mcp.session.id=s-1 \
                mcp.protocol.version=2025-11-25 jsonrpc.request.id=3 gen_ai.operation.name=execute_tool \
                gen_ai.tool.name=weather error.type=tool_error\n";
    assert!(tree.contains(told), "{tree}");
    let spans = house.spans(3);
    let server = spans.iter().find(|span| span.kind == Kind::Server).unwrap();
    assert_eq!(server.parent_span_id.unwrap().to_string(), "b7ad6b7169203331");
    let attempt = spans.iter().find(|span| span.name == "POST").unwrap();
    let seen = &house.mock.seen()[0];
    let meta = &seen.json()["params"]["_meta"];
    let sent = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", attempt.span_id);
    assert_eq!(meta["traceparent"], sent);
    assert_eq!(seen.header("traceparent"), Some(sent.as_str()));
    assert_eq!(meta["progressToken"], 1);
}

#[test]
fn what_a_tool_is_told_is_recorded_only_where_it_is_wanted() {
    let answer = r#"{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"rain"}]}}"#;
    let body = r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"weather","arguments":{"city":"Oslo"}}}"#;
    let tells = house_with(says(answer), r#"{"tracing":{"content":{"capture":true}}}"#, None);
    tells.send("POST", "/billing", body, &[JSON]);
    let spans = tells.spans(3);
    let call = spans.iter().find(|span| span.name == "tools/call weather").unwrap();
    assert_eq!(call.attributes.str("gen_ai.tool.call.arguments"), Some(r#"{"city":"Oslo"}"#));
    assert!(call.attributes.str("gen_ai.tool.call.result").unwrap().contains("rain"));
    let silent = house(says(answer));
    silent.send("POST", "/billing", body, &[JSON]);
    let spans = format!("{:?}", silent.spans(3));
    assert!(!spans.contains("Oslo") && !spans.contains("rain"));
}

#[test]
fn an_agent_that_is_to_know_nothing_of_the_trace_is_told_nothing() {
    let agents = r#"{"agents":[{"id":"billing","url":"MOCK","propagate":"none"}]}"#;
    let house = house_with(says("{}"), agents, None);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":3,"method":"tools/list","params":{{"_meta":{{"traceparent":"{CALLER}"}}}}}}"#
    );
    house.send("POST", "/billing", &body, &[JSON, ("traceparent", CALLER), ("b3", "0")]);
    let seen = &house.mock.seen()[0];
    assert_eq!(seen.header("traceparent"), None);
    assert_eq!(seen.header("b3"), None);
    assert_eq!(
        &*seen.body,
        br#"{"jsonrpc":"2.0","id":3,"method":"tools/list","params":{"_meta":{}}}"#
    );
}

#[test]
fn fault_01_a_context_that_breaks_the_rules_starts_a_new_trace() {
    let house = house(says("{}"));
    let long = "0".repeat(10_000);
    for wrong in ["junk", &long, "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] {
        let headers = [("traceparent", wrong), ("tracestate", "a=1")];
        assert_eq!(house.send("GET", "/billing", "", &headers).status, 200);
    }
    let body =
        r#"{"jsonrpc":"2.0","id":3,"method":"tools/list","params":{"_meta":{"traceparent":7}}}"#;
    assert_eq!(house.send("POST", "/billing", body, &[JSON]).status, 200);
    for seen in house.mock.seen() {
        assert_eq!(seen.header("traceparent").unwrap().len(), 55);
        assert_eq!(seen.header("tracestate"), Some("spanwise=hop:1"));
    }
    assert!(house.spans(12).iter().all(|s| s.kind != Kind::Server || s.parent_span_id.is_none()));
}

#[test]
fn fault_19_failures_to_connect_are_told_apart_and_tried_again() {
    for (address, kind) in
        [("http://127.0.0.1:1", "connect_refused"), ("http://no-such-host.invalid", "dns_error")]
    {
        let agents = format!(r#"{{"agents":[{{"id":"billing","url":"{address}"}}]}}"#);
        let house = house_with(|_| None, &agents, None);
        let answer = house.send("POST", "/billing", "a body that streams", &[]);
        assert_eq!(answer.status, 502, "{}", answer.body);
        let tree = house.tree(4, &["http.request.resend_count", "error.type"]);
        let told = format!("    POST http.request.resend_count=1 error.type={kind}\n");
        assert!(tree.contains(&told), "{tree}");
        assert!(tree.contains(&format!("  invoke_agent billing error.type={kind}\n")), "{tree}");
    }
}

#[test]
fn fault_19_who_cannot_be_trusted_is_asked_once() {
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", plain.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let agents = format!(r#"{{"agents":[{{"id":"billing","url":"{url}"}}]}}"#);
    let house = house_with(|_| None, &agents, None);
    assert_eq!(house.get("/billing").status, 502);
    let tree = house.tree(3, &["error.type"]);
    assert!(tree.contains("    GET error.type=tls_error\n"), "{tree}");
}

#[test]
fn fault_20_an_agent_that_falls_silent_is_cut_off() {
    let more = r#"{"timeouts":{"idle":"300ms"}}"#;
    let house = house_with(streams(&["1", "2", "3"]), more, None);
    let answer = house.send("GET", "/billing", "", &[("x-mock", "pace=60000")]);
    assert_eq!((answer.events(), answer.is_whole), (vec!["1".to_owned()], false));
    let tree = house.tree(3, &["error.type"]);
    assert!(tree.contains("invoke_agent billing error.type=idle_timeout\n"), "{tree}");
}

#[test]
fn fault_26_a_name_that_no_agent_can_have_is_none() {
    let house = house(says("{}"));
    let mut client = TcpStream::connect(house.url.trim_start_matches("http://")).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nspanwise-agent: \xff\"<\r\n\r\n").unwrap();
    assert!(read_head(&mut client).starts_with("HTTP/1.1 404"));
    assert_eq!(house.mock.n_requests(), 0);
}

#[test]
fn json_that_is_too_large_to_be_understood_passes() {
    let house = house(says("{}"));
    let text = "x".repeat(9 << 20);
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"x":"{text}"}}}}"#);
    assert_eq!(house.send("POST", "/billing", &body, &[JSON]).status, 200);
    assert!(house.mock.seen()[0].body == body.as_bytes());
    assert!(house.tree(3, &[]).contains("  invoke_agent billing\n"));
}

#[test]
fn openinferences_names_are_there_where_they_are_wanted() {
    let more = r#"{"tracing":{"profile":"both","content":{"capture":true}}}"#;
    let house = house_with(says(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#), more, None);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"w","arguments":{"a":1}}}"#;
    house.send("POST", "/billing", body, &[JSON]);
    let tree = house.tree(3, &["openinference.span.kind", "tool.name", "input.value"]);
    let told = r#"tools/call w openinference.span.kind=TOOL tool.name=w input.value={"a":1}"#;
    assert!(tree.contains(told), "{tree}");
}

#[test]
fn fault_19_what_may_have_been_sent_is_never_sent_again() {
    for (script, kind) in [("hangup", "connection_closed"), ("refuse", "connection_reset")] {
        let house = house(|_| None);
        let answer = house.send("POST", "/billing", "x", &[("x-mock", script)]);
        assert_eq!(answer.status, 502, "{}", answer.body);
        assert_eq!(house.mock.n_requests(), 1);
        let tree = house.tree(3, &["error.type"]);
        assert!(tree.contains(&format!("    POST error.type={kind}\n")), "{tree}");
    }
}

#[test]
fn fault_19_on_a_kept_connection_that_was_closed_only_what_may_be_repeated_is() {
    for (method, status, n_spans) in [("GET", 200, 7), ("POST", 502, 6)] {
        let house = house(|_| None);
        let stale = ("x-mock", "stale");
        assert_eq!(house.send("GET", "/billing", "", &[stale]).status, 200);
        assert_eq!(house.send(method, "/billing", "", &[]).status, status, "{method}");
        let tree = house.tree(n_spans, &["error.type"]);
        assert!(tree.contains(&format!("    {method} error.type=stale_connection\n")), "{tree}");
    }
}

#[test]
fn an_agent_that_does_not_answer_in_time_is_given_up() {
    let house = house_with(|_| None, r#"{"timeouts":{"first_event":"300ms"}}"#, None);
    let body = r#"{"jsonrpc":"2.0","id":"q","method":"tools/list"}"#;
    let answer = house.send("POST", "/billing", body, &[JSON, ("x-mock", "hang")]);
    assert_eq!(answer.status, 504);
    assert_eq!(answer.json()["id"], "q");
    assert_eq!(answer.json()["error"]["code"], -32603);
    let tree = house.tree(3, &["error.type"]);
    assert!(tree.contains("  tools/list error.type=first_event_timeout\n"), "{tree}");
}

#[tokio::test]
async fn fault_22_a_client_that_leaves_cancels_the_agent() {
    let house = house(|_| None);
    let mut client = TcpStream::connect(house.url.trim_start_matches("http://")).unwrap();
    let head = "GET /billing HTTP/1.1\r\nhost: x\r\nx-mock: hang\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    let within = Duration::from_secs(20);
    house.mock.wait_for(within, |seen| seen.len() == 1).await.unwrap();
    drop(client);
    let gone = |seen: &[Seen]| seen.iter().all(|s| s.end().is_some_and(|e| e.0 == End::PeerGone));
    house.mock.wait_for(within, gone).await.unwrap();
    let tree = house.tree(3, &["error.type"]);
    assert!(tree.contains("invoke_agent billing error.type=client_disconnect\n"), "{tree}");
}

#[tokio::test]
async fn fault_22_a_client_that_leaves_in_the_middle_of_a_stream_cancels_it() {
    const EVENT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let house = house(|_: &Seen| {
        let piece = || Piece::content(format!("data: {EVENT}\n\n").into_bytes());
        Some(Reply::events((0..10_000).map(|_| piece()).collect()))
    });
    let answer = ureq::get(format!("{}/billing", house.url)).header("x-mock", "pace=20").call();
    let mut lines = BufReader::new(answer.unwrap().into_body().into_reader()).lines();
    lines.next().unwrap().unwrap();
    drop(lines);
    let gone = |seen: &[Seen]| seen.iter().all(|s| s.end().is_some_and(|e| e.0 == End::PeerGone));
    house.mock.wait_for(Duration::from_secs(20), gone).await.unwrap();
    let tree = house.tree(3, &["error.type"]);
    assert!(tree.contains("invoke_agent billing error.type=client_disconnect\n"), "{tree}");
}

#[test]
fn fault_25_what_belongs_to_one_connection_stays_there() {
    let house = house(says("{}"));
    let headers = [
        ("connection", "x-foo, keep-alive"),
        ("x-foo", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic x"),
        ("upgrade", "websocket"),
        ("expect", "100-continue"),
        ("x-bar", "2"),
    ];
    assert_eq!(house.send("POST", "/billing", "body", &headers).status, 200);
    let seen = &house.mock.seen()[0];
    for (name, _) in &headers[..headers.len() - 1] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x-bar"), Some("2"));
    assert_eq!(seen.header("content-length"), Some("4"));
}

#[test]
fn fault_25_a_request_with_two_lengths_smuggles_nothing() {
    let house = house(says("{}"));
    let mut client = TcpStream::connect(house.url.trim_start_matches("http://")).unwrap();
    let inner = "GET /billing/secret HTTP/1.1\r\nhost: x\r\n\r\n";
    let request = format!(
        "POST /billing/first HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\
         transfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
        5 + inner.len()
    );
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // A reset is an answer too.
    let _ = client.read_to_string(&mut answer);
    assert!(house.mock.seen().iter().all(|seen| !seen.path.contains("secret")));
}

fn key(id: &str, secret: &str, agents: &str) -> Key {
    let text = format!(
        r#"{{"id":"{id}","hash":"{}","agents":{agents},"limits":{{"requests_per_minute":2}}}}"#,
        KeyHash::of(secret.as_bytes())
    );
    serde_json::from_str(&text).unwrap()
}

#[test]
fn fault_27_the_gateways_key_never_leaves_and_cookies_stay() {
    let keys = vec![key("a", "ours", r#"["billing"]"#), key("b", "other", r#"["nobody"]"#)];
    let house = house_with(says("{}"), "{}", Some(keys));
    let call = |headers: &[(&str, &str)]| house.send("GET", "/billing", "", headers).status;
    assert_eq!(call(&[]), 401);
    assert_eq!(call(&[("authorization", "Bearer wrong")]), 401);
    assert_eq!(call(&[("authorization", "Bearer other")]), 403);
    assert_eq!(call(&[("authorization", "Bearer ours"), ("cookie", "c=1")]), 200);
    let both = [("x-spanwise-api-key", "ours"), ("authorization", "Bearer the-agents-own")];
    assert_eq!(call(&both), 200);
    assert_eq!(call(&both), 429);
    let seen = house.mock.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].header("authorization"), None);
    assert_eq!(seen[0].header("cookie"), None);
    assert_eq!(seen[1].header("authorization"), Some("Bearer the-agents-own"));
    assert!(seen.iter().all(|seen| seen.header("x-spanwise-api-key").is_none()));
    let spans = format!("{:?}", house.spans(3 + 3 + 3 + 2));
    assert!(!spans.contains("ours") && !spans.contains("the-agents-own"), "{spans}");
}

#[test]
fn fault_45_a_gateway_that_calls_itself_is_stopped_and_the_trace_shows_it() {
    let more = r#"{"agents":[{"id":"billing","url":"SELF/billing"}],"limits":{"max_hops":3}}"#;
    let house = house_with(|_| None, more, None);
    let answer = house.get("/billing");
    assert_eq!(answer.status, 508, "{}", answer.body);
    let tree = house.tree(10, &["spanwise.gateway.hops", "http.response.status_code"]);
    let deepest = "GET /billing spanwise.gateway.hops=3 http.response.status_code=508\n";
    assert!(tree.contains(&format!("{}{deepest}", "  ".repeat(9))), "{tree}");
}

#[test]
fn fault_47_a_redirect_is_the_clients_to_follow_and_no_credential_goes_there() {
    let elsewhere = MockUpstream::start().unwrap();
    let house = house(|_| None);
    let script = |to: String| ("x-mock", format!("redirect={to}"));
    let (name, value) = script(format!("{}/x", elsewhere.url()).replace("127.0.0.1", "h.example"));
    let answer =
        house.send("GET", "/billing", "", &[(name, &value), ("authorization", "Bearer x")]);
    assert_eq!(answer.status, 307);
    assert!(answer.headers["location"].starts_with("http://h.example"));
    assert_eq!(elsewhere.n_requests(), 0);
    let (name, value) = script(format!("{}/base/mcp/", house.mock.url()));
    let answer = house.send("GET", "/billing/mcp", "", &[(name, &value)]);
    assert_eq!(answer.headers["location"], format!("{}/billing/mcp/", house.url));
}

#[test]
fn an_upload_beyond_the_limit_is_refused() {
    let house = house_with(says("{}"), r#"{"limits":{"max_body_bytes":1000}}"#, None);
    let known = house.send("POST", "/billing", &"x".repeat(2000), &[]);
    assert_eq!(known.status, 413);
    let mut client = TcpStream::connect(house.url.trim_start_matches("http://")).unwrap();
    let head = "POST /billing HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    let _ = client.write_all(format!("7d0\r\n{}\r\n0\r\n\r\n", "x".repeat(2000)).as_bytes());
    assert!(read_head(&mut client).starts_with("HTTP/1.1 413"));
}

#[test]
fn what_is_not_understood_passes_byte_for_byte() {
    let gzip: &[u8] = &[0x1f, 0x8b, 8, 0, 1, 2, 3];
    let house = house(move |_: &Seen| {
        let mut reply = Reply::json(gzip.to_vec());
        reply.headers.push(("content-encoding".into(), "gzip".into()));
        Some(reply)
    });
    let headers = [("accept-encoding", "gzip, br")];
    let mut client = TcpStream::connect(house.url.trim_start_matches("http://")).unwrap();
    let head = "GET /billing HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip, br\r\nconnection: close\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    assert!(read_head(&mut client).contains("content-length: 7\r\n"));
    let mut body = Vec::new();
    client.read_to_end(&mut body).unwrap();
    assert_eq!(body, gzip);
    assert_eq!(house.mock.seen()[0].header("accept-encoding"), Some(headers[0].1));
    let empty = house.send("HEAD", "/billing", "", &[]);
    assert_eq!((empty.status, empty.body.as_str()), (200, ""));
    let spans = house.spans(6);
    assert!(spans.iter().all(|span| span.attributes.get("error.type").is_none()), "{spans:?}");
    let code = Some(&Value::Int(200));
    assert!(spans.iter().any(|span| span.attributes.get("http.response.status_code") == code));
}
