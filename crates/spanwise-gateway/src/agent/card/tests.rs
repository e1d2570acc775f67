use super::*;
use crate::config::Config;
use crate::plan::{Plan, Secrets};

struct NoSecrets;

impl Secrets for NoSecrets {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &str) -> Result<String, String> {
        Err(path.to_owned())
    }
}

fn rewritten(url: &str, card: &str) -> String {
    let config = format!(
        r#"{{"listeners":[{{"name":"a","type":"agent","port":0}}],"agents":[{{"id":"a","url":"{url}"}}]}}"#
    );
    let config: Config = serde_json::from_str(&config).unwrap();
    let plan = Plan::new(config, &NoSecrets).unwrap();
    let outside = Outside { base: "http://gateway:8001/billing".to_owned() };
    let bytes = outside.rewrite(card.to_owned(), plan.agent("a").unwrap());
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn addresses_of_the_agent_become_the_gateways() {
    for (url, written, expected) in [
        ("http://10.0.0.7:9000", "http://10.0.0.7:9000/", "http://gateway:8001/billing/"),
        ("http://10.0.0.7:9000", "http://10.0.0.7:9000", "http://gateway:8001/billing"),
        ("http://10.0.0.7:9000", "http://localhost:9000/rpc", "http://gateway:8001/billing/rpc"),
        (
            "http://10.0.0.7:9000",
            "http://0.0.0.0:9000/a2a/v1",
            "http://gateway:8001/billing/a2a/v1",
        ),
        ("http://h.example:1/x", "http://h.example:1/x/rpc", "http://gateway:8001/billing/rpc"),
        ("http://h.example:1", "https://h.example/rpc", "http://gateway:8001/billing/rpc"),
        (
            "http://10.0.0.7:9000",
            "http://billing.prod.internal/rpc",
            "http://gateway:8001/billing/rpc",
        ),
        (
            "http://10.0.0.7:9000",
            "https://elsewhere.example.com/rpc",
            "https://elsewhere.example.com/rpc",
        ),
        ("http://h.example:1/x", "http://h.example:1/y", "http://h.example:1/y"),
        ("http://h.example:1/x", "http://h.example:1/xy", "http://h.example:1/xy"),
        ("http://10.0.0.7:9000", "mailto:a@b", "mailto:a@b"),
    ] {
        let card = format!(r#"{{"name":"x", "url" : "{written}"}}"#);
        let expected = format!(r#"{{"name":"x", "url" : "{expected}"}}"#);
        assert_eq!(rewritten(url, &card), expected, "{url} {written}");
    }
}

#[test]
fn every_interface_is_rewritten_and_the_signature_goes() {
    let card = r#"{"supportedInterfaces":[{"url":"http://127.0.0.1:1/a","protocolBinding":"JSONRPC"},
        {"protocolBinding":"HTTP+JSON","url":"http://127.0.0.1:1/b"}],"signatures":[{"protected":"x"}],
        "provider":{"url":"https://127.0.0.1"}}"#;
    let expected = card
        .replace("http://127.0.0.1:1/", "http://gateway:8001/billing/")
        .replace(r#"[{"protected":"x"}]"#, "[]");
    assert_eq!(rewritten("http://127.0.0.1:1", card), expected);
    let rpc = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{card}}}"#);
    assert!(rewritten("http://127.0.0.1:1", &rpc).contains("http://gateway:8001/billing/a"));
    for odd in ["", "[]", "{", r#"{"url":7}"#, "\u{0}"] {
        assert_eq!(rewritten("http://127.0.0.1:1", odd), odd);
    }
}
