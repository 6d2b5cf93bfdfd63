//! The evaluator: all splits of a model in one array of 16-byte nodes, all leaves in another, and no allocation a row.
//!
//! A node is compared as LightGBM's `Tree::NumericalDecision` compares, after its predictor made every value within
//! [`ZERO_MAX`] of zero to 0. What of this depends on the split alone is decided when the model is read:
//!
//! * a threshold within [`ZERO_MAX`] of zero moves to the border of that range which keeps all of it on the side of 0;
//! * NaN is 0 where the missing type is none, so it has a side at every split.
//!
//! It refuses rows of another width: callers have checked that.

use arrow::array::{Array, Float64Array};

use super::{Child, MissingType, Split, Test, Tree, ZERO_MAX};

/// Rule of a node: NaN goes left.
const NAN_LEFT: u8 = 1;
/// Rule of a node: zero goes where NaN goes.
const ZERO_MISSING: u8 = 2;
/// Rule of a node: the threshold is the place of a set of categories.
const CATEGORICAL: u8 = 4;

/// Rows that are gathered from columns at once: with 20 features their values take 10 KiB, so they stay in the nearest
/// cache until they are asked for. (Taking a tree at a time through all of them was slower than a row at a time through
/// all trees: the nodes of 100 trees fit the next cache.)
const BLOCK_ROWS: usize = 64;
/// Trees that one row walks at the same time: a step waits for memory, and the steps of several trees wait together. Of
/// 1 to 16 this took the least time for 100 trees of 31 leaves, under half of that for one tree after the other.
const LANES: usize = 6;

#[derive(Debug, Clone, Copy)]
struct Node {
    threshold: f64,
    feature: u16,
    /// Left and right: a node of the same tree, or the complement of a leaf of the same tree.
    children: [i16; 2],
    rule: u8,
}

/// Where the parts of a tree stand.
#[derive(Debug, Clone, Copy)]
struct Extent {
    nodes: usize,
    leaves: usize,
    /// 0, or the complement of 0 where the tree is one leaf.
    root: i16,
}

/// The trees of a model, ready to be walked.
#[derive(Debug, Clone)]
pub(super) struct Flat {
    nodes: Vec<Node>,
    leaves: Vec<f64>,
    trees: Vec<Extent>,
    /// Where each set of categories stands in `words`.
    sets: Vec<(usize, usize)>,
    words: Vec<u32>,
    /// Whether all nodes compare with thresholds and none takes zero for missing.
    is_plain: bool,
}

impl Flat {
    pub(super) fn of(trees: &[Tree]) -> Self {
        let mut flat = Self {
            nodes: Vec::with_capacity(trees.iter().map(|tree| tree.splits().len()).sum()),
            leaves: Vec::with_capacity(trees.iter().map(|tree| tree.leaves().len()).sum()),
            trees: Vec::with_capacity(trees.len()),
            sets: Vec::new(),
            words: Vec::new(),
            is_plain: true,
        };
        for tree in trees {
            let root = place(tree.root());
            flat.trees.push(Extent { nodes: flat.nodes.len(), leaves: flat.leaves.len(), root });
            flat.leaves.extend(tree.leaves().iter().map(|leaf| leaf.value));
            for split in tree.splits() {
                let node = flat.node(split);
                flat.is_plain &= node.rule & !NAN_LEFT == 0;
                flat.nodes.push(node);
            }
        }
        flat
    }

    fn node(&mut self, split: &Split) -> Node {
        let (threshold, rule) = match &split.test {
            Test::Numerical { threshold, missing: MissingType::None, .. } => {
                (moved(*threshold), if *threshold >= 0.0 { NAN_LEFT } else { 0 })
            }
            Test::Numerical { threshold, missing, default_left } => {
                let zero = if *missing == MissingType::Zero { ZERO_MISSING } else { 0 };
                (moved(*threshold), zero | if *default_left { NAN_LEFT } else { 0 })
            }
            Test::Categorical { left } => {
                self.sets.push((self.words.len(), self.words.len() + left.len()));
                self.words.extend_from_slice(left);
                ((self.sets.len() - 1) as f64, CATEGORICAL)
            }
        };
        // A feature of a model is below 2^16.
        Node { threshold, feature: split.feature as u16, children: [place(split.left), place(split.right)], rule }
    }

    /// The sum of a row's leaves. LightGBM starts with 0 and adds in the order of the trees.
    pub(super) fn raw_score(&self, row: &[f64]) -> f64 {
        if self.is_plain { self.score::<true>(row) } else { self.score::<false>(row) }
    }

    fn score<const PLAIN: bool>(&self, row: &[f64]) -> f64 {
        let mut sum = 0.0;
        let groups = self.trees.chunks_exact(LANES);
        let rest = groups.remainder();
        for group in groups {
            for value in self.walk_together::<PLAIN>(group, row) {
                sum += value;
            }
        }
        for tree in rest {
            sum += self.walk::<PLAIN>(tree, row);
        }
        sum
    }

    /// The values of the leaves at which a row arrives in several trees.
    fn walk_together<const PLAIN: bool>(&self, trees: &[Extent], row: &[f64]) -> [f64; LANES] {
        let mut at: [i16; LANES] = std::array::from_fn(|lane| trees[lane].root);
        loop {
            let mut is_walking = false;
            for lane in 0..LANES {
                if at[lane] >= 0 {
                    let node = &self.nodes[trees[lane].nodes + at[lane] as usize];
                    at[lane] = node.children[usize::from(!self.goes_left::<PLAIN>(node, row))];
                    is_walking = true;
                }
            }
            if !is_walking {
                return std::array::from_fn(|lane| self.leaves[trees[lane].leaves + !at[lane] as usize]);
            }
        }
    }

    /// The value of the leaf at which a row arrives.
    fn walk<const PLAIN: bool>(&self, tree: &Extent, row: &[f64]) -> f64 {
        let nodes = &self.nodes[tree.nodes..];
        let mut at = tree.root;
        while at >= 0 {
            let node = &nodes[at as usize];
            at = node.children[usize::from(!self.goes_left::<PLAIN>(node, row))];
        }
        self.leaves[tree.leaves + !at as usize]
    }

    /// Whether a row goes left at a split of a tree, both by their places.
    pub(super) fn is_left(&self, tree: usize, split: usize, row: &[f64]) -> bool {
        self.goes_left::<false>(&self.nodes[self.trees[tree].nodes + split], row)
    }

    /// The splits of a tree at which a row goes left: bit n is split n. The tree has at most 64 of them.
    pub(super) fn left_splits(&self, tree: usize, row: &[f64]) -> u64 {
        if self.is_plain { self.lefts::<true>(tree, row) } else { self.lefts::<false>(tree, row) }
    }

    fn lefts<const PLAIN: bool>(&self, tree: usize, row: &[f64]) -> u64 {
        let end = self.trees.get(tree + 1).map_or(self.nodes.len(), |next| next.nodes);
        let nodes = self.nodes[self.trees[tree].nodes..end].iter().rev();
        nodes.fold(0, |lefts, node| lefts << 1 | u64::from(self.goes_left::<PLAIN>(node, row)))
    }

    #[inline(always)]
    fn goes_left<const PLAIN: bool>(&self, node: &Node, row: &[f64]) -> bool {
        let value = row[usize::from(node.feature)];
        let nan_left = node.rule & NAN_LEFT != 0;
        if PLAIN {
            return (value <= node.threshold) | (nan_left & value.is_nan());
        }
        if node.rule & CATEGORICAL != 0 {
            return self.holds(node.threshold as usize, value);
        }
        let is_zero = (node.rule & ZERO_MISSING != 0) & (value.abs() <= ZERO_MAX);
        if is_zero | value.is_nan() { nan_left } else { value <= node.threshold }
    }

    /// Whether a set holds the category of a value. The cast cuts to the whole number, and what is beyond all integers
    /// stays beyond all sets.
    fn holds(&self, set: usize, value: f64) -> bool {
        let category = value as i32;
        if value.is_nan() || category < 0 {
            return false;
        }
        let (start, end) = self.sets[set];
        let word = self.words[start..end].get(category as usize / 32);
        word.is_some_and(|word| word >> (category % 32) & 1 == 1)
    }
}

/// Hands on the rows of these columns, in blocks of at most [`BLOCK_ROWS`], one row behind the other. What is missing is
/// NaN.
pub(super) fn blocks(columns: &[&Float64Array], rows: usize, mut take: impl FnMut(&[f64])) {
    let width = columns.len();
    let mut block = vec![0.0; BLOCK_ROWS.min(rows) * width];
    for start in (0..rows).step_by(BLOCK_ROWS) {
        let count = BLOCK_ROWS.min(rows - start);
        for (place, column) in columns.iter().enumerate() {
            let values = &column.values()[start..start + count];
            for (row, value) in values.iter().enumerate() {
                let is_null = column.is_null(start + row);
                block[row * width + place] = if is_null { f64::NAN } else { *value };
            }
        }
        take(&block[..count * width]);
    }
}

/// Where a threshold stands for values that were not made to 0: all of [`ZERO_MAX`]'s range stays on the side of 0.
fn moved(threshold: f64) -> f64 {
    if threshold.abs() > ZERO_MAX {
        threshold
    } else if threshold >= 0.0 {
        ZERO_MAX
    } else {
        (-ZERO_MAX).next_down()
    }
}

/// A tree has at most 2^15 leaves and one split less, so that a place and its complement have 16 bits.
fn place(child: Child) -> i16 {
    match child {
        Child::Split(place) => place as i16,
        Child::Leaf(place) => !(place as i16),
    }
}
