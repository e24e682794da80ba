//! What a worker needs to start a container: the runtime, the images, and the ConfigMaps and Secrets of its variables.

use std::sync::Arc;

use client::{Client, Error, Resource};
use proto::core_v1::{ConfigMap, Container, Pod, Secret};

use crate::launch::downward::Facts;
use crate::launch::env::{self, Sources};
use crate::launch::image::Images;
use crate::launch::{CannotLaunch, Launch, launch};
use crate::node::capacity::Capacity;
use crate::runtime::Runtime;

pub struct Containers {
    pub runtime: Arc<dyn Runtime>,
    pub client: Client,
    pub images: Images,
    pub capacity: Capacity,
}

impl Containers {
    /// Works out a container's command line; reads what its variables name, now.
    pub async fn launch(&self, pod: &Pod, container: &Container, node_ip: &str) -> Result<Launch, CannotLaunch> {
        if self.runtime.is_simulated() {
            return Ok(Launch::default());
        }
        let namespace = pod.metadata.as_ref().map_or("", |metadata| &metadata.namespace);
        let wanted = env::wanted(container);
        let mut sources = Sources::default();
        for name in wanted.config_maps {
            let found = self.read::<ConfigMap>(namespace, &name).await?;
            sources.config_maps.insert(name, found);
        }
        for name in wanted.secrets {
            let found = self.read::<Secret>(namespace, &name).await?;
            sources.secrets.insert(name, found);
        }
        let facts =
            Facts { pod, node_ip, cpu_millis: self.capacity.cpu_millis, memory_bytes: self.capacity.memory_bytes };
        launch(container, &sources, &self.images.find(&container.image), &facts)
    }

    /// `None`: there is none of that name.
    async fn read<K: Resource>(&self, namespace: &str, name: &str) -> Result<Option<Arc<K>>, CannotLaunch> {
        match self.client.get::<K>(namespace, name).await {
            Ok(object) => Ok(Some(Arc::new(object))),
            Err(Error::Api { status }) if status.code == 404 => Ok(None),
            Err(error) => Err(CannotLaunch { reason: "CreateContainerConfigError", message: error.to_string() }),
        }
    }
}
