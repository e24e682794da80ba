use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn label_selectors_match_as_kubernetes() {
    for (selector, set, expected) in [
        ("", labels(&[("a", "b")]), true),
        ("a=b", labels(&[("a", "b")]), true),
        ("a==b", labels(&[("a", "c")]), false),
        ("a!=b", labels(&[]), true),
        ("a", labels(&[("a", "")]), true),
        ("!a", labels(&[("a", "")]), false),
        ("a in (b, c)", labels(&[("a", "c")]), true),
        ("a notin (b,c)", labels(&[("a", "d")]), true),
        ("a notin (b,c)", labels(&[]), true),
        ("a in ()", labels(&[("a", "")]), true),
        ("a in (,b)", labels(&[("a", "")]), true),
        ("in in (in)", labels(&[("in", "in")]), true),
        ("a>5", labels(&[("a", "6")]), true),
        ("a<5", labels(&[("a", "x")]), false),
        ("a=", labels(&[("a", "")]), true),
        ("a=b,c=d", labels(&[("a", "b")]), false),
    ] {
        let parsed = LabelSelector::parse(selector).unwrap_or_else(|error| panic!("{selector}: {error}"));
        assert_eq!(parsed.matches(&set), expected, "{selector} on {set:?}");
    }
}

#[test]
fn wrong_label_selectors_get_kubernetes_text() {
    for (selector, expected) in [
        ("=", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a,", "found '', expected: identifier after ','"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
    ] {
        assert_eq!(LabelSelector::parse(selector).expect_err(selector), expected, "{selector}");
    }
    let error = LabelSelector::parse("-a=b").expect_err("a bad key");
    assert!(error.starts_with("unable to parse requirement: <nil>: Invalid value: \"-a\": name part must"), "{error}");
    let error = LabelSelector::parse("a=-b").expect_err("a bad value");
    assert!(
        error.starts_with("unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must"),
        "{error}"
    );
}

#[test]
fn a_label_selector_prints_in_order() {
    let selector = LabelSelector::parse("z,!y,b in (d,c),a=1").expect("a selector");
    assert_eq!(selector.to_string(), "a=1,b in (c,d),!y,z");
    assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
}

#[test]
fn no_selector_on_an_object_selects_nothing() {
    assert!(!LabelSelector::from_meta(None).expect("valid").matches(&labels(&[])));
    let empty = proto::meta_v1::LabelSelector::default();
    assert!(LabelSelector::from_meta(Some(&empty)).expect("valid").matches(&labels(&[("a", "b")])));
    let mut wrong = empty;
    wrong.match_expressions.push(proto::meta_v1::LabelSelectorRequirement {
        key: "a".into(),
        operator: "Is".into(),
        values: vec![],
    });
    assert_eq!(
        LabelSelector::from_meta(Some(&wrong)).expect_err("a bad operator"),
        "\"Is\" is not a valid label selector operator"
    );
}

#[test]
fn field_selectors_compare_and_escape() {
    let selector = FieldSelector::parse(r"spec.nodeName=n1,status.phase!=Failed,x==a\,b\=c").expect("a selector");
    let value = |field: &str| match field {
        "spec.nodeName" => "n1",
        "x" => "a,b=c",
        _ => "",
    };
    assert!(selector.matches(value));
    assert_eq!(selector.exact("spec.nodeName"), Some("n1"));
    assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
    assert_eq!(
        FieldSelector::parse("a=b,c").expect_err("no operator").to_string(),
        "invalid selector: 'a=b,c'; can't understand 'c'"
    );
    assert_eq!(
        FieldSelector::parse(r"a=\b").expect_err("an escape").to_string(),
        r"invalid field selector: invalid escape sequence: \b"
    );
    assert_eq!(
        FieldSelector::parse("a=b=c").expect_err("a bare =").to_string(),
        "invalid field selector: unescaped character in value: 61"
    );
    assert!(FieldSelector::parse("spec.nodeName!=").expect("a selector").matches(value));
}

proptest! {
    #[test]
    fn any_text_is_refused_or_printed_back(text in "[a-c=!(),<> in\\\\/ä\\.-]{0,24}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
        }
        if let Ok(selector) = FieldSelector::parse(&text) {
            prop_assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
        }
    }
}
