//! Units of time.

/// Microseconds in a second.
pub(crate) const SECOND_US: i64 = 1_000_000;
/// Microseconds in a minute.
pub(crate) const MINUTE_US: i64 = 60 * SECOND_US;
/// Microseconds in a day.
pub(crate) const DAY_US: i64 = 24 * 60 * MINUTE_US;

/// Seconds of a duration in microseconds.
pub(crate) fn seconds(duration_us: i64) -> f64 {
    duration_us as f64 / SECOND_US as f64
}
