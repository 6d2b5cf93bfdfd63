//! The model beside what LightGBM itself answered, from the files in tests/data/lightgbm. How these were made, and that
//! LightGBM reads what is written here, is told by tests/python/lightgbm_golden.py.

use std::fs;

use arrow::array::Float64Array;

use super::{MODELS, model, numbers, path, text};
use crate::model::Model;

/// Set, the texts for LightGBM to read are written anew.
const UPDATE: &str = "TILL_LIGHTGBM_WRITE";

/// What LightGBM answers to a row.
struct Answer {
    raw: f64,
    prediction: f64,
    contributions: Vec<f64>,
    base: f64,
}

fn answers(name: &str) -> Vec<Answer> {
    let answer = |line: Vec<f64>| {
        let (contributions, base) = (line[2..line.len() - 1].to_vec(), line[line.len() - 1]);
        Answer { raw: line[0], prediction: line[1], contributions, base }
    };
    numbers(&format!("{name}_answers.csv")).into_iter().map(answer).collect()
}

fn check(model: &Model, name: &str) {
    let rows = numbers(&format!("{name}_rows.csv"));
    let answers = answers(name);
    assert_eq!(rows.len(), answers.len());
    for (number, (row, answer)) in rows.iter().zip(&answers).enumerate() {
        let raw = model.raw_score(row).unwrap();
        assert_eq!(raw.to_bits(), answer.raw.to_bits(), "{name}, row {number}: {raw} is {}", answer.raw);
        let prediction = model.predict_row(row).unwrap();
        assert_eq!(prediction.to_bits(), answer.prediction.to_bits(), "{name}, row {number}: {prediction}");
    }
}

#[test]
fn predictions_have_the_bits_of_lightgbm() {
    for name in MODELS {
        check(&model(name), name);
    }
}

/// Fails where contributions are shared out by anything but the counts of the training.
#[test]
fn contributions_are_those_of_lightgbm() {
    const RELATIVE: f64 = 1e-9;
    for name in MODELS {
        let model = model(name);
        for (row, answer) in numbers(&format!("{name}_rows.csv")).iter().zip(answers(name)) {
            let found = model.contributions(row).unwrap();
            // Sums of numbers of this size are rounded; the contribution itself may be next to nothing.
            let size = answer.contributions.iter().map(|value| value.abs()).fold(answer.base.abs(), f64::max);
            let is_close =
                |one: f64, other: f64| (one - other).abs() <= RELATIVE * one.abs().max(other.abs()).max(size);
            assert!(is_close(found.base, answer.base), "{name}: base {} is {}", found.base, answer.base);
            for (feature, (one, other)) in found.values.iter().zip(&answer.contributions).enumerate() {
                assert!(is_close(*one, *other), "{name}, feature {feature}: {one} is {other}");
            }
            let sum = found.base + found.values.iter().sum::<f64>();
            assert!(is_close(sum, answer.raw), "{name}: {sum} is {}", answer.raw);
        }
    }
}

#[test]
fn the_greatest_contributions_come_first_with_their_names() {
    let model = model("binary_nan");
    for row in numbers("binary_nan_rows.csv") {
        let values = model.contributions(&row).unwrap().values;
        let top = model.top_contributions(&row, 3).unwrap();
        assert_eq!(top.len(), 3);
        assert!(top.windows(2).all(|pair| pair[0].value.abs() >= pair[1].value.abs()), "{top:?}");
        for contribution in &top {
            let place = model.features().iter().position(|feature| feature == contribution.feature).unwrap();
            assert_eq!(contribution.value.to_bits(), values[place].to_bits());
        }
        let least = top.last().unwrap().value.abs();
        assert_eq!(values.iter().filter(|value| value.abs() > least).count(), 2);
    }
}

#[test]
fn columns_give_what_rows_give() {
    for name in MODELS {
        let model = model(name);
        // More rows than one block, and the last block not full.
        let asked = numbers(&format!("{name}_rows.csv"));
        let rows: Vec<&Vec<f64>> = asked.iter().cycle().take(5 * asked.len() - 1).collect();
        let column = |place: usize| {
            // Half of the missing values as nulls, the others as NaN.
            let value =
                |(number, row): (usize, &&Vec<f64>)| Some(row[place]).filter(|v| !v.is_nan() || number % 2 == 0);
            rows.iter().enumerate().map(value).collect::<Float64Array>()
        };
        let columns: Vec<Float64Array> = (0..model.features().len()).map(column).collect();
        let mut predictions = vec![7.0];
        model.predict_columns(&columns.iter().collect::<Vec<_>>(), &mut predictions).unwrap();
        assert_eq!(predictions[0], 7.0);
        assert_eq!(predictions.len(), rows.len() + 1);
        for (row, prediction) in rows.iter().zip(&predictions[1..]) {
            assert_eq!(model.predict_row(row).unwrap().to_bits(), prediction.to_bits(), "{name}: {row:?}");
        }
    }
}

#[test]
fn what_is_written_is_read_as_the_same_model() {
    for name in MODELS {
        let model = model(name);
        let written = model.to_text();
        let again = Model::parse(&written).unwrap();
        assert_eq!(again.trees(), model.trees());
        assert_eq!((again.objective(), again.features()), (model.objective(), model.features()));
        assert_eq!(again.to_text(), written);
        check(&again, name);
        let made = Model::from_trees(model.objective(), model.features().to_vec(), model.trees().to_vec()).unwrap();
        assert_eq!(made.identity(), again.identity());
        assert_ne!(made.identity(), model.identity());
    }
}

/// LightGBM has read these very texts, see tests/python/lightgbm_golden.py, which is to be run after `UPDATE`.
#[test]
fn the_texts_are_those_that_lightgbm_has_read() {
    for name in MODELS {
        let written = model(name).to_text();
        let file = format!("written/{name}.txt");
        if std::env::var_os(UPDATE).is_some() {
            fs::create_dir_all(path("written")).unwrap();
            fs::write(path(&file), &written).unwrap();
        }
        assert!(text(&file) == written, "{file} is another text; {UPDATE}=1 writes it anew");
    }
}

/// From `sha256sum tests/data/lightgbm/constant.txt`: anybody can tell which model a file is.
#[test]
fn the_identity_is_the_hash_of_the_file() {
    assert_eq!(model("constant").identity(), "103eea0c7083d816c61cb2f72882989819bc3a6d5d68b15c48f1250347959e4e");
}
