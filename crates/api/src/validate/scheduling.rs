//! Where a Pod may be placed: affinity to nodes and to other Pods, scheduling gates.

use std::collections::BTreeSet;

use proto::core_v1::{
    Affinity, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, PodSchedulingGate, TopologySpreadConstraint,
};
use proto::meta_v1::LabelSelector;

use super::complain;
use super::meta::label_selector;
use crate::field::{Error, Errors, Path};
use crate::names;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// All of an affinity.
pub(super) fn affinity(affinity: &Affinity, at: &Path<'_>, errors: &mut Errors) {
    if let Some(node) = &affinity.node_affinity {
        let at = at.child("nodeAffinity");
        if let Some(selector) = &node.required_during_scheduling_ignored_during_execution {
            let required = at.child(REQUIRED);
            let terms = required.child("nodeSelectorTerms");
            if selector.node_selector_terms.is_empty() {
                errors.push(Error::required(&terms, "must have at least one node selector term"));
            }
            for (i, term) in selector.node_selector_terms.iter().enumerate() {
                node_term(term, &terms.index(i), errors);
            }
        }
        let preferred = at.child(PREFERRED);
        for (i, term) in node.preferred_during_scheduling_ignored_during_execution.iter().enumerate() {
            let at = preferred.index(i);
            weight(term.weight, &at, errors);
            node_term(&term.preference.clone().unwrap_or_default(), &at.child("preference"), errors);
        }
    }
    let pods = affinity.pod_affinity.as_ref().map(|pods| {
        (
            &pods.required_during_scheduling_ignored_during_execution,
            &pods.preferred_during_scheduling_ignored_during_execution,
        )
    });
    let apart = affinity.pod_anti_affinity.as_ref().map(|pods| {
        (
            &pods.required_during_scheduling_ignored_during_execution,
            &pods.preferred_during_scheduling_ignored_during_execution,
        )
    });
    for (terms, name) in [(pods, "podAffinity"), (apart, "podAntiAffinity")] {
        let Some((required, preferred)) = terms else { continue };
        let at = at.child(name);
        for (i, term) in required.iter().enumerate() {
            pod_term(term, &at.child(REQUIRED).index(i), errors);
        }
        for (i, term) in preferred.iter().enumerate() {
            let list = at.child(PREFERRED);
            let at = list.index(i);
            weight(term.weight, &at, errors);
            pod_term(&term.pod_affinity_term.clone().unwrap_or_default(), &at.child("podAffinityTerm"), errors);
        }
    }
}

/// Gates that hold a Pod back from scheduling.
pub(super) fn gates(gates: &[PodSchedulingGate], at: &Path<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, gate) in gates.iter().enumerate() {
        let at = at.index(i);
        complain(names::label_key(&gate.name), &gate.name, &at, errors);
        if !seen.insert(&gate.name) {
            errors.push(Error::duplicate(&at, &gate.name));
        }
    }
}

fn weight(weight: i32, at: &Path<'_>, errors: &mut Errors) {
    if !(1..=100).contains(&weight) {
        errors.push(Error::invalid(&at.child("weight"), weight, "must be in the range 1-100"));
    }
}

fn node_term(term: &NodeSelectorTerm, at: &Path<'_>, errors: &mut Errors) {
    let expressions = at.child("matchExpressions");
    for (i, requirement) in term.match_expressions.iter().enumerate() {
        node_requirement(requirement, &expressions.index(i), errors);
    }
    let fields = at.child("matchFields");
    for (i, requirement) in term.match_fields.iter().enumerate() {
        let at = fields.index(i);
        match requirement.operator.as_str() {
            "In" | "NotIn" if requirement.values.len() != 1 => {
                let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.push(Error::required(&at.child("values"), detail));
            }
            "In" | "NotIn" => {}
            other => errors.push(Error::invalid(&at.child("operator"), other, "not a valid selector operator")),
        }
        if requirement.key != "metadata.name" {
            errors.push(Error::invalid(&at.child("key"), &requirement.key, "not a valid field selector key"));
        }
    }
}

fn node_requirement(requirement: &NodeSelectorRequirement, at: &Path<'_>, errors: &mut Errors) {
    let values = at.child("values");
    match (requirement.operator.as_str(), requirement.values.len()) {
        ("In" | "NotIn", 0) => {
            errors.push(Error::required(&values, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        ("Exists" | "DoesNotExist", 1..) => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(Error::forbidden(&values, detail));
        }
        ("Gt" | "Lt", count) if count != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(Error::required(&values, detail));
        }
        ("In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt", _) => {}
        (other, _) => errors.push(Error::invalid(&at.child("operator"), other, "not a valid selector operator")),
    }
    complain(names::label_key(&requirement.key), &requirement.key, &at.child("key"), errors);
    for (i, value) in requirement.values.iter().enumerate() {
        complain(names::label_value(value), value, &values.index(i), errors);
    }
}

fn pod_term(term: &PodAffinityTerm, at: &Path<'_>, errors: &mut Errors) {
    for (selector, name) in [(&term.label_selector, "labelSelector"), (&term.namespace_selector, "namespaceSelector")] {
        if let Some(selector) = selector {
            label_selector(selector, &at.child(name), errors);
        }
    }
    for namespace in &term.namespaces {
        complain(names::dns_label(namespace), namespace, &at.child("namespace"), errors);
    }
    label_keys(&term.match_label_keys, &term.mismatch_label_keys, term.label_selector.as_ref(), at, errors);
    if term.topology_key.is_empty() {
        errors.push(Error::required(&at.child("topologyKey"), "can not be empty"));
    }
    complain(names::label_key(&term.topology_key), &term.topology_key, &at.child("topologyKey"), errors);
}

/// Keys whose values a Pod's own labels give, to be matched or not.
fn label_keys(
    matched: &[String],
    mismatched: &[String],
    selector: Option<&LabelSelector>,
    at: &Path<'_>,
    errors: &mut Errors,
) {
    for (keys, name) in [(matched, "matchLabelKeys"), (mismatched, "mismatchLabelKeys")] {
        let at = at.child(name);
        if !keys.is_empty() && selector.is_none() {
            errors.push(Error::forbidden(&at, "must not be specified when labelSelector is not set"));
        }
        for (i, key) in keys.iter().enumerate().filter(|_| selector.is_some()) {
            complain(names::label_key(key), key, &at.index(i), errors);
        }
    }
    if let Some(selector) = selector {
        let mut seen: BTreeSet<&String> = selector.match_labels.keys().collect();
        for key in selector.match_expressions.iter().map(|expression| &expression.key) {
            let place = matched.iter().rposition(|matched| matched == key);
            if let Some(i) = place.filter(|_| seen.contains(key)) {
                let detail = "exists in both matchLabelKeys and labelSelector";
                errors.push(Error::invalid(&at.index(i), key, detail));
            }
            seen.insert(key);
        }
    }
    for (i, key) in matched.iter().enumerate().filter(|(_, key)| mismatched.contains(key)) {
        let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
        errors.push(Error::invalid(&at.child("matchLabelKeys").index(i), key, detail));
    }
}

/// How evenly Pods are spread.
pub(super) fn topology_spread(all: &[TopologySpreadConstraint], at: &Path<'_>, errors: &mut Errors) {
    for (i, one) in all.iter().enumerate() {
        let at = at.index(i);
        let action = one.when_unsatisfiable.as_str();
        positive(one.max_skew, &at.child("maxSkew"), errors);
        if one.topology_key.is_empty() {
            errors.push(Error::required(&at.child("topologyKey"), "can not be empty"));
        }
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        if !actions.contains(&action) {
            errors.push(Error::not_supported(&at.child("whenUnsatisfiable"), action, &actions));
        }
        let same = |other: &TopologySpreadConstraint| {
            other.topology_key == one.topology_key && other.when_unsatisfiable == action
        };
        if all[i + 1..].iter().any(same) {
            let shown = format!("{{{}, {action}}}", one.topology_key);
            errors.push(Error::duplicate(&at.child("{topologyKey, whenUnsatisfiable}"), &shown));
        }
        if let Some(domains) = one.min_domains {
            let at = at.child("minDomains");
            positive(domains, &at, errors);
            if action != "DoNotSchedule" {
                let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.push(Error::invalid(&at, domains, &detail));
            }
        }
        let policies =
            [(&one.node_affinity_policy, "nodeAffinityPolicy"), (&one.node_taints_policy, "nodeTaintsPolicy")];
        for (policy, name) in policies {
            if let Some(policy) = policy.as_ref().filter(|policy| !["Honor", "Ignore"].contains(&policy.as_str())) {
                errors.push(Error::not_supported(&at.child(name), policy, &["Honor", "Ignore"]));
            }
        }
        label_keys(&one.match_label_keys, &[], one.label_selector.as_ref(), &at, errors);
        if let Some(selector) = &one.label_selector {
            label_selector(selector, &at.child("labelSelector"), errors);
        }
    }
}

fn positive(value: i32, at: &Path<'_>, errors: &mut Errors) {
    if value <= 0 {
        errors.push(Error::invalid(at, value, "must be greater than zero"));
    }
}
