//! A client certificate's identity: its common name is the user, its organizations are the groups.

use super::authenticated;
use crate::context::Identity;

/// The identity in a certificate (DER) whose chain has been verified; `None` when it names no user.
pub fn identity(der: &[u8]) -> Option<Identity> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_string();
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok().map(str::to_string)).collect();
    Some(authenticated(name, String::new(), groups))
}
