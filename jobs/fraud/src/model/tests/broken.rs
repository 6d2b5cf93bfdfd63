//! Texts that are no model, or none that is supported: each is told from a model, and none makes the reader panic.

use proptest::prelude::*;

use super::{MODELS, model, text};
use crate::model::{Model, ModelError};

/// The text of a model with one line changed.
fn changed(name: &str, line: &str, other: &str) -> ModelError {
    let text = text(&format!("{name}.txt"));
    assert!(text.contains(line), "{line:?} is not in {name}");
    Model::parse(&text.replacen(line, other, 1)).unwrap_err()
}

fn message(line: &str, other: &str) -> String {
    changed("binary_categories", line, other).to_string()
}

#[test]
fn models_of_other_kinds_are_refused_by_line() {
    let refused = [
        ("version=v4", "version=v3", "line 2 of the model: version \"v3\" of the format, other than v4"),
        ("num_class=1", "num_class=3", "line 3 of the model: num_class=3, a model of several classes"),
        (
            "num_tree_per_iteration=1",
            "num_tree_per_iteration=3",
            "line 4 of the model: num_tree_per_iteration=3, a model of several classes",
        ),
        (
            "objective=binary sigmoid:1",
            "objective=poisson",
            "line 7 of the model: objective \"poisson\", other than binary and regression",
        ),
        (
            "objective=binary sigmoid:1",
            "objective=regression sqrt",
            "line 7 of the model: objective \"regression sqrt\", other than binary and regression",
        ),
        ("label_index=0", "average_output", "line 5 of the model: a model whose trees are averaged"),
        (
            "pandas_categorical:null",
            "pandas_categorical:[[\"a\"]]",
            "a model that was trained on the categories of a pandas frame",
        ),
        ("is_linear=0", "is_linear=1", "a tree with linear leaves"),
    ];
    for (line, other, told) in refused {
        let told = format!("{told} is not supported");
        let found = message(line, other);
        assert!(found.ends_with(&told), "{found:?} is not {told:?}");
        assert!(matches!(changed("binary_categories", line, other), ModelError::Unsupported { .. }), "{other}");
    }
}

#[test]
fn broken_lines_are_told_by_their_numbers() {
    let broken = [
        ("tree\n", "bush\n", "line 1 of the model: it does not begin with \"tree\""),
        ("max_feature_idx=5", "max_feature_idx=6", "line 8 of the model: 6 names for max_feature_idx=6"),
        ("label_index=0", "label=0", "line 5 of the model: \"label\" is not known"),
        ("label_index=0", "version=v4", "line 5 of the model: version is there twice"),
        ("sigmoid:1\n", "sigmoid:-1\n", "line 7 of the model: sigmoid is not above 0"),
        ("Tree=1", "Tree=2", "\"Tree=2\" where tree 1 begins"),
        ("num_leaves=12", "num_leaves=13", "leaf_value has 12 values, not 13"),
        ("num_leaves=12", "num_leaves=many", "line 13 of the model: num_leaves is \"many\""),
        ("cat_boundaries=0 ", "cat_boundaries=1 ", "words"),
        ("end of trees", "end", "\"end\" is not known"),
    ];
    for (line, other, told) in broken {
        let found = message(line, other);
        assert!(found.contains(told), "{found:?} does not hold {told:?}");
    }
    let (head, _) = text("binary_nan.txt").split_once("\nTree=5").map(|(a, b)| (a.to_string(), b.len())).unwrap();
    let cut = Model::parse(&head).unwrap_err();
    assert_eq!(cut.to_string(), "line 0 of the model: it ends before \"end of trees\"");
    let fewer = Model::parse(&format!("{head}\nend of trees\n")).unwrap_err();
    assert_eq!(fewer.to_string(), "line 10 of the model: tree_sizes announces 6 trees of 5");
}

#[test]
fn line_ends_of_windows_are_read() {
    let text = text("binary_nan.txt").replace('\n', "\r\n");
    assert_eq!(Model::parse(&text).unwrap().trees(), model("binary_nan").trees());
}

/// A model of mutated text, if it is one, must answer any row.
fn ask(text: &str) {
    let Ok(model) = Model::parse(text) else { return };
    for value in [f64::NAN, 0.0, -1.0, 3.5, f64::INFINITY, f64::NEG_INFINITY] {
        let row = vec![value; model.features().len()];
        let _ = model.predict_row(&row).unwrap();
        let _ = model.contributions(&row).unwrap();
    }
}

/// What mutations write over the text: characters that numbers and lines are made of.
const CHARACTERS: &[u8] = b"0123456789-+. =e\nTain";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn truncated_texts_are_no_models(name in 0..MODELS.len(), share in 0.0..1.0) {
        let text = text(&format!("{}.txt", MODELS[name]));
        let end = text.find("end of trees").unwrap();
        let cut = (share * end as f64) as usize;
        prop_assert!(Model::parse(&text[..cut]).is_err());
    }

    #[test]
    fn mutated_texts_do_not_panic(
        name in 0..MODELS.len(),
        changes in prop::collection::vec((0.0..1.0, 0..CHARACTERS.len()), 1..6),
    ) {
        let mut bytes = text(&format!("{}.txt", MODELS[name])).into_bytes();
        let end = String::from_utf8_lossy(&bytes).find("end of trees").unwrap();
        for (share, character) in changes {
            bytes[(share * end as f64) as usize] = CHARACTERS[character];
        }
        ask(&String::from_utf8(bytes).unwrap());
    }

    #[test]
    fn lines_out_of_place_do_not_panic(name in 0..MODELS.len(), from in 0..150_usize, to in 0..150_usize, copy: bool) {
        let text = text(&format!("{}.txt", MODELS[name]));
        let mut lines: Vec<&str> = text.lines().collect();
        let (from, to) = (from % lines.len(), to % lines.len());
        let line = if copy { lines[from] } else { lines.remove(from) };
        lines.insert(to.min(lines.len()), line);
        ask(&lines.join("\n"));
    }
}
