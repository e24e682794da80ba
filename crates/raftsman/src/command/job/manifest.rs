//! Reading manifests: YAML or JSON, several documents a file.

use std::io::Read;
use std::path::Path;

use proto::batch_v1::{CronJob, Job};
use serde_json::Value;

use crate::failure::Failure;

/// What `job submit` takes.
#[derive(Debug)]
pub enum Manifest {
    Job(Box<Job>),
    CronJob(Box<CronJob>),
}

/// Reads the documents of a file, or of stdin where the path is `-`.
pub fn read(path: &Path) -> Result<Vec<Manifest>, Failure> {
    let mut text = String::new();
    let done = match path.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text).map(|_| ()),
        false => std::fs::read_to_string(path).map(|read| text = read),
    };
    let shown = path.display();
    done.map_err(|error| Failure::Failed(format!("cannot read {shown}: {error}")))?;
    parse(&text).map_err(|message| Failure::Failed(format!("{shown}: {message}")))
}

fn parse(text: &str) -> Result<Vec<Manifest>, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    let mut manifests = Vec::new();
    for document in documents.iter().filter(|document| !document.is_null()) {
        let of_list = document["kind"] == "List" && document["items"].is_array();
        match document["items"].as_array().filter(|_| of_list) {
            Some(items) => {
                for item in items {
                    manifests.push(manifest(item)?);
                }
            }
            None => manifests.push(manifest(document)?),
        }
    }
    match manifests.is_empty() {
        true => Err("no Job is in it".to_owned()),
        false => Ok(manifests),
    }
}

fn manifest(document: &Value) -> Result<Manifest, String> {
    let text = |field: &str| document[field].as_str().unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        ("batch/v1", "Job") => Ok(Manifest::Job(Box::new(decode(document)?))),
        ("batch/v1", "CronJob") => Ok(Manifest::CronJob(Box::new(decode(document)?))),
        (version, kind) => Err(format!(
            "apiVersion {version:?}, kind {kind:?} is neither a Job nor a CronJob of batch/v1; submit other kinds with kubectl"
        )),
    }
}

/// Decodes strictly: what would be dropped is an error, as `kubectl --validate=strict` has it.
fn decode<K: proto::json::Json + Default>(document: &Value) -> Result<K, String> {
    let bytes = serde_json::to_vec(document).map_err(|error| error.to_string())?;
    let decoded = proto::json::decode::<K>(&bytes).map_err(|error| error.to_string())?;
    match decoded.problems.first() {
        Some(wrong) => Err(format!("strict decoding error: {wrong}")),
        None => Ok(decoded.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\nspec:\n  backoffLimit: 4\n";

    #[test]
    fn documents_and_lists_are_read_in_order() {
        let cron = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\n";
        let read = parse(&format!("---\n{JOB}---\n{cron}")).unwrap();
        assert!(matches!(&read[..], [Manifest::Job(_), Manifest::CronJob(_)]));
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        let error = parse(&JOB.replace("backoffLimit", "backofLimit")).unwrap_err();
        assert!(error.contains("unknown field \"spec.backofLimit\""), "{error}");
    }

    #[test]
    fn other_kinds_are_sent_to_kubectl() {
        let error = parse("apiVersion: v1\nkind: Pod\n").unwrap_err();
        assert!(error.contains("kubectl"), "{error}");
        assert!(parse("").is_err());
    }
}
