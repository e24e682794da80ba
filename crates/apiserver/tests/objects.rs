//! Objects through the gRPC face: create, read, change, watch, delete, and the Commit that does several at once.

mod plane;

use plane::{create, meta, namespace, pod};
use proto::core_v1::Pod;
use proto::raftsman_v1 as pb;
use proto::raftsman_v1::commit_service_client::CommitServiceClient;
use proto::raftsman_v1::pod_service_client::PodServiceClient;
use tonic::Code;

fn version(pod: &Pod) -> String {
    pod.metadata.as_ref().expect("metadata").resource_version.clone()
}

fn get(namespace: &str, name: &str) -> pb::GetRequest {
    pb::GetRequest { namespace: namespace.into(), name: name.into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_lives() {
    let plane = plane::start().await;
    let namespace = namespace(&plane, "lives").await;
    let mut pods = PodServiceClient::new(plane.channel.clone());
    let request = pb::PodCreateRequest { pod: Some(pod(&namespace, "a")), ..Default::default() };
    let made = pods.create(request.clone()).await.expect("made").into_inner();
    let made_meta = made.metadata.clone().expect("metadata");
    assert!(!made_meta.uid.is_empty() && made_meta.creation_timestamp.is_some());
    assert_eq!(made_meta.generation, 1);
    assert_eq!(made.status.as_ref().expect("status").phase, "Pending");

    let again = pods.create(request).await.expect_err("the name is taken");
    assert_eq!(again.code(), Code::AlreadyExists);
    assert_eq!(again.message(), r#"pods "a" already exists"#);

    let read = pods.get(get(&namespace, "a")).await.expect("there").into_inner();
    assert_eq!(read, made);

    let mut changed = read.clone();
    changed.metadata.get_or_insert_default().labels.insert("k".into(), "v".into());
    let request = pb::PodUpdateRequest { pod: Some(changed.clone()), ..Default::default() };
    let changed = pods.update(request.clone()).await.expect("changed").into_inner();
    assert_ne!(version(&changed), version(&read));
    let stale = pods.update(request).await.expect_err("the version is old");
    assert_eq!(stale.code(), Code::Aborted);
    assert!(stale.message().contains("the object has been modified"), "{}", stale.message());

    let same = pb::PodUpdateRequest { pod: Some(changed.clone()), ..Default::default() };
    let same = pods.update(same).await.expect("nothing to do").into_inner();
    assert_eq!(version(&same), version(&changed), "a change to nothing writes nothing");

    let status = Pod {
        metadata: Some(meta(&namespace, "a")),
        status: Some(proto::core_v1::PodStatus { phase: "Running".into(), ..Default::default() }),
        ..Pod::default()
    };
    let request = pb::PodUpdateRequest { pod: Some(status), ..Default::default() };
    let running = pods.update_status(request).await.expect("reported").into_inner();
    assert_eq!(running.metadata.as_ref().expect("metadata").labels["k"], "v", "metadata stays");
    assert_eq!(running.spec, changed.spec, "the spec stays");

    let listed =
        pods.list(pb::ListRequest { namespace: namespace.clone(), label_selector: "k=v".into(), ..Default::default() });
    assert_eq!(listed.await.expect("listed").into_inner().items, vec![running]);
    let request = pb::ListRequest {
        namespace: namespace.clone(),
        field_selector: "status.phase=Pending".into(),
        ..Default::default()
    };
    assert!(pods.list(request).await.expect("listed").into_inner().items.is_empty());

    let request = pb::DeleteRequest { namespace: namespace.clone(), name: "a".into(), ..Default::default() };
    pods.delete(request).await.expect("deleted");
    let gone = pods.get(get(&namespace, "a")).await.expect_err("gone");
    assert_eq!((gone.code(), gone.message()), (Code::NotFound, r#"pods "a" not found"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_of_whole_revisions() {
    let plane = plane::start().await;
    let namespace = namespace(&plane, "watch").await;
    let mut pods = PodServiceClient::new(plane.channel.clone());
    let request = pb::PodCreateRequest { pod: Some(pod(&namespace, "first")), ..Default::default() };
    pods.create(request).await.expect("made");
    let request = pb::WatchRequest {
        namespace: namespace.clone(),
        allow_bookmarks: true,
        send_initial_events: true,
        ..Default::default()
    };
    let mut watch = pods.watch(request).await.expect("watching").into_inner();
    let initial = watch.message().await.expect("open").expect("a message");
    assert_eq!((initial.revision, initial.events.len(), initial.events[0].r#type.as_str()), (0, 1, "ADDED"));
    let end = watch.message().await.expect("open").expect("a message");
    assert_eq!(end.events[0].r#type, "BOOKMARK");
    let annotations = &end.events[0].pod.as_ref().expect("a Pod").metadata.as_ref().expect("metadata").annotations;
    assert_eq!(annotations["k8s.io/initial-events-end"], "true");

    let writes = ["x", "y"].map(|name| create(pb::object::Object::Pod(pod(&namespace, name))));
    let group = pb::Group { writes: writes.into(), ..Default::default() };
    let mut commits = CommitServiceClient::new(plane.channel.clone());
    let answer = commits
        .commit(pb::CommitRequest { groups: vec![group], ..Default::default() })
        .await
        .expect("sent")
        .into_inner();
    assert_eq!(answer.groups[0].error, None);
    let both = watch.message().await.expect("open").expect("a message");
    assert_eq!((both.revision, both.events.len()), (answer.revision, 2));

    let mut progress = pb::watch_service_client::WatchServiceClient::new(plane.channel.clone());
    let progress = progress.progress(pb::ProgressRequest {}).await.expect("asked").into_inner();
    let bookmark = watch.message().await.expect("open").expect("a message");
    assert_eq!(bookmark.events[0].r#type, "BOOKMARK");
    assert!(bookmark.revision >= progress.revision);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_a_commit_stand_and_fall_alone() {
    let plane = plane::start().await;
    let namespace = namespace(&plane, "groups").await;
    let mut commits = CommitServiceClient::new(plane.channel.clone());
    let group = |names: &[&str]| pb::Group {
        writes: names.iter().map(|name| create(pb::object::Object::Pod(pod(&namespace, name)))).collect(),
        ..Default::default()
    };
    let request = pb::CommitRequest { groups: vec![group(&["a"])], ..Default::default() };
    commits.commit(request).await.expect("sent");
    let request = pb::CommitRequest { groups: vec![group(&["b", "a"]), group(&["c"])], ..Default::default() };
    let answer = commits.commit(request).await.expect("sent").into_inner();
    let error = answer.groups[0].error.clone().expect("the name is taken");
    assert_eq!((error.reason.as_str(), answer.groups[0].failed_index), ("AlreadyExists", 1));
    assert_eq!(answer.groups[1].error, None);
    let mut pods = PodServiceClient::new(plane.channel.clone());
    pods.get(get(&namespace, "b")).await.expect_err("all or nothing");
    pods.get(get(&namespace, "c")).await.expect("a group of its own");

    let fenced = pb::Group { fence: Some(pb::Fence { claim: "none".into(), epoch: 1 }), ..group(&["d"]) };
    let answer = commits.commit(pb::CommitRequest { groups: vec![fenced], ..Default::default() }).await.expect("sent");
    let answer = answer.into_inner();
    assert_eq!(answer.groups[0].failed_index, -1);
    assert_eq!(answer.groups[0].error.as_ref().expect("fenced off").code, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_500_pods_is_one_revision() {
    let plane = plane::start().await;
    let namespace = namespace(&plane, "many").await;
    let mut commits = CommitServiceClient::new(plane.channel.clone());
    let groups = (0..10).map(|group| pb::Group {
        writes: (0..50).map(|n| create(pb::object::Object::Pod(pod(&namespace, &format!("p-{group}-{n}"))))).collect(),
        ..Default::default()
    });
    let request = pb::CommitRequest { groups: groups.collect(), ..Default::default() };
    let begin = std::time::Instant::now();
    let answer = commits.commit(request).await.expect("sent").into_inner();
    println!("500 Pods in {:?}", begin.elapsed());
    let revision = answer.revision.to_string();
    for group in answer.groups {
        assert_eq!(group.error, None);
        assert!(group.written.iter().all(|written| written.resource_version == revision));
    }
    let mut pods = PodServiceClient::new(plane.channel.clone());
    let mut request = pb::ListRequest { namespace: namespace.clone(), limit: 200, ..Default::default() };
    let mut names = std::collections::BTreeSet::new();
    loop {
        let page = pods.list(request.clone()).await.expect("a page").into_inner();
        names.extend(page.items.into_iter().map(|pod| pod.metadata.expect("metadata").name));
        request.r#continue = page.metadata.expect("metadata").r#continue;
        if request.r#continue.is_empty() {
            break;
        }
    }
    assert_eq!(names.len(), 500);
}
