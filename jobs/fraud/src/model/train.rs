//! Trains a model: logistic boosting by the crate `forust-ml`, whose trees become LightGBM's text like any other.
//!
//! Why this crate: it is pure Rust, shows its trees with the side of missing values, and with one thread asks neither
//! for the time nor for the machine. (`perpetual` grew out of it; it reads the clock and the free memory while it
//! trains, so the same rows could make another model on another machine.) Its sums of gradients are f32, so it is no
//! twin of LightGBM's trainer; what it has grown is evaluated with the same bits all the same:
//!
//! * it goes left below a split value, LightGBM at most at a threshold: the threshold is the next smaller number;
//! * its leaves are f32, which f64 holds exactly, and its base score goes into the leaves of the first tree, where
//!   LightGBM has it too.
//!
//! Which rows are for training, and that their labels were known by then, is the caller's to say. It refuses values
//! without end, parameters out of bounds, and labels that are all alike.

use forust_ml::gradientbooster::GrowPolicy;
use forust_ml::sampler::SampleMethod;
use forust_ml::{GradientBooster, Matrix, tree};
use serde::Serialize;

use super::{Child, Leaf, MissingType, Model, ModelError, Objective, Split, Test, Tree, ZERO_MAX};

/// The trainer and its version, for the manifest of a training: another version may grow other trees.
pub const TRAINER: &str = "forust-ml 0.8.0";
/// Most trees: ten times what the time of a decision has room for.
pub const TREES_MAX: usize = 1_000;
/// Most leaves of a trained tree: more of them learn single cards by heart.
pub const TRAINED_LEAVES_MAX: usize = 1_024;
/// Deepest trained tree, splits: contributions take time by its square.
pub const TRAINED_DEPTH_MAX: usize = 64;
/// Most bins of a feature's values: the trainer counts them in 16 bits and keeps some for itself.
pub const BINS_MAX: u16 = 4_096;
/// Most values of a training, rows times features: 4 GB, of which the trainer holds a copy with 2 bytes a value.
pub const VALUES_MAX: usize = 500_000_000;

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameters {
    /// Number of trees, 1 to [`TREES_MAX`].
    pub trees: usize,
    /// Most leaves of a tree, 2 to [`TRAINED_LEAVES_MAX`]; the leaf that gains most is split next.
    pub leaves: usize,
    /// Most splits from the root to a leaf, 1 to [`TRAINED_DEPTH_MAX`].
    pub depth: usize,
    /// Share of each tree's answer that is taken, above 0 and at most 1.
    pub learning_rate: f32,
    /// Weight of squared leaf values in the loss, at least 0.
    pub l2: f32,
    /// Least sum of second derivatives in a leaf, above 0: a row counts p * (1 - p), at most a quarter.
    pub leaf_weight_min: f32,
    /// Bins into which the values of a feature are put, 2 to [`BINS_MAX`].
    pub bins: u16,
    /// Share of the rows that each tree sees, above 0 and at most 1.
    pub row_share: f32,
    /// Share of the features that each tree sees, above 0 and at most 1; one feature at least.
    pub feature_share: f64,
    /// Where the choice of rows and features begins. The same rows, parameters and seed give the same text.
    pub seed: u64,
}

/// Chosen on the published simulation, on weeks before those of any test (`evaluate/tests/search.rs` has how and what
/// else was tried), for training sets of some ten thousand payments of which one in a hundred is a fraud. Few and small
/// trees, since a decision has microseconds; many bins, since frauds lie at the ends of what values there are.
impl Default for Parameters {
    fn default() -> Self {
        Self {
            trees: 100,
            leaves: 16,
            depth: 6,
            learning_rate: 0.1,
            l2: 3.0,
            leaf_weight_min: 3.0,
            bins: 4_096,
            row_share: 1.0,
            feature_share: 1.0,
            seed: 0,
        }
    }
}

/// What to train on.
#[derive(Debug, Clone, Copy)]
pub struct Examples<'a> {
    /// Names of the features.
    pub features: &'a [String],
    /// A column a feature, all as long as the labels. NaN is a missing value.
    pub columns: &'a [&'a [f64]],
    /// Whether each row was fraud.
    pub labels: &'a [bool],
}

/// Trains a model of the probability of fraud.
///
/// # Errors
/// Fails where the examples or the parameters are refused, here or by the trainer.
pub fn train(examples: &Examples<'_>, parameters: &Parameters) -> Result<Model, ModelError> {
    let booster = grow(examples, parameters)?;
    let objective = Objective::Binary { sigmoid: 1.0 };
    let mut trees = Vec::with_capacity(booster.trees.len());
    for (index, grown) in booster.trees.iter().enumerate() {
        let base = if index == 0 { booster.base_score } else { 0.0 };
        let tree = converted(grown, base, examples.columns, examples.labels.len());
        trees.push(tree.map_err(|problem| ModelError::Tree { tree: index, problem })?);
    }
    Model::from_trees(objective, examples.features.to_vec(), trees)
}

/// The trainer's own model.
pub(super) fn grow(examples: &Examples<'_>, parameters: &Parameters) -> Result<GradientBooster, ModelError> {
    check_parameters(parameters)?;
    let values = checked_values(examples)?;
    let rows = examples.labels.len();
    let sampled = if parameters.row_share < 1.0 { SampleMethod::Random } else { SampleMethod::None };
    let mut booster = GradientBooster::default()
        .set_iterations(parameters.trees)
        .set_max_leaves(parameters.leaves)
        .set_max_depth(parameters.depth)
        .set_learning_rate(parameters.learning_rate)
        .set_l2(parameters.l2)
        .set_min_leaf_weight(parameters.leaf_weight_min)
        .set_nbins(parameters.bins)
        .set_sample_method(sampled)
        .set_subsample(parameters.row_share)
        .set_colsample_bytree(feature_share(parameters.feature_share, examples.columns.len()))
        .set_seed(parameters.seed)
        .set_initialize_base_score(true)
        .set_missing(f64::NAN)
        .set_create_missing_branch(false)
        .set_allow_missing_splits(true)
        .set_parallel(false);
    booster.grow_policy = GrowPolicy::LossGuide;
    let labels: Vec<f64> = examples.labels.iter().map(|is_fraud| f64::from(*is_fraud)).collect();
    let matrix = Matrix::new(&values, rows, examples.columns.len());
    booster.fit_unweighted(&matrix, &labels, None).map_err(|error| refused(error.to_string()))?;
    Ok(booster)
}

/// The trainer rounds the number of features that a tree sees down; without any it grows none.
fn feature_share(share: f64, features: usize) -> f64 {
    let features = features as f64;
    if features * share >= 1.0 { share } else { (1.5 / features).min(1.0) }
}

fn check_parameters(parameters: &Parameters) -> Result<(), ModelError> {
    let is_share = |share: f64| share > 0.0 && share <= 1.0;
    let bounds = [
        ("trees", (1..=TREES_MAX).contains(&parameters.trees)),
        ("leaves", (2..=TRAINED_LEAVES_MAX).contains(&parameters.leaves)),
        ("depth", (1..=TRAINED_DEPTH_MAX).contains(&parameters.depth)),
        ("learning_rate", is_share(parameters.learning_rate.into())),
        ("l2", parameters.l2 >= 0.0 && parameters.l2.is_finite()),
        ("leaf_weight_min", parameters.leaf_weight_min > 0.0 && parameters.leaf_weight_min.is_finite()),
        ("bins", (2..=BINS_MAX).contains(&parameters.bins)),
        ("row_share", is_share(parameters.row_share.into())),
        ("feature_share", is_share(parameters.feature_share)),
    ];
    match bounds.iter().find(|(_, is_inside)| !is_inside) {
        Some((name, _)) => Err(refused(format!("parameter {name} is out of its bounds"))),
        None => Ok(()),
    }
}

/// The values of all columns, one column behind the other, compared as LightGBM compares them: next to zero is zero.
fn checked_values(examples: &Examples<'_>) -> Result<Vec<f64>, ModelError> {
    let (features, rows) = (examples.columns.len(), examples.labels.len());
    if features != examples.features.len() {
        return Err(ModelError::Width { expected: examples.features.len(), found: features });
    }
    let uneven = examples.columns.iter().position(|column| column.len() != rows);
    if let Some(column) = uneven {
        return Err(ModelError::Length { column, expected: rows, found: examples.columns[column].len() });
    }
    if rows.saturating_mul(features) > VALUES_MAX {
        return Err(refused(format!("{rows} rows of {features} features are more than {VALUES_MAX} values")));
    }
    if !examples.labels.contains(&true) || !examples.labels.contains(&false) {
        return Err(refused("all rows have the same label".to_string()));
    }
    if let Some(column) = examples.columns.iter().position(|column| column.iter().any(|value| value.is_infinite())) {
        return Err(refused(format!("feature {:?} has an infinite value", examples.features[column])));
    }
    let values = examples.columns.iter().flat_map(|column| column.iter());
    Ok(values.map(|value| if value.abs() <= ZERO_MAX { 0.0 } else { *value }).collect())
}

/// A grown tree with splits and leaves apart, and with the rows that come to each.
fn converted(grown: &tree::Tree, base: f64, columns: &[&[f64]], rows: usize) -> Result<Tree, String> {
    let (mut splits, mut leaves) = (Vec::new(), Vec::new());
    // Trainer's number of a node to its place here.
    let mut children = Vec::with_capacity(grown.nodes.len());
    let (mut split_count, mut leaf_count) = (0, 0);
    for node in &grown.nodes {
        let (child, count) = if node.is_leaf {
            (Child::Leaf(leaf_count), &mut leaf_count)
        } else {
            (Child::Split(split_count), &mut split_count)
        };
        children.push(child);
        *count += 1;
    }
    for node in &grown.nodes {
        if node.is_leaf {
            leaves.push(Leaf { value: f64::from(node.weight_value) + base, count: 0 });
            continue;
        }
        if node.has_missing_branch() {
            return Err("the trainer made a third branch for missing values".to_string());
        }
        let place = |number: usize| children.get(number).copied().ok_or("a child that the trainer did not grow");
        let default_left = node.missing_node == node.left_child;
        let test = Test::Numerical { threshold: threshold(node.split_value), missing: MissingType::Nan, default_left };
        let (left, right) = (place(node.left_child)?, place(node.right_child)?);
        let gain = f64::from(node.split_gain);
        splits.push(Split { feature: node.split_feature, test, left, right, gain, count: 1 });
    }
    count(&mut splits, &mut leaves, columns, rows);
    Tree::new(splits, leaves)
}

/// The number that a value is at most, where it is below the split value. Zero's neighbours count as zero.
fn threshold(split_value: f64) -> f64 {
    if split_value == 0.0 { -ZERO_MAX } else { split_value.next_down() }
}

/// Counts the rows at each leaf. One to which none comes, which the rounding of the trainer's sums could leave, counts
/// one: contributions divide by counts.
fn count(splits: &mut [Split], leaves: &mut [Leaf], columns: &[&[f64]], rows: usize) {
    for row in 0..rows {
        if let Some(place) = leaf_of(splits, columns, row) {
            leaves[place].count += 1;
        }
    }
    for leaf in leaves.iter_mut() {
        leaf.count = leaf.count.max(1);
    }
    // Children were grown after their parents, so from the last to the first all counts below are known.
    for place in (0..splits.len()).rev() {
        let counted = |child: Child| match child {
            Child::Split(place) => splits[place].count,
            Child::Leaf(place) => leaves[place].count,
        };
        splits[place].count = counted(splits[place].left) + counted(splits[place].right);
    }
}

/// The leaf at which a row arrives.
fn leaf_of(splits: &[Split], columns: &[&[f64]], row: usize) -> Option<usize> {
    let mut at = if splits.is_empty() { Child::Leaf(0) } else { Child::Split(0) };
    loop {
        let split = match at {
            Child::Leaf(place) => return Some(place),
            Child::Split(place) => &splits[place],
        };
        let Test::Numerical { threshold, default_left, .. } = split.test else { return None };
        let value = columns[split.feature][row];
        let is_left = if value.is_nan() { default_left } else { value <= threshold };
        at = if is_left { split.left } else { split.right };
    }
}

fn refused(problem: String) -> ModelError {
    ModelError::Training { problem }
}
