//! Times, durations and lengths in words, the same in tables and in pictures.
//!
//! It may depend on `jiff`. It refuses to know a time zone: times are UTC.

use jiff::Timestamp;

use crate::units::SECOND_US;

fn printed(time_us: i64, format: &str) -> String {
    // No fix lies outside of what can be printed; a time that does says so.
    Timestamp::from_microsecond(time_us)
        .map_or_else(|_| "no time".to_string(), |time| time.strftime(format).to_string())
}

/// `2019-02-18 07:45:50`.
pub fn time(time_us: i64) -> String {
    printed(time_us, "%Y-%m-%d %H:%M:%S")
}

/// `07:45:50`.
pub fn time_of_day(time_us: i64) -> String {
    printed(time_us, "%H:%M:%S")
}

/// `2019-02-18`.
pub fn day(time_us: i64) -> String {
    printed(time_us, "%Y-%m-%d")
}

/// Two times, the day of the second only where it is another one.
pub fn span(from_us: i64, until_us: i64) -> String {
    let until = if day(from_us) == day(until_us) { time_of_day(until_us) } else { time(until_us) };
    format!("{} to {until}", time(from_us))
}

/// Hours, minutes and seconds: `1:14:36`, `0:00:20`.
pub fn duration(duration_us: i64) -> String {
    let seconds = duration_us.max(0) / SECOND_US;
    format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Metres below a kilometre, else kilometres: `640 m`, `21.34 km`.
pub fn length(length_m: f64) -> String {
    match length_m {
        short if short < 999.5 => format!("{short:.0} m"),
        far if far < 99_995.0 => format!("{:.2} km", far / 1e3),
        farther => format!("{:.0} km", farther / 1e3),
    }
}

/// A count with its noun: `1 trip`, `2 trips`, `2,144 fixes`; `plural` is what more than one are called.
pub fn counted(count: u64, one: &str, plural: &str) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { plural })
}

/// Digits in groups of three.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_short_and_say_the_unit() {
        let start_us = 1_550_475_950_000_000;
        assert_eq!(span(start_us, start_us + 60 * SECOND_US), "2019-02-18 07:45:50 to 07:46:50");
        assert_eq!(span(start_us, start_us + 86_400 * SECOND_US), "2019-02-18 07:45:50 to 2019-02-19 07:45:50");
        assert_eq!(
            [0, 4_476, 360_000].map(|seconds| duration(seconds * SECOND_US)),
            ["0:00:00", "1:14:36", "100:00:00"]
        );
        assert_eq!(
            [0.4, 999.4, 999.6, 99_994.0, 123_456.0].map(length),
            ["0 m", "999 m", "1.00 km", "99.99 km", "123 km"]
        );
        assert_eq!(counted(1, "fix", "fixes"), "1 fix");
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
