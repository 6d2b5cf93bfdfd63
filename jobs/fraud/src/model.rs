//! The model: gradient-boosted trees in LightGBM's text format, evaluated with the bits that LightGBM gives, with the
//! contribution of each feature to a score.
//!
//! There is one format, that of LightGBM 4 (`version=v4`). What another library trains becomes [`Tree`]s, and
//! [`Model::from_trees`] writes them as such a text, so that a model is always a text and its identity is the hash of
//! that text. [`ZERO_MAX`] and the modules tell the rules by which LightGBM compares.
//!
//! The reader and the evaluator are our own, though the crate `bosk` reads the same format with the same bits: it keeps
//! its trees to itself, so that neither contributions nor writing could be built on it, and one reader is better than
//! two.
//!
//! It may depend on Arrow for columns, on a hash and, in [`train`], on a trainer. It refuses files, clocks and randomness, and any model that it
//! cannot evaluate exactly as LightGBM does: several classes, averaged trees (random forests), linear leaves, other
//! objectives, categories that only a pandas frame can name.

mod contributions;
mod flat;
mod read;
pub mod train;
mod tree;
mod write;

use arrow::array::Float64Array;
use sha2::{Digest, Sha256};

pub use contributions::{Contribution, Contributions};
pub use tree::{Child, Leaf, MissingType, Split, Test, Tree};

use contributions::{Explainer, Limits};
use flat::Flat;

/// Longest text of a model, bytes: about 100 times a model of 100 trees with 31 leaves each, and it bounds all that a
/// reader allocates.
pub const TEXT_BYTES_MAX: usize = 64 << 20;
/// Most features: a node of the evaluator names its feature in 16 bits.
pub const FEATURES_MAX: usize = 1 << 16;
/// Most leaves of a tree: a node of the evaluator names its children in 15 bits and a sign.
pub const LEAVES_MAX: usize = 1 << 15;
/// Deepest tree, splits from the root to a leaf: contributions take memory and time by its square, and LightGBM's own
/// trees of 31 leaves cannot be deeper than 30.
pub const DEPTH_MAX: usize = 256;
/// What LightGBM takes for zero: values of at most this size (`kZeroThreshold`, the float 1e-35 as a double). A row's
/// value in this range is compared as 0, and is missing where the split's missing type is [`MissingType::Zero`].
pub const ZERO_MAX: f64 = 1e-35_f32 as f64;

/// Why there is no model, or no score.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// The text is longer than [`TEXT_BYTES_MAX`].
    #[error("a model of {bytes} bytes is longer than {TEXT_BYTES_MAX} bytes")]
    TooLong {
        /// Length of the text.
        bytes: usize,
    },
    /// A line is not what LightGBM writes there.
    #[error("line {line} of the model: {problem}")]
    Line {
        /// Number of the line, from 1; 0 is the end of the text.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The model is LightGBM's, but of a kind that is not evaluated here.
    #[error("line {line} of the model: {what} is not supported")]
    Unsupported {
        /// Number of the line, from 1.
        line: usize,
        /// What it asks for.
        what: String,
    },
    /// The parts of a tree do not make a tree.
    #[error("tree {tree} of the model: {problem}")]
    Tree {
        /// Number of the tree, from 0.
        tree: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Names of features that a text of LightGBM cannot hold.
    #[error("the features of the model: {problem}")]
    Features {
        /// What is wrong with them.
        problem: String,
    },
    /// The examples or the parameters of a training are refused.
    #[error("no model can be trained: {problem}")]
    Training {
        /// What is wrong with them.
        problem: String,
    },
    /// A row, or a set of columns, with another number of features than the model has.
    #[error("the model has {expected} features, the row has {found}")]
    Width {
        /// Features of the model.
        expected: usize,
        /// Values of the row, or columns.
        found: usize,
    },
    /// Columns that are not equally long.
    #[error("column {column} has {found} rows, others have {expected}")]
    Length {
        /// Number of the column, from 0.
        column: usize,
        /// Rows of the columns before it.
        expected: usize,
        /// Its rows.
        found: usize,
    },
}

/// What the sum of the trees means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// The prediction is a probability: `1 / (1 + exp(-sigmoid * raw))`, as in LightGBM's `BinaryLogloss::ConvertOutput`.
    Binary {
        /// Steepness of the curve, above 0; 1 unless somebody chose otherwise.
        sigmoid: f64,
    },
    /// The prediction is the sum itself.
    Regression,
}

impl Objective {
    /// The prediction for a raw score. The exponential is the platform's, here and in LightGBM: on one machine both
    /// give the same bits, and raw scores are the same on all.
    pub fn prediction(&self, raw: f64) -> f64 {
        match self {
            Self::Binary { sigmoid } => 1.0 / (1.0 + (-sigmoid * raw).exp()),
            Self::Regression => raw,
        }
    }
}

/// A model that can be asked.
#[derive(Debug, Clone)]
pub struct Model {
    objective: Objective,
    features: Vec<String>,
    trees: Vec<Tree>,
    flat: Flat,
    explainer: Explainer,
    identity: String,
}

impl Model {
    /// Reads the text of a model as LightGBM 4 saves it.
    ///
    /// # Errors
    /// Names the line or the tree that is broken, or not supported.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let parts = read::read(text)?;
        Self::of(parts.objective, parts.features, parts.trees, identity(text))
    }

    /// A model of trees that something else has grown. Its identity is that of the text which [`Self::to_text`] gives.
    ///
    /// # Errors
    /// Fails where a tree uses a feature that is not there, or a feature has a name that the text cannot hold.
    pub fn from_trees(objective: Objective, features: Vec<String>, trees: Vec<Tree>) -> Result<Self, ModelError> {
        let text = write::text(objective, &features, &trees);
        if text.len() > TEXT_BYTES_MAX {
            return Err(ModelError::TooLong { bytes: text.len() });
        }
        Self::of(objective, features, trees, identity(&text))
    }

    fn of(objective: Objective, features: Vec<String>, trees: Vec<Tree>, identity: String) -> Result<Self, ModelError> {
        check_features(&features)?;
        for (index, tree) in trees.iter().enumerate() {
            if let Some(split) = tree.splits().iter().find(|split| split.feature >= features.len()) {
                let problem = format!("a split on feature {} of {}", split.feature, features.len());
                return Err(ModelError::Tree { tree: index, problem });
            }
        }
        let (flat, explainer) = (Flat::of(&trees), Explainer::of(&trees, Limits::OURS));
        Ok(Self { objective, features, trees, flat, explainer, identity })
    }

    /// The model as LightGBM's text: Python's LightGBM reads it and predicts the same bits. What predictions do not
    /// need (importances, parameters of the training) is not in it, so for a model that was parsed it is another text
    /// with another identity.
    pub fn to_text(&self) -> String {
        write::text(self.objective, &self.features, &self.trees)
    }

    /// SHA-256 of the text from which the model was read, or which it became, as hexadecimal digits.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What the sum of the trees means.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// Names of the features, in the order of a row's values.
    pub fn features(&self) -> &[String] {
        &self.features
    }

    /// The trees, in the order in which their values are added.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// The raw score of a row: the sum of its leaves' values, in the order of the trees. NaN is a missing value.
    ///
    /// # Errors
    /// Fails where the row has another number of values than the model has features.
    pub fn raw_score(&self, row: &[f64]) -> Result<f64, ModelError> {
        self.check_width(row.len())?;
        Ok(self.flat.raw_score(row))
    }

    /// The prediction for a row: a probability, or the raw score of a regression. NaN is a missing value.
    ///
    /// # Errors
    /// Fails where the row has another number of values than the model has features.
    pub fn predict_row(&self, row: &[f64]) -> Result<f64, ModelError> {
        Ok(self.objective.prediction(self.raw_score(row)?))
    }

    /// The predictions for all rows of these columns, one column a feature in the model's order. Null and NaN are
    /// missing values. The predictions are added to the end of `predictions`; the same bits as row by row.
    ///
    /// # Errors
    /// Fails where there are more or fewer columns than features, or where their lengths differ.
    pub fn predict_columns(&self, columns: &[&Float64Array], predictions: &mut Vec<f64>) -> Result<(), ModelError> {
        let rows = self.check_columns(columns)?;
        let before = predictions.len();
        flat::blocks(columns, rows, |block| {
            predictions.extend(block.chunks_exact(columns.len()).map(|row| self.flat.raw_score(row)));
        });
        for prediction in &mut predictions[before..] {
            *prediction = self.objective.prediction(*prediction);
        }
        Ok(())
    }

    /// What each feature adds to the raw score of a row, see [`Contributions`].
    ///
    /// # Errors
    /// Fails where the row has another number of values than the model has features.
    pub fn contributions(&self, row: &[f64]) -> Result<Contributions, ModelError> {
        self.check_width(row.len())?;
        let mut values = vec![0.0; row.len()];
        self.explainer.add(&self.trees, &self.flat, row, row.len(), &mut values);
        Ok(Contributions { base: self.explainer.base, values })
    }

    /// The same worked out from the trees alone, with nothing prepared: slow, for comparison. Sums are rounded otherwise.
    ///
    /// # Errors
    /// Fails where the row has another number of values than the model has features.
    pub fn contributions_by_recursion(&self, row: &[f64]) -> Result<Contributions, ModelError> {
        self.check_width(row.len())?;
        let values = contributions::by_recursion(&self.trees, &self.flat, row);
        Ok(Contributions { base: self.explainer.base, values })
    }

    /// Bytes that the model keeps to explain scores, beside its trees.
    pub fn table_bytes(&self) -> usize {
        self.explainer.table_bytes()
    }

    /// The features that add or take most, at most `limit` of them: sorted by the size of the contribution, equal ones
    /// by name. Features that add nothing are left out.
    ///
    /// # Errors
    /// Fails where the row has another number of values than the model has features.
    pub fn top_contributions(&self, row: &[f64], limit: usize) -> Result<Vec<Contribution<'_>>, ModelError> {
        Ok(self.top(&self.contributions(row)?.values, limit))
    }

    /// [`Self::top_contributions`] for each row of these columns, as [`Self::predict_columns`] reads them; the same bits as
    /// row by row.
    ///
    /// # Errors
    /// Fails where there are more or fewer columns than features, or where their lengths differ.
    pub fn top_contributions_columns(
        &self,
        columns: &[&Float64Array],
        limit: usize,
    ) -> Result<Vec<Vec<Contribution<'_>>>, ModelError> {
        let (rows, width) = (self.check_columns(columns)?, columns.len());
        let (mut tops, mut values) = (Vec::with_capacity(rows), Vec::new());
        flat::blocks(columns, rows, |block| {
            values.clear();
            values.resize(block.len(), 0.0);
            self.explainer.add(&self.trees, &self.flat, block, width, &mut values);
            tops.extend(values.chunks_exact(width).map(|values| self.top(values, limit)));
        });
        Ok(tops)
    }

    fn top(&self, values: &[f64], limit: usize) -> Vec<Contribution<'_>> {
        let named = self.features.iter().zip(values).map(|(feature, value)| Contribution { feature, value: *value });
        let mut named: Vec<Contribution<'_>> = named.filter(|contribution| contribution.value != 0.0).collect();
        named.sort_by(|one, other| {
            other.value.abs().total_cmp(&one.value.abs()).then_with(|| one.feature.cmp(other.feature))
        });
        named.truncate(limit);
        named
    }

    /// Rows of columns that fit the model.
    fn check_columns(&self, columns: &[&Float64Array]) -> Result<usize, ModelError> {
        self.check_width(columns.len())?;
        let rows = columns.first().map_or(0, |column| column.values().len());
        for (index, column) in columns.iter().enumerate() {
            let found = column.values().len();
            if found != rows {
                return Err(ModelError::Length { column: index, expected: rows, found });
            }
        }
        Ok(rows)
    }

    fn check_width(&self, found: usize) -> Result<(), ModelError> {
        let expected = self.features.len();
        if found == expected { Ok(()) } else { Err(ModelError::Width { expected, found }) }
    }
}

fn identity(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// LightGBM separates names by spaces, and a line ends where a control character could stand.
fn check_features(features: &[String]) -> Result<(), ModelError> {
    let problem = |problem: String| Err(ModelError::Features { problem });
    if features.is_empty() || features.len() > FEATURES_MAX {
        return problem(format!("there are {}, not 1 to {FEATURES_MAX}", features.len()));
    }
    let is_outside = |character: char| character.is_whitespace() || character.is_control();
    if let Some(name) = features.iter().find(|name| name.is_empty() || name.contains(is_outside)) {
        return problem(format!("{name:?} is empty or holds spaces"));
    }
    let mut sorted: Vec<&String> = features.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => problem(format!("{:?} is there twice", pair[0])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
