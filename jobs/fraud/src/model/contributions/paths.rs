//! The path to a leaf, and what its features add by the conditions that a row keeps.
//!
//! What they add is the Shapley value itself, with no recursion. In a leaf of value v, a known feature i of the path lets
//! one(i) through, which is 1 where the row keeps its conditions and else 0; an unknown one lets zero(i) through, the share
//! of the training's rows. A feature adds
//!
//! > v (one(i) - zero(i)) times the integral over t from 0 to 1 of the product of t one(j) + (1 - t) zero(j) over all j but i
//!
//! since a set of k among the n other features weighs k! (n - k)! / (n + 1)!, which is the integral of t^k (1 - t)^(n - k).
//! The quadrature of Gauss and Legendre gives the integral of such a polynomial exactly, and whatever it adds up has one
//! sign, so that nothing is lost in differences.

use super::super::{Child, Tree};

/// Most features of a path: to degree 15, which is one less, the eight [`POINTS`] are exact.
pub(super) const PATH_FEATURES_MAX: usize = 16;
/// Abscissas and weights of Gauss and Legendre on -1 to 1 for eight points, those on the right (Abramowitz and Stegun,
/// "Handbook of Mathematical Functions", 1964, table 25.4); those on the left mirror them.
const POINTS: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_5),
    (0.960_289_856_497_536_2, 0.101_228_536_290_376_3),
];
const POINTS_COUNT: usize = 2 * POINTS.len();
/// The places of the points on 0 to 1.
const KNOWN: [f64; POINTS_COUNT] = known();
/// Their weights on 0 to 1.
const WEIGHTS: [f64; POINTS_COUNT] = weights();

const fn known() -> [f64; POINTS_COUNT] {
    let mut known = [0.0; POINTS_COUNT];
    let mut point = 0;
    while point < POINTS.len() {
        known[point] = (1.0 - POINTS[point].0) / 2.0;
        known[point + POINTS.len()] = (1.0 + POINTS[point].0) / 2.0;
        point += 1;
    }
    known
}

const fn weights() -> [f64; POINTS_COUNT] {
    let mut weights = [0.0; POINTS_COUNT];
    let mut point = 0;
    while point < POINTS.len() {
        weights[point] = POINTS[point].1 / 2.0;
        weights[point + POINTS.len()] = POINTS[point].1 / 2.0;
        point += 1;
    }
    weights
}

/// Holds where the bits under the mask are those that are expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition {
    mask: u64,
    expected: u64,
}

impl Condition {
    /// Holds where a bit is set, or is not.
    pub fn of(bit: u64, is_set: bool) -> Self {
        Self { mask: bit, expected: if is_set { bit } else { 0 } }
    }

    pub fn holds(self, bits: u64) -> bool {
        (bits ^ self.expected) & self.mask == 0
    }

    /// Both conditions, of different bits.
    fn and(self, other: Self) -> Self {
        Self { mask: self.mask | other.mask, expected: self.expected | other.expected }
    }
}

/// A feature on a path, with all splits of the path that ask for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub feature: usize,
    /// What the path asks of the row.
    pub condition: Condition,
    /// Share of the training's rows that comes through where the feature is not known.
    pub zero: f64,
}

/// The children of a split, each with the step to it. `bit` is set where a row goes left.
pub(super) fn steps(tree: &Tree, split: usize, bit: u64) -> [(Child, Step); 2] {
    let node = &tree.splits()[split];
    [(node.left, true), (node.right, false)].map(|(child, is_left)| {
        let zero = f64::from(tree.count(child)) / f64::from(node.count);
        (child, Step { feature: node.feature, condition: Condition::of(bit, is_left), zero })
    })
}

/// A path that goes one step on. A feature that is there already keeps its place.
pub(super) fn extended(path: &[Step], step: Step) -> Vec<Step> {
    let mut path = path.to_vec();
    match path.iter_mut().find(|before| before.feature == step.feature) {
        Some(before) => {
            before.condition = before.condition.and(step.condition);
            before.zero *= step.zero;
        }
        None => path.push(step),
    }
    path
}

/// What each feature of a path to a leaf adds. A feature lets `zeros` through where it is not known, and its conditions are
/// kept where its bit is set. There are as many features as `shares`, at most [`PATH_FEATURES_MAX`].
pub(super) fn shapley(zeros: &[f64], kept: usize, value: f64, shares: &mut [f64]) {
    let mut before = [[0.0; POINTS_COUNT]; PATH_FEATURES_MAX];
    let mut product = WEIGHTS.map(|weight| weight * value);
    for (place, (zero, before)) in zeros.iter().zip(&mut before).enumerate() {
        *before = product;
        let through = through(one(kept, place), *zero);
        for (product, through) in product.iter_mut().zip(through) {
            *product *= through;
        }
    }
    let mut behind = [1.0; POINTS_COUNT];
    for (place, ((share, zero), before)) in shares.iter_mut().zip(zeros).zip(&before).enumerate().rev() {
        let one = one(kept, place);
        *share = before.iter().zip(behind).map(|(before, behind)| before * behind).sum::<f64>() * (one - zero);
        for (behind, through) in behind.iter_mut().zip(through(one, *zero)) {
            *behind *= through;
        }
    }
}

/// What a feature lets through at each point.
fn through(one: f64, zero: f64) -> [f64; POINTS_COUNT] {
    KNOWN.map(|known| known * one + (1.0 - known) * zero)
}

fn one(kept: usize, place: usize) -> f64 {
    if kept >> place & 1 == 1 { 1.0 } else { 0.0 }
}
