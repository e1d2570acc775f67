use proptest::prelude::*;

use super::*;
use crate::{Attribute, Event, Kind, Link, Resource, Scope, SpanId, Status, TraceId};

fn redactor(custom_patterns: &[&str]) -> Redactor {
    Redactor::new(RedactionConfig {
        pii: true,
        financial: true,
        custom_patterns: custom_patterns.iter().map(|&pattern| pattern.to_owned()).collect(),
        ..RedactionConfig::default()
    })
    .unwrap()
}

/// `<…>` marks what has to go.
fn check(marked: &str) {
    check_with(&redactor(&[]), marked);
}

fn check_with(redactor: &Redactor, marked: &str) {
    let text = marked.replace(['‹', '›'], "");
    let mut expected = String::new();
    for piece in marked.split('‹') {
        match piece.split_once('›') {
            Some((_, rest)) => expected.extend(["[REDACTED]", rest]),
            None => expected += piece,
        }
    }
    let redacted = redactor.redact(&text);
    assert_eq!(redacted, expected, "of {text}");
    assert_eq!(redactor.redact(&redacted), redacted, "twice");
}

/// One of each kind that no other text is needed for.
const PLANTS: [&str; 42] = [
    "sk-proj-Ab3dEf6hIj9kLmN0pQrStUv",
    "sk-abcdefghijklmnopqrstuvwxyz",
    "sk-ant-api03-AbCdEfGhIjKlMnOp_qRsT-uVwXyZ0123456789AA",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "sw-00112233445566778899aabbccddeeff0011223344556677",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
    "xoxb-123456789012-1234567890123-AbCdEfGhIjKl",
    "AIzaSyA-1234567890abcdefghijklmnopqrstuv",
    "glpat-AbCdEfGhIjKlMnOpQrSt",
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "ada.lovelace+news@mail.example.co.uk",
    "o'neil_2@example.org",
    "jürgen@münchen.de",
    "+1 415-555-2671",
    "+44 20 7946 0958",
    "+8613800138000",
    "(415) 555-2671",
    "415-555-2671",
    "415.555.2671",
    "1-800-555-0199",
    "020 7946 0958",
    "01 23 45 67 89",
    "13800138000",
    "123-45-6789",
    "192.168.0.1",
    "8.8.8.8",
    "2001:db8::8a2e:370:7334",
    "fe80::1ff:fe23:4567:890a",
    "A12345678",
    "AB1234567",
    "4111111111111111",
    "4111 1111 1111 1111",
    "5555-5555-5555-4444",
    "378282246310005",
    "3782 822463 10005",
    "6011000990139424",
    "DE89370400440532013000",
    "GB82 WEST 1234 5698 7654 32",
    "NL91ABNA0417164300",
];

/// What looks like something but is not.
const HARMLESS: [&str; 31] = [
    "The order was shipped on 2024-05-17 at 12:30:45.123 and cost $1,234.56.",
    "4111111111111112",
    "4111 1111 1111 1112",
    "DE89370400440532013001",
    "1732200000123456789",
    "0.4111111111111111",
    "550e8400-e29b-41d4-a716-446655440000",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    r#"{"prompt_tokens":1234,"total_tokens":812,"max_tokens": 1024}"#,
    "the task-force asked for risk-adjusted-returns-of-last-year",
    "class sk-fading-circle-spinner-large",
    "@workflow def f(): pass",
    "npm install lodash@4.17.21 left-pad@1.3.0",
    "icon@2x.png",
    "std::vec::Vec a::b Foo::Bar",
    "Mozilla/5.0 Chrome/120.0.0.0 Safari/537.36",
    "version 1.2.3.4",
    "256.1.1.1",
    "password: must be at least 8 characters",
    "def login(user: str, password: str = None):",
    "password = getpass.getpass('now')",
    "password=os.environ['DB_PASSWORD']",
    "DB_PASSWORD=${DB_PASSWORD}",
    r#"fetch(url, {"credentials": "include"})"#,
    "the bearer of responsibilities",
    "primary_key=customer_id, cache_key: user-12",
    "https://example.com/a?b=c#d",
    "http://localhost:8080/users/@me",
    "000-12-3456",
    "room 123-45 on floor 6789",
    "The secret: always be kind to each other",
];

#[test]
fn plants_go_wherever_they_stand() {
    for plant in PLANTS {
        check(&format!("‹{plant}›"));
        check(&format!("It is ‹{plant}›, I think."));
        check(&format!("联系我：‹{plant}›谢谢"));
        check(&format!("(‹{plant}›)\n\"‹{plant}›\""));
        check(&format!(r#"{{"a":["x\n‹{plant}›\n",{{"b":"‹{plant}›"}}]}}"#));
        check(&format!(r"cut off {{\n‹{plant}›\n…"));
    }
}

#[test]
fn harmless_text_is_not_touched() {
    let redactor = redactor(&[]);
    for text in HARMLESS {
        assert!(matches!(redactor.redact(text), Cow::Borrowed(same) if same == text), "{text}");
    }
}

#[test]
fn values_that_are_called_a_secret_go() {
    check("password=‹hunter2›&user=bob");
    check("Password: ‹hunter2›, please keep it");
    check("my password is ‹hunter2›.");
    check("PGPASSWORD='‹correct horse›' psql");
    check("aws_secret_access_key = ‹wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY›");
    check("?api_key=‹0a1b2c3d›&x=1");
    check("X-Api-Key: ‹abc-123-def›");
    check("Authorization: Bearer ‹abc.def-123›");
    check("authorization: Basic ‹dXNlcjpwYXNz›");
    check("curl -H 'Authorization: Bearer ‹0123456789abcdef›'");
    check("clientSecret: \"‹s3cr3t›\"");
    check("postgres://app:‹p4ssword›@db/x");
    check(r#"{"password":"‹hunter2›","user":"bob"}"#);
    check(r#"{"args":"{\"api_key\": \"‹hunter2›\", \"n\": 1}"}"#);
    check("access_token=‹ya0aBcDeFgHi1234›");
    check("next_token: 5");
}

#[test]
fn private_keys_go_whole() {
    let key =
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nabc+/=\n-----END RSA PRIVATE KEY-----";
    check(&format!("key:\n‹{key}›\nend"));
    let escaped = key.replace('\n', "\\n");
    check(&format!(r#"{{"k":"‹{escaped}›"}}"#));
    check(&format!(r"prose {{ ‹{escaped}› and more"));
    check("‹-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B›…");
    check("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----");
    check("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----");
}

#[test]
fn context_tells_what_bare_numbers_are() {
    check("order 4155552671 of 2024");
    check("‹020 7946 0958› 2 calls");
    check("phone: ‹4155552671›");
    check("我的电话是‹4155552671›");
    check("SSN ‹123456789›");
    check("Passport no. ‹123456789›");
    check(r#"{"phone":"‹4155552671›","order":"4155552671"}"#);
    check(r#"{"card":"‹4111111111111111›"}"#);
    check(r#"{"phones":["‹4155552671›","‹4155552672›","‹4155552673›"],"ids":["4155552671"]}"#);
    let redacted =
        redactor(&[]).redact(r#"{"card": 4111111111111111, "n": 15032385536}"#).into_owned();
    assert_eq!(redacted, r#"{"card": "[REDACTED]", "n": 15032385536}"#);
}

#[test]
fn escapes_are_not_cut() {
    check(r"prose \n‹bob@example.org›\n");
    check(r"prose \u4f60‹13800138000›\u597d");
    check(r"prose \u0030\ud83d\ude00‹4111111111111111›\u597d");
    let redactor = redactor(&[]);
    assert_eq!(redactor.redact(r#"{"a":"bob\u0040example.org"}"#), r#"{"a":"[REDACTED]"}"#);
    assert_eq!(redactor.redact(r#"["\u597013800138000"]"#), r#"["奰[REDACTED]"]"#);
}

#[test]
fn switches_are_separate() {
    let secrets = Redactor::new(RedactionConfig::default()).unwrap();
    check_with(&secrets, "bob@example.org 4111111111111111 ‹AKIAIOSFODNN7EXAMPLE›");
    let config = RedactionConfig { financial: true, ..RedactionConfig::default() };
    let financial = Redactor::new(config).unwrap();
    check_with(&financial, "bob@example.org ‹4111111111111111› ‹DE89 3704 0044 0532 0130 00›");
    let config = RedactionConfig { pii: true, ..RedactionConfig::default() };
    check_with(&Redactor::new(config).unwrap(), "‹bob@example.org› 4111111111111111");
}

#[test]
fn custom_patterns_and_replacements() {
    let custom = redactor(&[r"ACME-\d+", "[A-Z]{8}", "^whole$"]);
    check_with(&custom, "‹ACME-12›/‹ABCDEFGH›.");
    check_with(&custom, "‹whole›");
    check_with(&custom, r#"{"a":"‹whole›","b":"not whole"}"#);
    let config =
        RedactionConfig { replacement_text: "\"gone\"\n".into(), ..RedactionConfig::default() };
    let quoting = Redactor::new(config).unwrap();
    let redacted = quoting.redact(r#"{"password":"hunter2"}"#);
    assert_eq!(redacted, r#"{"password":"\"gone\"\n"}"#);
    assert_eq!(quoting.redact(&redacted), redacted);
    let config = RedactionConfig { replacement_text: String::new(), ..RedactionConfig::default() };
    assert_eq!(Redactor::new(config).unwrap().redact("a AKIAIOSFODNN7EXAMPLE b"), "a  b");
}

#[test]
fn bad_patterns_are_named() {
    let error = |pattern: &str| {
        let custom_patterns = vec!["ok".to_owned(), pattern.to_owned()];
        Redactor::new(RedactionConfig { custom_patterns, ..RedactionConfig::default() })
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error("a(b"),
        "custom_patterns[1] `a(b` is not a regular expression: unclosed group"
    );
    assert!(error("(?<=a)b").contains("look-around"), "{}", error("(?<=a)b"));
    assert_eq!(error("x*"), "custom_patterns[1] `x*` matches the empty text, which is everywhere");
}

#[test]
fn spans_are_redacted_everywhere_but_in_ids_keys_and_resource() {
    let mail = "bob@example.org";
    let nested = || {
        let inner: Attributes = [(mail, Value::from(mail))].into_iter().collect();
        Value::Array(vec![Value::Map(inner), Value::Int(1), mail.into()])
    };
    let attributes = || {
        Attributes(vec![
            Attribute { key: mail.into(), value: nested() },
            Attribute { key: "db.password".into(), value: "swordfish".into() },
        ])
    };
    let trace_id = TraceId::from_bytes(&[1; 16]).unwrap();
    let span_id = SpanId::from_bytes(&[2; 8]).unwrap();
    let mut span = Span {
        trace_id,
        span_id,
        parent_span_id: None,
        trace_state: Str::from_static("a=bob@example.org"),
        flags: 0,
        name: mail.into(),
        kind: Kind::Internal,
        start_time_unix_nano: 0,
        end_time_unix_nano: 0,
        attributes: attributes(),
        dropped_attributes_count: 0,
        events: vec![Event {
            time_unix_nano: 0,
            name: mail.into(),
            attributes: attributes(),
            dropped_attributes_count: 0,
        }],
        dropped_events_count: 0,
        links: vec![Link {
            trace_id,
            span_id,
            trace_state: Str::new(),
            attributes: attributes(),
            dropped_attributes_count: 0,
            flags: 0,
        }],
        dropped_links_count: 0,
        status: Status { message: mail.into(), ..Status::default() },
        resource: Arc::new(Resource { attributes: attributes(), ..Resource::default() }),
        scope: Arc::new(Scope::default()),
    };
    let resource = Arc::clone(&span.resource);
    assert_eq!(redactor(&[]).redact_span(&mut span), 3 + 3 * 3);
    assert_eq!(span.name, "[REDACTED]");
    assert_eq!(span.status.message, "[REDACTED]");
    assert_eq!(span.events[0].name, "[REDACTED]");
    assert_eq!(span.attributes, span.links[0].attributes);
    assert_eq!(span.attributes, span.events[0].attributes);
    let Some(Value::Array(values)) = span.attributes.get(mail) else { panic!("the key stays") };
    let inner: Attributes = [(mail, Value::from("[REDACTED]"))].into_iter().collect();
    assert_eq!(values[0], Value::Map(inner));
    assert_eq!(values[2], Value::from("[REDACTED]"));
    assert_eq!(span.attributes.str("db.password"), Some("[REDACTED]"));
    assert_eq!(span.resource, resource);
    assert_eq!(span.trace_state, "a=bob@example.org");
    assert_eq!(redactor(&[]).redact_span(&mut span), 0);
}

#[test]
fn repetitions_take_no_more_than_their_length() {
    let redactor = redactor(&[]);
    let beginnings = [
        "sk-",
        "eyJ-",
        "-----BEGIN PRIVATE KEY-----!",
        "token=",
        "password=",
        "://a:",
        "1:",
        "1a",
        "A1",
        "a@",
        "a.",
        "0 ",
        "4111 ",
        "+1",
        "1.",
        "1-",
        "[",
        "{\"a\":",
        "\"",
        "\\",
        "\\u00",
        "[REDACTED]",
        "AKIA",
        "Basic ",
        "authorization: Basic ",
    ];
    for beginning in beginnings {
        let text = beginning.repeat(40_000 / beginning.len());
        let _ = redactor.redact(&text);
    }
}

/// Pieces that make trouble beside each other.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(&PLANTS[..]).prop_map(str::to_owned),
        2 => proptest::sample::select(&HARMLESS[..]).prop_map(str::to_owned),
        2 => "[ -~]{0,12}",
        1 => any::<String>(),
        4 => proptest::sample::select(vec![
            " ", "\n", "\\n", "\\u4f60", "\\", "\"", ":", "=", "@", ".", "-", "1", "11", "a", "{",
            "}", "[", "]", ",", "password", "token: ", "[REDACTED]", "://", "Bearer ", "+", "订单",
            "é", "eyJ", "-----BEGIN ", "PRIVATE KEY-----", "phone", "::", "'",
        ])
        .prop_map(str::to_owned),
    ]
}

fn mixture() -> impl Strategy<Value = String> {
    proptest::collection::vec(piece(), 0..12).prop_map(|pieces| pieces.concat())
}

fn luhn_digit(digits: &str) -> u8 {
    (b'0'..=b'9').find(|last| checks::luhn(&[digits.as_bytes(), &[*last]].concat())).unwrap()
}

proptest! {
    #[test]
    fn redacting_twice_is_redacting_once(text in mixture()) {
        let redactor = redactor(&[r"\d{4}[a-z]", "REDACT"]);
        let once = redactor.redact(&text).into_owned();
        prop_assert_eq!(&*redactor.redact(&once), &*once);
        let json = serde_json::json!([{ "k": &text, &*text: text.len() }, text]).to_string();
        let once = redactor.redact(&json).into_owned();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&once).is_ok(), "{}", once);
        prop_assert_eq!(&*redactor.redact(&once), &*once);
    }

    #[test]
    fn text_without_triggers_is_not_touched(text in "[ a-df-zG-Z.,;!?\n你好订单-]{0,200}") {
        prop_assert!(matches!(redactor(&[]).redact(&text), Cow::Borrowed(_)));
    }

    #[test]
    fn a_plant_disappears(
        plant in proptest::sample::select(&PLANTS[..]),
        before in "([ -~]{0,40}[ (\"',;\n])?",
        after in "([ )\"',;\n][ -~]{0,40})?",
    ) {
        let redactor = redactor(&[]);
        let text = format!("{before}{plant}{after}");
        prop_assert!(!redactor.redact(&text).contains(plant), "{}", redactor.redact(&text));
        let json = serde_json::json!({ "messages": [{ "content": &text }], "n": 3 }).to_string();
        let nested = serde_json::json!({ "arguments": json }).to_string();
        let redacted = redactor.redact(&nested);
        prop_assert!(!redacted.contains(plant));
        let outer: serde_json::Value = serde_json::from_str(&redacted).unwrap();
        serde_json::from_str::<serde_json::Value>(outer["arguments"].as_str().unwrap()).unwrap();
    }

    #[test]
    fn only_cards_with_the_right_check_digit_go(
        body in "4[0-9]{14}|5[1-5][0-9]{13}",
        last in b'0'..=b'9',
    ) {
        let card = format!("{body}{}", char::from(last));
        let is_card = last == luhn_digit(&body);
        let config = RedactionConfig { financial: true, ..RedactionConfig::default() };
        let redactor = Redactor::new(config).unwrap();
        let text = format!("paid with {card} today");
        prop_assert_eq!(redactor.redact(&text) != text, is_card);
        let groups: Vec<&str> = [0, 4, 8, 12].map(|at| &card[at..at + 4]).to_vec();
        let text = format!("paid with {} today", groups.join(" "));
        prop_assert_eq!(redactor.redact(&text) != text, is_card);
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        let _ = redactor(&["."]).redact(&text);
        let _ = redactor(&[]).redact(&text);
    }
}
