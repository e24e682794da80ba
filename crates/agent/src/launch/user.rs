//! Whom a container runs as: the Pod's securityContext over the image's user over the agent's own.

use std::fs;
use std::path::Path;

use proto::core_v1::{Container, PodSpec};

use super::image::Image;

/// Numbers only; `None`: the agent's own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct User {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub groups: Vec<u32>,
    /// From the password file, else `/root` or `/`.
    pub home: String,
}

/// Errors are the message of `CreateContainerConfigError`.
pub fn user(spec: &PodSpec, container: &Container, image: &Image) -> Result<User, String> {
    let pod = spec.security_context.as_ref();
    let own = container.security_context.as_ref();
    let (image_user, image_group) = match image.config.user.split_once(':') {
        Some((user, group)) => (user, group),
        None => (image.config.user.as_str(), ""),
    };
    let root = image.root.as_deref().unwrap_or(Path::new("/"));
    let asked_uid = own.and_then(|own| own.run_as_user).or_else(|| pod.and_then(|pod| pod.run_as_user));
    let asked_gid = own.and_then(|own| own.run_as_group).or_else(|| pod.and_then(|pod| pod.run_as_group));
    let entry = match asked_uid {
        Some(uid) => find(root, &uid.to_string()),
        None if image_user.is_empty() => None,
        None => find(root, image_user),
    };
    let uid = match asked_uid {
        Some(uid) => Some(number(uid, "runAsUser")?),
        None if image_user.is_empty() => None,
        None => Some(match (image_user.parse(), &entry) {
            (Ok(uid), _) => uid,
            (_, Some(entry)) => entry.uid,
            _ => return Err(format!("unable to find user {image_user}: no matching entries in passwd file")),
        }),
    };
    let gid = match asked_gid {
        Some(gid) => Some(number(gid, "runAsGroup")?),
        None if asked_uid.is_none() && !image_group.is_empty() => {
            Some(image_group.parse().map_err(|_| format!("the image's group {image_group:?} is no number"))?)
        }
        // A container that changes its user must not keep the agent's groups.
        None => uid.map(|_| entry.as_ref().map_or(0, |entry| entry.gid)),
    };
    let non_root = own.and_then(|own| own.run_as_non_root).or_else(|| pod.and_then(|pod| pod.run_as_non_root));
    if non_root == Some(true) && uid.unwrap_or(0) == 0 {
        return Err("container has runAsNonRoot and image will run as root".to_owned());
    }
    let mut groups = Vec::new();
    for group in pod.into_iter().flat_map(|pod| pod.supplemental_groups.iter().copied().chain(pod.fs_group)) {
        groups.push(number(group, "supplementalGroups")?);
    }
    let home = match entry {
        Some(entry) => entry.home,
        None if uid.unwrap_or(0) == 0 => "/root".to_owned(),
        None => "/".to_owned(),
    };
    // Groups alone need a group to go with.
    let gid = if groups.is_empty() { gid } else { gid.or(Some(0)) };
    Ok(User { uid, gid, groups, home })
}

fn number(value: i64, field: &str) -> Result<u32, String> {
    u32::try_from(value).map_err(|_| format!("{field} {value} is out of range"))
}

struct Entry {
    uid: u32,
    gid: u32,
    home: String,
}

/// Looks a name or number up in the image's own password file.
fn find(root: &Path, user: &str) -> Option<Entry> {
    let text = fs::read_to_string(root.join("etc/passwd")).ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
        if name != user && uid != user {
            return None;
        }
        Some(Entry { uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: home.to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use proto::core_v1::{PodSecurityContext, SecurityContext};

    use super::super::image::ImageConfig;
    use super::*;

    fn image(user: &str) -> Image {
        Image { root: None, config: ImageConfig { user: user.into(), ..ImageConfig::default() } }
    }

    #[test]
    fn the_container_wins_over_the_pod_over_the_image() {
        let context = PodSecurityContext { run_as_user: Some(5), run_as_group: Some(6), ..Default::default() };
        let spec = PodSpec { security_context: Some(context), ..PodSpec::default() };
        let own = SecurityContext { run_as_user: Some(7), ..Default::default() };
        let container = Container { security_context: Some(own), ..Container::default() };
        let found = user(&spec, &container, &image("9:9")).unwrap();
        assert_eq!((found.uid, found.gid), (Some(7), Some(6)));
        let found = user(&PodSpec::default(), &Container::default(), &image("4294:77")).unwrap();
        assert_eq!((found.uid, found.gid, found.home.as_str()), (Some(4294), Some(77), "/"));
        let found = user(&PodSpec::default(), &Container::default(), &image("")).unwrap();
        assert_eq!((found.uid, found.gid, found.home.as_str()), (None, None, "/root"));
        assert_eq!(user(&PodSpec::default(), &Container::default(), &image("root")).unwrap().uid, Some(0));
    }

    #[test]
    fn non_root_is_kept_to() {
        let context = PodSecurityContext { run_as_non_root: Some(true), ..Default::default() };
        let spec = PodSpec { security_context: Some(context), ..PodSpec::default() };
        assert!(user(&spec, &Container::default(), &image("")).is_err());
        assert!(user(&spec, &Container::default(), &image("12345")).is_ok());
    }
}
