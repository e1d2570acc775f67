//! Providers that refuse, fail, are away or take their time.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::*;
use crate::house::House;

/// Holds that the client of `both` gets a stream of the second target and never knows of the first.
fn check_goes_elsewhere(script: &str, kind: &str) {
    let house = House::with(&two(script, r#","timeouts":{"first_event":"700ms"}"#));
    let answer = house.post(CHAT, &ask_stream("both"));
    assert_eq!(answer.status, 200, "{script}: {}", answer.body);
    assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"), "{script}");
    let tree = house.tree(4, &["http.request.resend_count", "error.type"]);
    assert!(tree.contains(&format!("    POST error.type={kind}\n")), "{script}: {tree}");
    assert!(tree.contains("    POST http.request.resend_count=1\n"), "{script}: {tree}");
    assert!(!tree.contains("chat gpt-4o error.type"), "{script}: {tree}");
}

#[test]
fn fault_14_an_error_instead_of_a_first_event_is_never_seen() {
    check_goes_elsewhere("error=0", "server_error");
}

#[test]
fn fault_16_who_is_too_busy_is_not_waited_for_if_there_is_another() {
    check_goes_elsewhere("status=503", "server_error");
    check_goes_elsewhere("status=529", "server_error");
    check_goes_elsewhere("status=429,retry-after=3600", "rate_limit_exceeded");
}

#[test]
fn fault_16_a_wait_that_is_asked_for_is_kept_where_there_is_no_other() {
    let past = "Wed%2C 21 Oct 2015 07:28:00 GMT".replace("%2C", "");
    for wait in ["0", "0.01", &past, "soon"] {
        let house =
            scripted(&format!("status=429,retry-after={wait};deltas=1").replace(' ', "%20"));
        let answer = house.post(CHAT, &ask("openai/gpt-4o", ""));
        assert_eq!(answer.status, 200, "{wait}: {}", answer.body);
        assert_eq!(house.mock.n_requests(), 2);
        house.spans(4);
    }
}

#[test]
fn fault_16_a_wait_that_nobody_has_time_for_is_the_clients() {
    for (wait, more) in
        [("3600", "{}"), ("99999999999999999999", "{}"), ("5", r#"{"timeouts":{"total":"2s"}}"#)]
    {
        let house = scripted_with(&format!("status=503,retry-after={wait}"), more);
        let answer = house.post(CHAT, &ask("openai/gpt-4o", ""));
        assert_eq!(answer.status, 503, "{wait}");
        assert_eq!(answer.headers["retry-after"], wait);
        assert_eq!(house.mock.n_requests(), 1, "{wait}");
    }
}

#[test]
fn fault_17_a_refused_credential_is_not_shown_and_soon_not_used() {
    for status in [401, 403] {
        let house = scripted(&format!("status={status}"));
        for n in 1..=3 {
            let answer = house.post(CHAT, &ask("openai/gpt-4o", ""));
            assert_eq!(answer.status, 502, "{}", answer.body);
            assert!(!answer.body.contains("the mock says so"), "{}", answer.body);
            assert_eq!(house.mock.n_requests(), n, "no retry with the same key");
        }
        // All who have the same key are left alone now.
        let answer = house.post(CHAT, &ask("openai/gpt-4o-mini", ""));
        assert_eq!(answer.status, 503, "{}", answer.body);
        let answer = house.post(CHAT, &ask("openai/gpt-4o", ""));
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.headers.contains_key("retry-after"));
        assert!(!format!("{:?}", house.spans(9 + 4)).contains("sk-upstream"));
    }
}

#[test]
fn fault_18_the_providers_own_words_about_a_bad_request_pass() {
    let house = scripted("status=400");
    let answer = house.post(CHAT, &ask("openai/gpt-4o", ""));
    assert_eq!(answer.status, 400);
    let words = r#"{"error":{"message":"the mock says so","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#;
    assert_eq!(answer.body, words);
    assert_eq!(house.mock.n_requests(), 1);
    let tree = house.tree(3, &["error.type"]);
    assert!(tree.contains("chat gpt-4o error.type=invalid_request_error"), "{tree}");
}

#[test]
fn fault_19_failures_before_an_answer_go_to_another_target() {
    check_goes_elsewhere("hangup", "connection_closed");
    check_goes_elsewhere("refuse", "connection_reset");
}

/// What the only attempt to reach this address is blamed for.
fn blame(address: &str, more: &str) -> (u16, String) {
    let house = House::with(&format!(
        r#"{{"model_providers":[{{"model":"openai/*","base_url":"{address}"}}],"retry":{{"attempts":1}}{more}}}"#
    ));
    let answer = house.post(CHAT, &ask("openai/gpt-4o", ""));
    let spans = house.spans(3);
    let attempt = spans.iter().find(|span| span.name == "POST").unwrap();
    (answer.status, attempt.attributes.str("error.type").unwrap().to_owned())
}

#[test]
fn fault_19_failures_to_connect_are_told_apart() {
    let blamed = |address: &str| blame(address, "");
    assert_eq!(blamed("http://127.0.0.1:1"), (502, "connect_refused".to_owned()));
    assert_eq!(blamed("http://no-such-host.invalid"), (502, "dns_error".to_owned()));
    assert_eq!(blamed("MOCK/~hangup/v1"), (502, "connection_closed".to_owned()));
    assert_eq!(blamed("MOCK/~refuse/v1"), (502, "connection_reset".to_owned()));
    assert_eq!(blamed(&bad_certificate()), (502, "tls_error".to_owned()));
}

/// Where a server has a certificate that nobody knows.
fn bad_certificate() -> String {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let config = std::sync::Arc::new(config.clone());
            let mut session = rustls::ServerConnection::new(config).unwrap();
            // Fails when the client has seen the certificate.
            while session.is_handshaking() && session.complete_io(&mut socket).is_ok() {}
        }
    });
    format!("https://localhost:{port}")
}

#[test]
fn fault_19_a_kept_connection_that_was_closed_is_replaced_once() {
    // Each connection answers one request and is reset by the next.
    let house = scripted_with("stale", r#"{"retry":{"attempts":1}}"#);
    for n in 0..4 {
        let answer = house.post(CHAT, &ask("openai/gpt-4o", ""));
        assert_eq!(answer.status, 200, "{n}: {}", answer.body);
    }
    assert_eq!(house.mock.n_connections(), 4);
    let spans = house.spans(4 * 3 + 3);
    let stale = |span: &&Span| span.attributes.str("error.type") == Some("stale_connection");
    assert_eq!(spans.iter().filter(stale).count(), 3);
    assert!(spans.iter().filter(|span| span.name == "chat gpt-4o").all(|span| !stale(&span)));
}

#[test]
fn fault_20_each_time_has_an_end_of_its_own() {
    let late = |script: &str, more: &str| blame(&format!("MOCK/~{script}/v1"), more);
    assert_eq!(
        late("hang", r#","timeouts":{"first_event":"200ms"}"#),
        (504, "first_event_timeout".to_owned())
    );
    assert_eq!(late("hang", r#","timeouts":{"total":"200ms"}"#), (504, "total_timeout".to_owned()));
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    // Nobody accepts: the queue fills, and whoever comes then hears nothing at all.
    let connect =
        || std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(500));
    let _queue: Vec<_> = std::iter::repeat_with(connect).take_while(Result::is_ok).collect();
    assert_eq!(
        blame(&format!("http://{address}"), r#","timeouts":{"connect":"200ms"}"#),
        (504, "connect_timeout".to_owned())
    );
}

/// Where a server begins to answer, and says no more.
fn stalling() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut socket in listener.incoming().flatten() {
            let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            assert!(socket.read(&mut [0; 4096]).unwrap() > 0);
            socket.write_all(format!("{head}{event}").as_bytes()).unwrap();
            open.push(socket);
        }
    });
    format!("http://{address}")
}

#[test]
fn fault_20_a_stream_that_stops_or_only_drips_ends_with_an_error() {
    let stalling = stalling();
    for (address, times, kind) in [
        (&*stalling, r#"{"idle":"200ms"}"#, "idle_timeout"),
        ("MOCK/~pace=50,deltas=1000/v1", r#"{"total":"400ms"}"#, "total_timeout"),
    ] {
        let house = House::with(&format!(
            r#"{{"model_providers":[{{"model":"openai/*","base_url":"{address}"}}],"timeouts":{times}}}"#
        ));
        let answer = house.post(CHAT, &ask_stream("openai/gpt-4o"));
        assert!(answer.is_whole && answer.status == 200);
        assert!(answer.events().last().unwrap().contains("\"error\""), "{}", answer.body);
        let spans = house.spans(3);
        assert_eq!(the_call(&spans).attributes.str("error.type"), Some(kind));
        assert_eq!(texts(the_call(&spans), "gen_ai.response.finish_reasons"), ["error"]);
    }
}

#[test]
fn fault_20_a_whole_answer_that_only_drips_breaks_off() {
    let house = scripted_with("dribble=5", r#"{"timeouts":{"total":"3s"}}"#);
    let answer = house.post(CHAT, &ask("openai/gpt-4o", ""));
    assert!(!answer.is_whole || answer.status == 504, "{}", answer.body);
    let spans = house.spans(3);
    assert_eq!(the_call(&spans).attributes.str("error.type"), Some("total_timeout"));
}

#[test]
fn fault_32_embeddings_of_every_kind_are_counted() {
    let many: Vec<String> = (0..2048).map(|n| format!("\"{n}\"")).collect();
    let many = format!("[{}]", many.join(","));
    for (input, more, n) in [
        (r#""x""#, r#","encoding_format":"base64""#, 1),
        ("[1,2,3]", "", 1),
        ("[[1,2],[3]]", "", 2),
        (&many, "", 2048),
    ] {
        let house = House::new();
        let body = format!(r#"{{"model":"openai/text-embedding-3-small","input":{input}{more}}}"#);
        let answer = house.post("/v1/embeddings", &body);
        assert_eq!(answer.json()["data"].as_array().unwrap().len(), n);
        assert_eq!(house.mock.seen()[0].body, body.replace("openai/", ""));
        let spans = house.spans(3);
        let call = the_call(&spans);
        let used = answer.json()["usage"]["prompt_tokens"].as_i64();
        assert_eq!(int(call, "gen_ai.usage.input_tokens"), used);
        assert_eq!(int(call, "gen_ai.usage.output_tokens"), None);
        assert_eq!(int(call, "gen_ai.embeddings.dimension.count"), Some(4));
    }
}
