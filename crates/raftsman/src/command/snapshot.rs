//! `raftsman snapshot save|restore|verify`: backups of a store's content.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use proto::etcdserverpb::SnapshotRequest;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use store::backup::{self, BackupError, Info, NewMember};
use tempfile::NamedTempFile;

use super::print::{Format, Output, Table};
use super::store::{StoreConnection, refused};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Save what a member of the store holds into a file, and check it
    Save(SaveArgs),
    /// Make a new member's data directory out of a file: a new cluster of this one member, with the old content
    Restore(RestoreArgs),
    /// Compare every byte of a file with its checksums
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub struct SaveArgs {
    /// Where to write; must not exist
    file: PathBuf,
    /// Save from the data directory of a member that does not run, where the majority of its group is lost; also what
    /// the group may not have acknowledged is saved then
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    store: StoreConnection,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// What `snapshot save` (or `etcdctl snapshot save` from a store of raftsman's) wrote
    file: PathBuf,
    /// The member's name, as `raftsman server --name` will say it
    #[arg(long, env = "RAFTSMAN_NAME", default_value = "default")]
    name: String,
    /// What `raftsman server --data-dir` will say; its store must not exist yet
    #[arg(long, value_name = "DIR", env = "RAFTSMAN_DATA_DIR", default_value = "/var/lib/raftsman")]
    data_dir: PathBuf,
    /// The member's peer URL, where others are to be added: NAME=URL of its own is enough
    #[arg(long, value_name = "NAME=URL", value_delimiter = ',', env = "RAFTSMAN_INITIAL_CLUSTER")]
    initial_cluster: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// What `snapshot save` wrote
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

pub async fn run(command: SnapshotCommand) -> Result<(), Failure> {
    let (info, output) = match command {
        SnapshotCommand::Save(args) => (save(&args).await?, args.output),
        SnapshotCommand::Restore(args) => (restore(&args)?, args.output),
        SnapshotCommand::Verify(args) => (backup::verify(&args.file)?, args.output),
    };
    print(&info, output.output)
}

/// Streams into a file beside, and gives it its name when it was read back and found whole.
async fn save(args: &SaveArgs) -> Result<Info, Failure> {
    let path = &args.file;
    if path.exists() {
        return Err(Failure::Failed(format!("{} exists already; choose another name", path.display())));
    }
    let wrong = |error: std::io::Error| Failure::Failed(format!("{}: {error}", path.display()));
    let mut file = begin(path).map_err(wrong)?;
    match &args.data_dir {
        Some(dir) => backup::salvage(&dir.join("store"), file.as_file_mut()).await?,
        None => {
            let session = args.store.open().await?;
            let mut client = MaintenanceClient::new(session.channel).max_decoding_message_size(usize::MAX);
            let mut parts = client.snapshot(SnapshotRequest {}).await.map_err(refused)?.into_inner();
            while let Some(part) = parts.message().await.map_err(refused)? {
                file.write_all(&part.blob).map_err(wrong)?;
            }
            file.as_file().sync_all().map_err(wrong)?;
        }
    }
    let info = backup::verify(file.path())?;
    keep_as(file, path).map_err(wrong)?;
    Ok(info)
}

/// A file beside `path`, of a name that nobody has, which goes unless it is kept. Its owner alone may read it, for it holds every
/// Secret.
fn begin(path: &Path) -> std::io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    tempfile::Builder::new().prefix(&format!("{name}.")).suffix(".part").tempfile_in(folder(path))
}

/// Gives the file its name, which nobody may have taken meanwhile.
fn keep_as(file: NamedTempFile, path: &Path) -> std::io::Result<()> {
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn restore(args: &RestoreArgs) -> Result<Info, Failure> {
    let member = NewMember {
        name: args.name.clone(),
        peer_urls: own_urls(&args.initial_cluster, &args.name)?,
        ids: (rand::random_range(1..=u64::MAX), rand::random_range(1..=u64::MAX)),
    };
    std::fs::create_dir_all(&args.data_dir)
        .map_err(|error| Failure::Failed(format!("--data-dir {}: {error}", args.data_dir.display())))?;
    Ok(backup::restore(&args.file, &args.data_dir.join("store"), &member)?)
}

fn own_urls(cluster: &[String], name: &str) -> Result<Vec<String>, Failure> {
    let mut urls = Vec::new();
    for member in cluster {
        let Some((of, url)) = member.split_once('=') else {
            return Err(Failure::Usage(format!("--initial-cluster {member:?}: write NAME=URL")));
        };
        if of == name {
            urls.push(url.to_owned());
        }
    }
    match urls.is_empty() && !cluster.is_empty() {
        true => Err(Failure::Usage(format!("--initial-cluster does not name {name:?}, which --name says"))),
        false => Ok(urls),
    }
}

fn print(info: &Info, format: Format) -> Result<(), Failure> {
    let json = serde_json::json!({
        "revision": info.revision,
        "compactedRevision": info.compacted,
        "clusterId": format!("{:x}", info.cluster_id),
        "appliedIndex": info.applied_index,
        "members": info.members,
        "bytes": info.bytes,
    });
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&json).map_err(Failure::failed)?),
        Format::Yaml => print!("{}", serde_saphyr::to_string(&json).map_err(Failure::failed)?),
        Format::Name => println!("revision/{}", info.revision),
        Format::Table | Format::Wide => {
            let mut table = Table::new(&["REVISION", "COMPACTED", "CLUSTER", "MEMBERS", "BYTES"]);
            table.row([
                info.revision.to_string(),
                info.compacted.to_string(),
                format!("{:x}", info.cluster_id),
                info.members.join(","),
                info.bytes.to_string(),
            ]);
            print!("{}", table.render());
        }
    }
    Ok(())
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Failure {
        Failure::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_touches_no_file_of_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (part, path) = (folder.path().join("x.part"), folder.path().join("x.db"));
        std::fs::write(&part, "mine").unwrap();
        let mut file = begin(&path).unwrap();
        let beside = file.path().to_owned();
        file.write_all(b"content").unwrap();
        assert_eq!(file.as_file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        drop(file);
        assert!(!beside.exists(), "what was not kept goes");
        keep_as(begin(&path).unwrap(), &path).unwrap();
        assert!(keep_as(begin(&path).unwrap(), &path).is_err(), "the name is taken");
        assert_eq!(std::fs::read_to_string(&part).unwrap(), "mine");
    }

    #[test]
    fn the_own_url_is_found() {
        let cluster = ["a=https://a:2380".to_owned(), "b=https://b:2380".to_owned()];
        assert_eq!(own_urls(&cluster, "b").unwrap(), ["https://b:2380"]);
        assert_eq!(own_urls(&[], "b").unwrap(), Vec::<String>::new());
        assert!(own_urls(&cluster, "c").is_err());
        assert!(own_urls(&["https://b".to_owned()], "b").is_err());
    }
}
