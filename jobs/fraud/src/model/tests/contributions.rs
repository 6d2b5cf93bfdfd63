//! Contributions beside the recursion, over trees of every kind that a text can hold.

use arrow::array::Float64Array;
use proptest::prelude::*;

use super::{MODELS, model, numbers};
use crate::model::contributions::{Explainer, Limits};
use crate::model::{Child, Leaf, MissingType, Model, Objective, Split, Test, Tree, ZERO_MAX};

/// Values next to each other, so that many splits ask for the same ones.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![4 => (-4..8_i32).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(ZERO_MAX), 1 => Just(-1e-36)]
}

fn test() -> impl Strategy<Value = Test> {
    let missing = prop::sample::select(vec![MissingType::None, MissingType::Zero, MissingType::Nan]);
    prop_oneof![
        4 => (-4..8_i32, missing, any::<bool>()).prop_map(|(threshold, missing, default_left)| {
            Test::Numerical { threshold: f64::from(threshold), missing, default_left }
        }),
        1 => (0..256_u32).prop_map(|word| Test::Categorical { left: vec![word] }),
    ]
}

/// Where the next split goes, as a share of the leaves that are there, and what it is.
type Growth = (f64, usize, Test);

/// A tree that has grown split by split from one leaf, as LightGBM grows them.
fn grown(growth: Vec<Growth>, leaves: Vec<(f64, u32)>) -> Tree {
    let mut splits: Vec<Split> = Vec::new();
    // Of each leaf the split above it and its side.
    let mut above: Vec<Option<(usize, bool)>> = vec![None];
    for (share, feature, test) in growth {
        let (place, leaf) = (splits.len(), (share * above.len() as f64) as usize);
        if let Some((parent, is_left)) = above[leaf] {
            let split = &mut splits[parent];
            *(if is_left { &mut split.left } else { &mut split.right }) = Child::Split(place);
        }
        let (left, right) = (Child::Leaf(leaf), Child::Leaf(above.len()));
        splits.push(Split { feature, test, left, right, gain: 1.0, count: 0 });
        above[leaf] = Some((place, true));
        above.push(Some((place, false)));
    }
    let leaves: Vec<Leaf> =
        leaves.iter().take(above.len()).map(|(value, count)| Leaf { value: *value, count: *count }).collect();
    for place in (0..splits.len()).rev() {
        let counted = |child: Child| match child {
            Child::Split(place) => splits[place].count,
            Child::Leaf(place) => leaves[place].count,
        };
        splits[place].count = counted(splits[place].left) + counted(splits[place].right);
    }
    Tree::new(splits, leaves).unwrap()
}

/// Trees of at most so many splits. Among low shares the first leaf is split again and again: a path of many features.
fn tree(features: usize, splits_max: usize) -> impl Strategy<Value = Tree> {
    let share = prop_oneof![Just(0.0), 0.0..1.0];
    let growth = prop::collection::vec((share, 0..features, test()), 0..=splits_max);
    let leaves = prop::collection::vec((-1.0..1.0, 1..1_000_u32), splits_max + 1);
    (growth, leaves).prop_map(|(growth, leaves)| grown(growth, leaves))
}

const FEATURES: usize = 20;

fn model_of(trees: Vec<Tree>) -> Model {
    let names = (0..FEATURES).map(|feature| format!("f{feature}")).collect();
    Model::from_trees(Objective::Regression, names, trees).unwrap()
}

fn explained(model: &Model, limits: Limits, row: &[f64]) -> Vec<f64> {
    let explainer = Explainer::of(model.trees(), limits);
    assert!(explainer.table_bytes() <= limits.table_bytes);
    let mut values = vec![0.0; row.len()];
    explainer.add(model.trees(), &model.flat, row, row.len(), &mut values);
    values
}

proptest! {
    /// Fails where a table holds the numbers of another answer, a feature that is asked for twice counts twice, or the
    /// quadrature has too few points.
    #[test]
    fn what_is_prepared_is_what_the_recursion_says(
        trees in prop::collection::vec(prop_oneof![tree(FEATURES, 12), tree(FEATURES, 70), tree(3, 40)], 1..4),
        row in prop::collection::vec(value(), FEATURES),
        questions in 0..11_usize,
    ) {
        let model = model_of(trees);
        let walked = model.contributions_by_recursion(&row).unwrap();
        let raw = model.raw_score(&row).unwrap();
        let sum = walked.base + walked.values.iter().sum::<f64>();
        prop_assert!((sum - raw).abs() < 1e-9, "{sum} is {raw}");
        let own = [Limits::OURS, Limits { questions, ..Limits::OURS }, Limits { table_bytes: 4_096, ..Limits::OURS }];
        for limits in own {
            let found = explained(&model, limits, &row);
            for (feature, (one, other)) in found.iter().zip(&walked.values).enumerate() {
                prop_assert!((one - other).abs() < 1e-9, "{limits:?}, feature {feature}: {one} is {other}");
            }
        }
    }
}

/// A path of so many features, each of which goes left at 0; the leaves on the way hold 1, 2, 3 and so on.
fn path(features: usize) -> Tree {
    let test = || Test::Numerical { threshold: 0.0, missing: MissingType::Nan, default_left: true };
    let growth = (0..features).map(|feature| (0.0, feature, test())).collect();
    grown(growth, (0..=features).map(|leaf| (leaf as f64 + 1.0, 10 + leaf as u32)).collect())
}

/// At the borders of each way to explain a tree: the longest path for a table, for the quadrature, and one longer.
#[test]
fn paths_of_all_lengths_are_explained() {
    for features in 0..=FEATURES {
        let model = model_of(vec![path(features)]);
        for row in [[-1.0; FEATURES], [1.0; FEATURES], std::array::from_fn(|feature| (feature % 3) as f64 - 1.0)] {
            let (found, walked) = (model.contributions(&row).unwrap(), model.contributions_by_recursion(&row).unwrap());
            assert_eq!(found.base.to_bits(), walked.base.to_bits());
            for (one, other) in found.values.iter().zip(&walked.values) {
                assert!((one - other).abs() < 1e-11, "{features} features: {one} is {other}");
            }
            let sum = found.base + found.values.iter().sum::<f64>();
            let raw = model.raw_score(&row).unwrap();
            assert!((sum - raw).abs() < 1e-11, "{features} features: {sum} is {raw}");
        }
        let is_walked = features > 16;
        assert_eq!(model.table_bytes() == 0, is_walked || features == 0, "{features}");
    }
}

/// Tables take what the limit says and no more; what has none is worked out for each row.
#[test]
fn tables_stay_below_their_limit() {
    let model = model_of(vec![path(8); 40]);
    let row = [-1.0; FEATURES];
    let whole = Explainer::of(model.trees(), Limits::OURS).table_bytes();
    assert_eq!(whole, 40 * 256 * 8 * size_of::<f64>());
    for table_bytes in [0, 100, whole / 2, whole - 1, whole] {
        let limits = Limits { table_bytes, ..Limits::OURS };
        assert!(Explainer::of(model.trees(), limits).table_bytes() > table_bytes / 2 || table_bytes < 1_000);
        let found = explained(&model, limits, &row);
        let walked = model.contributions_by_recursion(&row).unwrap().values;
        assert!(found.iter().zip(&walked).all(|(one, other)| (one - other).abs() < 1e-9), "{found:?} is {walked:?}");
    }
}

/// Fails where the order in which parts are added depends on the rows beside a row.
#[test]
fn columns_are_explained_as_rows_are_in_any_batch() {
    for name in MODELS {
        let model = model(name);
        let asked = numbers(&format!("{name}_rows.csv"));
        let single: Vec<_> = asked.iter().map(|row| model.top_contributions(row, 3).unwrap()).collect();
        for size in [1, 7, 64, asked.len()] {
            let mut found = Vec::new();
            for rows in asked.chunks(size) {
                let column = |place: usize| {
                    // Half of the missing values as nulls, the others as NaN.
                    let value = |(number, row): (usize, &Vec<f64>)| {
                        Some(row[place]).filter(|value| !value.is_nan() || number % 2 == 0)
                    };
                    rows.iter().enumerate().map(value).collect::<Float64Array>()
                };
                let columns: Vec<Float64Array> = (0..model.features().len()).map(column).collect();
                let columns: Vec<&Float64Array> = columns.iter().collect();
                found.extend(model.top_contributions_columns(&columns, 3).unwrap());
            }
            assert_eq!(found.len(), single.len());
            for (one, other) in found.iter().flatten().zip(single.iter().flatten()) {
                assert_eq!((one.feature, one.value.to_bits()), (other.feature, other.value.to_bits()), "{name}");
            }
            assert!(found.iter().zip(&single).all(|(one, other)| one.len() == other.len()), "{name}");
        }
    }
}
