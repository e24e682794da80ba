//! Nodes that are cut off, whose agents die, that come back, that are deleted.

use serde_json::Value;
use tests::patience::{eventually, seconds};

use super::ground::{Diary, Ground, Life, Place, clock, now, tolerates};

/// Grace + toleration + margin are 100 s here; the rest is for a busy machine.
const GIVEN_UP_WITHIN: u64 = 220;

/// The old Pod's process has ended before its replacement's began; tells when.
#[track_caller]
fn expect_one_after_the_other(what: &str, cut_at: f64, ended: f64, old: &Life, new: &Life) {
    println!(
        "{what}: cut off at {}, last sign of life of {} at {}, its process found ended at {} ({:.1} s after the cut), {} began at {} ({:.1} s after the cut)",
        clock(cut_at),
        old.pod,
        clock(old.seen),
        clock(ended),
        ended - cut_at,
        new.pod,
        clock(new.begun),
        new.begun - cut_at,
    );
    assert_ne!(old.pod, new.pod);
    assert!(ended < new.begun && old.seen < new.begun, "two lives at once: {old:?} {new:?}");
}

fn pod_named(ground: &Ground, job: &str, name: &str) -> Value {
    let pods = ground.pods(job);
    pods.iter().find(|pod| pod["metadata"]["name"] == name).unwrap_or_else(|| panic!("no {name} in {pods:?}")).clone()
}

/// Succeeded once, after one failure.
fn expect_counted(ground: &Ground, job: &str) {
    let job = ground.client.wait_for_job(job, "Complete", seconds(120));
    assert_eq!((&job["status"]["succeeded"], &job["status"]["failed"]), (&1.into(), &1.into()), "{}", job["status"]);
}

fn expect_given_up(pod: &Value) {
    let status = &pod["status"];
    assert_eq!((&status["phase"], &status["reason"]), (&"Failed".into(), &"NodeLost".into()), "{status}");
    let main = &status["containerStatuses"][0];
    assert!(main["containerID"].as_str().is_some_and(|id| id.starts_with("process://")), "kept: {status}");
    assert!(!main["state"]["running"].is_null(), "as its node last reported it: {status}");
    let conditions = status["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| c["type"] == "DisruptionTarget" && c["status"] == "True"), "{status}");
}

#[test]
fn a_node_that_is_cut_off_has_ended_its_pods_before_they_are_replaced() {
    let ground = Ground::with_network(&["n1", "n2", "n3", "n4"], &["--node-grace", "20"]);
    let _agents = [ground.agent("n1", Place::Away), ground.agent("n2", Place::Beside)];
    let mut killed = ground.agent("n3", Place::Beside);
    let _spare = ground.agent("n4", Place::Beside);
    ground.label("n1", "cut");
    ground.label("n3", "killed");
    let cut_diary = ground.create("cut", "cut", tolerates(20));
    let killed_diary = ground.create("killed", "killed", tolerates(20));
    let (cut, orphan) = (cut_diary.wait_for(0, seconds(60)), killed_diary.wait_for(0, seconds(60)));
    eventually(seconds(60), || match pod_named(&ground, "cut", &cut.pod)["status"]["phase"].as_str() {
        Some("Running") => Ok(()),
        phase => Err(format!("{phase:?} is reported")),
    });
    ground.label("n2", "cut");
    ground.label("n4", "killed");

    // Two at once: one whose agent goes on without hearing anything, one whose agent is gone and only its shim is left.
    let cut_at = now();
    ground.network().cut_off(0);
    killed.kill();
    let ended = std::thread::scope(|scope| {
        let waits = [&cut, &orphan].map(|life| scope.spawn(|| life.wait_for_end(seconds(100))));
        waits.map(|wait| wait.join().unwrap())
    });
    let cut_successor = cut_diary.wait_for(1, seconds(GIVEN_UP_WITHIN));
    let orphan_successor = killed_diary.wait_for(1, seconds(GIVEN_UP_WITHIN));
    let last = |diary: &Diary| diary.lives()[0].clone();
    expect_one_after_the_other("cut off", cut_at, ended[0], &last(&cut_diary), &cut_successor);
    expect_one_after_the_other("only the shim left", cut_at, ended[1], &last(&killed_diary), &orphan_successor);
    expect_given_up(&pod_named(&ground, "cut", &cut.pod));
    assert_eq!(ground.ready("n1"), "Unknown with 2 taints");

    // The node comes back: what it has to say of the Pod is not taken, and it is used again.
    ground.network().heal();
    ground.wait_ready("n1");
    let later = ground.create("later", "cut", serde_json::json!({"nodeName": "n1"}));
    later.end();
    ground.client.wait_for_job("later", "Complete", seconds(60));
    expect_given_up(&pod_named(&ground, "cut", &cut.pod));
    assert!(cut_successor.is_running() && orphan_successor.is_running());
    cut_diary.end();
    killed_diary.end();
    expect_counted(&ground, "cut");
    expect_counted(&ground, "killed");
    assert_eq!((cut_diary.lives().len(), killed_diary.lives().len()), (2, 2), "nothing ran a third time");
}

#[test]
fn a_node_that_comes_back_continues_its_pods_or_has_them_ended() {
    let ground = Ground::with_network(&["n1", "n2"], &["--node-grace", "20"]);
    let _agents = [ground.agent("n1", Place::Away), ground.agent("n2", Place::Beside)];
    ground.label("n1", "here");
    let patient = ground.create("patient", "here", tolerates(300));
    let hasty = ground.create("hasty", "here", tolerates(0));
    let mut again = tolerates(20);
    again["restartPolicy"] = "OnFailure".into();
    let again = ground.create("again", "here", again);
    let lives = [&patient, &hasty, &again].map(|diary| diary.wait_for(0, seconds(60)));
    // On a node that is well even that lives which tolerates nothing: longer than without a renewal.
    lives[1].expect_alive_for(seconds(30));

    ground.network().cut_off(0);
    let cut_at = now();
    let ended = [1, 2].map(|index: usize| lives[index].wait_for_end(seconds(100)));
    println!(
        "come back: tolerating 0 s ended {:.1} s after the cut, 20 s {:.1} s",
        ended[0] - cut_at,
        ended[1] - cut_at
    );
    assert!(lives[0].is_running(), "what tolerates more is untouched");
    assert_eq!(again.lives().len(), 1, "nothing starts again on a node that is cut off");
    ground.network().heal();

    // The one is told as failed by its own node, and replaced; the other goes on in its Pod; the third never stopped.
    let successor = hasty.wait_for(1, seconds(100));
    expect_one_after_the_other("come back", cut_at, ended[0], &hasty.lives()[0], &successor);
    let failed = pod_named(&ground, "hasty", &lives[1].pod);
    assert_eq!(failed["status"]["phase"], "Failed", "{}", failed["status"]);
    let reason = &failed["status"]["containerStatuses"][0]["state"]["terminated"]["reason"];
    assert_eq!(reason, "NodeUnreachable", "{}", failed["status"]);
    let restarted = again.wait_for(1, seconds(100));
    assert_eq!(restarted.pod, lives[2].pod);
    ground.wait_ready("n1");

    // Its Node is deleted under it: it registers anew, and its Pods go on.
    let uid = || ground.client.kubectl_anywhere(&["get", "node", "n1", "-o", "jsonpath={.metadata.uid}"]);
    let before = uid().ok();
    ground.client.kubectl_anywhere(&["delete", "node", "n1"]).ok();
    eventually(seconds(60), || {
        let found = uid();
        let is_another = found.code == Some(0) && found.stdout != before && !found.stdout.is_empty();
        if is_another { Ok(()) } else { Err(format!("{} after {before}", found.stdout)) }
    });
    restarted.expect_alive_for(seconds(22));
    assert!(lives[0].is_running());
    ground.label("n1", "here");
    for (name, diary) in [("patient", &patient), ("again", &again), ("hasty", &hasty)] {
        diary.end();
        ground.client.wait_for_job(name, "Complete", seconds(60));
    }
    assert_eq!((patient.lives().len(), again.lives().len(), hasty.lives().len()), (1, 2, 2));
}
