//! Probes and lifecycle hooks of a container.

use proto::core_v1::{
    Container, ExecAction, HttpGetAction, Lifecycle, LifecycleHandler, Probe, SleepAction, TcpSocketAction,
};
use proto::intstr::IntOrString;

use super::{complain, non_negative};
use crate::field::{Error, Errors, Path};
use crate::names;

/// A container that runs along with others: hooks and probes must be whole. `grace` is the Pod's grace period.
pub(super) fn allowed(container: &Container, grace: Option<i64>, at: &Path<'_>, errors: &mut Errors) {
    if let Some(hooks) = &container.lifecycle {
        lifecycle(hooks, grace, &at.child("lifecycle"), errors);
    }
    for (probe, name) in [(&container.liveness_probe, "livenessProbe"), (&container.startup_probe, "startupProbe")] {
        let Some(probe) = probe else { continue };
        one(probe, &at.child(name), errors);
        if probe.success_threshold != 1 {
            errors.push(Error::invalid(
                &at.child(name).child("successThreshold"),
                probe.success_threshold,
                "must be 1",
            ));
        }
    }
    if let Some(probe) = &container.readiness_probe {
        let at = at.child("readinessProbe");
        one(probe, &at, errors);
        if let Some(seconds) = probe.termination_grace_period_seconds {
            let detail = "must not be set for readinessProbes";
            errors.push(Error::invalid(&at.child("terminationGracePeriodSeconds"), seconds, detail));
        }
    }
}

/// An init container that runs to its end before the next: it has neither.
pub(super) fn forbidden(container: &Container, at: &Path<'_>, errors: &mut Errors) {
    let given = [
        (container.lifecycle.is_some(), "lifecycle"),
        (container.liveness_probe.is_some(), "livenessProbe"),
        (container.readiness_probe.is_some(), "readinessProbe"),
        (container.startup_probe.is_some(), "startupProbe"),
    ];
    for (_, name) in given.into_iter().filter(|(given, _)| *given) {
        let detail = "may not be set for init containers without restartPolicy=Always";
        errors.push(Error::forbidden(&at.child(name), detail));
    }
}

fn lifecycle(hooks: &Lifecycle, grace: Option<i64>, at: &Path<'_>, errors: &mut Errors) {
    for (hook, name) in [(&hooks.post_start, "postStart"), (&hooks.pre_stop, "preStop")] {
        if let Some(LifecycleHandler { exec, http_get, tcp_socket, sleep }) = hook {
            let handler = Handler {
                exec: exec.as_ref(),
                http_get: http_get.as_ref(),
                tcp_socket: tcp_socket.as_ref(),
                grpc_port: None,
                sleep: sleep.as_ref().map(|sleep| (sleep, grace)),
            };
            handler.check(&at.child(name), errors);
        }
    }
}

fn one(probe: &Probe, at: &Path<'_>, errors: &mut Errors) {
    let given = probe.handler.clone().unwrap_or_default();
    let handler = Handler {
        exec: given.exec.as_ref(),
        http_get: given.http_get.as_ref(),
        tcp_socket: given.tcp_socket.as_ref(),
        grpc_port: given.grpc.as_ref().map(|grpc| grpc.port),
        sleep: None,
    };
    handler.check(at, errors);
    let numbers = [
        (probe.initial_delay_seconds, "initialDelaySeconds"),
        (probe.timeout_seconds, "timeoutSeconds"),
        (probe.period_seconds, "periodSeconds"),
        (probe.success_threshold, "successThreshold"),
        (probe.failure_threshold, "failureThreshold"),
    ];
    for (number, name) in numbers {
        non_negative(Some(i64::from(number)), &at.child(name), errors);
    }
    if let Some(seconds) = probe.termination_grace_period_seconds.filter(|seconds| *seconds <= 0) {
        errors.push(Error::invalid(&at.child("terminationGracePeriodSeconds"), seconds, "must be greater than 0"));
    }
}

/// What a probe or a hook does: exactly one of these.
struct Handler<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HttpGetAction>,
    tcp_socket: Option<&'a TcpSocketAction>,
    grpc_port: Option<i32>,
    sleep: Option<(&'a SleepAction, Option<i64>)>,
}

impl Handler<'_> {
    /// Checks the first that is given; each further one is forbidden.
    fn check(&self, at: &Path<'_>, errors: &mut Errors) {
        let given = [
            (self.exec.is_some(), "exec"),
            (self.http_get.is_some(), "httpGet"),
            (self.tcp_socket.is_some(), "tcpSocket"),
            (self.grpc_port.is_some(), "grpc"),
            (self.sleep.is_some(), "sleep"),
        ];
        let mut names = given.into_iter().filter(|(given, _)| *given).map(|(_, name)| name);
        match names.next() {
            None => errors.push(Error::required(at, "must specify a handler type")),
            Some(first) => self.check_one(&at.child(first), errors),
        }
        for name in names {
            errors.push(Error::forbidden(&at.child(name), "may not specify more than 1 handler type"));
        }
    }

    fn check_one(&self, at: &Path<'_>, errors: &mut Errors) {
        if let Some(exec) = self.exec {
            if exec.command.is_empty() {
                errors.push(Error::required(&at.child("command"), ""));
            }
        } else if let Some(get) = self.http_get {
            http_get(get, at, errors);
        } else if let Some(socket) = self.tcp_socket {
            port(socket.port.as_ref(), &at.child("port"), errors);
        } else if let Some(number) = self.grpc_port {
            let problems = names::port_number(number);
            errors.extend(problems.iter().map(|problem| Error::invalid(&at.child("port"), number, problem)));
        } else if let Some((sleep, Some(grace))) = self.sleep
            && !(0..=grace).contains(&sleep.seconds)
        {
            let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
            errors.push(Error::invalid(at, sleep.seconds, &detail));
        }
    }
}

fn http_get(get: &HttpGetAction, at: &Path<'_>, errors: &mut Errors) {
    if get.path.is_empty() {
        errors.push(Error::required(&at.child("path"), ""));
    }
    port(get.port.as_ref(), &at.child("port"), errors);
    if !["HTTP", "HTTPS"].contains(&get.scheme.as_str()) {
        errors.push(Error::not_supported(&at.child("scheme"), &get.scheme, &["HTTP", "HTTPS"]));
    }
    for header in &get.http_headers {
        let valid = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
        if header.name.is_empty() || !header.name.bytes().all(valid) {
            let detail = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
            errors.push(Error::invalid(&at.child("httpHeaders"), &header.name, detail));
        }
    }
}

/// A port by number or by name; none at all is port 0.
pub(super) fn port(port: Option<&IntOrString>, at: &Path<'_>, errors: &mut Errors) {
    match port {
        Some(port) if port.r#type == 1 => complain(names::port_name(&port.str_val), &port.str_val, at, errors),
        port => {
            let number = port.map_or(0, |port| port.int_val);
            errors.extend(names::port_number(number).iter().map(|problem| Error::invalid(at, number, problem)));
        }
    }
}
