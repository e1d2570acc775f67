use proptest::prelude::*;
use spanwise_model::{Event, StoredSpan};

use super::spans::{arbitrary, simple};
use super::{Written, written};
use crate::query::{Detail, TextQuery};
use crate::segment::{Matcher, Rows, Segment, index_text, words};

fn query(text: &str, prefix: bool) -> TextQuery {
    TextQuery { words: words(text).collect(), prefix }
}

/// The rows that match, found span by span.
fn expected(segment: &Segment, query: &TextQuery) -> Vec<u32> {
    let all = Rows::Range(0..segment.meta().n_rows);
    let matcher = Matcher::new(query);
    let rows = (0..).zip(segment.stored_spans(all, Detail::Full).unwrap());
    rows.filter(|(_, stored)| matcher.matches_span(stored)).map(|(row, _)| row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn span_scan_segment_scan_and_index_find_the_same(spans in arbitrary(1..25)) {
        let written = written(&spans);
        let segment = &written.segment;
        let queries: Vec<TextQuery> = [
            "zephyr", "quixotic zephyr", "the order", "order 17", "17 the", "3", "role", "user",
            "zeph", "é", "日本", "К", "к", "x", "quixotic zephyr the", "a", "0", "content",
        ]
        .iter()
        .flat_map(|text| [query(text, false), query(text, true)])
        .chain([TextQuery { words: vec![], prefix: false }])
        .collect();
        let scanned: Vec<_> = queries.iter().map(|q| segment.text_rows(q).unwrap()).collect();
        for (query, scanned) in queries.iter().zip(&scanned) {
            prop_assert_eq!(scanned, &expected(segment, query), "scan for {:?}", query);
        }
        prop_assert!(!segment.text_indexed());
        index_text(segment).unwrap();
        index_text(segment).unwrap();
        prop_assert!(segment.text_indexed());
        for (query, scanned) in queries.iter().zip(&scanned) {
            prop_assert_eq!(&segment.text_rows(query).unwrap(), scanned, "index for {:?}", query);
        }
    }
}

fn conversation() -> Written {
    let said = |n: u64, text: &str| -> StoredSpan {
        let mut stored = simple("default", n, n, 1000 + n);
        let message = serde_json::json!([{"role": "user", "content": text}]);
        stored.span.attributes.push("gen_ai.input.messages", message.to_string());
        stored
    };
    let mut with_event = simple("default", 3, 3, 1003);
    with_event.span.events.push(Event {
        time_unix_nano: 1,
        name: "exception".into(),
        attributes: [("exception.message", "Deadline-exceeded\nwhile waiting")]
            .into_iter()
            .collect(),
        dropped_attributes_count: 0,
    });
    with_event.span.status.message = "upstream said 503".into();
    written(&[
        said(0, "Where is my ORDER? It has a \"quixotic\"\nzephyr in it, and much more to say"),
        said(1, "nothing of the kind"),
        said(2, "a quixotic end. zephyr begins"),
        with_event,
    ])
}

#[test]
fn words_and_phrases_are_found_in_every_recorded_text() {
    let written = conversation();
    let check = |text, prefix, rows: &[u32]| {
        assert_eq!(written.segment.text_rows(&query(text, prefix)).unwrap(), rows, "{text}");
    };
    for _ in ["by scanning", "by index"] {
        check("order", false, &[0]);
        check("quixotic zephyr", false, &[0]);
        check("end zephyr", false, &[2]);
        check("zeph", true, &[0, 2]);
        check("quixotic zep", true, &[0]);
        check("deadline exceeded", false, &[3]);
        check("exception", false, &[3]);
        check("503", false, &[3]);
        check("work", false, &[0, 1, 2, 3]);
        // A key of the JSON, and a string beside another one.
        check("role", false, &[]);
        check("user nothing", false, &[]);
        index_text(&written.segment).unwrap();
    }
}

#[test]
fn a_broken_index_is_replaced_by_a_scan() {
    let written = conversation();
    index_text(&written.segment).unwrap();
    std::fs::write(written.segment.dir().join("text/parts.json"), "{").unwrap();
    assert_eq!(written.segment.text_rows(&query("order", false)).unwrap(), [0]);
}

#[test]
fn a_half_built_index_is_built_anew() {
    let written = conversation();
    let half = written.segment.dir().join("text.tmp");
    std::fs::create_dir(&half).unwrap();
    std::fs::write(half.join("postings.bin"), "x").unwrap();
    index_text(&written.segment).unwrap();
    assert!(!half.exists());
    assert_eq!(written.segment.text_rows(&query("zephyr", false)).unwrap(), [0, 2]);
}
