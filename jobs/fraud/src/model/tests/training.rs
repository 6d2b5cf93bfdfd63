//! Training: what the trainer has grown predicts the same as LightGBM's text, and the same rows give the same text.

use std::fs;

use arrow::array::Float64Array;
use forust_ml::Matrix;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::model::train::{Examples, Parameters, TRAINER, grow, train};
use crate::model::{Model, ModelError};

/// Columns of payments and which were fraud.
struct Payments {
    names: Vec<String>,
    columns: Vec<Vec<f64>>,
    labels: Vec<bool>,
}

impl Payments {
    /// Made from a seed: fraud is where two features are high, or where one is missing and another below zero.
    fn of(rows: usize, missing: f64, seed: u8) -> Self {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let mut draw = |from: f64, to: f64| (from..to).new_tree(&mut runner).unwrap().current();
        let names = ["spent", "cards", "drift", "flag", "idle"].map(str::to_string).to_vec();
        let mut columns = vec![Vec::with_capacity(rows); names.len()];
        let mut labels = Vec::with_capacity(rows);
        for _ in 0..rows {
            let row = [draw(0.0, 300.0), draw(0.0, 9.0).floor(), draw(-1.0, 1.0), draw(0.0, 2.0).floor(), 1.0];
            let row = row.map(|value| if draw(0.0, 1.0) < missing { f64::NAN } else { value });
            let is_odd = row[0].is_nan() && row[2] < 0.0;
            labels.push(is_odd || row[0] > 150.0 && row[1] > 4.0 || draw(0.0, 1.0) < 0.03);
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        Self { names, columns, labels }
    }

    fn row(&self, number: usize) -> Vec<f64> {
        self.columns.iter().map(|column| column[number]).collect()
    }

    fn with<T>(&self, act: impl FnOnce(&Examples<'_>) -> T) -> T {
        let columns: Vec<&[f64]> = self.columns.iter().map(Vec::as_slice).collect();
        act(&Examples { features: &self.names, columns: &columns, labels: &self.labels })
    }

    fn train(&self, parameters: &Parameters) -> Result<Model, ModelError> {
        self.with(|examples| train(examples, parameters))
    }
}

/// What a few thousand rows teach, all of which each tree sees.
fn small() -> Parameters {
    Parameters {
        trees: 20,
        leaves: 15,
        depth: 16,
        learning_rate: 0.1,
        l2: 1.0,
        leaf_weight_min: 1.0,
        bins: 256,
        row_share: 1.0,
        feature_share: 1.0,
        seed: 0,
    }
}

/// Fails where missing values go to the wrong side, or values on a split value do.
#[test]
fn converted_models_predict_the_bits_of_the_trainer() {
    for (missing, parameters) in [
        (0.2, small()),
        (0.0, small()),
        (0.6, Parameters { bins: 8, learning_rate: 0.3, ..small() }),
        (0.2, Parameters { row_share: 0.6, feature_share: 0.7, seed: 11, ..small() }),
    ] {
        let payments = Payments::of(3_000, missing, 1);
        let model = payments.train(&parameters).unwrap();
        let model = Model::parse(&model.to_text()).unwrap();
        let booster = payments.with(|examples| grow(examples, &parameters)).unwrap();
        // The rows of the training lie on split values, the others between and beyond.
        for asked in [&payments, &Payments::of(3_000, 0.3, 2)] {
            let rows = asked.labels.len();
            let values = asked.columns.concat();
            let own = booster.predict(&Matrix::new(&values, rows, asked.columns.len()), false);
            for (number, own) in own.iter().enumerate() {
                let raw = model.raw_score(&asked.row(number)).unwrap();
                assert_eq!(raw.to_bits(), own.to_bits(), "row {number}: {raw} is {own}");
            }
        }
    }
}

#[test]
fn the_same_rows_and_seed_give_the_same_text() {
    let payments = Payments::of(2_000, 0.1, 3);
    let sampled = |seed: u64| Parameters { row_share: 0.5, feature_share: 0.6, seed, ..small() };
    let text = |parameters: &Parameters| payments.train(parameters).unwrap().to_text();
    assert_eq!(text(&small()), text(&small()));
    assert_eq!(text(&sampled(1)), text(&sampled(1)));
    assert_ne!(text(&sampled(1)), text(&sampled(2)));
}

/// The trees learn: fraud has the higher scores, in rows that the training has not seen, too.
#[test]
fn fraud_scores_higher() {
    let (payments, asked) = (Payments::of(4_000, 0.1, 4), Payments::of(2_000, 0.1, 5));
    let model = payments.train(&small()).unwrap();
    let columns: Vec<Float64Array> = asked.columns.iter().map(|column| Float64Array::from(column.clone())).collect();
    let mut scores = Vec::new();
    model.predict_columns(&columns.iter().collect::<Vec<_>>(), &mut scores).unwrap();
    let mean = |of: bool| {
        let scores: Vec<f64> =
            scores.iter().zip(&asked.labels).filter(|(_, label)| **label == of).map(|(score, _)| *score).collect();
        scores.iter().sum::<f64>() / scores.len() as f64
    };
    assert!(mean(true) > 3.0 * mean(false), "{} against {}", mean(true), mean(false));
    // Counts are those of the training, so the base is the mean of its scores.
    let base = model.contributions(&asked.row(0)).unwrap().base;
    let raw = (0..4_000).map(|number| model.raw_score(&payments.row(number)).unwrap());
    assert!((raw.sum::<f64>() / 4_000.0 - base).abs() < 1e-9, "{base}");
}

/// Fails where a share of few features is none.
#[test]
fn each_tree_sees_a_feature() {
    for features in [1, 2] {
        let mut payments = Payments::of(2_000, 0.0, 7);
        payments.names.truncate(features);
        payments.columns.truncate(features);
        let model = payments.train(&Parameters { feature_share: 0.1, ..small() }).unwrap();
        assert!(model.trees().iter().all(|tree| !tree.splits().is_empty()), "{features} features");
    }
}

#[test]
fn examples_and_parameters_out_of_bounds_are_refused() {
    let payments = Payments::of(100, 0.1, 6);
    let told = |parameters: Parameters| payments.train(&parameters).unwrap_err().to_string();
    let out = |name: &str| format!("no model can be trained: parameter {name} is out of its bounds");
    assert_eq!(told(Parameters { trees: 0, ..small() }), out("trees"));
    assert_eq!(told(Parameters { leaves: 1, ..small() }), out("leaves"));
    assert_eq!(told(Parameters { depth: 1_000, ..small() }), out("depth"));
    assert_eq!(told(Parameters { learning_rate: f32::NAN, ..small() }), out("learning_rate"));
    assert_eq!(told(Parameters { l2: -1.0, ..small() }), out("l2"));
    assert_eq!(told(Parameters { leaf_weight_min: 0.0, ..small() }), out("leaf_weight_min"));
    assert_eq!(told(Parameters { bins: 1, ..small() }), out("bins"));
    assert_eq!(told(Parameters { row_share: 1.5, ..small() }), out("row_share"));
    assert_eq!(told(Parameters { feature_share: 0.0, ..small() }), out("feature_share"));

    let mut alike = Payments::of(100, 0.1, 6);
    alike.labels.fill(false);
    let alike = alike.train(&small()).unwrap_err().to_string();
    assert_eq!(alike, "no model can be trained: all rows have the same label");
    let mut infinite = Payments::of(100, 0.1, 6);
    infinite.columns[1][7] = f64::INFINITY;
    let infinite = infinite.train(&small()).unwrap_err().to_string();
    assert_eq!(infinite, "no model can be trained: feature \"cards\" has an infinite value");
    let mut uneven = Payments::of(100, 0.1, 6);
    uneven.columns[2].pop();
    assert_eq!(uneven.train(&small()).unwrap_err(), ModelError::Length { column: 2, expected: 100, found: 99 });
    uneven.columns.pop();
    assert_eq!(uneven.train(&small()).unwrap_err(), ModelError::Width { expected: 5, found: 4 });
}

/// Columns that say nothing, and few rows, are no error: the model then says the share of fraud.
#[test]
fn rows_that_teach_nothing_give_the_share_of_fraud() {
    let names = vec!["idle".to_string(), "missing".to_string()];
    let labels = [true, false, false, false].repeat(10);
    let columns = [vec![1.0; 40], vec![f64::NAN; 40]];
    let model = Payments { names, columns: columns.to_vec(), labels }.train(&small()).unwrap();
    let score = model.predict_row(&[1.0, f64::NAN]).unwrap();
    assert!((score - 0.25).abs() < 1e-6, "{score}");
}

/// The manifest of a training names the version that the build took.
#[test]
fn the_trainer_is_the_one_of_the_lock_file() {
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
    let (name, version) = TRAINER.split_once(' ').unwrap();
    assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")), "{TRAINER}");
}
