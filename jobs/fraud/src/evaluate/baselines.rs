//! What scores without a model: a block list, and the amount.
//!
//! It may depend on frames. It refuses what was not known when a payment was made.

use polars::prelude::{DataFrame, DataType, IntoLazy, JoinType, LazyFrame, col, lit};

use super::transactions::{AMOUNT, CUSTOMER, FRAUD, ROW, TERMINAL, TIME};
use super::{EvaluationError, joined};

const KNOWN: &str = "known_us";
const SCORE: &str = "score";

/// 1 for each payment of the test whose card or terminal has a fraud that was known before it, else 0. A fraud is known
/// a delay after it was paid.
pub(super) fn block_list(all: &DataFrame, test: &DataFrame, label_delay_us: i64) -> Result<Vec<f64>, EvaluationError> {
    let known = (col(TIME) + lit(label_delay_us)).alias(KNOWN);
    let frauds = all.clone().lazy().filter(col(FRAUD)).select([col(CUSTOMER), col(TERMINAL), known]);
    let first_known =
        |key: &str| -> LazyFrame { frauds.clone().group_by([col(key)]).agg([col(KNOWN).min().alias(known_of(key))]) };
    let listed = |key: &str| col(known_of(key)).lt(col(TIME)).fill_null(lit(false));
    let mut scored = test.clone().lazy().select([col(ROW), col(TIME), col(CUSTOMER), col(TERMINAL)]);
    for key in [CUSTOMER, TERMINAL] {
        scored = joined(scored, first_known(key), &[key], JoinType::Left);
    }
    let score = listed(CUSTOMER).or(listed(TERMINAL)).cast(DataType::Float64).alias(SCORE);
    let scored = scored.sort([ROW], Default::default()).select([score]).collect()?;
    Ok(scored.column(SCORE)?.f64()?.into_no_null_iter().collect())
}

fn known_of(key: &str) -> String {
    format!("{KNOWN} of {key}")
}

/// Each payment's amount; only its rank counts.
pub(super) fn larger_first(test: &DataFrame) -> Result<Vec<f64>, EvaluationError> {
    let scores = test.column(AMOUNT)?.cast(&DataType::Float64)?;
    Ok(scores.f64()?.into_no_null_iter().collect())
}
