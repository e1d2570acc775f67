//! The board of all pairs of dialects: one rich request, answer and stream of each, and what
//! becomes of it in every other. `UPDATE_GOLDEN=1` writes the expectations anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::frames::Framing;
use crate::provider;

use super::super::*;
use super::frames::frames;
use super::{DIALECTS, model_of};

const STAMP: Stamp<'_> = Stamp { id: "made-id", model: "made-model", created: 1_700_000_000 };

fn path(kind: &str, name: &str) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/gateway/translate");
    PathBuf::from(root).join(kind).join(name)
}

pub(super) fn read(kind: &str, name: &str) -> String {
    let path = path(kind, name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares what `from` became in every dialect with what is written down.
fn check(kind: &str, from: Dialect, became: impl Fn(Dialect) -> String) {
    let mut all = String::new();
    for to in DIALECTS.into_iter().filter(|to| *to != from) {
        writeln!(all, "=== {from} to {to}\n{}", became(to).trim_end()).unwrap();
    }
    let name = format!("{from}.expected.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path(kind, &name), &all).unwrap();
    }
    let expected = read(kind, &name);
    for (ours, theirs) in all.lines().zip(expected.lines()) {
        assert_eq!(ours, theirs, "{kind} of {from}");
    }
    assert_eq!(all.len(), expected.len(), "{kind} of {from}");
}

fn pretty(json: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(json).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

fn translate(from: Dialect, to: Dialect) -> Result<Translated, Untranslatable> {
    let body = read("request", &format!("{from}.json"));
    request(from, to, body.as_bytes(), model_of(to), from == Dialect::Gemini)
}

#[test]
fn requests_of_every_dialect_reach_every_other() {
    for from in DIALECTS {
        check("request", from, |to| match translate(from, to) {
            Err(refused) => format!("{} {refused}", refused.kind.status(from)),
            Ok(translated) => {
                let mut out = pretty(&translated.body);
                if matches!(to, Dialect::Gemini | Dialect::Converse) {
                    let path = provider::path(to, model_of(to), translated.stream);
                    write!(out, "\npath {path}").unwrap();
                }
                for dropped in translated.dropped {
                    write!(out, "\ndropped {}: {}", dropped.what, dropped.why).unwrap();
                }
                out
            }
        });
    }
}

/// A reply to a client that wants all there is.
fn reply(client: Dialect, upstream: Dialect) -> Reply {
    let wants = reply::Wants { usage: true, thoughts: true, echo: Vec::new() };
    Reply { client, upstream, wants }
}

#[test]
fn answers_of_every_dialect_reach_every_other() {
    for from in DIALECTS {
        let body = read("answer", &format!("{from}.json"));
        check("answer", from, |to| {
            pretty(&reply(to, from).answer(body.as_bytes(), &STAMP).unwrap())
        });
    }
}

#[test]
fn streams_of_every_dialect_reach_every_other() {
    for from in DIALECTS {
        let body = read("stream", &format!("{from}.txt"));
        check("stream", from, |to| {
            let mut stream = reply(to, from).stream(&STAMP);
            let mut out = Vec::new();
            for line in body.lines() {
                let (event, data) = match line.split_once(' ') {
                    Some((event, data)) if from == Dialect::Converse => (Some(event), data),
                    _ => (None, line),
                };
                out.extend_from_slice(&stream.frame(event, data.as_bytes()));
            }
            out.extend_from_slice(&stream.finish(Ending::Closed));
            if to != Dialect::Converse {
                return String::from_utf8(out).unwrap().replace('\r', "");
            }
            let mut text = String::new();
            for (event, data) in frames(to, &out) {
                let data = String::from_utf8(data).unwrap();
                writeln!(text, "{} {data}", event.unwrap()).unwrap();
            }
            text
        });
    }
}

#[test]
fn streams_are_of_the_type_that_clients_cut_them_by() {
    for dialect in DIALECTS {
        let framing = Framing::of(dialect, content_type(dialect, true));
        assert!(framing.is_some(), "{dialect}");
        assert_eq!(content_type(dialect, false), "application/json");
    }
}

/// The bar of the gateway: at least 25 of the 36 pairs work, and the others say why not.
#[test]
fn the_board_of_pairs() {
    let mut n_pairs = 0;
    for from in DIALECTS {
        for to in DIALECTS {
            let is_same = from == to;
            match translate(from, to) {
                // Within one dialect nothing is translated; the bytes go through.
                Ok(_) => n_pairs += 1,
                Err(_) if is_same => n_pairs += 1,
                Err(refused) => {
                    assert_eq!(refused.kind, ErrorKind::NotImplemented);
                    assert!(!refused.what.is_empty() && !refused.why.is_empty());
                    println!("{from} to {to}: {refused}");
                }
            }
        }
    }
    assert!(n_pairs >= 25, "{n_pairs} of 36");
    println!("{n_pairs} of 36 pairs");
}
