//! References to images, as Kubernetes reads them to choose a pull policy.
//!
//! ```text
//! registry.example:5000/team/app:v1@sha256:0123...
//! domain                path     tag digest
//! ```

const PATH_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// The pull policy of an image that says none: newest for `latest`, which is also meant where neither tag nor digest is
/// given, else whatever is there. A reference that can't be read has no tag.
pub fn pull_policy(image: &str) -> &'static str {
    if tag(image) == Some("latest") { "Always" } else { "IfNotPresent" }
}

/// The tag that is given or meant; `None` with a digest alone, and for what is no reference.
fn tag(image: &str) -> Option<&str> {
    let is_id = image.len() == 64 && is_lower_hex(image);
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    let (path, tag) = match name[file..].split_once(':') {
        Some((last, tag)) => (&name[..file + last.len()], Some(tag)),
        None => (name, None),
    };
    if is_id || !is_name(path) || !tag.is_none_or(is_tag) || !digest.is_none_or(is_digest) {
        return None;
    }
    tag.or(digest.is_none().then_some("latest"))
}

/// A domain and a path. What comes before the first slash is a domain if it looks like one, or can't be a folder.
fn is_name(name: &str) -> bool {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) || first.to_lowercase() != first => {
            (first, rest)
        }
        _ => ("docker.io", name),
    };
    let hub = domain == "docker.io" || domain == "index.docker.io";
    let library = if hub && !path.contains('/') { "library/".len() } else { 0 };
    if is_domain(domain) {
        return path.split('/').all(is_component) && path.len() + library <= PATH_MAX;
    }
    // A folder with a dot can be one too.
    name.split('/').all(is_component) && name.len() <= PATH_MAX
}

/// `example.com:5000` or `[::1]:5000`.
fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, port)) => match port.strip_prefix(':') {
            Some(port) => (address, Some(port)),
            None => return false,
        },
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let is_host = if text.starts_with('[') {
        !host.is_empty() && host.bytes().all(|c| c.is_ascii_hexdigit() || c == b':')
    } else {
        host.split('.').all(|part| {
            let inner = part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
            inner && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
        })
    };
    is_host && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()))
}

/// Small letters and digits, parted by a dot, one or two underscores or dashes.
fn is_component(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separators = text.split(plain).filter(|separator| !separator.is_empty());
    text.starts_with(plain)
        && text.ends_with(plain)
        && separators.all(|one| matches!(one, "." | "_" | "__") || one.bytes().all(|c| c == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    text.len() <= TAG_MAX
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|c| word(c) || matches!(c, b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let digits = match text.split_once(':') {
        Some(("sha256", digits)) if digits.len() == 64 => digits,
        Some(("sha384", digits)) if digits.len() == 96 => digits,
        Some(("sha512", digits)) if digits.len() == 128 => digits,
        _ => return false,
    };
    is_lower_hex(digits)
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pull_policy_follows_the_tag() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let (always, present) = ("Always", "IfNotPresent");
        let long = "a".repeat(248);
        for (image, expected) in [
            ("perl", always),
            ("perl:latest", always),
            ("perl:5", present),
            ("host:5000/perl", always),
            ("host:5000/perl:5", present),
            ("[::1]:5000/perl", always),
            ("[::1/perl", present),
            ("Host/perl", always),
            ("a.b_c/perl", always),
            (&format!("perl@{digest}"), present),
            (&format!("perl:latest@{digest}"), always),
            ("perl:latest@sha256:0123", present),
            ("", present),
            (" perl", present),
            ("Perl", present),
            ("a--b__c.d/e", always),
            ("a..b", present),
            ("perl:", present),
            ("perl:-", present),
            ("a/b:c:latest", present),
            (&"0".repeat(64), present),
            (&long[1..], always),
            (&long, present),
        ] {
            assert_eq!(pull_policy(image), expected, "{image}");
        }
    }
}
