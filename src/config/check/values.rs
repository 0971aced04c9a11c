//! A value from its text, within its range.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use super::Checker;
use crate::config::units::{HumanBytes, HumanDuration, human_share, parse_bytes, parse_duration, parse_share};
use crate::model::setting::{Kind, Value};

impl Checker<'_> {
    /// None where it is wrong, which is reported.
    pub(super) fn value(&mut self, path: &str, kind: Kind, text: &str, default: Option<Value>) -> Option<Value> {
        let read = match kind {
            Kind::Duration { .. } => parse_duration(text).map(Value::Duration),
            Kind::Count { .. } => text.parse().ok().map(Value::Whole),
            Kind::Number { .. } => text.parse().ok().map(Value::Number),
            // A bare 1 could be one percent as well as all.
            Kind::Share if text.parse() == Ok(1.0) => None,
            Kind::Share => parse_share(text).map(Value::Number),
            Kind::Bytes { .. } => parse_bytes(text).map(Value::Whole),
            Kind::Address => address(text).map(Value::Address),
        };
        if let Some(value) = read.filter(|value| kind.contains(*value)) {
            return Some(value);
        }
        let (cause, remedy) = match (kind, read) {
            (Kind::Share, _) => match text.parse::<f64>() {
                Ok(bare) if (1.0..=100.0).contains(&bare) => {
                    let share = human_share(bare / 100.0);
                    let all = if bare == 1.0 { ", or 100% for all" } else { "" };
                    (format!("`{text}` could be read as a share of all or as percent"), format!("write {share}{all}"))
                }
                _ => (format!("`{text}` is not a share"), "write 0% to 100%, or 0 to 0.99".to_owned()),
            },
            (Kind::Address, _) => {
                let such = match default {
                    Some(Value::Address(address)) => address.to_string(),
                    Some(Value::Duration(_) | Value::Whole(_) | Value::Number(_)) | None => "127.0.0.1:8081".into(),
                };
                (format!("`{text}` is not an address"), format!("write IP:PORT, such as {such}"))
            }
            (Kind::Duration { least, most }, Some(_)) => out_of_range(text, HumanDuration(least), HumanDuration(most)),
            (Kind::Bytes { least, most }, Some(_)) => out_of_range(text, HumanBytes(least), HumanBytes(most)),
            (Kind::Count { least, most }, Some(_)) => out_of_range(text, least, most),
            (Kind::Number { least, most }, Some(_)) => out_of_range(text, least, most),
            (Kind::Duration { .. }, None) => {
                let such = match default {
                    Some(Value::Duration(default)) => default.max(Duration::from_secs(1)),
                    Some(Value::Whole(_) | Value::Number(_) | Value::Address(_)) | None => Duration::from_secs(1),
                };
                let remedy = format!("write a number with its unit, such as {}", HumanDuration(such));
                (format!("`{text}` is not a duration"), remedy)
            }
            (Kind::Bytes { .. }, None) => {
                let such = match default {
                    Some(Value::Whole(default)) => default,
                    Some(Value::Duration(_) | Value::Number(_) | Value::Address(_)) | None => 1 << 30,
                };
                let remedy = format!("write a number with its unit, such as {}", HumanBytes(such));
                (format!("`{text}` is not a size"), remedy)
            }
            (Kind::Count { least, most }, None) => no_number(text, least, most),
            (Kind::Number { least, most }, None) => no_number(text, least, most),
        };
        self.problem(path, cause, remedy);
        None
    }

    pub(super) fn loopback(&mut self, path: &str, address: SocketAddr, remedy: &str) {
        if !address.ip().is_loopback() {
            self.problem(path, format!("{address} is reached from beyond this machine without authentication"), remedy);
        }
    }
}

fn out_of_range(text: &str, least: impl Display, most: impl Display) -> (String, String) {
    (format!("{text} is out of range"), format!("write {least} to {most}"))
}

fn no_number(text: &str, least: impl Display, most: impl Display) -> (String, String) {
    (format!("`{text}` is not such a number"), format!("write {least} to {most}"))
}

fn address(text: &str) -> Option<SocketAddr> {
    let named = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    named.as_deref().unwrap_or(text).parse().ok()
}
