//! Volumes with more to check than names: iSCSI units and Azure's disks.

use proto::core_v1::{AzureDiskVolumeSource, IscsiVolumeSource};

use super::volume::Around;
use super::volume_source::{Source, lun};
use crate::field::{Error, Errors, Path, Typed};

/// The longest `<volume name>:<targetPortal>` that an initiator's name can be made of.
const PORTAL_MAX: usize = 64;

const CACHING_MODES: [&str; 3] = ["None", "ReadOnly", "ReadWrite"];
const KINDS: [&str; 3] = ["Dedicated", "Managed", "Shared"];

impl Source for IscsiVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        if self.target_portal.is_empty() {
            errors.push(Error::required(&at.child("targetPortal"), ""));
        }
        match self.iqn.as_str() {
            "" => errors.push(Error::required(&at.child("iqn"), "")),
            name => qualified(name, &at.child("iqn"), errors),
        }
        lun(self.lun, at, errors);
        if (self.chap_auth_discovery || self.chap_auth_session) && self.secret_ref.is_none() {
            errors.push(Error::required(&at.child("secretRef"), ""));
        }
        if let Some(name) = &self.initiator_name {
            qualified(name, &at.child("initiatorname"), errors);
        }
    }

    fn volume_name(&self, around: Around<'_>, _first: bool, at: &Path<'_>, errors: &mut Errors) {
        if self.initiator_name.is_some() && around.name.len() + 1 + self.target_portal.len() > PORTAL_MAX {
            let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
            errors.push(Error::invalid(at, around.name, detail));
        }
    }
}

/// The name of an iSCSI target or initiator, in one of its three forms.
fn qualified(name: &str, at: &Path<'_>, errors: &mut Errors) {
    let valid = match name.get(..3) {
        Some("iqn") => is_iqn(name),
        Some("eui") => is_number(name, 16),
        Some("naa") => is_number(name, 32),
        _ => {
            let detail = "must be valid format starting with iqn, eui, or naa";
            return errors.push(Error::invalid(at, name, detail));
        }
    };
    if !valid {
        errors.push(Error::invalid(at, name, "must be valid format"));
    }
}

/// RFC 3720 allows 223 bytes.
const NAME_MAX: usize = 4096;

/// `iqn.2001-04.com.example:storage`. Kubernetes' pattern has no beginning, so it may stand anywhere at the end.
fn is_iqn(name: &str) -> bool {
    // Looked for at each place where it may begin, so not in a name longer than any.
    name.len() <= NAME_MAX && name.match_indices("iqn.").any(|(i, begin)| is_iqn_here(&name[i + begin.len()..]))
}

fn is_iqn_here(rest: &str) -> bool {
    let date = b"0000-00.";
    let (digits, rest) = match rest.split_at_checked(date.len()) {
        Some((digits, rest)) => (digits.as_bytes(), rest),
        None => return false,
    };
    let dated = digits.iter().zip(date).all(|(c, form)| if *form == b'0' { c.is_ascii_digit() } else { c == form });
    let host = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let after = rest.trim_start_matches(host);
    let forbidden = [',', ';', '*', '&', '$', '|', '\t', '\n', '\u{c}', '\r', ' '];
    let unit = after.strip_prefix(':').is_some_and(|unit| !unit.is_empty() && !unit.contains(forbidden));
    dated && after.len() < rest.len() && unit
}

/// A prefix of three, any character, and so many letters or digits.
fn is_number(name: &str, digits: usize) -> bool {
    let mut rest = name[3..].chars();
    rest.next().is_some_and(|c| c != '\n')
        && rest.as_str().len() == digits
        && rest.as_str().bytes().all(|c| c.is_ascii_alphanumeric())
}

impl Source for AzureDiskVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        let uri = at.child("diskURI");
        for (value, name) in [(&self.disk_name, "diskName"), (&self.disk_uri, "diskURI")] {
            if value.is_empty() {
                errors.push(Error::required(&at.child(name), ""));
            }
        }
        if let Some(mode) = self.caching_mode.as_deref().filter(|mode| !CACHING_MODES.contains(mode)) {
            errors.push(Error::not_supported(&at.child("cachingMode"), Typed(mode), &CACHING_MODES));
        }
        let Some(kind) = self.kind.as_deref() else { return };
        if !KINDS.contains(&kind) {
            errors.push(Error::not_supported(&at.child("kind"), Typed(kind), &KINDS));
        }
        let (begin, form) = if kind == "Managed" {
            let form =
                "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
            ("/subscriptions/", form)
        } else {
            ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd")
        };
        if !self.disk_uri.starts_with(begin) {
            errors.push(Error::not_supported(&uri, &self.disk_uri, &[form]));
        }
    }
}
