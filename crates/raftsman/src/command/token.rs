//! `raftsman token`: bearer tokens of one member's folder. The API server sees a change within seconds.

use std::path::PathBuf;

use chrono::{TimeDelta, Utc};
use clap::{Args, Subcommand};

use super::print::Table;
use crate::daemon::dev;
use crate::failure::Failure;
use crate::pki::token::{self, TokenFile};

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, this once
    Create(CreateArgs),
    /// List the tokens by their ids
    List(Place),
    /// Make a token invalid
    Revoke(RevokeArgs),
}

/// Which `tokens.json` is meant.
#[derive(Debug, Args)]
pub struct Place {
    /// The member's folder that has tokens.json [default: that of the dev data directory]
    #[arg(long, value_name = "DIR", env = "RAFTSMAN_PKI_DIR")]
    pki_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    place: Place,
    /// Whom the token stands for
    #[arg(long)]
    user: String,
    /// A group of that user (repeatable), such as system:masters
    #[arg(long)]
    group: Vec<String>,
    /// Hours that it is valid for
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    hours: u32,
    /// What it is for
    #[arg(long, default_value = "")]
    note: String,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    place: Place,
    /// The token's id, as `token list` prints it
    id: String,
}

pub fn run(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(args) => create(args),
        TokenCommand::List(place) => list(&place),
        TokenCommand::Revoke(args) => {
            if open(&args.place)?.revoke(&args.id)? {
                return Ok(());
            }
            Err(Failure::Failed(format!("there is no token {:?}; see `raftsman token list`", args.id)))
        }
    }
}

fn create(args: CreateArgs) -> Result<(), Failure> {
    let expires = Utc::now() + TimeDelta::hours(args.hours.into());
    let token = token::draw(&args.user, &args.group, Some(expires), &args.note, &mut rand::rng());
    open(&args.place)?.add(token.entry)?;
    println!("{}", token.secret);
    Ok(())
}

fn list(place: &Place) -> Result<(), Failure> {
    let mut table = Table::new(&["ID", "USER", "GROUPS", "EXPIRES", "NOTE"]);
    for entry in open(place)?.entries() {
        table.row([
            entry.id.clone(),
            entry.user.clone(),
            entry.groups.join(","),
            entry.expires.clone().unwrap_or_else(|| "<never>".into()),
            entry.note.clone(),
        ]);
    }
    print!("{}", table.render());
    Ok(())
}

fn open(place: &Place) -> Result<TokenFile, Failure> {
    let folder = match &place.pki_dir {
        Some(folder) => folder.clone(),
        None => dev::default_data_dir()?.join("pki"),
    };
    if !folder.is_dir() {
        return Err(Failure::Failed(format!(
            "{} does not exist; name the member's folder by --pki-dir",
            folder.display()
        )));
    }
    Ok(TokenFile::open(&folder.join("tokens.json"))?)
}
