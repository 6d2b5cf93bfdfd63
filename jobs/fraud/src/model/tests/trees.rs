//! Trees made by hand: which parts make a tree, and what splits do with values at their borders.

use arrow::array::Float64Array;
use proptest::prelude::*;

use crate::model::{
    Child, DEPTH_MAX, Leaf, MissingType, Model, ModelError, Objective, Split, TEXT_BYTES_MAX, Test, Tree, ZERO_MAX,
};

fn leaf(value: f64) -> Leaf {
    Leaf { value, count: 5 }
}

fn split(feature: usize, test: Test, left: Child, right: Child) -> Split {
    Split { feature, test, left, right, gain: 1.0, count: 10 }
}

fn below(threshold: f64, missing: MissingType, default_left: bool) -> Test {
    Test::Numerical { threshold, missing, default_left }
}

/// One split: 1 on the left, 2 on the right.
fn stump(test: Test) -> Model {
    let split = split(0, test, Child::Leaf(0), Child::Leaf(1));
    let tree = Tree::new(vec![split], vec![leaf(1.0), leaf(2.0)]).unwrap();
    Model::from_trees(Objective::Regression, vec!["feature".to_string()], vec![tree]).unwrap()
}

fn is_left(model: &Model, value: f64) -> bool {
    model.predict_row(&[value]).unwrap() == 1.0
}

#[test]
fn missing_values_go_where_the_split_says() {
    for default_left in [false, true] {
        let nan = stump(below(-5.0, MissingType::Nan, default_left));
        assert_eq!(is_left(&nan, f64::NAN), default_left);
        assert!(!is_left(&nan, 0.0));
        let zero = stump(below(-5.0, MissingType::Zero, default_left));
        for missing in [f64::NAN, 0.0, -0.0, ZERO_MAX, -ZERO_MAX] {
            assert_eq!(is_left(&zero, missing), default_left, "{missing:e}");
        }
        assert!(!is_left(&zero, ZERO_MAX.next_up()));
        assert!(!is_left(&zero, (-ZERO_MAX).next_down()));
        // Compared as 0, whatever the default direction.
        let none = stump(below(-5.0, MissingType::None, default_left));
        assert!(!is_left(&none, f64::NAN));
        assert!(is_left(&stump(below(5.0, MissingType::None, default_left)), f64::NAN));
    }
}

/// Without the move of thresholds near zero, values next to zero would not be compared as 0.
#[test]
fn values_next_to_zero_are_compared_as_zero() {
    let next_to_zero = [0.0, -0.0, 5e-324, -5e-324, 1e-36, -1e-36, ZERO_MAX, -ZERO_MAX];
    for missing in [MissingType::None, MissingType::Nan] {
        for threshold in [0.0, -0.0, 5e-324, 1e-36, ZERO_MAX, 1e-34] {
            let model = stump(below(threshold, missing, false));
            assert!(next_to_zero.iter().all(|value| is_left(&model, *value)), "{threshold:e}");
        }
        for threshold in [-5e-324, -1e-36, -ZERO_MAX, -1e-34] {
            let model = stump(below(threshold, missing, false));
            assert!(next_to_zero.iter().all(|value| !is_left(&model, *value)), "{threshold:e}");
            assert!(is_left(&model, -1e-33));
        }
    }
}

#[test]
fn categories_are_whole_numbers_in_the_set() {
    // 1, 33 and 63.
    let model = stump(Test::Categorical { left: vec![0b10, 1 << 31 | 0b10] });
    for value in [1.0, 1.9, 33.0, 63.99] {
        assert!(is_left(&model, value), "{value}");
    }
    for value in [0.0, 2.0, -1.0, -0.5, 32.0, 64.0, 1e10, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        assert!(!is_left(&model, value), "{value}");
    }
}

#[test]
fn parts_that_are_no_tree_are_refused() {
    let test = || below(1.0, MissingType::Nan, true);
    let leaves = || vec![leaf(1.0), leaf(2.0), leaf(3.0)];
    let refused = [
        (vec![], vec![], "it has 0 leaves, not 1 to 32768"),
        (vec![], leaves(), "0 splits do not lead to 3 leaves"),
        (
            vec![split(0, test(), Child::Split(1), Child::Leaf(0)), split(0, test(), Child::Split(0), Child::Leaf(1))],
            leaves(),
            "two ways lead to split 0",
        ),
        (
            vec![split(0, test(), Child::Leaf(0), Child::Leaf(0)), split(0, test(), Child::Leaf(1), Child::Leaf(2))],
            leaves(),
            "two ways lead to leaf 0",
        ),
        (
            vec![split(0, test(), Child::Leaf(0), Child::Leaf(3)), split(0, test(), Child::Leaf(1), Child::Leaf(2))],
            leaves(),
            "a split leads to leaf 3, which is not there",
        ),
        (
            vec![split(0, below(f64::NAN, MissingType::Nan, true), Child::Leaf(0), Child::Leaf(1))],
            vec![leaf(1.0), leaf(2.0)],
            "split 0 has a number that is not finite, or no rows of the training",
        ),
        (
            vec![split(0, test(), Child::Leaf(0), Child::Leaf(1))],
            vec![leaf(1.0), leaf(f64::INFINITY)],
            "leaf 1 has a value that is not finite, or no rows of the training",
        ),
    ];
    for (splits, leaves, told) in refused {
        assert_eq!(Tree::new(splits, leaves).unwrap_err(), told);
    }
}

/// A tree of one arm, `depth` splits long.
fn arm(depth: usize) -> Result<Tree, String> {
    let next = |place: usize| if place + 1 == depth { Child::Leaf(depth) } else { Child::Split(place + 1) };
    let splits = (0..depth).map(|place| {
        let test = below(place as f64, MissingType::Nan, false);
        Split { count: 5 * (depth - place + 1) as u32, ..split(place % 3, test, Child::Leaf(place), next(place)) }
    });
    Tree::new(splits.collect(), (0..=depth).map(|place| leaf(place as f64)).collect())
}

#[test]
fn the_deepest_tree_is_explained_and_a_deeper_one_refused() {
    let names = ["a", "b", "c"].map(str::to_string).to_vec();
    let model = Model::from_trees(Objective::Regression, names, vec![arm(DEPTH_MAX).unwrap()]).unwrap();
    let row = [1e9, 50.0, f64::NAN];
    let found = model.contributions(&row).unwrap();
    let sum = found.base + found.values.iter().sum::<f64>();
    assert!((sum - model.raw_score(&row).unwrap()).abs() < 1e-6, "{found:?}");
    assert_eq!(arm(DEPTH_MAX + 1).unwrap_err(), "it is deeper than 256 splits");
}

#[test]
fn features_and_rows_are_checked() {
    let tree = || Tree::new(vec![], vec![leaf(0.5)]).unwrap();
    let made = |names: &[&str]| {
        let names = names.iter().map(ToString::to_string).collect();
        Model::from_trees(Objective::Regression, names, vec![tree()])
    };
    for names in [&["a b"][..], &[""], &["a", "a"], &[], &["a\nTree=0"]] {
        assert!(matches!(made(names), Err(ModelError::Features { .. })), "{names:?}");
    }
    let model = made(&["a", "b"]).unwrap();
    let narrow = ModelError::Width { expected: 2, found: 1 };
    assert_eq!(model.predict_row(&[1.0]).unwrap_err(), narrow);
    assert_eq!(model.contributions(&[1.0]).unwrap_err(), narrow);
    let (one, two) = (Float64Array::from(vec![1.0]), Float64Array::from(vec![1.0, 2.0]));
    assert_eq!(model.predict_columns(&[&one], &mut Vec::new()).unwrap_err(), narrow);
    let uneven = model.predict_columns(&[&one, &two], &mut Vec::new()).unwrap_err();
    assert_eq!(uneven, ModelError::Length { column: 1, expected: 1, found: 2 });
    let outside = split(2, below(0.0, MissingType::Nan, true), Child::Leaf(0), Child::Leaf(1));
    let outside = Tree::new(vec![outside], vec![leaf(1.0), leaf(2.0)]).unwrap();
    let outside = Model::from_trees(Objective::Regression, model.features().to_vec(), vec![tree(), outside]);
    assert_eq!(outside.unwrap_err().to_string(), "tree 1 of the model: a split on feature 2 of 2");
    let long = Model::parse(&" ".repeat(TEXT_BYTES_MAX + 1)).unwrap_err();
    assert_eq!(long, ModelError::TooLong { bytes: TEXT_BYTES_MAX + 1 });
}

/// Equal contributions are told by name, and what adds nothing is not told.
#[test]
fn equal_contributions_are_sorted_by_name() {
    let names = ["c", "idle", "a", "b"].map(str::to_string).to_vec();
    let tree = |feature: usize, sign: f64| {
        let split = split(feature, below(0.0, MissingType::Nan, true), Child::Leaf(0), Child::Leaf(1));
        Tree::new(vec![split], vec![leaf(-sign), leaf(sign)]).unwrap()
    };
    let model = Model::from_trees(Objective::Regression, names, vec![tree(0, 1.0), tree(3, -1.0), tree(2, 1.0)]);
    let model = model.unwrap();
    let top = model.top_contributions(&[1.0, 1.0, 1.0, 1.0], 10).unwrap();
    let told: Vec<(&str, f64)> = top.iter().map(|found| (found.feature, found.value)).collect();
    assert_eq!(told, [("a", 1.0), ("b", -1.0), ("c", 1.0)]);
}

/// A split as the paper on LightGBM's missing values has it, decided without any preparation.
fn plain_rule(threshold: f64, missing: MissingType, default_left: bool, value: f64) -> bool {
    let value = if value.abs() <= ZERO_MAX { 0.0 } else { value };
    let value = if value.is_nan() && missing != MissingType::Nan { 0.0 } else { value };
    let is_missing = match missing {
        MissingType::None => false,
        MissingType::Zero => value == 0.0,
        MissingType::Nan => value.is_nan(),
    };
    if is_missing { default_left } else { value <= threshold }
}

fn near_zero() -> impl Strategy<Value = f64> {
    let border = prop::sample::select(vec![0.0, ZERO_MAX, -ZERO_MAX, 1e-36, -1e-36, 5e-324, 1.0, -1.0]);
    border.prop_flat_map(|at| prop::sample::select(vec![at, at.next_up(), at.next_down(), -at]))
}

proptest! {
    #[test]
    fn prepared_nodes_decide_as_the_plain_rule(
        threshold in near_zero(),
        value in prop_oneof![near_zero(), Just(f64::NAN), any::<f64>()],
        missing in prop::sample::select(vec![MissingType::None, MissingType::Zero, MissingType::Nan]),
        default_left: bool,
    ) {
        let model = stump(below(threshold, missing, default_left));
        prop_assert_eq!(is_left(&model, value), plain_rule(threshold, missing, default_left, value));
        let again = Model::parse(&model.to_text()).unwrap();
        prop_assert_eq!(again.trees(), model.trees());
    }
}
