//! `till fraud evaluate` and `till fraud train`: somebody's file is judged under its own names, and a lake's labels become a
//! model that scores the payments after it.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{text, till};

/// A measure's mean over the folds.
fn mean(document: &Value, contestant: &str, measure: &str) -> f64 {
    let spreads = document["summary"][contestant].as_array().unwrap();
    spreads.iter().find(|spread| spread["name"] == measure).unwrap()["mean"].as_f64().unwrap()
}

/// Fails if a column of another name is not found, the label or the kind of fraud is another column's, or models learn
/// nothing from the file.
#[test]
fn a_file_of_other_names_is_judged() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/synccfd/transactions.parquet");
    let command = ["fraud", "evaluate", text(&file), "--time", "TX_DATETIME", "--amount", "tx_amount"];
    let more = ["--decimals", "tx_amount=2", "--label", "tx_fraud", "--folds", "1"];
    let all = [&command[..], &more, &["--scenario", "tx_fraud_scenario"]].concat();
    let found = till(&[&all[..], &["--json"]].concat()).with_exit(0).json();
    let [file_of] = &found["files"].as_array().unwrap()[..] else { panic!("{found}") };
    assert_eq!(file_of["rows"], 10_289);
    let fold = &file_of["folds"][0];
    assert_eq!(
        (fold["training_start"].as_str(), fold["test_start"].as_str()),
        (Some("2025-01-01"), Some("2025-01-15"))
    );
    assert!(mean(&found, "model", "auc_roc") > 0.7, "{found}");
    for measure in ["average_precision", "recall", "recall_scenario_3", "recall_scenario_4", "card_precision"] {
        assert!(mean(&found, "model", measure) > mean(&found, "amount", measure), "{measure}: {found}");
    }
    let table = till(&all).with_exit(0).stdout;
    assert!(table.contains("card precision@100 ceiling") && table.contains("block list"), "{table}");

    // Ours see more than the handbook's, and a column that tells nothing tells least.
    let handbook = till(&[&all[..], &["--features", "handbook", "--json"]].concat()).with_exit(0).json();
    let stan = till(&[&all[..], &["--columns", "transaction_id", "--json"]].concat()).with_exit(0).json();
    assert!(mean(&handbook, "model", "average_precision") > mean(&stan, "model", "average_precision"), "{handbook}");

    let ended = till(&[&command[..], &["--label", "tx_fraud"]].concat()).with_exit(2);
    assert!(ended.stderr.contains("--decimals tx_amount=2"), "{ended}");
    let ended = till(&[&all[..], &["--start", "2025-03-01"]].concat()).with_exit(2);
    assert!(ended.stderr.contains("2025-03-01"), "{ended}");
}

/// Fails if features of one's own are not what the model sees, or an error does not say where.
#[test]
fn features_of_ones_own_are_judged() {
    let folder = TempDir::new().unwrap();
    let [file, windows, derived] = ["small.csv", "windows.txt", "derived.txt"].map(|name| folder.path().join(name));
    let size = ["--customers", "1200", "--terminals", "2400", "--days", "35"];
    till(&[&["simulate", "handbook", "--out", text(&file)], &size[..]].concat()).with_exit(0);
    fs::write(&windows, "window risk = mean(fraud) by terminal_id over 14d delayed 7d\n").unwrap();
    fs::write(&derived, "feature hundreds = amount_minor / 100\n").unwrap();
    let command = ["fraud", "evaluate", text(&file), "--windows", text(&windows), "--derived", text(&derived)];
    let found = till(&[&command[..], &["--folds", "2", "--json"]].concat()).with_exit(0).json();
    for other in ["amount", "block_list"] {
        assert!(mean(&found, "model", "auc_roc") > mean(&found, other, "auc_roc"), "{found}");
    }
    fs::write(&derived, "feature hundreds = amount / 100\n").unwrap();
    let ended = till(&command).with_exit(2);
    assert!(ended.stderr.contains("derived.txt: line 1: there is no field amount"), "{ended}");
}
