//! kill -9 of random members under load (Done 5): no acknowledged write is lost, revisions never go back, the history is
//! linearizable, watches keep their promises, and afterwards all members hold the same.
//!
//! ```text
//! RAFTSMAN_KILLS=200 cargo test -p tests --test store_kills -- --nocapture     every 2 to 5 s, at least 200 writes/s
//! ```

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use tests::dice::{Dice, rounds};
use tests::history::expect_kept;
use tests::members::{Members, Program, Setup};
use tests::traffic::{Profile, Traffic};

const KILLS: usize = 30;
/// Rounds between two moments of rest, at which the history may be cut.
const REST_AFTER: usize = 10;
/// Small, so that snapshots are taken, the log is purged, and restarted members are sent snapshots.
const SNAPSHOT_COUNT: &str = "300";
/// A run with less says little about anything.
const WRITES_PER_KILL_MIN: u64 = 20;
const WRITES_PER_SECOND: f64 = 200.0;

/// Enough clients that the members which live are busy while others wait for the one that was killed.
const PROFILE: Profile = Profile { clients_per_member: 4, rate: 800 };

fn setup() -> Setup {
    let flags = vec!["--snapshot-count".to_owned(), SNAPSHOT_COUNT.to_owned()];
    Setup { flags, ..Setup::of(Program::Store) }
}

#[test]
fn nothing_acknowledged_is_lost_when_members_are_killed() {
    let kills = rounds("RAFTSMAN_KILLS", KILLS);
    let long = kills > KILLS;
    let mut dice = Dice::thrown();
    let mut members = Members::start_with(setup());
    let mut traffic = Traffic::prepare(&members, PROFILE);
    traffic.resume();
    let begun = Instant::now();
    let mut rested = Duration::ZERO;
    for kill in 1..=kills {
        std::thread::sleep(if long { dice.millis(2000..5000) } else { dice.millis(300..1200) });
        let victim = dice.roll(members.count() as u64) as usize;
        members.kill(victim);
        std::thread::sleep(dice.millis(0..800));
        members.restart(victim);
        if kill % REST_AFTER == 0 {
            let pause = Instant::now();
            traffic.pause();
            println!("{kill} kills, {} writes acknowledged", traffic.acknowledged());
            traffic.resume();
            rested += pause.elapsed();
        }
    }
    let rate = traffic.acknowledged() as f64 / (begun.elapsed() - rested).as_secs_f64();
    let (acknowledged, unknown) = (traffic.acknowledged(), traffic.unknown());
    println!("{kills} kills, {acknowledged} writes acknowledged ({rate:.0}/s), {unknown} operations unknown");
    assert!(acknowledged >= kills as u64 * WRITES_PER_KILL_MIN, "only {acknowledged} writes were acknowledged");
    let history = traffic.finish();
    println!("{}", expect_kept(&history));
    println!("all members hold the same: hash {:08x}", members.agree());
    if long {
        assert!(rate >= WRITES_PER_SECOND, "{rate:.0} writes/s, expected {WRITES_PER_SECOND}");
    }
}
