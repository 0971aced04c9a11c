//! A setting that an operator may write: declared once, by the station that has it.
//!
//! From the declarations come how the configuration is read and checked, the reference file, the documentation's tables
//! and the JSON Schema (`config`). Defaults are not repeated: they are those of the station's `Config::default()`.

use core::net::SocketAddr;
use std::time::Duration;

/// What may be written for a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `300ms`, `1h30m`.
    Duration { least: Duration, most: Duration },
    /// A whole number.
    Count { least: u64, most: u64 },
    /// A number.
    Number { least: f64, most: f64 },
    /// `1%` or `0.01`.
    Share,
    /// `64KiB`, `512MiB`.
    Bytes { least: u64, most: u64 },
    /// `IP:PORT`.
    Address,
}

impl Kind {
    pub const fn seconds(least: u64, most: u64) -> Kind {
        Kind::Duration { least: Duration::from_secs(least), most: Duration::from_secs(most) }
    }

    pub const fn millis(least: u64, most: u64) -> Kind {
        Kind::Duration { least: Duration::from_millis(least), most: Duration::from_millis(most) }
    }

    pub const fn count(least: u64, most: u64) -> Kind {
        Kind::Count { least, most }
    }

    pub const fn number(least: f64, most: f64) -> Kind {
        Kind::Number { least, most }
    }

    pub const fn bytes(least: u64, most: u64) -> Kind {
        Kind::Bytes { least, most }
    }
}

/// What was written, read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Duration(Duration),
    /// Of kind count or bytes.
    Whole(u64),
    /// Of kind number or share.
    Number(f64),
    Address(SocketAddr),
}

/// A type that a setting's field may have.
pub trait Settable {
    /// None where nothing is set.
    fn value(&self) -> Option<Value>;
    /// A value of another kind than the field's is none of it: the declaration is wrong, which a test of the station finds.
    fn set(&mut self, value: Value);
}

macro_rules! settable {
    ($($type:ty: $variant:ident($value:ident) => $from:expr, $into:expr;)+) => {
        $(impl Settable for $type {
            fn value(&self) -> Option<Value> {
                let $value = *self;
                Some(Value::$variant($from))
            }

            fn set(&mut self, value: Value) {
                if let Value::$variant($value) = value {
                    *self = $into;
                }
            }
        })+
    };
}

settable! {
    Duration: Duration(value) => value, value;
    f64: Number(value) => value, value;
    u64: Whole(value) => value, value;
    // The range of a setting fits its field.
    u32: Whole(value) => u64::from(value), u32::try_from(value).unwrap_or(u32::MAX);
    usize: Whole(value) => value as u64, usize::try_from(value).unwrap_or(usize::MAX);
    i64: Whole(value) => value.max(0) as u64, i64::try_from(value).unwrap_or(i64::MAX);
    SocketAddr: Address(value) => value, value;
}

impl Settable for Option<u32> {
    fn value(&self) -> Option<Value> {
        self.map(|whole| Value::Whole(u64::from(whole)))
    }

    fn set(&mut self, value: Value) {
        if let Value::Whole(whole) = value {
            *self = Some(u32::try_from(whole).unwrap_or(u32::MAX));
        }
    }
}

impl Settable for Option<u64> {
    fn value(&self) -> Option<Value> {
        self.map(Value::Whole)
    }

    fn set(&mut self, value: Value) {
        if let Value::Whole(whole) = value {
            *self = Some(whole);
        }
    }
}

impl Settable for Option<SocketAddr> {
    fn value(&self) -> Option<Value> {
        self.map(Value::Address)
    }

    fn set(&mut self, value: Value) {
        if let Value::Address(address) = value {
            *self = Some(address);
        }
    }
}

impl Settable for Option<Duration> {
    fn value(&self) -> Option<Value> {
        self.map(Value::Duration)
    }

    fn set(&mut self, value: Value) {
        if let Value::Duration(duration) = value {
            *self = Some(duration);
        }
    }
}

impl Settable for Option<f64> {
    fn value(&self) -> Option<Value> {
        self.map(Value::Number)
    }

    fn set(&mut self, value: Value) {
        if let Value::Number(number) = value {
            *self = Some(number);
        }
    }
}

/// See the module.
#[derive(Clone, Copy)]
pub struct Setting<C> {
    /// As it is written.
    pub key: &'static str,
    /// As the station's `Config` calls it.
    pub field: &'static str,
    pub kind: Kind,
    /// One line.
    pub doc: &'static str,
    pub value: fn(&C) -> Option<Value>,
    pub set: fn(&mut C, Value),
}

/// Declares settings: `settings![Config; field: kind, "what it means"; other as "key": kind, "…"]`.
#[macro_export]
macro_rules! settings {
    ($config:ty; $($field:ident $(as $key:literal)?: $kind:expr, $doc:literal;)+) => {
        &[$($crate::model::Setting {
            key: $crate::settings!(@key $field $($key)?),
            field: stringify!($field),
            kind: $kind,
            doc: $doc,
            value: |config: &$config| $crate::model::setting::Settable::value(&config.$field),
            set: |config: &mut $config, value| $crate::model::setting::Settable::set(&mut config.$field, value),
        }),+]
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
}

/// What every station's declarations keep to: fields that are not named in `besides` are settings, each with a default
/// of its kind and a line of its own.
#[cfg(test)]
pub fn check<C: Default + serde::Serialize>(settings: &[Setting<C>], besides: &[&str]) {
    let default = C::default();
    let fields = serde_json::to_value(&default).unwrap();
    for field in fields.as_object().unwrap().keys() {
        let times = settings.iter().filter(|setting| setting.field == field).count();
        assert_eq!(times, usize::from(!besides.contains(&field.as_str())), "declarations of {field}");
    }
    for setting in settings {
        let mut again = C::default();
        if let Some(value) = (setting.value)(&default) {
            (setting.set)(&mut again, value);
            assert!(setting.kind.contains(value), "the default of {} is out of its range", setting.key);
        }
        assert_eq!(serde_json::to_value(&again).unwrap(), fields, "{}", setting.key);
        assert!(!setting.doc.contains('\n') && !setting.doc.ends_with('.'), "{}", setting.key);
    }
}

impl Kind {
    /// Whether a value is of this kind and within its range.
    pub fn contains(self, value: Value) -> bool {
        match (self, value) {
            (Kind::Duration { least, most }, Value::Duration(value)) => (least..=most).contains(&value),
            (Kind::Count { least, most } | Kind::Bytes { least, most }, Value::Whole(value)) => {
                (least..=most).contains(&value)
            }
            (Kind::Number { least, most }, Value::Number(value)) => (least..=most).contains(&value),
            (Kind::Share, Value::Number(value)) => (0.0..=1.0).contains(&value),
            (Kind::Address, Value::Address(_)) => true,
            (
                Kind::Duration { .. }
                | Kind::Count { .. }
                | Kind::Bytes { .. }
                | Kind::Number { .. }
                | Kind::Share
                | Kind::Address,
                Value::Duration(_) | Value::Whole(_) | Value::Number(_) | Value::Address(_),
            ) => false,
        }
    }
}
