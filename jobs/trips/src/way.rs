//! Ways with the bound of their error, and the sums over a trip's legs.
//!
//! The error of a way has three parts. *Noise* lengthens it: over a chord d between two fixes with radii a and b the legs
//! in between are too long by at most what they are longer than the chord, and the chord by (a² + b²) / 2d on average.
//! Inside a stop all movement may be noise. *Chance* shifts the ends of chords: twice the root of the summed a² + b².
//! *Spacing* shortens it: a leg between two headings that differ by an angle t is at most 1 / cos(t/2) times as long as it
//! seems, if the vehicle turned there and not back; a leg shorter than the radii of its ends has no heading.

use serde::{Deserialize, Serialize};

use crate::metric::{Offset, Place};
use crate::sighting::Sighting;

/// Turns are taken to be at most so sharp (cosine), where a way is at most twice its chord: a sharper one between two
/// fixes is noise.
const TURN_COSINE_MIN: f64 = -0.5;
/// Shortest chord over which noise is judged, metres, and how many times the radius of its end.
const CHORD_M_MIN: f64 = 50.0;
const CHORD_RADII: f64 = 5.0;

/// The legs since a fix that is not yet far enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Chord {
    pub(crate) from: Place,
    error_m: f64,
    legs_m: f64,
}

impl Chord {
    pub(crate) fn at(fix: &Sighting) -> Self {
        Self { from: fix.place, error_m: fix.error_m(), legs_m: 0.0 }
    }

    /// Goes on by a leg to a fix that is so far from the chord's beginning; the noise of the legs where that is enough:
    /// bias and variance.
    fn go(&mut self, fix: &Sighting, length_m: f64, chord_m: f64) -> (f64, f64) {
        self.legs_m += length_m;
        if chord_m < CHORD_M_MIN.max(CHORD_RADII * fix.error_m()) {
            return (0.0, 0.0);
        }
        let variance_m2 = self.error_m * self.error_m + fix.error_m() * fix.error_m();
        let bias_m = (self.legs_m - chord_m).max(0.0) + variance_m2 / (2.0 * chord_m);
        *self = Self::at(fix);
        (bias_m, variance_m2)
    }
}

/// A way over one or more legs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Way {
    pub(crate) length_m: f64,
    /// Parts of the error that add up.
    bias_m: f64,
    /// Sum of squares of those that do not.
    variance_m2: f64,
}

impl Way {
    /// The leg between two fixes of a chord; `step` and `before` are it and the leg before it as steps in a plane.
    pub(crate) fn leg(
        (from, to): (&Sighting, &Sighting),
        length_m: f64,
        (step, before): (Offset, Offset),
        (chord, chord_m): (&mut Chord, f64),
    ) -> Self {
        let (noise_m, variance_m2) = chord.go(to, length_m, chord_m);
        let heading_m = from.error_m() + to.error_m();
        let (step_m, before_m) = (step.length_m(), before.length_m());
        let spacing_m = if step_m < heading_m || before_m < heading_m {
            0.0
        } else {
            let cosine = (step.dot(before) / (step_m * before_m)).clamp(TURN_COSINE_MIN, 1.0);
            length_m * ((2.0 / (1.0 + cosine)).sqrt() - 1.0)
        };
        Self { length_m, bias_m: noise_m + spacing_m, variance_m2 }
    }

    /// The same way as movement inside a stop, all of which may be noise.
    pub(crate) fn all_noise(self) -> Self {
        Self { bias_m: self.length_m, variance_m2: 0.0, ..self }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.length_m += other.length_m;
        self.bias_m += other.bias_m;
        self.variance_m2 += other.variance_m2;
    }

    /// What is left of a way without a part of it.
    pub(crate) fn without(self, part: Self) -> Self {
        Self {
            length_m: (self.length_m - part.length_m).max(0.0),
            bias_m: (self.bias_m - part.bias_m).max(0.0),
            variance_m2: (self.variance_m2 - part.variance_m2).max(0.0),
        }
    }

    /// The bound of the error, metres.
    pub(crate) fn error_m(self) -> f64 {
        self.bias_m + 2.0 * self.variance_m2.sqrt()
    }
}

/// What a trip has summed up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sums {
    pub(crate) path: Way,
    /// The part of the path inside stops.
    pub(crate) inside: Way,
    /// Time in stops that have ended.
    pub(crate) idle_us: i64,
    pub(crate) stops: u32,
    pub(crate) fixes: u32,
    pub(crate) speed_mps_max: f64,
    /// Gaps within a hired ride.
    pub(crate) gap_us: i64,
    pub(crate) gap_m: f64,
    /// Whether the beginning was left.
    pub(crate) has_departed: bool,
    /// Points of the line.
    pub(crate) points: usize,
}

impl Sums {
    /// What was summed up after an earlier state of these sums. The largest speed is not known from the two.
    pub(crate) fn since(&self, earlier: &Self, speed_mps_max: f64) -> Self {
        Self {
            path: self.path.without(earlier.path),
            inside: self.inside.without(earlier.inside),
            idle_us: self.idle_us - earlier.idle_us,
            stops: self.stops.saturating_sub(earlier.stops),
            // The fix where the one ends is the first of the other.
            fixes: self.fixes.saturating_sub(earlier.fixes) + 1,
            speed_mps_max,
            gap_us: self.gap_us - earlier.gap_us,
            gap_m: self.gap_m - earlier.gap_m,
            has_departed: true,
            points: self.points.saturating_sub(earlier.points) + 1,
        }
    }
}
