//! kubeconfig files: where a cluster is, whom to trust and who one is.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::authority::Identity;

/// The cluster and the user that a kubeconfig names.
///
/// kubectl knows one server a cluster, so each member is a cluster and context of its own: `raftsman` is the first member,
/// `raftsman-NAME` any other. Raftsman's own clients go from one to the next by themselves.
pub struct Kubeconfig<'a> {
    /// The API servers; never empty.
    pub servers: &'a [Server],
    /// The API authority's certificate, PEM.
    pub authority: &'a str,
    pub user: &'a str,
    pub identity: &'a Identity,
}

/// An API server as a kubeconfig names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The member's name.
    pub name: String,
    /// The API's URL, such as `https://127.0.0.1:6443`.
    pub url: String,
}

impl Server {
    /// The only one.
    pub fn alone(url: &str) -> [Server; 1] {
        [Server { name: String::new(), url: url.to_owned() }]
    }
}

impl Kubeconfig<'_> {
    /// The file's text, in the form that kubectl writes, credentials inline.
    pub fn render(&self) -> String {
        let user = self.user;
        let authority = STANDARD.encode(self.authority);
        let certificate = STANDARD.encode(&self.identity.certificate);
        let key = STANDARD.encode(&self.identity.key);
        let (mut clusters, mut contexts) = (String::new(), String::new());
        for (index, Server { name, url }) in self.servers.iter().enumerate() {
            let name = if index == 0 { "raftsman".to_owned() } else { format!("raftsman-{name}") };
            clusters.push_str(&format!(
                "- name: {name}
  cluster:
    certificate-authority-data: {authority}
    server: {url}
"
            ));
            contexts.push_str(&format!(
                "- name: {name}
  context:
    cluster: {name}
    user: {user}
"
            ));
        }
        format!(
            "apiVersion: v1
kind: Config
clusters:
{clusters}contexts:
{contexts}current-context: raftsman
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"
        )
    }
}

/// The same kubeconfig with another server in place of all: `dev` on port 0 has a new one at each start.
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
        let render = |url: &str| {
            let servers = Server::alone(url);
            Kubeconfig { servers: &servers, authority: "CA", user: "admin", identity: &identity }.render()
        };
        let text = render("https://127.0.0.1:6443");
        assert_eq!(with_server(&text, "https://127.0.0.1:1"), render("https://127.0.0.1:1"));
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(value["users"][0]["user"]["client-key-data"], "S0VZ");
    }

    #[test]
    fn each_member_is_a_context_of_its_own() {
        let identity = Identity { certificate: "CERT".into(), key: "KEY".into() };
        let server = |name: &str| Server { name: name.into(), url: format!("https://{name}:6443") };
        let servers = ["a", "b", "c"].map(server);
        let text = Kubeconfig { servers: &servers, authority: "CA", user: "admin", identity: &identity }.render();
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let names: Vec<&str> =
            value["contexts"].as_array().unwrap().iter().filter_map(|context| context["name"].as_str()).collect();
        assert_eq!(names, ["raftsman", "raftsman-b", "raftsman-c"]);
        assert_eq!(value["contexts"][2]["context"]["cluster"], "raftsman-c");
        assert_eq!(value["clusters"][2]["cluster"]["server"], "https://c:6443");
    }
}
