//! Which format an asker prefers, by its `Accept`, as RFC 9110 reads it.

/// In the order of preference where an asker likes several alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    Text,
    Protobuf,
}

impl Format {
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// What to answer. Prometheus' text is understood by everybody, so it answers who asks for nothing, or for nothing that
    /// there is.
    pub fn preferred(accept: &str) -> Format {
        let mut best = (0.0, Format::Text);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let parameters: Vec<(String, &str)> = parts
                .filter_map(|parameter| parameter.split_once('='))
                .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
                .collect();
            let parameter = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
            let quality = parameter("q").map_or(1.0, |q| q.parse::<f64>().unwrap_or(0.0));
            let is_version = |known: &[&str]| parameter("version").is_none_or(|version| known.contains(&version));
            let format = match kind.as_str() {
                "application/openmetrics-text" if is_version(&["1.0.0", "0.0.1"]) => Format::OpenMetrics,
                "application/vnd.google.protobuf"
                    if parameter("proto").is_none_or(|proto| proto == "io.prometheus.client.MetricFamily")
                        && parameter("encoding").is_none_or(|encoding| encoding == "delimited") =>
                {
                    Format::Protobuf
                }
                "text/plain" if is_version(&["0.0.4"]) => Format::Text,
                "text/*" | "*/*" => Format::Text,
                _ => continue,
            };
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }
}

/// Whether an answer may be compressed, by `Accept-Encoding`.
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let quality = parts.find_map(|parameter| parameter.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f64>);
        (coding.eq_ignore_ascii_case("gzip") || coding == "*") && quality.is_ok_and(|quality| quality > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_asker_gets_what_it_prefers() {
        for (accept, format) in [
            // A person, and curl.
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain", Format::Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text),
            ("application/json", Format::Text),
            // Prometheus 2.42, plain and with native histograms.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::Protobuf,
            ),
            // Formats that are not there, and one that is refused.
            ("application/openmetrics-text;version=2.0.0,text/plain;version=0.0.4;q=0.3", Format::Text),
            ("application/openmetrics-text;q=0,text/plain", Format::Text),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text;q=1,application/openmetrics-text;q=0.2",
                Format::OpenMetrics,
            ),
        ] {
            assert_eq!(Format::preferred(accept), format, "{accept}");
        }
    }

    #[test]
    fn an_answer_is_compressed_for_who_says_so() {
        assert!(accepts_gzip("gzip") && accepts_gzip("deflate, GZIP;q=0.5") && accepts_gzip("*"));
        assert!(!accepts_gzip("") && !accepts_gzip("gzip;q=0") && !accepts_gzip("br, identity"));
    }
}
