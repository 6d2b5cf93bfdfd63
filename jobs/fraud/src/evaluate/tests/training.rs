//! The final model, and what its manifest says.

use super::*;
use crate::fields::{FieldType, Fields};
use crate::model::Model;

/// A fraud an hour of every eighth, and a hint that is mostly right.
fn rows() -> Vec<Row> {
    (0..14 * 24)
        .map(|hour| {
            let is_fraud = hour % 8 == 0;
            let hint = if hour % 5 == 0 { f64::NAN } else { f64::from(u8::from(is_fraud)) + (hour % 3) as f64 / 4.0 };
            (hour * DAY_US / 24, "a", "t", 1, i32::from(is_fraud), hint)
        })
        .collect()
}

fn span() -> TrainingSpan {
    TrainingSpan { days: DAY_US..14 * DAY_US, label_delay_us: 7 * DAY_US }
}

fn parameters() -> Parameters {
    Parameters { trees: 8, leaves: 4, leaf_weight_min: 0.5, ..Parameters::default() }
}

/// Fails where a label is learnt from before it was known, or one that became known at the end is not.
#[test]
fn labels_that_were_not_known_are_left_out_and_counted() {
    let trained = train_final(&transactions(&rows()), &span(), &parameters()).unwrap();
    // From the start of day 1 to the start of day 7, that hour included.
    assert_eq!((trained.rows, trained.frauds), (6 * 24 + 1, 6 * 3 + 1));
    assert_eq!(trained.left_out, 7 * 24 - 1);
    let at_once = TrainingSpan { label_delay_us: 0, ..span() };
    let trained = train_final(&transactions(&rows()), &at_once, &parameters()).unwrap();
    assert_eq!((trained.rows, trained.left_out), (13 * 24, 0));
    let never = TrainingSpan { label_delay_us: 30 * DAY_US, ..span() };
    let error = train_final(&transactions(&rows()), &never, &parameters()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "from 1970-01-02T00:00:00Z to 1970-01-15T00:00:00Z: no model can be trained: all rows have the same label"
    );
}

#[test]
fn a_final_models_text_predicts_the_same_bits() {
    let all = transactions(&rows());
    let trained = train_final(&all, &span(), &parameters()).unwrap();
    let read = Model::parse(&trained.model.to_text()).unwrap();
    assert_eq!(read.identity(), trained.model.identity());
    let bits = |model: &Model| scores(model, &all.frame).unwrap().into_iter().map(f64::to_bits).collect::<Vec<u64>>();
    assert_eq!(bits(&read), bits(&trained.model));
    let different: std::collections::BTreeSet<u64> = bits(&read).into_iter().collect();
    assert!(different.len() > 2, "the model tells nothing apart");
}

/// Batches are only how rows come: the same rows give the same model.
#[test]
fn batch_borders_do_not_matter() {
    let rows = rows();
    let mut reader = TransactionsReader::new(columns());
    rows.chunks(7).for_each(|rows| reader.push(&batch(rows)).unwrap());
    let in_pieces = train_final(&reader.finish().unwrap(), &span(), &parameters()).unwrap();
    let at_once = train_final(&transactions(&rows), &span(), &parameters()).unwrap();
    assert_eq!(in_pieces.model.identity(), at_once.model.identity());
}

#[test]
fn the_manifest_is_stable_json() {
    let trained = train_final(&transactions(&rows()), &span(), &parameters()).unwrap();
    let fields = Fields::new([("card", FieldType::Text), ("amount_minor", FieldType::Integer)]).unwrap();
    let text = FeatureText { windows: "", derived: "feature hint = amount_minor > 5" };
    let features = FeatureSet::parse(&text, &fields).unwrap();
    let measures = vec![Spread { name: "auc_roc".to_string(), mean: 0.75, deviation: 0.125, folds: 4 }];
    let manifest = Manifest::new(&trained, &span(), &parameters(), |name| features.definition(name), measures).unwrap();
    let expected = include_str!("manifest.json").replace("IDENTITY", trained.model.identity());
    assert_eq!(manifest.to_json(), expected);
    let unknown = Manifest::new(&trained, &span(), &parameters(), |_| None, Vec::new()).unwrap();
    assert_eq!(unknown.features[0].definition, None);
    let beyond = TrainingSpan { days: i64::MIN..0, ..span() };
    let error = Manifest::new(&trained, &beyond, &parameters(), |_| None, Vec::new()).unwrap_err();
    assert!(matches!(error, EvaluationError::Moment { at_us: i64::MIN }), "{error}");
}
