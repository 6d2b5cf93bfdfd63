//! Who pays and where: customers with their habits, terminals, and which of them a customer goes to.
//!
//! It may depend on the plan and on streams; it refuses time and amounts of single transactions.

use rand::RngExt;

use crate::handbook::HandbookPlan;
use crate::streams::{self, Stream};

/// Length of each side of the grid on which customers and terminals lie.
const GRID_SIDE: f64 = 100.0;
/// Range of the customers' mean amounts, euros.
const SPENDING_MEAN: std::ops::Range<f64> = 5.0..100.0;
/// Range of the customers' mean numbers of transactions a day.
const TRANSACTIONS_PER_DAY: std::ops::Range<f64> = 0.0..4.0;

/// A place on the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Place {
    fn draw(stream: &mut Stream) -> Self {
        Self { x: stream.random_range(0.0..GRID_SIDE), y: stream.random_range(0.0..GRID_SIDE) }
    }

    /// Straight, in units of the grid.
    fn distance(self, other: Self) -> f64 {
        let (x, y) = (self.x - other.x, self.y - other.y);
        (x * x + y * y).sqrt()
    }
}

/// A customer and their habits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Customer {
    pub(super) number: u32,
    pub(super) place: Place,
    /// Euros.
    pub(super) spending_mean: f64,
    /// Mean of a Poisson distribution.
    pub(super) transactions_per_day: f64,
}

impl Customer {
    /// The customer of this number.
    pub(super) fn new(seed: u64, number: u32) -> Self {
        let mut stream = streams::stream(seed, "handbook customer", u64::from(number), 0);
        Self {
            number,
            place: Place::draw(&mut stream),
            spending_mean: stream.random_range(SPENDING_MEAN),
            transactions_per_day: stream.random_range(TRANSACTIONS_PER_DAY),
        }
    }

    /// Numbers of the terminals that are nearer than the radius, ascending.
    pub(super) fn reach(&self, terminals: &[Place], radius: f64) -> Vec<u32> {
        let numbered = (0..).zip(terminals);
        numbered.filter(|(_, terminal)| self.place.distance(**terminal) < radius).map(|(number, _)| number).collect()
    }
}

/// Where the plan's terminals are, by their number.
pub(super) fn terminals(plan: &HandbookPlan) -> Vec<Place> {
    let place = |number| Place::draw(&mut streams::stream(plan.seed, "handbook terminal", u64::from(number), 0));
    (0..plan.terminals).map(place).collect()
}
