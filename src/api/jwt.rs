//! A signed token (JWT, RFC 7519; JWS compact, RFC 7515) and what it claims, once its signature, its issuer, its audience and
//! its time were found right.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::jwks::{Algorithm, Jwks};

/// Providers that list groups make tokens of some kilobytes; heads of requests are bounded by 32 KiB.
const BYTES_MAX: usize = 16 << 10;
/// Clocks of two machines.
const LEEWAY_S: f64 = 60.0;
const GROUPS_MAX: usize = 1_000;

/// A token in its parts, of which nothing is believed yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    message: &'a [u8],
    signature: Vec<u8>,
    algorithm: Algorithm,
    key_id: Option<String>,
    claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct Header {
    alg: Algorithm,
    kid: Option<String>,
    /// Extensions that must be understood, of which none is.
    crit: Option<Value>,
}

/// What a token must be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    /// Seconds since the epoch.
    pub now_s: f64,
}

impl<'a> Unverified<'a> {
    /// None where it is no such token.
    pub fn read(token: &'a str) -> Option<Unverified<'a>> {
        let (message, signature) = token.rsplit_once('.').filter(|_| token.len() <= BYTES_MAX)?;
        let (header, claims) = message.split_once('.')?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header: Header = serde_json::from_slice(&decoded(header)?).ok()?;
        Some(Unverified {
            message: message.as_bytes(),
            signature: decoded(signature)?,
            algorithm: header.alg,
            key_id: header.kid,
            claims: serde_json::from_slice(&decoded(claims)?).ok()?,
        })
        .filter(|_| header.crit.is_none())
    }

    /// Who says to have made it.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// What it claims, if all is right; the log is told what is not.
    pub fn verify(self, keys: &Jwks, expected: Expected<'_>) -> Result<Claims, &'static str> {
        if !keys.verify(self.key_id(), self.algorithm, self.message, &self.signature) {
            return Err("its signature is not the issuer's");
        }
        if self.issuer() != Some(expected.issuer) {
            return Err("it is of another issuer");
        }
        let is_audience = |value: &Value| value.as_str() == Some(expected.audience);
        let audience = self.claims.get("aud");
        if !audience
            .is_some_and(|aud| is_audience(aud) || aud.as_array().is_some_and(|all| all.iter().any(is_audience)))
        {
            return Err("it is for another audience");
        }
        let seconds = |name: &str| self.claims.get(name).map(|value| value.as_f64().unwrap_or(f64::NAN));
        // A time that is no number is none that it holds at.
        if !seconds("exp").is_some_and(|exp| expected.now_s < exp + LEEWAY_S) {
            return Err("it has expired");
        }
        if !["nbf", "iat"].into_iter().filter_map(seconds).all(|from| from <= expected.now_s + LEEWAY_S) {
            return Err("it does not hold yet");
        }
        Ok(Claims(self.claims))
    }
}

/// What a token claims that was found right.
#[derive(Debug)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// A name as it may stand in journal and log: of letters and digits, and of signs that mean nothing there.
    pub fn name(&self, claim: &str) -> Option<&str> {
        // Whoever may choose an address at the provider is not the one who has it.
        if claim == "email" && self.0.get("email_verified") == Some(&Value::Bool(false)) {
            return None;
        }
        let is_plain = |c: char| c.is_alphanumeric() || "._-+@|/".contains(c);
        let name = self.0.get(claim)?.as_str()?;
        (!name.is_empty() && name.len() <= 128 && name.chars().all(is_plain)).then_some(name)
    }

    pub fn groups(&self, claim: &str) -> Vec<String> {
        let groups = self.0.get(claim).and_then(Value::as_array);
        let groups = groups.into_iter().flatten().take(GROUPS_MAX);
        groups.filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

#[cfg(test)]
pub mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://login.example.org";
    const NOW_S: f64 = 1_764_000_000.0;

    /// A provider with a P-256 key `a` and an Ed25519 key `b`.
    pub struct Provider {
        random: SystemRandom,
        p256: EcdsaKeyPair,
        ed25519: Ed25519KeyPair,
    }

    impl Provider {
        pub fn new() -> Provider {
            let random = SystemRandom::new();
            let of = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let p256 = EcdsaKeyPair::generate_pkcs8(of, &random).unwrap();
            let p256 = EcdsaKeyPair::from_pkcs8(of, p256.as_ref(), &random).unwrap();
            let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
            let ed25519 = Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).unwrap();
            Provider { random, p256, ed25519 }
        }

        pub fn jwks(&self) -> String {
            let (point, other) = (self.p256.public_key().as_ref(), self.ed25519.public_key().as_ref());
            let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let (x, y) = (text(&point[1..33]), text(&point[33..]));
            json!({"keys": [
                {"kty": "EC", "crv": "P-256", "use": "sig", "kid": "a", "x": x, "y": y},
                {"kty": "OKP", "crv": "Ed25519", "kid": "b", "x": text(other)},
            ]})
            .to_string()
        }

        pub fn sign(&self, header: Value, claims: &Value) -> String {
            let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let message = format!("{}.{}", text(&header), text(claims));
            let signature = match header["alg"].as_str() {
                Some("EdDSA") => self.ed25519.sign(message.as_bytes()).as_ref().to_vec(),
                _ => self.p256.sign(&self.random, message.as_bytes()).unwrap().as_ref().to_vec(),
            };
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn claims() -> Value {
        json!({"iss": ISSUER, "aud": ["other", "headroom"], "exp": NOW_S + 300.0, "iat": NOW_S, "sub": "ada", "groups": ["sre", 7]})
    }

    fn verified(token: &str, keys: &str) -> Result<Claims, &'static str> {
        let keys = Jwks::parse(keys).unwrap();
        let expected = Expected { issuer: ISSUER, audience: "headroom", now_s: NOW_S };
        Unverified::read(token).ok_or("no token")?.verify(&keys, expected)
    }

    #[test]
    fn a_token_of_the_provider_tells_who_it_is() {
        let provider = Provider::new();
        for header in
            [json!({"alg": "ES256", "kid": "a"}), json!({"alg": "EdDSA", "kid": "b"}), json!({"alg": "ES256"})]
        {
            let claims = verified(&provider.sign(header, &claims()), &provider.jwks()).unwrap();
            assert_eq!((claims.name("sub"), claims.groups("groups")), (Some("ada"), vec!["sre".to_owned()]));
        }
    }

    #[test]
    fn whatever_is_not_right_of_it_is_refused() {
        let provider = Provider::new();
        let header = || json!({"alg": "ES256", "kid": "a"});
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            verified(&provider.sign(header(), &claims), &provider.jwks()).unwrap_err()
        };
        assert_eq!(with("iss", json!("https://login.example.com")), "it is of another issuer");
        assert_eq!(with("aud", json!("someone")), "it is for another audience");
        assert_eq!(with("aud", Value::Null), "it is for another audience");
        assert_eq!(with("exp", json!(NOW_S - 61.0)), "it has expired");
        assert_eq!(with("exp", json!("tomorrow")), "it has expired");
        assert_eq!(with("nbf", json!(NOW_S + 61.0)), "it does not hold yet");
        let of_another = Provider::new().sign(header(), &claims());
        assert_eq!(verified(&of_another, &provider.jwks()).unwrap_err(), "its signature is not the issuer's");
        let of_another_key = provider.sign(json!({"alg": "ES256", "kid": "b"}), &claims());
        assert_eq!(verified(&of_another_key, &provider.jwks()).unwrap_err(), "its signature is not the issuer's");
        // Not signed, signed with what everybody knows, with what must be understood, and no tokens at all.
        for header in
            [json!({"alg": "none"}), json!({"alg": "HS256"}), json!({"alg": "ES256", "crit": ["x"]}), json!({})]
        {
            assert_eq!(verified(&provider.sign(header, &claims()), &provider.jwks()).unwrap_err(), "no token");
        }
        for text in ["", ".", "..", "a.b.c", "e30.e30.", &"x".repeat(20_000)] {
            assert!(Unverified::read(text).is_none(), "{text:.20}");
        }
        let whole = provider.sign(header(), &claims());
        let (message, signature) = whole.rsplit_once('.').unwrap();
        let forged = format!("{}.{signature}", message.replacen('e', "f", 1));
        assert!(verified(&forged, &provider.jwks()).is_err());
        assert!(verified(&format!("{message}."), &provider.jwks()).is_err());
    }

    /// Made once with openssl: a 2 048 bit key, and a token of it that holds until 2100.
    #[test]
    fn a_token_signed_with_rsa_is_read() {
        let (keys, token) =
            (include_str!("../../tests/it/fixtures/rsa.jwks.json"), include_str!("../../tests/it/fixtures/rsa.jwt"));
        assert_eq!(verified(token.trim(), keys).unwrap().name("sub"), Some("ada"));
    }

    #[test]
    fn a_name_is_plain_and_an_address_is_verified() {
        let name = |claim: &str, claims: Value| {
            let Value::Object(claims) = claims else { panic!("not an object") };
            Claims(claims).name(claim).map(str::to_owned)
        };
        assert_eq!(name("sub", json!({"sub": "auth0|12-3"})), Some("auth0|12-3".into()));
        for odd in ["", "a b", "a: b", "a\u{1b}[31m", "a\n", "a (oidc)"] {
            assert_eq!(name("sub", json!({"sub": odd})), None, "{odd:?}");
        }
        assert_eq!(name("email", json!({"email": "ada@example.org"})), Some("ada@example.org".into()));
        assert_eq!(name("email", json!({"email": "ada@example.org", "email_verified": false})), None);
    }
}
