//! Arithmetic, comparison and functions over single values. Both evaluators use these, so they cannot differ in what an
//! operation means.
//!
//! It may depend on nothing. It refuses values that are not there: an overflow, a division by zero and whatever is not
//! finite is missing.

use std::cmp::Ordering;

/// Microseconds of a second.
pub(crate) const SECOND_US: i64 = 1_000_000;
/// Microseconds of a minute.
pub(crate) const MINUTE_US: i64 = 60 * SECOND_US;
/// Microseconds of an hour.
pub(crate) const HOUR_US: i64 = 60 * MINUTE_US;
/// Microseconds of a day of UTC, which has no leap seconds here.
pub(crate) const DAY_US: i64 = 24 * HOUR_US;

/// Two to the power of 63: the first number above all integers.
const INTEGERS_END: f64 = 9_223_372_036_854_775_808.0;

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    pub(crate) const ALL: [Self; 6] =
        [Self::Equal, Self::Unequal, Self::Less, Self::AtMost, Self::Greater, Self::AtLeast];

    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }

    /// Whether values in this order satisfy it.
    pub(crate) fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

/// What two integers or two numbers become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Least,
    Greatest,
}

impl Operation {
    /// Missing where it overflows.
    pub(crate) fn of_integers(self, left: i64, right: i64) -> Option<i64> {
        match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Least => Some(left.min(right)),
            Self::Greatest => Some(left.max(right)),
        }
    }

    /// Missing where it is not finite.
    pub(crate) fn of_numbers(self, left: f64, right: f64) -> Option<f64> {
        finite(match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            // Not `f64::min`: of two zeros with different signs it may give either.
            Self::Least => return Some(if right < left { right } else { left }),
            Self::Greatest => return Some(if right > left { right } else { left }),
        })
    }
}

/// A number that is there. NaN and the infinities are missing.
pub(crate) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// Missing where it is divided by zero or the result is not finite.
pub(crate) fn quotient(left: f64, right: f64) -> Option<f64> {
    if right == 0.0 { None } else { finite(left / right) }
}

/// The nearest number. It is the integer itself up to 2^53, and rounded to an even last bit beyond.
pub(crate) fn nearest_number(value: i64) -> f64 {
    value as f64
}

/// How an integer and a finite number lie to each other, exactly: the integer is not rounded.
pub(crate) fn compare_exactly(integer: i64, number: f64) -> Ordering {
    if number >= INTEGERS_END {
        return Ordering::Less;
    }
    if number < -INTEGERS_END {
        return Ordering::Greater;
    }
    let whole = number.trunc();
    // Within the bounds above this loses nothing.
    integer.cmp(&(whole as i64)).then_with(|| {
        let fraction = number - whole;
        if fraction > 0.0 {
            Ordering::Less
        } else if fraction < 0.0 {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    })
}

/// How two finite numbers lie to each other; both zeros are equal.
pub(crate) fn compare_numbers(left: f64, right: f64) -> Ordering {
    if left < right {
        Ordering::Less
    } else if left > right {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

/// Hour of the day in UTC, 0 to 23.
pub(crate) fn hour(time_us: i64) -> i64 {
    time_us.rem_euclid(DAY_US) / HOUR_US
}

/// Day of the week in UTC by ISO 8601: 1 is Monday, 7 is Sunday.
pub(crate) fn weekday(time_us: i64) -> i64 {
    // The epoch was a Thursday, three days after a Monday.
    (time_us.div_euclid(DAY_US) + 3).rem_euclid(7) + 1
}

/// Each character of a text in lower case by Unicode, whatever stands around it, handed out one by one.
pub(crate) fn lower_characters(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if the integer is cast before it is compared: both are 2^53 then.
    #[test]
    fn integers_are_not_rounded() {
        let integer = (1 << 53) + 1;
        assert_eq!(compare_exactly(integer, 9_007_199_254_740_992.0), Ordering::Greater);
        assert_eq!(compare_exactly(i64::MAX, INTEGERS_END), Ordering::Less);
        assert_eq!(compare_exactly(i64::MIN, -INTEGERS_END), Ordering::Equal);
        assert_eq!(compare_exactly(i64::MIN, f64::MIN), Ordering::Greater);
        assert_eq!(compare_exactly(-3, -3.5), Ordering::Greater);
        assert_eq!(compare_exactly(-4, -3.5), Ordering::Less);
        assert_eq!(compare_exactly(3, 3.5), Ordering::Less);
        assert_eq!(compare_exactly(0, -0.0), Ordering::Equal);
    }

    #[test]
    fn clocks_are_those_of_utc() {
        // 1969-12-31T23:59:59.999999Z was a Wednesday; 2026-11-28T23:15:00Z is a Saturday.
        assert_eq!((hour(-1), weekday(-1)), (23, 3));
        assert_eq!((hour(0), weekday(0)), (0, 4));
        let saturday_us = 1_795_907_700 * SECOND_US;
        assert_eq!((hour(saturday_us), weekday(saturday_us)), (23, 6));
        assert!((0..24).contains(&hour(i64::MIN)) && (1..8).contains(&weekday(i64::MIN)));
        assert!((0..24).contains(&hour(i64::MAX)) && (1..8).contains(&weekday(i64::MAX)));
    }

    #[test]
    fn what_is_not_finite_is_missing() {
        assert_eq!(Operation::Multiply.of_numbers(f64::MAX, 2.0), None);
        assert_eq!(quotient(1.0, -0.0), None);
        assert_eq!(Operation::Add.of_integers(i64::MAX, 1), None);
        assert_eq!(Operation::Least.of_numbers(1.0, 2.0), Some(1.0));
    }
}
