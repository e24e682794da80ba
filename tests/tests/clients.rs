//! Client libraries that know nothing of Raftsman: the official Python client and the Rust crate `kube`. Each creates a Job,
//! watches it to Complete, reads its log, and deletes it.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodTemplateSpec};
use kube::api::{Api, DeleteParams, ListParams, LogParams, ObjectMeta, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tests::cluster::Cluster;
use tests::peers::python;
use tests::process::Ran;

#[test]
fn the_python_client_runs_a_job() {
    let client = Cluster::shared("python");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/job.py");
    let mut command = Command::new(python());
    command.arg(script).arg(client.kubeconfig()).arg(&client.namespace);
    let told = Ran::run(&mut command).ok();
    assert_eq!(told.trim(), "ok SuccessCriteriaMet Complete");
}

#[test]
fn the_kube_crate_runs_a_job() {
    let cluster = Cluster::shared("kube");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let test = async {
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).expect("a kubeconfig");
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("a config");
        let client = kube::Client::try_from(config).expect("a client");
        run_a_job(&client, &cluster.namespace).await;
    };
    let limit = Duration::from_secs(120);
    runtime.block_on(async { tokio::time::timeout(limit, test).await.expect("it takes no two minutes") });
}

async fn run_a_job(client: &kube::Client, namespace: &str) {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let created = jobs.create(&PostParams::default(), &job()).await.expect("created");
    let version = created.metadata.resource_version.clone().expect("stored objects have a version");
    assert_eq!(created.spec.as_ref().and_then(|spec| spec.backoff_limit), Some(6));

    let conditions = watch_to_the_end(&jobs, &version).await;
    assert_eq!(conditions, ["SuccessCriteriaMet", "Complete"]);

    let selector = ListParams::default().labels("job-name=rust");
    let pod = pods.list(&selector).await.expect("listed").items.pop().expect("it had a Pod");
    let owner = &pod.metadata.owner_references.as_ref().expect("a Pod has its owner")[0];
    assert_eq!((owner.kind.as_str(), owner.controller), ("Job", Some(true)));
    let name = pod.metadata.name.expect("a Pod has a name");
    let log = pods.logs(&name, &LogParams::default()).await.expect("read");
    assert_eq!(log, "hello from rust\n");

    match jobs.create(&PostParams::default(), &job()).await {
        Err(kube::Error::Api(status)) => assert_eq!((status.code, status.reason.as_str()), (409, "AlreadyExists")),
        other => panic!("the same name again: {other:?}"),
    }
    jobs.delete("rust", &DeleteParams::background()).await.expect("deleted");
    while jobs.get_opt("rust").await.expect("asked").is_some() || pods.get_opt(&name).await.expect("asked").is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The conditions that became true, in order.
async fn watch_to_the_end(jobs: &Api<Job>, version: &str) -> Vec<String> {
    let params = WatchParams::default().fields("metadata.name=rust").timeout(60);
    let mut events = std::pin::pin!(jobs.watch(&params, version).await.expect("watched"));
    let mut seen: Vec<String> = Vec::new();
    while let Some(event) = events.try_next().await.expect("an event") {
        let (WatchEvent::Added(job) | WatchEvent::Modified(job)) = event else { continue };
        let conditions = job.status.and_then(|status| status.conditions).unwrap_or_default();
        for condition in conditions.into_iter().filter(|condition| condition.status == "True") {
            if !seen.contains(&condition.type_) {
                seen.push(condition.type_);
            }
        }
        if seen.iter().any(|kind| kind == "Complete") {
            break;
        }
    }
    seen
}

fn job() -> Job {
    let command = ["sh", "-c", "sleep 1; echo hello from rust"].map(String::from).to_vec();
    let container =
        Container { name: "hello".into(), image: Some("any".into()), command: Some(command), ..Default::default() };
    let pod = PodSpec { restart_policy: Some("Never".into()), containers: vec![container], ..Default::default() };
    let labels = BTreeMap::from([("app".to_owned(), "hello".to_owned())]);
    let template =
        PodTemplateSpec { metadata: Some(ObjectMeta { labels: Some(labels), ..Default::default() }), spec: Some(pod) };
    Job {
        metadata: ObjectMeta { name: Some("rust".into()), ..Default::default() },
        spec: Some(JobSpec { template, ..Default::default() }),
        status: None,
    }
}
