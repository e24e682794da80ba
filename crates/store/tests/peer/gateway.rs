//! The services as JSON over HTTP, as `curl` asks them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::step::Peer;

/// After this long without anything new, a stream of answers has told what it had.
const QUIET: Duration = Duration::from_millis(700);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

type Call = (&'static str, &'static str, &'static str);

#[rustfmt::skip]
pub fn script() -> Vec<Call> {
    let posts: &[(&str, &str)] = &[
        ("/v3/kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#),
        ("/v3/kv/put", r#"{"key":"Zm9v","value":"YmF6","prev_kv":true}"#),
        ("/v3/kv/put", r#"{"key":"Zm9v","prevKv":true,"ignoreValue":true}"#),
        ("/v3/kv/put", r#"{"key":"_-8","value":"AAECAw==","lease":"0"}"#),
        ("/v3/kv/put", r#"{"key":"_-8=","value":"AAECAw","lease":5}"#),
        ("/v3beta/kv/range", r#"{"key":"Zm9v"}"#),
        ("/v3/kv/range", r#"{"key":"AA==","range_end":"AA==","sort_order":"DESCEND","sortTarget":"MOD","limit":"1"}"#),
        ("/v3/kv/range", r#"{"key":"AA==","range_end":"AA==","sort_order":2,"sortTarget":3.0,"limit":1e0}"#),
        ("/v3/kv/range", r#"{"key":"AA==","range_end":"AA==","count_only":true}"#),
        ("/v3/kv/range", r#"{"key":"AA==","range_end":"AA==","keys_only":true,"serializable":true}"#),
        ("/v3/kv/range", r#"{"key":"Zm9v","sort_order":"NOPE"}"#),
        ("/v3/kv/range", r#"{"key":"Zm9v","sort_order":7}"#),
        ("/v3/kv/range", r#"{"key":"Zm9v","unknown":{"a":[1]}}"#),
        ("/v3/kv/range", r#"{"key":"Zm9v","limit":null}"#),
        ("/v3/kv/range", r#"{"key":"Zm9v"} trailing"#),
        ("/v3/kv/range", r#"{"key":"Zm9v","revision":"99"}"#),
        ("/v3/kv/range", ""),
        ("/v3/kv/range", "{}"),
        ("/v3/kv/range", "null"),
        ("/v3/kv/range", "[]"),
        ("/v3/kv/range", "7"),
        ("/v3/kv/range", "nonsense"),
        ("/v3/kv/range", r#"{"key":"#),
        ("/v3/kv/range", r#"{"key":5}"#),
        ("/v3/kv/range", r#"{"key":"Z"}"#),
        ("/v3/kv/range", r#"{"key":"Zm9vYg="}"#),
        ("/v3/kv/range", r#"{"key":"Zm9v","limit":"x"}"#),
        ("/v3/kv/range", r#"{"key":"Zm9v","limit":" 1"}"#),
        ("/v3/kv/range", r#"{"key":"Zm9v","limit":1.5}"#),
        ("/v3/kv/range", r#"{"key":"Zm9v","limit":"1.0"}"#),
        ("/v3/kv/range", r#"{"key":"Zm9v","limit":"9223372036854775808"}"#),
        ("/v3/kv/range", r#"{"key":"Zm9v","count_only":"true"}"#),
        ("/v3/kv/range?key=Zm9v", ""),
        ("/v3/kv/range/", r#"{"key":"Zm9v"}"#),
        ("/v3/kv/none", "{}"),
        ("/v3/", "{}"),
        ("/v3/kv/txn", r#"{"compare":[{"target":"VALUE","key":"Zm9v","value":"YmF6"}],"success":[{"requestRange":{"key":"Zm9v"}},{"request_put":{"key":"Zg==","prev_kv":true}}]}"#),
        ("/v3/kv/txn", r#"{"compare":[{"result":"GREATER","target":"CREATE","key":"Zm9v","createRevision":"77"}],"failure":[{"request_txn":{"success":[{"request_delete_range":{"key":"Zg==","prev_kv":true}}]}}]}"#),
        ("/v3/kv/txn", r#"{"compare":[{"key":"Zm9v","version":1,"value":""}]}"#),
        ("/v3/kv/txn", r#"{"success":{"requestRange":{"key":"Zm9v"}}}"#),
        ("/v3/kv/txn", r#"{"success":[{}]}"#),
        ("/v3/kv/txn", r#"{"success":[null]}"#),
        ("/v3/kv/deleterange", r#"{"key":"Zg==","range_end":"Zw==","prev_kv":true}"#),
        ("/v3/kv/compaction", r#"{"revision":"99"}"#),
        ("/v3/kv/compaction", r#"{"revision":"3","physical":true}"#),
        ("/v3/kv/compaction", r#"{"revision":"3"}"#),
        ("/v3/lease/grant", r#"{"TTL":100,"ID":7}"#),
        ("/v3/lease/grant", r#"{"TTL":"100","ID":"7"}"#),
        ("/v3/lease/leases", ""),
        ("/v3/kv/lease/leases", "{}"),
        ("/v3/lease/timetolive", r#"{"ID":"404","keys":true}"#),
        ("/v3/kv/lease/timetolive", r#"{"ID":"404","keys":true}"#),
        ("/v3/lease/revoke", r#"{"ID":8}"#),
        ("/v3/kv/lease/revoke", r#"{"ID":8}"#),
        ("/v3/lease/keepalive", r#"{"ID":7}"#),
        ("/v3/lease/keepalive", r#"{"ID":7}{"ID":"9"}"#),
        ("/v3/lease/keepalive", ""),
        ("/v3/lease/keepalive", r#"{"ID":"x"}"#),
        ("/v3/watch", r#"{"create_request":{"key":"Zm9v","start_revision":4}}"#),
        ("/v3/watch", r#"{"create_request":{"key":"Zm9v","start_revision":1,"prev_kv":true,"filters":["NODELETE"]}}"#),
        ("/v3/watch", r#"{"create_request":{"key":"Zm9v","watch_id":"3"}} {"cancel_request":{"watch_id":3}} {"progressRequest":{}}"#),
        ("/v3/watch", r#"{"create_request":{"key":"Zm9v","range_end":"YQ=="}}"#),
        ("/v3/maintenance/alarm", r#"{"action":"GET"}"#),
        ("/v3/maintenance/alarm", r#"{"action":"ACTIVATE","alarm":"NOSPACE","memberID":"12"}"#),
        ("/v3/kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#),
        ("/v3/maintenance/alarm", r#"{"action":2,"alarm":1,"memberID":12}"#),
        ("/v3/maintenance/transfer-leadership", r#"{"targetID":"404"}"#),
        ("/v3/maintenance/defragment", ""),
        ("/v3/maintenance/downgrade", r#"{"action":"VALIDATE","version":"3.5"}"#),
        ("/v3/maintenance/downgrade", r#"{"action":"VALIDATE","version":"x"}"#),
        ("/v3/cluster/member/remove", r#"{"ID":"404"}"#),
        ("/v3/cluster/member/add", r#"{"peerURLs":["x"]}"#),
        ("/v3/cluster/member/promote", r#"{"ID":"404"}"#),
        ("/v3/auth/status", ""),
        ("/v3/auth/enable", ""),
        ("/v3/auth/authenticate", r#"{"name":"root","password":"x"}"#),
        ("/v3/auth/user/list", ""),
        ("/v3/auth/user/get", r#"{"name":"x"}"#),
        ("/v3/auth/role/get", r#"{"role":"x"}"#),
        ("/v3/election/leader", r#"{"name":"eA=="}"#),
        ("/v3/election/campaign", r#"{"name":"eA==","lease":7,"value":"eQ=="}"#),
        ("/v3/election/leader", r#"{"name":"eA=="}"#),
        ("/v3/election/observe", r#"{"name":"eA=="}"#),
        ("/v3/election/proclaim", "{}"),
        ("/v3/election/resign", r#"{"leader":{"name":"eA==","key":"eC83","rev":"1","lease":"7"}}"#),
        ("/v3/lock/lock", r#"{"name":"bG9jaw==","lease":7}"#),
        ("/v3/lock/unlock", r#"{"key":"bG9jay83"}"#),
        ("/v3/lock/lock", r#"{"name":"bG9jaw==","lease":404}"#),
    ];
    let mut calls: Vec<Call> = posts.iter().map(|(path, body)| ("POST", *path, *body)).collect();
    for method in ["GET", "PUT", "DELETE"] {
        calls.push((method, "/v3/kv/put", ""));
        calls.push((method, "/v3/nothing", ""));
    }
    calls
}

/// Status and body: each line as JSON, without who answers.
pub async fn ask(peer: &Peer, method: &str, path: &str, body: &str) -> (String, Vec<Value>) {
    let mut socket = TcpStream::connect(peer.address).await.unwrap();
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.0\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut answer, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let patience = if answer.is_empty() { PATIENCE } else { QUIET };
        match tokio::time::timeout(patience, socket.read(&mut piece)).await {
            Ok(Ok(0)) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&piece[..read.unwrap()]),
        }
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path} {body}: {answer:?}"));
    let lines = serde_json::Deserializer::from_str(body).into_iter::<Value>();
    let mut lines: Vec<Value> = lines.map(|line| line.unwrap_or_else(|_| panic!("{path}: {body}"))).collect();
    lines.iter_mut().for_each(neutral);
    (head.split(' ').nth(1).unwrap().to_owned(), lines)
}

fn neutral(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match name.as_str() {
                    "cluster_id" | "member_id" | "raft_term" => *value = json!(value.is_string()),
                    // What is told of JSON that does not fit is each library's own.
                    "message" if is_of_json(value) => *value = json!("no message"),
                    _ => neutral(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(neutral),
        _ => {}
    }
}

fn is_of_json(message: &Value) -> bool {
    let message = message.as_str().unwrap_or_default();
    message.starts_with("proto:") || message.starts_with("invalid character") || message.starts_with("invalid JSON")
}
