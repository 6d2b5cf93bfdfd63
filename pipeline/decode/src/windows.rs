//! What decode asks for the windows of the merchant's side, whose values travel with a payment.

use arrow::array::{ArrayRef, RecordBatch};
use schemas::ids::ContentHash;
use schemas::unit::BundleSource;

/// Windows over the payments rows that decode makes, in their order. Equal rows and bundles give equal values and equal
/// saved bytes, whatever the batch borders. Errors are sentences for an operator.
pub trait MerchantWindows: Send {
    /// Brings a bundle of rules into force at this time, microseconds UTC, behind the rows that were read.
    fn accept(&mut self, hash: ContentHash, content: &[u8], at_us: i64) -> Result<(), String>;

    /// Column `windows` for rows that follow those before.
    fn values(&mut self, payments: &RecordBatch) -> Result<ArrayRef, String>;

    /// The state as bytes.
    fn save(&self) -> Result<Vec<u8>, String>;

    /// Replaces the state by saved bytes, loading what they name. Without bytes rows were read that nobody noted.
    fn restore(&mut self, state: Option<&[u8]>, bundles: &dyn BundleSource) -> Result<(), String>;
}
