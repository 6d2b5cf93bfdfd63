//! What a model was trained on, as JSON beside it: enough to train it again, and to know whether it may be trusted.
//!
//! It may depend on `serde_json`. It refuses the date of the training and the names of files: the same training gives the
//! same bytes.

use jiff::Timestamp;
use serde::Serialize;

use super::{EvaluationError, Spread, Trained, TrainingSpan};
use crate::model::train::{Parameters, TRAINER};

/// What a model was trained on; fields in the order of the JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Manifest {
    /// Identity of the model, see [`crate::model::Model::identity`].
    pub model: String,
    /// Trainer and its version.
    pub trainer: String,
    /// How it was trained.
    pub parameters: Parameters,
    /// First moment of the days of the training.
    pub training_start: Timestamp,
    /// End of these days, at which the training took place.
    pub training_end: Timestamp,
    /// How long after a payment its label was known, seconds.
    pub label_delay_s: i64,
    /// Rows that it has learnt from.
    pub rows: usize,
    /// Frauds among them.
    pub frauds: usize,
    /// Rows of the days whose labels were not known by the end, which it has not seen.
    pub left_out: usize,
    /// Features in the order of the model.
    pub features: Vec<ManifestFeature>,
    /// How good models are that were trained so on folds; empty where nobody has asked.
    pub measures: Vec<Spread>,
}

/// A feature of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ManifestFeature {
    /// Its name.
    pub name: String,
    /// The text that defines it; nothing where it was a column of the file.
    pub definition: Option<String>,
}

impl Manifest {
    /// The manifest of a training. `definition` says by what text a feature is made, where that is known; `measures` are
    /// what folds came to.
    ///
    /// # Errors
    /// Fails where the calendar does not know the days.
    pub fn new(
        trained: &Trained,
        span: &TrainingSpan,
        parameters: &Parameters,
        definition: impl Fn(&str) -> Option<String>,
        measures: Vec<Spread>,
    ) -> Result<Self, EvaluationError> {
        let moment = |at_us: i64| Timestamp::from_microsecond(at_us).map_err(|_| EvaluationError::Moment { at_us });
        let feature = |name: &String| ManifestFeature { name: name.clone(), definition: definition(name) };
        Ok(Self {
            model: trained.model.identity().to_string(),
            trainer: TRAINER.to_string(),
            parameters: parameters.clone(),
            training_start: moment(span.days.start)?,
            training_end: moment(span.days.end)?,
            label_delay_s: span.label_delay_us / SECOND_US,
            rows: trained.rows,
            frauds: trained.frauds,
            left_out: trained.left_out,
            features: trained.model.features().iter().map(feature).collect(),
            measures,
        })
    }

    /// The manifest as JSON, two spaces a level, with a newline at its end.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("a manifest has no keys but texts");
        json.push('\n');
        json
    }
}

/// Microseconds of a second.
const SECOND_US: i64 = 1_000_000;
