//! Who may connect: tokens and certificates.

use std::path::PathBuf;

use super::{At, Checker};
use crate::config::{Caller, HostName, Tls, Token, callers};
use crate::disk;

/// A token is a line.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

impl Checker<'_> {
    pub(super) fn tls(&mut self, receive: &At<'_>) -> Option<Tls> {
        let tls = At { path: receive.key("tls"), node: receive.node.section("tls")? };
        let mut file = |key: &str, what: &str| self.file(&tls.key(key), tls.node.text(key), what);
        let (cert, key) = (file("cert", "the certificate chain, PEM"), file("key", "the private key, PEM"));
        let client_ca = match tls.node.text("client_ca") {
            Some(_) => Some(file("client_ca", "the authority, PEM")?),
            None => None,
        };
        Some(Tls { cert: cert?, key: key?, client_ca })
    }

    fn file(&mut self, path: &str, file: Option<&str>, what: &str) -> Option<PathBuf> {
        let Some(file) = file else {
            self.problem(path, "is missing", format!("name the file that holds {what}"));
            return None;
        };
        let found = self.directory.join(file);
        if found.is_file() {
            return Some(found);
        }
        self.problem(path, format!("{} is not a file", found.display()), format!("name the file that holds {what}"));
        None
    }

    /// The token of a section, written there or in a file.
    pub(super) fn token(&mut self, at: &At<'_>) -> Option<Token> {
        self.token_of(at, "token", "token_file")
    }

    /// The same under other keys.
    pub(super) fn token_of(&mut self, at: &At<'_>, key: &str, file_key: &str) -> Option<Token> {
        let (path, text) = match (at.node.text(key), at.node.text(file_key)) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                self.problem(&at.key(key), "is given twice", format!("keep {key} or {file_key}"));
                return None;
            }
            (Some(token), None) => (at.key(key), token.to_owned()),
            (None, Some(file)) => {
                let path = at.key(file_key);
                match disk::read_text(&self.directory.join(file), TOKEN_BYTES_MAX) {
                    Ok(text) => (path, text.trim().to_owned()),
                    Err(error) => {
                        let remedy = "name a file that exists and is readable";
                        self.problem(&path, format!("cannot read {file}: {error}"), remedy);
                        return None;
                    }
                }
            }
        };
        if text.len() < Token::CHARACTERS_MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let remedy = "make one with `openssl rand -base64 24`";
            let cause =
                format!("a {key} has at least {} characters, printable and without spaces", Token::CHARACTERS_MIN);
            self.problem(&path, cause, remedy);
            return None;
        }
        Some(Token::new(&text))
    }

    /// The callers of the API by their names.
    pub(super) fn callers(&mut self, at: &At<'_>) -> Vec<Caller> {
        let Some(file) = at.node.text("tokens_file") else { return Vec::new() };
        let path = self.directory.join(file);
        let read = disk::read_text(&path, callers::FILE_BYTES_MAX)
            .map_err(|error| format!("cannot read {file}: {error}"))
            .and_then(|text| Caller::parse(&text).map_err(|cause| format!("{file}: {cause}")));
        read.unwrap_or_else(|cause| {
            self.problem(&at.key("tokens_file"), cause, Caller::remedy(&path));
            Vec::new()
        })
    }

    /// Names that the API answers to beside loopback.
    pub(super) fn hosts(&mut self, at: &At<'_>) -> Vec<HostName> {
        let mut hosts = Vec::new();
        for text in at.node.text("hosts").into_iter().flat_map(|hosts| hosts.split(',')).map(str::trim) {
            match HostName::parse(text) {
                Some(host) => hosts.push(host),
                None => {
                    let remedy = "write names such as headroom.example or *.monitoring.svc, with commas between";
                    self.problem(&at.key("hosts"), format!("`{text}` is not a host name"), remedy);
                }
            }
        }
        hosts
    }

    /// Web origins that may call the API beside its own.
    pub(super) fn origins(&mut self, at: &At<'_>) -> Vec<String> {
        let mut origins = Vec::new();
        for text in at.node.text("origins").into_iter().flat_map(|origins| origins.split(',')).map(str::trim) {
            let after_scheme = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            match after_scheme {
                Some(host) if !host.is_empty() && !host.contains(['/', '*', ' ']) => {
                    origins.push(text.to_ascii_lowercase());
                }
                _ => {
                    let remedy = "write origins such as https://grafana.example, with commas between";
                    self.problem(&at.key("origins"), format!("`{text}` is not an origin"), remedy);
                }
            }
        }
        origins
    }
}
