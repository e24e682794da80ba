use super::{decode, to_string};
use crate::batch_v1::{Job, JobList};
use crate::core_v1::{Pod, Secret};

fn problem(json: &str) -> String {
    decode::<Job>(json.as_bytes()).expect_err("must fail").to_string()
}

#[test]
fn reads_and_writes_as_kubernetes() {
    let json = r#"{"kind":"Job","apiVersion":"batch/v1","metadata":{"name":"pi","creationTimestamp":null},"spec":{"backoffLimit":0,"template":{"metadata":{},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"memory":"1024Mi","cpu":0.5}},"env":[{"name":"A","value":""}]}],"volumes":[{"name":"v","emptyDir":{}},{"name":"w","emptyDir":null}]}}}}"#;
    let decoded = decode::<Job>(json.as_bytes()).expect("decodes");
    assert_eq!((decoded.api_version.as_str(), decoded.kind.as_str()), ("batch/v1", "Job"));
    assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
    let expected = r#"{"kind":"Job","apiVersion":"batch/v1","metadata":{"name":"pi"},"spec":{"template":{"metadata":{},"spec":{"volumes":[{"name":"v","emptyDir":{}},{"name":"w"}],"containers":[{"name":"c","image":"i","env":[{"name":"A"}],"resources":{"limits":{"cpu":"500m","memory":"1Gi"}}}]}},"backoffLimit":0},"status":{}}"#;
    assert_eq!(to_string(&decoded.value), expected);
    let again = decode::<Job>(expected.as_bytes()).expect("decodes");
    assert_eq!(again.value.spec, decoded.value.spec);
}

#[test]
fn type_errors_are_gos() {
    assert_eq!(
        problem(r#"{"spec":{"completions":"3"}}"#),
        "json: cannot unmarshal string into Go struct field JobSpec.spec.completions of type int32"
    );
    assert_eq!(
        problem(r#"{"spec":{"template":{"spec":{"containers":[{"image":3}]}}}}"#),
        "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.image of type string"
    );
    assert_eq!(
        problem(r#"{"spec":[]}"#),
        "json: cannot unmarshal array into Go struct field Job.spec of type v1.JobSpec"
    );
    assert_eq!(
        problem(r#"{"spec":{"completions":3000000000}}"#),
        "json: cannot unmarshal number 3000000000 into Go struct field JobSpec.spec.completions of type int32"
    );
    assert_eq!(
        problem(r#"{"metadata":{"labels":{"a":1}}}"#),
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"
    );
    assert_eq!(problem("[]"), "json: cannot unmarshal array into Go value of type v1.Job");
}

#[test]
fn finds_unknown_and_duplicate_fields() {
    let json = r#"{"spec":{"x":{"y":[1]},"suspend":true,"suspend":false,"template":{"spec":{"containers":[{"livenessProbe":{"httpGet":{"zz":1}}}]}}},"metadata":{"labels":{"a":"1","a":"2"}}}"#;
    let decoded = decode::<Job>(json.as_bytes()).expect("decodes");
    assert_eq!(
        decoded.problems,
        [
            r#"unknown field "spec.x""#,
            r#"duplicate field "spec.suspend""#,
            r#"unknown field "spec.template.spec.containers[0].livenessProbe.httpGet.zz""#,
            r#"duplicate field "metadata.labels.a""#,
        ]
    );
}

#[test]
fn names_times_bytes_and_lists() {
    let pod = r#"{"kind":"Pod","apiVersion":"v1","metadata":{},"spec":{"containers":null},"status":{"podIP":"1.2.3.4","startTime":"2026-11-24T20:00:00Z","podIPs":[{"ip":"1.2.3.4"}]}}"#;
    assert_eq!(to_string(&decode::<Pod>(pod.as_bytes()).expect("decodes").value), pod);
    let secret = r#"{"kind":"Secret","apiVersion":"v1","metadata":{},"data":{"a":"aGk="}}"#;
    let decoded = decode::<Secret>(secret.as_bytes()).expect("decodes").value;
    assert_eq!(decoded.data["a"], b"hi");
    assert_eq!(to_string(&decoded), secret);
    assert_eq!(
        to_string(&JobList::default()),
        r#"{"kind":"JobList","apiVersion":"batch/v1","metadata":{},"items":[]}"#
    );
    let deep = format!(r#"{{"zz":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    assert_eq!(decode::<Pod>(deep.as_bytes()).expect("decodes").problems, [r#"unknown field "zz""#]);
}
