use super::*;
use crate::rag_control::policy::{Enforcement, Generation};

fn documents() -> Vec<Document> {
    let document = |id: &str, content: &str| Document {
        id: id.to_owned(),
        content: content.to_owned(),
        ..Document::default()
    };
    vec![
        document("holidays", "Every employee has 28 days of paid holiday a year."),
        document(
            "travel-7",
            "Trains are booked in second class, flights over six hours in premium.",
        ),
    ]
}

fn enforcer(enforcement: Enforcement) -> Enforcer {
    let policy = Policy {
        name: "test".to_owned(),
        generation: Generation { max_output_tokens: Some(50), ..Generation::default() },
        enforcement,
        logs_content: true,
    };
    Enforcer::new(Arc::new(policy), "How many days of holiday?", &documents())
}

fn cited() -> Enforcement {
    Enforcement { require_citations: true, ..Enforcement::default() }
}

fn strict() -> Enforcement {
    Enforcement { strict_citations: true, ..cited() }
}

fn grounded() -> Enforcement {
    Enforcement { answer_only_from_documents: true, ..Enforcement::default() }
}

/// The rule that an answer breaks, or what it cites; the same in pieces of every length.
fn check(enforcement: &Enforcement, answer: &str) -> Result<Vec<usize>, &'static str> {
    let whole = check_in_pieces(enforcement, answer, answer.len().max(1));
    for length in 1..8 {
        assert_eq!(check_in_pieces(enforcement, answer, length), whole, "in pieces of {length}");
    }
    whole
}

fn check_in_pieces(
    enforcement: &Enforcement,
    answer: &str,
    length: usize,
) -> Result<Vec<usize>, &'static str> {
    let mut enforcer = enforcer(enforcement.clone());
    let mut shown = String::new();
    let letters: Vec<char> = answer.chars().collect();
    for piece in letters.chunks(length) {
        let piece: String = piece.iter().collect();
        shown.push_str(enforcer.push(&piece).map_err(|violation| violation.rule)?);
    }
    let (rest, kept) = enforcer.finish(&Usage::default()).map_err(|violation| violation.rule)?;
    shown.push_str(rest);
    assert_eq!(shown, answer);
    Ok(kept.cited)
}

#[test]
fn citations_are_found_by_number_by_id_and_in_lists() {
    for (answer, cites) in [
        ("28 days [1].", vec![0]),
        ("28 days [holidays].", vec![0]),
        ("Both [2][1].", vec![1, 0]),
        ("Both [travel-7, 1]; again [1].", vec![1, 0]),
        ("See [doc 2] and [Document-1].", vec![1, 0]),
        ("A link [here 9](https://example.org/9) and [1].", vec![0]),
        ("A [note] and an [open bracket, then [1]", vec![0]),
    ] {
        assert_eq!(check(&cited(), answer), Ok(cites), "{answer}");
    }
}

#[test]
fn what_cites_nothing_or_what_is_not_there_is_rejected() {
    for (answer, rule) in [
        ("28 days.", "require_citations"),
        ("28 days [3].", "unknown_citation"),
        ("28 days [1], see also [handbook-9].", "unknown_citation"),
        ("28 days [0]", "unknown_citation"),
        ("28 days [", "require_citations"),
    ] {
        assert_eq!(check(&cited(), answer), Err(rule), "{answer}");
    }
    assert_eq!(check(&Enforcement::default(), "28 days [3]."), Ok(vec![]));
}

#[test]
fn strict_rules_want_a_citation_for_every_statement() {
    for answer in [
        "Everybody has 28 days off [1]. Trains are second class [2].",
        "Everybody has 28 days off. [1] Trains are second class. [2]",
        "In short:\n- Everybody has 28 days off [1]\n- Trains are second class, e.g. to Bern [2]\n",
        "Yes. Everybody has 28 days off [1]!",
    ] {
        assert!(check(&strict(), answer).is_ok(), "{answer}");
    }
    for (answer, rule) in [
        ("Everybody has 28 days off [1]. And trains are second class.", "strict_citations"),
        ("Trains are always second class.\n[1]", "strict_citations"),
        ("Everybody has 28 days off [handbook].", "unknown_citation"),
    ] {
        assert_eq!(check(&strict(), answer), Err(rule), "{answer}");
    }
}

#[test]
fn under_strict_rules_nothing_is_shown_that_is_not_checked() {
    let mut enforcer = enforcer(strict());
    assert_eq!(enforcer.push("Everybody has 28 days off").unwrap(), "");
    assert_eq!(enforcer.push(" [1]. Next").unwrap(), "Everybody has 28 days off [1]. ");
    assert!(enforcer.push(" comes a claim of its own. And").is_err());
}

#[test]
fn an_answer_from_documents_has_their_numbers_and_words() {
    for answer in [
        "Every employee has 28 days of holiday.",
        "28 days.",
        "1. Trains in second class\n2. Flights over six hours in premium",
    ] {
        assert!(check(&grounded(), answer).is_ok(), "{answer}");
    }
    for answer in [
        "Every employee has 35 days of holiday.",
        "Penguins usually inhabit southern oceans, nesting ashore.",
    ] {
        assert_eq!(check(&grounded(), answer), Err("answer_only_from_documents"), "{answer}");
    }
}

#[test]
fn saying_that_there_is_no_answer_needs_no_citation() {
    let rules = Enforcement { answer_only_from_documents: true, ..strict() };
    assert_eq!(check(&rules, &rules.refusal), Ok(vec![]));
    let mut enforcer = enforcer(rules.clone());
    enforcer.push(&format!(" {}\n", rules.refusal)).unwrap();
    assert!(enforcer.finish(&Usage::default()).unwrap().1.is_refusal);
}

#[test]
fn an_answer_that_is_too_long_is_rejected_as_soon_as_it_is() {
    let rules = Enforcement { max_answer_characters: Some(5), ..Enforcement::default() };
    assert_eq!(check(&rules, "fünf!"), Ok(vec![]));
    let mut enforcer = enforcer(rules);
    enforcer.push("fünf").unwrap();
    assert_eq!(enforcer.push("und").unwrap_err().rule, "max_answer_characters");
    let mut enforcer = super::tests::enforcer(Enforcement::default());
    enforcer.push("short").unwrap();
    let usage = Usage { completion_tokens: Some(51), ..Usage::default() };
    assert_eq!(enforcer.finish(&usage).unwrap_err().rule, "max_output_tokens");
}

proptest::proptest! {
    #[test]
    fn any_text_in_any_pieces_gives_the_same_verdict(
        answer in "[a-z\\[\\]0-9 .\n(,é]{0,60}",
        length in 1_usize..9,
    ) {
        for rules in [cited(), strict(), grounded()] {
            let whole = check_in_pieces(&rules, &answer, 60);
            let pieces = check_in_pieces(&rules, &answer, length);
            proptest::prop_assert_eq!(whole.is_ok(), pieces.is_ok());
        }
    }
}
