//! The events of a Pod's containers, in a kubelet's words.

use client::{EventDraft, Recorder};
use proto::core_v1::{Container, ObjectReference, Pod};

use super::backoff;
use super::life::{Exit, Life, Run};

/// Tells events; simulated containers have none, since their number would be that of the Pods under test.
pub struct Teller {
    pub recorder: Option<Recorder>,
}

impl Teller {
    pub fn started(&self, pod: &Pod, container: &Container, image: &str, run: &Run) {
        let name = &container.name;
        self.normal(pod, container, "Pulled", image.to_owned());
        self.normal(pod, container, "Created", format!("Created container: {name}"));
        match run {
            Run::Exited(exit) if exit.reason == "ContainerCannotRun" => {
                self.failed(pod, container, &exit.message);
            }
            _ => self.normal(pod, container, "Started", format!("Started container {name}")),
        }
    }

    pub fn killing(&self, pod: &Pod, container: &Container) {
        self.normal(pod, container, "Killing", format!("Stopping container {}", container.name));
    }

    pub fn failed(&self, pod: &Pod, container: &Container, message: &str) {
        self.warning(pod, container, "Failed", format!("Error: {message}"));
    }

    /// A container has ended that will run again, told when that takes a while.
    pub fn will_restart(&self, pod: &Pod, container: &Container, life: &Life, exit: &Exit) {
        if backoff::restart_at(life, exit) > exit.finished_at {
            let metadata = pod.metadata.as_ref();
            let (name, namespace, uid) = metadata.map_or(("", "", ""), |m| (&m.name, &m.namespace, &m.uid));
            let container_name = &container.name;
            let message =
                format!("Back-off restarting failed container {container_name} in pod {name}_{namespace}({uid})");
            self.warning(pod, container, "BackOff", message);
        }
    }

    /// What the Pod asks for and does not get.
    pub fn unsupported(&self, pod: &Pod, fields: &[String]) {
        if let (Some(recorder), false) = (&self.recorder, fields.is_empty()) {
            let message = format!("The process runtime does not honour {}", fields.join(", "));
            recorder.record(EventDraft::warning(reference(pod, None), "Unsupported", message));
        }
    }

    fn normal(&self, pod: &Pod, container: &Container, reason: &str, message: String) {
        if let Some(recorder) = &self.recorder {
            recorder.record(EventDraft::normal(reference(pod, Some(container)), reason, message));
        }
    }

    fn warning(&self, pod: &Pod, container: &Container, reason: &str, message: String) {
        if let Some(recorder) = &self.recorder {
            recorder.record(EventDraft::warning(reference(pod, Some(container)), reason, message));
        }
    }
}

fn reference(pod: &Pod, container: Option<&Container>) -> ObjectReference {
    let metadata = pod.metadata.clone().unwrap_or_default();
    let field_path = container.map_or_else(String::new, |container| {
        let is_main = pod.spec.iter().flat_map(|spec| &spec.containers).any(|main| main.name == container.name);
        let list = if is_main { "containers" } else { "initContainers" };
        format!("spec.{list}{{{}}}", container.name)
    });
    ObjectReference {
        kind: "Pod".to_owned(),
        api_version: "v1".to_owned(),
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        field_path,
    }
}
