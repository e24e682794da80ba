//! YAML bodies, by way of JSON: a label `a: 1` must fail as it does in Kubernetes.

use bytes::Bytes;
use proto::json::Document;
use serde_json::Value;

/// The JSON of a YAML document (YAML 1.1 octal numbers: `0644` is 420).
pub fn to_json(text: &[u8]) -> Result<Bytes, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let Document(value) = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| format!("error converting YAML to JSON: yaml: {error}"))?;
    serde_json::to_vec(&value).map(Bytes::from).map_err(|error| error.to_string())
}

/// YAML of a JSON document.
pub fn from_json(json: &[u8]) -> Result<Bytes, String> {
    let value: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    serde_saphyr::to_string(&value).map(Bytes::from).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let json = to_json(b"a: 0644\nb: [x, null, true]\nc: '1'\n").expect("YAML");
        assert_eq!(json, r#"{"a":420,"b":["x",null,true],"c":"1"}"#);
        let yaml = from_json(&json).expect("YAML");
        assert_eq!(to_json(&yaml).expect("YAML again"), json);
    }

    #[test]
    fn bombs_and_duplicates_are_refused() {
        assert!(to_json(b"a: 1\na: 2\n").is_err());
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", before.trim_end_matches(", ")));
        }
        assert!(to_json(bomb.as_bytes()).is_err());
    }
}
