//! Prometheus' text format, read strictly: what a scrape said, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a scrape may take.
const SCRAPE: Duration = Duration::from_secs(10);

/// One family of metrics.
#[derive(Debug, Default, PartialEq)]
pub struct Family {
    pub help: String,
    /// `counter`, `gauge`, `histogram`.
    pub kind: String,
    /// Name with labels, and value, in the order of the text.
    pub samples: Vec<(String, f64)>,
}

/// Families by name.
#[derive(Debug, Default)]
pub struct Exposition {
    pub families: BTreeMap<String, Family>,
    /// Lines that break a rule of the format, or ours that each family has a HELP.
    pub faults: Vec<String>,
}

impl Exposition {
    pub fn parse(text: &str) -> Exposition {
        let mut exposition = Exposition::default();
        let mut current = String::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let fault = match line.split_once(' ') {
                Some(("#", rest)) => exposition.comment(rest, &mut current),
                _ => exposition.sample(line, &current),
            };
            if let Some(fault) = fault {
                exposition.faults.push(format!("{fault}: {line}"));
            }
        }
        for (name, family) in &exposition.families {
            for (lacks, what) in [
                (family.help.trim_end_matches('.').is_empty(), "help"),
                (family.kind.is_empty(), "type"),
                (family.samples.is_empty(), "samples"),
            ] {
                if lacks {
                    exposition.faults.push(format!("{name} has no {what}"));
                }
            }
        }
        exposition
    }

    fn comment(&mut self, rest: &str, current: &mut String) -> Option<&'static str> {
        let mut words = rest.splitn(3, ' ');
        let (keyword, name, text) = (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match keyword {
            Some("HELP") if self.families.contains_key(name) => Some("a second HELP of one family"),
            Some("HELP") => {
                name.clone_into(current);
                self.families.insert(name.to_owned(), Family { help: text.to_owned(), ..Family::default() });
                None
            }
            Some("TYPE") if name != current => Some("a TYPE without its HELP before it"),
            Some("TYPE") => {
                self.families.entry(name.to_owned()).or_default().kind = text.to_owned();
                let known = ["counter", "gauge", "histogram"].contains(&text);
                (!known).then_some("an unknown type")
            }
            _ => None,
        }
    }

    fn sample(&mut self, line: &str, current: &str) -> Option<&'static str> {
        let Some((series, value)) = line.rsplit_once(' ') else { return Some("no value") };
        let Ok(value) = value.replace("+Inf", "inf").parse() else { return Some("no number") };
        let name = series.split('{').next().unwrap_or_default();
        let Some(family) = self.families.get_mut(current) else { return Some("a sample before any family") };
        let part = name.strip_prefix(current);
        let belongs = match family.kind.as_str() {
            "histogram" => part.is_some_and(|part| ["_bucket", "_sum", "_count"].contains(&part)),
            "counter" => part == Some("") && name.ends_with("_total"),
            _ => part == Some(""),
        };
        family.samples.push((series.to_owned(), value));
        (!belongs).then_some("a sample that is not of the family before it")
    }

    /// The names that a query may use.
    pub fn names(&self) -> BTreeSet<String> {
        let samples = self.families.values().flat_map(|family| &family.samples);
        samples.map(|(series, _)| series.split('{').next().unwrap_or_default().to_owned()).collect()
    }

    /// The sum of a name's samples whose labels contain `label`; None where there is none.
    pub fn value(&self, name: &str, label: &str) -> Option<f64> {
        let samples = self.families.values().flat_map(|family| &family.samples);
        let mut found = samples.filter(|(series, _)| series.split('{').next() == Some(name) && series.contains(label));
        let first = found.next()?.1;
        Some(found.fold(first, |sum, (_, value)| sum + value))
    }
}

/// What `http://ADDRESS/metrics` tells.
///
/// # Errors
/// In words, when it is not reached or does not answer with 200 and the format's media type.
pub fn scrape(address: &str) -> Result<Exposition, String> {
    let told = |error: std::io::Error| format!("{address}: {error}");
    let socket = address.to_socket_addrs().map_err(told)?.next().ok_or("no address")?;
    let mut stream = TcpStream::connect_timeout(&socket, SCRAPE).map_err(told)?;
    stream.set_read_timeout(Some(SCRAPE)).map_err(told)?;
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").map_err(told)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(told)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{address} answered {answer:?}"))?;
    let is_told = head.split_once(' ').is_some_and(|(_, rest)| rest.starts_with("200"));
    match is_told && head.contains("text/plain; version=0.0.4") {
        true => Ok(Exposition::parse(body)),
        false => Err(format!("{address} answered {head:?}")),
    }
}

/// The metrics that a PromQL expression names: what is left when strings, labels, ranges and functions are gone.
pub fn metrics_of(expression: &str) -> BTreeSet<String> {
    let mut plain = String::new();
    let mut closing = Vec::new();
    let mut rest = expression;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '{' => closing.push('}'),
            '[' => closing.push(']'),
            _ if closing.last() == Some(&c) => {
                closing.pop();
            }
            _ if closing.is_empty() => plain.push(c),
            _ => {}
        }
    }
    // Grouping labels stand in brackets after these words.
    for word in ["by", "without", "on", "ignoring"] {
        while let Some(at) = plain.find(&format!(" {word} (")) {
            let end = plain[at..].find(')').map_or(plain.len(), |end| at + end + 1);
            plain.replace_range(at..end, " ");
        }
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = BTreeSet::new();
    let mut rest = plain.as_str();
    while let Some(start) = rest.find(|c: char| is_part(c) && !c.is_ascii_digit()) {
        // A digit's tail is a number's, as in 1e3.
        let number = rest[..start].ends_with(|c: char| c.is_ascii_digit());
        let word = &rest[start..];
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        let function = word[end..].trim_start().starts_with('(');
        if !number && !function {
            found.insert(word[..end].to_owned());
        }
        rest = &word[end..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_text_has_no_faults() {
        let text = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"y z\"} 3\n# HELP h H.\n# TYPE h histogram\n\
                    h_sum 1.5\nh_count 2\nh_bucket{le=\"+Inf\"} 2\n";
        let read = Exposition::parse(text);
        assert_eq!(read.faults, Vec::<String>::new());
        assert_eq!(read.value("a_total", "x=\"y z\""), Some(3.0));
        assert_eq!(read.value("a_total", "x=\"no\""), None);
        assert!(read.names().contains("h_bucket"));
    }

    #[test]
    fn what_is_missing_is_found() {
        for (text, fault) in [
            ("a 1\n", "before any family"),
            ("# TYPE a gauge\na 1\n", "without its HELP"),
            ("# HELP a .\n# TYPE a gauge\na 1\n", "a has no help"),
            ("# HELP a A.\na 1\n", "a has no type"),
            ("# HELP a A.\n# TYPE a gauge\n", "a has no samples"),
            ("# HELP a A.\n# TYPE a gauge\nb 1\n", "not of the family"),
            ("# HELP a A.\n# TYPE a counter\na 1\n", "not of the family"),
            ("# HELP a A.\n# TYPE a gauge\na 1\n# HELP a A.\n", "second HELP"),
            ("# HELP a A.\n# TYPE a gauge\na x\n", "no number"),
        ] {
            let faults = Exposition::parse(text).faults;
            assert!(faults.iter().any(|found| found.contains(fault)), "{text:?}: {faults:?}");
        }
    }

    #[test]
    fn names_are_found_in_expressions() {
        let names = |expression| metrics_of(expression).into_iter().collect::<Vec<_>>();
        assert_eq!(names("histogram_quantile(0.99, sum by (le, x) (rate(a_bucket{b=~\"c_d\"}[1m])))"), ["a_bucket"]);
        assert_eq!(names("a - b_total / 1e3"), ["a", "b_total"]);
    }
}
