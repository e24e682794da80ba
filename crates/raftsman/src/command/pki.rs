//! `raftsman pki create`: the credentials of a cluster of several machines.

use std::path::PathBuf;

use chrono::Utc;
use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::pki::cluster::{self, MemberHosts};

#[derive(Debug, Subcommand)]
pub enum PkiCommand {
    /// Make two authorities and everything they sign, one folder for each member
    Create(CreateArgs),
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Folder to write; it must not hold a PKI yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A control-plane member and the names and addresses it is reached by
    #[arg(long, value_name = "NAME=HOST[,HOST]", required = true, value_parser = member)]
    server: Vec<MemberHosts>,
    /// A node that gets a kubeconfig of its own
    #[arg(long, value_name = "NAME", value_parser = label)]
    node: Vec<String>,
}

pub fn run(command: PkiCommand) -> Result<(), Failure> {
    let PkiCommand::Create(args) = command;
    let mut names: Vec<&str> = args.server.iter().map(|m| m.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Failure::Usage(format!(
            "--server names {} twice; give each member one --server with all its hosts",
            twice[0]
        )));
    }
    cluster::create(&args.out, &args.server, &args.node, Utc::now())?;
    for member in &args.server {
        println!("{}", args.out.join(&member.name).display());
    }
    eprintln!(
        "Bring each folder to its member as --pki-dir, and keep {} away from them.",
        args.out.join("store-ca.key").display()
    );
    Ok(())
}

fn member(text: &str) -> Result<MemberHosts, String> {
    let (name, hosts) = text.split_once('=').ok_or("expected NAME=HOST[,HOST], such as a=10.0.0.1,a.example")?;
    let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
    if let Some(wrong) = hosts.iter().find(|host| host.is_empty() || host.contains(['/', ' '])) {
        return Err(format!("{wrong:?} is no host name or address"));
    }
    Ok(MemberHosts { name: label(name)?, hosts })
}

/// Names become folder names and parts of certificates: lower-case DNS labels.
fn label(text: &str) -> Result<String, String> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    match bytes.iter().copied().all(fine) && ends(bytes.first()) && ends(bytes.last()) {
        true => Ok(text.to_owned()),
        false => {
            Err("a name has lower-case letters, digits, '-' and '.', and begins and ends with a letter or digit".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_a_name_with_hosts() {
        let a = member("a=10.0.0.1,a.example").unwrap();
        assert_eq!((a.name.as_str(), a.hosts.len()), ("a", 2));
        for wrong in ["a", "a=", "A=h", "../x=h", "a=h,,g"] {
            assert!(member(wrong).is_err(), "{wrong}");
        }
    }
}
