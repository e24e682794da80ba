//! What a real kube-apiserver 1.36.3 answered to some three hundred objects drawn at random, we answer too: the code, the reason,
//! every cause to the word, the warnings, and of what it takes the object with its defaults.
//!
//! `record.py` draws and records, and says what it leaves out. Compared are not: uids and times that a server gives;
//! the order of causes, and the message that joins them, for Go walks maps in any order. Meant to differ: a Pod's
//! ServiceAccount (the oracle runs without that plugin), and our warnings of what is not done yet.

use serde_json::{Map, Value};

use crate::face::{self, send};
use crate::plane;

const RECORDED: &str = include_str!("recorded.jsonl");
const UUID: usize = 36;

/// The text with every uid in it masked that the client did not send.
fn without_uids(text: &str, sent: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match rest.get(..UUID).filter(|part| part.as_bytes()[8] == b'-' && uuid::Uuid::parse_str(part).is_ok()) {
            Some(uid) if !sent.contains(uid) => {
                masked.push_str("<uid>");
                rest = &rest[UUID..];
            }
            _ => {
                masked.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    masked
}

fn normal(value: &mut Value, sent: &str) {
    match value {
        Value::String(text) if chrono::DateTime::parse_from_rfc3339(text).is_ok() && !sent.contains(text.as_str()) => {
            *value = "<time>".into();
        }
        Value::String(text) => *text = without_uids(text, sent),
        Value::Array(items) => items.iter_mut().for_each(|item| normal(item, sent)),
        Value::Object(fields) => normal_fields(fields, sent),
        _ => {}
    }
}

fn normal_fields(fields: &mut Map<String, Value>, sent: &str) {
    fields.remove("resourceVersion");
    fields.values_mut().for_each(|field| normal(field, sent));
    let causes = fields.get_mut("details").and_then(|details| details.get_mut("causes")).and_then(Value::as_array_mut);
    if let Some(causes) = causes {
        causes.sort_by_key(Value::to_string);
        if causes.len() > 1 {
            fields.remove("message");
        }
    }
    if fields.get("kind").is_some_and(|kind| kind == "Pod") && !sent.contains("serviceAccount") {
        let spec = fields.get_mut("spec").and_then(Value::as_object_mut);
        spec.into_iter().for_each(|spec| spec.retain(|name, _| !name.starts_with("serviceAccount")));
    }
}

fn sorted(warnings: impl Iterator<Item = String>) -> Vec<String> {
    let mut warnings: Vec<String> = warnings
        .filter(|text| !text.contains("is kept, but not yet acted upon") && !text.contains("the Job is left to"))
        .collect();
    warnings.sort();
    warnings
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_a_kube_apiserver() {
    let plane = plane::start().await;
    let mut wrong = Vec::new();
    for (number, line) in RECORDED.lines().enumerate() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let sent = recorded["body"].to_string();
        let path = recorded["path"].as_str().unwrap();
        let ours = send(plane.address, "POST", path, face::JSON, sent.clone()).await;
        let (mut want, mut have) = (recorded["answer"].clone(), ours.json());
        normal(&mut want, &sent);
        normal(&mut have, &sent);
        let told = recorded["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_string());
        let heard = ours.headers.get_all("warning").iter().map(|text| text.to_str().unwrap().to_string());
        let (told, heard) = (sorted(told), sorted(heard));
        if (recorded["code"].as_u64(), &want, &told) != (Some(ours.code.into()), &have, &heard) {
            let line = number + 1;
            wrong.push(format!("line {line}: {sent}\n  theirs: {want} {told:?}\n  ours:   {have} {heard:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), RECORDED.lines().count(), wrong.join("\n"));
}
