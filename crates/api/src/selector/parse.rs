//! The query form of label selectors.
//!
//! ```text
//! selector     requirement ["," selector]
//! requirement  ["!"] KEY | KEY ("="|"=="|"!="|"<"|">") [VALUE] | KEY ("in"|"notin") "(" [VALUE] {"," [VALUE]} ")"
//! ```
//!
//! `in` and `notin` are operators only between a key and its values: `in in (in)` is a selector.

use std::collections::BTreeSet;

use super::label::{Operator, Requirement};
use crate::field::{Error, Path};
use crate::names;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    End,
    Open,
    Close,
    Comma,
    Not,
    Compare(Operator),
    Word(&'a str),
    Wrong,
}

/// A token and its text as error messages show it.
type Scanned<'a> = (Token<'a>, String);

/// All requirements of `text`, in its order.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    let mut parser = Parser { tokens: scan(text), at: 0 };
    let mut found = Vec::new();
    loop {
        match parser.peek() {
            Token::Word(_) | Token::Not => {}
            Token::End => return Ok(found),
            _ => return Err(format!("found '{}', expected: !, identifier, or 'end of string'", parser.text())),
        }
        found.push(parser.requirement().map_err(|error| format!("unable to parse requirement: {error}"))?);
        match parser.next() {
            (Token::End, _) => return Ok(found),
            (Token::Comma, _) if matches!(parser.peek(), Token::Word(_) | Token::Not) => {}
            (Token::Comma, _) => {
                return Err(format!("found '{}', expected: identifier after ','", parser.text()));
            }
            (_, text) => return Err(format!("found '{text}', expected: ',' or 'end of string'")),
        }
    }
}

fn is_special(c: u8) -> bool {
    matches!(c, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<')
}

fn is_blank(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\r' | b'\n')
}

/// Splits into tokens; the last is `End`. A NUL ends the text, as it does in Kubernetes' scanner.
fn scan(text: &str) -> Vec<Scanned<'_>> {
    let text = text.split('\0').next().unwrap_or_default();
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        if is_blank(bytes[at]) {
            at += 1;
        } else if is_special(bytes[at]) {
            let (token, len) = symbol(&bytes[at..]);
            at += len;
            let shown = match token {
                Token::Wrong => format!("error expected: keyword found '{}'", &text[start..at]),
                _ => text[start..at].to_string(),
            };
            tokens.push((token, shown));
        } else {
            while at < bytes.len() && !is_special(bytes[at]) && !is_blank(bytes[at]) {
                at += 1;
            }
            let word = &text[start..at];
            tokens.push((Token::Word(word), word.to_string()));
        }
    }
    tokens.push((Token::End, String::new()));
    tokens
}

/// The longest symbol at the start of `bytes`, which starts with a special character.
fn symbol(bytes: &[u8]) -> (Token<'static>, usize) {
    match bytes {
        [b'=', b'=', ..] => (Token::Compare(Operator::DoubleEquals), 2),
        [b'!', b'=', ..] => (Token::Compare(Operator::NotEquals), 2),
        [b'=', ..] => (Token::Compare(Operator::Equals), 1),
        [b'>', ..] => (Token::Compare(Operator::GreaterThan), 1),
        [b'<', ..] => (Token::Compare(Operator::LessThan), 1),
        [b'!', ..] => (Token::Not, 1),
        [b'(', ..] => (Token::Open, 1),
        [b')', ..] => (Token::Close, 1),
        [b',', ..] => (Token::Comma, 1),
        _ => (Token::Wrong, bytes.len()),
    }
}

struct Parser<'a> {
    tokens: Vec<Scanned<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).map_or(Token::End, |(token, _)| *token)
    }

    fn text(&self) -> String {
        self.tokens.get(self.at).map(|(_, text)| text.clone()).unwrap_or_default()
    }

    fn next(&mut self) -> Scanned<'a> {
        let scanned = self.tokens.get(self.at).cloned().unwrap_or((Token::End, String::new()));
        self.at += 1;
        scanned
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = self.peek() == Token::Not;
        if negated {
            self.next();
        }
        let key = match self.next() {
            (Token::Word(key), _) => key,
            (_, text) => return Err(format!("found '{text}', expected: identifier")),
        };
        let problems = names::label_key(key);
        if !problems.is_empty() {
            // Kubernetes passes no path here, and its printer says so.
            return Err(Error::invalid(&Path::new("<nil>"), key, &problems.join("; ")).to_string());
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let (operator, values) = match self.next() {
            (Token::Word("in"), _) => (Operator::In, self.set()?),
            (Token::Word("notin"), _) => (Operator::NotIn, self.set()?),
            (Token::Compare(operator), _) => (operator, vec![self.exact()?]),
            (_, text) => return Err(format!("found '{text}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        Requirement::new(key, operator, values)
    }

    fn exact(&mut self) -> Result<String, String> {
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.next() {
            (Token::Word(value), _) => Ok(value.to_string()),
            (_, text) => Err(format!("found '{text}', expected: identifier")),
        }
    }

    /// `(a,,b)`: a missing value is the empty one.
    fn set(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            (Token::Open, _) => {}
            (_, text) => return Err(format!("found '{text}' expected: '('")),
        }
        let mut values = BTreeSet::new();
        let mut missing = true;
        loop {
            match self.next() {
                (Token::Word(value), _) if missing => {
                    values.insert(value.to_string());
                    missing = false;
                }
                (Token::Comma, _) => {
                    if missing {
                        values.insert(String::new());
                    }
                    missing = true;
                }
                (Token::Close, _) => {
                    if missing {
                        values.insert(String::new());
                    }
                    return Ok(values.into_iter().collect());
                }
                (_, text) if missing && values.is_empty() => {
                    return Err(format!("found '{text}', expected: ',', ')' or identifier"));
                }
                (_, text) if missing => return Err(format!("found '{text}', expected: ',', or identifier")),
                (_, text) => return Err(format!("found '{text}', expected: ',' or ')'")),
            }
        }
    }
}
