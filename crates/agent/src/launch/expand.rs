//! `$(NAME)` in commands, arguments and values of variables: replaced where NAME is defined, else left as it stands; `$$` is a
//! dollar sign that begins nothing, so `$$(NAME)` is `$(NAME)`.

/// Expands by Kubernetes' rules.
pub fn expand<'a>(text: &str, value_of: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let reference = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match reference {
            Some((name, after)) => {
                match value_of(name) {
                    Some(value) => out.push_str(value),
                    None => out.extend(["$(", name, ")"]),
                }
                rest = after;
            }
            None => out.push('$'),
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_kubernetes_table() {
        let value_of = |name: &str| match name {
            "A" => Some("1"),
            "EMPTY" => Some(""),
            "B" => Some("$(A)"),
            _ => None,
        };
        for (text, expanded) in [
            ("$(A)", "1"),
            ("x$(A)$(A)y", "x11y"),
            ("$(NONE)", "$(NONE)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$(B)", "$(A)"),
            ("[$(EMPTY)]", "[]"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(A", "$(A"),
            ("a$(", "a$("),
            ("$()", "$()"),
        ] {
            assert_eq!(expand(text, value_of), expanded, "{text}");
        }
    }
}
