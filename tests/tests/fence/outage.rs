//! The control plane itself is away.

use tests::patience::seconds;

use super::ground::{Ground, Place, now, tolerates};

const AWAY_S: f64 = 60.0;

#[test]
fn an_outage_of_the_control_plane_touches_nothing_that_tolerates_it() {
    let ground = Ground::start(&["n1"], &[]);
    let _agent = ground.agent("n1", Place::Beside);
    ground.label("n1", "here");
    let long = ground.create("long", "here", tolerates(300));
    let default = ground.create("default", "here", serde_json::json!({}));
    let short = ground.create("short", "here", tolerates(20));
    let lives = [&long, &default, &short].map(|diary| diary.wait_for(0, seconds(60)));

    ground.server.signal(libc::SIGSTOP);
    let stopped_at = now();
    let short_ended = lives[2].wait_for_end(seconds(55)) - stopped_at;
    let left = AWAY_S - (now() - stopped_at);
    std::thread::sleep(std::time::Duration::from_secs_f64(left.max(0.0)));
    let (long_lives, default_lives) = (lives[0].is_running(), lives[1].is_running());
    ground.server.signal(libc::SIGCONT);
    println!(
        "control plane stopped for {:.1} s; what tolerates 20 s ended after {short_ended:.1} s",
        now() - stopped_at
    );
    assert!(long_lives && default_lives);

    // Afterwards too: the clocks begin anew, so its node is not even doubted.
    lives[0].expect_alive_for(seconds(12));
    short.wait_for(1, seconds(100));
    assert_eq!(ground.ready("n1"), "True with 0 taints");
    let doubts = ground.client.kubectl_anywhere(&[
        "get",
        "events",
        "-A",
        "-o",
        "name",
        "--field-selector",
        "reason=NodeNotReady",
    ]);
    assert_eq!(doubts.ok(), "", "nobody doubted the node");
    for (name, diary) in [("long", &long), ("default", &default), ("short", &short)] {
        diary.end();
        ground.client.wait_for_job(name, "Complete", seconds(60));
    }
    assert_eq!((long.lives().len(), default.lives().len()), (1, 1));
    // No gap: they were not stopped and let go on either.
    for life in [&long.lives()[0], &default.lives()[0]] {
        assert!(life.seen - life.begun > AWAY_S, "{life:?}");
    }
}
