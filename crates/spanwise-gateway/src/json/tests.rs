use proptest::prelude::*;

use super::*;

fn check(text: &str) -> Result<(), Malformed> {
    let mut document = Document::open(text)?;
    while document.member()?.is_some() {}
    Ok(())
}

/// What serde_json thinks of an object; it does not mind depth or lone surrogates in what it skips.
fn is_json_object(text: &str) -> bool {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok()
}

#[test]
fn what_is_json_is_accepted_and_nothing_else() {
    let values = [
        "0",
        "-0",
        "12",
        "-1.5e+7",
        "1E5",
        "0.1",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "-",
        "NaN",
        "Infinity",
        "0x1",
        "true",
        "tru",
        "truth",
        "null",
        "nul",
        "\"\"",
        "\"a\\n\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\ude00\"",
        "\"\\ud83d\\u0041\"",
        "\"\t\"",
        "\"\u{1f}\"",
        "\"\u{7f}é😀\"",
        "[]",
        "[ ]",
        "[1,]",
        "[1 2]",
        "[,1]",
        "{}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":{\"b\":[[],{}]}}",
        "[1]]",
        "",
        "'a'",
        "[\"a]",
    ];
    for value in values {
        let text = format!("{{\"v\" : {value} }}");
        assert_eq!(check(&text).is_ok(), is_json_object(&text), "{text}: {:?}", check(&text));
    }
    for text in ["", " ", "[]", "1", "{", "}", "{}{}", "{} x", "\u{feff}{}", " {} \r\n"] {
        assert_eq!(check(text).is_ok(), is_json_object(text), "{text:?}");
    }
}

#[test]
fn faults_are_named_with_their_place() {
    let fault = |text| check(text).unwrap_err().to_string();
    assert_eq!(fault("[1]"), "expected an object at byte 0");
    assert_eq!(fault(r#"{"a":NaN}"#), "expected a value at byte 5");
    assert_eq!(fault(r#"{"a":[1,2"#), "the body ends too early at byte 9");
    assert_eq!(fault(r#"{"a":"\ud800"}"#), "lone surrogate at byte 6");
    assert_eq!(fault(r#"{"a":1}{"#), "expected the end of the body at byte 7");
}

#[test]
fn depth_is_limited() {
    let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
    assert!(check(&nested(MAX_DEPTH - 1)).is_ok());
    assert_eq!(check(&nested(MAX_DEPTH)).unwrap_err().what, "nested too deeply");
    assert_eq!(check(&nested(100_000)).unwrap_err().what, "nested too deeply");
}

#[test]
fn members_and_elements_are_found() {
    let text = r#" {"a" : [1, "x", {"b": -2.5}] , "c\u0061": true, "a": null} "#;
    let value = Value::first(text).unwrap();
    let keys: Vec<_> = value.members().map(|(key, _)| key.into_owned()).collect();
    assert_eq!(keys, ["a", "ca", "a"]);
    assert!(value.get("a").unwrap().is_null(), "the last one counts");
    assert_eq!(value.get("ca").unwrap().as_bool(), Some(true));
    let array = value.members().next().unwrap().1;
    let elements: Vec<_> = array.elements().collect();
    assert_eq!(elements[0].as_u64(), Some(1));
    assert_eq!(elements[1].as_text().as_deref(), Some("x"));
    assert_eq!(elements[2].get("b").unwrap().as_f64(), Some(-2.5));
    let inner = elements[2].get("b").unwrap();
    assert_eq!(&text[inner.range()], "-2.5");
}

#[test]
fn a_cut_text_gives_what_came_before() {
    let value = Value { kind: Kind::Object, literal: r#"{"a":1,"b":"#, start: 0 };
    assert_eq!(value.members().count(), 1);
}

#[test]
fn numbers_are_taken_only_as_what_they_are() {
    let number = |text: &'static str| Value::first(text).unwrap();
    assert_eq!(number("12.0").as_u64(), Some(12));
    assert_eq!(number("12.5").as_u64(), None);
    assert_eq!(number("-1").as_u64(), None);
    assert_eq!(number("1e400").as_f64(), None);
    assert_eq!(number("99999999999999999999").as_u64(), None);
    assert_eq!(number("\"12\"").as_u64(), None);
}

proptest! {
    #[test]
    fn strings_come_back(text in any::<String>(), key in any::<String>()) {
        let json = serde_json::json!({ (key.clone()): text.clone() }).to_string();
        prop_assert!(check(&json).is_ok());
        let value = Value::first(&json).unwrap();
        prop_assert_eq!(value.get(&key).unwrap().as_text().unwrap(), text);
    }

    #[test]
    fn arbitrary_text_is_judged_as_serde_json_does(
        text in r#"\{"a":[\[\]{}:,"\\untrue0-9.eE+ -]{0,24}\}"#
    ) {
        prop_assert_eq!(check(&text).is_ok(), is_json_object(&text), "{}", text);
    }

    #[test]
    fn special_bytes_are_found_wherever_they_stand(
        n in 0_usize..70, special in prop::sample::select(vec![b'"', b'\\', 0, 0x1f, b'\n'])
    ) {
        let mut bytes = vec![b'x'; n];
        prop_assert_eq!(text::plain_len(&bytes), n);
        bytes.push(special);
        bytes.extend([b'"'; 40]);
        prop_assert_eq!(text::plain_len(&bytes), n);
    }

    #[test]
    fn of_arbitrary_bytes_the_first_special_one_is_found(
        bytes in prop::collection::vec(0x1e_u8..0x24, 0..40)
    ) {
        let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
        let first = bytes.iter().position(is_special).unwrap_or(bytes.len());
        prop_assert_eq!(text::plain_len(&bytes), first);
    }
}
