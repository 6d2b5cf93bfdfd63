//! What authorize asks for a scorer: whoever knows rules and models says what a payment looks like before it is decided.

use arrow::array::RecordBatch;
use schemas::ids::ContentHash;
use schemas::judgement::Judgement;
use schemas::unit::BundleSource;

/// Judges payments rows in their order. Equal rows and bundles give equal judgements and equal saved bytes, whatever the
/// batch borders; no decision enters. Errors are sentences for an operator.
pub trait Scorer: Send {
    /// Brings a bundle of rules into force at this time, microseconds UTC, behind the rows that were read.
    fn accept(&mut self, hash: ContentHash, content: &[u8], at_us: i64) -> Result<(), String>;

    /// Hash of the bundle in force.
    fn bundle(&self) -> Option<ContentHash>;

    /// What is said about each of some rows, which follow those before; nothing about rows that are no swipe or refund, or
    /// repeat one.
    fn judge(&mut self, payments: &RecordBatch) -> Result<Vec<Option<Judgement>>, String>;

    /// The state as bytes.
    fn save(&self) -> Result<Vec<u8>, String>;

    /// Replaces the state by saved bytes, loading what they name. Without bytes rows were read that nobody noted.
    fn restore(&mut self, state: Option<&[u8]>, bundles: &dyn BundleSource) -> Result<(), String>;
}
