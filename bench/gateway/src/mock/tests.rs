//! The mock as a client sees it.

use super::*;
use crate::http1::Framing;

const PATIENCE: Duration = Duration::from_secs(10);

struct Client {
    connection: Connection,
}

impl Client {
    async fn to(mock: &MockUpstream) -> Self {
        let stream = TcpStream::connect(mock.address()).await.unwrap();
        Client { connection: Connection::new(stream).unwrap() }
    }

    async fn send(&mut self, path: &str, body: &str) {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: mock\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.connection.write(request.as_bytes()).await.unwrap();
    }

    async fn answer(&mut self) -> io::Result<(u16, String)> {
        let ended = || io::Error::from(io::ErrorKind::ConnectionAborted);
        let head = self.connection.head().await?.ok_or_else(ended)?;
        let body = self.connection.body(head.answer_framing()).await?;
        Ok((head.status().unwrap(), String::from_utf8_lossy(&body).into_owned()))
    }

    async fn ask(&mut self, path: &str, body: &str) -> (u16, String) {
        self.send(path, body).await;
        self.answer().await.unwrap()
    }
}

async fn ask(path: &str, body: &str) -> (u16, String) {
    let mock = MockUpstream::start().unwrap();
    Client::to(&mock).await.ask(path, body).await
}

fn json(body: &str) -> serde_json::Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn data_of(events: &str) -> Vec<&str> {
    events.lines().filter_map(|line| line.strip_prefix("data:").map(str::trim)).collect()
}

#[tokio::test]
async fn whole_answers_carry_the_usage_that_their_id_stands_for() {
    let (status, body) = ask("/v1/chat/completions", r#"{"model":"m"}"#).await;
    assert_eq!(status, 200);
    let chat = json(&body);
    let usage = usage_of(chat["id"].as_str().unwrap()).unwrap();
    assert_eq!(chat["usage"]["prompt_tokens"].as_u64(), usage.input);
    assert_eq!(chat["usage"]["completion_tokens"].as_u64(), usage.output);
    assert_eq!(chat["usage"]["total_tokens"].as_u64(), usage.total);
    assert_eq!(chat["model"], "m");

    let message = json(&ask("/v1/messages", r#"{"model":"m"}"#).await.1);
    let usage = usage_of(message["id"].as_str().unwrap()).unwrap();
    let count = |key: &str| message["usage"][key].as_u64().unwrap();
    let input = count("input_tokens")
        + count("cache_read_input_tokens")
        + count("cache_creation_input_tokens");
    assert_eq!(Some(input), usage.input);

    let response = json(&ask("/v1/responses", r#"{"model":"m"}"#).await.1);
    let usage = usage_of(response["id"].as_str().unwrap()).unwrap();
    assert_eq!(response["usage"]["output_tokens"].as_u64(), usage.output);
    assert_eq!(response["status"], "completed");
}

#[tokio::test]
async fn embeddings_are_as_many_as_the_inputs() {
    for (input, n_inputs) in [(r#""a""#, 1), (r#"["a","b"]"#, 2), ("[1,2,3]", 1), ("[[1],[2]]", 2)]
    {
        let request = format!(r#"{{"model":"m","input":{input},"encoding_format":"base64"}}"#);
        let answer = json(&ask("/v1/embeddings", &request).await.1);
        assert_eq!(answer["data"].as_array().unwrap().len(), n_inputs, "{input}");
        assert!(answer["data"][0]["embedding"].is_string());
    }
}

#[tokio::test]
async fn streams_have_the_events_of_their_dialect() {
    let request = r#"{"model":"m~deltas=3","stream":true,"stream_options":{"include_usage":true}}"#;
    let (_, events) = ask("/v1/chat/completions", request).await;
    let data = data_of(&events);
    assert_eq!(data.len(), 1 + 3 + 1 + 1 + 1, "{events}");
    assert_eq!(data.last(), Some(&"[DONE]"));
    assert!(json(data[5])["usage"]["prompt_tokens"].is_u64());
    assert!(json(data[1])["usage"].is_null());

    let request = r#"{"model":"m~deltas=3","stream":true}"#;
    let (_, events) = ask("/v1/chat/completions", request).await;
    assert!(!events.contains("usage"), "{events}");

    let (_, events) = ask("/v1/messages", request).await;
    let kinds: Vec<_> = data_of(&events).iter().map(|data| json(data)["type"].clone()).collect();
    assert_eq!(kinds.first().unwrap(), "message_start");
    assert_eq!(kinds.iter().filter(|kind| *kind == "content_block_delta").count(), 3);
    assert_eq!(kinds.last().unwrap(), "message_stop");

    let (_, events) = ask("/v1/responses", request).await;
    let data = data_of(&events);
    for (number, data) in data.iter().enumerate() {
        assert_eq!(json(data)["sequence_number"], number);
    }
    assert_eq!(json(data.last().unwrap())["response"]["status"], "completed");
}

#[tokio::test]
async fn tools_are_called_in_parallel() {
    let request = r#"{"model":"m~tools=2","stream":true}"#;
    let (_, events) = ask("/v1/chat/completions", request).await;
    let mut arguments = [String::new(), String::new()];
    for data in data_of(&events).into_iter().filter(|data| *data != "[DONE]") {
        let call = &json(data)["choices"][0]["delta"]["tool_calls"][0];
        if let Some(index) = call["index"].as_u64() {
            arguments[index as usize].push_str(call["function"]["arguments"].as_str().unwrap());
        }
    }
    assert_eq!(arguments, [r#"{"step":1}"#, r#"{"step":1}"#]);

    let (_, body) = ask("/v1/messages", r#"{"model":"m~tools=2"}"#).await;
    assert_eq!(json(&body)["content"][1]["input"]["step"], 1);
    let (_, body) = ask("/v1/chat/completions", r#"{"model":"m~tools=2"}"#).await;
    let arguments = json(&body)["choices"][0]["message"]["tool_calls"][1]["function"]["arguments"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(json(&arguments)["step"], 1);
}

#[tokio::test]
async fn steps_of_a_script_are_taken_in_turn() {
    let mock = MockUpstream::start().unwrap();
    let mut client = Client::to(&mock).await;
    let path = "/~status=503,retry-after=7;status=429;deltas=1/v1/chat/completions";
    let statuses = [503, 429, 200, 200];
    for status in statuses {
        assert_eq!(client.ask(path, "{}").await.0, status);
    }
    let seen = mock.seen();
    assert!(seen.iter().all(|seen| seen.connection == 0));
    assert_eq!(seen.len(), statuses.len());
}

#[tokio::test]
async fn errors_have_the_shape_of_their_dialect() {
    let (status, body) = ask("/~status=529/v1/messages", "{}").await;
    assert_eq!((status, json(&body)["error"]["type"].as_str()), (529, Some("overloaded_error")));
    let (status, body) = ask("/~status=429/v1/responses", "{}").await;
    assert_eq!((status, json(&body)["error"]["code"].as_str()), (429, Some("rate_limit_exceeded")));
    let (_, events) = ask("/~error=0/v1/messages", r#"{"stream":true}"#).await;
    assert!(!events.contains("content_block_delta") && events.contains("event: error"));
    let (_, events) = ask("/~error=2/v1/chat/completions", r#"{"stream":true}"#).await;
    assert_eq!(events.matches(r#""delta":{"content""#).count(), 2);
    assert!(events.contains(r#""error":"#) && !events.contains("[DONE]"));
    let (status, body) = ask("/~nonsense/v1/messages", "{}").await;
    assert_eq!((status, body.contains("nonsense")), (599, true));
}

#[tokio::test]
async fn connections_break_where_the_script_says() {
    for (script, is_reset) in
        [("cut=2", false), ("reset=2", true), ("hangup", false), ("refuse", true)]
    {
        let mock = MockUpstream::start().unwrap();
        let mut client = Client::to(&mock).await;
        client.send(&format!("/~{script}/v1/messages"), r#"{"stream":true}"#).await;
        let error = client.answer().await.unwrap_err();
        assert_eq!(error.kind() == io::ErrorKind::ConnectionReset, is_reset, "{script}: {error}");
        let seen = mock.wait_for(PATIENCE, |seen| seen[0].end().is_some()).await.unwrap();
        assert_eq!(seen[0].end().unwrap().0, End::Broken);
    }
    // An orderly end that is too early cannot be seen from HTTP.
    let (status, events) = ask("/~short=2/v1/messages", r#"{"stream":true}"#).await;
    assert_eq!((status, events.contains("message_stop")), (200, false));
}

#[tokio::test]
async fn a_stale_connection_answers_once() {
    let mock = MockUpstream::start().unwrap();
    let mut client = Client::to(&mock).await;
    assert_eq!(client.ask("/~stale/v1/messages", "{}").await.0, 200);
    client.send("/v1/messages", "{}").await;
    assert!(client.answer().await.is_err());
}

#[tokio::test]
async fn framing_is_wrong_when_asked_for() {
    let mock = MockUpstream::start().unwrap();
    let mut client = Client::to(&mock).await;
    client.send("/~length=5/v1/messages", "{}").await;
    assert_eq!(client.answer().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);

    let (_, body) = ask("/~eof/v1/messages", "{}").await;
    assert!(json(&body)["id"].is_string());

    let mut client = Client::to(&mock).await;
    client.send("/~info=103/v1/messages", "{}").await;
    assert_eq!(client.answer().await.unwrap().0, 103);
    assert_eq!(client.answer().await.unwrap().0, 200);
}

#[tokio::test]
async fn the_bytes_of_events_do_not_depend_on_how_they_are_split() {
    let request = r#"{"stream":true}"#;
    let whole = ask("/v1/messages", request).await;
    for split in ["1", "7", "random"] {
        let path = format!("/~split={split}/v1/messages");
        assert_eq!(ask(&path, request).await, whole);
    }
    let (_, crlf) = ask("/~eol=crlf,nospace,comments/v1/messages", request).await;
    assert!(crlf.starts_with(": keep-alive\r\n\r\nevent:message_start\r\ndata:{"), "{crlf}");
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    for script in ["hang", "pace=60000", "delay=60000"] {
        let mock = MockUpstream::start().unwrap();
        let mut client = Client::to(&mock).await;
        client.send(&format!("/~{script}/v1/messages"), r#"{"stream":true}"#).await;
        mock.wait_for(PATIENCE, |seen| seen.len() == 1).await.unwrap();
        drop(client);
        let seen = mock.wait_for(PATIENCE, |seen| seen[0].end().is_some()).await.unwrap();
        assert_eq!(seen[0].end().unwrap().0, End::PeerGone, "{script}");
    }
}

#[tokio::test]
async fn requests_in_chunks_and_expectations_are_understood() {
    let mock = MockUpstream::start().unwrap();
    let mut client = Client::to(&mock).await;
    let request = "POST /v1/messages HTTP/1.1\r\nTraceParent: 00-1\r\nexpect: 100-continue\r\n\
                   transfer-encoding: chunked\r\n\r\n5\r\n{\"mod\r\n8;x=y\r\nel\":\"m\"}\r\n0\r\n\r\n";
    client.connection.write(request.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().0, 100);
    assert_eq!(json(&client.answer().await.unwrap().1)["model"], "m");
    let seen = mock.seen().remove(0);
    assert_eq!(seen.header("traceparent"), Some("00-1"));
    assert_eq!(seen.json()["model"], "m");
}

#[tokio::test]
async fn a_test_can_answer_itself() {
    let answer: Arc<Answer> = Arc::new(|seen| {
        seen.path
            .ends_with("/mine")
            .then(|| Reply::events(vec![Piece::content(b"data: 1\n\n".to_vec())]))
    });
    let options = Options { answer: Some(answer), ..Options::default() };
    let mock = MockUpstream::start_with(options).unwrap();
    let mut client = Client::to(&mock).await;
    assert_eq!(client.ask("/mine", "").await, (200, "data: 1\n\n".into()));
    assert_eq!(client.ask("/v1/models", "").await.0, 200);
}

#[tokio::test]
async fn events_carry_the_time_at_which_they_left() {
    let before = clock::now_ns();
    let (_, events) = ask("/~clock/v1/chat/completions", r#"{"stream":true}"#).await;
    let times: Vec<_> =
        data_of(&events).iter().filter_map(|data| sent_at_ns(data.as_bytes())).collect();
    assert_eq!(times.len(), 10);
    assert!(times.is_sorted() && times[0] >= before);
    assert_eq!(sent_at_ns(ask("/v1/chat/completions", "{}").await.1.as_bytes()), None);
}

#[tokio::test]
async fn heads_are_bounded_and_ends_are_told_apart() {
    let mock = MockUpstream::start().unwrap();
    let mut client = Client::to(&mock).await;
    client.connection.write(b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n").await.unwrap();
    assert!(client.connection.head().await.unwrap().is_none());
    assert_eq!(client.connection.piece(&mut Framing::UntilEnd).await.unwrap(), None);
}
