//! What containers and Pods ask for: limits and requests, claims of devices, what a change of them may restart.

use std::collections::{BTreeMap, BTreeSet};

use proto::core_v1::{ContainerResizePolicy, PodResourceClaim, PodSpec, ResourceClaim, ResourceRequirements};
use proto::resource;

use super::complain;
use super::reference::RESOURCES;
use crate::field::{Error, Errors, Json, Path};
use crate::names;
use crate::quantity::Quantity;

type Quantities = BTreeMap<String, resource::Quantity>;
type Parsed<'a> = BTreeMap<&'a str, Quantity>;

/// What a ResourceQuota counts: no container can ask for it.
const COUNTS: [&str; 9] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];
/// How many of the claims that a container uses are looked at: what is wrong with one is told with the names of all.
const CLAIMS_TOLD: usize = 256;

/// Whose limits and requests these are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Container,
    Pod,
}

/// Limits and requests of a container: known names, no negative amounts, no request above its limit.
pub(super) fn of_container(asked: &ResourceRequirements, claims: &BTreeSet<&str>, at: &Path<'_>, errors: &mut Errors) {
    requirements(asked, claims, Of::Container, at, errors);
}

/// What a Pod needs beside what its containers ask for.
pub(super) fn overhead(overhead: &Quantities, at: &Path<'_>, errors: &mut Errors) {
    let asked = ResourceRequirements { limits: overhead.clone(), ..Default::default() };
    requirements(&asked, &BTreeSet::new(), Of::Container, at, errors);
}

/// Limits and requests of a Pod as a whole, which hold those of its containers.
pub(super) fn of_pod(spec: &PodSpec, claims: &BTreeSet<&str>, at: &Path<'_>, errors: &mut Errors) {
    let Some(asked) = &spec.resources else { return };
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return errors.push(Error::forbidden(at, "may not be set for a windows pod"));
    }
    if !asked.claims.is_empty() {
        errors.push(Error::forbidden(&at.child("claims"), "claims may not be set for Resources at pod-level"));
    }
    requirements(asked, claims, Of::Pod, at, errors);
    let own = amounts(&asked.requests);
    for (name, sum) in crate::resources::requests_of_containers(spec) {
        if let Some(request) = own.get(name.as_str()).filter(|request| sum.minus(**request).signum() > 0) {
            let detail = format!("must be greater than or equal to aggregate container requests of {}", shown(sum));
            errors.push(Error::invalid(&at.child("requests").key(&name), shown(*request), &detail));
        }
    }
    let limits = amounts(&asked.limits);
    for (i, container) in spec.containers.iter().enumerate() {
        let of_container = container.resources.iter().flat_map(|resources| amounts(&resources.limits));
        for (name, limit) in of_container {
            if let Some(of_pod) = limits.get(name).filter(|of_pod| limit.minus(**of_pod).signum() > 0) {
                let containers = at.child("containers");
                let container = containers.index(i);
                let detail = format!("must be less than or equal to pod limits of {}", shown(*of_pod));
                errors.push(Error::invalid(&container.key(name).child("limits"), shown(limit), &detail));
            }
        }
    }
}

fn requirements(asked: &ResourceRequirements, claims: &BTreeSet<&str>, of: Of, at: &Path<'_>, errors: &mut Errors) {
    let (limits_at, requests_at) = (at.child("limits"), at.child("requests"));
    let (limits, requests) = (amounts(&asked.limits), amounts(&asked.requests));
    for (name, limit) in &limits {
        let key = limits_at.key(name);
        amount(name, *limit, of, &key, errors);
        huge_page(name, *limit, &key, errors);
    }
    for (name, request) in &requests {
        amount(name, *request, of, &requests_at.key(name), errors);
        match limits.get(name) {
            Some(limit) => {
                let order = request.minus(*limit).signum();
                let rule = match overcommits(name) {
                    true if order > 0 => "less than or equal to",
                    false if order != 0 => "equal to",
                    _ => "",
                };
                if !rule.is_empty() {
                    let detail = format!("must be {rule} {name} limit of {}", shown(*limit));
                    errors.push(Error::invalid(&requests_at, shown(*request), &detail));
                }
            }
            None if !overcommits(name) => {
                errors.push(Error::required(&limits_at, "Limit must be set for non overcommitable resources"));
            }
            None => {}
        }
        huge_page(name, *request, &requests_at.key(name), errors);
    }
    let has = |test: fn(&str) -> bool| limits.keys().chain(requests.keys()).any(|name| test(name));
    if has(is_huge_page) && !has(|name| matches!(name, "cpu" | "memory")) {
        errors.push(Error::forbidden(at, "HugePages require cpu or memory"));
    }
    used_claims(&asked.claims, claims, &at.child("claims"), errors);
}

/// Unreadable amounts are refused when they are decoded.
fn amounts(all: &Quantities) -> Parsed<'_> {
    let parse = |amount: &resource::Quantity| Quantity::parse(&amount.string).ok();
    all.iter().filter_map(|(name, amount)| Some((name.as_str(), parse(amount)?))).collect()
}

fn shown(amount: Quantity) -> String {
    amount.to_proto().string
}

fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Names without a domain, or of Kubernetes' own.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether more may be asked for than there is, in hope.
fn overcommits(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::label_key(&format!("requests.{name}")).is_empty()
}

fn amount(name: &str, amount: Quantity, of: Of, at: &Path<'_>, errors: &mut Errors) {
    resource_name(name, of, at, errors);
    if amount.signum() < 0 {
        errors.push(Error::invalid(at, shown(amount), "must be greater than or equal to 0"));
    }
    if (is_extended(name) || COUNTS.contains(&name)) && !amount.is_whole() {
        errors.push(Error::invalid(at, shown(amount), "must be an integer"));
    }
}

fn resource_name(name: &str, of: Of, at: &Path<'_>, errors: &mut Errors) {
    let before = errors.len();
    complain(names::label_key(name), name, at, errors);
    let of_containers = matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name);
    let is_quota = COUNTS.contains(&name)
        || RESOURCES.contains(&name)
        || ["requests.storage", "storage"].contains(&name)
        || name.starts_with("requests.hugepages-");
    if errors.len() == before && !name.contains('/') && !of_containers && !is_quota {
        errors.push(Error::invalid(at, name, "must be a standard resource type or fully qualified"));
    }
    match of {
        Of::Pod if errors.len() == before && !matches!(name, "cpu" | "memory") && !is_huge_page(name) => {
            errors.push(Error::not_supported(at, name, &["cpu", "hugepages-", "memory"]));
        }
        Of::Container if !name.contains('/') && !of_containers => {
            errors.push(Error::invalid(at, name, "must be a standard resource for containers"));
        }
        Of::Container if !is_native(name) && !is_extended(name) => {
            errors.push(Error::invalid(at, name, "doesn't follow extended resource name standard"));
        }
        _ => {}
    }
}

/// Pages come whole: `hugepages-2Mi` in multiples of 2Mi.
fn huge_page(name: &str, amount: Quantity, at: &Path<'_>, errors: &mut Errors) {
    let Some(size) = name.strip_prefix("hugepages-") else { return };
    let whole = Quantity::parse(size).is_ok_and(|size| {
        let (size, amount) = (size.value(), amount.value());
        size > 0 && amount % size == 0
    });
    if !whole {
        let detail = format!("{} is not positive integer multiple of {name}", shown(amount));
        errors.push(Error::invalid(at, shown(amount), &detail));
    }
}

fn used_claims(used: &[ResourceClaim], known: &BTreeSet<&str>, at: &Path<'_>, errors: &mut Errors) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let names = match known.is_empty() {
        true => " which is empty".to_string(),
        false => format!(": {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
    };
    for (i, claim) in used.iter().take(CLAIMS_TOLD).enumerate() {
        let at = at.index(i);
        let name = claim.name.as_str();
        if name.is_empty() {
            errors.push(Error::required(&at, ""));
            continue;
        }
        if seen.contains(name) {
            errors.push(Error::duplicate(&at, name));
        } else {
            let mut key = name.to_string();
            if !claim.request.is_empty() {
                complain(names::dns_label(&claim.request), &claim.request, &at.child("request"), errors);
                key = format!("{name}/{}", claim.request);
            }
            if seen.contains(&key) {
                errors.push(Error::duplicate(&at, &key));
            } else if claim.request.is_empty() {
                let parts = seen.iter().filter(|key| key.split_once('/').is_some_and(|(of, _)| of == name));
                errors.extend(parts.map(|_| Error::duplicate(&at, name)));
            }
            seen.insert(key);
        }
        if !known.contains(name) {
            let mut error = Error::not_found(&at, name);
            error.message.push_str(&format!(": must be one of the names in pod.spec.resourceClaims{names}"));
            errors.push(error);
        }
    }
}

/// As Go shows the struct, which has no JSON names.
fn shown_claim(claim: &PodResourceClaim) -> Json {
    Json(
        serde_json::json!({
            "Name": claim.name,
            "ResourceClaimName": claim.resource_claim_name,
            "ResourceClaimTemplateName": claim.resource_claim_template_name,
        })
        .to_string(),
    )
}

/// The claims that a Pod's containers may use. Returns their names.
pub(super) fn claims<'a>(all: &'a [PodResourceClaim], at: &Path<'_>, errors: &mut Errors) -> BTreeSet<&'a str> {
    let mut known = BTreeSet::new();
    for (i, claim) in all.iter().enumerate() {
        let at = at.index(i);
        let name = at.child("name");
        if claim.name.is_empty() {
            errors.push(Error::required(&name, ""));
        } else if known.insert(claim.name.as_str()) {
            complain(names::dns_label(&claim.name), &claim.name, &name, errors);
        } else {
            errors.push(Error::duplicate(&name, &claim.name));
        }
        let (direct, template) = (&claim.resource_claim_name, &claim.resource_claim_template_name);
        if direct.is_some() && template.is_some() {
            let detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
            errors.push(Error::invalid(&at, shown_claim(claim), detail));
        }
        if direct.is_none() && template.is_none() {
            let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
            errors.push(Error::invalid(&at, shown_claim(claim), detail));
        }
        for (text, name) in [(direct, "resourceClaimName"), (template, "resourceClaimTemplateName")] {
            if let Some(text) = text {
                complain(names::dns_subdomain(text), text, &at.child(name), errors);
            }
        }
    }
    known
}

/// What a container does when its resources change. `restarts`: the Pod's restart policy is not Never.
pub(super) fn resize(all: &[ContainerResizePolicy], restarts: bool, at: &Path<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, policy) in all.iter().enumerate() {
        let (resource, restart) = (policy.resource_name.as_str(), policy.restart_policy.as_str());
        if !seen.insert(resource) {
            errors.push(Error::duplicate(&at.index(i), resource));
        }
        super::one_of(resource, &["cpu", "memory"], at, errors);
        super::one_of(restart, &["NotRequired", "RestartContainer"], at, errors);
        if !restarts && restart != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(Error::invalid(at, restart, detail));
        }
    }
}
