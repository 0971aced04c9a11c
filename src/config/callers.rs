//! Who may call the API: named tokens, each known by its hash alone, and what its holder may do.

use std::path::Path;

use serde::{Serialize, Serializer};

use super::Token;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read everything, SQL included.
    Viewer,
    /// That, and change what headroom does: pause, resume.
    Operator,
}

/// One line of the tokens' file: `name: sha256 of the token in hex`, and `viewer` or `operator`.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    pub name: String,
    pub role: Role,
    digest: [u8; 32],
}

/// Callers of one file: more are not people.
const CALLERS_MAX: usize = 1_000;
pub const FILE_BYTES_MAX: u64 = 256 << 10;

/// What a token is compared by. Tokens are random and long, so that one round of a plain hash hides them.
pub fn digest(token: &str) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    <[u8; 32]>::try_from(digest.as_ref()).unwrap_or_default() // SHA-256 has 32 bytes
}

/// Whether two digests are the same, in a time that does not tell where they differ.
pub fn is_same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differences = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differences) == 0
}

impl Caller {
    /// Whether this caller's token has that digest.
    pub fn has(&self, digest: &[u8; 32]) -> bool {
        is_same(&self.digest, digest)
    }

    pub fn new(name: &str, role: Role, token: &Token) -> Caller {
        Caller { name: name.to_owned(), role, digest: digest(token.reveal()) }
    }

    /// The callers of a file; what is wrong with it names the line.
    pub fn parse(text: &str) -> Result<Vec<Caller>, String> {
        let mut callers: Vec<Caller> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
            if line.is_empty() {
                continue;
            }
            let caller = Caller::of_line(line).map_err(|cause| format!("line {number}: {cause}"))?;
            if callers.iter().any(|other| other.name == caller.name) {
                return Err(format!("line {number}: `{}` is there twice", caller.name));
            }
            if callers.len() == CALLERS_MAX {
                return Err(format!("more than {CALLERS_MAX} tokens"));
            }
            callers.push(caller);
        }
        if callers.is_empty() { Err("holds no token".into()) } else { Ok(callers) }
    }

    fn of_line(line: &str) -> Result<Caller, String> {
        let (name, rest) = line.split_once(':').ok_or("no colon after the name")?;
        let name = name.trim();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
            return Err(format!("`{}` is not a name of letters, digits and . _ - @", name.escape_debug()));
        }
        let mut words = rest.split_whitespace();
        let hash = words.next().ok_or("no hash after the name")?;
        let mut digest = [0; 32];
        hex::decode_to_slice(hash.strip_prefix("sha256:").unwrap_or(hash), &mut digest)
            .map_err(|_| "the hash is not 64 digits of hexadecimal, such as `sha256sum` prints".to_owned())?;
        let role = match words.next() {
            None | Some("viewer") => Role::Viewer,
            Some("operator") => Role::Operator,
            Some(other) => return Err(format!("`{}` is neither viewer nor operator", other.escape_debug())),
        };
        match words.next() {
            None => Ok(Caller { name: name.to_owned(), role, digest }),
            Some(_) => Err("more than a name, a hash and a role".into()),
        }
    }

    /// Where a file of tokens cannot be used.
    pub fn remedy(path: &Path) -> String {
        format!(
            "write lines such as `ada: $(printf %s TOKEN | sha256sum | cut -d' ' -f1) operator` into {}",
            path.display()
        )
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:?}", self.name, self.role)
    }
}

impl Serialize for Caller {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}: {:?}", self.name, self.role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"; // of `test`

    #[test]
    fn a_file_names_callers_with_their_roles() {
        let text = format!("# people\nada: {HASH} operator\n\nbob: sha256:{HASH} # looks only\n");
        let callers = Caller::parse(&text).unwrap();
        assert_eq!(format!("{callers:?}"), "[ada: Operator, bob: Viewer]");
        assert!(callers[0].has(&digest("test")) && !callers[0].has(&digest("tesT")));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, cause) in [
            ("", "holds no token"),
            ("ada", "line 1: no colon after the name"),
            ("a b: x", "line 1: `a b` is not a name of letters, digits and . _ - @"),
            ("ada: secret", "line 1: the hash is not 64 digits of hexadecimal, such as `sha256sum` prints"),
            (&format!("ada: {HASH}\nada: {HASH}"), "line 2: `ada` is there twice"),
            (&format!("ada: {HASH} root"), "line 1: `root` is neither viewer nor operator"),
        ] {
            assert_eq!(Caller::parse(text), Err(cause.to_owned()), "{text}");
        }
    }
}
