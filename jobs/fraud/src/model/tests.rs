//! Tests of the model: beside LightGBM's own answers, on texts that are broken, on trees made by hand, and on
//! models trained here.

mod broken;
mod contributions;
mod golden;
mod training;
mod trees;

use std::path::PathBuf;

use super::Model;

/// Models of tests/python/lightgbm_golden.py, which says what each is there for.
const MODELS: [&str; 7] =
    ["binary_nan", "binary_none", "binary_zero", "binary_categories", "categories_none", "regression", "constant"];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/lightgbm").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn model(name: &str) -> Model {
    Model::parse(&text(&format!("{name}.txt"))).unwrap()
}

/// The numbers of a file of bits, a row a line.
fn numbers(name: &str) -> Vec<Vec<f64>> {
    let number = |digits: &str| f64::from_bits(u64::from_str_radix(digits, 16).unwrap());
    text(name).lines().map(|line| line.split(',').map(number).collect()).collect()
}
