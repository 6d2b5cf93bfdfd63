//! Simulated time: it starts at a fixed day and never asks a real clock. Files are cut by UTC days, people live by the
//! civil days of the town's zone.

use jiff::Timestamp;
use jiff::civil::{Date, date};

/// One second in microseconds.
pub(crate) const SECOND_US: i64 = 1_000_000;
/// One minute in microseconds.
pub(crate) const MINUTE_US: i64 = 60 * SECOND_US;
/// One hour in microseconds.
pub(crate) const HOUR_US: i64 = 60 * MINUTE_US;
/// One day in microseconds.
pub(crate) const DAY_US: i64 = 24 * HOUR_US;
/// Where the town lies in time zones.
pub(crate) const ZONE: &str = "Europe/Dublin";
/// The first day of every simulation, a Monday.
const FIRST_DAY: Date = date(2026, 3, 2);
/// Start of [`FIRST_DAY`], microseconds UTC; also midnight in [`ZONE`].
pub(crate) const FIRST_US: i64 = 1_772_409_600 * SECOND_US;

/// Start of the UTC day of this number, counted from 0.
pub(crate) fn day_start_us(day: u32) -> i64 {
    FIRST_US + i64::from(day) * DAY_US
}

fn date_of(day: u32) -> Date {
    FIRST_DAY.checked_add(jiff::Span::new().days(day)).expect("the calendar reaches further than the longest plan")
}

/// Name of a day as files carry it: `2026-03-02`.
pub(crate) fn day_name(day: u32) -> String {
    date_of(day).to_string()
}

/// Midnight that starts the civil day of this number in the town's zone, microseconds UTC.
pub(crate) fn midnight_us(day: u32) -> i64 {
    let midnight = date_of(day).in_tz(ZONE).expect("the bundled zone data has the town's zone");
    midnight.timestamp().as_microsecond()
}

/// Day of the week of a civil day, 0 is Monday.
pub(crate) fn weekday(day: u32) -> usize {
    day as usize % 7
}

/// RFC 3339 with microseconds and `Z`.
pub(crate) fn rfc3339(at_us: i64) -> String {
    let at = Timestamp::from_microsecond(at_us).expect("simulated time lies in the calendar");
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_day_is_a_monday_that_starts_at_midnight_here_and_in_utc() {
        assert_eq!(rfc3339(FIRST_US), "2026-03-02T00:00:00.000000Z");
        assert_eq!(FIRST_DAY.weekday(), jiff::civil::Weekday::Monday);
        assert_eq!(midnight_us(0), FIRST_US);
        assert_eq!(day_name(30), "2026-04-01");
    }

    #[test]
    fn civil_days_follow_summer_time() {
        assert_eq!(rfc3339(midnight_us(28)), "2026-03-29T23:00:00.000000Z");
        assert_eq!(midnight_us(28) - midnight_us(27), 23 * HOUR_US);
    }
}
