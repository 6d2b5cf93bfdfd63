//! Writes LightGBM's text, with all that its reader asks for.
//!
//! It refuses to judge: what it is given is a model already. What LightGBM only shows to people (weights and values of
//! splits, importances, parameters) is left out or zero.

use std::fmt::Write;

use super::{Child, MissingType, Objective, Split, Test, Tree};

/// Bit of `decision_type`: the threshold is a place among the sets of categories.
pub(super) const CATEGORICAL: u8 = 1;
/// Bit of `decision_type`: missing values go left.
pub(super) const DEFAULT_LEFT: u8 = 2;
/// The missing type stands above the two bits.
pub(super) const MISSING_SHIFT: u8 = 2;

/// The text of a model.
pub(super) fn text(objective: Objective, features: &[String], trees: &[Tree]) -> String {
    let trees: Vec<String> = trees.iter().enumerate().map(|(index, tree)| tree_text(index, tree)).collect();
    let objective = match objective {
        Objective::Binary { sigmoid } => format!("binary sigmoid:{sigmoid:?}"),
        Objective::Regression => "regression".to_string(),
    };
    let sizes = joined(trees.iter().map(String::len));
    let mut text = String::from("tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\n");
    line(&mut text, "max_feature_idx", &features.len().saturating_sub(1).to_string());
    line(&mut text, "objective", &objective);
    line(&mut text, "feature_names", &features.join(" "));
    // Ranges of the values in the training: LightGBM only counts them.
    line(&mut text, "feature_infos", &joined(features.iter().map(|_| "none")));
    line(&mut text, "tree_sizes", &sizes);
    text.push('\n');
    text.extend(trees);
    text.push_str("end of trees\n\npandas_categorical:null\n");
    text
}

/// A tree with the empty lines around it, all of which its size counts.
fn tree_text(index: usize, tree: &Tree) -> String {
    let (splits, leaves) = (tree.splits(), tree.leaves());
    let sets = || splits.iter().filter_map(categories);
    let set_count = sets().count();
    let mut text = format!("Tree={index}\n");
    line(&mut text, "num_leaves", &leaves.len().to_string());
    line(&mut text, "num_cat", &set_count.to_string());
    line(&mut text, "split_feature", &joined(splits.iter().map(|split| split.feature)));
    line(&mut text, "split_gain", &numbers(splits.iter().map(|split| split.gain)));
    line(&mut text, "threshold", &thresholds(splits));
    line(&mut text, "decision_type", &joined(splits.iter().map(decision_type)));
    line(&mut text, "left_child", &joined(splits.iter().map(|split| child(split.left))));
    line(&mut text, "right_child", &joined(splits.iter().map(|split| child(split.right))));
    line(&mut text, "leaf_value", &numbers(leaves.iter().map(|leaf| leaf.value)));
    line(&mut text, "leaf_weight", &joined(leaves.iter().map(|_| 0)));
    line(&mut text, "leaf_count", &joined(leaves.iter().map(|leaf| leaf.count)));
    line(&mut text, "internal_value", &joined(splits.iter().map(|_| 0)));
    line(&mut text, "internal_weight", &joined(splits.iter().map(|_| 0)));
    line(&mut text, "internal_count", &joined(splits.iter().map(|split| split.count)));
    if set_count > 0 {
        let ends = sets().scan(0, |end, set| {
            *end += set.len();
            Some(*end)
        });
        line(&mut text, "cat_boundaries", &joined(std::iter::once(0).chain(ends)));
        line(&mut text, "cat_threshold", &joined(sets().flatten()));
    }
    text.push_str("is_linear=0\nshrinkage=1\n\n\n");
    text
}

fn categories(split: &Split) -> Option<&[u32]> {
    match &split.test {
        Test::Numerical { .. } => None,
        Test::Categorical { left } => Some(left),
    }
}

/// A split on categories has the place of its set where others have their threshold.
fn thresholds(splits: &[Split]) -> String {
    let mut sets = 0..;
    let threshold = |split: &Split| match &split.test {
        Test::Numerical { threshold, .. } => format!("{threshold:?}"),
        Test::Categorical { .. } => sets.next().unwrap_or(0).to_string(),
    };
    joined(splits.iter().map(threshold).collect::<Vec<String>>())
}

fn decision_type(split: &Split) -> u8 {
    let Test::Numerical { missing, default_left, .. } = split.test else { return CATEGORICAL };
    let missing = match missing {
        MissingType::None => 0,
        MissingType::Zero => 1,
        MissingType::Nan => 2,
    };
    missing << MISSING_SHIFT | if default_left { DEFAULT_LEFT } else { 0 }
}

/// LightGBM writes a leaf as the complement of its place.
fn child(child: Child) -> i64 {
    match child {
        Child::Split(place) => place as i64,
        Child::Leaf(place) => !(place as i64),
    }
}

/// The shortest digits that are read as the same number again.
fn numbers(values: impl Iterator<Item = f64>) -> String {
    joined(values.map(|value| format!("{value:?}")))
}

fn joined<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<String>>().join(" ")
}

fn line(text: &mut String, key: &str, value: &str) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{key}={value}");
}
