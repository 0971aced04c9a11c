//! `${env:NAME}`, `${NAME}` and `${file:PATH}` in values, as the OpenTelemetry Collector has them; `$$` stands for `$`.
//!
//! Expanded in values alone, after the YAML was read: what comes from outside can hold no key.

use std::path::Path;

use super::node::Node;
use super::problem::Problem;
use crate::disk;

/// Values are lines: an address, a token, a size.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The same sections with every placeholder replaced, and what could not be.
pub(super) fn expand(root: &Node, directory: &Path) -> (Node, Vec<Problem>) {
    let mut problems = Vec::new();
    let expanded = root.map_texts("", &mut |path, text| {
        text_of(text, directory).unwrap_or_else(|(cause, remedy)| {
            problems.push(Problem { path: path.to_owned(), cause, remedy: remedy.to_owned() });
            text.to_owned()
        })
    });
    (expanded, problems)
}

type Wrong = (String, &'static str);

fn text_of(text: &str, directory: &Path) -> Result<String, Wrong> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let Some((placeholder, after)) = after.split_once('}') else {
                return Err((format!("`{}` is not closed", &rest[at..]), "end it with }, or write $$ for a $"));
            };
            expanded.push_str(&value_of(placeholder, directory)?);
            rest = after;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn value_of(placeholder: &str, directory: &Path) -> Result<String, Wrong> {
    if let Some(file) = placeholder.strip_prefix("file:") {
        let text = disk::read_text(&directory.join(file), FILE_BYTES_MAX)
            .map_err(|error| (format!("cannot read {file}: {error}"), "name a file that exists and is readable"))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    let (name, default) = match placeholder.strip_prefix("env:").unwrap_or(placeholder).split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (placeholder.strip_prefix("env:").unwrap_or(placeholder), None),
    };
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if !is_name(name) {
        let remedy = "write ${env:NAME} or ${file:PATH}, or $$ for a $";
        return Err((format!("`${{{placeholder}}}` is not a placeholder"), remedy));
    }
    match std::env::var(name) {
        Ok(value) => Ok(value),
        Err(_) => default.map(str::to_owned).ok_or_else(|| {
            (format!("the environment has no {name}"), "set it, or give a default with ${env:NAME:-default}")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        text_of(text, Path::new("/")).map_err(|(cause, _)| cause)
    }

    /// `PATH` is there wherever tests run.
    #[test]
    fn placeholders_are_replaced_as_the_collector_does() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(expanded("${env:PATH}"), Ok(path.clone()));
        assert_eq!(expanded("a ${PATH} b"), Ok(format!("a {path} b")));
        assert_eq!(expanded("${env:HEADROOM_IS_NOT_SET:-x:y}"), Ok("x:y".into()));
        assert_eq!(expanded("$$ $${env:PATH} 5$ $x"), Ok("$ ${env:PATH} 5$ $x".into()));
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), "s3cret\n").unwrap();
        assert_eq!(text_of("${file:token}", directory.path()).unwrap(), "s3cret");
    }

    #[test]
    fn a_placeholder_that_is_left_over_is_an_error() {
        for (text, cause) in [
            ("${env:HEADROOM_IS_NOT_SET}", "the environment has no HEADROOM_IS_NOT_SET"),
            ("${env:", "`${env:` is not closed"),
            ("${http://x}", "`${http://x}` is not a placeholder"),
            ("${}", "`${}` is not a placeholder"),
            ("${file:/dev/zero}", "cannot read /dev/zero: not a regular file"),
        ] {
            assert_eq!(expanded(text), Err(cause.to_owned()), "{text}");
        }
    }
}
