//! Image names without a registry: each name means a root filesystem on this node (`--image-root NAME=DIR`), else the host's own.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The part of an OCI image config that says how its containers run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    #[serde(rename = "Entrypoint")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(rename = "Cmd")]
    pub cmd: Option<Vec<String>>,
    /// `NAME=value`.
    #[serde(rename = "Env")]
    pub env: Option<Vec<String>>,
    #[serde(rename = "WorkingDir")]
    pub working_dir: String,
    /// `user[:group]`, names or numbers.
    #[serde(rename = "User")]
    pub user: String,
}

/// What `DIR.json` holds: the config itself, or the document around it that engines export.
#[derive(Deserialize)]
struct Document {
    config: Option<ImageConfig>,
}

/// An image that a container can run in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// `None`: the host's root.
    pub root: Option<PathBuf>,
    pub config: ImageConfig,
}

/// All images that this node knows by name.
#[derive(Clone, Debug, Default)]
pub struct Images {
    by_name: BTreeMap<String, Image>,
}

/// A `--image-root` that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("--image-root {name}: {path}: {source}", path = path.display())]
    Read { name: String, path: PathBuf, source: io::Error },
    #[error("--image-root {name}: {path} is no OCI image config: {source}", path = path.display())]
    Config { name: String, path: PathBuf, source: serde_json::Error },
}

impl Images {
    /// Reads what `--image-root NAME=DIR` means, each with its `DIR.json` where that exists.
    pub fn load(image_roots: &[(String, PathBuf)]) -> Result<Images, ImageError> {
        let mut images = Images::default();
        for (name, path) in image_roots {
            let read = |source| ImageError::Read { name: name.clone(), path: path.clone(), source };
            let root = fs::canonicalize(path).map_err(read)?;
            let config = load_config(name, &with_json(path))?;
            images.by_name.insert(normal(name), Image { root: Some(root), config });
        }
        Ok(images)
    }

    /// The image that a Pod means by `name`.
    pub fn find(&self, name: &str) -> Image {
        self.by_name.get(&normal(name)).cloned().unwrap_or_default()
    }

    /// What the image named lies in, for people.
    pub fn describe(&self, name: &str) -> String {
        match self.find(name).root {
            Some(root) => format!("Container image {name:?} already present on machine: {}", root.display()),
            None => {
                format!("Container image {name:?} means this node's own root filesystem (no --image-root names it)")
            }
        }
    }
}

fn with_json(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

fn load_config(name: &str, path: &Path) -> Result<ImageConfig, ImageError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ImageConfig::default()),
        Err(source) => return Err(ImageError::Read { name: name.to_owned(), path: path.to_owned(), source }),
    };
    let wrong = |source| ImageError::Config { name: name.to_owned(), path: path.to_owned(), source };
    let document: Document = serde_json::from_slice(&bytes).map_err(wrong)?;
    match document.config {
        Some(config) => Ok(config),
        None => serde_json::from_slice(&bytes).map_err(wrong),
    }
}

/// `busybox`, `busybox:latest` and `docker.io/library/busybox:latest` are one image.
fn normal(name: &str) -> String {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_roots_with_their_config() {
        let dir = std::env::temp_dir().join(format!("raftsman-images-{}", std::process::id()));
        fs::create_dir_all(dir.join("perl")).unwrap();
        fs::write(dir.join("perl.json"), r#"{"config":{"Cmd":["perl"],"Env":["A=1"],"WorkingDir":"/w","User":"7:8"}}"#)
            .unwrap();
        let images = Images::load(&[("perl:5.34".to_owned(), dir.join("perl"))]).unwrap();
        let image = images.find("docker.io/library/perl:5.34");
        assert_eq!(image.root.unwrap(), fs::canonicalize(dir.join("perl")).unwrap());
        assert_eq!(image.config.cmd, Some(vec!["perl".to_owned()]));
        assert_eq!((image.config.working_dir.as_str(), image.config.user.as_str()), ("/w", "7:8"));
        assert_eq!(images.find("perl"), Image::default(), "another tag is another image");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_wrong_flag_says_what_is_wrong() {
        let error = Images::load(&[("perl".to_owned(), "/no/such".into())]).unwrap_err().to_string();
        assert!(error.starts_with("--image-root perl: /no/such: No such file"), "{error}");
    }
}
