use proptest::prelude::*;

use super::*;
use crate::rag_control::yaml::Document;

fn rule(yaml: &str) -> Result<Rule, PolicyFileError> {
    Rule::read(&Document::parse(yaml)?.root())
}

fn metadata(json: &Json) -> Map<String, Json> {
    json.as_object().cloned().unwrap()
}

fn allows(yaml: &str, document: &Json) -> bool {
    let user = UserContext::new("u-1", "acme")
        .attribute("team", "support")
        .attribute("teams", json!(["support", "sales"]))
        .attribute("clearance", 2);
    rule(yaml).unwrap().for_user(&user).matches(&metadata(document))
}

#[test]
fn fields_are_compared_as_they_should_be() {
    let document = json!({"team": "support", "level": 2, "tags": ["a", "b"], "active": true, "day": "2026-03-01"});
    for (yaml, expected) in [
        ("{field: team, operator: equals, value: support}", true),
        ("{field: team, operator: equals, value: $user.attributes.team}", true),
        ("{field: team, operator: not_equals, value: sales}", true),
        ("{field: team, operator: in, value: [sales, support]}", true),
        ("{field: team, operator: in, value: $user.attributes.teams}", true),
        ("{field: team, operator: not_in, value: [sales]}", true),
        ("{field: team, operator: in, value: [1, 2]}", false),
        ("{field: level, operator: equals, value: 2.0}", true),
        ("{field: level, operator: range, min: 1, max: 2}", true),
        ("{field: level, operator: range, value: {max: $user.attributes.clearance}}", true),
        ("{field: level, operator: not_range, value: {min: 3}}", true),
        ("{field: day, operator: range, value: {min: '2026-01-01', max: '2026-12-31'}}", true),
        ("{field: tags, operator: contains, value: b}", true),
        ("{field: tags, operator: not_contains, value: c}", true),
        ("{field: active, operator: equals, value: true}", true),
        ("{field: active, operator: equals, value: 1}", false),
        (
            "{and: [{field: active, operator: equals, value: true}, {field: level, operator: equals, value: 3}]}",
            false,
        ),
        (
            "{or: [{field: gone, operator: equals, value: true}, {field: level, operator: equals, value: 2}]}",
            true,
        ),
        (
            "{not: {or: [{field: level, operator: equals, value: 1}, {field: team, operator: equals, value: x}]}}",
            true,
        ),
    ] {
        assert_eq!(allows(yaml, &document), expected, "{yaml}");
    }
}

#[test]
fn what_is_not_known_is_denied_whichever_way_it_is_asked() {
    for yaml in [
        "{field: gone, operator: equals, value: 1}",
        "{field: gone, operator: not_equals, value: 1}",
        "{not: {field: gone, operator: equals, value: 1}}",
        "{not: {not: {field: gone, operator: not_in, value: [1]}}}",
        "{field: gone, operator: not_range, value: {min: 1}}",
        "{not: {field: level, operator: equals, value: $user.attributes.missing}}",
        "{not: {field: level, operator: range, min: a}}",
        "{not: {and: [{field: gone, operator: equals, value: 1}]}}",
        "{field: level, operator: not_equals, value: text}",
        "{field: nothing, operator: not_equals, value: text}",
    ] {
        assert!(!allows(yaml, &json!({"level": 2, "nothing": null})), "{yaml}");
    }
}

#[test]
fn mistakes_name_their_line_and_field() {
    for (yaml, expected) in [
        (
            "field: a\noperator: equal\nvalue: 1",
            "line 2: operator: unknown: did you mean `equals`?",
        ),
        ("field: a\noperator: equals", "line 1: `value` is missing"),
        ("and: []", "line 1: and: expected at least one filter"),
        (
            "or:\n  - {field: a, operator: equals, value: $user.name}",
            "line 2: or[0].value: `$user.name` is unknown: expected $user.id, $user.org_id or $user.attributes.NAME",
        ),
        ("{and: [], or: []}", "line 1: expected one of `and`, `or`, `not`, or a `field`"),
        (
            "{field: a, operator: in, value: 3}",
            "line 1: value: expected a list, or a user's attribute that is one",
        ),
        ("{field: a, operator: range}", "line 1: operator: a range needs `min`, `max` or both"),
        ("{field: a, operator: equals, value: }", "line 1: value: expected a value, found nothing"),
        ("{field: a, feild: b}", "line 1: feild: unknown: did you mean `field`?"),
    ] {
        assert_eq!(rule(yaml).unwrap_err().to_string(), expected, "{yaml}");
    }
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let scalar = prop_oneof![(0_i64..3).prop_map(Json::from), "[xy]".prop_map(Json::from)];
    let operand = prop_oneof![
        scalar.clone().prop_map(Operand::Value),
        "[pq]".prop_map(Operand::Attribute),
        Just(Operand::UserId),
    ];
    let list = prop::collection::vec(scalar, 0..3).prop_map(|list| Operand::Value(list.into()));
    let test = prop_oneof![
        operand.clone().prop_map(Test::Equals),
        list.prop_map(Test::In),
        operand.clone().prop_map(Test::Contains),
        (operand.clone(), operand)
            .prop_map(|(min, max)| Test::Range { min: Some(min), max: Some(max) }),
    ];
    let leaf = ("[abc]", test).prop_map(|(field, test)| Rule::Field { field, test });
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Rule::All),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Rule::Any),
            inner.prop_map(|rule| Rule::Not(Box::new(rule))),
        ]
    })
}

fn any_metadata() -> impl Strategy<Value = Map<String, Json>> {
    let value = prop_oneof![
        (0_i64..3).prop_map(Json::from),
        "[xy]".prop_map(Json::from),
        Just(Json::Null),
        prop::collection::vec((0_i64..3).prop_map(Json::from), 0..3).prop_map(Json::from),
    ];
    prop::collection::btree_map("[abcpq]", value, 0..4).prop_map(|map| map.into_iter().collect())
}

/// Three-valued logic, written down a second time: what cannot be compared is neither.
fn truth(rule: &Rule, user: &UserContext, document: &Map<String, Json>) -> Option<bool> {
    let all = |rules: &[Rule], stops: bool| {
        let truths: Vec<_> = rules.iter().map(|rule| truth(rule, user, document)).collect();
        if truths.contains(&Some(stops)) {
            Some(stops)
        } else if truths.contains(&None) {
            None
        } else {
            Some(!stops)
        }
    };
    match rule {
        Rule::All(rules) => all(rules, false),
        Rule::Any(rules) => all(rules, true),
        Rule::Not(inner) => truth(inner, user, document).map(|truth| !truth),
        Rule::Field { field, test } => {
            let (operator, value) = test.resolve(user, false)?;
            compare(operator, document.get(field)?, &value)
        }
    }
}

proptest! {
    #[test]
    fn a_filter_allows_what_its_rule_says_for_sure(
        rule in any_rule(), attributes in any_metadata(), document in any_metadata(),
    ) {
        let user = UserContext { user_id: "x".to_owned(), org_id: String::new(), attributes };
        let filter = rule.for_user(&user);
        prop_assert_eq!(filter.matches(&document), truth(&rule, &user, &document) == Some(true));
        prop_assert_eq!(Filter::from_json(&filter.to_json()), Some(filter));
    }
}
