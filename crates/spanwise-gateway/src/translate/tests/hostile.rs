//! Requests, answers and frames that are cut, mixed up or nonsense: never a panic, and whatever
//! comes out is still what its dialect writes.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::*;
use super::golden::read;
use super::{DIALECTS, model_of};

const STAMP: Stamp<'_> = Stamp { id: "made", model: "m", created: 1 };

/// Translates something to every dialect as a request, an answer and a frame of a stream.
fn translate_all(from: Dialect, body: &[u8]) {
    for to in DIALECTS {
        if let Ok(translated) = request(from, to, body, model_of(to), false) {
            json::parse(&translated.body).unwrap();
        }
        let wants = reply::Wants { usage: true, thoughts: true, echo: Vec::new() };
        let reply = Reply { client: to, upstream: from, wants };
        if let Ok(answer) = reply.answer(body, &STAMP) {
            json::parse(&answer).unwrap();
        }
        let mut stream = reply.stream(&STAMP);
        for line in body.split(|byte| *byte == b'\n') {
            stream.frame(None, line);
        }
        stream.finish(Ending::Closed);
        assert!(stream.has_ended());
        let (status, error) = error(to, 500, body);
        assert!(status >= 400);
        json::parse(&error.body).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_body_with_another_piece_in_its_midst_does_not_panic(
        from in prop::sample::select(DIALECTS.to_vec()),
        kind in prop::sample::select(vec!["request", "answer", "stream"]),
        at: prop::sample::Index,
        length in 0..40usize,
        piece in prop::sample::select(vec![
            "", "null", "{}", "[]", "\"\"", "-1", "1e999", "true", ",", "\\ud800", "\"type\":\"x\"",
        ]),
    ) {
        let name = if kind == "stream" { format!("{from}.txt") } else { format!("{from}.json") };
        let mut body = read(kind, &name).into_bytes();
        let at = at.index(body.len());
        let end = body.len().min(at + length);
        body.splice(at..end, piece.bytes());
        translate_all(from, &body);
    }

    #[test]
    fn values_of_the_wrong_kind_do_not_panic(
        from in prop::sample::select(DIALECTS.to_vec()),
        kind in prop::sample::select(vec!["request", "answer"]),
        at: prop::sample::Index,
        value in prop::sample::select(vec!["null", "{}", "[]", "\"\"", "-1", "0", "true", "[[]]"]),
    ) {
        let body = read(kind, &format!("{from}.json"));
        let mut body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let n_values = count(&body);
        replace(&mut body, &mut at.index(n_values), &serde_json::from_str(value).unwrap());
        translate_all(from, body.to_string().as_bytes());
    }
}

fn count(value: &serde_json::Value) -> usize {
    1 + match value {
        serde_json::Value::Array(all) => all.iter().map(count).sum::<usize>(),
        serde_json::Value::Object(all) => all.values().map(count).sum(),
        _ => 0,
    }
}

fn replace(value: &mut serde_json::Value, at: &mut usize, by: &serde_json::Value) {
    if *at == 0 {
        *value = by.clone();
        *at = usize::MAX;
        return;
    }
    *at -= 1;
    match value {
        serde_json::Value::Array(all) => all.iter_mut().for_each(|one| replace(one, at, by)),
        serde_json::Value::Object(all) => all.values_mut().for_each(|one| replace(one, at, by)),
        _ => {}
    }
}

#[test]
fn what_is_listed_as_dropped_stays_short() {
    let mut fields = String::new();
    for n in 0..1000 {
        write!(fields, r#""{n}{}":1,"#, "x".repeat(500)).unwrap();
    }
    let body = format!(r#"{{"messages":[{{{fields}"role":"user","content":"hi"}}]}}"#);
    let translated =
        request(Dialect::Chat, Dialect::Messages, body.as_bytes(), "m", false).unwrap();
    assert_eq!(translated.dropped.len(), MOST_DROPPED);
    assert!(translated.dropped.iter().all(|dropped| dropped.what.len() < 100));
}
