//! A container's variables, from literals, ConfigMaps, Secrets and the Pod itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::core_v1::{ConfigMap, Container, EnvVarSource, Secret};

use super::downward::{self, Facts};
use super::expand::expand;

/// The ConfigMaps and Secrets that a Pod's containers take variables from, by name; `None`: it does not exist.
#[derive(Default)]
pub struct Sources {
    pub config_maps: BTreeMap<String, Option<Arc<ConfigMap>>>,
    pub secrets: BTreeMap<String, Option<Arc<Secret>>>,
}

/// Which of them a container names.
#[derive(Debug, Default, PartialEq)]
pub struct Wanted {
    pub config_maps: Vec<String>,
    pub secrets: Vec<String>,
}

/// The names of the ConfigMaps and Secrets to be read before [`variables`].
pub fn wanted(container: &Container) -> Wanted {
    let mut wanted = Wanted::default();
    let name = |reference: &Option<proto::core_v1::LocalObjectReference>| {
        reference.as_ref().map(|reference| reference.name.clone()).unwrap_or_default()
    };
    for source in &container.env_from {
        wanted.config_maps.extend(source.config_map_ref.iter().map(|from| name(&from.local_object_reference)));
        wanted.secrets.extend(source.secret_ref.iter().map(|from| name(&from.local_object_reference)));
    }
    for source in container.env.iter().filter_map(|variable| variable.value_from.as_ref()) {
        wanted.config_maps.extend(source.config_map_key_ref.iter().map(|from| name(&from.local_object_reference)));
        wanted.secrets.extend(source.secret_key_ref.iter().map(|from| name(&from.local_object_reference)));
    }
    wanted
}

/// The variables in the order of their definition, each name once. Errors are the message of `CreateContainerConfigError`.
pub fn variables(container: &Container, sources: &Sources, facts: &Facts) -> Result<Vec<(String, String)>, String> {
    let mut variables = Variables::default();
    for source in &container.env_from {
        if let Some(from) = &source.config_map_ref {
            let name = reference(from.local_object_reference.as_ref());
            if let Some(map) = found("configmap", name, sources.config_maps.get(name), from.optional)? {
                map.data
                    .iter()
                    .for_each(|(key, value)| variables.set(format!("{}{key}", source.prefix), value.clone()));
            }
        }
        if let Some(from) = &source.secret_ref {
            let name = reference(from.local_object_reference.as_ref());
            if let Some(secret) = found("secret", name, sources.secrets.get(name), from.optional)? {
                for (key, value) in &secret.data {
                    variables.set(format!("{}{key}", source.prefix), String::from_utf8_lossy(value).into_owned());
                }
            }
        }
    }
    for variable in &container.env {
        let value = match &variable.value_from {
            None => Some(expand(&variable.value, |name| variables.get(name))),
            Some(source) => from_source(source, container, sources, facts)?,
        };
        if let Some(value) = value {
            variables.set(variable.name.clone(), value);
        }
    }
    Ok(variables.list)
}

/// `None`: the source is optional and not there.
fn from_source(
    source: &EnvVarSource,
    container: &Container,
    sources: &Sources,
    facts: &Facts,
) -> Result<Option<String>, String> {
    if let Some(field) = &source.field_ref {
        return downward::field(&field.field_path, facts).map(Some);
    }
    if let Some(resource) = &source.resource_field_ref {
        return downward::resource(resource, container, facts).map(Some);
    }
    if let Some(from) = &source.config_map_key_ref {
        let name = reference(from.local_object_reference.as_ref());
        let map = found("configmap", name, sources.config_maps.get(name), from.optional)?;
        let value = map.as_ref().and_then(|map| map.data.get(&from.key).cloned());
        return keyed(value, map.is_some(), from.optional, || {
            format!("couldn't find key {} in ConfigMap {}/{name}", from.key, facts.namespace())
        });
    }
    if let Some(from) = &source.secret_key_ref {
        let name = reference(from.local_object_reference.as_ref());
        let secret = found("secret", name, sources.secrets.get(name), from.optional)?;
        let bytes = secret.as_ref().and_then(|secret| secret.data.get(&from.key));
        let value = bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        return keyed(value, secret.is_some(), from.optional, || {
            format!("couldn't find key {} in Secret {}/{name}", from.key, facts.namespace())
        });
    }
    Err("fileKeyRef is not supported by this node".to_owned())
}

fn reference(reference: Option<&proto::core_v1::LocalObjectReference>) -> &str {
    reference.map_or("", |reference| &reference.name)
}

fn found<T>(
    kind: &str,
    name: &str,
    source: Option<&Option<Arc<T>>>,
    optional: Option<bool>,
) -> Result<Option<Arc<T>>, String> {
    match source.cloned().flatten() {
        Some(object) => Ok(Some(object)),
        None if optional == Some(true) => Ok(None),
        None => Err(format!("{kind} {name:?} not found")),
    }
}

fn keyed(
    value: Option<String>,
    object_exists: bool,
    optional: Option<bool>,
    message: impl Fn() -> String,
) -> Result<Option<String>, String> {
    match value {
        None if object_exists && optional != Some(true) => Err(message()),
        value => Ok(value),
    }
}

/// Kept in order; a later definition replaces an earlier one where that stands.
#[derive(Default)]
pub struct Variables {
    list: Vec<(String, String)>,
}

impl Variables {
    pub fn set(&mut self, name: String, value: String) {
        match self.list.iter_mut().find(|(existing, _)| *existing == name) {
            Some((_, existing)) => *existing = value,
            None => self.list.push((name, value)),
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(existing, _)| existing == name).map(|(_, value)| value.as_str())
    }

    pub fn into_list(self) -> Vec<(String, String)> {
        self.list
    }
}

#[cfg(test)]
#[path = "env_tests.rs"]
mod tests;
