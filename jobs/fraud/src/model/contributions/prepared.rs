//! What parts of a tree add to a raw score, worked out for every answer that a row can give to their questions.
//!
//! What a leaf adds depends on nothing but which features of its path keep all the conditions that the path sets them (Yang,
//! "Fast TreeSHAP: Accelerating SHAP Value Computation for Trees", 2021, arXiv:2109.09847, version 2). Leaves side by side
//! share most of their paths, so a table is for a *part*: all leaves below a node, as many as the limits let in. Its
//! questions are, for each feature above that node, whether the row keeps the conditions on the way there, and for each
//! split below whether the row goes left. A row evaluates the splits of a tree once, and finds in each table one row of
//! numbers to add.
//!
//! A leaf whose path has more features than a table has questions is a part by itself, which works its numbers out when it
//! is asked.
//!
//! It refuses trees of more than [`SPLITS_MAX`] splits or with paths of more than [`PATH_FEATURES_MAX`] features.

use std::ops::Range;

use super::super::{Child, Tree};
use super::Limits;
use super::paths::{Condition, PATH_FEATURES_MAX, Step, extended, shapley, steps};

/// Most splits of a tree: a row's answers to them are the bits of one word.
const SPLITS_MAX: usize = u64::BITS as usize;

/// Where a part's own numbers stand.
#[derive(Debug, Clone)]
struct Part {
    questions: Range<usize>,
    features: Range<usize>,
    numbers: Numbers,
}

#[derive(Debug, Clone)]
enum Numbers {
    /// In the tables from here on: for each answer a value for each feature. The first question is the lowest bit of an
    /// answer.
    Table(usize),
    /// To be worked out for a leaf of this value. The questions are those of the features.
    Leaf { zeros: Range<usize>, value: f64 },
}

/// The parts of all trees that have some.
#[derive(Debug, Clone, Default)]
pub(super) struct Prepared {
    trees: Vec<Option<Range<usize>>>,
    parts: Vec<Part>,
    questions: Vec<Condition>,
    features: Vec<u16>,
    tables: Vec<f64>,
    zeros: Vec<f64>,
}

impl Prepared {
    pub fn of(trees: &[Tree], limits: Limits) -> Self {
        let mut prepared = Self::default();
        for tree in trees {
            let parts = is_small(tree).then(|| prepared.push_tree(tree, limits));
            prepared.trees.push(parts);
        }
        prepared
    }

    pub fn table_bytes(&self) -> usize {
        self.tables.len() * size_of::<f64>()
    }

    /// The parts of a tree, if it has some.
    pub fn parts(&self, tree: usize) -> Option<Range<usize>> {
        self.trees[tree].clone()
    }

    /// Adds what these parts add for a row that goes left at these splits of their tree.
    pub fn add(&self, parts: Range<usize>, left_splits: u64, values: &mut [f64]) {
        for part in &self.parts[parts] {
            let questions = self.questions[part.questions.clone()].iter().rev();
            let answer = questions.fold(0, |answer, asked| answer << 1 | usize::from(asked.holds(left_splits)));
            let features = &self.features[part.features.clone()];
            match &part.numbers {
                Numbers::Table(start) => {
                    add_each(features, &self.tables[start + answer * features.len()..][..features.len()], values);
                }
                Numbers::Leaf { zeros, value } => {
                    let shares = &mut [0.0; PATH_FEATURES_MAX][..features.len()];
                    shapley(&self.zeros[zeros.clone()], answer, *value, shares);
                    add_each(features, shares, values);
                }
            }
        }
    }

    /// Cuts a tree into parts, the largest that the limits let in.
    fn push_tree(&mut self, tree: &Tree, limits: Limits) -> Range<usize> {
        let before = self.parts.len();
        let mut ahead = vec![(tree.root(), Vec::new())];
        while let Some((child, path)) = ahead.pop() {
            let splits = splits_below(tree, child);
            let features = features_of(tree, &path, &splits);
            let questions = path.len() + splits.len();
            // The first bound keeps the shift within its number.
            let is_inside = questions <= limits.questions
                && self.table_bytes() + ((size_of::<f64>() * features.len()) << questions) <= limits.table_bytes;
            match child {
                _ if is_inside => self.push_table(tree, child, &path, &splits, &features),
                Child::Leaf(leaf) => self.push_leaf(&path, tree.leaves()[leaf].value),
                Child::Split(split) => {
                    let below = steps(tree, split, 1 << split);
                    ahead.extend(below.map(|(child, step)| (child, extended(&path, step))));
                }
            }
        }
        before..self.parts.len()
    }

    /// A leaf that works its numbers out when it is asked.
    fn push_leaf(&mut self, path: &[Step], value: f64) {
        let zeros = self.zeros.len()..self.zeros.len() + path.len();
        self.zeros.extend(path.iter().map(|step| step.zero));
        let features: Vec<usize> = path.iter().map(|step| step.feature).collect();
        self.push(path.iter().map(|step| step.condition), &features, Numbers::Leaf { zeros, value });
    }

    /// The table of the leaves below a node.
    fn push_table(&mut self, tree: &Tree, child: Child, path: &[Step], splits: &[usize], features: &[usize]) {
        let above = path.iter().map(|step| step.condition);
        let questions = above.chain(splits.iter().map(|split| Condition::of(1 << split, true)));
        let start = self.tables.len();
        self.tables.resize(start + (features.len() << (path.len() + splits.len())), 0.0);
        let table = &mut self.tables[start..];
        // In here a path's conditions are about the answers to the questions.
        let asked = |(bit, step): (usize, &Step)| Step { condition: Condition::of(1 << bit, true), ..*step };
        let mut ahead = vec![(child, path.iter().enumerate().map(asked).collect::<Vec<_>>())];
        while let Some((child, path_here)) = ahead.pop() {
            match child {
                Child::Leaf(leaf) => add_leaf(table, features, &path_here, tree.leaves()[leaf].value),
                Child::Split(split) => {
                    let place = splits.iter().position(|below| *below == split).expect("it is below the node");
                    let below = steps(tree, split, 1 << (path.len() + place));
                    ahead.extend(below.map(|(child, step)| (child, extended(&path_here, step))));
                }
            }
        }
        self.push(questions, features, Numbers::Table(start));
    }

    fn push(&mut self, questions: impl Iterator<Item = Condition>, features: &[usize], numbers: Numbers) {
        let before = (self.questions.len(), self.features.len());
        self.questions.extend(questions);
        // A feature of a model is below 2^16.
        self.features.extend(features.iter().map(|feature| *feature as u16));
        let (questions, features) = (before.0..self.questions.len(), before.1..self.features.len());
        self.parts.push(Part { questions, features, numbers });
    }
}

fn add_each(features: &[u16], added: &[f64], values: &mut [f64]) {
    for (feature, added) in features.iter().zip(added) {
        values[usize::from(*feature)] += added;
    }
}

/// Whether a tree can have parts.
fn is_small(tree: &Tree) -> bool {
    if tree.splits().len() > SPLITS_MAX {
        return false;
    }
    let mut ahead = vec![(tree.root(), Vec::new())];
    while let Some((child, path)) = ahead.pop() {
        if path.len() > PATH_FEATURES_MAX {
            return false;
        }
        if let Child::Split(split) = child {
            ahead.extend(steps(tree, split, 1 << split).map(|(child, step)| (child, extended(&path, step))));
        }
    }
    true
}

/// Adds what a leaf adds to each row of a table. What it adds depends on fewer questions than the table has, so it is worked
/// out by these first.
fn add_leaf(table: &mut [f64], features: &[usize], path: &[Step], value: f64) {
    if path.is_empty() {
        return;
    }
    let place = |step: &Step| features.iter().position(|feature| *feature == step.feature);
    let places: Vec<usize> = path.iter().filter_map(place).collect();
    let zeros: Vec<f64> = path.iter().map(|step| step.zero).collect();
    let mut shares = vec![0.0; path.len() << path.len()];
    for (kept, shares) in shares.chunks_exact_mut(path.len()).enumerate() {
        shapley(&zeros, kept, value, shares);
    }
    for (answer, row) in table.chunks_exact_mut(features.len()).enumerate() {
        let holds = |step: &Step| usize::from(step.condition.holds(answer as u64));
        let kept = path.iter().rev().fold(0, |kept, step| kept << 1 | holds(step));
        for (place, share) in places.iter().zip(&shares[kept * path.len()..]) {
            row[*place] += share;
        }
    }
}

/// The splits at and below a node, each behind its parent.
fn splits_below(tree: &Tree, child: Child) -> Vec<usize> {
    let (mut found, mut ahead) = (Vec::new(), vec![child]);
    while let Some(child) = ahead.pop() {
        if let Child::Split(split) = child {
            found.push(split);
            ahead.extend([tree.splits()[split].left, tree.splits()[split].right]);
        }
    }
    found
}

/// The features of a path and of the splits below it, sorted.
fn features_of(tree: &Tree, path: &[Step], splits: &[usize]) -> Vec<usize> {
    let mut features: Vec<usize> = path.iter().map(|step| step.feature).collect();
    features.extend(splits.iter().map(|split| tree.splits()[*split].feature));
    features.sort_unstable();
    features.dedup();
    features
}
