use super::*;

const FILE: &str = "\
organizations:
  meridian:
    filter: public_only
    policy: cited_answers
    retrieval_top_k: 3
    conditions:
      - {when: {documents: {max: 0}}, policy: nothing_found}
      - {when: {top_score: {max: 0.4}}, policy: careful}
      - {when: {only_sources: [wiki]}, policy: careful}
filters:
  public_only: {and: [{field: visibility, operator: equals, value: public}]}
policies:
  cited_answers: {generation: {temperature: 0.15, max_output_tokens: 240}, enforcement: {require_citations: true}}
  careful: {enforcement: {strict_citations: true}, logging: {content: false}}
  nothing_found: {}
";

fn document(score: f64, source: &str) -> Document {
    let metadata = [("source".to_owned(), source.into())].into_iter().collect();
    Document { id: "d".to_owned(), score, metadata, ..Document::default() }
}

#[test]
fn conditions_choose_by_number_score_and_source() {
    let policies = Policies::parse(FILE).unwrap();
    let organization = policies.organization("meridian").unwrap();
    let chosen = |documents: &[Document]| organization.policy_for(documents).0.name.clone();
    assert_eq!(chosen(&[]), "nothing_found");
    assert_eq!(chosen(&[document(0.3, "hr"), document(0.2, "hr")]), "careful");
    assert_eq!(chosen(&[document(0.9, "wiki")]), "careful");
    assert_eq!(chosen(&[document(0.9, "wiki"), document(0.8, "hr")]), "cited_answers");
    assert!(!organization.logs_content());
    assert!(organization.policy_for(&[document(0.1, "x")]).0.enforcement.require_citations);
    assert!(policies.organization("other").is_none());
}

#[test]
fn mistakes_name_their_line_and_field() {
    for (from, to, expected) in [
        (
            "policy: cited_answers",
            "policy: cited_answer",
            "line 4: organizations.meridian.policy: `cited_answer` is unknown: did you mean `cited_answers`?",
        ),
        (
            "filter: public_only",
            "filter: publik",
            "line 3: organizations.meridian.filter: `publik` is unknown: did you mean `public_only`?",
        ),
        (
            "retrieval_top_k: 3",
            "retrieval_top_k: 0",
            "line 5: organizations.meridian.retrieval_top_k: expected a whole number from 1 to 1000, found `0`",
        ),
        (
            "temperature: 0.15",
            "temperature: hot",
            "line 13: policies.cited_answers.generation.temperature: expected a number from 0 to 2, found `hot`",
        ),
        (
            "require_citations: true",
            "require_citation: true",
            "line 13: policies.cited_answers.enforcement.require_citation: unknown: did you mean `require_citations`?",
        ),
        (
            "{documents: {max: 0}}",
            "{}",
            "line 7: organizations.meridian.conditions[0].when: expected `documents`, `top_score` or sources",
        ),
        (
            "nothing_found: {}",
            "nothing_found: []",
            "line 15: policies.nothing_found: expected fields, found a list",
        ),
        (
            "content: false",
            "content: maybe",
            "line 14: policies.careful.logging.content: expected true or false, found `maybe`",
        ),
        ("policies:\n", "policy:\n", "line 12: policy: unknown: did you mean `policies`?"),
    ] {
        let file = FILE.replacen(from, to, 1);
        assert_eq!(Policies::parse(&file).unwrap_err().to_string(), expected);
    }
    let twice = format!("{FILE}  careful: {{}}\n");
    let error = Policies::parse(&twice).unwrap_err();
    assert_eq!((error.line, error.to_string().contains("careful")), (16, true), "{error}");
    for broken in ["organizations: [", "", "a: b: c", "\u{0}"] {
        assert!(Policies::parse(broken).is_err(), "{broken}");
    }
    assert!(Policies::open("/does/not/exist.yaml").unwrap_err().message.contains("cannot read"));
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_policy_file_or_an_error(text in "[a-z:{}\\[\\], \n#&*!|>'\"0-9$.-]{0,80}") {
        drop(Policies::parse(&text));
    }

    #[test]
    fn any_damage_to_a_policy_file_is_an_error_or_harmless(at in 0..FILE.len(), with in "[ -~\n]{0,3}") {
        let mut file = FILE.to_owned();
        file.replace_range(at..=at, &with);
        if let Err(error) = Policies::parse(&file) {
            proptest::prop_assert!(!error.message.is_empty());
        }
    }
}
