//! Three members: what is written through any is read from every, also after one of them has gone.

use crate::group::{Trio, eventually};

use proto::etcdserverpb::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_anywhere_is_read_everywhere() {
    let trio = Trio::start().await;
    for writer in 0..3 {
        let key = format!("key-{writer}");
        let revision = trio.member(writer).put(&key, "value").await.unwrap();
        for reader in 0..3 {
            // Linearizable, so at once.
            assert_eq!(trio.member(reader).get(&key).await.unwrap().as_deref(), Some("value"));
        }
        assert_eq!(revision, writer as i64 + 2);
    }
    // A busy machine may depose a leader; in the next one all agree again.
    eventually(async || {
        let (_, leader) = trio.member(trio.leader().await).status().await;
        let mut seen = Vec::new();
        for index in 0..3 {
            seen.push(trio.member(index).status().await.0);
        }
        if seen == [leader; 3] { Ok(()) } else { Err(format!("{leader} leads, they see {seen:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_go_on_when_the_leader_stops_and_it_comes_back() {
    let mut trio = Trio::start().await;
    let leader = trio.leader().await;
    trio.member(leader).put("before", "1").await.unwrap();
    trio.stop(leader).await;
    let other = trio.follower().await;
    // The stopped leader handed over, so nothing needs to be tried twice.
    trio.member(other).put("while", "2").await.unwrap();
    trio.restart(leader).await;
    let back = trio.member(leader);
    assert_eq!(back.get("before").await.unwrap().as_deref(), Some("1"));
    assert_eq!(back.get("while").await.unwrap().as_deref(), Some("2"));
    back.put("after", "3").await.unwrap();
    assert_eq!(trio.member(other).get("after").await.unwrap().as_deref(), Some("3"));
}

/// How often a scene is played whose leader must not be deposed in it: a busy machine may do that.
const SCENES_MAX: u32 = 5;

/// Writes go on through a follower, one after the other, while the leader is stopped. Each is acknowledged: what the
/// leader did not take goes on to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_interrupts_nobody() {
    let mut played = 0;
    while let Err(refused) = writes_while_it_stops().await {
        played += 1;
        assert!(played < SCENES_MAX, "each time a write is refused: {refused}");
    }
}

async fn writes_while_it_stops() -> Result<(), tonic::Status> {
    let mut trio = Trio::start().await;
    let leader = trio.leader().await;
    let channel = trio.member(trio.follower().await).channel.clone();
    let (enough, stop) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::spawn(async move {
        let mut kv = proto::etcdserverpb::kv_client::KvClient::new(channel);
        let mut longest = std::time::Duration::ZERO;
        let mut written: i64 = 0;
        while stop.is_empty() {
            let begun = std::time::Instant::now();
            let put = PutRequest { key: "key".into(), value: written.to_string().into(), ..Default::default() };
            kv.put(put).await?;
            written += 1;
            longest = longest.max(begun.elapsed());
        }
        Ok::<_, tonic::Status>((written, longest))
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    trio.stop(leader).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    // Who was refused writes no more.
    let _ended = enough.send(()).is_err();
    let (written, longest) = writer.await.unwrap()?;
    println!("{written} writes, the longest took {longest:?}");
    let other = trio.follower().await;
    let range = RangeRequest { key: "key".into(), ..Default::default() };
    let kv = trio.member(other).kv().range(range).await.unwrap().into_inner().kvs.pop().unwrap();
    assert_eq!((kv.version, &kv.value[..]), (written, (written - 1).to_string().as_bytes()));
    Ok(())
}

/// The store's authority also signs the certificates of the store's clients, and of its servers: they are not let in
/// at the peer port, nor is anybody without a certificate or with one of another authority.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peer_port_takes_peers_only() {
    let _second = rustls::crypto::ring::default_provider().install_default().is_err();
    let trio = Trio::start().await;
    let url = trio.peer_url(0).to_owned();
    let foreign = crate::group::Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let shown = |authority: &crate::group::Authority, name: &str| Some(authority.issue(&dir.path().join(name), name));
    crate::group::greet(&url, &trio, shown(&trio.authority, "raftsman-peer:x")).await.unwrap();
    for certificate in [
        shown(&trio.authority, "raftsman-store-client:x"),
        shown(&trio.authority, "raftsman-store:x"),
        shown(&trio.authority, "raftsman-peer:"),
        shown(&foreign, "raftsman-peer:y"),
        None,
    ] {
        assert!(crate::group::greet(&url, &trio, certificate.clone()).await.is_err(), "{certificate:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_kept_alive_through_every_member() {
    let trio = Trio::start().await;
    let leader = trio.leader().await;
    let follower = trio.follower().await;
    let grant = LeaseGrantRequest { ttl: 600, id: 77 };
    trio.member(follower).lease().lease_grant(grant).await.unwrap();
    let put = PutRequest { key: "held".into(), lease: 77, ..Default::default() };
    trio.member(follower).kv().put(put).await.unwrap();
    for index in [leader, follower] {
        let mut lease = trio.member(index).lease();
        let requests = futures::stream::iter([77, 78].map(|id| LeaseKeepAliveRequest { id }));
        let mut answers = lease.lease_keep_alive(requests).await.unwrap().into_inner();
        assert_eq!(answers.message().await.unwrap().unwrap().ttl, 600);
        // Unknown.
        assert_eq!(answers.message().await.unwrap().unwrap().ttl, 0);
        let ask = LeaseTimeToLiveRequest { id: 77, keys: true };
        let left = lease.lease_time_to_live(ask).await.unwrap().into_inner();
        assert_eq!((left.granted_ttl, left.keys), (600, vec!["held".into()]));
        assert!((500..=600).contains(&left.ttl), "{}", left.ttl);
    }
}
