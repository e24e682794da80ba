//! How a Pod appears on the network and who shares its host's view of it: host names and aliases, DNS, host namespaces.

use std::net::IpAddr;

use proto::core_v1::{HostAlias, PodDnsConfig, PodSpec};

use super::complain;
use crate::field::{Error, Errors, Path};
use crate::names;

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2048;
const HOST_NAME_MAX: usize = 64;

/// An address, written in its one canonical way.
pub(super) fn address(text: &str, at: &Path<'_>, errors: &mut Errors) {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            errors.push(Error::invalid(at, text, "must not be an IPv4-mapped IPv6 address"));
        }
        Ok(_) => {}
        Err(_) if is_padded(text) => errors.push(Error::invalid(at, text, "must not have leading 0s")),
        Err(_) => {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(Error::invalid(at, text, detail));
        }
    }
}

/// Four decimal numbers of which one begins with a needless 0.
fn is_padded(text: &str) -> bool {
    let byte = |part: &str| part.bytes().all(|c| c.is_ascii_digit()) && part.parse::<u8>().is_ok();
    text.split('.').count() == 4 && text.split('.').all(byte)
}

/// Names of other hosts.
pub(super) fn host_aliases(all: &[HostAlias], at: &Path<'_>, errors: &mut Errors) {
    for (i, alias) in all.iter().enumerate() {
        let at = at.index(i);
        address(&alias.ip, &at.child("ip"), errors);
        for (j, name) in alias.hostnames.iter().enumerate() {
            complain(names::dns_subdomain(name), name, &at.child("hostnames").index(j), errors);
        }
    }
}

/// Name servers and what is searched; needed where the policy is None.
pub(super) fn dns(config: Option<&PodDnsConfig>, policy: &str, at: &Path<'_>, errors: &mut Errors) {
    let servers = at.child("nameservers");
    let Some(config) = config else {
        if policy == "None" {
            errors.push(Error::required(at, "must provide `dnsConfig` when `dnsPolicy` is None"));
        }
        return;
    };
    if policy == "None" && config.nameservers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        return errors.push(Error::required(&servers, detail));
    }
    if config.nameservers.len() > NAMESERVERS_MAX {
        let detail = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.push(Error::invalid(&servers, &config.nameservers, &detail));
    }
    for (i, server) in config.nameservers.iter().enumerate() {
        address(server, &servers.index(i), errors);
    }
    let searches = at.child("searches");
    if config.searches.len() > SEARCHES_MAX {
        let detail = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(Error::invalid(&searches, &config.searches, &detail));
    }
    if config.searches.join(" ").len() > SEARCH_CHARS_MAX {
        let detail =
            format!("must not have more than {SEARCH_CHARS_MAX} characters (including spaces) in the search list");
        errors.push(Error::invalid(&searches, &config.searches, &detail));
    }
    for (i, search) in config.searches.iter().enumerate().filter(|(_, search)| *search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        complain(names::dns_subdomain_underscore(search), search, &searches.index(i), errors);
    }
    for (i, _) in config.options.iter().enumerate().filter(|(_, option)| option.name.is_empty()) {
        errors.push(Error::required(&at.child("options").index(i), "must not be empty"));
    }
}

/// Ports of a Pod on its host's network are the host's.
pub(super) fn host_network(spec: &PodSpec, at: &Path<'_>, errors: &mut Errors) {
    if !spec.host_network {
        return;
    }
    for (i, container) in spec.containers.iter().enumerate() {
        for (j, port) in container.ports.iter().enumerate() {
            if port.host_port != 0 && port.host_port != port.container_port {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                let containers = at.child("containers");
                let container = containers.index(i);
                let at = container.child("ports");
                errors.push(Error::invalid(&at.index(j).child("hostPort"), port.host_port, detail));
            }
        }
    }
}

/// A Pod with users of its own shares nothing else with its host.
pub(super) fn host_users(spec: &PodSpec, at: &Path<'_>, errors: &mut Errors) {
    if spec.host_users != Some(false) {
        return;
    }
    let shared = [(spec.host_network, "hostNetwork"), (spec.host_pid, "HostPID"), (spec.host_ipc, "HostIPC")];
    for (_, name) in shared.into_iter().filter(|(given, _)| *given) {
        errors.push(Error::forbidden(&at.child(name), "when `hostUsers` is false"));
    }
    for (all, name) in [(&spec.init_containers, "initContainers"), (&spec.containers, "containers")] {
        for (i, _) in all.iter().enumerate().filter(|(_, container)| !container.volume_devices.is_empty()) {
            let at = at.child(name);
            errors.push(Error::forbidden(&at.index(i).child("volumeDevices"), "when `hostUsers` is false"));
        }
    }
}

/// A host name that is not the Pod's.
pub(super) fn hostname_override(spec: &PodSpec, at: &Path<'_>, errors: &mut Errors) {
    let Some(name) = &spec.hostname_override else { return };
    let at = at.child("hostnameOverride");
    if spec.set_hostname_as_fqdn == Some(true) {
        errors.push(Error::forbidden(&at, "may not be specified when setHostnameAsFQDN is true"));
    }
    if spec.host_network {
        errors.push(Error::forbidden(&at, "may not be specified when hostNetwork is true"));
    }
    if name.len() > HOST_NAME_MAX {
        errors.push(Error::too_long(&at, HOST_NAME_MAX));
    }
    complain(names::dns_subdomain(name), name, &at, errors);
}
