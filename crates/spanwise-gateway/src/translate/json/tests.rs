use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::json::Malformed;

fn rebuild(node: &Node<'_>, writer: &mut Writer) {
    match &node.kind {
        Kind::Array(elements) => writer.array(|w| elements.iter().for_each(|e| rebuild(e, w))),
        Kind::Object(_) => writer.object(|w| {
            for (key, value) in node.fields() {
                let mut escaped = String::new();
                text::escape(key, &mut escaped);
                rebuild(value, w.key(&escaped));
            }
        }),
        Kind::String => writer.plain(&node.as_text().unwrap().plain()),
        _ => writer.raw(node.raw),
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        ".*".prop_map(Value::from),
        "[\\\\\"\\n\\u{1}a😀\\u{2028}]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,4}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_read_and_written_is_the_same(value in json(), pretty: bool) {
        let body = if pretty {
            serde_json::to_vec_pretty(&value).unwrap()
        } else {
            serde_json::to_vec(&value).unwrap()
        };
        let mut writer = Writer::default();
        rebuild(&parse(&body).unwrap(), &mut writer);
        let out = writer.finish();
        prop_assert!(!out.contains('\n'));
        prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), value.clone());
        let whole = String::from_utf8(body).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&compact(&whole)).unwrap(), value);
    }

    #[test]
    fn it_takes_what_serde_takes(body in "[\\[\\]{}\",:0-9.eE+\\-truefalsn\\\\u ]{0,12}") {
        // Numbers beyond what a double holds are the one thing that serde_json refuses and we keep.
        let ours = parse(body.as_bytes()).is_ok();
        match serde_json::from_str::<Value>(&body) {
            Ok(_) => prop_assert!(ours),
            Err(error) if error.to_string().contains("out of range") => {}
            // It also refuses half a surrogate pair, which goes through us as it came.
            Err(error) if error.to_string().contains("surrogate") => {}
            Err(error) if error.to_string().contains("hex escape") => {}
            Err(_) => prop_assert!(!ours, "{body}"),
        }
    }

    #[test]
    fn text_survives_escaping(plain in ".*") {
        let text = Text::from_plain(plain.as_str());
        prop_assert_eq!(text.plain(), plain.as_str());
        prop_assert_eq!(serde_json::from_str::<String>(&format!("\"{}\"", text.escaped())).unwrap(), plain);
    }
}

#[test]
fn halves_of_a_character_become_whole_when_joined() {
    let mut text = Text::from_escaped("\\ud83d").into_owned();
    assert_eq!(text.plain(), "\u{fffd}");
    text.push(&Text::from_escaped("\\ude00!"));
    assert_eq!(text.plain(), "😀!");
    let (text, half) = Text::from_escaped("a\\ud83d").split_half();
    assert_eq!((text.escaped(), half.unwrap().escaped()), ("a", "\\ud83d"));
    for whole in ["a\\\\ud83d", "\\ude00", "", "\\ud83d\\ude00", "ud83d"] {
        assert_eq!(Text::from_escaped(whole).split_half(), (Text::from_escaped(whole), None));
    }
    assert_eq!(Text::from_escaped("\\ud83dx\\u0041").plain(), "\u{fffd}xA");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (body, what, at) in [
        (&b"{\"a\":NaN}"[..], "expected a value", 5),
        (b"{\"a\":1", "expected a comma", 6),
        (b"\"\\x\"", "unknown escape", 1),
        (b"01", "expected the end of the body", 1),
        (b"\xff", "not UTF-8", 0),
        (
            b"\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\n\"",
            "control character in a string",
            53,
        ),
        (
            b"\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
            "the body ends inside a string",
            53,
        ),
        (b"", "the body ends too early", 0),
        (b"1 2", "expected the end of the body", 2),
        (b"\xef\xbb\xbf{}", "expected a value", 0),
    ] {
        assert_eq!(parse(body).unwrap_err(), Malformed { what, at });
    }
    let deep = "[".repeat(100_000);
    assert_eq!(parse(deep.as_bytes()).unwrap_err().what, "nested too deeply");
}
