//! What parts of a tree add to a raw score, for every answer that a row can give to their questions.
//!
//! What the path to a leaf adds depends on nothing but which of its features keep all the conditions that the path sets
//! them (Yang, "Fast TreeSHAP: Accelerating SHAP Value Computation for Trees", 2021, arXiv:2109.09847, version 2): a path of
//! m different features has 2^m answers. Leaves side by side share most of their paths, so a table is for a whole *unit*:
//! all leaves below a node. Its questions are, for each feature between the root and that node, whether the row keeps the
//! conditions on the way there; and for each split of the unit, whether the row goes left.
//!
//! The number that stands in a table is the Shapley value itself. In a leaf of value v, where a known feature i of the path
//! lets one(i) through, 0 or 1, and an unknown one zero(i), the share of the training's rows, it is
//!
//! > v (one(i) - zero(i)) times the integral over t from 0 to 1 of the product of t one(j) + (1 - t) zero(j) over all j but i
//!
//! since the weight of a set of k among the n others, k! (n - k)! / (n + 1)!, is the integral of t^k (1 - t)^(n - k).
//! [`POINTS`] of Gauss and Legendre give the integral of such a polynomial exactly, and all they add up has one sign.
//!
//! It refuses trees of more than [`SPLITS_MAX`] splits or with a path of more than [`QUESTIONS_MAX`] features, and tables
//! beyond [`TABLES_BYTES_MAX`].

use std::ops::Range;

use super::super::{Child, Tree};

/// Most splits of a tree: a row's answers to them are the bits of one word.
const SPLITS_MAX: usize = 64;
/// Most questions of a unit: a table of 2^8 rows of some 6 features takes 12 KiB. More questions make larger units and
/// fewer of them, but tables that no near cache holds.
const QUESTIONS_MAX: usize = 12;
/// Most bytes of a model's tables. 100 trees of 31 leaves take a quarter of it; a model keeps them as long as its bundle is
/// known, one for each partition.
const TABLES_BYTES_MAX: usize = 320 << 20;
/// Abscissas and weights of Gauss and Legendre on -1 to 1 for six points, by their size (Abramowitz and Stegun, "Handbook
/// of Mathematical Functions", 1964, table 25.4). They are exact to degree 11, enough for paths of 12 features.
const POINTS: [(f64, f64); 3] = [
    (0.238_619_186_083_196_9, 0.467_913_934_572_691_0),
    (0.661_209_386_466_264_5, 0.360_761_573_048_138_6),
    (0.932_469_514_203_152_1, 0.171_324_492_379_170_4),
];
const _: () = assert!(QUESTIONS_MAX <= 12);

/// Holds where the bits under the mask are those that are expected.
#[derive(Debug, Clone, Copy, Default)]
struct Condition {
    mask: u64,
    expected: u64,
}

impl Condition {
    fn holds(self, bits: u64) -> bool {
        (bits ^ self.expected) & self.mask == 0
    }

    fn and(self, bit: u64, is_set: bool) -> Self {
        Self { mask: self.mask | bit, expected: if is_set { self.expected | bit } else { self.expected } }
    }
}

/// A feature on a path, of all splits that ask for it.
#[derive(Debug, Clone, Copy)]
struct Step {
    feature: usize,
    /// What the path asks of the row.
    condition: Condition,
    /// Share of the training's rows that comes through where the feature is not known.
    zero: f64,
}

/// The leaves below a node, by where their parts stand.
#[derive(Debug, Clone)]
struct Unit {
    tree: usize,
    questions: Range<usize>,
    features: Range<usize>,
    /// A row of as many values as features for each answer; the first question is the lowest bit.
    values: usize,
}

/// The tables of a model.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    /// Units of each tree that has tables.
    trees: Vec<Option<Range<usize>>>,
    units: Vec<Unit>,
    questions: Vec<Condition>,
    features: Vec<u16>,
    values: Vec<f64>,
}

impl Tables {
    pub fn of(trees: &[Tree]) -> Self {
        let mut tables = Self::default();
        for tree in trees {
            let units = tables.cut(tree).map(|nodes| {
                let before = tables.units.len();
                nodes.iter().for_each(|(child, path)| tables.push(tree, *child, path));
                before..tables.units.len()
            });
            tables.trees.push(units);
        }
        if std::env::var("SORT").is_ok() { tables.sort(); }
        tables
    }

    /// The units of a tree, if it has tables.
    pub fn sort(&mut self) { self.units.sort_by_key(|u| (u.features.len(), u.questions.len(), u.tree)); }

    pub fn add_all(&self, lefts: &[u64], values: &mut [f64]) {
        for same in self.units.chunk_by(|a, b| a.features.len() == b.features.len()) {
            match same[0].features.len() {
                1 => self.add_width::<1>(same, lefts, values),
                2 => self.add_width::<2>(same, lefts, values),
                3 => self.add_width::<3>(same, lefts, values),
                4 => self.add_width::<4>(same, lefts, values),
                5 => self.add_width::<5>(same, lefts, values),
                6 => self.add_width::<6>(same, lefts, values),
                7 => self.add_width::<7>(same, lefts, values),
                8 => self.add_width::<8>(same, lefts, values),
                9 => self.add_width::<9>(same, lefts, values),
                10 => self.add_width::<10>(same, lefts, values),
                _ => {}
            }
        }
    }
    fn add_width<const WIDTH: usize>(&self, units: &[Unit], lefts: &[u64], values: &mut [f64]) {
        for unit in units {
            let left_splits = lefts[unit.tree];
            let questions = self.questions[unit.questions.clone()].iter().rev();
            let answer = questions.fold(0, |answer, asked| answer << 1 | usize::from(asked.holds(left_splits)));
            let features = self.features[unit.features.clone()].first_chunk::<WIDTH>().unwrap();
            let added = self.values[unit.values + answer * WIDTH..].first_chunk::<WIDTH>().unwrap();
            for (feature, added) in features.iter().zip(added) {
                values[usize::from(*feature)] += added;
            }
        }
    }

    pub fn of_tree(&self, tree: usize) -> Option<Range<usize>> {
        self.trees[tree].clone()
    }

    /// Adds what these units add for a row that goes left at these splits of their tree.
    pub fn add(&self, units: Range<usize>, left_splits: u64, values: &mut [f64]) {
        for unit in &self.units[units] {
            let questions = self.questions[unit.questions.clone()].iter().rev();
            let answer = questions.fold(0, |answer, asked| answer << 1 | usize::from(asked.holds(left_splits)));
            let features = &self.features[unit.features.clone()];
            let added = &self.values[unit.values + answer * features.len()..][..features.len()];
            for (feature, added) in features.iter().zip(added) {
                values[usize::from(*feature)] += added;
            }
        }
    }

    /// Cuts a tree into units with the paths to them, where all of it fits into tables.
    fn cut(&self, tree: &Tree) -> Option<Vec<(Child, Vec<Step>)>> {
        if tree.splits().len() > SPLITS_MAX {
            return None;
        }
        let (mut units, mut bytes) = (Vec::new(), self.values.len() * size_of::<f64>());
        let mut ahead = vec![(tree.root(), Vec::new())];
        while let Some((child, path)) = ahead.pop() {
            let inside = splits_below(tree, child);
            let questions = path.len() + inside.len();
            if questions <= qmax() {
                bytes += (size_of::<f64>() << questions) * features_of(tree, &path, &inside).len();
                units.push((child, path));
                continue;
            }
            let Child::Split(split) = child else { return None };
            ahead.extend(both(tree, split, 1 << split).map(|(child, step)| (child, with(&path, step))));
        }
        (bytes <= TABLES_BYTES_MAX).then_some(units)
    }

    /// The table of the leaves below a node.
    fn push(&mut self, tree: &Tree, child: Child, path: &[Step]) {
        let inside = splits_below(tree, child);
        let features = features_of(tree, path, &inside);
        let questions = self.questions.len();
        self.questions.extend(path.iter().map(|step| step.condition));
        self.questions.extend(inside.iter().map(|split| Condition::default().and(1 << split, true)));
        let unit = Unit {
            tree: self.trees.len(),
            questions: questions..self.questions.len(),
            features: self.features.len()..self.features.len() + features.len(),
            values: self.values.len(),
        };
        self.values.resize(unit.values + (features.len() << unit.questions.len()), 0.0);
        let table = &mut self.values[unit.values..];
        // In the table, the answers stand for the row.
        let asked = |(bit, step): (usize, &Step)| Step { condition: Condition::default().and(1 << bit, true), ..*step };
        let mut ahead = vec![(child, path.iter().enumerate().map(asked).collect::<Vec<_>>())];
        while let Some((child, steps)) = ahead.pop() {
            match child {
                Child::Leaf(leaf) => add_leaf(table, &features, &steps, tree.leaves()[leaf].value),
                Child::Split(split) => {
                    let place = inside.iter().position(|inside| *inside == split).unwrap_or_default();
                    let below = both(tree, split, 1 << (path.len() + place));
                    ahead.extend(below.map(|(child, step)| (child, with(&steps, step))));
                }
            }
        }
        // A feature of a model is below 2^16.
        self.features.extend(features.iter().map(|feature| *feature as u16));
        self.units.push(unit);
    }
}

/// Adds what a leaf adds to each row of a table. What it adds depends on fewer answers than a row of the table has, so it
/// is worked out for these first.
fn add_leaf(table: &mut [f64], features: &[usize], steps: &[Step], value: f64) {
    let width = features.len();
    let places: Vec<usize> =
        steps.iter().filter_map(|step| features.iter().position(|feature| *feature == step.feature)).collect();
    let mut shares = vec![0.0; steps.len() << steps.len()];
    for kept in 0..1 << steps.len() {
        shapley(steps, kept, value, &mut shares[kept * steps.len()..][..steps.len()]);
    }
    for (answer, row) in table.chunks_exact_mut(width.max(1)).enumerate() {
        let holds = |step: &Step| usize::from(step.condition.holds(answer as u64));
        let kept = steps.iter().enumerate().fold(0, |kept, (bit, step)| kept | holds(step) << bit);
        for (place, share) in places.iter().zip(&shares[kept * steps.len()..]) {
            row[*place] += share;
        }
    }
}

/// What each feature of a path adds where those of the set bits keep its conditions.
fn shapley(steps: &[Step], kept: usize, value: f64, shares: &mut [f64]) {
    let one = |place: usize| (kept >> place & 1) as f64;
    let mut through = [0.0; QUESTIONS_MAX];
    for (at, weight) in POINTS.iter().flat_map(|(at, weight)| [(-at, weight), (*at, weight)]) {
        // From -1..1 to 0..1.
        let (known, weight) = ((1.0 + at) / 2.0, weight / 2.0);
        for (place, step) in steps.iter().enumerate() {
            through[place] = known * one(place) + (1.0 - known) * step.zero;
        }
        let all: f64 = through[..steps.len()].iter().product();
        for (place, share) in shares.iter_mut().enumerate() {
            *share += weight * all / through[place];
        }
    }
    for (place, share) in shares.iter_mut().enumerate() {
        *share *= value * (one(place) - steps[place].zero);
    }
}

/// The children of a split, each with the step to it; `bit` is the one that a row has which goes left.
fn both(tree: &Tree, split: usize, bit: u64) -> [(Child, Step); 2] {
    let node = &tree.splits()[split];
    [(node.left, true), (node.right, false)].map(|(child, is_left)| {
        let zero = f64::from(tree.count(child)) / f64::from(node.count);
        (child, Step { feature: node.feature, condition: Condition::default().and(bit, is_left), zero })
    })
}

/// A path with one step more: a feature that is there already is asked for more.
fn with(path: &[Step], step: Step) -> Vec<Step> {
    let mut path = path.to_vec();
    match path.iter_mut().find(|before| before.feature == step.feature) {
        Some(before) => {
            let Condition { mask, expected } = step.condition;
            before.condition = before.condition.and(mask, expected != 0);
            before.zero *= step.zero;
        }
        None => path.push(step),
    }
    path
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

/// The features of a path and of the splits behind it, sorted.
fn features_of(tree: &Tree, path: &[Step], splits: &[usize]) -> Vec<usize> {
    let mut features: Vec<usize> = path.iter().map(|step| step.feature).collect();
    features.extend(splits.iter().map(|split| tree.splits()[*split].feature));
    features.sort_unstable();
    features.dedup();
    features
}
impl Tables { pub fn describe(&self) -> String { let adds: usize = self.units.iter().map(|u| u.features.len()).sum(); format!("trees without {} units {} adds {} bytes {}", self.trees.iter().filter(|t| t.is_none()).count(), self.units.len(), adds, self.values.len() * 8) } }
fn qmax() -> usize { std::env::var("QMAX").unwrap().parse().unwrap() }
