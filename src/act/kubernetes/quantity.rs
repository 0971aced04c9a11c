//! Kubernetes quantities (`100m`, `1Gi`, `2`, `1e3`) as whole thousandths, which CPU is counted in.

/// Thousandths; None for a text that is no quantity. Smaller parts are rounded up, as the API server does.
pub fn milli(text: &str) -> Option<i128> {
    const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
    const DECIMAL: [(&str, f64); 9] = [
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let binary = BINARY.iter().find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, 2_f64.powi(*bits as i32))));
    let decimal = || DECIMAL.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = binary.or_else(decimal).unwrap_or((text, 1.0));
    let thousandths = number.parse::<f64>().ok()? * factor * 1e3;
    // Within what a float holds exactly this is right to the byte; a node has less.
    let whole = thousandths.round();
    let thousandths = if (whole - thousandths).abs() < 1e-6 * whole.abs() { whole } else { thousandths.ceil() };
    (thousandths.is_finite() && thousandths.abs() < 1e30).then_some(thousandths as i128)
}

/// As people read it: `1500m`, `2`, `64Mi`.
pub fn told(thousandths: i128) -> String {
    if thousandths % 1000 != 0 {
        return format!("{thousandths}m");
    }
    let whole = thousandths / 1000;
    let units = [("Gi", 1_i128 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    match units.iter().find(|(_, size)| whole >= *size && whole % size == 0) {
        Some((unit, size)) => format!("{}{unit}", whole / size),
        None => whole.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_writes_is_read() {
        let cases = [
            ("100m", 100),
            ("2", 2_000),
            ("0.5", 500),
            ("1e3", 1_000_000),
            ("1Ki", 1_024_000),
            ("64Mi", (64 << 20) * 1000),
            ("1k", 1_000_000),
            ("1500u", 2),
            ("12E", 12_000_000_000_000_000_000_000),
        ];
        for (text, expected) in cases {
            assert_eq!(milli(text), Some(expected), "{text}");
        }
        for text in ["", "m", "much", "1.2.3", "NaN"] {
            assert_eq!(milli(text), None, "{text}");
        }
    }

    #[test]
    fn it_is_told_as_it_was_written() {
        for text in ["100m", "2", "64Mi", "1Gi", "1500m"] {
            assert_eq!(told(milli(text).unwrap()), text);
        }
    }
}
