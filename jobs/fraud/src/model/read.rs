//! Reads the text that LightGBM 4 saves (`GBDT::SaveModelToString`, `Tree::ToString`): a head of `key=value` lines,
//! then the trees, then what only people read.
//!
//! It refuses what it does not know: an unknown key could change what the known ones mean. Nothing is allocated from a
//! number in the text, only from what stands there.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::FromStr;

use super::write::{CATEGORICAL, DEFAULT_LEFT, MISSING_SHIFT};
use super::{Child, Leaf, MissingType, ModelError, Objective, Split, TEXT_BYTES_MAX, Test, Tree};

/// Keys of the head.
const HEAD: [&str; 11] = [
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "average_output",
    "feature_names",
    "monotone_constraints",
    "feature_infos",
    "tree_sizes",
];

/// Keys of a tree.
const TREE: [&str; 18] = [
    "num_leaves",
    "num_cat",
    "split_feature",
    "split_gain",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
    "leaf_weight",
    "leaf_count",
    "internal_value",
    "internal_weight",
    "internal_count",
    "cat_boundaries",
    "cat_threshold",
    "is_linear",
    "shrinkage",
];

const TREE_STARTS: &str = "Tree=";
const TREES_END: &str = "end of trees";
const PANDAS: &str = "pandas_categorical:";

/// What a text says.
pub(super) struct Parts {
    pub objective: Objective,
    pub features: Vec<String>,
    pub trees: Vec<Tree>,
}

/// Reads a text.
pub(super) fn read(text: &str) -> Result<Parts, ModelError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ModelError::TooLong { bytes: text.len() });
    }
    let mut lines = (1..).zip(text.lines()).peekable();
    match lines.next() {
        Some((_, "tree")) => {}
        _ => return Err(problem(1, "it does not begin with \"tree\"")),
    }
    let head = fields(&mut lines, &HEAD)?;
    let (objective, features) = read_head(&head)?;
    let mut trees = Vec::new();
    loop {
        let Some((line, start)) = lines.next() else {
            return Err(problem(0, "it ends before \"end of trees\""));
        };
        if start == TREES_END {
            break;
        }
        if start.strip_prefix(TREE_STARTS) != Some(trees.len().to_string().as_str()) {
            return Err(problem(line, format!("{start:?} where tree {} begins", trees.len())));
        }
        trees.push(read_tree(&fields(&mut lines, &TREE)?, trees.len(), line)?);
    }
    let sizes = head.need("tree_sizes", 1)?;
    let announced = sizes.value.split_ascii_whitespace().count();
    if announced != trees.len() {
        return Err(problem(sizes.line, format!("tree_sizes announces {announced} trees of {}", trees.len())));
    }
    check_pandas(lines)?;
    Ok(Parts { objective, features, trees })
}

/// The codes that pandas gave to categories are known to its frame alone, a row cannot hold them.
fn check_pandas<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Result<(), ModelError> {
    for (line, text) in lines {
        if let Some(categories) = text.strip_prefix(PANDAS)
            && !matches!(categories.trim(), "null" | "[]")
        {
            return Err(unsupported(line, "a model that was trained on the categories of a pandas frame"));
        }
    }
    Ok(())
}

fn read_head(head: &Fields<'_>) -> Result<(Objective, Vec<String>), ModelError> {
    let version = head.need("version", 1)?;
    if version.value != "v4" {
        return Err(unsupported(version.line, format!("version {:?} of the format, other than v4", version.value)));
    }
    for key in ["num_class", "num_tree_per_iteration"] {
        let field = head.need(key, 1)?;
        if field.value != "1" {
            return Err(unsupported(field.line, format!("{key}={}, a model of several classes", field.value)));
        }
    }
    if let Some(field) = head.get("average_output") {
        return Err(unsupported(field.line, "a model whose trees are averaged"));
    }
    let objective = read_objective(&head.need("objective", 1)?)?;
    let names = head.need("feature_names", 1)?;
    let features: Vec<String> = names.value.split(' ').map(str::to_string).collect();
    let last = head.need("max_feature_idx", 1)?;
    if last.number::<usize>()?.checked_add(1) != Some(features.len()) {
        return Err(problem(names.line, format!("{} names for max_feature_idx={}", features.len(), last.value)));
    }
    Ok((objective, features))
}

fn read_objective(field: &Field<'_>) -> Result<Objective, ModelError> {
    let other = || unsupported(field.line, format!("objective {:?}, other than binary and regression", field.value));
    let mut words = field.value.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("regression"), None, None) => Ok(Objective::Regression),
        (Some("binary"), Some(sigmoid), None) => {
            let sigmoid = sigmoid.strip_prefix("sigmoid:").ok_or_else(other)?;
            let sigmoid: f64 = Field { value: sigmoid, ..*field }.number()?;
            if sigmoid.is_finite() && sigmoid > 0.0 {
                Ok(Objective::Binary { sigmoid })
            } else {
                Err(problem(field.line, "sigmoid is not above 0"))
            }
        }
        _ => Err(other()),
    }
}

fn read_tree(tree: &Fields<'_>, index: usize, line: usize) -> Result<Tree, ModelError> {
    if let Some(field) = tree.get("is_linear")
        && field.value != "0"
    {
        return Err(unsupported(field.line, "a tree with linear leaves"));
    }
    let leaf_count: usize = tree.need("num_leaves", line)?.number()?;
    let values = tree.need("leaf_value", line)?.list(leaf_count)?;
    let is_one_leaf = leaf_count == 1;
    let counts = match tree.get("leaf_count") {
        // LightGBM leaves the counts of a tree without splits away.
        None | Some(Field { value: "", .. }) if is_one_leaf => vec![0],
        _ => tree.need("leaf_count", line)?.list(leaf_count)?,
    };
    let leaves: Vec<Leaf> = values.into_iter().zip(counts).map(|(value, count)| Leaf { value, count }).collect();
    let splits = if leaf_count > 1 { read_splits(tree, leaf_count - 1, line)? } else { Vec::new() };
    Tree::new(splits, leaves).map_err(|problem| ModelError::Tree { tree: index, problem })
}

fn read_splits(tree: &Fields<'_>, count: usize, line: usize) -> Result<Vec<Split>, ModelError> {
    let features: Vec<usize> = tree.need("split_feature", line)?.list(count)?;
    let gains: Vec<f64> = tree.need("split_gain", line)?.list(count)?;
    let threshold = tree.need("threshold", line)?;
    let thresholds: Vec<f64> = threshold.list(count)?;
    let decision_type = tree.need("decision_type", line)?;
    let decisions: Vec<u8> = decision_type.list(count)?;
    let left: Vec<i64> = tree.need("left_child", line)?.list(count)?;
    let right: Vec<i64> = tree.need("right_child", line)?.list(count)?;
    let counts: Vec<u32> = tree.need("internal_count", line)?.list(count)?;
    let mut sets: Vec<Option<Vec<u32>>> = read_sets(tree, line)?.into_iter().map(Some).collect();
    let mut splits = Vec::with_capacity(count);
    for place in 0..count {
        let test = if decisions[place] & CATEGORICAL == 0 {
            numerical(thresholds[place], decisions[place], decision_type.line)?
        } else {
            // A number that is no place is one after the cast, so it is compared with what it became.
            let number = thresholds[place] as usize;
            let set = sets.get_mut(number).filter(|_| number as f64 == thresholds[place]).and_then(Option::take);
            let no_set = || problem(threshold.line, format!("no set {}, or a second split on it", thresholds[place]));
            Test::Categorical { left: set.ok_or_else(no_set)? }
        };
        let (left, right) = (child(left[place]), child(right[place]));
        splits.push(Split { feature: features[place], test, left, right, gain: gains[place], count: counts[place] });
    }
    Ok(splits)
}

fn numerical(threshold: f64, decision: u8, line: usize) -> Result<Test, ModelError> {
    let missing = match decision >> MISSING_SHIFT {
        0 => MissingType::None,
        1 => MissingType::Zero,
        2 => MissingType::Nan,
        _ => return Err(problem(line, format!("decision_type {decision} has no missing type"))),
    };
    Ok(Test::Numerical { threshold, missing, default_left: decision & DEFAULT_LEFT != 0 })
}

/// The sets of categories: words of 32 categories, and where each set begins and the last one ends.
fn read_sets(tree: &Fields<'_>, line: usize) -> Result<Vec<Vec<u32>>, ModelError> {
    let count: u32 = tree.need("num_cat", line)?.number()?;
    if count == 0 {
        return Ok(Vec::new());
    }
    let boundary = tree.need("cat_boundaries", line)?;
    let boundaries: Vec<usize> = boundary.list((count as usize).saturating_add(1))?;
    let words = tree.need("cat_threshold", line)?;
    let words: Vec<u32> = words.list(words.value.split_ascii_whitespace().count())?;
    if boundaries.first() != Some(&0) || boundaries.last() != Some(&words.len()) {
        return Err(problem(boundary.line, format!("the sets do not take up the {} words", words.len())));
    }
    let set = |pair: &[usize]| words.get(pair[0]..pair[1]).map(<[u32]>::to_vec);
    let sets: Option<Vec<Vec<u32>>> = boundaries.windows(2).map(set).collect();
    sets.ok_or_else(|| problem(boundary.line, "a set ends before it begins"))
}

fn child(number: i64) -> Child {
    // No tree has as many parts as 2^63, so a place that does not fit is as wrong as any other.
    let place = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    if number < 0 { Child::Leaf(place(!number)) } else { Child::Split(place(number)) }
}

/// A line `key=value`.
#[derive(Debug, Clone, Copy)]
struct Field<'a> {
    line: usize,
    key: &'a str,
    value: &'a str,
}

impl Field<'_> {
    fn number<T: FromStr>(&self) -> Result<T, ModelError> {
        self.value.parse().map_err(|_| problem(self.line, format!("{} is {:?}", self.key, shown(self.value))))
    }

    fn list<T: FromStr>(&self, expected: usize) -> Result<Vec<T>, ModelError> {
        let numbers = self.value.split_ascii_whitespace().map(|value| Field { value, ..*self }.number());
        let numbers: Vec<T> = numbers.collect::<Result<_, _>>()?;
        if numbers.len() == expected {
            return Ok(numbers);
        }
        Err(problem(self.line, format!("{} has {} values, not {expected}", self.key, numbers.len())))
    }
}

/// The lines of the head, or of a tree.
struct Fields<'a>(BTreeMap<&'a str, Field<'a>>);

impl<'a> Fields<'a> {
    fn get(&self, key: &str) -> Option<Field<'a>> {
        self.0.get(key).copied()
    }

    /// A field that must be there; `line` is where its part of the text begins.
    fn need(&self, key: &str, line: usize) -> Result<Field<'a>, ModelError> {
        self.get(key).ok_or_else(|| problem(line, format!("there is no {key} below")))
    }
}

/// Reads lines up to the next tree, or the end of the trees.
fn fields<'a>(
    lines: &mut Peekable<impl Iterator<Item = (usize, &'a str)>>,
    known: &[&str],
) -> Result<Fields<'a>, ModelError> {
    let mut fields = BTreeMap::new();
    let is_inside = |(_, text): &(usize, &str)| !text.starts_with(TREE_STARTS) && *text != TREES_END;
    while let Some((line, text)) = lines.next_if(is_inside) {
        if text.trim().is_empty() {
            continue;
        }
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if !known.contains(&key) {
            return Err(problem(line, format!("{:?} is not known", shown(key))));
        }
        if fields.insert(key, Field { line, key, value: value.trim() }).is_some() {
            return Err(problem(line, format!("{key} is there twice")));
        }
    }
    Ok(Fields(fields))
}

fn problem(line: usize, problem: impl Into<String>) -> ModelError {
    ModelError::Line { line, problem: problem.into() }
}

fn unsupported(line: usize, what: impl Into<String>) -> ModelError {
    ModelError::Unsupported { line, what: what.into() }
}

/// The beginning of a value, so that a message stays a line.
fn shown(value: &str) -> String {
    const CHARACTERS_MAX: usize = 40;
    value.chars().take(CHARACTERS_MAX).collect()
}
