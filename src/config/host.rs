//! A name that the API answers to: `headroom.example`, or `*.monitoring.svc` for all names below one.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Serialize, Serializer};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName {
    /// In small letters.
    name: String,
    /// It stands for the names below it.
    is_suffix: bool,
}

impl HostName {
    pub fn parse(text: &str) -> Option<HostName> {
        let (name, is_suffix) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        name.split('.').all(is_label).then(|| HostName { name: name.to_ascii_lowercase(), is_suffix })
    }

    pub fn matches(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        if self.is_suffix {
            host.strip_suffix(&self.name).is_some_and(|before| before.len() > 1 && before.ends_with('.'))
        } else {
            host == self.name
        }
    }
}

impl Serialize for HostName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}{}", if self.is_suffix { "*." } else { "" }, self.name))
    }
}

/// The host of an authority such as `localhost:8080` or `[::1]:8080`, without its port and a root's dot.
pub fn host_of(authority: &str) -> &str {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(host, _)| host),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// Whether nobody else can make this host mean this machine: a name of loopback, or an address. A page that had its own
/// name resolve to this machine still asks for its own name.
pub fn is_own(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok()
        || host.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_and_addresses_are_its_own() {
        for authority in
            ["localhost:8080", "LOCALHOST", "localhost.", "app.localhost:1", "127.0.0.1:8080", "[::1]:8080", "10.1.2.3"]
        {
            assert!(is_own(host_of(authority)), "{authority}");
        }
        for authority in
            ["evil.example", "localhost.evil.example:8080", "127.0.0.1.evil.example", "", "notlocalhost", "evil"]
        {
            assert!(!is_own(host_of(authority)), "{authority}");
        }
    }

    #[test]
    fn a_name_or_all_below_one() {
        let (one, below) = (HostName::parse("Headroom.example").unwrap(), HostName::parse("*.monitoring.svc").unwrap());
        assert!(one.matches("headroom.EXAMPLE") && !one.matches("x.headroom.example"));
        assert!(below.matches("headroom.monitoring.svc"));
        assert!(!below.matches("monitoring.svc") && !below.matches("evilmonitoring.svc"));
        assert!(["", "a b", "*", "a..b", "http://x"].iter().all(|text| HostName::parse(text).is_none()));
    }
}
