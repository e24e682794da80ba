//! The folder of one control-plane member: its certificates and what all members share.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::authority::{Authority, Subject, Usage};
use super::files::{self, Access};
use super::kubeconfig::{Kubeconfig, Server};
use super::{CONTROL_PLANE_GROUP, Error, authority};

/// Names under which a certificate of the API is valid beside the member's own hosts.
const API_NAMES: [&str; 7] = [
    "localhost",
    "127.0.0.1",
    "::1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Where the files of a member's folder lie.
#[derive(Clone, Debug)]
pub struct MemberFiles {
    folder: PathBuf,
}

impl MemberFiles {
    pub fn at(folder: &Path) -> MemberFiles {
        MemberFiles { folder: folder.to_owned() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The API authority with its key, which a member's folder has to issue node certificates.
    pub fn api_authority(&self) -> Result<Authority, Error> {
        let path = self.path("ca.key");
        Authority::open(files::read(&self.path("ca.crt"))?, files::read(&path)?, &path.display().to_string())
    }

    /// Refuses a folder that lacks one of the named files.
    pub fn require(&self, names: &[&str]) -> Result<(), Error> {
        match names.iter().find(|name| !self.path(name).is_file()) {
            Some(name) => Err(Error::Missing { path: self.path(name).display().to_string() }),
            None => Ok(()),
        }
    }
}

/// What all members' folders hold alike.
pub struct Shared<'a> {
    pub api: &'a Authority,
    pub store: &'a Authority,
    /// The key that signs service-account tokens.
    pub service_account_key: &'a str,
}

/// Writes a member's folder. `tokens.json` is written by whoever draws the first token.
pub fn write(
    files: &MemberFiles,
    name: &str,
    hosts: &[String],
    shared: &Shared<'_>,
    server: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    files::make_private_folder(files.folder())?;
    let public = |file: &str, text: &str| files::write(&files.path(file), text, Access::Public);
    let secret = |file: &str, text: &str| files::write(&files.path(file), text, Access::Owner);
    public("ca.crt", shared.api.certificate())?;
    secret("ca.key", shared.api.key())?;
    public("store-ca.crt", shared.store.certificate())?;
    secret("sa.key", shared.service_account_key)?;
    for certificate in certificates(name, hosts, shared) {
        let identity = certificate.by.issue(
            &Subject {
                common_name: &certificate.common_name,
                groups: &[],
                hosts: &certificate.hosts,
                usage: certificate.usage,
            },
            now,
        )?;
        public(&format!("{}.crt", certificate.file), &identity.certificate)?;
        secret(&format!("{}.key", certificate.file), &identity.key)?;
    }
    let user = format!("system:control-plane:{name}");
    let identity = shared.api.issue(
        &Subject { common_name: &user, groups: &[CONTROL_PLANE_GROUP], hosts: &[], usage: Usage::Client },
        now,
    )?;
    let servers = Server::alone(server);
    let kubeconfig =
        Kubeconfig { servers: &servers, authority: shared.api.certificate(), user: &user, identity: &identity };
    secret("control-plane.kubeconfig", &kubeconfig.render())
}

/// One certificate of a member's folder.
struct MemberCertificate<'a> {
    file: &'static str,
    by: &'a Authority,
    common_name: String,
    hosts: Vec<String>,
    usage: Usage,
}

fn certificates<'a>(name: &str, hosts: &[String], shared: &Shared<'a>) -> [MemberCertificate<'a>; 4] {
    let with = |more: &[&str]| -> Vec<String> {
        let mut all: Vec<String> = hosts.to_vec();
        all.extend(more.iter().map(|host| (*host).to_owned()));
        all.sort();
        all.dedup();
        all
    };
    [
        MemberCertificate {
            file: "api",
            by: shared.api,
            common_name: format!("raftsman-api:{name}"),
            hosts: with(&API_NAMES),
            usage: Usage::Server,
        },
        MemberCertificate {
            file: "store",
            by: shared.store,
            common_name: format!("raftsman-store:{name}"),
            hosts: with(&LOCAL_NAMES),
            usage: Usage::Server,
        },
        MemberCertificate {
            file: "peer",
            by: shared.store,
            common_name: format!("raftsman-peer:{name}"),
            hosts: with(&LOCAL_NAMES),
            usage: Usage::Both,
        },
        MemberCertificate {
            file: "store-client",
            by: shared.store,
            common_name: format!("raftsman-store-client:{name}"),
            hosts: Vec::new(),
            usage: Usage::Client,
        },
    ]
}

/// A new key for service-account tokens, PEM.
pub fn service_account_key() -> Result<String, Error> {
    Ok(authority::new_key()?.serialize_pem())
}
