use super::*;
use crate::query::parser::parse;
use crate::query::sample;

fn matches(search: &str) -> bool {
    parse(search).unwrap().matches(&sample::llm_span())
}

#[test]
fn fields_are_compared() {
    for search in [
        "service:checkout name:chat* kind:client status:error operation:chat",
        "model:gpt-4o-2024 provider:openai session:s-1 user:ada agent:helper",
        "duration:2s duration:>=2s duration:<2001ms duration:1..5s",
        "cost:0.05 tokens:1200 input_tokens:1k output_tokens:200 ttft:<1s",
        "finish:tool_calls finish:stop error:Timeout* error:true",
        "trace_id:0102* span_id:1112131415161718 project:default",
        "has:model has:cost has:error model:*",
        "model:a,b,gpt*2024",
        "name:~\"^chat .pt\"",
    ] {
        assert!(matches(search), "{search}");
    }
    for search in [
        "service:Checkout",
        "duration:>2s",
        "has:workflow",
        "workflow:-",
        "tool:*",
        "finish:stop,x -finish:stop",
        "cost:>0.05",
        "tokens:<1200",
        "-model:gpt*",
    ] {
        assert!(!matches(search), "{search}");
    }
}

#[test]
fn attributes_are_compared_by_what_was_recorded() {
    for search in [
        "http.status_code:500",
        "http.status_code:5*",
        "http.status_code:500.0",
        "http.status_code:~^5",
        "http.status_code:500..599",
        "temperature:0.7",
        "temperature:>0.5",
        "stream:true",
        "count.text:>=41",
        "count.text:42",
        "deployment.environment:prod",
        "has:deployment.environment",
    ] {
        assert!(matches(search), "{search}");
    }
    for search in [
        "http.status_code:50",
        "http.status_code:>500",
        "temperature:<0.7",
        "stream:false",
        "stream:>0",
        "tags:a",
        "has:tags",
        "has:unknown",
        "HTTP.status_code:500",
    ] {
        assert!(!matches(search), "{search}");
    }
}

#[test]
fn text_is_found_in_names_values_and_messages() {
    for search in [
        "chat",
        "\"quixotic zephyr\"",
        "QUIXOTIC",
        "quix*",
        "\"connection reset\"",
        "exploded",
        "\"the zephyr\" OR zephyr",
    ] {
        assert!(matches(search), "{search}");
    }
    for search in ["content", "\"zephyr quixotic\"", "zeph", "\"a quixotic zephyr b\""] {
        assert!(!matches(search), "{search}");
    }
}

#[test]
fn the_text_of_log_records_counts_as_their_spans() {
    let span = sample::llm_span();
    let log = sample::log_event(&span, "a serendipitous answer");
    let filter = parse("operation:chat serendipitous").unwrap();
    assert!(!filter.matches(&span));
    assert!(!filter.matches(&log));
    assert!(filter.matches_with_logs(&span, &[&log]));
}

#[test]
fn wildcards_match_whole_texts() {
    let cases = [
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a*c", "ac", true),
        ("a*b*c", "a1b2c", true),
        ("ab*b", "ab", false),
        ("*b*", "abc", true),
        ("**", "", true),
        ("a*b*b", "ab", false),
        ("a", "ab", false),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(matches_wildcard(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn a_span_fails_by_its_status_or_its_attribute() {
    let mut span = sample::plain_span(1, 1, "old tracer", 1);
    let failed = |span: &StoredSpan| parse("error:true").unwrap().matches(span);
    assert!(!failed(&span));
    span.span.attributes.push("error", true);
    assert!(failed(&span) && parse("has:error").unwrap().matches(&span));
    assert!(!parse("status:error").unwrap().matches(&span));
    assert!(!parse("error:false").unwrap().matches(&span));
}
