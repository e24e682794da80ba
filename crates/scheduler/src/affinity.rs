//! Which nodes a Pod wants by their labels and names: `nodeSelector` and `nodeAffinity`.

use std::collections::BTreeMap;

use api::proto::core_v1::{NodeSelectorRequirement, NodeSelectorTerm, PreferredSchedulingTerm};

type Labels = BTreeMap<String, String>;

/// Terms are alternatives; the requirements within one must all hold. No terms match nothing, and neither does a
/// term without any requirement.
pub fn any_term_matches(terms: &[NodeSelectorTerm], node_name: &str, labels: &Labels) -> bool {
    terms.iter().any(|term| term_matches(term, node_name, labels))
}

fn term_matches(term: &NodeSelectorTerm, node_name: &str, labels: &Labels) -> bool {
    if term.match_expressions.is_empty() && term.match_fields.is_empty() {
        return false;
    }
    term.match_expressions.iter().all(|wanted| holds(wanted, labels.get(&wanted.key).map(String::as_str)))
        && term.match_fields.iter().all(|wanted| wanted.key == "metadata.name" && holds(wanted, Some(node_name)))
}

/// Whether a label's value (`None`: the node hasn't that label) meets a requirement. `NotIn` and `DoesNotExist` hold
/// for an absent label; `Gt` and `Lt` compare whole numbers and hold for nothing else.
fn holds(wanted: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let listed = || value.is_some_and(|value| wanted.values.iter().any(|candidate| candidate == value));
    let ordered = |holds: fn(i64, i64) -> bool| {
        let label = value.and_then(|value| value.parse::<i64>().ok());
        let bound = wanted.values.first().and_then(|bound| bound.parse::<i64>().ok());
        matches!((label, bound), (Some(label), Some(bound)) if holds(label, bound))
    };
    match wanted.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => ordered(|label, bound| label > bound),
        "Lt" => ordered(|label, bound| label < bound),
        _ => false,
    }
}

/// The sum of the weights of the preferred terms that the node meets. Here an empty preference matches nothing.
pub fn preference(terms: &[PreferredSchedulingTerm], node_name: &str, labels: &Labels) -> i64 {
    terms
        .iter()
        .filter(|term| term.preference.as_ref().is_some_and(|wanted| term_matches(wanted, node_name, labels)))
        .map(|term| i64::from(term.weight))
        .sum()
}

/// Every label of a `nodeSelector` must be on the node with that value.
pub fn selector_matches(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(key: &str, operator: &str, values: &[&str]) -> NodeSelectorRequirement {
        NodeSelectorRequirement {
            key: key.into(),
            operator: operator.into(),
            values: values.iter().map(|value| (*value).into()).collect(),
        }
    }

    fn node() -> Labels {
        [("zone", "a"), ("cores", "16")].map(|(key, value)| (key.into(), value.into())).into()
    }

    #[test]
    fn each_operator_says_what_kubernetes_says() {
        for (key, operator, values, expected) in [
            ("zone", "In", &["a", "b"][..], true),
            ("zone", "In", &["c"], false),
            ("zone", "NotIn", &["c"], true),
            ("disk", "NotIn", &["ssd"], true),
            ("disk", "In", &["ssd"], false),
            ("zone", "Exists", &[], true),
            ("disk", "DoesNotExist", &[], true),
            ("cores", "Gt", &["8"], true),
            ("cores", "Gt", &["16"], false),
            ("cores", "Lt", &["17"], true),
            ("zone", "Gt", &["1"], false),
            ("zone", "Like", &["a"], false),
        ] {
            let term =
                NodeSelectorTerm { match_expressions: vec![requirement(key, operator, values)], ..Default::default() };
            assert_eq!(any_term_matches(&[term], "n1", &node()), expected, "{key} {operator} {values:?}");
        }
    }

    #[test]
    fn terms_are_alternatives_and_an_empty_one_matches_nothing() {
        let zone_c =
            NodeSelectorTerm { match_expressions: vec![requirement("zone", "In", &["c"])], ..Default::default() };
        let named =
            NodeSelectorTerm { match_fields: vec![requirement("metadata.name", "In", &["n1"])], ..Default::default() };
        assert!(any_term_matches(&[zone_c.clone(), named.clone()], "n1", &node()));
        assert!(!any_term_matches(&[zone_c, named], "n2", &node()));
        assert!(!any_term_matches(&[NodeSelectorTerm::default()], "n1", &node()));
        assert!(!any_term_matches(&[], "n1", &node()));
    }
}
