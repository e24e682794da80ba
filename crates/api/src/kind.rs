//! The kinds that are stored and served: their names on every face.

use proto::{Root, RootList};

/// The names of one kind and the few facts that discovery tells of it.
#[derive(Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// API group; empty for core.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// The kind: `Job`.
    pub kind: &'static str,
    /// Plural lower-case name, as in URLs and stored keys: `jobs`.
    pub resource: &'static str,
    /// Singular lower-case name: `job`.
    pub singular: &'static str,
    /// What people may type instead: `po`.
    pub short_names: &'static [&'static str],
    /// Groups of resources, such as `all`.
    pub categories: &'static [&'static str],
    /// Whether objects lie in a namespace.
    pub namespaced: bool,
    /// Whether there is a subresource `status`.
    pub status: bool,
}

impl KindInfo {
    /// `batch/v1`; `v1` for core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `jobs.batch`; `pods` for core.
    pub fn group_resource(&self) -> String {
        qualified(self.resource, self.group)
    }

    /// `Job.batch`; `Pod` for core.
    pub fn group_kind(&self) -> String {
        qualified(self.kind, self.group)
    }
}

fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_string() } else { format!("{name}.{group}") }
}

/// A message of `proto` that is stored and served as an object of its own.
pub trait Kind: Root {
    /// Its names.
    const INFO: &'static KindInfo;
    /// The message of a list of them.
    type List: RootList<Item = Self>;
}

macro_rules! kinds {
    ($($constant:ident: $module:ident::$message:ident / $list:ident {
        $group:literal, $version:literal, $resource:literal, $singular:literal,
        short: [$($short:literal),*], categories: [$($category:literal),*], namespaced: $namespaced:literal, status: $status:literal
    })*) => {
        $(
            #[doc = concat!("The names of ", stringify!($message), ".")]
            pub static $constant: KindInfo = KindInfo {
                group: $group,
                version: $version,
                kind: stringify!($message),
                resource: $resource,
                singular: $singular,
                short_names: &[$($short),*],
                categories: &[$($category),*],
                namespaced: $namespaced,
                status: $status,
            };

            impl Kind for proto::$module::$message {
                const INFO: &'static KindInfo = &$constant;
                type List = proto::$module::$list;
            }
        )*

        /// All kinds, in the order of discovery.
        pub static ALL: &[&KindInfo] = &[$(&$constant),*];
    };
}

kinds! {
    CONFIG_MAP: core_v1::ConfigMap / ConfigMapList
        { "", "v1", "configmaps", "configmap", short: ["cm"], categories: [], namespaced: true, status: false }
    EVENT: core_v1::Event / EventList
        { "", "v1", "events", "event", short: ["ev"], categories: [], namespaced: true, status: false }
    NAMESPACE: core_v1::Namespace / NamespaceList
        { "", "v1", "namespaces", "namespace", short: ["ns"], categories: [], namespaced: false, status: true }
    NODE: core_v1::Node / NodeList
        { "", "v1", "nodes", "node", short: ["no"], categories: [], namespaced: false, status: true }
    POD: core_v1::Pod / PodList
        { "", "v1", "pods", "pod", short: ["po"], categories: ["all"], namespaced: true, status: true }
    POD_TEMPLATE: core_v1::PodTemplate / PodTemplateList
        { "", "v1", "podtemplates", "podtemplate", short: [], categories: [], namespaced: true, status: false }
    SECRET: core_v1::Secret / SecretList
        { "", "v1", "secrets", "secret", short: [], categories: [], namespaced: true, status: false }
    SERVICE_ACCOUNT: core_v1::ServiceAccount / ServiceAccountList
        { "", "v1", "serviceaccounts", "serviceaccount", short: ["sa"], categories: [], namespaced: true, status: false }
    SERVICE: core_v1::Service / ServiceList
        { "", "v1", "services", "service", short: ["svc"], categories: ["all"], namespaced: true, status: true }
    CRON_JOB: batch_v1::CronJob / CronJobList
        { "batch", "v1", "cronjobs", "cronjob", short: ["cj"], categories: ["all"], namespaced: true, status: true }
    JOB: batch_v1::Job / JobList
        { "batch", "v1", "jobs", "job", short: [], categories: ["all"], namespaced: true, status: true }
    LEASE: coordination_v1::Lease / LeaseList
        { "coordination.k8s.io", "v1", "leases", "lease", short: [], categories: [], namespaced: true, status: false }
}

/// The names of events.k8s.io/v1 Event: a second view on what is stored as core/v1 Event (see [`crate::event`]).
pub static EVENT_V1: KindInfo = KindInfo {
    group: "events.k8s.io",
    version: "v1",
    kind: "Event",
    resource: "events",
    singular: "event",
    short_names: &["ev"],
    categories: &[],
    namespaced: true,
    status: false,
};

/// The stored kind `kind` of `group`.
pub fn find(group: &str, kind: &str) -> Option<&'static KindInfo> {
    ALL.iter().copied().find(|info| info.kind == kind && info.group == group)
}

/// The stored kind whose plural name is `resource` in `group`.
pub fn find_resource(group: &str, resource: &str) -> Option<&'static KindInfo> {
    ALL.iter().copied().find(|info| info.resource == resource && info.group == group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_qualified_by_their_group() {
        assert_eq!(JOB.api_version(), "batch/v1");
        assert_eq!(JOB.group_resource(), "jobs.batch");
        assert_eq!(POD.api_version(), "v1");
        assert_eq!(POD.group_kind(), "Pod");
    }

    #[test]
    fn the_constants_are_the_messages_own() {
        fn check<K: Kind>() {
            assert_eq!((K::INFO.group, K::INFO.version, K::INFO.kind), (K::GROUP, K::VERSION, K::KIND));
        }
        check::<proto::core_v1::Pod>();
        check::<proto::core_v1::ServiceAccount>();
        check::<proto::batch_v1::CronJob>();
        check::<proto::coordination_v1::Lease>();
        assert_eq!(find("batch", "Job"), Some(&JOB));
        assert_eq!(find_resource("", "pods"), Some(&POD));
    }
}
