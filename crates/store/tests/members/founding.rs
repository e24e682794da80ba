//! How a group begins, and how its members come back to it.

use store::Join;
use tokio::net::TcpListener;

use crate::group::{Place, eventually, plan, start_all, stop_all, three};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_found_one_group_and_come_back_to_it() {
    let mut places = three().await;
    places[1].put("k", "1").await.unwrap();
    let members = places[0].members().await.unwrap();
    assert_eq!(members.iter().map(|member| member.name.as_str()).collect::<std::collections::BTreeSet<_>>().len(), 3);
    assert!(members.iter().all(|member| !member.is_learner && member.client_urls.len() == 1));
    let before = places[2].status().await.unwrap().header.unwrap();
    stop_all(&mut places).await;
    start_all(&mut places).await;
    let after = places[2].status().await.unwrap().header.unwrap();
    assert_eq!((after.cluster_id, after.member_id), (before.cluster_id, before.member_id), "the same group");
    assert_eq!(places[0].get("k", false).await.unwrap().as_deref(), Some("1"));
    assert_eq!(places[1].members().await.unwrap().len(), 3);
    stop_all(&mut places).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_founded_only_with_the_word_of_all() {
    let mut places = [Place::new("a").await, Place::new("b").await, Place::new("c").await];
    let initial: Vec<_> = places.iter().map(Place::entry).collect();
    let first = places[0].launch(&initial, Join::New).await;
    let second = places[1].launch(&initial, Join::New).await;
    // Two of three are a quorum, but the third may have a group already.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let (mut first, mut second) = (first, second);
    assert!(first.try_recv().is_err() && second.try_recv().is_err(), "nobody serves yet");
    places[2].start(&initial, Join::New).await;
    first.await.unwrap();
    second.await.unwrap();
    stop_all(&mut places).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn founders_with_different_plans_refuse_each_other() {
    let (mut a, mut b) = (Place::new("a").await, Place::new("b").await);
    let other = Place::new("d").await;
    let _waits = a.launch(&plan(&[&a, &b]), Join::New).await;
    let reason = b.refused(&plan(&[&a, &b, &other]), Join::New).await;
    assert!(reason.contains("--initial-cluster differs") && reason.contains(&other.url()), "{reason}");
    let reason = a.refusal().await;
    assert!(reason.contains("--initial-cluster differs") && reason.contains(&other.url()), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_its_data_is_refused_until_it_is_added_anew() {
    let mut places = three().await;
    places[0].put("k", "1").await.unwrap();
    let initial: Vec<_> = places.iter().map(Place::entry).collect();
    let old = places[2].status().await.unwrap().header.unwrap().member_id;
    places[2].stop().await;
    places[2].wipe().await;
    let reason = places[2].refused(&initial, Join::New).await;
    assert!(reason.contains(&format!("knows c as {old:x}")), "{reason}");
    // Nor does its URL give it the id that the lost data had.
    let reason = places[2].refused(&initial, Join::Existing).await;
    assert!(reason.contains("another data directory"), "{reason}");
    places[0].put("k", "2").await.unwrap();

    eventually(|| async { places[0].remove(old).await.map_err(|status| status.to_string()) }).await;
    let url = places[2].url();
    let added = eventually(|| async { places[1].add(&url, false).await.map_err(|status| status.to_string()) }).await;
    assert_ne!(added.id, old, "ids are never used again");
    let ready = places[2].start(&initial, Join::Existing).await;
    assert_eq!(ready.member_id, added.id);
    assert_eq!(places[2].get("k", false).await.unwrap().as_deref(), Some("2"));
    // As a voter: with one of the others gone, the group goes on.
    places[1].stop().await;
    places[2].writes("k").await;
    stop_all(&mut places).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_directory_is_refused_while_the_original_runs_and_when_it_is_old() {
    let mut places = three().await;
    let initial: Vec<_> = places.iter().map(Place::entry).collect();
    places[2].stop().await;
    let copy = tempfile::tempdir().unwrap();
    copy_dir(&places[2].data(), &copy.path().join("data"));
    places[2].start(&initial, Join::New).await;
    for n in 0..20 {
        places[0].put("k", &n.to_string()).await.unwrap();
    }
    let mut twin = Place::new("c").await;
    copy_dir(&copy.path().join("data"), &twin.data());
    let reason = twin.refused(&initial, Join::New).await;
    assert!(reason.contains("runs already at"), "{reason}");

    places[2].stop().await;
    std::fs::remove_dir_all(places[2].data()).unwrap();
    copy_dir(&copy.path().join("data"), &places[2].data());
    let reason = places[2].refused(&initial, Join::New).await;
    assert!(reason.contains("older copy"), "{reason}");
    places[0].put("k", "last").await.unwrap();
    stop_all(&mut places).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_fresh_directories_of_one_name_are_not_two_members() {
    let (mut a, b) = (Place::new("a").await, Place::new("b").await);
    let initial = plan(&[&a, &b]);
    let _waits = a.launch(&initial, Join::New).await;
    let mut twin = Place::new("a").await;
    let reason = twin.refused(&initial, Join::New).await;
    assert!(reason.contains("member a runs already at"), "{reason}");
    a.stop().await;
}

/// Removes a log that a refused member may hold open for a moment more.
async fn remove(log: &std::path::Path) {
    let mut tries = 0;
    while let Err(error) = std::fs::remove_dir_all(log) {
        tries += 1;
        assert!(tries < 200, "{}: {error}", log.display());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_another_member_is_refused() {
    let mut places = three().await;
    let initial: Vec<_> = places.iter().map(Place::entry).collect();
    places[1].stop().await;
    places[2].stop().await;
    let (b, c) = (places[1].data().join("log"), places[2].data().join("log"));
    std::fs::rename(&c, places[2].dir.path().join("kept")).unwrap();
    copy_dir(&b, &c);
    let reason = places[2].refused(&initial, Join::New).await;
    assert!(reason.contains("log") && reason.contains("belongs to member"), "{reason}");
    remove(&c).await;
    let reason = places[2].refused(&initial, Join::New).await;
    assert!(reason.contains("log") && reason.contains("is missing"), "{reason}");
    remove(&c).await;
    std::fs::rename(places[2].dir.path().join("kept"), &c).unwrap();
    places[1].launch(&initial, Join::New).await.await.unwrap();
    places[2].start(&initial, Join::New).await;
    stop_all(&mut places).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_comes_to_the_peer_port_the_group_goes_on() {
    use tokio::io::AsyncWriteExt;
    let mut places = three().await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\xff\xff\xff"]
    {
        for place in &places {
            let mut socket = tokio::net::TcpStream::connect(place.peer).await.unwrap();
            socket.write_all(garbage).await.unwrap();
        }
    }
    places[0].put("k", "1").await.unwrap();
    assert_eq!(places[2].get("k", false).await.unwrap().as_deref(), Some("1"));
    stop_all(&mut places).await;
    // The ports are free again.
    drop(TcpListener::bind(places[0].peer).await.unwrap());
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_dir(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
