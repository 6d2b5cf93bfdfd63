//! What each feature adds to a raw score: Shapley values of the trees, as LightGBM's `pred_contrib` gives them.
//!
//! Every decision of the live path tells them, so what does not depend on the row is worked out when the model is read
//! ([`prepared`]). Trees that are too large for that are walked for every row ([`recursion`]). Which way a tree goes depends
//! on the model alone, and so does the order in which its parts are added up: a row has the same bits in any batch.
//!
//! It refuses interactions of features.

mod paths;
mod prepared;
mod recursion;

use super::Tree;
use super::flat::Flat;
use prepared::Prepared;

/// A raw score as a sum: what the model says of no row in particular, and what each feature of the row adds.
#[derive(Debug, Clone, PartialEq)]
pub struct Contributions {
    /// The mean of the raw score over the rows of the training.
    pub base: f64,
    /// What each feature adds, in the order of a row's values. With the base they make the raw score, but for the
    /// rounding of sums.
    pub values: Vec<f64>,
}

/// What one feature adds to a raw score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contribution<'a> {
    /// Name of the feature.
    pub feature: &'a str,
    /// What it adds: above zero towards fraud, where fraud is what the model was trained for.
    pub value: f64,
}

/// How much may be worked out before there is a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most questions of a table, at most 16. It has a row for each combination of answers: with 2^8 of them of some 6
    /// features it takes 12 KiB. More questions make fewer tables, but larger ones, and took as long for 100 trees.
    pub questions: usize,
    /// Most bytes of a model's tables. Twenty times what 100 trees of 16 leaves take: a process holds the model of a bundle
    /// once for each of its partitions.
    pub table_bytes: usize,
}

impl Limits {
    /// Of all models; tests have others.
    pub const OURS: Self = Self { questions: 8, table_bytes: 32 << 20 };
}

/// What is known of a model's contributions before there is a row.
#[derive(Debug, Clone)]
pub(super) struct Explainer {
    /// The mean of the raw score over the rows of the training.
    pub base: f64,
    prepared: Prepared,
}

impl Explainer {
    pub fn of(trees: &[Tree], limits: Limits) -> Self {
        Self { base: trees.iter().map(mean).sum(), prepared: Prepared::of(trees, limits) }
    }

    /// Bytes of the tables.
    pub fn table_bytes(&self) -> usize {
        self.prepared.table_bytes()
    }

    /// Adds to `values` what each feature of these rows adds, one row behind the other in both; a row has `width` values,
    /// one for each feature. All rows take one tree before the next, so that its tables stay in a near cache.
    pub fn add(&self, trees: &[Tree], flat: &Flat, rows: &[f64], width: usize, values: &mut [f64]) {
        let mut path = Vec::new();
        for (index, tree) in trees.iter().enumerate() {
            for (row, values) in rows.chunks_exact(width).zip(values.chunks_exact_mut(width)) {
                match self.prepared.parts(index) {
                    Some(parts) => self.prepared.add(parts, flat.left_splits(index, row), values),
                    None => recursion::add(tree, index, flat, row, &mut path, values),
                }
            }
        }
    }
}

/// What each feature of a row adds, walked through all trees.
pub(super) fn by_recursion(trees: &[Tree], flat: &Flat, row: &[f64]) -> Vec<f64> {
    let (mut values, mut path) = (vec![0.0; row.len()], Vec::new());
    for (index, tree) in trees.iter().enumerate() {
        recursion::add(tree, index, flat, row, &mut path, &mut values);
    }
    values
}

/// The mean of a tree's leaves over the rows of the training.
fn mean(tree: &Tree) -> f64 {
    let leaves = tree.leaves();
    match leaves {
        [only] => only.value,
        _ => {
            let total = f64::from(tree.count(tree.root()));
            leaves.iter().map(|leaf| f64::from(leaf.count) / total * leaf.value).sum()
        }
    }
}
