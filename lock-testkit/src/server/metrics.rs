//! The text form of Prometheus' metrics.

use std::collections::BTreeMap;

/// Each metric by its name, its labels included as they are written: `name{label="value"}`.
pub(super) fn parse(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            // Label values may have spaces; a time may follow the value, but the servers here write none.
            let (name, value) = line.trim_end().rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect()
}

/// What a label of a metric says.
pub(super) fn label<'a>(metric: &'a str, label: &str) -> Option<&'a str> {
    let (_, labels) = metric.split_once('{')?;
    labels.trim_end_matches('}').split(',').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == label).then(|| value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_with_their_labels() {
        let text = "# HELP a Something.\n# TYPE a gauge\na 1\nb{method=\"Put\",type=\"unary\"} 2\n\
                    c{x=\"with space\"} 1.5e+06\nd NaN\n";
        let metrics = parse(text);
        assert_eq!(metrics["a"], 1.0);
        assert_eq!(metrics["b{method=\"Put\",type=\"unary\"}"], 2.0);
        assert_eq!(metrics["c{x=\"with space\"}"], 1.5e6);
        assert!(metrics["d"].is_nan() && metrics.len() == 4);
        assert_eq!(label("b{method=\"Put\",type=\"unary\"}", "type"), Some("unary"));
        assert_eq!(label("b{method=\"Put\"}", "type"), None);
        assert_eq!(label("a", "type"), None);
    }
}
