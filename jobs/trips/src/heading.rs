//! Where a vehicle came from, and whether it turned at a stop: who goes straight on has stopped on the way, who turns was
//! where it wanted to be.

use serde::{Deserialize, Serialize};

use crate::metric::{Place, Plane};
use crate::profile::TURN_DEG_MIN;

/// Distance between the places that are remembered, metres: far more than the error of a fix.
const SPACING_M: f64 = 100.0;
/// A place tells a heading only from so far, metres.
const FAR_M_MIN: f64 = 60.0;

/// The last places of a way, at least [`SPACING_M`] apart.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trail {
    newer: Option<Place>,
    older: Option<Place>,
}

impl Trail {
    /// Goes on to a place; `plane` lies near it.
    pub(crate) fn go(&mut self, place: Place, plane: &Plane) {
        let is_near = |other: Place| plane.metres(place).minus(plane.metres(other)).length_m() < SPACING_M;
        if self.newer.is_none_or(|newer| !is_near(newer)) {
            (self.newer, self.older) = (Some(place), self.newer);
        }
    }

    /// Whether a vehicle that came along here turned at a place on its way to another. Nothing is known of a way that
    /// began or ended near that place.
    pub(crate) fn turns(&self, at: Place, next: Place) -> bool {
        let plane = Plane::at(at);
        let is_far = |place: &Place| plane.metres(*place).length_m() >= FAR_M_MIN;
        let before = [self.newer, self.older].into_iter().flatten().find(is_far);
        let (Some(before), true) = (before, is_far(&next)) else { return false };
        let (back, on) = (plane.metres(before), plane.metres(next));
        // The angle between the way on and the way back is 180° less the turn.
        let cosine = on.dot(back) / (on.length_m() * back.length_m());
        cosine >= -TURN_DEG_MIN.to_radians().cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Offset;

    #[test]
    fn a_turn_is_told_from_a_stop_on_the_way() {
        let plane = Plane::at(Place { lat: 53.0, lon: -6.0 });
        let place = |east_m: f64, north_m: f64| plane.place(Offset { east_m, north_m });
        let mut trail = Trail::default();
        for step in 0..10 {
            trail.go(place(f64::from(step) * 40.0, 0.0), &plane);
        }
        let at = place(400.0, 0.0);
        for (turn_deg, turns) in
            [(0.0_f64, false), (50.0, false), (70.0, true), (120.0, true), (180.0, true), (-90.0, true)]
        {
            let (sin, cos) = turn_deg.to_radians().sin_cos();
            assert_eq!(trail.turns(at, place(400.0 + 150.0 * cos, 150.0 * sin)), turns, "{turn_deg}");
        }
        assert!(!trail.turns(at, place(400.0, 30.0)), "too near to tell");
        assert!(!Trail::default().turns(at, place(400.0, 150.0)), "nobody knows where it came from");
    }
}
