//! A tree as plain values: splits that name their children, and leaves.
//!
//! A [`Tree`] is whole: every split and every leaf is reached from the root in exactly one way, numbers are finite, and
//! sizes are within the bounds of the module above. It refuses to know features by name.

use super::{DEPTH_MAX, LEAVES_MAX};

/// Which values of a feature count as missing at a split. It is LightGBM's `missing_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingType {
    /// None: NaN is compared as 0.
    None,
    /// Zero, and NaN, which is compared as 0.
    Zero,
    /// NaN.
    Nan,
}

/// How a split sends a value to the left.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// To the left goes what is at most the threshold.
    Numerical {
        /// Finite.
        threshold: f64,
        /// What is missing, and so is not compared.
        missing: MissingType,
        /// Where missing values go.
        default_left: bool,
    },
    /// To the left go these categories. A value is cut to its whole number first; NaN and negative ones go right.
    Categorical {
        /// Category `32 * word + bit` goes left where that bit is set.
        left: Vec<u32>,
    },
}

/// Where a split leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    /// To another split, by its place among the splits of the tree.
    Split(usize),
    /// To a leaf, by its place among the leaves of the tree.
    Leaf(usize),
}

/// A split.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Place of the feature in a row.
    pub feature: usize,
    /// What goes left.
    pub test: Test,
    /// The child on the left.
    pub left: Child,
    /// The child on the right.
    pub right: Child,
    /// What the split gained in the training; predictions do not need it.
    pub gain: f64,
    /// Rows of the training that came here, at least 1; contributions need it.
    pub count: u32,
}

/// A leaf.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leaf {
    /// What it adds to the raw score. Finite.
    pub value: f64,
    /// Rows of the training that came here, at least 1 unless it is the only leaf.
    pub count: u32,
}

/// A tree. The first split is the root; without splits it is one leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    splits: Vec<Split>,
    leaves: Vec<Leaf>,
    depth: usize,
}

impl Tree {
    /// A tree of these parts.
    ///
    /// # Errors
    /// Says in words why they do not make a tree.
    pub fn new(splits: Vec<Split>, leaves: Vec<Leaf>) -> Result<Self, String> {
        if leaves.is_empty() || leaves.len() > LEAVES_MAX {
            return Err(format!("it has {} leaves, not 1 to {LEAVES_MAX}", leaves.len()));
        }
        if splits.len() + 1 != leaves.len() {
            return Err(format!("{} splits do not lead to {} leaves", splits.len(), leaves.len()));
        }
        if let Some(place) = splits.iter().position(|split| !is_sound(split)) {
            return Err(format!("split {place} has a number that is not finite, or no rows of the training"));
        }
        let is_odd = |leaf: &Leaf| !leaf.value.is_finite() || (leaf.count == 0 && leaves.len() > 1);
        if let Some(place) = leaves.iter().position(is_odd) {
            return Err(format!("leaf {place} has a value that is not finite, or no rows of the training"));
        }
        let depth = depth(&splits, leaves.len())?;
        Ok(Self { splits, leaves, depth })
    }

    /// The splits; the root is the first.
    pub fn splits(&self) -> &[Split] {
        &self.splits
    }

    /// The leaves.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// Splits on the longest way from the root to a leaf.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Where a row starts.
    pub fn root(&self) -> Child {
        if self.splits.is_empty() { Child::Leaf(0) } else { Child::Split(0) }
    }

    /// Rows of the training that came to a child of this tree.
    pub(super) fn count(&self, child: Child) -> u32 {
        match child {
            Child::Split(split) => self.splits[split].count,
            Child::Leaf(leaf) => self.leaves[leaf].count,
        }
    }
}

fn is_sound(split: &Split) -> bool {
    let is_finite = match &split.test {
        Test::Numerical { threshold, .. } => threshold.is_finite(),
        Test::Categorical { .. } => true,
    };
    is_finite && split.gain.is_finite() && split.count > 0
}

/// Walks from the root to all leaves. With one leaf more than splits, parts that are each reached at most once are all
/// reached.
fn depth(splits: &[Split], leaves: usize) -> Result<usize, String> {
    let (mut split_seen, mut leaf_seen) = (vec![false; splits.len()], vec![false; leaves]);
    let mut ahead = vec![(if splits.is_empty() { Child::Leaf(0) } else { Child::Split(0) }, 0)];
    let mut deepest = 0;
    while let Some((child, depth)) = ahead.pop() {
        let (kind, place, seen) = match child {
            Child::Split(place) => ("split", place, split_seen.get_mut(place)),
            Child::Leaf(place) => ("leaf", place, leaf_seen.get_mut(place)),
        };
        match seen {
            None => return Err(format!("a split leads to {kind} {place}, which is not there")),
            Some(true) => return Err(format!("two ways lead to {kind} {place}")),
            Some(seen) => *seen = true,
        }
        if depth > DEPTH_MAX {
            return Err(format!("it is deeper than {DEPTH_MAX} splits"));
        }
        deepest = deepest.max(depth);
        if let Child::Split(place) = child {
            ahead.push((splits[place].left, depth + 1));
            ahead.push((splits[place].right, depth + 1));
        }
    }
    Ok(deepest)
}
