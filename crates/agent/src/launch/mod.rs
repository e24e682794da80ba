//! From a container's spec to a command line: everything is worked out here, so that a runtime only has to run it.

pub mod downward;
pub mod env;
mod expand;
pub mod image;
pub mod unsupported;
mod user;

use std::path::PathBuf;

use proto::core_v1::Container;

use downward::Facts;
use env::{Sources, Variables};
use expand::expand;
use image::Image;
pub use user::User;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A container as it is to be run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Launch {
    /// Program and arguments; never empty.
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub cwd: String,
    pub root: Option<PathBuf>,
    pub user: User,
}

/// Why a container can't be launched: its waiting reason and message.
#[derive(Debug, PartialEq)]
pub struct CannotLaunch {
    pub reason: &'static str,
    pub message: String,
}

/// Works a container out.
pub fn launch(container: &Container, sources: &Sources, image: &Image, facts: &Facts) -> Result<Launch, CannotLaunch> {
    let config_error = |message| CannotLaunch { reason: "CreateContainerConfigError", message };
    let own = env::variables(container, sources, facts).map_err(config_error)?;
    let own_value = |name: &str| own.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    let args = command(container, image).iter().map(|text| expand(text, own_value)).collect::<Vec<_>>();
    if args.first().is_none_or(String::is_empty) {
        return Err(CannotLaunch { reason: "CreateContainerError", message: "no command specified".to_owned() });
    }
    let user = match &facts.pod.spec {
        Some(spec) => user::user(spec, container, image).map_err(config_error)?,
        None => User::default(),
    };
    let mut env = Variables::default();
    env.set("PATH".to_owned(), PATH.to_owned());
    env.set(
        "HOSTNAME".to_owned(),
        facts.pod.metadata.as_ref().map(|metadata| metadata.name.clone()).unwrap_or_default(),
    );
    env.set("HOME".to_owned(), user.home.clone());
    for (name, value) in image.config.env.iter().flatten().filter_map(|text| text.split_once('=')) {
        env.set(name.to_owned(), value.to_owned());
    }
    own.iter().for_each(|(name, value)| env.set(name.clone(), value.clone()));
    let cwd = [&container.working_dir, &image.config.working_dir].into_iter().find(|dir| !dir.is_empty());
    Ok(Launch {
        args,
        env: env.into_list(),
        cwd: cwd.cloned().unwrap_or_else(|| "/".to_owned()),
        root: image.root.clone(),
        user,
    })
}

/// `command` replaces the image's entry point and its arguments, `args` only the arguments.
fn command(container: &Container, image: &Image) -> Vec<String> {
    let entrypoint = image.config.entrypoint.clone().unwrap_or_default();
    let cmd = image.config.cmd.clone().unwrap_or_default();
    match (container.command.is_empty(), container.args.is_empty()) {
        (false, _) => [container.command.clone(), container.args.clone()].concat(),
        (true, false) => [entrypoint, container.args.clone()].concat(),
        (true, true) => [entrypoint, cmd].concat(),
    }
}

#[cfg(test)]
mod tests {
    use proto::core_v1::{EnvVar, Pod};

    use super::image::ImageConfig;
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    fn args(command: &[&str], args: &[&str]) -> Result<Vec<String>, CannotLaunch> {
        let env = vec![EnvVar { name: "A".into(), value: "1".into(), value_from: None }];
        let container = Container { command: strings(command), args: strings(args), env, ..Container::default() };
        let config =
            ImageConfig { entrypoint: Some(strings(&["e"])), cmd: Some(strings(&["c"])), ..ImageConfig::default() };
        let pod = Pod::default();
        let facts = Facts { pod: &pod, node_ip: "", cpu_millis: 0, memory_bytes: 0 };
        launch(&container, &Sources::default(), &Image { root: None, config }, &facts).map(|launch| launch.args)
    }

    #[test]
    fn command_and_args_follow_kubernetes_table() {
        assert_eq!(args(&[], &[]), Ok(strings(&["e", "c"])));
        assert_eq!(args(&["x"], &[]), Ok(strings(&["x"])));
        assert_eq!(args(&[], &["y"]), Ok(strings(&["e", "y"])));
        assert_eq!(args(&["x"], &["y", "$(A)", "$$(A)"]), Ok(strings(&["x", "y", "1", "$(A)"])));
    }

    #[test]
    fn the_containers_variables_win_over_the_images() {
        let config =
            ImageConfig { env: Some(strings(&["PATH=/p", "A=i"])), working_dir: "/w".into(), ..Default::default() };
        let env = vec![EnvVar { name: "A".into(), value: "own".into(), value_from: None }];
        let container = Container { command: strings(&["x"]), env, ..Container::default() };
        let pod = Pod::default();
        let facts = Facts { pod: &pod, node_ip: "", cpu_millis: 0, memory_bytes: 0 };
        let launch = launch(&container, &Sources::default(), &Image { root: None, config }, &facts).unwrap();
        assert_eq!(launch.cwd, "/w");
        let value = |name: &str| launch.env.iter().find(|(own, _)| own == name).unwrap().1.clone();
        assert_eq!((value("PATH"), value("A")), ("/p".to_owned(), "own".to_owned()));
    }

    #[test]
    fn without_a_command_it_says_so() {
        let pod = Pod::default();
        let facts = Facts { pod: &pod, node_ip: "", cpu_millis: 0, memory_bytes: 0 };
        let error = launch(&Container::default(), &Sources::default(), &Image::default(), &facts).unwrap_err();
        assert_eq!((error.reason, error.message.as_str()), ("CreateContainerError", "no command specified"));
    }
}
