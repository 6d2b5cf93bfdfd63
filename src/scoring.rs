//! Fraud scoring as decode and authorize ask for it: the fraud job's two sides behind their traits.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use authorize::{AuthorizeUnit, Scorer};
use decode::keys::KeyRing;
use decode::{DecodeUnit, MerchantWindows};
use fraud::live::{CardSide, LiveError, MerchantSide};
use schemas::ids::ContentHash;
use schemas::judgement::Judgement;
use schemas::unit::BundleSource;

/// A decode unit with windows of the merchant's side.
pub fn decode_unit(ring: Arc<KeyRing>) -> DecodeUnit {
    DecodeUnit::new(ring).with_windows(Box::new(Merchant(MerchantSide::default())))
}

/// An authorize unit with rules and a model.
pub fn authorize_unit() -> AuthorizeUnit {
    AuthorizeUnit::new().with_scorer(Box::new(Card(CardSide::default())))
}

struct Merchant(MerchantSide);
struct Card(CardSide);

fn said(error: LiveError) -> String {
    error.to_string()
}

impl MerchantWindows for Merchant {
    fn accept(&mut self, hash: ContentHash, content: &[u8], at_us: i64) -> Result<(), String> {
        self.0.accept(hash, content, at_us).map_err(said)
    }

    fn values(&mut self, payments: &RecordBatch) -> Result<ArrayRef, String> {
        self.0.values(payments).map_err(said)
    }

    fn save(&self) -> Result<Vec<u8>, String> {
        self.0.save().map_err(said)
    }

    fn restore(&mut self, state: Option<&[u8]>, bundles: &dyn BundleSource) -> Result<(), String> {
        self.0 = MerchantSide::restore(state, &|hash| bundles.checked(hash)).map_err(said)?;
        Ok(())
    }
}

impl Scorer for Card {
    fn accept(&mut self, hash: ContentHash, content: &[u8], at_us: i64) -> Result<(), String> {
        self.0.accept(hash, content, at_us).map_err(said)
    }

    fn bundle(&self) -> Option<ContentHash> {
        self.0.bundle()
    }

    fn judge(&mut self, payments: &RecordBatch) -> Result<Vec<Option<Judgement>>, String> {
        self.0.judge(payments).map_err(said)
    }

    fn save(&self) -> Result<Vec<u8>, String> {
        self.0.save().map_err(said)
    }

    fn restore(&mut self, state: Option<&[u8]>, bundles: &dyn BundleSource) -> Result<(), String> {
        self.0 = CardSide::restore(state, &|hash| bundles.checked(hash)).map_err(said)?;
        Ok(())
    }
}
