//! Which form an answer takes (Accept) and a body has (Content-Type).

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

impl Encoding {
    pub fn media_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Yaml => "application/yaml",
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    /// The encoding of a request's body; an absent Content-Type is JSON. `None` is a 415.
    pub fn of_body(content_type: &str) -> Option<Encoding> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "" | "application/json" => Some(Encoding::Json),
            "application/yaml" => Some(Encoding::Yaml),
            "application/vnd.kubernetes.protobuf" => Some(Encoding::Protobuf),
            _ => None,
        }
    }
}

/// What is written: the object, or a view of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    Object,
    /// `as=Table`, with the version of meta.k8s.io (`v1`, `v1beta1`).
    Table(String),
    /// `as=PartialObjectMetadata` and its list.
    PartialMetadata(String),
}

/// The form of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    pub encoding: Encoding,
    pub view: View,
}

/// The media types of bodies and answers, as errors name them.
pub const MEDIA_TYPES: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// One alternative of an Accept header.
#[derive(Debug, Clone, PartialEq)]
struct Clause {
    media: String,
    parameters: Vec<(String, String)>,
    quality: f32,
}

impl Clause {
    fn parse(text: &str) -> Clause {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters: Vec<(String, String)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim().to_string(), value.trim().to_string()))
            .collect();
        let quality = parameters.iter().find(|(name, _)| name == "q");
        let quality = quality.and_then(|(_, value)| value.parse().ok()).unwrap_or(1.0);
        Clause { media, parameters, quality }
    }

    fn get(&self, name: &str) -> &str {
        self.parameters.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

fn clauses(accept: &str) -> Vec<Clause> {
    let mut clauses: Vec<Clause> =
        accept.split(',').filter(|text| !text.trim().is_empty()).map(Clause::parse).collect();
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses
}

fn encoding(media: &str) -> Option<Encoding> {
    match media {
        "application/json" | "*/*" | "application/*" => Some(Encoding::Json),
        "application/yaml" => Some(Encoding::Yaml),
        "application/vnd.kubernetes.protobuf" => Some(Encoding::Protobuf),
        _ => None,
    }
}

/// The best form that `accept` asks for and that exists; `None` is a 406.
/// Tables and partial metadata are written in JSON and YAML only.
pub fn form(accept: &str) -> Option<Form> {
    if accept.trim().is_empty() {
        return Some(Form { encoding: Encoding::Json, view: View::Object });
    }
    clauses(accept).into_iter().find_map(|clause| {
        let encoding = encoding(&clause.media)?;
        let version = clause.get("v").to_string();
        let meta = clause.get("g") == "meta.k8s.io" && matches!(version.as_str(), "v1" | "v1beta1");
        let view = match clause.get("as") {
            "" => View::Object,
            "Table" if meta => View::Table(version),
            "PartialObjectMetadata" | "PartialObjectMetadataList" if meta => View::PartialMetadata(version),
            _ => return None,
        };
        if view != View::Object && encoding == Encoding::Protobuf {
            return None;
        }
        Some(Form { encoding, view })
    })
}

/// Whether discovery should answer with the aggregated form: its version (`v2`, `v2beta1`).
pub fn aggregated(accept: &str) -> Option<&'static str> {
    for clause in clauses(accept) {
        let aggregated = clause.media == "application/json"
            && clause.get("g") == "apidiscovery.k8s.io"
            && clause.get("as") == "APIGroupDiscoveryList";
        match clause.get("v") {
            "v2" if aggregated => return Some("v2"),
            "v2beta1" if aggregated => return Some("v2beta1"),
            _ if clause.get("as").is_empty() && encoding(&clause.media).is_some() => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got(accept: &str) -> (Encoding, View) {
        let form = form(accept).unwrap_or_else(|| panic!("{accept}"));
        (form.encoding, form.view)
    }

    #[test]
    fn what_kubectl_sends() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(got(table), (Encoding::Json, View::Table("v1".into())));
        assert_eq!(got("application/vnd.kubernetes.protobuf,application/json"), (Encoding::Protobuf, View::Object));
        assert_eq!(got(""), (Encoding::Json, View::Object));
        assert_eq!(got("*/*"), (Encoding::Json, View::Object));
        assert_eq!(
            got("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
            (Encoding::Json, View::PartialMetadata("v1".into()))
        );
        assert_eq!(got("application/json;q=0.5,application/yaml"), (Encoding::Yaml, View::Object));
    }

    #[test]
    fn what_cannot_be_had() {
        assert_eq!(form("text/html"), None);
        assert_eq!(form("application/json;as=Chart;v=v1;g=meta.k8s.io"), None);
        assert_eq!(Encoding::of_body("text/plain"), None);
        assert_eq!(Encoding::of_body("application/json; charset=utf-8"), Some(Encoding::Json));
    }

    #[test]
    fn discovery_forms() {
        let both = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(aggregated(both), Some("v2"));
        assert_eq!(aggregated("application/json"), None);
        assert_eq!(aggregated(""), None);
    }
}
