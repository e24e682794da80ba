//! A certificate authority and what it issues.

use chrono::{DateTime, Duration, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use time::OffsetDateTime;

use super::Error;

/// How long an authority lives.
const AUTHORITY_DAYS: i64 = 3650;
/// How long an issued certificate lives.
pub const CERTIFICATE_DAYS: i64 = 365;
/// Certificates are valid from a little before now, for machines whose clocks lag.
const BACKDATE_MINUTES: i64 = 10;

/// Signs certificates; holds its own private key.
pub struct Authority {
    certificate: String,
    key: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its private key, both PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// Whom a certificate names and what for.
pub struct Subject<'a> {
    pub common_name: &'a str,
    /// Groups, in Kubernetes' sense: the certificate's organizations.
    pub groups: &'a [&'a str],
    /// Names and addresses under which a server is reached; empty for a client.
    pub hosts: &'a [String],
    pub usage: Usage,
}

/// The sides of a TLS connection that a certificate may take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    Server,
    Client,
    /// Raft peers are both.
    Both,
}

impl Authority {
    /// A new authority with a new key.
    pub fn create(name: &str, now: DateTime<Utc>) -> Result<Authority, Error> {
        let key = new_key()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = distinguished_name(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now, AUTHORITY_DAYS);
        let certificate = params.self_signed(&key)?.pem();
        let pem = key.serialize_pem();
        Ok(Authority { certificate, key: pem, issuer: Issuer::new(params, key) })
    }

    /// The authority that was kept as these two PEM texts; `path` names them in errors.
    pub fn open(certificate: String, key: String, path: &str) -> Result<Authority, Error> {
        let wrong = |source| Error::Certificate { path: path.to_owned(), source };
        let pair = KeyPair::from_pem(&key).map_err(wrong)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, pair).map_err(wrong)?;
        Ok(Authority { certificate, key, issuer })
    }

    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// Issues a certificate over a new key.
    pub fn issue(&self, subject: &Subject<'_>, now: DateTime<Utc>) -> Result<Identity, Error> {
        let key = new_key()?;
        let mut params = CertificateParams::new(subject.hosts.to_vec())?;
        params.distinguished_name = distinguished_name(subject.common_name, subject.groups);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if subject.usage != Usage::Client {
            params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if subject.usage != Usage::Server {
            params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ClientAuth);
        }
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, CERTIFICATE_DAYS);
        Ok(Identity { certificate: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }
}

/// A private key of the kind that every file of ours holds: ECDSA P-256, PKCS#8.
pub fn new_key() -> Result<KeyPair, Error> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

fn distinguished_name(common_name: &str, groups: &[&str]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for group in groups {
        name.push(DnType::OrganizationName, *group);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn set_validity(params: &mut CertificateParams, now: DateTime<Utc>, days: i64) {
    params.not_before = instant(now - Duration::minutes(BACKDATE_MINUTES));
    params.not_after = instant(now + Duration::days(days));
}

/// Certificates count whole seconds.
fn instant(at: DateTime<Utc>) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.timestamp()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::*;

    fn parse(pem: &str) -> Vec<u8> {
        parse_x509_pem(pem.as_bytes()).unwrap().1.contents
    }

    #[test]
    fn an_issued_certificate_names_its_subject_and_verifies() {
        let now = Utc::now();
        let authority = Authority::create("raftsman-api", now).unwrap();
        let again = Authority::open(authority.certificate().to_owned(), authority.key().to_owned(), "ca").unwrap();
        let issued = again
            .issue(
                &Subject {
                    common_name: "admin",
                    groups: &["system:masters"],
                    hosts: &["127.0.0.1".into(), "localhost".into()],
                    usage: Usage::Both,
                },
                now,
            )
            .unwrap();
        let (ca, leaf) = (parse(authority.certificate()), parse(&issued.certificate));
        let (_, ca) = X509Certificate::from_der(&ca).unwrap();
        let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
        leaf.verify_signature(Some(ca.public_key())).unwrap();
        let organization = leaf.subject().iter_organization().next().unwrap();
        assert_eq!(organization.as_str().unwrap(), "system:masters");
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && usage.server_auth);
        assert!(ca.is_ca() && !leaf.is_ca());
        assert_eq!(leaf.validity().not_after.timestamp(), (now + Duration::days(CERTIFICATE_DAYS)).timestamp());
    }
}
