//! The checker of histories is itself checked: it must accept what a real etcd of three members does while its members
//! are killed and frozen, and find every violation that is planted into that history.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::history::{check, expect_kept};
use tests::members::{Members, Program};
use tests::traffic::{Profile, Traffic};

const ROUNDS: usize = 2;

fn history_of_etcd() -> (Members, std::path::PathBuf) {
    let mut members = Members::start(Program::Etcd);
    let mut traffic = Traffic::prepare(&members, Profile::default());
    for round in 0..ROUNDS {
        traffic.resume();
        std::thread::sleep(Duration::from_secs(2));
        let victim = if round % 2 == 0 { members.leader() } else { members.follower() };
        members.kill(victim);
        std::thread::sleep(Duration::from_millis(700));
        members.restart(victim);
        let frozen = members.leader();
        members.freeze(frozen);
        std::thread::sleep(Duration::from_millis(2500));
        members.thaw(frozen);
        traffic.pause();
    }
    println!("{} writes acknowledged, {} operations unknown", traffic.acknowledged(), traffic.unknown());
    assert!(traffic.unknown() > 0, "no operation was cut off by the kills");
    let history = traffic.finish();
    (members, history)
}

/// One planted violation: a change of the history's lines, and a word of what the checker must say.
type Plant = (&'static str, &'static str, fn(&mut [Value]) -> Option<()>);

const PLANTS: [Plant; 16] = [
    ("an acknowledged write is nowhere in the log", "lost:", lose_write),
    ("a transaction does not see its own put", "linearizable:", blind_transaction),
    ("a read answers an old value", "linearizable:", stale_read),
    ("a read answers a value that nobody wrote", "linearizable:", phantom_read),
    ("a revision goes back", "revision:", older_revision),
    ("a compare that held is answered as failed", "linearizable:", false_compare),
    ("a serializable read mixes two revisions", "read:", mixed_read),
    ("a watch hears what it did not ask for", "filter:", unasked_event),
    ("a watch hears events in the wrong order", "ordered:", swapped_events),
    ("a watch hears an event twice", "unique:", doubled_event),
    ("a watch hears the events of one revision in two messages", "atomic:", split_message),
    ("a watch is told of progress before its events", "bookmarkable:", early_bookmark),
    ("a watch begins later than asked", "resumable:", late_begin),
    ("a watch misses an event in the middle", "reliable:", missed_event),
    ("an event has a wrong previous value", "prevKV:", wrong_previous),
    ("an event says created, but was not", "isCreate:", wrong_create),
];

#[test]
fn etcd_is_accepted_and_every_planted_violation_is_found() {
    let (members, path) = history_of_etcd();
    println!("{}", expect_kept(&path));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (what, word, plant) in PLANTS {
        let mut edited = lines.clone();
        plant(&mut edited).unwrap_or_else(|| panic!("the history has no place for this: {what}"));
        let edited_path = members.folder().join("edited.jsonl");
        write(&edited_path, &edited);
        let found = check(&edited_path).expect_err(what);
        assert!(found.contains(word), "{what}: expected {word:?} in\n{found}");
    }
}

fn write(path: &Path, lines: &[Value]) {
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(path, text.join("\n")).unwrap();
}

fn is_write(op: &Value) -> bool {
    op["response"]["succeeded"] == true && op["request"]["success"][0]["kind"] == "put"
}

/// The operations that are answered, from the middle of the history on.
fn answered(lines: &mut [Value]) -> impl Iterator<Item = &mut Value> {
    let middle = lines.len() / 2;
    lines.iter_mut().skip(middle).filter_map(|line| line.get_mut("op")).filter(|op| !op["response"].is_null())
}

/// The responses of watches that hear everything.
fn whole_watches(lines: &mut [Value]) -> impl Iterator<Item = &mut Vec<Value>> {
    let watches = lines.iter_mut().filter_map(|line| line.get_mut("watch")).filter(|watch| watch["key"] == "\0");
    watches.filter_map(|watch| watch["responses"].as_array_mut())
}

/// Removes whatever all watches heard of a revision.
fn silence(lines: &mut [Value], revision: &Value) {
    for line in lines.iter_mut().filter_map(|line| line.get_mut("watch")) {
        for response in line["responses"].as_array_mut().unwrap() {
            response["events"].as_array_mut().unwrap().retain(|event| &event["kv"]["mod"] != revision);
        }
    }
}

fn lose_write(lines: &mut [Value]) -> Option<()> {
    let revision = answered(lines).find(|op| is_write(op))?["response"]["revision"].clone();
    silence(lines, &revision);
    Some(())
}

/// A transaction puts a key and reads it, but does not see its own put.
fn blind_transaction(lines: &mut [Value]) -> Option<()> {
    let op = answered(lines)
        .find(|op| op["request"]["compare"].is_object() && op["response"]["results"][1]["kvs"][0].is_object())?;
    op["response"]["results"][1]["kvs"].as_array_mut()?.clear();
    Some(())
}

fn linear_range(op: &Value) -> bool {
    op["request"]["success"][0]["kind"] == "range"
        && op["request"]["at"] == 0
        && op["request"]["serializable"] == false
        && op["response"]["results"][0]["kvs"][0].is_object()
}

fn stale_read(lines: &mut [Value]) -> Option<()> {
    let key = |op: &Value| op["request"]["success"][0]["key"].clone();
    let single = |op: &&mut Value| linear_range(op) && op["request"]["success"][0].get("end").is_none();
    let old = answered(lines).find(single).map(|op| (key(op), op["response"]["results"].clone()))?;
    let later = answered(lines).filter(single).find(|op| key(op) == old.0 && op["response"]["results"] != old.1)?;
    later["response"]["results"] = old.1;
    Some(())
}

fn phantom_read(lines: &mut [Value]) -> Option<()> {
    let op = answered(lines).find(|op| linear_range(op))?;
    op["response"]["results"][0]["kvs"][0]["value"] = json!("nobody wrote this");
    Some(())
}

fn older_revision(lines: &mut [Value]) -> Option<()> {
    let op = answered(lines).find(|op| linear_range(op))?;
    let revision = op["response"]["revision"].as_i64()?;
    op["response"]["revision"] = json!(revision - 200);
    Some(())
}

fn false_compare(lines: &mut [Value]) -> Option<()> {
    let op = answered(lines).find(|op| op["request"]["compare"].is_object() && op["response"]["succeeded"] == false)?;
    op["response"]["succeeded"] = json!(true);
    op["request"]["success"] = op["request"]["failure"].clone();
    Some(())
}

fn mixed_read(lines: &mut [Value]) -> Option<()> {
    let op = answered(lines)
        .find(|op| op["request"]["serializable"] == true && op["response"]["results"][0]["kvs"][0].is_object())?;
    op["response"]["results"][0]["kvs"][0]["mod"] = json!(1);
    Some(())
}

fn unasked_event(lines: &mut [Value]) -> Option<()> {
    let event = whole_watches(lines).flatten().find_map(|response| {
        response["events"].as_array()?.iter().find(|event| event["kv"]["key"] == "h/k1").cloned()
    })?;
    let narrow = lines.iter_mut().filter_map(|line| line.get_mut("watch")).find(|watch| watch["key"] == "h/k3")?;
    narrow["responses"].as_array_mut()?.iter_mut().find_map(|response| {
        let events = response["events"].as_array_mut().filter(|events| !events.is_empty())?;
        events.push(event.clone());
        Some(())
    })
}

/// Two messages that follow each other and have one event each, of one of the watches that hear all.
fn neighbours(responses: &[Value]) -> Option<usize> {
    let single = |at: usize| responses[at]["events"].as_array().is_some_and(|events| events.len() == 1);
    (1..responses.len()).rev().find(|at| single(*at) && single(at - 1))
}

fn swapped_events(lines: &mut [Value]) -> Option<()> {
    whole_watches(lines).find_map(|responses| {
        let at = neighbours(responses)?;
        responses.swap(at - 1, at);
        Some(())
    })
}

fn doubled_event(lines: &mut [Value]) -> Option<()> {
    whole_watches(lines).find_map(|responses| {
        let at = neighbours(responses)?;
        let again = responses[at].clone();
        responses.insert(at, again);
        Some(())
    })
}

fn split_message(lines: &mut [Value]) -> Option<()> {
    whole_watches(lines).find_map(|responses| {
        let at = responses.iter().position(|response| {
            let events = response["events"].as_array().unwrap();
            events.len() == 2 && events[0]["kv"]["mod"] == events[1]["kv"]["mod"]
        })?;
        let mut second = responses[at].clone();
        responses[at]["events"].as_array_mut()?.pop();
        second["events"].as_array_mut()?.remove(0);
        responses.insert(at + 1, second);
        Some(())
    })
}

fn early_bookmark(lines: &mut [Value]) -> Option<()> {
    whole_watches(lines).find_map(|responses| {
        let at = responses.iter().rposition(|response| response["events"].as_array().is_some_and(|e| !e.is_empty()))?;
        let mut bookmark = responses[at].clone();
        bookmark["events"] = json!([]);
        responses.insert(at, bookmark);
        Some(())
    })
}

fn late_begin(lines: &mut [Value]) -> Option<()> {
    whole_watches(lines).find_map(|responses| {
        let at = responses.iter().position(|response| response["events"].as_array().is_some_and(|e| !e.is_empty()))?;
        // No bookmark may tell of the loss first.
        responses.get(at + 1)?["events"].get(0)?;
        responses.remove(at);
        Some(())
    })
}

fn missed_event(lines: &mut [Value]) -> Option<()> {
    whole_watches(lines).find_map(|responses| {
        let with_events = |at: usize| responses[at]["events"].as_array().is_some_and(|events| !events.is_empty());
        let at = (responses.len() / 2..responses.len() - 1).find(|at| (at - 1..=at + 1).all(with_events))?;
        responses.remove(at);
        Some(())
    })
}

fn wrong_previous(lines: &mut [Value]) -> Option<()> {
    whole_watches(lines).flatten().find_map(|response| {
        let events = response["events"].as_array_mut()?;
        let event = events.iter_mut().find(|event| event["prev"].is_object())?;
        event["prev"]["value"] = json!("older");
        Some(())
    })
}

fn wrong_create(lines: &mut [Value]) -> Option<()> {
    // All watches must agree, or the contradiction would be told first.
    let found = whole_watches(lines).flatten().find_map(|response| {
        let events = response["events"].as_array()?;
        events.iter().find(|event| event["kv"]["version"].as_i64() > Some(1)).cloned()
    })?;
    let watches = lines.iter_mut().filter_map(|line| line.get_mut("watch"));
    for response in watches.flat_map(|watch| watch["responses"].as_array_mut().unwrap()) {
        for event in response["events"].as_array_mut()? {
            if event["kv"]["mod"] == found["kv"]["mod"] && event["kv"]["key"] == found["kv"]["key"] {
                event["kv"]["create"] = event["kv"]["mod"].clone();
                event["kv"]["version"] = json!(1);
            }
        }
    }
    Some(())
}
