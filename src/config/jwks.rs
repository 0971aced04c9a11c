//! Public keys that sign tokens: a JSON Web Key Set (RFC 7517) of RSA, P-256 and Ed25519 keys. Others are left out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

/// A provider has a few keys, of a kilobyte each.
pub const BYTES_MAX: u64 = 256 << 10;
const KEYS_MAX: usize = 100;

/// How a token is signed (RFC 7518, 3.1; RFC 8037), of those that providers use. `none` and shared secrets are none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Public {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    public: Public,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jwks {
    keys: Vec<Key>,
}

/// A key as it is written; which members matter says `kty`.
#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

impl Jwks {
    pub fn parse(text: &str) -> Result<Jwks, String> {
        let set: Set = serde_json::from_str(text).map_err(|error| format!("is not a JSON Web Key Set: {error}"))?;
        if set.keys.len() > KEYS_MAX {
            return Err(format!("has more than {KEYS_MAX} keys"));
        }
        let keys: Vec<Key> = set.keys.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() { Err("has no RSA, P-256 or Ed25519 key for signatures".into()) } else { Ok(Jwks { keys }) }
    }

    /// Whether a key of this name is there; a token that names none goes with any.
    pub fn has(&self, id: Option<&str>) -> bool {
        id.is_none_or(|id| self.keys.iter().any(|key| key.id.as_deref() == Some(id)))
    }

    /// Whether one of the keys made this signature in this way.
    pub fn verify(&self, id: Option<&str>, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let fits = |key: &&Key| id.is_none() || key.id.as_deref() == id;
        self.keys.iter().filter(fits).any(|key| key.public.verify(algorithm, message, signature))
    }
}

impl Key {
    /// None where it is not for signatures, or not of a kind that is known.
    fn read(value: serde_json::Value) -> Option<Key> {
        let written: Written = serde_json::from_value(value).ok()?;
        if written.used_for.as_deref().is_some_and(|used_for| used_for != "sig") {
            return None;
        }
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?.trim_end_matches('=')).ok();
        let public = match (written.kty.as_str(), written.crv.as_deref()) {
            ("RSA", _) => Public::Rsa { modulus: bytes(&written.n)?, exponent: bytes(&written.e)? },
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(&written.x)?, bytes(&written.y)?);
                // An uncompressed point (SEC 1, 2.3.3).
                (x.len() == 32 && y.len() == 32).then(|| Public::P256([&[4][..], &x, &y].concat()))?
            }
            ("OKP", Some("Ed25519")) => Public::Ed25519(bytes(&written.x)?),
            _ => return None,
        };
        Some(Key { id: written.kid, public })
    }
}

impl Public {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm) {
            (Public::Rsa { modulus, exponent }, Algorithm::Rs256) => RsaPublicKeyComponents { n: modulus, e: exponent }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            (Public::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            (Public::Ed25519(key), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
            }
            // A key is used in its own way alone: a public key is no shared secret.
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_for_other_uses_and_of_other_kinds_are_left_out() {
        let rsa = r#"{"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"}"#;
        let keys = |keys: &str| Jwks::parse(&format!(r#"{{"keys": [{keys}]}}"#));
        assert!(keys(rsa).unwrap().has(Some("a")) && !keys(rsa).unwrap().has(Some("b")));
        for none in [
            "",
            r#"{"kty": "oct", "k": "c2VjcmV0"}"#,
            r#"{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}"#,
            r#"{"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}"#,
            "7",
        ] {
            assert_eq!(keys(none), Err("has no RSA, P-256 or Ed25519 key for signatures".into()), "{none}");
        }
        assert!(Jwks::parse("[]").unwrap_err().starts_with("is not a JSON Web Key Set"));
    }
}
