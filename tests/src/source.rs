//! Reading Rust just well enough to check its shape: where code is, and where functions begin and end.

/// A source text whose comments and literals have been blanked, so that words in them are not code.
pub struct Source {
    code: String,
}

impl Source {
    pub fn new(text: &str) -> Source {
        Source { code: blank(text) }
    }

    pub fn code(&self) -> &str {
        &self.code
    }

    /// The code before the inline test module.
    pub fn code_without_tests(&self) -> &str {
        &self.code[..self.tests_begin()]
    }

    /// How many lines the file has when its inline test module is left out.
    pub fn lines_without_tests(&self) -> usize {
        self.code_without_tests().lines().count()
    }

    fn tests_begin(&self) -> usize {
        let mut from = 0;
        while let Some(found) = self.code[from..].find("#[cfg(test)]") {
            let at = from + found;
            let after = self.code[at + "#[cfg(test)]".len()..].trim_start();
            let after = after.strip_prefix("pub(crate) ").unwrap_or(after);
            // A module declared here and written elsewhere does not end the file.
            let opens = after.find(['{', ';']).is_some_and(|end| after[end..].starts_with('{'));
            if after.starts_with("mod ") && opens {
                return at;
            }
            from = at + 1;
        }
        self.code.len()
    }
}

/// A function and its size.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// The line of its `fn`, from 1.
    pub line: usize,
    /// From `fn` to the closing brace.
    pub lines: usize,
}

/// The functions before the inline test module.
pub fn functions(text: &str) -> Vec<Function> {
    let source = Source::new(text);
    let code = source.code_without_tests();
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find("fn ").map(|at| from + at) {
        from = at + 3;
        let begins = code[..at].chars().next_back().is_none_or(|before| before.is_whitespace() || before == '(');
        let name: String = code[from..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !begins || name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(&code[from..]) {
            let line = code[..at].matches('\n').count() + 1;
            let lines = code[at..from + end].matches('\n').count() + 1;
            found.push(Function { name, line, lines });
        }
    }
    found
}

/// The end of the function's body; None where it has none (a trait's declaration).
fn body_end(code: &str) -> Option<usize> {
    // In a signature, braces and semicolons occur in array types alone: `[u8; 4]`.
    let (mut brackets, mut depth) = (0_u32, 0_u32);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'[' | b'(' if depth == 0 => brackets += 1,
            b']' | b')' if depth == 0 => brackets = brackets.saturating_sub(1),
            b';' if depth == 0 && brackets == 0 => return None,
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The text with comments and the insides of string and character literals replaced by blanks; lines stay.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => until(bytes, at, b"\n"),
            b'/' if bytes.get(at + 1) == Some(&b'*') => comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if !follows_word(bytes, at) => match raw_string_end(bytes, at) {
                Some(end) => end,
                None => at + 1,
            },
            b'\'' => character_end(bytes, at),
            _ => at + 1,
        };
        if end > at + 1 {
            for byte in out[at..end].iter_mut().filter(|byte| **byte != b'\n') {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') && bytes[at - 1] != b'b'
}

fn until(bytes: &[u8], at: usize, end: &[u8]) -> usize {
    let rest = &bytes[at..];
    rest.windows(end.len()).position(|window| window == end).map_or(bytes.len(), |found| at + found)
}

fn comment_end(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = at + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    Some((until(bytes, open + 1, &close) + close.len()).min(bytes.len()))
}

/// A character literal; a lifetime is left as it is.
fn character_end(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at + 1) == Some(&b'\\') {
        return (until(bytes, at + 3, b"'") + 1).min(bytes.len());
    }
    // One character of up to four bytes, then the closing quote.
    let close = (at + 2..=at + 5).find(|close| bytes.get(*close) == Some(&b'\''));
    match close {
        Some(close) if std::str::from_utf8(&bytes[at + 1..close]).is_ok_and(|text| text.chars().count() == 1) => {
            close + 1
        }
        _ => at + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_comments_and_literals_are_not_code() {
        let source = Source::new("let a = \"todo {\"; // fn b\n/* { */ let c = '{'; let r = r#\"}\"#; fn d<'x>() {}");
        assert!(!source.code().contains(['}', '{']) || source.code().matches('{').count() == 1);
        assert!(source.code().contains("fn d<'x>()"));
        assert!(!source.code().contains("fn b"));
    }

    #[test]
    fn functions_are_measured_and_tests_left_out() {
        let text = "fn a() {\n  if x {\n  }\n}\ntrait T { fn b(x: [u8; 4]);\n fn c() { 1 } }\n#[cfg(test)]\nmod tests {\n fn d() {}\n}\n";
        let found: Vec<(String, usize, usize)> =
            functions(text).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("a".into(), 1, 4), ("c".into(), 6, 1)]);
        assert_eq!(Source::new(text).lines_without_tests(), 6);
    }
}
