//! The published simulation and its four folds.

use std::time::Instant;

use simulator::handbook::HandbookPlan;

use super::*;
use crate::features::{HANDBOOK, OURS};
use crate::measures::{Days, FOLDS, LATEST_TRAINING_START_US};

/// Prints what the folds of three seeds come to, with the handbook's features and with ours.
///
/// `cargo test -p till-fraud --release figures -- --ignored --nocapture`
#[test]
#[ignore = "trains 24 models of 67,000 rows: some minutes, and it is for figures, not for right or wrong"]
fn figures_of_the_whole_simulation() {
    for (name, text) in [("handbook", HANDBOOK), ("ours", OURS)] {
        let mut of_seeds = Vec::new();
        for seed in 0..3 {
            let (transactions, _) = simulated(&HandbookPlan { seed, ..HandbookPlan::default() }, &text);
            for fold in Days::default().folds(LATEST_TRAINING_START_US, FOLDS) {
                let start = Instant::now();
                let outcome = evaluate_fold(&transactions, &fold, &Plan::default()).unwrap();
                let took = start.elapsed().as_secs_f64();
                let Measures { auc_roc, average_precision, card_precision, card_precision_ceiling, .. } =
                    outcome.measures.model;
                println!(
                    "{name} seed {seed} from {}: {} rows, AUC {auc_roc:.3}, AP {average_precision:.3}, CP \
                     {card_precision:.3} of {card_precision_ceiling:.3}, {took:.1} s",
                    shown(fold.training.start),
                    outcome.training_rows,
                );
                of_seeds.push(outcome);
            }
            print(&format!("{name} seed {seed}"), &of_seeds[of_seeds.len() - 4..]);
        }
        print(&format!("{name} all seeds"), &of_seeds);
    }
}

fn print(title: &str, folds: &[FoldOutcome]) {
    for (contestant, spreads) in summary(folds).named() {
        println!("{title}, {contestant}:");
        for Spread { name, mean, deviation, .. } in spreads {
            println!("    {name:32} {mean:8.3} +- {deviation:.3}");
        }
    }
}
