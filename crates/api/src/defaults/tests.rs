use proto::Root;
use proto::batch_v1::{CronJob, Job};
use proto::core_v1::{Pod, Secret, Service};

use super::*;

fn decode<T: Root>(json: &str) -> T {
    proto::json::decode::<T>(json.as_bytes()).expect("valid JSON").value
}

fn json<T: Root>(object: &T) -> serde_json::Value {
    serde_json::from_slice(&proto::json::to_vec(object)).expect("valid JSON")
}

#[test]
fn a_job_gets_kubernetes_defaults() {
    let mut object: Job = decode(
        r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"pi"},"spec":{"backoffLimit":4,"template":{"metadata":{"labels":{"a":"b"}},
        "spec":{"restartPolicy":"Never","containers":[{"name":"pi","image":"perl:5.34"}]}}}}"#,
    );
    job(&mut object);
    let once = object.clone();
    job(&mut object);
    assert_eq!(object, once, "defaulting twice changes nothing");
    let object = json(&object);
    assert_eq!(object["metadata"]["labels"]["a"], "b");
    let spec = &object["spec"];
    assert_eq!(
        (&spec["parallelism"], &spec["completions"], &spec["backoffLimit"], &spec["completionMode"]),
        (&1.into(), &1.into(), &4.into(), &"NonIndexed".into())
    );
    assert_eq!((&spec["suspend"], &spec["manualSelector"]), (&false.into(), &false.into()));
    assert_eq!(spec["podReplacementPolicy"], "TerminatingOrFailed");
    let pod = &spec["template"]["spec"];
    assert_eq!((&pod["dnsPolicy"], &pod["schedulerName"]), (&"ClusterFirst".into(), &"default-scheduler".into()));
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
    assert_eq!(pod["securityContext"], serde_json::json!({}));
    let container = &pod["containers"][0];
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    assert_eq!(container["terminationMessagePath"], "/dev/termination-log");
    assert_eq!(container["terminationMessagePolicy"], "File");
}

#[test]
fn only_parallelism_makes_a_work_queue() {
    let mut object: Job = decode(r#"{"spec":{"parallelism":3,"backoffLimitPerIndex":1}}"#);
    job(&mut object);
    let spec = object.spec.expect("a spec");
    assert_eq!((spec.parallelism, spec.completions, spec.backoff_limit), (Some(3), None, Some(i32::MAX)));
    assert_eq!(spec.template.and_then(|template| template.spec).expect("a spec").restart_policy, "");
}

#[test]
fn a_cron_job_leaves_its_template_to_the_job() {
    let mut object: CronJob = decode(r#"{"spec":{"schedule":"* * * * *"}}"#);
    cron_job(&mut object);
    let spec = object.spec.expect("a spec");
    assert_eq!((spec.concurrency_policy.as_str(), spec.suspend), ("Allow", Some(false)));
    assert_eq!((spec.successful_jobs_history_limit, spec.failed_jobs_history_limit), (Some(3), Some(1)));
    assert_eq!(spec.job_template.and_then(|template| template.spec).expect("a spec").parallelism, None);
}

#[test]
fn a_pod_requests_what_it_limits() {
    let mut object: Pod = decode(
        r#"{"spec":{"hostNetwork":true,"volumes":[{"name":"v"},{"name":"s","secret":{"secretName":"x"}}],
        "containers":[{"name":"a","image":"x","ports":[{"containerPort":80}],"resources":{"limits":{"cpu":"1"}},
        "livenessProbe":{"httpGet":{"port":80}}}]}}"#,
    );
    pod(&mut object);
    let object = json(&object);
    let spec = &object["spec"];
    let container = &spec["containers"][0];
    assert_eq!((&spec["restartPolicy"], &spec["enableServiceLinks"]), (&"Always".into(), &true.into()));
    assert_eq!(container["resources"]["requests"]["cpu"], "1");
    assert_eq!((&container["ports"][0]["hostPort"], &container["ports"][0]["protocol"]), (&80.into(), &"TCP".into()));
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(spec["volumes"][0]["emptyDir"], serde_json::json!({}));
    assert_eq!(spec["volumes"][1]["secret"]["defaultMode"], 420);
    assert_eq!(container["livenessProbe"]["periodSeconds"], 10);
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/");
}

#[test]
fn services_and_secrets_are_completed() {
    let mut object: Service = decode(r#"{"spec":{"ports":[{"port":80}]}}"#);
    service(&mut object);
    let object = json(&object);
    assert_eq!((&object["spec"]["type"], &object["spec"]["ports"][0]["targetPort"]), (&"ClusterIP".into(), &80.into()));
    let mut object: Secret = decode(r#"{"stringData":{"a":"b"}}"#);
    secret(&mut object);
    assert_eq!(json(&object)["data"]["a"], "Yg==");
    assert_eq!(object.r#type, "Opaque");
}

/// `volume_cases.txt` was written by a kube-apiserver: a volume, and below it what became of it.
#[test]
fn volumes_get_kubernetes_defaults() {
    let cases: Vec<&str> =
        include_str!("volume_cases.txt").lines().filter(|line| !line.starts_with('#')).map(str::trim).collect();
    assert!(cases.len() > 60, "the cases were not found");
    for case in cases.chunks_exact(2) {
        let [sent, expected] = [case[0], case[1]].map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let mut object: Pod = decode(&serde_json::json!({"spec": {"volumes": [sent]}}).to_string());
        pod(&mut object);
        assert_eq!(json(&object)["spec"]["volumes"][0], expected, "{sent}");
    }
}
