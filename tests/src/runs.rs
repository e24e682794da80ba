//! A Job that leaves a trace of each of its runs on this machine, so that a test sees whether one ran twice.

use std::path::{Path, PathBuf};

use crate::cluster::Client;

/// The traces of one Job: a file a Pod, a line a run.
pub struct Runs {
    folder: PathBuf,
    name: String,
    pods: usize,
}

impl Runs {
    /// Traces of a Job of `pods` Pods, in `folder`.
    pub fn new(folder: &Path, name: &str, pods: usize) -> Runs {
        let folder = folder.join(format!("runs-{name}"));
        std::fs::create_dir(&folder).expect("a test's folder can be written");
        Runs { folder, name: name.to_owned(), pods }
    }

    /// The Job's manifest: each Pod writes its line, and ends well after `seconds`.
    pub fn manifest(&self, parallelism: usize, seconds: u32) -> String {
        let script = format!("echo ran >> {}/$POD; sleep {seconds}", self.folder.display());
        serde_json::json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": self.name},
            "spec": {"completions": self.pods, "parallelism": parallelism, "backoffLimit": 0, "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "main", "image": "busybox", "command": ["/bin/sh", "-c", script],
                    "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}],
            }}},
        })
        .to_string()
    }

    /// How many Pods have begun.
    pub fn begun(&self) -> usize {
        std::fs::read_dir(&self.folder).expect("the folder is ours").count()
    }

    /// All completions are counted, as many Pods ran, each of them once.
    #[track_caller]
    pub fn expect_each_once(&self, client: &Client) {
        let job = client.get("job", &self.name);
        assert_eq!(job["status"]["succeeded"], self.pods, "{}", job["status"]);
        assert!(job["status"]["failed"].is_null(), "{}", job["status"]);
        assert_eq!(self.begun(), self.pods, "as many Pods ran as are counted");
        for trace in std::fs::read_dir(&self.folder).expect("the folder is ours") {
            let path = trace.expect("the folder is ours").path();
            assert_eq!(std::fs::read_to_string(&path).expect("a trace"), "ran\n", "{} ran once", path.display());
        }
    }
}
