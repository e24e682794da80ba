use parking_lot::Mutex;
use proto::core_v1::Pod;
use proto::meta_v1::ObjectMeta;

use super::*;
use crate::client::Client;
use crate::config::Config;
use crate::informer::{Informer, Shared};

fn informer() -> Informer<String> {
    let config = Config { servers: vec!["http://127.0.0.1:1".into()], ..Default::default() };
    Informer { shared: Shared::new(&Client::connect(&config).unwrap(), Vec::new()) }
}

fn pod(name: &str, revision: i64) -> Pod {
    let metadata = ObjectMeta {
        name: name.into(),
        namespace: "ns".into(),
        resource_version: revision.to_string(),
        ..Default::default()
    };
    Pod { metadata: Some(metadata), ..Default::default() }
}

fn version(pod: Pod) -> String {
    pod.metadata.unwrap().resource_version
}

fn batch(revision: i64, events: Vec<Event<Pod>>) -> Batch<Pod> {
    Batch { revision, events }
}

/// What a handler has heard: `+a`, `~a`, `-a`.
fn record(informer: &Informer<String>) -> Arc<Mutex<Vec<String>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = heard.clone();
    informer.on_change(move |change| {
        let sign = match (&change.old, &change.new) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        into.lock().push(format!("{sign}{}", change.key));
    });
    heard
}

const END: Event<Pod> = Event::Bookmark { initial_end: true };

#[tokio::test]
async fn a_list_becomes_known_as_a_whole() {
    let informer = informer();
    let heard = record(&informer);
    let mut state = State::Listing(HashMap::new());
    take(&informer.shared, batch(0, vec![Event::Added(pod("a", 3)), Event::Added(pod("b", 4))]), &mut state, version);
    assert_eq!((informer.len(), informer.revision()), (0, 0));
    take(&informer.shared, batch(9, vec![END]), &mut state, version);
    assert_eq!((informer.len(), informer.revision()), (2, 9));
    assert_eq!(informer.get("ns", "a").as_deref().map(String::as_str), Some("3"));
    heard.lock().sort();
    assert_eq!(*heard.lock(), ["+ns/a", "+ns/b"]);
    informer.synced().await;
}

#[tokio::test]
async fn changes_follow_in_order_and_move_the_revision() {
    let informer = informer();
    let mut state = State::Listing(HashMap::new());
    take(&informer.shared, batch(9, vec![Event::Added(pod("a", 3)), END]), &mut state, version);
    let heard = record(&informer);
    let changes = vec![Event::Modified(pod("a", 11)), Event::Added(pod("b", 11)), Event::Deleted(pod("a", 12))];
    take(&informer.shared, batch(12, changes), &mut state, version);
    take(&informer.shared, batch(20, vec![Event::Bookmark { initial_end: false }]), &mut state, version);
    assert_eq!(*heard.lock(), ["+ns/a", "~ns/a", "+ns/b", "-ns/a"]);
    assert_eq!(informer.revision(), 20);
    assert!(matches!(state, State::Following(20)));
    informer.reached(20).await;
}

#[tokio::test]
async fn listing_again_tells_what_was_missed() {
    let informer = informer();
    let mut state = State::Listing(HashMap::new());
    let first = vec![Event::Added(pod("same", 3)), Event::Added(pod("gone", 4)), Event::Added(pod("old", 5)), END];
    take(&informer.shared, batch(9, first), &mut state, version);
    let heard = record(&informer);
    heard.lock().clear();
    state = State::Listing(HashMap::new());
    let second = vec![Event::Added(pod("same", 3)), Event::Added(pod("old", 15)), Event::Added(pod("new", 16)), END];
    take(&informer.shared, batch(19, second), &mut state, version);
    heard.lock().sort();
    assert_eq!(*heard.lock(), ["+ns/new", "-ns/gone", "~ns/old"]);
    assert_eq!(informer.revision(), 19);
}
