//! Small instruments.

use std::time::Duration;

/// How much memory this process has in RAM, in MiB; none where there is no /proc.
pub(crate) fn resident_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

/// The time that `percent` of them do not exceed, in microseconds; none of none. They are in order.
pub(crate) fn percentile_us(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map(|time| rounded(time.as_secs_f64() * 1e6, 1))
}

/// With so many digits behind the point.
pub(crate) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile_us(&times, 50), Some(100.0));
        assert_eq!(percentile_us(&times, 99), Some(198.0));
        assert_eq!(percentile_us(&times[..1], 50), Some(1.0));
        assert_eq!(percentile_us(&[], 50), None);
    }
}
