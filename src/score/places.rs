//! Where payments were found to be paid beside where they truly were.

use std::collections::HashMap;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;
use lake::Session;
use serde::{Deserialize, Serialize};
use trips::{Place, geodesic_m};

use super::{median_and_p95, read, texts};
use crate::failure::Failure;

/// A place is right so near to the true one, metres: as for stops.
const RIGHT_M: f64 = trips::matching::RADIUS_M;
const FOUND: &str = "SELECT payment_id, lat, lon FROM payment_places_current";

/// How well places of payments were found.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct PlaceScore {
    /// Payments with a row whose true place is known.
    pub payments: usize,
    /// Those of which the row says no place.
    pub unplaced: usize,
    /// Those whose place is within 40 m of the true one.
    pub right: usize,
    /// Median and 95th percentile of how far places are off, metres.
    pub error_m: [f64; 2],
}

/// A line of the truth about payments.
#[derive(Deserialize)]
struct Paid {
    payment_id: Option<String>,
    meant: String,
    lat: Option<f64>,
    lon: Option<f64>,
}

/// Compares the lake with the truth in a folder. Nothing where there is none.
pub async fn of(session: &Session, truth: &Path) -> Result<Option<PlaceScore>, Failure> {
    let path = truth.join("payments.ndjson");
    if !path.is_file() {
        return Ok(None);
    }
    // A thief who has the reader is not where the courier is.
    let paid = read::<Paid>(&path)?.into_iter().filter(|paid| paid.meant != "fraud");
    let places = paid.filter_map(|paid| {
        let place = Place { lat: paid.lat?, lon: paid.lon? };
        Some((paid.payment_id?, place))
    });
    let truth: HashMap<String, Place> = places.collect();
    let (mut score, mut errors) = (PlaceScore::default(), Vec::new());
    for batch in session.collect(FOUND).await? {
        let payments = texts(&batch, 0)?;
        let [lat, lon] = [1, 2].map(|column| batch.column(column).as_primitive::<Float64Type>());
        for (row, payment) in payments.iter().enumerate() {
            let Some(true_place) = payment.and_then(|payment| truth.get(payment)) else { continue };
            score.payments += 1;
            if lat.is_null(row) || lon.is_null(row) {
                score.unplaced += 1;
                continue;
            }
            errors.push(geodesic_m(*true_place, Place { lat: lat.value(row), lon: lon.value(row) }));
        }
    }
    score.right = errors.iter().filter(|error_m| **error_m <= RIGHT_M).count();
    score.error_m = median_and_p95(errors);
    Ok(Some(score))
}
