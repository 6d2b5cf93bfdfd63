//! The one place that asks the system's clock. Nothing that is decided about a payment or a ping depends on it: it
//! serves maintenance, key dates and progress alone.

/// Now, microseconds UTC.
pub fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// Today in UTC.
pub fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::UTC).date()
}

/// Time since it was made, for pauses and intervals.
#[derive(Debug)]
pub struct Monotonic(std::time::Instant);

impl Default for Monotonic {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

impl runner::group::Clock for Monotonic {
    fn now(&self) -> std::time::Duration {
        self.0.elapsed()
    }

    fn sleep(&self, pause: std::time::Duration) {
        std::thread::sleep(pause);
    }
}
