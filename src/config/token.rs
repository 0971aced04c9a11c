//! A bearer token: compared in constant time, never shown.

use std::fmt;

use serde::{Serialize, Serializer};

#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Fewest characters of a token: 16 of base64 hold 96 random bits, beyond guessing over a network.
    pub const CHARACTERS_MIN: usize = 16;

    pub fn new(text: &str) -> Token {
        Token(text.to_owned())
    }

    /// Whether the text presented is the token. Takes as long for a near miss as for a far one.
    pub fn matches(&self, presented: &str) -> bool {
        let (own, presented) = (self.0.as_bytes(), presented.as_bytes());
        let mut difference = own.len() ^ presented.len();
        for (index, byte) in own.iter().enumerate() {
            difference |= usize::from(byte ^ presented.get(index).copied().unwrap_or(0));
        }
        difference == 0
    }

    /// The token itself, for a client to present.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("hidden")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_matches() {
        let token = Token::new("correct-horse-battery");
        assert!(token.matches("correct-horse-battery"));
        for wrong in ["", "correct-horse-batterz", "correct-horse", "correct-horse-battery-staple"] {
            assert!(!token.matches(wrong), "{wrong}");
        }
    }

    #[test]
    fn it_shows_in_no_output() {
        let token = Token::new("correct-horse-battery");
        assert!(!format!("{token:?}").contains("horse"));
        assert_eq!(serde_json::to_value(&token).unwrap(), "hidden");
    }
}
