//! How objects end, and what holds them: grace, finalizers, propagation, namespaces, dependencies, terminal phases.

mod plane;

use plane::{Plane, meta, namespace, pod};
use proto::batch_v1::{Job, JobCondition, JobDependency, JobSpec, JobStatus};
use proto::core_v1::{Pod, PodStatus, PodTemplateSpec};
use proto::meta_v1::{DeleteOptions, Preconditions};
use proto::raftsman_v1 as pb;
use proto::raftsman_v1::job_service_client::JobServiceClient;
use proto::raftsman_v1::namespace_service_client::NamespaceServiceClient;
use proto::raftsman_v1::pod_service_client::PodServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// The Pods and Jobs of one namespace.
struct Room {
    namespace: String,
    pods: PodServiceClient<Channel>,
    jobs: JobServiceClient<Channel>,
}

impl Room {
    async fn new(plane: &Plane, prefix: &str) -> Self {
        let channel = plane.channel.clone();
        let namespace = namespace(plane, prefix).await;
        Room { namespace, pods: PodServiceClient::new(channel.clone()), jobs: JobServiceClient::new(channel) }
    }

    async fn create_pod(&mut self, pod: Pod) -> Pod {
        let request = pb::PodCreateRequest { pod: Some(pod), ..Default::default() };
        self.pods.create(request).await.expect("made").into_inner()
    }

    async fn pod(&mut self, name: &str) -> Result<Pod, Status> {
        let request = pb::GetRequest { namespace: self.namespace.clone(), name: name.into(), ..Default::default() };
        self.pods.get(request).await.map(tonic::Response::into_inner)
    }

    async fn delete_pod(&mut self, name: &str, options: DeleteOptions) -> Result<pb::PodDeleteResponse, Status> {
        let request =
            pb::DeleteRequest { namespace: self.namespace.clone(), name: name.into(), options: Some(options) };
        self.pods.delete(request).await.map(tonic::Response::into_inner)
    }

    async fn report(&mut self, name: &str, phase: &str) -> Result<Pod, Status> {
        let status = PodStatus { phase: phase.into(), ..PodStatus::default() };
        let pod = Pod { metadata: Some(meta(&self.namespace, name)), status: Some(status), ..Pod::default() };
        let request = pb::PodUpdateRequest { pod: Some(pod), ..Default::default() };
        self.pods.update_status(request).await.map(tonic::Response::into_inner)
    }

    async fn create_job(&mut self, name: &str, on: &[&str]) -> Result<Job, Status> {
        let mut template = pod("", "").spec;
        template.get_or_insert_default().restart_policy = "Never".into();
        let depends_on = on.iter().map(|name| JobDependency { name: (*name).into(), ..JobDependency::default() });
        let spec = JobSpec {
            template: Some(PodTemplateSpec { spec: template, ..PodTemplateSpec::default() }),
            depends_on: depends_on.collect(),
            ..JobSpec::default()
        };
        let job = Job { metadata: Some(meta(&self.namespace, name)), spec: Some(spec), ..Job::default() };
        let request = pb::JobCreateRequest { job: Some(job), ..Default::default() };
        self.jobs.create(request).await.map(tonic::Response::into_inner)
    }

    async fn job(&mut self, name: &str) -> Result<Job, Status> {
        let request = pb::GetRequest { namespace: self.namespace.clone(), name: name.into(), ..Default::default() };
        self.jobs.get(request).await.map(tonic::Response::into_inner)
    }

    async fn delete_job(&mut self, name: &str, policy: Option<&str>) -> pb::JobDeleteResponse {
        let options = DeleteOptions { propagation_policy: policy.map(str::to_string), ..DeleteOptions::default() };
        let request =
            pb::DeleteRequest { namespace: self.namespace.clone(), name: name.into(), options: Some(options) };
        self.jobs.delete(request).await.expect("deleted").into_inner()
    }
}

fn bound(namespace: &str, name: &str) -> Pod {
    let mut pod = pod(namespace, name);
    pod.spec.get_or_insert_default().node_name = "n1".into();
    pod
}

fn grace(pod: &Pod) -> Option<i64> {
    pod.metadata.as_ref().and_then(|meta| meta.deletion_grace_period_seconds)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_pod_ends_gracefully() {
    let plane = plane::start().await;
    let mut room = Room::new(&plane, "grace").await;
    let made = room.create_pod(bound(&room.namespace.clone(), "a")).await;
    let wrong = Preconditions { uid: Some("other".into()), ..Preconditions::default() };
    let refused = room.delete_pod("a", DeleteOptions { preconditions: Some(wrong), ..Default::default() }).await;
    let uid = &made.metadata.as_ref().expect("metadata").uid;
    let text = format!(
        "Operation cannot be fulfilled on Pod \"a\": the UID in the precondition (other) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
    );
    assert_eq!(refused.expect_err("another Pod is meant").message(), text);

    room.delete_pod("a", DeleteOptions::default()).await.expect("begun");
    assert_eq!(grace(&room.pod("a").await.expect("still there")), Some(30));
    room.delete_pod("a", DeleteOptions { grace_period_seconds: Some(5), ..Default::default() }).await.expect("hurried");
    assert_eq!(grace(&room.pod("a").await.expect("still there")), Some(5));
    room.delete_pod("a", DeleteOptions { grace_period_seconds: Some(60), ..Default::default() })
        .await
        .expect("no effect");
    assert_eq!(grace(&room.pod("a").await.expect("still there")), Some(5), "a deletion is never slowed down");
    room.delete_pod("a", DeleteOptions { grace_period_seconds: Some(0), ..Default::default() }).await.expect("ended");
    assert_eq!(room.pod("a").await.expect_err("gone").code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_grace_is_too_long_to_be_counted() {
    let plane = plane::start().await;
    let mut room = Room::new(&plane, "long").await;
    let mut patient = bound(&room.namespace.clone(), "own");
    patient.spec.get_or_insert_default().termination_grace_period_seconds = Some(i64::MAX);
    room.create_pod(patient).await;
    room.create_pod(bound(&room.namespace.clone(), "asked")).await;
    for (name, asked) in [("own", None), ("asked", Some(i64::MAX))] {
        room.delete_pod(name, DeleteOptions { grace_period_seconds: asked, ..Default::default() })
            .await
            .expect("begun");
        let pod = room.pod(name).await.expect("still there");
        assert_eq!(grace(&pod), Some(i64::MAX));
        let at = pod.metadata.and_then(|meta| api::time::opt(&meta.deletion_timestamp)).map(api::time::rfc3339);
        assert_eq!(at.as_deref(), Some("9999-12-31T23:59:59Z"));
    }
    room.delete_pod("own", DeleteOptions { grace_period_seconds: Some(0), ..Default::default() }).await.expect("ended");
    assert_eq!(room.pod("own").await.expect_err("gone").code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn finalizers_hold_and_the_last_one_lets_go() {
    let plane = plane::start().await;
    let mut room = Room::new(&plane, "finalizers").await;
    let mut held = pod(&room.namespace, "a");
    held.metadata.get_or_insert_default().finalizers = vec!["example.com/x".into(), "example.com/y".into()];
    room.create_pod(held).await;
    room.delete_pod("a", DeleteOptions::default()).await.expect("begun");
    let deleting = room.pod("a").await.expect("held");
    assert!(deleting.metadata.as_ref().expect("metadata").deletion_timestamp.is_some());
    let release = |finalizer: &str| pb::Write {
        op: Some(pb::write::Op::Metadata(pb::MetadataWrite {
            resource: "pods".into(),
            namespace: room.namespace.clone(),
            name: "a".into(),
            remove_finalizers: vec![finalizer.into()],
            ..Default::default()
        })),
    };
    let requests = ["example.com/x", "example.com/y"].map(|finalizer| pb::CommitRequest {
        groups: vec![pb::Group { writes: vec![release(finalizer)], ..Default::default() }],
        ..Default::default()
    });
    let mut commits = pb::commit_service_client::CommitServiceClient::new(plane.channel.clone());
    let [first, last] = requests;
    commits.commit(first).await.expect("sent");
    assert_eq!(room.pod("a").await.expect("held").metadata.expect("metadata").finalizers, ["example.com/y"]);
    commits.commit(last).await.expect("sent");
    assert_eq!(room.pod("a").await.expect_err("let go").code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_phase_stays() {
    let plane = plane::start().await;
    let mut room = Room::new(&plane, "terminal").await;
    room.create_pod(bound(&room.namespace.clone(), "a")).await;
    room.report("a", "Running").await.expect("runs");
    room.report("a", "Failed").await.expect("ended");
    let refused = room.report("a", "Running").await.expect_err("it has ended");
    assert!(refused.message().contains("status.phase: Forbidden"), "{}", refused.message());
    assert_eq!(room.report("a", "Failed").await.expect("the same").status.expect("status").phase, "Failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn propagation_is_left_to_finalizers() {
    let plane = plane::start().await;
    let mut room = Room::new(&plane, "propagation").await;
    for (name, policy, finalizers) in
        [("default", None, &["orphan"][..]), ("foreground", Some("Foreground"), &["foregroundDeletion"])]
    {
        room.create_job(name, &[]).await.expect("made");
        room.delete_job(name, policy).await;
        let meta = room.job(name).await.expect("held").metadata.expect("metadata");
        assert_eq!((meta.finalizers, meta.generation), (finalizers.iter().map(|f| f.to_string()).collect(), 2));
    }
    room.create_job("background", &[]).await.expect("made");
    room.delete_job("background", Some("Background")).await;
    assert_eq!(room.job("background").await.expect_err("gone").code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn dependencies_form_no_cycle_and_hold_their_parents() {
    let plane = plane::start().await;
    let mut room = Room::new(&plane, "depends").await;
    let held = |job: &Job| job.metadata.as_ref().is_some_and(|meta| meta.finalizers == ["raftsman.io/dependents"]);
    room.create_job("extract", &[]).await.expect("made");
    room.create_job("transform", &["extract", "later"]).await.expect("made");
    assert!(held(&room.job("extract").await.expect("there")), "a parent is held when its dependent comes");
    let later = room.create_job("later", &[]).await.expect("made");
    assert!(held(&later), "a parent that comes later is held too");
    room.create_job("c", &["transform"]).await.expect("made");
    room.create_job("d", &["e"]).await.expect("an absent one is waited for");
    let cycle = room.create_job("e", &["d"]).await.expect_err("a cycle");
    assert_eq!(cycle.code(), Code::InvalidArgument);
    assert!(cycle.message().contains("the dependencies form a cycle: e -> d -> e"), "{}", cycle.message());
    let own = room.create_job("own", &["own"]).await.expect_err("a cycle of one");
    assert_eq!(own.code(), Code::InvalidArgument);

    room.delete_job("later", Some("Background")).await;
    assert_eq!(room.job("later").await.expect_err("an unfinished parent goes").code(), Code::NotFound);
    let mut done = room.job("extract").await.expect("there");
    let now = proto::meta_v1::Time { seconds: Some(1_700_000_000), nanos: Some(0) };
    let complete = |kind: &str| JobCondition { r#type: kind.into(), status: "True".into(), ..JobCondition::default() };
    done.status = Some(JobStatus {
        conditions: vec![complete("SuccessCriteriaMet"), complete("Complete")],
        start_time: Some(now),
        completion_time: Some(now),
        succeeded: 1,
        ..JobStatus::default()
    });
    room.jobs.update_status(pb::JobUpdateRequest { job: Some(done), ..Default::default() }).await.expect("finished");
    room.delete_job("extract", Some("Background")).await;
    assert!(held(&room.job("extract").await.expect("held until its dependents have recorded it")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_ends_when_it_is_empty() {
    let plane = plane::start().await;
    let mut room = Room::new(&plane, "ends").await;
    let mut namespaces = NamespaceServiceClient::new(plane.channel.clone());
    let accounts =
        proto::raftsman_v1::service_account_service_client::ServiceAccountServiceClient::new(plane.channel.clone());
    let list = pb::ListRequest { namespace: room.namespace.clone(), ..Default::default() };
    let listed = accounts.clone().list(list).await.expect("listed").into_inner();
    assert_eq!(listed.items[0].metadata.as_ref().expect("metadata").name, "default");

    room.create_pod(pod(&room.namespace, "a")).await;
    let request = pb::DeleteRequest { name: room.namespace.clone(), ..Default::default() };
    namespaces.delete(request.clone()).await.expect("begun");
    let refused = pb::PodCreateRequest { pod: Some(pod(&room.namespace, "b")), ..Default::default() };
    let refused = room.pods.create(refused).await.expect_err("it is being deleted");
    let text = format!(
        "pods \"b\" is forbidden: unable to create new content in namespace {} because it is being terminated",
        room.namespace
    );
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, text.as_str()));
    assert_eq!(namespaces.delete(request.clone()).await.expect_err("not empty").code(), Code::Aborted);

    room.delete_pod("a", DeleteOptions::default()).await.expect("gone");
    let (mut accounts, mut maps) =
        (accounts, pb::config_map_service_client::ConfigMapServiceClient::new(plane.channel.clone()));
    let named =
        |name: &str| pb::DeleteRequest { namespace: room.namespace.clone(), name: name.into(), ..Default::default() };
    accounts.delete(named("default")).await.expect("gone");
    maps.delete(named("kube-root-ca.crt")).await.expect("gone");
    namespaces.delete(request).await.expect("empty");
    let get = pb::GetRequest { name: room.namespace.clone(), ..Default::default() };
    assert_eq!(namespaces.get(get).await.expect_err("gone").code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_answers_and_stores_nothing() {
    let plane = plane::start().await;
    let mut room = Room::new(&plane, "dry").await;
    let request = pb::PodCreateRequest {
        pod: Some(pod(&room.namespace, "a")),
        dry_run: vec!["All".into()],
        ..Default::default()
    };
    let shown = room.pods.create(request.clone()).await.expect("shown").into_inner();
    assert!(!shown.metadata.expect("metadata").uid.is_empty());
    assert_eq!(room.pod("a").await.expect_err("not stored").code(), Code::NotFound);
    room.create_pod(pod(&room.namespace, "a")).await;
    assert_eq!(room.pods.create(request).await.expect_err("the name is taken").code(), Code::AlreadyExists);
    room.delete_pod("a", DeleteOptions { dry_run: vec!["All".into()], ..Default::default() }).await.expect("shown");
    room.pod("a").await.expect("still there");
}
