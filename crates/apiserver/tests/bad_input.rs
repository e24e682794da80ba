//! Bad input over HTTP: each line gets Kubernetes' own code, reason and message, and loses nothing.

mod face;
mod oracle;
mod plane;

use face::{JSON, get, post, send};
use serde_json::{Value, json};

fn job(name: &str) -> Value {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]});
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": pod}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_jobs() {
    let plane = plane::start().await;
    let namespace = plane::namespace(&plane, "bodies").await;
    let jobs = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    let server = plane.address;

    let mut unknown = job("a");
    unknown["spec"]["x"] = json!(1);
    let strict = format!("{jobs}?fieldValidation=Strict");
    let text = r#"Job in version "v1" cannot be handled as a Job: strict decoding error: unknown field "spec.x""#;
    assert_eq!(post(server, &strict, &unknown).await.status(), (400, "BadRequest".into(), text.into()));
    let warned = post(server, &format!("{jobs}?dryRun=All"), &unknown).await;
    assert_eq!(warned.code, 201, "{}", warned.text());
    assert_eq!(warned.headers["warning"], r#"299 - "unknown field \"spec.x\"""#);
    let ignored = post(server, &format!("{jobs}?dryRun=All&fieldValidation=Ignore"), &unknown).await;
    assert!(!ignored.headers.contains_key("warning"));

    let mut wrong = job("a");
    wrong["spec"]["completions"] = json!("many");
    let text = r#"Job in version "v1" cannot be handled as a Job: json: cannot unmarshal string into Go struct field JobSpec.spec.completions of type int32"#;
    assert_eq!(post(server, &jobs, &wrong).await.status(), (400, "BadRequest".into(), text.into()));

    let cut = send(server, "POST", &jobs, JSON, r#"{"apiVersion":"#).await.status();
    let text = r#"the object provided is unrecognized (must be of type Job): couldn't get version/kind; json parse error: unexpected end of JSON input ({"apiVersion":)"#;
    assert_eq!(cut, (400, "BadRequest".into(), text.into()));

    let pod = post(server, &jobs, &json!({"apiVersion": "v1", "kind": "Pod"})).await.status();
    let text =
        "Pod in version \"v1\" cannot be handled as a Job: converting (v1.Pod) to (batch.Job): unknown conversion";
    assert_eq!(pod, (400, "BadRequest".into(), text.into()));

    let large = send(server, "POST", &jobs, JSON, vec![b' '; 4 << 20]).await.status();
    let text = "Request entity too large: limit is 3145728";
    assert_eq!(large, (413, "RequestEntityTooLarge".into(), text.into()));

    let mut deep = job("a").to_string();
    deep.insert_str(1, &format!("\"x\":{}1{},", "[".repeat(200), "]".repeat(200)));
    let text = r#"Job in version "v1" cannot be handled as a Job: strict decoding error: unknown field "x""#;
    assert_eq!(send(server, "POST", &strict, JSON, deep).await.status(), (400, "BadRequest".into(), text.into()));
    let deepest = send(server, "POST", &jobs, JSON, "[".repeat(100_000)).await.status();
    assert!(deepest.2.contains("json parse error: exceeded max depth"), "{}", deepest.2);

    // Go's decoder replaces each byte that is no UTF-8; the label is then refused for what it has become.
    let mut bytes =
        job("a").to_string().replace("\"name\":\"a\"", "\"name\":\"a\",\"annotations\":{\"k\":\"x#y\"}").into_bytes();
    let at = bytes.iter().position(|byte| *byte == b'#').unwrap();
    bytes[at] = 0xff;
    let replaced = send(server, "POST", &format!("{jobs}?dryRun=All"), JSON, bytes).await;
    assert_eq!(replaced.json()["metadata"]["annotations"]["k"], "x\u{fffd}y", "{}", replaced.text());

    let left = get(server, &jobs).await.json();
    assert_eq!(left["items"], json!([]), "nothing was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_are_refused() {
    let plane = plane::start().await;
    let namespace = plane::namespace(&plane, "refused").await;
    let jobs = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    let server = plane.address;
    let invalid = async |body: &Value| {
        let answer = post(server, &jobs, body).await;
        let (code, reason, message) = answer.status();
        assert_eq!((code, reason.as_str()), (422, "Invalid"), "{message}");
        message
    };

    let mut missing = job("a");
    missing["spec"] = json!({});
    let message = invalid(&missing).await;
    assert!(message.starts_with(r#"Job.batch "a" is invalid: "#), "{message}");
    assert!(message.contains("spec.template.spec.containers: Required value"), "{message}");

    let mut misspelt = job("a");
    misspelt["spec"]["template"]["spec"]["restartPolicy"] = json!("never");
    let message = invalid(&misspelt).await;
    assert!(
        message.contains(r#"spec.template.spec.restartPolicy: Unsupported value: "never": supported values: "#),
        "{message}"
    );

    let mut negative = job("a");
    negative["spec"]["completions"] = json!(-1);
    let message = invalid(&negative).await;
    let text = r#"Job.batch "a" is invalid: spec.completions: Invalid value: -1: must be greater than or equal to 0"#;
    assert_eq!(message, text);

    let message = invalid(&job("No_Label")).await;
    assert!(message.starts_with(r#"Job.batch "No_Label" is invalid: "#), "{message}");
    assert!(
        message.contains(r#"metadata.name: Invalid value: "No_Label": a lowercase RFC 1123 subdomain"#),
        "{message}"
    );

    assert_eq!(post(server, &jobs, &job("there")).await.code, 201);
    let text = r#"jobs.batch "there" already exists"#;
    assert_eq!(post(server, &jobs, &job("there")).await.status(), (409, "AlreadyExists".into(), text.into()));
    let nowhere = post(server, "/apis/batch/v1/namespaces/nowhere/jobs", &job("a")).await.status();
    assert_eq!(nowhere, (404, "NotFound".into(), r#"namespaces "nowhere" not found"#.into()));

    let there = format!("{jobs}/there");
    let merge = [("content-type", "application/merge-patch+json")];
    let changed = send(server, "PATCH", &there, &merge, r#"{"spec":{"completions":2}}"#).await.status();
    let text = r#"Job.batch "there" is invalid: spec.completions: Invalid value: 2: field is immutable"#;
    assert_eq!(changed, (422, "Invalid".into(), text.into()));
    let stale =
        send(server, "PATCH", &there, &merge, r#"{"metadata":{"resourceVersion":"1"},"spec":{"parallelism":0}}"#);
    let text = r#"Operation cannot be fulfilled on jobs.batch "there": the object has been modified; please apply your changes to the latest version and try again"#;
    assert_eq!(stale.await.status(), (409, "Conflict".into(), text.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_fit_nothing() {
    let plane = plane::start().await;
    let namespace = plane::namespace(&plane, "requests").await;
    let jobs = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    let server = plane.address;
    let bad = |message: &str| (400, "BadRequest".to_string(), message.to_string());

    let unknown = send(server, "POST", &jobs, &[("content-type", "text/plain")], "{}").await.status();
    let text = "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf";
    assert_eq!(unknown, (415, "UnsupportedMediaType".into(), text.into()));
    let apply = [("content-type", "application/apply-patch+yaml")];
    assert_eq!(send(server, "PATCH", &format!("{jobs}/a"), &apply, "{}").await.status().0, 415);
    let html = send(server, "GET", &jobs, &[("accept", "text/html")], "").await.status();
    assert_eq!((html.0, html.1.as_str()), (406, "NotAcceptable"));
    assert_eq!(send(server, "PUT", &jobs, JSON, "{}").await.status().0, 405);

    let resource = (404, "NotFound".to_string(), "the server could not find the requested resource".to_string());
    let foos = format!("/apis/batch/v1/namespaces/{namespace}/foos");
    for path in [foos, format!("{jobs}/a/scale"), format!("{jobs}/a/b/c"), "/apis/batch/v2/jobs".into()] {
        assert_eq!(get(server, &path).await.status(), resource, "{path}");
    }
    for path in ["/no/such/path", "/apis/nope/v1/foos"] {
        let answer = get(server, path).await;
        assert_eq!((answer.code, answer.text().as_str()), (404, "404 page not found\n"), "{path}");
        assert_eq!(answer.content_type(), "text/plain; charset=utf-8");
    }
    let token = [("authorization", "Bearer wrong")];
    let wrong = send(server, "GET", &jobs, &token, "").await.status();
    assert_eq!(wrong, (401, "Unauthorized".into(), "Unauthorized".into()));

    let text = r#"field label "spec.x" not supported for Job"#;
    assert_eq!(get(server, &format!("{jobs}?fieldSelector=spec.x%3D1")).await.status(), bad(text));
    let labels = get(server, &format!("{jobs}?labelSelector=a%20b")).await.status();
    assert!(labels.2.starts_with("unable to parse requirement: found 'b', expected: in, notin, ="), "{}", labels.2);
    assert_eq!(get(server, &format!("{jobs}?limit=x")).await.status().0, 400);
    assert_eq!(get(server, &format!("{jobs}?limit=1&continue=x")).await.status().0, 400);
    let strange = post(server, &format!("{jobs}?dryRun=Some"), &job("a")).await.status();
    assert_eq!((strange.0, strange.1.as_str()), (422, "Invalid"), "{}", strange.2);
}

#[tokio::test(flavor = "multi_thread")]
async fn revisions_that_are_not_there() {
    let mut plane = plane::start().await;
    let namespace = plane::namespace(&plane, "revisions").await;
    let another = plane.another().await;
    let jobs = format!("/apis/batch/v1/namespaces/{namespace}/jobs");

    let old = get(another, &format!("{jobs}?watch=true&resourceVersion=1&timeoutSeconds=5")).await;
    assert_eq!(old.code, 200);
    let event = old.json();
    assert_eq!((&event["type"], &event["object"]["kind"]), (&json!("ERROR"), &json!("Status")));
    assert_eq!((&event["object"]["code"], &event["object"]["reason"]), (&json!(410), &json!("Expired")));
    assert_eq!(event["object"]["message"], "The resourceVersion for the provided watch is too old.");

    let future = get(another, &format!("{jobs}?resourceVersion=999999")).await;
    let (code, reason, message) = future.status();
    assert_eq!((code, reason.as_str()), (504, "Timeout"));
    assert!(message.starts_with("Timeout: Too large resource version: 999999, current: "), "{message}");
    let cause = &future.json()["details"]["causes"][0];
    assert_eq!(cause["reason"], "ResourceVersionTooLarge");
    assert_eq!(future.headers["retry-after"], "1");

    let future = get(another, &format!("{jobs}?resourceVersion=999999&resourceVersionMatch=Exact")).await;
    let (code, reason, message) = future.status();
    assert_eq!((code, reason.as_str()), (504, "Timeout"), "{message}");
    assert!(message.starts_with("Timeout: Too large resource version: 999999, current: "), "{message}");
}
