//! Who may connect: tokens and certificates.

use std::net::IpAddr;
use std::path::PathBuf;

use super::{At, Checker};
use crate::config::jwks::{self, Jwks};
use crate::config::{Caller, HostName, Oidc, People, Tls, Token, TokenReview, Who, callers, host_of, is_own};
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

    pub(super) fn oidc(&mut self, api: &At<'_>) -> Option<Oidc> {
        let at = At { path: api.key("oidc"), node: api.node.section("oidc")? };
        let issuer = self.word(&at, "issuer", "write the provider's address, as its tokens name it");
        let audience = self.word(&at, "audience", "write whom the tokens are for, such as headroom");
        let people = self.people(&at);
        let issuer = issuer?;
        let host = issuer.strip_prefix("https://").or_else(|| loopback_http(&issuer));
        let keys = match at.node.text("keys_file") {
            Some(file) => {
                let (path, file) = (at.key("keys_file"), self.directory.join(file));
                let read = disk::read_text(&file, jwks::BYTES_MAX)
                    .map_err(|error| format!("cannot read {}: {error}", file.display()))
                    .and_then(|text| Jwks::parse(&text).map_err(|cause| format!("{}: {cause}", file.display())));
                match read {
                    Ok(keys) => Some(keys),
                    Err(cause) => {
                        self.problem(&path, cause, "write the provider's JSON Web Key Set (RFC 7517) there");
                        return None;
                    }
                }
            }
            None if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) => {
                let remedy = "begin it with https://, or give its keys with keys_file";
                self.problem(&at.key("issuer"), format!("`{issuer}` is not an address that can be asked"), remedy);
                return None;
            }
            None => None,
        };
        let ca_file = match at.node.text("ca_file") {
            Some(_) => Some(self.file(&at.key("ca_file"), at.node.text("ca_file"), "the authority, PEM")?),
            None => None,
        };
        let claim = |key: &str, default: &str| at.node.text(key).unwrap_or(default).to_owned();
        let (name_claim, groups_claim) = (claim("name_claim", "sub"), claim("groups_claim", "groups"));
        Some(Oidc { issuer, audience: audience?, keys, ca_file, name_claim, groups_claim, people })
    }

    pub(super) fn token_review(&mut self, api: &At<'_>) -> Option<TokenReview> {
        let at = At { path: api.key("token_review"), node: api.node.section("token_review")? };
        let audience = self.word(&at, "audience", "write whom the tokens are for, such as headroom");
        let people = self.people(&at);
        Some(TokenReview { audience: audience?, people })
    }

    fn word(&mut self, at: &At<'_>, key: &str, remedy: &str) -> Option<String> {
        match at.node.text(key).map(str::trim) {
            Some(text) if !text.is_empty() => Some(text.to_owned()),
            _ => {
                self.problem(&at.key(key), "is missing", remedy);
                None
            }
        }
    }

    /// Who may do what; without anybody the section lets nobody in.
    fn people(&mut self, at: &At<'_>) -> People {
        let list = |key: &str| at.node.text(key).map(Who::list).unwrap_or_default();
        let people = People { operators: list("operators"), viewers: list("viewers") };
        if people == People::default() {
            let remedy = "list names, `group:NAME` or `*` in viewers or operators";
            self.problem(&at.path, "lets nobody in", remedy);
        }
        people
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

    /// One that signs (HMAC): `secret`, or what stands in `secret_file`.
    pub(super) fn signing_secret(&mut self, at: &At<'_>) -> Option<Token> {
        let secret = self.token_of(at, "secret", "secret_file")?;
        if let Err(cause) = secret.signing_key() {
            let key = if at.node.text("secret").is_some() { "secret" } else { "secret_file" };
            let remedy = "write whsec_ and the Base64 that its other side has, or a text that begins otherwise";
            self.problem(&at.key(key), cause, remedy);
            return None;
        }
        Some(secret)
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

/// Without TLS on this machine alone, where tests and proxies are.
fn loopback_http(address: &str) -> Option<&str> {
    let rest = address.strip_prefix("http://")?;
    let host = host_of(rest.split('/').next().unwrap_or(rest));
    (is_own(host) && !host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback())).then_some(rest)
}
