//! Claims, fences and the typed client, against a real server: who no longer leads has no effect, and what the informer
//! shows are whole Commits, also over a restart of the server.

use std::time::Duration;

use client::api::proto::core_v1::ConfigMap;
use client::api::proto::meta_v1::ObjectMeta;
use client::election::{self, Candidacy};
use client::informer::Builder;
use client::{Client, Config, Fence, Group, GroupResult, ListOptions, Write};
use tests::cluster::Cluster;
use tests::patience::seconds;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Runs a test's body with a limit.
fn block_on<T>(body: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(seconds(90), body).await.expect("it ends in time") })
}

fn connect(kubeconfig: &str) -> Client {
    Client::connect(&Config::from_kubeconfig(kubeconfig).expect("a kubeconfig")).expect("a client")
}

fn config_map(namespace: &str, name: &str) -> ConfigMap {
    let metadata = ObjectMeta { namespace: namespace.into(), name: name.into(), ..Default::default() };
    ConfigMap { metadata: Some(metadata), ..Default::default() }
}

fn group(namespace: &str, names: &[&str], fence: Option<Fence>) -> Group {
    let writes = names.iter().map(|name| Write::create(config_map(namespace, name))).collect();
    Group { writes, fence, ..Default::default() }
}

/// One that runs for a claim.
struct Candidate {
    fence: watch::Receiver<Option<Fence>>,
    prefer: watch::Sender<bool>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Candidate {
    fn new(client: &Client, claim: &str, holder: &str) -> Candidate {
        Candidate::with_lease(client, claim, holder, 6)
    }

    fn with_lease(client: &Client, claim: &str, holder: &str, lease_seconds: i32) -> Candidate {
        let (prefer, preferred) = watch::channel(false);
        let stop = CancellationToken::new();
        let candidacy = Candidacy { claim: claim.into(), holder: holder.into(), lease_seconds };
        let (fence, task) = election::run(client.clone(), candidacy, preferred, stop.clone());
        Candidate { fence, prefer, stop, task }
    }

    async fn leads(&mut self) -> Fence {
        let fence = self.fence.wait_for(Option::is_some).await.expect("it runs").clone();
        fence.expect("waited for")
    }

    async fn follows(&mut self) {
        self.fence.wait_for(Option::is_none).await.expect("it runs");
    }
}

#[test]
fn who_no_longer_leads_has_no_effect() {
    let cluster = Cluster::shared("fence");
    block_on(async {
        let client = connect(&cluster.kubeconfig());
        let namespace = &cluster.namespace;
        let mut first = Candidate::new(&client, "fence-test", "first");
        let old = first.leads().await;
        let mut second = Candidate::new(&client, "fence-test", "second");
        second.prefer.send_replace(true);
        let new = second.leads().await;
        first.follows().await;
        assert!(new.epoch > old.epoch);

        let groups = vec![group(namespace, &["old"], Some(old)), group(namespace, &["new"], Some(new))];
        let results = client.commit(groups).await.expect("within the limits");
        assert!(matches!(&results[0], GroupResult::Refused { .. }) && results[0].is_conflict(), "{:?}", results[0]);
        assert!(matches!(&results[1], GroupResult::Committed { .. }), "{:?}", results[1]);
        let kept = client.list::<ConfigMap>(ListOptions::namespace(namespace)).await.expect("a list").items;
        let kept: Vec<String> = kept.into_iter().filter_map(|map| Some(map.metadata?.name)).collect();
        assert!(kept.contains(&"new".to_owned()) && !kept.contains(&"old".to_owned()), "{kept:?}");
    });
}

#[test]
fn a_claim_is_handed_over_at_once_and_inherited_after_its_lease() {
    let cluster = Cluster::shared("handover");
    block_on(async {
        let client = connect(&cluster.kubeconfig());
        let mut first = Candidate::with_lease(&client, "handover-test", "first", 25);
        first.leads().await;
        let mut second = Candidate::with_lease(&client, "handover-test", "second", 15);
        first.stop.cancel();
        first.task.await.expect("it gives the claim up");
        tokio::time::timeout(seconds(15), second.leads()).await.expect("long before the lease ends");

        // The second vanishes without a word: only the end of the lease tells.
        second.task.abort();
        let mut third = Candidate::new(&client, "handover-test", "third");
        let early = tokio::time::timeout(Duration::from_millis(900), third.leads()).await;
        assert!(early.is_err(), "the lease of fifteen seconds still held");
        tokio::time::timeout(seconds(40), third.leads()).await.expect("after the lease");
    });
}

#[test]
fn controllers_that_take_the_claim_from_each_other_make_no_pod_twice() {
    let cluster = Cluster::shared("rivals");
    let kubeconfig = cluster.data().join("pki/control-plane.kubeconfig").display().to_string();
    let manifest = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: rivals}
spec:
  completions: 40
  parallelism: 4
  template: {spec: {restartPolicy: Never, containers: [{name: c, image: any, command: [sleep, "0.3"]}]}}"#;
    block_on(async {
        // The cluster's own controllers are preferred, too: the claim goes to and fro, about once a second.
        let (_prefer, preferred) = watch::channel(true);
        let config = controllers::Config {
            client: connect(&kubeconfig),
            holder: "rival".into(),
            prefer: preferred,
            root_ca: String::new(),
            node_grace: controllers::node::GRACE,
            metrics: client::SharedRegistry::default(),
            ready: None,
        };
        let stop = CancellationToken::new();
        let rival = tokio::spawn(controllers::run(config, stop.clone().cancelled_owned()));
        cluster.kubectl_with(&["create", "-f", "-"], manifest).ok();
        let watched = cluster.clone();
        let job = tokio::task::spawn_blocking(move || watched.wait_for_job("rivals", "Complete", seconds(60)));
        let job = job.await.expect("it completes");
        stop.cancel();
        rival.await.expect("the rival stops");
        let lease = ["get", "lease", "controllers", "-n", "kube-system", "-o", "jsonpath={.spec.leaseTransitions}"];
        let transitions: u32 = cluster.kubectl_anywhere(&lease).ok().parse().expect("a number");
        assert!(transitions >= 2, "the claim moved {transitions} times");
        assert_eq!((&job["status"]["succeeded"], &job["status"]["failed"]), (&40.into(), &serde_json::Value::Null));
        assert_eq!(cluster.list("pods", "job-name=rivals").len(), 40);
    });
}

#[test]
fn an_informer_shows_whole_commits_also_over_a_restart() {
    let mut cluster = Cluster::start(&[]);
    let api = cluster.daemon.ready.field("api");
    block_on(async {
        let client = connect(&cluster.client().kubeconfig());
        let stop = CancellationToken::new();
        let maps = Builder::<ConfigMap, ConfigMap>::whole().namespace("default").start(&client, stop.clone());
        maps.synced().await;
        let commit = client.commit(vec![group("default", &["a", "b"], None)]).await.expect("within the limits");
        let GroupResult::Committed { revision } = commit[0] else { panic!("{:?}", commit[0]) };
        maps.reached(revision).await;
        assert!(maps.get("default", "a").is_some() && maps.get("default", "b").is_some());

        cluster.daemon.kill();
        let address = api.strip_prefix("https://").expect("a URL");
        let data = cluster.data().display().to_string();
        let flags = ["dev", "--data-dir", &data, "--listen-client", "127.0.0.1:0", "--listen-api", address];
        cluster.daemon = tests::cluster::Daemon::start(cluster.folder.path(), "again", &flags);
        let commit = client.commit(vec![group("default", &["c"], None)]).await.expect("within the limits");
        let GroupResult::Committed { revision: later } = commit[0] else { panic!("{:?}", commit[0]) };
        assert!(later > revision, "a store never goes back");
        maps.reached(later).await;
        assert!(["a", "b", "c"].iter().all(|name| maps.get("default", name).is_some()));
        stop.cancel();
    });
}
