//! The store's group as the command line tells it: who its members are, and how they meet.
//!
//! ```text
//!   --initial-cluster a=https://h1:2380,b=https://h2:2380,c=https://h3:2380   the same words on every member
//!   --name b                                                                  which of them this one is
//!   --initial-cluster-state new | existing                                    the group begins, or has taken b in
//! ```
//!
//! A member that has data ignores all but its own URL: the group itself knows better who belongs to it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::Uri;

use super::listen::{self, Bound};
use crate::failure::Failure;
use crate::pki::member::MemberFiles;

/// Where clients of the store are served.
const CLIENT_PORT: u16 = 2379;
/// The auto compaction's mode where none is given.
const PERIODIC: &str = "periodic";
/// The shortest interval in which a watch's progress is told.
const NOTIFY_MIN: Duration = Duration::from_millis(100);

/// Whether the group of members begins with this start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClusterState {
    New,
    Existing,
}

/// Flags of a member of the group, which `server` and `store` share.
#[derive(Clone, Debug, Args)]
pub struct GroupFlags {
    /// The member's name
    #[arg(long, env = "RAFTSMAN_NAME", default_value = "default")]
    pub name: String,
    /// Where everything is kept
    #[arg(long, value_name = "DIR", env = "RAFTSMAN_DATA_DIR", default_value = "/var/lib/raftsman")]
    pub data_dir: PathBuf,
    /// All members with their peer URLs, such as a=https://10.0.0.1:2380 [default: this one alone]
    #[arg(long, value_name = "NAME=URL", value_delimiter = ',', env = "RAFTSMAN_INITIAL_CLUSTER")]
    initial_cluster: Vec<String>,
    /// Whether the group begins now or has taken this member in (`raftsman member add`)
    #[arg(long, value_enum, env = "RAFTSMAN_INITIAL_CLUSTER_STATE", default_value = "new")]
    initial_cluster_state: ClusterState,
    /// Where other members reach this one [default: the port of its URL in --initial-cluster]
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_PEER")]
    listen_peer: Option<String>,
    /// Where the store serves etcd clients [default: 127.0.0.1:2379; 0.0.0.0:2379 with --initial-cluster]
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_CLIENT")]
    listen_client: Option<String>,
    /// The store's URL for others [default: where it listens]
    #[arg(long, value_name = "URL", env = "RAFTSMAN_ADVERTISE_CLIENT")]
    advertise_client: Option<String>,
    /// Bytes that the store may take before it refuses to grow (alarm NOSPACE); 0 is 2 GiB
    #[arg(long, value_name = "BYTES", env = "RAFTSMAN_QUOTA_BACKEND_BYTES", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    quota_backend_bytes: i64,
    /// Entries of the log between two snapshots, and with it what the log keeps; 0 is 50,000
    #[arg(long, value_name = "ENTRIES", env = "RAFTSMAN_SNAPSHOT_COUNT", default_value_t = 0)]
    snapshot_count: u64,
    /// How the store's own compaction counts what it keeps; API servers compact in any case
    #[arg(long, value_name = "MODE", env = "RAFTSMAN_AUTO_COMPACTION_MODE", default_value = PERIODIC, value_parser = [PERIODIC, "revision"])]
    auto_compaction_mode: String,
    /// What it keeps: a time such as 1h30m, or a number of revisions; 0 is all
    #[arg(long, value_name = "AMOUNT", env = "RAFTSMAN_AUTO_COMPACTION_RETENTION", default_value = "0")]
    auto_compaction_retention: String,
    /// How often a quiet etcd watch that asked for it is told its progress, such as 5s; at least 100ms [default: 10m]
    #[arg(long, value_name = "DURATION", env = "RAFTSMAN_WATCH_PROGRESS_NOTIFY_INTERVAL")]
    watch_progress_notify_interval: Option<String>,
    /// The member's folder that `raftsman pki create` wrote
    #[arg(long, value_name = "DIR", env = "RAFTSMAN_PKI_DIR")]
    pki_dir: Option<PathBuf>,
    /// Plaintext, and everybody is admin; only on loopback addresses
    #[arg(long, env = "RAFTSMAN_INSECURE", conflicts_with = "pki_dir")]
    pub insecure: bool,
}

/// The group, as far as it is known before the first contact.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    /// Name and peer URL of each member, this one included.
    initial: Vec<(String, String)>,
    /// This member's peer URL.
    own: Uri,
}

impl Group {
    /// The hosts of all members but this one.
    fn hosts_but(&self, name: &str) -> Vec<String> {
        let others = self.initial.iter().filter(|(other, _)| other != name);
        others.filter_map(|(_, url)| Some(url.parse::<Uri>().ok()?.host()?.to_owned())).collect()
    }
}

/// How much the store keeps, and how often it tells progress.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Bytes; 0 is the store's default.
    pub quota_bytes: i64,
    /// Entries between two snapshots; 0 is the store's default.
    pub snapshot_entries: u64,
    pub auto_compaction: Option<store::AutoCompaction>,
    /// Zero is the store's default.
    pub progress_interval: Duration,
}

/// The ports of a member's store, bound.
pub struct StorePorts {
    pub client: Bound,
    /// The client URL that other members and people are told.
    pub advertise_client: String,
    /// Where the other members serve clients, as long as nobody has told: on the port of this one.
    pub others: Vec<String>,
    pub peers: Option<PeerPort>,
}

/// The peer port, bound, and who is expected there.
pub struct PeerPort {
    pub bound: Bound,
    /// This member's URL for the others.
    pub advertise: String,
    pub initial: Vec<(String, String)>,
    pub join: store::Join,
}

impl GroupFlags {
    /// The member's certificates; None with `--insecure`.
    pub fn files(&self) -> Result<Option<MemberFiles>, Failure> {
        credentials(self.pki_dir.as_ref(), self.insecure)
    }

    /// Refuses the flags of a member where there is none, with `--store-endpoints`.
    pub fn refuse_with_foreign_store(&self) -> Result<(), Failure> {
        let flag = match () {
            () if !self.initial_cluster.is_empty() => "--initial-cluster",
            () if self.listen_peer.is_some() => "--listen-peer",
            () if self.listen_client.is_some() => "--listen-client",
            () if self.advertise_client.is_some() => "--advertise-client",
            () if self.initial_cluster_state != ClusterState::New => "--initial-cluster-state",
            () if self.quota_backend_bytes != 0 => "--quota-backend-bytes",
            () if self.snapshot_count != 0 => "--snapshot-count",
            () if self.auto_compaction_mode != PERIODIC => "--auto-compaction-mode",
            () if self.auto_compaction_retention != "0" => "--auto-compaction-retention",
            () if self.watch_progress_notify_interval.is_some() => "--watch-progress-notify-interval",
            () => return Ok(()),
        };
        Err(Failure::Usage(format!(
            "{flag} is of a store of ours, and --store-endpoints names another; give one of the two"
        )))
    }

    /// What the store may keep, and how often it tells progress.
    pub fn limits(&self) -> Result<Limits, Failure> {
        let compaction = store::AutoCompaction::parse(&self.auto_compaction_mode, &self.auto_compaction_retention);
        let auto_compaction = compaction.map_err(|why| {
            Failure::Usage(format!("--auto-compaction-retention {}: {why}", self.auto_compaction_retention))
        })?;
        let interval = self.watch_progress_notify_interval.as_ref().map(|text| {
            let interval = store::parse_duration(text).filter(|interval| *interval >= NOTIFY_MIN);
            let allowed = "a duration such as 5s or 1m30s, and at least 100ms";
            let refused = || Failure::Usage(format!("--watch-progress-notify-interval {text}: it must be {allowed}"));
            interval.ok_or_else(refused)
        });
        Ok(Limits {
            quota_bytes: self.quota_backend_bytes,
            snapshot_entries: self.snapshot_count,
            auto_compaction,
            progress_interval: interval.transpose()?.unwrap_or_default(),
        })
    }

    /// Binds the store's ports, as the flags say.
    pub async fn bind(&self) -> Result<StorePorts, Failure> {
        let group = self.group()?;
        let address = match (&self.listen_client, &group) {
            (Some(address), _) => address.clone(),
            (None, Some(_)) if !self.insecure => format!("0.0.0.0:{CLIENT_PORT}"),
            (None, _) => format!("127.0.0.1:{CLIENT_PORT}"),
        };
        let client = listen::bind("--listen-client", &address, !self.insecure).await?;
        let advertise_client = match (&self.advertise_client, &group) {
            (Some(url), _) => self.url("--advertise-client", url)?.1,
            // Every address is no address; others reach this machine where its peers do.
            (None, Some(group)) if client.is_unspecified() => client.url_at(group.own.host().unwrap_or_default()),
            (None, _) => client.url.clone(),
        };
        let others = group.as_ref().map(|group| group.hosts_but(&self.name)).unwrap_or_default();
        let others = others.iter().map(|host| client.url_at(host)).collect();
        let peers = match (group, &self.listen_peer) {
            (Some(group), listen) => Some(self.bind_peer(group, listen.as_deref()).await?),
            (None, Some(address)) => Some(self.bind_alone(address).await?),
            (None, None) => None,
        };
        Ok(StorePorts { client, advertise_client, others, peers })
    }

    async fn bind_peer(&self, group: Group, listen: Option<&str>) -> Result<PeerPort, Failure> {
        let address = listen.map_or_else(|| peer_address(&group.own), str::to_owned);
        let bound = listen::bind("--listen-peer", &address, !self.insecure).await?;
        let join = match self.initial_cluster_state {
            ClusterState::New => store::Join::New,
            ClusterState::Existing => store::Join::Existing,
        };
        Ok(PeerPort { bound, advertise: text(&group.own), initial: group.initial, join })
    }

    /// A group of one that others may join later: its URL is where it listens.
    async fn bind_alone(&self, address: &str) -> Result<PeerPort, Failure> {
        let bound = listen::bind("--listen-peer", address, !self.insecure).await?;
        if bound.is_unspecified() {
            return Err(Failure::Usage(format!(
                "--listen-peer {address} does not say where others reach this member; add --initial-cluster \
                 {}=https://HOST:PORT",
                self.name
            )));
        }
        let advertise = bound.url.clone();
        Ok(PeerPort { bound, initial: vec![(self.name.clone(), advertise.clone())], advertise, join: store::Join::New })
    }

    /// What `--initial-cluster` says; None without it.
    fn group(&self) -> Result<Option<Group>, Failure> {
        let state = self.initial_cluster_state;
        if self.initial_cluster.is_empty() {
            return match state {
                ClusterState::New => Ok(None),
                ClusterState::Existing => Err(Failure::Usage(
                    "--initial-cluster-state existing needs --initial-cluster with the group's members and this one"
                        .into(),
                )),
            };
        }
        let mut initial = Vec::new();
        let mut own = None;
        let (mut names, mut urls) = (BTreeSet::new(), BTreeSet::new());
        for entry in &self.initial_cluster {
            let Some((name, url)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                return Err(Failure::Usage(format!("--initial-cluster {entry:?}: expected NAME=URL")));
            };
            let (uri, url) = self.url("--initial-cluster", url)?;
            if !names.insert(name) {
                return Err(Failure::Usage(format!("--initial-cluster names {name:?} twice")));
            }
            if !urls.insert(url.clone()) {
                return Err(Failure::Usage(format!("--initial-cluster gives {url} to two members")));
            }
            if name == self.name {
                own = Some(uri);
            }
            initial.push((name.to_owned(), url));
        }
        let own = own.ok_or_else(|| {
            Failure::Usage(format!(
                "--initial-cluster does not name this member; add {}=https://HOST:2380, or give --name one of its names",
                self.name
            ))
        })?;
        Ok(Some(Group { initial, own }))
    }

    /// A URL of a port of ours: scheme, host and port, and nothing else.
    fn url(&self, flag: &str, url: &str) -> Result<(Uri, String), Failure> {
        let scheme = if self.insecure { "http" } else { "https" };
        let wrong = |why: &str| Failure::Usage(format!("{flag} {url:?}: {why}; write {scheme}://HOST:PORT"));
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("{error}")))?;
        match (uri.scheme_str(), uri.host(), uri.port_u16()) {
            (Some(found), ..) if found != scheme => Err(wrong(&format!("its scheme is {found}"))),
            (None, ..) => Err(wrong("it has no scheme")),
            (_, None | Some(""), _) => Err(wrong("it has no host")),
            (.., None) => Err(wrong("it has no port")),
            _ if uri.path().len() > 1 || uri.query().is_some() => Err(wrong("it has a path")),
            _ => {
                let text = text(&uri);
                Ok((uri, text))
            }
        }
    }
}

/// A member's folder of certificates; None with `--insecure`.
pub fn credentials(pki_dir: Option<&PathBuf>, insecure: bool) -> Result<Option<MemberFiles>, Failure> {
    match pki_dir {
        // The file of --config may say the one and a flag the other.
        Some(_) if insecure => {
            Err(Failure::Usage("--pki-dir and --insecure contradict each other; give one of them".into()))
        }
        Some(folder) => Ok(Some(MemberFiles::at(folder))),
        None if insecure => Ok(None),
        None => Err(Failure::Usage(
            "--pki-dir is missing; name the member's folder that `raftsman pki create` wrote (on a loopback address \
             --insecure goes without)"
                .into(),
        )),
    }
}

/// Without a trailing slash, so that equal URLs are equal texts.
fn text(uri: &Uri) -> String {
    format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |authority| authority.as_str()))
}

/// Where the owner of a peer URL listens: on all addresses, unless the URL's own is a loopback address.
fn peer_address(own: &Uri) -> String {
    let port = own.port_u16().unwrap_or_default();
    let host = own.host().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() => format!("{host}:{port}"),
        Ok(IpAddr::V6(_)) => format!("[::]:{port}"),
        _ => format!("0.0.0.0:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: GroupFlags,
    }

    fn group(args: &[&str]) -> Result<Option<Group>, String> {
        let line = Line::try_parse_from([&["store"], args].concat()).map_err(|error| error.to_string())?;
        line.flags.group().map_err(|failure| match failure {
            Failure::Usage(message) => message,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_group_is_what_the_flag_says() {
        let group = group(&["--name", "b", "--initial-cluster", "a=https://h:2380,b=https://10.0.0.2:2380/"]);
        let group = group.unwrap().unwrap();
        let url = |name: &str, url: &str| (name.to_owned(), url.to_owned());
        assert_eq!(group.initial, [url("a", "https://h:2380"), url("b", "https://10.0.0.2:2380")]);
        assert_eq!(group.hosts_but("b"), ["h"]);
        assert_eq!(peer_address(&group.own), "0.0.0.0:2380");
        assert_eq!(peer_address(&"https://127.0.0.3:9".parse().unwrap()), "127.0.0.3:9");
        assert_eq!(peer_address(&"https://[::1]:9".parse().unwrap()), "[::1]:9");
        assert_eq!(peer_address(&"https://[fd00::1]:9".parse().unwrap()), "[::]:9");
    }

    #[test]
    fn a_group_that_cannot_be_is_refused_with_its_reason() {
        for (args, reason) in [
            (vec!["--initial-cluster", "a=https://h:1"], "does not name this member"),
            (vec!["--name", "a", "--initial-cluster", "a=https://h:1,a=https://h:2"], "names \"a\" twice"),
            (vec!["--name", "a", "--initial-cluster", "a=https://h:1,b=https://h:1"], "gives https://h:1 to two"),
            (vec!["--name", "a", "--initial-cluster", "a=http://h:1"], "its scheme is http"),
            (vec!["--name", "a", "--initial-cluster", "a=https://h:1", "--insecure"], "its scheme is https"),
            (vec!["--name", "a", "--initial-cluster", "a=https://h"], "it has no port"),
            (vec!["--name", "a", "--initial-cluster", "a=https://h:1/x"], "it has a path"),
            (vec!["--name", "a", "--initial-cluster", "a"], "expected NAME=URL"),
            (vec!["--initial-cluster-state", "existing"], "needs --initial-cluster"),
        ] {
            let refused = group(&args).unwrap_err();
            assert!(refused.contains(reason), "{args:?}: {refused}");
        }
    }

    #[test]
    fn a_store_is_ours_or_another_not_both() {
        let flags = |args: &[&str]| Line::try_parse_from([&["store"], args].concat()).unwrap().flags;
        assert!(flags(&["--name", "a"]).refuse_with_foreign_store().is_ok());
        for (flag, value) in [
            ("--listen-peer", "127.0.0.1:0"),
            ("--advertise-client", "https://h:2379"),
            ("--initial-cluster-state", "existing"),
            ("--quota-backend-bytes", "1"),
            ("--snapshot-count", "1"),
            ("--auto-compaction-mode", "revision"),
            ("--auto-compaction-retention", "1h"),
            ("--watch-progress-notify-interval", "5s"),
        ] {
            let refused = flags(&[flag, value]).refuse_with_foreign_store().unwrap_err();
            assert!(refused.to_string().contains(flag), "{refused}");
        }
    }

    #[test]
    fn what_the_store_keeps_and_tells_is_checked() {
        let limits = |args: &[&str]| Line::try_parse_from([&["store"], args].concat()).unwrap().flags.limits();
        let given = limits(&["--watch-progress-notify-interval", "1m30s"]).unwrap();
        assert_eq!(given.progress_interval, Duration::from_secs(90));
        assert_eq!(limits(&[]).unwrap().progress_interval, Duration::ZERO, "the store's default");
        for (flag, value, reason) in [
            ("--auto-compaction-retention", "1y", "--auto-compaction-retention 1y: "),
            ("--watch-progress-notify-interval", "5", "--watch-progress-notify-interval 5: it must be a duration"),
            ("--watch-progress-notify-interval", "99ms", "at least 100ms"),
        ] {
            let refused = limits(&[flag, value]).unwrap_err().to_string();
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_member_alone_says_where_it_listens() {
        let flags = |args: &[&str]| Line::try_parse_from([&["store"], args].concat()).unwrap().flags;
        let ports = flags(&["--listen-client", "127.0.0.1:0", "--listen-peer", "127.0.0.1:0"]).bind().await.unwrap();
        let peers = ports.peers.unwrap();
        assert_eq!(peers.initial, [("default".to_owned(), peers.bound.url.clone())]);
        let refused = flags(&["--listen-client", "127.0.0.1:0", "--listen-peer", "0.0.0.0:0"]).bind().await;
        let Err(Failure::Usage(message)) = refused else { panic!("it has no address for others") };
        assert!(message.contains("--initial-cluster default="), "{message}");
        let refused = flags(&["--listen-client", "0.0.0.0:0", "--insecure"]).bind().await;
        let Err(Failure::Usage(message)) = refused else { panic!("plaintext for all the world") };
        assert!(message.contains("loopback"), "{message}");
    }
}
