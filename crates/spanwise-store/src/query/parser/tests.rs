use proptest::prelude::*;

use super::*;

/// The canonical text of a search.
fn canonical(text: &str) -> String {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
}

/// The error of a search, as a person sees it.
fn error(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn terms_are_joined_by_and_unless_told_otherwise() {
    for text in ["a b c", "a AND b and c", "a (b c)", " ( a )  b c "] {
        assert_eq!(canonical(text), "a b c");
    }
    assert_eq!(canonical("a b or c"), "a b OR c");
    assert_eq!(canonical("a (b or c)"), "a (b OR c)");
    assert_eq!(canonical("not (a or b)"), "-(a OR b)");
    assert_eq!(canonical("-a NOT b -(c d) NOT NOT e"), "-a -b -(c d) e");
    assert_eq!(canonical("(a OR b) OR c"), "a OR b OR c");
}

#[test]
fn nothing_is_a_search_for_everything() {
    for text in ["", "  ", "*"] {
        assert!(parse(text).unwrap().is_all());
    }
}

#[test]
fn values_are_words_lists_wildcards_and_expressions() {
    assert_eq!(canonical("service:api"), "service:api");
    assert_eq!(canonical("Service:api,\"the web\",b*"), "service:api,\"the web\",b*");
    assert_eq!(canonical("STATUS:Error"), "status:error");
    assert_eq!(canonical("model:gpt-4*"), "model:gpt-4*");
    assert_eq!(canonical("name:\"a b\"*\"c d\""), "name:\"a b\"*\"c d\"");
    assert_eq!(canonical("name:f(x) b"), "name:\"f(x)\" b");
    assert_eq!(canonical("(name:f(x))"), "name:\"f(x)\"");
    assert_eq!(canonical(r"name:~^GET\s/(a|b)"), r#"name:~"^GET\\s/(a|b)""#);
    assert_eq!(canonical(r#"(name:~"a (b|c)\d")"#), r#"name:~"a (b|c)\\d""#);
    assert_eq!(canonical("trace_id:0AF7*"), "trace_id:0af7*");
}

#[test]
fn numbers_have_units() {
    assert_eq!(canonical("duration:>2s"), "duration:>2s");
    assert_eq!(canonical("duration:>=0.25"), "duration:>=250us");
    assert_eq!(canonical("duration:1..5s"), "duration:1s..5s");
    assert_eq!(canonical("duration:1.5m..2h ttft:<300ms"), "duration:90s..2h ttft:<300ms");
    assert_eq!(canonical("cost:>$0.05"), "cost:>0.05");
    assert_eq!(canonical("cost:0.1..1$"), "cost:0.1..1");
    assert_eq!(canonical("tokens:>10k"), "tokens:>10000");
    assert_eq!(canonical("input_tokens:1.5M"), "input_tokens:1500000");
    assert_eq!(canonical("tokens:5,7..9"), "tokens:5 OR tokens:7..9");
    assert_eq!(canonical("tokens:100.."), "tokens:>=100");
    assert_eq!(canonical("tokens:..100"), "tokens:<=100");
}

#[test]
fn any_other_name_is_an_attribute() {
    assert_eq!(canonical("http.status_code:500"), "http.status_code:500");
    assert_eq!(canonical("http.status_code:500..599"), "http.status_code:500..599");
    assert_eq!(canonical("http.status_code:>=500"), "http.status_code:>=500");
    assert_eq!(canonical("\"odd key\":\"a value\""), "\"odd key\":\"a value\"");
    assert_eq!(canonical("\"service\":x"), "\"service\":x");
    assert_eq!(canonical("version:1.2..x"), "version:\"1.2..x\"");
    assert_eq!(canonical("has:gen_ai.tool.name"), "has:gen_ai.tool.name");
    assert_eq!(canonical("user:*"), "has:user");
}

#[test]
fn errors_are_asked_for_by_status_or_by_type() {
    assert_eq!(canonical("error:true"), "error:true");
    assert_eq!(canonical("error:false"), "-error:true");
    assert_eq!(canonical("error:\"true\""), "error:\"true\"");
    assert_eq!(canonical("error:TimeoutError"), "error:TimeoutError");
    assert_eq!(canonical("has:error"), "error:* OR error:true");
}

#[test]
fn text_is_words_and_phrases() {
    assert_eq!(canonical("Zephyr"), "zephyr");
    assert_eq!(canonical("zeph*"), "zeph*");
    assert_eq!(canonical("gpt-4o"), "\"gpt 4o\"");
    assert_eq!(canonical("\"Quixotic, Zephyr\""), "\"quixotic zephyr\"");
    assert_eq!(canonical("\"quixotic zeph\"*"), "\"quixotic zeph\"*");
    assert_eq!(canonical("\"or\" \"and\""), "\"or\" \"and\"");
    assert_eq!(canonical("https://example.com/a"), "\"https example com a\"");
    assert_eq!(canonical("12:30"), "\"12 30\"");
    assert_eq!(canonical("a=b"), "\"a b\"");
}

#[test]
fn mistakes_are_explained_where_they_are() {
    let cases = [
        (
            "a status:eror",
            "unknown status \"eror\", did you mean \"error\"? at column 10: \
             expected unset, ok or error",
        ),
        (
            "operation:",
            "\"operation:\" without a value at column 11: expected a value, without a space",
        ),
        ("(a b", "this \"(\" is not closed at column 1: expected \")\" at the end of the group"),
        ("a)", "this \")\" closes nothing at column 2: expected AND, OR or a term"),
        ("a OR", "the search ends here at column 5: expected a term"),
        (
            "OR a",
            "an operator where a term should be at column 1: \
             expected a term; to search for the word itself, quote it",
        ),
        ("é \"a", "this quote is not closed at column 3: expected a second \"\\\"\""),
        (
            "duration:>fast",
            "this is no number at column 11: expected a duration such as 250ms, 1.5s or 2m",
        ),
        (
            "duration>2s",
            "a comparison without \":\" at column 9: \
             expected duration:>value; quote it to search for the text",
        ),
        (
            "service:>a",
            "\"service\" is text and cannot be compared at column 9: \
             expected a value, a list, a wildcard or ~regex",
        ),
        ("tokens:9..1", "this range is empty at column 8: expected the smaller end first"),
        ("a,b,:c model:x,", "a value is missing at column 16: expected a value of model"),
        ("\"...\"", "nothing to search for at column 1: expected a letter or digit"),
        (
            "a*b",
            "\"*\" inside a word at column 2: expected \"*\" only at the end of a word; quote it to search for the text",
        ),
        (
            "trace_id:xyz",
            "this is no trace_id at column 10: expected 32 hexadecimal digits, or the first of them and \"*\"",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected);
    }
    assert!(error("name:~(a").starts_with("bad regular expression (unclosed group) at column 7"));
}

#[test]
fn structure_operators_are_announced() {
    for text in ["a >> b", "service:api > model:x"] {
        let error = error(text);
        assert!(error.contains("structure operators (\">\" and \">>\") are not supported yet"));
    }
}

#[test]
fn size_is_limited() {
    assert!(error(&"a".repeat(MAX_LENGTH + 1)).starts_with("the search is too long"));
    assert!(error(&"(".repeat(MAX_LENGTH)).starts_with("this is nested too deeply"));
    assert!(error(&"NOT ".repeat(1000)).starts_with("this is nested too deeply"));
    assert!(error(&"name:~x ".repeat(17)).starts_with("too many regular expressions"));
    assert!(error("name:~(\\w{1000}){1000}").starts_with("bad regular expression"));
    let many = "zephyr ".repeat(MAX_TERMS);
    assert!(parse(&many).is_ok());
    assert_eq!(
        error(&format!("({many}) OR \"one more\"")),
        "too many terms at column 903: expected at most 128; a list such as model:a,b is one term"
    );
    assert!(error(&"cost:1,2,3..4 ".repeat(50)).starts_with("too many terms at column 598"));
    assert!(parse(&format!("model:{}z", "a,".repeat(1000))).is_ok());
}

/// Parts that searches are made of, put together any which way.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just(" ".to_owned()),
        Just("\"".to_owned()),
        "[-()*:,~<>=.$\\\\]",
        "(AND|or|NOT|has:|service:|duration:|cost:|tokens:|error:|status:|trace_id:|x.y:)",
        "(true|false|error|ok|2s|1\\.\\.5|\\$3|10k|\"a b\"|~a\\(b|>=4)",
        "[a-zé0-9]{1,4}",
    ];
    proptest::collection::vec(fragment, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn what_is_parsed_can_be_written_and_parsed_again(text in fragments()) {
        match parse(&text) {
            Ok(filter) => {
                let written = filter.to_string();
                let again = parse(&written).map_err(|error| {
                    TestCaseError::fail(format!("{text} was written as {written}: {error}"))
                })?;
                prop_assert_eq!(format!("{:?}", again), format!("{filter:?}"), "{}", written);
            }
            Err(error) => {
                prop_assert!(error.position >= 1);
                prop_assert!(error.position <= text.chars().count() + 1);
            }
        }
    }
}
