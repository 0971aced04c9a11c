//! Patterns of entry operations, as operators write them.

/// Whether `pattern` is that of an entry operation, `service operation`: `*` stands for any text. The service may be
/// written with or without its cluster and namespace.
pub fn matches_entry(pattern: &str, service: &str, operation: &str) -> bool {
    let name = service.rsplit('/').next().unwrap_or(service);
    // Written out only where the pattern could match: most name another service.
    [service, name].into_iter().any(|service| {
        let entry = [service.as_bytes(), b" ", operation.as_bytes()];
        glob(pattern.as_bytes(), &entry.concat())
    })
}

/// The same of an entry operation as it is written: what stands before its first space is the service.
pub fn matches_written_entry(pattern: &str, entry: &str) -> bool {
    let (service, operation) = entry.split_once(' ').unwrap_or((entry, ""));
    matches_entry(pattern, service, operation)
}

/// `*` matches any run of bytes, everything else itself. Linear with one backtrack point (the last star).
pub fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let cases = [
            ("* GET /a*z", "ingress GET /abcz", true),
            ("* GET /a*z", "ingress GET /abc", false),
            ("*ab*ab", "ab", false),
            ("*ab*ab", "abab", true),
            ("exact", "exactly", false),
        ];
        for (pattern, text, matches) in cases {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), matches, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_service_may_be_written_without_its_namespace() {
        assert!(matches_entry("ingress GET /exam", "eu/shop/ingress", "GET /exam"));
        assert!(matches_entry("eu/shop/ingress *", "eu/shop/ingress", "GET /exam"));
        assert!(!matches_entry("shop *", "eu/shop/ingress", "GET /exam"));
    }
}
