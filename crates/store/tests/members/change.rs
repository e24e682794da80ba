//! Changes of members of a group that serves.

use store::Join;
use tonic::Code;

use crate::group::{Place, address, eventually, leader, plan, stop_all, three};

/// A refusal's code and words.
fn said<T>(answer: Result<T, tonic::Status>) -> (Code, String) {
    let status = answer.err().expect("a refusal");
    (status.code(), status.message().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_is_added_catches_up_is_promoted_removed_and_added_again() {
    let mut places = three().await;
    let follower = (leader(&places).await + 1) % 3;
    let mut d = Place::new("d").await;
    for n in 0..50 {
        places[0].put(&format!("k{n}"), "x").await.unwrap();
    }
    let added = eventually(|| async { places[follower].add(&d.url(), true).await.map_err(|s| s.to_string()) }).await;
    assert!(added.is_learner && added.name.is_empty());
    let in_sync = "etcdserver: can only promote a learner member which is in sync with leader";
    assert_eq!(said(places[follower].promote(added.id).await), (Code::FailedPrecondition, in_sync.into()));
    let second = said(places[follower].add("http://127.0.0.1:1", true).await);
    assert_eq!(second, (Code::FailedPrecondition, "etcdserver: too many learner members in cluster".into()));

    let initial = plan(&[&places[0], &places[1], &places[2], &d]);
    let ready = d.start(&initial, Join::Existing).await;
    assert_eq!(ready.member_id, added.id);
    let learner = (Code::FailedPrecondition, "etcdserver: rpc not supported for learner".to_owned());
    assert_eq!(said(d.put("k", "x").await), learner);
    assert_eq!(said(d.get("k0", false).await), learner);
    assert_eq!(said(d.members().await), learner);
    eventually(|| async {
        let value = d.get("k49", true).await.map_err(|status| status.to_string())?;
        value.ok_or_else(|| "it has not caught up".to_owned())
    })
    .await;
    assert!(d.status().await.unwrap().is_learner);
    eventually(|| async { places[follower].promote(added.id).await.map_err(|status| status.to_string()) }).await;
    let only_learners = (Code::FailedPrecondition, "etcdserver: can only promote a learner member".to_owned());
    assert_eq!(said(places[0].promote(added.id).await), only_learners);
    d.writes("from-d").await;

    places[follower].remove(added.id).await.unwrap();
    let reason = d.refusal().await;
    assert!(reason.contains(&format!("member d ({:x}) was removed from its group", added.id)), "{reason}");
    let reason = d.refused(&initial, Join::Existing).await;
    assert!(reason.contains("was removed from its group"), "{reason}");

    d.wipe().await;
    let again = eventually(|| async { places[0].add(&d.url(), false).await.map_err(|s| s.to_string()) }).await;
    assert!(again.id != added.id && !again.is_learner);
    let ready = d.start(&initial, Join::Existing).await;
    assert_eq!(ready.member_id, again.id);
    assert_eq!(d.get("from-d", false).await.unwrap().as_deref(), Some("x"));
    assert_eq!(places[0].members().await.unwrap().len(), 4);
    d.stop().await;
    stop_all(&mut places).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_removed_stops_and_the_others_go_on() {
    let mut places = three().await;
    let first = leader(&places).await;
    let id = places[first].status().await.unwrap().header.unwrap().member_id;
    eventually(|| async { places[first].remove(id).await.map_err(|status| status.to_string()) }).await;
    let reason = places[first].refusal().await;
    assert!(reason.contains("was removed from its group"), "{reason}");
    let others: Vec<usize> = (0..3).filter(|index| *index != first).collect();
    places[others[0]].writes("k").await;
    assert_eq!(places[others[1]].members().await.unwrap().len(), 2);
    stop_all(&mut places).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_grows_from_one_to_three() {
    let mut a = Place::new("a").await;
    a.start(&plan(&[&a]), Join::New).await;
    a.put("k", "1").await.unwrap();
    let (mut b, mut c) = (Place::new("b").await, Place::new("c").await);
    a.add(&b.url(), false).await.unwrap();
    // The voter that is not started yet costs the group nothing, but nobody is added beside it.
    a.put("k", "2").await.unwrap();
    let few = "etcdserver: re-configuration failed due to not enough started members";
    assert_eq!(said(a.add(&c.url(), false).await), (Code::Unknown, few.into()));
    let unhealthy = (Code::Unavailable, "etcdserver: unhealthy cluster".to_owned());
    assert_eq!(said(a.add(&c.url(), true).await), unhealthy);
    b.start(&plan(&[&a, &b]), Join::Existing).await;
    assert!(!b.status().await.unwrap().is_learner);
    eventually(|| async { b.add(&c.url(), false).await.map_err(|status| status.to_string()) }).await;
    c.start(&plan(&[&a, &b, &c]), Join::Existing).await;
    assert_eq!(c.get("k", false).await.unwrap().as_deref(), Some("2"));
    a.stop().await;
    c.writes("without-a").await;
    b.stop().await;
    c.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_moves_to_another_address() {
    let mut places = three().await;
    let id = places[2].status().await.unwrap().header.unwrap().member_id;
    places[2].stop().await;
    places[2].peer = address().await;
    let url = places[2].url();
    eventually(|| async { places[0].update(id, &url).await.map_err(|status| status.to_string()) }).await;
    places[1].put("k", "1").await.unwrap();
    let initial = plan(&[&places[0], &places[1], &places[2]]);
    let ready = places[2].start(&initial, Join::New).await;
    assert_eq!(ready.member_id, id);
    assert_eq!(places[2].get("k", false).await.unwrap().as_deref(), Some("1"));
    places[0].stop().await;
    places[2].writes("without-a").await;
    stop_all(&mut places).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_founded_without_a_peer_port_can_grow_later() {
    let mut a = Place::new("a").await;
    a.start_alone().await;
    a.put("k", "1").await.unwrap();
    a.stop().await;
    a.start(&plan(&[&a]), Join::New).await;
    assert_eq!(a.members().await.unwrap()[0].peer_urls, [a.url()]);
    let mut b = Place::new("b").await;
    a.add(&b.url(), false).await.unwrap();
    b.start(&plan(&[&a, &b]), Join::Existing).await;
    assert_eq!(b.get("k", false).await.unwrap().as_deref(), Some("1"));
    a.stop().await;
    let alone = a.launch_alone().await;
    assert!(alone.await.is_err());
    let reason = a.refusal().await;
    assert!(reason.contains("has others") && reason.contains(&b.url()), "{reason}");
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_changes_are_refused_in_etcds_words() {
    let mut places = three().await;
    let a = &places[(leader(&places).await + 1) % 3];
    for urls in ["", "http://h", "h:2380", "ftp://h:1", "http://h:1/x"] {
        let bad = (Code::InvalidArgument, "etcdserver: given member URLs are invalid".to_owned());
        assert_eq!(said(a.add(urls, false).await), bad, "{urls}");
    }
    let taken = (Code::FailedPrecondition, "etcdserver: Peer URLs already exists".to_owned());
    assert_eq!(said(a.add(&places[2].url(), true).await), taken);
    let missing = (Code::NotFound, "etcdserver: member not found".to_owned());
    assert_eq!(said(a.remove(7).await), missing);
    assert_eq!(said(a.promote(7).await), missing);
    // A name that another member has.
    let mut impostor = Place::new("b").await;
    eventually(|| async { a.add(&impostor.url(), false).await.map_err(|status| status.to_string()) }).await;
    let initial = plan(&[&places[0], &places[2], &impostor]);
    let reason = impostor.refused(&initial, Join::Existing).await;
    assert!(reason.contains("the group has a member b already"), "{reason}");
    // A URL that nobody added.
    let mut stranger = Place::new("e").await;
    let reason = stranger.refused(&plan(&[&places[0], &stranger]), Join::Existing).await;
    assert!(reason.contains("no member with the peer URL"), "{reason}");
    stop_all(&mut places).await;
}
