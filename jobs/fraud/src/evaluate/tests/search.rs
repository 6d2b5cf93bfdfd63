//! How the default parameters of the training were chosen: by weeks that end before the first day of any test.
//!
//! The four folds of the search are tested from 4 to 31 July 2018, and the tests of the protocol begin on 8 August: the
//! search ends where the training of the protocol's earliest fold does, so whoever trains then could have made it. The
//! seeds are others than those whose figures are reported. First bins, leaves and the shares of rows and features were
//! tried in all combinations, then what is below, one change of the default at a time.
//!
//! What decided, average precision and card precision at 100 in the mean over eight folds:
//!
//! | change | handbook's features | ours |
//! |---|---|---|
//! | none | 0.692, 0.304 | 0.743, 0.311 |
//!
//! * Bins matter most. They hold equally many payments, and with 256 the frauds above the highest genuine amounts share a
//!   bin with others.
//! * A tree that sees some of the rows and features does better than one that sees all.
//! * More and deeper trees give a little that the time of a decision is not worth.

use simulator::handbook::HandbookPlan;

use super::*;
use crate::features::{HANDBOOK, OURS};
use crate::measures::{Days, FOLDS, LATEST_TRAINING_START_US};

/// The latest training of the search starts on 2018-07-11.
const LATEST_SEARCHED_US: i64 = LATEST_TRAINING_START_US - 35 * DAY_US;

fn candidates() -> Vec<(&'static str, Parameters)> {
    let default = Parameters::default;
    vec![
        ("none", default()),
        ("256 bins", Parameters { bins: 256, ..default() }),
        ("1,024 bins", Parameters { bins: 1_024, ..default() }),
        ("0.8 of the rows, 0.6 of the features", Parameters { row_share: 0.8, feature_share: 0.6, ..default() }),
        ("31 leaves, depth 16", Parameters { leaves: 31, depth: 16, ..default() }),
        ("8 leaves, depth 3", Parameters { leaves: 8, depth: 3, ..default() }),
        ("200 trees at rate 0.05", Parameters { trees: 200, learning_rate: 0.05, ..default() }),
        ("60 trees", Parameters { trees: 60, ..default() }),
        ("l2 of 1", Parameters { l2: 1.0, ..default() }),
        ("l2 of 10", Parameters { l2: 10.0, ..default() }),
        ("leaves of weight 1", Parameters { leaf_weight_min: 1.0, ..default() }),
    ]
}

/// Prints average precision and card precision of each candidate.
///
/// `cargo test -p till-fraud --release candidates -- --ignored --nocapture`
#[test]
#[ignore = "trains 176 models: a quarter of an hour, and it is for a choice, not for right or wrong"]
fn candidates_of_parameters() {
    for (name, text) in [("handbook", HANDBOOK), ("ours", OURS)] {
        let seeds = [100, 101].map(|seed| simulated(&HandbookPlan { seed, ..HandbookPlan::default() }, &text).0);
        for (change, parameters) in candidates() {
            let plan = Plan { parameters, ..Plan::default() };
            let all = seeds.iter().flat_map(|transactions| {
                let folds = Days::default().folds(LATEST_SEARCHED_US, FOLDS).into_iter();
                folds.map(|fold| evaluate_fold(transactions, &fold, &plan).unwrap())
            });
            let spreads = summary(&all.collect::<Vec<_>>()).model;
            let mean = |name: &str| spreads.iter().find(|spread| spread.name == name).unwrap().mean;
            println!("{name} | {change} | {:.4}, {:.4}", mean("average_precision"), mean("card_precision"));
        }
    }
}
