//! A member dies at each step that makes something durable, under load: before the log is written, between write and
//! fsync, while it votes, applies, takes, receives or installs a snapshot, purges, compacts. Each point is hit, and after
//! all of them nothing acknowledged is lost, the history is linearizable and all members hold the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use proto::etcdserverpb::{CompactionRequest, MoveLeaderRequest};
use tests::dice::{Dice, rounds};
use tests::history::expect_kept;
use tests::members::{Members, Program, Setup};
use tests::patience::{eventually, seconds};
use tests::store_client::{Identity, StoreClient, block_on};
use tests::traffic::{Profile, Traffic};

/// Times that each point is hit.
const ROUNDS: usize = 1;
/// A member may take a while until it comes by.
const DEATH_WITHIN: Duration = Duration::from_secs(90);
/// Entries between two snapshots.
const SNAPSHOT_COUNT: u64 = 200;
/// Entries that a log purges at once, and before that does not.
const PURGE_BATCH: u64 = 1024;
/// What a slow disk adds to each entry that is applied; longer than a follower asks a leader.
const APPLY_DELAY: Duration = Duration::from_millis(2500);
/// Points between two moments of rest, at which the history may be cut.
const REST_AFTER: usize = 4;

/// How a member is brought to a point.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It comes by under load, sometimes as the leader.
    Load,
    /// The leader is killed, so it is asked for its vote.
    Vote,
    /// It was away for so long that it is sent a snapshot.
    Absence,
}

/// A point, when it strikes, and how to get there.
type Point = (&'static str, &'static str, Way);

const POINTS: [Point; 11] = [
    ("log-before-write", "400*off->return", Way::Load),
    ("log-before-sync", "400*off->return", Way::Load),
    ("log-after-sync", "400*off->return", Way::Load),
    ("apply-before-write", "400*off->return", Way::Load),
    ("apply-after-write", "400*off->return", Way::Load),
    ("purge-before-write", "return", Way::Load),
    ("compact-before-write", "return", Way::Load),
    ("snapshot-before-rename", "return", Way::Load),
    ("vote-before-sync", "return", Way::Vote),
    ("snapshot-before-install", "return", Way::Absence),
    ("snapshot-after-install", "return", Way::Absence),
];

fn compact(members: &Members, index: usize) {
    let (url, identity) = members.stores()[index].clone();
    // Another compaction may have gone further, or the member may just have died: either is fine.
    let _refused = block_on(async move {
        let store = StoreClient::new(&url, &identity);
        let revision = store.get("h/k0").await.ok()?.header?.revision - 20;
        store.kv().compact(CompactionRequest { revision, physical: false }).await.ok()
    });
}

/// Makes a member the leader, if it can be.
fn crown(members: &Members, index: usize) {
    let Ok(leader) = members.leader_now() else { return };
    let (old, new) = (members.stores()[leader].clone(), members.stores()[index].clone());
    // The member may just have died, which is what all this is for.
    let _in_vain = block_on(async move {
        let target = StoreClient::new(&new.0, &new.1).status().await.ok()?.header?.member_id;
        let mut maintenance = StoreClient::new(&old.0, &old.1).maintenance();
        let moved = maintenance.move_leader(MoveLeaderRequest { target_id: target });
        tokio::time::timeout(Duration::from_secs(2), moved).await.ok()?.ok()
    });
}

/// The last entry of a member's log.
fn last_index(members: &Members, index: usize) -> u64 {
    let (url, identity) = members.stores()[index].clone();
    let status = block_on(async move { StoreClient::new(&url, &identity).status().await });
    status.expect("a healthy member answers").raft_index
}

/// Waits until the others' newest snapshots, behind which they purge, leave that entry far behind.
fn wait_far(members: &Members, victim: usize, last: u64) {
    for other in (0..members.count()).filter(|other| *other != victim) {
        let folder = members.data_dir(other).join("store/snapshots");
        eventually(seconds(90), || {
            let names = std::fs::read_dir(&folder).map_err(|error| error.to_string())?;
            let index = |entry: std::fs::DirEntry| entry.file_name().to_str()?.split_once('.')?.0.parse::<u64>().ok();
            let newest = names.flatten().filter_map(index).max().unwrap_or(0);
            if newest > last + PURGE_BATCH + 2 * SNAPSHOT_COUNT {
                Ok(())
            } else {
                Err(format!("snapshot {newest}, entry {last}"))
            }
        });
    }
}

/// Brings a member to a point and waits until it has died there.
fn strike(members: &mut Members, victim: usize, (point, when, way): Point, lead: bool) {
    let last = last_index(members, victim);
    members.kill(victim);
    if way == Way::Absence {
        wait_far(members, victim, last);
    }
    let logged = members.log(victim).len();
    members.launch_as(victim, "new", &[], &[("FAILPOINTS", &format!("{point}={when}"))]);
    let mut killed = None;
    if way == Way::Vote {
        members.wait_ready(victim);
        let leader = members.leader();
        if leader != victim {
            members.kill(leader);
            killed = Some(leader);
        }
    }
    let other = (victim + 1) % members.count();
    eventually(DEATH_WITHIN, || {
        if point.starts_with("compact") {
            compact(members, other);
        }
        if lead && members.runs(victim) {
            crown(members, victim);
        }
        if members.runs(victim) { Err(format!("member {victim} still runs, past {point}")) } else { Ok(()) }
    });
    let log = members.log(victim)[logged..].to_owned();
    assert!(
        log.contains(&format!("failpoint {point}: this process dies")),
        "{point}: it died of something else\n{log}"
    );
    members.kill(victim);
    if let Some(leader) = killed {
        members.launch(leader);
    }
    members.restart(victim);
    if let Some(leader) = killed {
        members.wait_ready(leader);
    }
}

#[test]
fn a_member_may_die_at_every_step_of_durability() {
    let mut dice = Dice::thrown();
    let flags = vec!["--snapshot-count".to_owned(), SNAPSHOT_COUNT.to_string()];
    let mut members = Members::start_with(Setup { flags, ..Setup::of(Program::Store) });
    let mut traffic = Traffic::prepare(&members, Profile::default());
    for _ in 0..rounds("RAFTSMAN_FAILPOINTS", ROUNDS) {
        traffic.resume();
        for (number, point) in POINTS.into_iter().enumerate() {
            let victim = (members.leader() + 1 + dice.roll(2) as usize) % members.count();
            let lead = point.2 == Way::Load && dice.roll(2) == 0;
            strike(&mut members, victim, point, lead);
            println!("{}: hit; {} writes acknowledged so far", point.0, traffic.acknowledged());
            if number % REST_AFTER == REST_AFTER - 1 {
                traffic.pause();
                traffic.resume();
            }
        }
        traffic.pause();
    }
    let history = traffic.finish();
    println!("{}", expect_kept(&history));
    println!("all members hold the same: hash {:08x}", members.agree());
}

/// Entries that are sent late and watches that are served late: slower, but in order and complete.
#[test]
fn late_entries_and_late_watches_lose_nothing() {
    let points = "send-append=20%return(60);watch-before-send=10%sleep(80);log-before-sync=5%sleep(50)";
    let env = vec![("FAILPOINTS".to_owned(), points.to_owned())];
    let flags = vec!["--snapshot-count".to_owned(), SNAPSHOT_COUNT.to_string()];
    let mut members = Members::start_with(Setup { env, flags, ..Setup::of(Program::Store) });
    let mut traffic = Traffic::prepare(&members, Profile::default());
    for _ in 0..rounds("RAFTSMAN_FAILPOINTS", ROUNDS) * 2 {
        traffic.resume();
        std::thread::sleep(seconds(3));
        let leader = members.leader();
        members.kill(leader);
        std::thread::sleep(seconds(2));
        members.restart(leader);
        traffic.pause();
    }
    let history = traffic.finish();
    println!("{}", expect_kept(&history));
    println!("all members hold the same: hash {:08x}", members.agree());
}

/// A leader whose state is slow to write tells its followers all the same how far they must be to read: their own disks
/// are well.
#[test]
fn a_leader_that_applies_slowly_holds_up_no_follower() {
    let mut members = Members::start(Program::Store);
    let slow = members.follower();
    members.stop(slow);
    let points = format!("apply-before-write=sleep({})", APPLY_DELAY.as_millis());
    members.launch_as(slow, "new", &[], &[("FAILPOINTS", &points)]);
    members.wait_ready(slow);
    let stores = members.stores();
    let [leader, follower] = [slow, (slow + 1) % 3].map(|index| stores[index].clone());
    eventually(seconds(120), || {
        crown(&members, slow);
        match members.leader_now() {
            Ok(leads) if leads == slow => block_on(read_ahead(&leader, &follower)),
            other => Err(format!("{other:?} leads, not {slow}")),
        }
    });
}

/// Reads through a follower while a read through the leader waits for what the leader has not applied yet.
async fn read_ahead(leader: &(String, Identity), follower: &(String, Identity)) -> Result<(), String> {
    let [leader, follower] = [leader, follower].map(|(url, identity)| StoreClient::new(url, identity));
    // So that the read through the leader is not kept by its connection.
    leader.status().await?;
    // Too long to be applied on the thread that also sends heartbeats.
    follower.put("key", &"x".repeat(64 << 10)).await.map_err(|status| status.to_string())?;
    let behind = tokio::spawn(async move { leader.get("key").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    // One may come along with what the leader asked for itself; many in less time than it needs for one entry can't.
    let reads = async {
        for _ in 0..20 {
            follower.get("key").await?;
        }
        Ok(())
    };
    let read = tokio::time::timeout(APPLY_DELAY / 2, reads).await;
    if behind.is_finished() {
        return Err("the leader is not slow".to_owned());
    }
    read.map_err(|_| "the follower waits for the leader")?.map_err(|status: tonic::Status| status.to_string())
}
