//! Where a setting comes from: flag over environment variable over file over default.
//!
//! clap knows flags, `RAFTSMAN_*` variables and defaults. The file comes in between by becoming the
//! defaults of this run:
//!
//! ```toml
//! log-format = "json"          # at the top: for whichever daemon is started
//! [agent]                      # for `raftsman agent` alone; over what stands at the top
//! server = ["https://10.0.0.1:6443"]
//! max-pods = 500
//! ```
//!
//! A key is a flag's name without its dashes. A key that no daemon knows is an error: a
//! misspelt setting must not be a setting that silently does nothing.

use std::ffi::OsString;
use std::path::Path;

use clap::{Arg, Command, CommandFactory, FromArgMatches};
use toml::{Table, Value};

use crate::cli::Cli;
use crate::failure::Failure;

/// Parses the command line over the environment, the file of `--config` and the defaults.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Failure> {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut command = Cli::command();
    if let Some((daemon, path)) = named_file(&command, &args) {
        let table = read(Path::new(&path))?;
        command = with_file(command, &daemon, &table)
            .map_err(|message| Failure::Failed(format!("{}: {message}", path.display())))?;
    }
    command
        .try_get_matches_from(args)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| Failure::Clap(Box::new(error)))
}

/// The daemon on the command line and the file that `--config` or the environment names for it.
fn named_file(command: &Command, args: &[OsString]) -> Option<(String, std::path::PathBuf)> {
    // Errors are told by the real parse; this one only looks for the file.
    let matches = command.clone().ignore_errors(true).try_get_matches_from(args).ok()?;
    let (daemon, matches) = matches.subcommand()?;
    let path = matches.try_get_one::<std::path::PathBuf>("config").ok()??;
    Some((daemon.to_owned(), path.clone()))
}

fn read(path: &Path) -> Result<Table, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::Failed(format!("cannot read {}: {error}; give --config the path of a TOML file", path.display()))
    })?;
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
        Failure::Failed(format!("{} line {line}: {}; correct the file", path.display(), error.message()))
    })
}

/// Makes the file's values the defaults of `daemon`'s flags.
fn with_file(command: Command, daemon: &str, table: &Table) -> Result<Command, String> {
    let mut values: Vec<(String, Vec<String>)> = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(section) => {
                let Some(named) = command.find_subcommand(key) else {
                    return Err(format!(
                        "[{key}] is no daemon; the sections are named dev, server, store, apiserver, controllers, scheduler and agent"
                    ));
                };
                for (key, value) in section {
                    known(named, key)?;
                    if named.get_name() == daemon {
                        values.push((key.clone(), texts(key, value)?));
                    }
                }
            }
            value => {
                let mut daemons = command.get_subcommands();
                if !daemons.any(|sub| known(sub, key).is_ok()) {
                    return Err(format!(
                        "no daemon has a setting {key:?}; see `raftsman {daemon} --help` for the names"
                    ));
                }
                values.insert(0, (key.clone(), texts(key, value)?));
            }
        }
    }
    Ok(command.mut_subcommand(daemon, |mut sub| {
        for (key, texts) in values {
            if known(&sub, &key).is_ok() {
                sub = sub.mut_arg(id_of(&key), |arg| default(arg, texts));
            }
        }
        sub
    }))
}

fn default(arg: Arg, texts: Vec<String>) -> Arg {
    arg.required(false).default_values(texts)
}

/// clap's id of a flag is the field's name.
fn id_of(key: &str) -> String {
    key.replace('-', "_")
}

/// Whether a daemon has this flag and a file may set it.
fn known(daemon: &Command, key: &str) -> Result<(), String> {
    let has = daemon.get_arguments().any(|arg| arg.get_long() == Some(key) && arg.get_id().as_str() == id_of(key));
    match has && key != "config" {
        true => Ok(()),
        false => Err(format!(
            "`raftsman {0}` has no setting {key:?}; see `raftsman {0} --help` for the names",
            daemon.get_name()
        )),
    }
}

/// A value as the text that the flag would have been given, one per repetition.
fn texts(key: &str, value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Integer(number) => Ok(vec![number.to_string()]),
        Value::Boolean(truth) => Ok(vec![truth.to_string()]),
        Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| texts(key, item)).collect();
            Ok(items?.concat())
        }
        other => Err(format!(
            "{key} is a {}; it has to be a text, a number, true or false, or a list of these",
            other.type_str()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layered(table: &str, args: &[&str]) -> Result<clap::ArgMatches, String> {
        let table: Table = table.parse().unwrap();
        let command = Command::new("raftsman").subcommand(
            Command::new("agent")
                .arg(Arg::new("max_pods").long("max-pods").default_value("110"))
                .arg(Arg::new("server").long("server").num_args(1..).required(true))
                .arg(Arg::new("insecure").long("insecure").action(clap::ArgAction::SetTrue)),
        );
        let command = with_file(command, "agent", &table)?;
        let mut matches = command.try_get_matches_from(args).map_err(|e| e.to_string())?;
        Ok(matches.remove_subcommand().unwrap().1)
    }

    #[test]
    fn the_file_lies_between_flag_and_default() {
        let file = "max-pods = 5\n[agent]\nserver = [\"a\", \"b\"]\nmax-pods = 7\ninsecure = true";
        let matches = layered(file, &["raftsman", "agent"]).unwrap();
        assert_eq!(matches.get_one::<String>("max_pods").unwrap(), "7");
        assert_eq!(matches.get_many::<String>("server").unwrap().count(), 2);
        assert!(matches.get_flag("insecure"));
        let matches = layered(file, &["raftsman", "agent", "--max-pods", "9"]).unwrap();
        assert_eq!(matches.get_one::<String>("max_pods").unwrap(), "9");
    }

    #[test]
    fn a_misspelt_key_is_told() {
        let args = &["raftsman", "agent"];
        let error = layered("[agent]\nmax-pod = 1", args).unwrap_err();
        assert!(error.contains("no setting \"max-pod\""), "{error}");
        let error = layered("max-pod = 1", args).unwrap_err();
        assert!(error.contains("no daemon has a setting"), "{error}");
        let error = layered("[agnet]\nx = 1", args).unwrap_err();
        assert!(error.contains("[agnet] is no daemon"), "{error}");
    }

    #[test]
    fn the_real_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
