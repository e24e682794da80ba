//! Paths of files, as far as the API server can judge them.

use crate::field::{Error, Errors, Path};

/// No part may lead upwards.
pub(super) fn no_backsteps(path: &str, at: &Path<'_>, errors: &mut Errors) {
    if leads_up(path) {
        errors.push(Error::invalid(at, path, "must not contain '..'"));
    }
}

/// Whether a part is `..`.
pub(super) fn leads_up(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

/// Relative, and never upwards.
pub(super) fn descending(path: &str, at: &Path<'_>, errors: &mut Errors) {
    if path.starts_with('/') {
        errors.push(Error::invalid(at, path, "must be a relative path"));
    }
    no_backsteps(path, at, errors);
}

/// Descending; names that begin with `..` are the kubelet's own.
pub(super) fn of_file(path: &str, at: &Path<'_>, errors: &mut Errors) {
    descending(path, at, errors);
    if path.starts_with("..") && !path.starts_with("../") {
        errors.push(Error::invalid(at, path, "must not start with '..'"));
    }
}

/// The bits of a file's mode that may be given.
pub(super) fn mode(mode: Option<i32>, at: &Path<'_>, errors: &mut Errors) {
    if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
        errors.push(Error::invalid(at, mode, "must be a number between 0 and 0777 (octal), both inclusive"));
    }
}
