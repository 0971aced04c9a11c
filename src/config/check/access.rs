//! Who may connect: tokens and certificates.

use std::path::PathBuf;

use super::{At, Checker};
use crate::config::{Tls, Token};

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
        let (path, text) = match (at.node.text("token"), at.node.text("token_file")) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                self.problem(&at.key("token"), "is given twice", "keep token or token_file");
                return None;
            }
            (Some(token), None) => (at.key("token"), token.to_owned()),
            (None, Some(file)) => {
                let path = at.key("token_file");
                match std::fs::read_to_string(self.directory.join(file)) {
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
                format!("a token has at least {} characters, printable and without spaces", Token::CHARACTERS_MIN);
            self.problem(&path, cause, remedy);
            return None;
        }
        Some(Token::new(&text))
    }
}
