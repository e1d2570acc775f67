//! HTTP itself: answers without a body, with another or with too little of one, and requests by
//! which one server could be made to see what another does not.

use std::io::Read as _;

use flate2::read::GzDecoder;
use spanwise_bench_gateway::mock::{MockUpstream, Reply};

use super::*;
use crate::house::House;

#[test]
fn fault_24_answers_of_every_shape_arrive_as_they_are() {
    let html = "<html><body><h1>Bad gateway</h1></body></html>";
    for (script, status, body) in [
        ("info=103", 200, None),
        ("status=204", 204, Some("")),
        // An answer to a question that nobody asked.
        ("status=304", 502, None),
        ("body=empty", 200, Some("")),
        ("body=html", 200, Some(html)),
        ("status=502,body=html", 502, Some(html)),
        ("body=junk", 200, Some("{\"id\":\"chatcmpl-mo")),
        ("eof", 200, None),
        ("encoding=br", 200, None),
    ] {
        let house = scripted_with(script, r#"{"retry":{"attempts":1}}"#);
        let answer = house.post(CHAT, &ask("openai/gpt-4o", ""));
        assert_eq!(answer.status, status, "{script}: {}", answer.body);
        assert!(answer.is_whole, "{script}");
        match body {
            Some(body) => assert_eq!(answer.body, body, "{script}"),
            None => assert!(answer.body.starts_with('{'), "{script}: {}", answer.body),
        }
        house.spans(3);
    }
}

#[test]
fn fault_24_what_is_compressed_although_nobody_asked_for_it_passes_unread() {
    for more in ["", r#","stream":true"#] {
        let house = scripted("encoding=gzip");
        let headers = [("accept-encoding", "gzip, br")];
        let answer = house.post_with(CHAT, &ask("openai/gpt-4o", more), &headers);
        assert_eq!(answer.headers["content-encoding"], "gzip");
        let mut plain = String::new();
        GzDecoder::new(&*answer.bytes).read_to_string(&mut plain).unwrap();
        assert!(plain.contains("chatcmpl-mock-0"), "{plain}");
        assert_eq!(house.mock.seen()[0].header("accept-encoding"), Some("identity"));
        let spans = house.spans(3);
        assert_eq!(the_call(&spans).attributes.str("usage.source"), Some("none"));
        assert_eq!(the_call(&spans).attributes.get("error.type"), None);
    }
    // A client of another dialect gets an error that it can read.
    let house = scripted_with("encoding=gzip,status=400", r#"{"retry":{"attempts":1}}"#);
    let answer = house.post(CHAT, &ask("anthropic/claude", ""));
    assert!(!answer.headers.contains_key("content-encoding"));
    assert!(answer.json()["error"].is_object(), "{}", answer.body);
}

#[test]
fn fault_24_an_answer_that_is_shorter_than_it_says_is_not_taken_for_whole() {
    let house = scripted("length=50");
    let answer = house.post(CHAT, &ask("openai/gpt-4o", ""));
    assert!(!answer.is_whole);
    let tree = house.tree(3, &["error.type"]);
    assert!(tree.contains("chat gpt-4o error.type=connection_closed"), "{tree}");
    // What is longer ends where it says, and the connection is not used again.
    let house = scripted("length=-10;deltas=1");
    assert_eq!(house.post(CHAT, &ask("openai/gpt-4o", "")).status, 200);
    assert_eq!(house.post(CHAT, &ask("openai/gpt-4o", "")).json()["object"], "chat.completion");
    assert_eq!(house.mock.n_connections(), 2);
}

#[test]
fn fault_24_other_methods_are_refused_without_a_body_for_head() {
    let house = House::new();
    let head = house.raw(format!("HEAD {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
    assert!(head.starts_with("HTTP/1.1 405") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(house.get(CHAT).status, 405);
    assert_eq!(house.get("/v1/nothing").status, 404);
}

#[test]
fn fault_25_what_is_for_one_connection_stays_on_it() {
    let house = House::answering("{}", |_| {
        let mut reply = Reply::json(r#"{"object":"chat.completion","choices":[]}"#);
        for (name, value) in [
            ("connection", "x-hop, keep-alive"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("x-kept", "1"),
        ] {
            reply.headers.push((name.to_owned(), value.to_owned()));
        }
        Some(reply)
    });
    let body = ask("openai/gpt-4o", "");
    let answer = house.raw(format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close, x-foo\r\nx-foo: 1\r\nte: trailers\r\n\
         proxy-authorization: Basic eDp5\r\nupgrade: h2c\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    let answer = answer.to_lowercase();
    assert!(answer.contains("x-kept: 1") && !answer.contains("x-hop"), "{answer}");
    assert!(!answer.contains("keep-alive"), "{answer}");
    let seen = &house.mock.seen()[0];
    for name in ["x-foo", "te", "proxy-authorization", "upgrade", "connection"] {
        assert_eq!(seen.header(name), None);
    }
}

#[test]
fn fault_25_a_client_that_waits_for_a_word_gets_it() {
    let house = House::new();
    let body = ask("openai/gpt-4o", "");
    let mut wire = house.wire();
    wire.send(format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    ));
    assert!(wire.until("\r\n\r\n").starts_with("HTTP/1.1 100"));
    wire.send(&body);
    assert!(wire.until("\r\n\r\n").starts_with("HTTP/1.1 200"));
    assert_eq!(house.mock.seen()[0].header("expect"), None);
}

#[test]
fn fault_25_a_request_with_two_lengths_is_nobodys_second_request() {
    let house = House::new();
    let hidden = "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
    let start = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\n");
    for (head, body) in [
        ("content-length: 6\r\ntransfer-encoding: chunked", format!("0\r\n\r\n{hidden}")),
        ("content-length: 2\r\ncontent-length: 3", format!("{{}}{hidden}")),
        ("transfer-encoding: chunked, gzip", format!("0\r\n\r\n{hidden}")),
        ("transfer-encoding: xchunked", format!("0\r\n\r\n{hidden}")),
        ("content-length: +2", format!("{{}}{hidden}")),
        ("transfer-encoding: chunked", format!("zz\r\n{{}}\r\n0\r\n\r\n{hidden}")),
        ("content-length : 2", format!("{{}}{hidden}")),
    ] {
        let answer = house.raw(format!("{start}{head}\r\n\r\n{body}"));
        assert!(answer.starts_with("HTTP/1.1 400"), "{head}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{head}: {answer}");
    }
    assert_eq!(house.mock.n_requests(), 0);
}

/// Where the length comes last it counts for nothing, as RFC 9112 has it, and the upstream gets
/// a request with one length, which we wrote.
#[test]
fn fault_25_what_is_sent_on_has_one_length_whatever_came() {
    let house = House::new();
    let body = ask("openai/gpt-4o", "");
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let answer = house.raw(format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n{chunk}"
    ));
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    for seen in house.mock.seen() {
        assert_eq!(seen.header("transfer-encoding"), None);
        assert_eq!(seen.headers_named("content-length"), [seen.body.len().to_string()]);
        assert_eq!(seen.body, body.replace("openai/", ""));
    }
}

#[test]
fn fault_47_a_redirect_is_not_followed_and_not_passed_on() {
    let other = MockUpstream::start().unwrap();
    let elsewhere = other.url();
    let house = House::answering("{}", move |_| {
        let headers = vec![("location".to_owned(), format!("{elsewhere}/v1/chat/completions"))];
        Some(Reply { status: 307, headers, ..Reply::json("") })
    });
    let answer = house.post(CHAT, &ask("openai/gpt-4o", ""));
    assert_eq!(answer.status, 502, "{}", answer.body);
    assert!(!answer.headers.contains_key("location"));
    assert_eq!((house.mock.n_requests(), other.n_requests()), (1, 0));
    let tree = house.tree(3, &["http.response.status_code", "error.type"]);
    assert!(tree.contains("    POST http.response.status_code=307 error.type=307"), "{tree}");
}
