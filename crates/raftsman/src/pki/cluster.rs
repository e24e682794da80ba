//! Making the credentials of a whole cluster (`pki create`) or of one machine (`dev`).

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::authority::{Authority, Subject, Usage};
use super::files::{self, Access};
use super::kubeconfig::{self, Kubeconfig, Server};
use super::member::{self, MemberFiles, Shared};
use super::token::{self, TokenFile};
use super::{ADMIN_GROUP, Error, NODE_GROUP, SIMULATED_NODES};

/// A control-plane member of a new cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberHosts {
    pub name: String,
    /// Names and addresses under which the others reach it; the first of each is written into kubeconfigs.
    pub hosts: Vec<String>,
}

/// Writes everything that a cluster of these members and nodes needs into `out`.
pub fn create(out: &Path, members: &[MemberHosts], nodes: &[String], now: DateTime<Utc>) -> Result<(), Error> {
    if out.join("ca.crt").exists() {
        return Err(Error::Exists { path: out.join("ca.crt").display().to_string() });
    }
    files::make_private_folder(out)?;
    let api = Authority::create("raftsman-api-ca", now)?;
    let store = Authority::create("raftsman-store-ca", now)?;
    let service_account_key = member::service_account_key()?;
    let admin = token::draw("admin", &[ADMIN_GROUP.into()], None, "admin.token", &mut rand::rng());
    let shared = Shared { api: &api, store: &store, service_account_key: &service_account_key };
    for member in members {
        let files = MemberFiles::at(&out.join(&member.name));
        // Controllers that run alone on this member's machine use the API server beside them.
        let server = "https://127.0.0.1:6443";
        member::write(&files, &member.name, &member.hosts, &shared, server, now)?;
        TokenFile::open(&files.path("tokens.json"))?.add(admin.entry.clone())?;
    }
    let servers: Vec<Server> = members.iter().map(server).collect();
    for node in nodes {
        let path = out.join(format!("node-{node}.kubeconfig"));
        write_node(&path, &api, &Node::Named(node), &servers, now)?;
    }
    // Needed once more when a member is added or renewed; a careful operator keeps it elsewhere.
    files::write(&out.join("store-ca.key"), store.key(), Access::Owner)?;
    write_admin(out, &api, &admin.secret, &servers, now)?;
    files::write(&out.join("ca.crt"), api.certificate(), Access::Public)
}

/// Where people and agents reach a member's API.
fn server(member: &MemberHosts) -> Server {
    let host = member.hosts.first().map_or("127.0.0.1", String::as_str);
    let url = match host.contains(':') {
        true => format!("https://[{host}]:6443"),
        false => format!("https://{host}:6443"),
    };
    Server { name: member.name.clone(), url }
}

/// Makes sure of `dev`'s credentials: `<data>/pki` for its one member, and the admin's at the top.
///
/// They are made in a folder beside and renamed, so a first start that is killed begins anew.
pub fn ensure_dev(data: &Path, now: DateTime<Utc>) -> Result<MemberFiles, Error> {
    let files = MemberFiles::at(&data.join("pki"));
    if files.folder().exists() {
        return Ok(files);
    }
    let draft = MemberFiles::at(&data.join("pki.new"));
    if draft.folder().exists() {
        std::fs::remove_dir_all(draft.folder()).map_err(|source| Error::File {
            verb: "remove",
            path: draft.folder().display().to_string(),
            source,
        })?;
    }
    let api = Authority::create("raftsman-api-ca", now)?;
    let store = Authority::create("raftsman-store-ca", now)?;
    let service_account_key = member::service_account_key()?;
    let shared = Shared { api: &api, store: &store, service_account_key: &service_account_key };
    let server = "https://127.0.0.1:6443";
    member::write(&draft, "dev", &[], &shared, server, now)?;
    let admin = token::draw("admin", &[ADMIN_GROUP.into()], None, "admin.token", &mut rand::rng());
    TokenFile::open(&draft.path("tokens.json"))?.add(admin.entry)?;
    write_admin(data, &api, &admin.secret, &Server::alone(server), now)?;
    std::fs::rename(draft.folder(), files.folder()).map_err(|source| Error::File {
        verb: "create",
        path: files.folder().display().to_string(),
        source,
    })?;
    Ok(files)
}

/// Whose kubeconfig an agent uses.
pub enum Node<'a> {
    Named(&'a str),
    /// Many simulated nodes in one process.
    Simulated,
}

/// Makes sure of the kubeconfig of a node of `dev` and returns its path.
pub fn ensure_node(files: &MemberFiles, node: &Node<'_>, server: &str, now: DateTime<Utc>) -> Result<PathBuf, Error> {
    let path = match node {
        Node::Named(name) => files.path(&format!("node-{name}.kubeconfig")),
        Node::Simulated => files.path("simulated-nodes.kubeconfig"),
    };
    if !path.exists() {
        write_node(&path, &files.api_authority()?, node, &Server::alone(server), now)?;
    }
    point_at(&path, server)?;
    Ok(path)
}

/// Writes the API's present URL into a kubeconfig of ours.
pub fn point_at(path: &Path, server: &str) -> Result<(), Error> {
    let text = files::read(path)?;
    let changed = kubeconfig::with_server(&text, server);
    if changed == text {
        return Ok(());
    }
    files::write(path, &changed, Access::Owner)
}

fn write_node(
    path: &Path,
    api: &Authority,
    node: &Node<'_>,
    servers: &[Server],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let (user, group) = match node {
        Node::Named(name) => (format!("system:node:{name}"), NODE_GROUP),
        Node::Simulated => (SIMULATED_NODES.to_owned(), SIMULATED_NODES),
    };
    write_kubeconfig(path, api, &user, group, servers, now)
}

fn write_admin(
    folder: &Path,
    api: &Authority,
    token: &str,
    servers: &[Server],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    files::write(&folder.join("admin.token"), &format!("{token}\n"), Access::Owner)?;
    let path = folder.join("admin.kubeconfig");
    write_kubeconfig(&path, api, "admin", ADMIN_GROUP, servers, now)
}

fn write_kubeconfig(
    path: &Path,
    api: &Authority,
    user: &str,
    group: &str,
    servers: &[Server],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let subject = Subject { common_name: user, groups: &[group], hosts: &[], usage: Usage::Client };
    let identity = api.issue(&subject, now)?;
    let kubeconfig = Kubeconfig { servers, authority: api.certificate(), user, identity: &identity };
    files::write(path, &kubeconfig.render(), Access::Owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_cluster_gets_every_file_that_the_interface_names() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("pki");
        let members = [MemberHosts { name: "a".into(), hosts: vec!["10.0.0.1".into(), "a.example".into()] }];
        create(&out, &members, &["n1".into()], Utc::now()).unwrap();
        for name in
            ["a/ca.crt", "a/api.crt", "a/store-ca.crt", "a/store.crt", "a/peer.crt", "a/store-client.crt", "ca.crt"]
        {
            assert_eq!(mode(&out.join(name)), 0o644, "{name}");
        }
        for name in [
            "a/api.key",
            "a/store.key",
            "a/peer.key",
            "a/store-client.key",
            "a/ca.key",
            "a/sa.key",
            "a/tokens.json",
            "a/control-plane.kubeconfig",
            "admin.kubeconfig",
            "admin.token",
            "node-n1.kubeconfig",
        ] {
            assert_eq!(mode(&out.join(name)), 0o600, "{name}");
        }
        let admin = std::fs::read_to_string(out.join("admin.kubeconfig")).unwrap();
        assert!(admin.contains("server: https://10.0.0.1:6443"), "{admin}");
        let again = create(&out, &members, &[], Utc::now()).unwrap_err();
        assert!(again.to_string().contains("exists already"), "{again}");
    }

    #[test]
    fn dev_keeps_its_credentials_over_a_restart() {
        let data = tempfile::tempdir().unwrap();
        let now = Utc::now();
        // A first start that died half way left this behind.
        std::fs::create_dir(data.path().join("pki.new")).unwrap();
        let files = ensure_dev(data.path(), now).unwrap();
        let first = std::fs::read(files.path("ca.crt")).unwrap();
        let token = std::fs::read(data.path().join("admin.token")).unwrap();
        let again = ensure_dev(data.path(), now).unwrap();
        assert_eq!(first, std::fs::read(again.path("ca.crt")).unwrap());
        assert_eq!(token, std::fs::read(data.path().join("admin.token")).unwrap());
        let node = ensure_node(&again, &Node::Named("n1"), "https://127.0.0.1:7", now).unwrap();
        assert!(std::fs::read_to_string(node).unwrap().contains("https://127.0.0.1:7"));
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }
}
