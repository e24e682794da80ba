//! Peer URLs as etcd takes them: scheme, host and port, and nothing else.

use http::Uri;

/// The URLs, trimmed and sorted; `None` where one is none or there are none.
pub fn parse(urls: &[String]) -> Option<Vec<String>> {
    let mut parsed = urls.iter().map(|url| one(url.trim())).collect::<Option<Vec<_>>>()?;
    parsed.sort();
    (!parsed.is_empty()).then_some(parsed)
}

fn one(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme))?;
    // http's parser gives every URL a path; written out it must not be.
    let bare = uri.query().is_none() && !text.ends_with('/') && uri.path().len() <= 1;
    (bare && uri.port_u16().is_some()).then(|| format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_etcds() {
        let given = |urls: &[&str]| parse(&urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            given(&["https://b:2380 ", "http://10.0.0.1:1", "https://[fd00::1]:2380"]).unwrap(),
            ["http://10.0.0.1:1", "https://[fd00::1]:2380", "https://b:2380"]
        );
        for wrong in
            ["", "b:2380", "https://b", "https://b:2380/", "https://b:2380/x", "ftp://b:1", "unix:///x", "https://:x"]
        {
            assert_eq!(given(&[wrong]), None, "{wrong}");
        }
        assert_eq!(given(&[]), None);
    }
}
