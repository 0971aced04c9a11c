//! A bearer token: compared in constant time, never shown.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Serialize, Serializer};

/// How Standard Webhooks has the text of a secret begin.
const STANDARD_WEBHOOKS: &str = "whsec_";

/// With or without the `=` at its end: both are seen.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

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

    /// The bytes that sign by it (HMAC). Standard Webhooks writes them in Base64 behind `whsec_`; of any other text they are its
    /// own.
    ///
    /// # Errors
    /// Where no Base64 stands behind `whsec_`.
    pub fn signing_key(&self) -> Result<Vec<u8>, &'static str> {
        match self.0.strip_prefix(STANDARD_WEBHOOKS) {
            None => Ok(self.0.as_bytes().to_vec()),
            Some(encoded) => BASE64
                .decode(encoded)
                .ok()
                .filter(|key| !key.is_empty())
                .ok_or("what stands behind whsec_ is no Base64"),
        }
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
    fn a_secret_of_standard_webhooks_signs_by_the_bytes_that_it_stands_for() {
        let key = |text: &str| Token::new(text).signing_key();
        assert_eq!(key("correct-horse-battery").unwrap(), b"correct-horse-battery");
        for text in ["whsec_Y29ycmVjdC1ob3JzZQ==", "whsec_Y29ycmVjdC1ob3JzZQ"] {
            assert_eq!(key(text).unwrap(), b"correct-horse");
        }
        assert!(key("whsec_no base64!").is_err() && key("whsec_").is_err());
    }

    #[test]
    fn it_shows_in_no_output() {
        let token = Token::new("correct-horse-battery");
        assert!(!format!("{token:?}").contains("horse"));
        assert_eq!(serde_json::to_value(&token).unwrap(), "hidden");
    }
}
