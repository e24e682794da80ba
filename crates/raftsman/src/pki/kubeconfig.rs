//! kubeconfig files: where a cluster is, whom to trust and who one is.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::authority::Identity;

/// The cluster and the user that a kubeconfig names.
pub struct Kubeconfig<'a> {
    /// The API's URL, such as `https://127.0.0.1:6443`.
    pub server: &'a str,
    /// The API authority's certificate, PEM.
    pub authority: &'a str,
    pub user: &'a str,
    pub identity: &'a Identity,
}

impl Kubeconfig<'_> {
    /// The file's text, in the form that kubectl writes, credentials inline.
    pub fn render(&self) -> String {
        let Kubeconfig { server, user, .. } = self;
        let authority = STANDARD.encode(self.authority);
        let certificate = STANDARD.encode(&self.identity.certificate);
        let key = STANDARD.encode(&self.identity.key);
        format!(
            "apiVersion: v1
kind: Config
clusters:
- name: raftsman
  cluster:
    certificate-authority-data: {authority}
    server: {server}
contexts:
- name: raftsman
  context:
    cluster: raftsman
    user: {user}
current-context: raftsman
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"
        )
    }
}

/// The same kubeconfig with another server: `dev` on port 0 has a new one at each start.
pub fn with_server(text: &str, server: &str) -> String {
    text.lines()
        .map(|line| match line.trim_start().strip_prefix("server:") {
            Some(_) => {
                let indent = line.len() - line.trim_start().len();
                format!("{}server: {server}\n", " ".repeat(indent))
            }
            None => format!("{line}\n"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_replaced_and_nothing_else() {
        let identity = Identity { certificate: "CERT".into(), key: "KEY".into() };
        let render = |server| Kubeconfig { server, authority: "CA", user: "admin", identity: &identity }.render();
        let text = render("https://127.0.0.1:6443");
        assert_eq!(with_server(&text, "https://127.0.0.1:1"), render("https://127.0.0.1:1"));
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(value["users"][0]["user"]["client-key-data"], "S0VZ");
    }
}
