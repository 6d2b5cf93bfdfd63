//! A track as algorithms on whole tracks take it: fixes of one device in the order of their times.
//!
//! It may depend on nothing. It refuses to know where the fixes came from.

/// A fix as algorithms on whole tracks take it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fix {
    /// Microseconds UTC.
    pub time_us: i64,
    /// Latitude, WGS84 degrees, north positive.
    pub lat: f64,
    /// Longitude, WGS84 degrees, east positive.
    pub lon: f64,
    /// Radius of 68 % confidence that the device states, metres.
    pub accuracy_m: Option<f64>,
}
