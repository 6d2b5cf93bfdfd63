//! Scoring as payments come: the windows of the merchant's side, which travel with a payment, and what the card's side
//! says about it with them.
//!
//! Both sides are functions of the payments rows alone, in their order: no answer and no later step of a payment enters
//! a window. So a batch is judged before the first of its payments is decided, column by column, and the same rows give
//! the same judgements live, in a backfill from the table and beside any other rules.
//!
//! **What is judged.** Swipes and refunds that are no repeats. A window or a rule that does not speak of `kind` is about
//! swipes alone; with `where kind = 'refund'`, or `kind = 'refund' and ...` in a rule, it is about refunds.
//!
//! **Whose side.** A window belongs to the card where its key has `token`, else to the merchant where its key has
//! `merchant_id` or `reader_id`, which stands for the reader under this merchant: a partition knows no other. Any other key
//! lies in more than one partition of either log, so that no live state could hold it whole: it is refused here, and
//! computed over the tables instead.
//!
//! **Labels.** A window may speak of `fraud`: what was said of a swipe before the payment that reads the window, 0 as long
//! as nobody has said anything. Such a window is about swipes alone.
//!
//! It may depend on `schemas` for the rows of payments, on Arrow, and on `geo` for distances. It refuses clocks, files
//! and randomness.

mod card;
mod definitions;
mod labels;
mod merchant;
mod rows;
mod side;

pub use card::CardSide;
pub use definitions::{Definitions, Problem, Problems};
pub use merchant::MerchantSide;
pub use rows::{COLUMNS, WINDOWS};
pub use side::Content;

use crate::expression::EvaluateError;
use crate::model::ModelError;
use crate::windows::WindowError;

/// Why payments cannot be judged. Nothing that a payment says is such an error.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// A column of the payments rows is missing or of another type.
    #[error("column {0} of the payments rows is missing or of another type")]
    Column(&'static str),
    /// A bundle is not there, does not read or is wrong.
    #[error("{0}")]
    Bundle(String),
    /// A saved state is damaged.
    #[error("the saved state does not read: {0}")]
    Saved(String),
    /// What Arrow says about putting columns together.
    #[error("the rows do not fit together: {0}")]
    Rows(#[from] arrow::error::ArrowError),
    /// The windows refuse.
    #[error(transparent)]
    Windows(#[from] WindowError),
    /// The rules refuse.
    #[error(transparent)]
    Rules(#[from] EvaluateError),
    /// The model refuses.
    #[error(transparent)]
    Model(#[from] ModelError),
}

#[cfg(test)]
mod tests;
