//! Reading a kubeconfig: the file that kubectl, client libraries and Raftsman's own daemons share.
//!
//! Only what leads to a connection is read: the current context's cluster and user. Data given inline (`*-data`, base64)
//! wins over a file name; a file name is relative to the kubeconfig's folder. exec and auth-provider plugins are refused by
//! name, for silently going on without credentials would end in a puzzling "Unauthorized".

use std::path::{Path, PathBuf};

use base64::Engine;
use serde::Deserialize;

use crate::config::{Config, Identity};

/// Why a kubeconfig could not be used; the text names the file and the field.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a kubeconfig: {message}", path = .path.display())]
    Parse { path: PathBuf, message: String },
    #[error("{path}: {what}", path = .path.display())]
    Incomplete { path: PathBuf, what: String },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
    contexts: Vec<NamedContext>,
    current_context: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
    insecure_skip_tls_verify: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    exec: Option<serde_json::Value>,
    auth_provider: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
    namespace: Option<String>,
}

/// Reads `path` and follows its current context. Where other contexts of the same user lead to clusters of the same
/// authority, these are further servers of the same control plane: `raftsman pki create` writes one for each member. Several
/// servers may also stand in `server`, separated by commas (Raftsman's own extension; kubectl's files have one).
pub(crate) fn read(path: &Path) -> Result<Config, KubeconfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| KubeconfigError::Read { path: path.to_owned(), source })?;
    parse(&text, path)
}

fn parse(text: &str, path: &Path) -> Result<Config, KubeconfigError> {
    let file: File = serde_saphyr::from_str(text)
        .map_err(|error| KubeconfigError::Parse { path: path.to_owned(), message: error.to_string() })?;
    let reader = Reader { path, folder: path.parent().unwrap_or(Path::new(".")) };
    let context = file.contexts.iter().find(|context| context.name == file.current_context);
    let context = &context.ok_or_else(|| reader.incomplete(format!("no context {:?}", file.current_context)))?.context;
    let cluster = file.cluster(&context.cluster);
    let cluster = cluster.ok_or_else(|| reader.incomplete(format!("no cluster {:?}", context.cluster)))?;
    let user = file.users.iter().find(|user| user.name == context.user);
    let user = &user.ok_or_else(|| reader.incomplete(format!("no user {:?}", context.user)))?.user;

    if cluster.insecure_skip_tls_verify {
        return Err(reader.incomplete("insecure-skip-tls-verify is not supported; give certificate-authority"));
    }
    let servers = file.servers(context, cluster);
    if servers.is_empty() {
        return Err(reader.incomplete(format!("cluster {:?} has no server", context.cluster)));
    }
    let ca = reader.pem(&cluster.certificate_authority_data, &cluster.certificate_authority)?;
    Ok(Config {
        servers,
        ca,
        identity: reader.identity(user)?,
        server_name: cluster.tls_server_name.clone(),
        namespace: context.namespace.clone().filter(|namespace| !namespace.is_empty()),
    })
}

impl File {
    fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == name).map(|named| &named.cluster)
    }

    /// The servers of the context's cluster, then those of the clusters that are the same by authority and user.
    fn servers(&self, context: &Context, cluster: &Cluster) -> Vec<String> {
        let same_user = self.contexts.iter().filter(|other| other.context.user == context.user);
        let others = same_user.filter_map(|other| self.cluster(&other.context.cluster));
        let others = others.filter(|other| {
            let data = &other.certificate_authority_data;
            data.as_ref().is_some_and(|data| !data.is_empty()) && *data == cluster.certificate_authority_data
        });
        let mut servers: Vec<String> = Vec::new();
        for cluster in std::iter::once(cluster).chain(others) {
            for server in cluster.server.split(',').map(str::trim).filter(|server| !server.is_empty()) {
                if !servers.iter().any(|known| known == server) {
                    servers.push(server.to_owned());
                }
            }
        }
        servers
    }
}

struct Reader<'a> {
    path: &'a Path,
    folder: &'a Path,
}

impl Reader<'_> {
    fn incomplete(&self, what: impl Into<String>) -> KubeconfigError {
        KubeconfigError::Incomplete { path: self.path.to_owned(), what: what.into() }
    }

    fn identity(&self, user: &User) -> Result<Identity, KubeconfigError> {
        if user.exec.is_some() || user.auth_provider.is_some() {
            return Err(
                self.incomplete("exec and auth-provider credentials are not supported; use a certificate or token")
            );
        }
        let certificate = self.pem(&user.client_certificate_data, &user.client_certificate)?;
        let key = self.pem(&user.client_key_data, &user.client_key)?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => return Ok(Identity::Certificate { certificate, key }),
            (None, None) => {}
            _ => return Err(self.incomplete("client-certificate and client-key must be given together")),
        }
        if let Some(token) = user.token.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Identity::Token(token.trim().to_owned()));
        }
        match &user.token_file {
            Some(file) => {
                let token = String::from_utf8_lossy(&self.file(file)?).trim().to_owned();
                Ok(Identity::Token(token))
            }
            None => Ok(Identity::Anonymous),
        }
    }

    fn pem(&self, data: &Option<String>, file: &Option<PathBuf>) -> Result<Option<Vec<u8>>, KubeconfigError> {
        if let Some(data) = data.as_ref().filter(|data| !data.is_empty()) {
            let compact: String = data.split_whitespace().collect();
            let decoded = base64::engine::general_purpose::STANDARD.decode(compact);
            return decoded.map(Some).map_err(|error| self.incomplete(format!("a -data field is not base64: {error}")));
        }
        file.as_ref().filter(|file| !file.as_os_str().is_empty()).map(|file| self.file(file)).transpose()
    }

    fn file(&self, name: &Path) -> Result<Vec<u8>, KubeconfigError> {
        let path = self.folder.join(name);
        std::fs::read(&path).map_err(|source| KubeconfigError::Read { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
apiVersion: v1
kind: Config
current-context: dev
preferences: {}
clusters:
- name: raftsman
  cluster:
    server: https://127.0.0.1:6443,https://127.0.0.1:6444
    certificate-authority-data: LS0tCg==
contexts:
- name: other
  context: {cluster: nowhere, user: nobody}
- name: dev
  context:
    cluster: raftsman
    user: admin
    namespace: batch
users:
- name: admin
  user:
    token: secret
"#;

    #[test]
    fn follows_the_current_context() {
        let config = parse(TEXT, Path::new("/x/config")).unwrap();
        assert_eq!(config.servers, ["https://127.0.0.1:6443", "https://127.0.0.1:6444"]);
        assert_eq!(config.ca.as_deref(), Some(b"---\n".as_slice()));
        assert_eq!(config.namespace.as_deref(), Some("batch"));
        assert!(matches!(config.identity, Identity::Token(token) if token == "secret"));
    }

    #[test]
    fn contexts_of_one_user_and_authority_are_one_control_plane() {
        let cluster = |name: &str, authority: &str| {
            format!(
                "- name: {name}\n  cluster: {{server: 'https://{name}:6443', certificate-authority-data: {authority}}}\n"
            )
        };
        let context =
            |name: &str, user: &str| format!("- name: {name}\n  context: {{cluster: {name}, user: {user}}}\n");
        let text = format!(
            "current-context: b\nclusters:\n{}contexts:\n{}users:\n- name: admin\n  user: {{token: x}}\n",
            [cluster("a", "LS0tCg=="), cluster("b", "LS0tCg=="), cluster("c", "LS0tCg=="), cluster("d", "b3RoZXI=")]
                .concat(),
            [context("a", "admin"), context("b", "admin"), context("c", "somebody"), context("d", "admin")].concat(),
        );
        let config = parse(&text, Path::new("/x/config")).unwrap();
        assert_eq!(config.servers, ["https://b:6443", "https://a:6443"]);
    }

    #[test]
    fn says_what_is_missing() {
        let text = TEXT.replace("current-context: dev", "current-context: other");
        let error = parse(&text, Path::new("/x/config")).unwrap_err().to_string();
        assert_eq!(error, "/x/config: no cluster \"nowhere\"");
        let text = TEXT.replace("token: secret", "exec: {command: aws}");
        let error = parse(&text, Path::new("/x/config")).unwrap_err().to_string();
        assert!(error.contains("exec and auth-provider"), "{error}");
        let text = TEXT.replace("token: secret", "client-key-data: LS0tCg==");
        let error = parse(&text, Path::new("/x/config")).unwrap_err().to_string();
        assert!(error.contains("must be given together"), "{error}");
    }
}
