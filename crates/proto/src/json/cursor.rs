//! Where in a document the decoder is, and what it found there that is not an error by itself.

use std::fmt::Write;

#[derive(Debug)]
pub(super) enum Step {
    Field(&'static str),
    /// Into a struct whose members stand among its owner's, by its name. Go's type errors name it, strict decoding doesn't.
    Inline(&'static str),
    Key(String),
    Index(usize),
}

/// The decoder's place and findings.
#[derive(Debug, Default)]
pub struct Cursor {
    pub(super) path: Vec<Step>,
    /// The struct whose member is being read, without its package: "JobSpec".
    pub(super) within: &'static str,
    /// Unknown and duplicate fields, in the order met.
    pub(super) problems: Vec<String>,
    /// The text of the error that ended decoding, where it is ours and not the parser's.
    pub(super) error: Option<String>,
    pub(super) api_version: String,
    pub(super) kind: String,
}

/// Like Kubernetes' decoder, stop listing problems after so many.
const PROBLEM_LIMIT: usize = 100;

impl Cursor {
    /// "spec.template.spec.containers[0].image": as strict decoding names a field.
    fn strict_path(&self, last: &str) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) => join(&mut text, name),
                Step::Inline(_) => {}
                Step::Key(key) => join(&mut text, key),
                Step::Index(index) => {
                    let _ = write!(text, "[{index}]");
                }
            }
        }
        join(&mut text, last);
        text
    }

    /// "spec.template.spec.containers.image": as a type error names a field.
    fn struct_path(&self) -> String {
        let fields = self.path.iter().filter_map(|step| match step {
            Step::Field(name) | Step::Inline(name) => Some(*name),
            Step::Key(_) | Step::Index(_) => None,
        });
        fields.collect::<Vec<_>>().join(".")
    }

    pub(super) fn unknown(&mut self, key: &str) {
        self.problem("unknown", key);
    }

    pub(super) fn duplicate(&mut self, key: &str) {
        self.problem("duplicate", key);
    }

    fn problem(&mut self, what: &str, key: &str) {
        if self.problems.len() < PROBLEM_LIMIT {
            let text = format!("{what} field \"{}\"", self.strict_path(key));
            if !self.problems.contains(&text) {
                self.problems.push(text);
            }
        }
    }

    /// A JSON value of another type than the field's.
    pub(super) fn mismatch(&mut self, found: &str, go: &str) {
        let path = self.struct_path();
        self.error.get_or_insert_with(|| match path.is_empty() {
            true => format!("json: cannot unmarshal {found} into Go value of type {go}"),
            false => format!("json: cannot unmarshal {found} into Go struct field {}.{path} of type {go}", self.within),
        });
    }

    /// A value of the right type that cannot be read; the text stands alone.
    pub(super) fn fail(&mut self, text: String) {
        self.error.get_or_insert(text);
    }
}

fn join(text: &mut String, part: &str) {
    if !text.is_empty() {
        text.push('.');
    }
    text.push_str(part);
}
