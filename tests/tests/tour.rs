//! README's five-minute tour, typed literally.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

use tests::peers::peer;
use tests::process::{Ran, binary, top};

/// What is in the `sh` blocks under the heading, in order.
fn tour(readme: &str) -> String {
    let (_, from) = readme.split_once("\n## Five-minute tour\n").expect("README has the tour");
    let section = from.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_readme_does_what_it_says() {
    let script = tour(&std::fs::read_to_string(top().join("README.md")).unwrap());
    assert!(script.lines().count() > 10, "{script}");
    let folder = tempfile::tempdir().unwrap();
    // `ready`, `log` and the data go into a folder of the test; the rest of the tree is seen from there.
    std::os::unix::fs::symlink(top().join("deploy"), folder.path().join("deploy")).unwrap();
    let path = std::env::join_paths(
        [binary("raftsman"), peer("kubectl")]
            .iter()
            .map(|program| program.parent().unwrap().to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let mut command = Command::new("timeout");
    // -e: every line must succeed; -m: job control, for `kill %1`. The group is ended with the script.
    command.args(["--kill-after=10", "400", "bash", "-emu", "-o", "pipefail", "tour.sh"]).current_dir(folder.path());
    command.env("HOME", folder.path()).env_remove("XDG_STATE_HOME").env_remove("KUBECONFIG").env("PATH", path);
    let trap = "trap 'kill %1 2>/dev/null || true; wait' EXIT\n";
    std::fs::write(folder.path().join("tour.sh"), format!("{trap}{script}")).unwrap();
    let said = Ran::run(&mut command).ok();
    for part in [
        "job.batch/pi created",
        "3.14159265358979",
        "load   Complete   1/1",
        "Hello from the Kubernetes cluster",
        "pi-grpc",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
}
