//! Identities of the OpenTelemetry world: traces, spans and services.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that many rows share: a service, an operation, a pod.
pub type Text = Arc<str>;

/// 16 bytes; all zeros is invalid and refused at the receiver (OTLP).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceId(pub [u8; 16]);

/// 8 bytes; all zeros is invalid and refused at the receiver (OTLP).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SpanId(pub [u8; 8]);

macro_rules! hex_identity {
    ($name:ident, $number:ident) => {
        // Hashed and ordered as one number, in the order of the bytes: every span is looked up by its ids.
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                $number::from_be_bytes(self.0).hash(state);
            }
        }
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                $number::from_be_bytes(self.0).cmp(&$number::from_be_bytes(other.0))
            }
        }
        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&hex::encode(self.0))
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let mut bytes = Self::default().0;
                hex::decode_to_slice(&text, &mut bytes).map_err(serde::de::Error::custom)?;
                Ok(Self(bytes))
            }
        }
    };
}
hex_identity!(TraceId, u128);
hex_identity!(SpanId, u64);

impl TraceId {
    /// A hash by which traces are chosen: the same choice on every machine. Both halves are mixed (the finaliser of
    /// SplitMix64), because ids are not random in all their bits, and a sampler before us may have chosen by some of
    /// them.
    pub fn mixed(&self) -> u64 {
        let (high, low) = self.0.split_at(8);
        let half = |bytes: &[u8]| bytes.iter().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        let mut z = half(high).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ half(low);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A service is identified by cluster, namespace and name. Written `name`, `namespace/name` or
/// `cluster/namespace/name`, leaving out what is not known; that text is what SQL, rules and people see.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(Arc<str>);

impl ServiceId {
    pub fn new(cluster: &str, namespace: &str, name: &str) -> ServiceId {
        match (cluster, namespace) {
            ("", "") => ServiceId(name.into()),
            ("", namespace) => ServiceId(format!("{namespace}/{name}").into()),
            (cluster, namespace) => ServiceId(format!("{cluster}/{namespace}/{name}").into()),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part of the identity: the `service.name`.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl From<&str> for ServiceId {
    fn from(text: &str) -> ServiceId {
        ServiceId(text.into())
    }
}

impl Borrow<str> for ServiceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ServiceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ServiceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(ServiceId(String::deserialize(deserializer)?.into()))
    }
}
