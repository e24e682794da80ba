//! Options of requests.

use proto::meta_v1::DeleteOptions;

use crate::field::{Error, Errors, Path};

/// `dryRun` may only be `All`.
pub fn dry_run(values: &[String]) -> Errors {
    let wrong = values.iter().any(|value| value != "All");
    if wrong { vec![Error::not_supported(&Path::new("dryRun"), values, &["All"])] } else { Vec::new() }
}

/// The options of a delete.
pub fn delete_options(options: &DeleteOptions) -> Errors {
    let mut errors = Vec::new();
    let at = Path::new("propagationPolicy");
    if let Some(policy) = &options.propagation_policy {
        if options.orphan_dependents.is_some() {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(Error::invalid(&at, policy, detail));
        }
        let supported = ["Foreground", "Background", "Orphan", "nil"];
        if !supported[..3].contains(&policy.as_str()) {
            errors.push(Error::not_supported(&at, policy, &supported));
        }
    }
    errors.extend(dry_run(&options.dry_run));
    errors
}
