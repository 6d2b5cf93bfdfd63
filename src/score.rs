//! What was found in a simulated town beside what is true about it: trips by device, with the errors of their ends,
//! fixes for which a receiver jumped, and where payments were paid.
//!
//! A true trip is what a phone did between two stays of [`STAY_S_MIN`] or more, or while a taxi was hired.

mod frauds;
mod places;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use jiff::Timestamp;
use lake::Session;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use trips::journeys::{Journey, JourneyPair, match_journeys};

use crate::failure::Failure;

pub use frauds::{FraudScore, of as of_frauds};
pub use places::{PlaceScore, of as of_places};

/// A shorter stay lies within a trip, seconds: the least that ends one of ours.
const STAY_S_MIN: f64 = 180.0;
/// Both ends of a trip that was found lie so near to the true ones, seconds: two fixes of a waiting phone and the lateness.
const TOLERANCE_S: i64 = 120;
const MICROSECONDS_A_SECOND: i64 = 1_000_000;

const TELEPORTS: &str = "SELECT device_id, event_time, event_time AS same FROM ping_faults WHERE reason = 'teleport'";
const DETOURS: &str =
    "SELECT device_id, started_at, ended_at FROM trip_durations_current WHERE array_has(anomalies, 'detour')";
const FOUND: &str = "SELECT device_id, started_at, ended_at FROM trips_current ORDER BY device_id, started_at";

/// How well trips were found.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// True trips that had ended when the log did.
    pub true_trips: usize,
    /// Trips in the table.
    pub found_trips: usize,
    /// Trips of both kinds that are one another's.
    pub matched: usize,
    /// Share of the found trips that are true.
    pub precision: f64,
    /// Share of the true trips that were found.
    pub recall: f64,
    /// Median and 95th percentile of how far starts are off, seconds.
    pub start_error_s: [f64; 2],
    /// The same of ends.
    pub end_error_s: [f64; 2],
    /// Fixes for which a receiver jumped, and how many of them were left out as teleports.
    pub jumps: usize,
    /// See `jumps`.
    pub jumps_found: usize,
    /// Found trips without a jump, and how many of them have a teleport nevertheless.
    pub clean_trips: usize,
    /// See `clean_trips`.
    pub clean_trips_flagged: usize,
    /// Hired rides that went a long way round, and how many of them are found trips that are said to be detours.
    pub detours: usize,
    /// See `detours`.
    pub detours_found: usize,
    /// Found trips that are no such ride, and how many of them are said to be detours.
    pub direct_trips: usize,
    /// See `direct_trips`.
    pub direct_trips_flagged: usize,
}

/// A line of the truth about drives.
#[derive(Clone, Deserialize)]
struct Drive {
    device_id: String,
    started_at: Timestamp,
    ended_at: Timestamp,
    hired: Option<bool>,
    detour: bool,
}

/// A line of the truth about jumps.
#[derive(Deserialize)]
struct Jump {
    device_id: String,
    time: Timestamp,
}

/// Moments of devices, microseconds UTC.
type Moments = BTreeSet<(String, i64)>;

/// Trips by device.
type Journeys = BTreeMap<String, Vec<Journey>>;

/// Compares the lake with the truth in a folder. Nothing where there is none.
pub async fn of(session: &Session, truth: &Path) -> Result<Option<Score>, Failure> {
    let path = truth.join("trips.ndjson");
    if !path.is_file() {
        return Ok(None);
    }
    let found = journeys_of(session, FOUND).await?;
    let end_us = found.values().flatten().map(|journey| journey.end_us).max().unwrap_or_default();
    let mut drives: BTreeMap<String, Vec<Drive>> = BTreeMap::new();
    for drive in read::<Drive>(&path)?.into_iter().filter(|drive| drive.ended_at.as_microsecond() <= end_us) {
        drives.entry(drive.device_id.clone()).or_default().push(drive);
    }
    let round = |drives: &[Drive]| drives.iter().filter(|drive| drive.detour).cloned().collect::<Vec<_>>();
    let detours: Journeys = drives.iter().map(|(device, drives)| (device.clone(), journeys(round(drives)))).collect();
    let true_ones = drives.into_iter().map(|(device, drives)| (device, journeys(drives))).collect();
    let jumps = read::<Jump>(&truth.join("jumps.ndjson"))?.into_iter();
    let jumps = jumps.map(|jump| (jump.device_id, jump.time.as_microsecond())).collect();
    let teleports = journeys_of(session, TELEPORTS).await?.into_iter();
    let teleports = teleports.flat_map(|(device, at)| at.into_iter().map(move |at| (device.clone(), at.start_us)));
    let score = Score::of(&true_ones, &found).with_jumps(&found, &jumps, &teleports.collect());
    Ok(Some(score.with_detours(&found, &detours, &journeys_of(session, DETOURS).await?)))
}

/// Every line of a file of the truth.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Failure> {
    let failed = |cause: &dyn std::fmt::Display| Failure::failed(format!("cannot read {}: {cause}", path.display()));
    let file = File::open(path).map_err(|error| failed(&error))?;
    let parse = |line: std::io::Result<String>| {
        let line = line.map_err(|error| failed(&error))?;
        serde_json::from_str(&line).map_err(|error| failed(&error))
    };
    BufReader::new(file).lines().map(parse).collect()
}

/// Drives that follow each other after a short stay are one trip.
fn journeys(mut drives: Vec<Drive>) -> Vec<Journey> {
    drives.sort_by_key(|drive| drive.started_at);
    let mut journeys: Vec<(Journey, Option<bool>)> = Vec::new();
    for drive in drives {
        let (start_us, end_us) = (drive.started_at.as_microsecond(), drive.ended_at.as_microsecond());
        match journeys.last_mut() {
            Some((last, hired))
                if *hired == drive.hired
                    && ((start_us - last.end_us) as f64) < STAY_S_MIN * MICROSECONDS_A_SECOND as f64 =>
            {
                last.end_us = end_us;
            }
            _ => journeys.push((Journey { start_us, end_us }, drive.hired)),
        }
    }
    journeys.into_iter().map(|(journey, _)| journey).collect()
}

/// A column of texts, whatever kind of text column it is.
fn texts(batch: &RecordBatch, column: usize) -> Result<StringArray, Failure> {
    let texts = cast(batch.column(column), &DataType::Utf8).map_err(Failure::failed)?;
    Ok(texts.as_string::<i32>().clone())
}

/// Devices, starts and ends that a query gives.
async fn journeys_of(session: &Session, sql: &str) -> Result<Journeys, Failure> {
    let mut journeys = Journeys::new();
    for batch in session.collect(sql).await? {
        let devices = texts(&batch, 0)?;
        let [starts, ends] =
            [1, 2].map(|column| batch.column(column).as_primitive::<TimestampMicrosecondType>().clone());
        for (row, device) in devices.iter().enumerate() {
            let journey = Journey { start_us: starts.value(row), end_us: ends.value(row) };
            journeys.entry(device.unwrap_or_default().to_string()).or_default().push(journey);
        }
    }
    Ok(journeys)
}

impl Score {
    fn of(true_ones: &Journeys, found: &Journeys) -> Self {
        let none = Vec::new();
        let mut pairs: Vec<JourneyPair> = Vec::new();
        for (device, truths) in true_ones {
            pairs.extend(match_journeys(
                truths,
                found.get(device).unwrap_or(&none),
                TOLERANCE_S * MICROSECONDS_A_SECOND,
            ));
        }
        let count = |journeys: &Journeys| journeys.values().map(Vec::len).sum::<usize>();
        let off_s = |error_us: fn(&JourneyPair) -> i64| {
            let seconds = |pair| error_us(pair).abs() as f64 / MICROSECONDS_A_SECOND as f64;
            median_and_p95(pairs.iter().map(seconds).collect())
        };
        let (true_trips, found_trips, matched) = (count(true_ones), count(found), pairs.len());
        Self {
            true_trips,
            found_trips,
            matched,
            precision: matched as f64 / found_trips.max(1) as f64,
            recall: matched as f64 / true_trips.max(1) as f64,
            start_error_s: off_s(|pair| pair.start_error_us),
            end_error_s: off_s(|pair| pair.end_error_us),
            ..Self::default()
        }
    }

    fn with_jumps(self, found: &Journeys, jumps: &Moments, teleports: &Moments) -> Self {
        let has = |moments: &Moments, device: &String, journey: &Journey| {
            let span = (device.clone(), journey.start_us)..=(device.clone(), journey.end_us);
            moments.range(span).next().is_some()
        };
        let trips = found.iter().flat_map(|(device, journeys)| journeys.iter().map(move |journey| (device, journey)));
        let clean: Vec<_> = trips.filter(|(device, journey)| !has(jumps, device, journey)).collect();
        Self {
            jumps: jumps.len(),
            jumps_found: jumps.intersection(teleports).count(),
            clean_trips: clean.len(),
            clean_trips_flagged: clean.iter().filter(|(device, journey)| has(teleports, device, journey)).count(),
            ..self
        }
    }

    /// `flagged` are those found trips that are said to be detours.
    fn with_detours(self, found: &Journeys, detours: &Journeys, flagged: &Journeys) -> Self {
        let near = |one: &Journey, other: &Journey| {
            (one.start_us - other.start_us).abs() <= TOLERANCE_S * MICROSECONDS_A_SECOND
        };
        let count = |journeys: &Journeys, of: &Journeys, is_among: bool| {
            let among = |device: &String, journey: &Journey| {
                of.get(device).is_some_and(|others| others.iter().any(|other| near(journey, other)))
            };
            let each = journeys.iter().flat_map(|(device, all)| all.iter().map(move |journey| (device, journey)));
            each.filter(|(device, journey)| among(device, journey) == is_among).count()
        };
        Self {
            detours: detours.values().map(Vec::len).sum(),
            detours_found: count(detours, flagged, true),
            direct_trips: count(found, detours, false),
            direct_trips_flagged: count(flagged, detours, false),
            ..self
        }
    }
}

/// Of how far off; 0 of nothing.
fn median_and_p95(mut errors: Vec<f64>) -> [f64; 2] {
    errors.sort_unstable_by(f64::total_cmp);
    [50, 95].map(|percent| errors.get(errors.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive(start_s: i64, end_s: i64, hired: Option<bool>) -> Drive {
        let at = |second| Timestamp::from_second(second).unwrap();
        Drive { device_id: "d".to_string(), started_at: at(start_s), ended_at: at(end_s), hired, detour: false }
    }

    #[test]
    fn short_stays_lie_within_a_trip_and_a_hired_ride_is_one_of_its_own() {
        let spans = |drives| -> Vec<(i64, i64)> {
            let second = |us: i64| us / MICROSECONDS_A_SECOND;
            journeys(drives).iter().map(|journey| (second(journey.start_us), second(journey.end_us))).collect()
        };
        assert_eq!(
            spans(vec![drive(0, 10, None), drive(189, 300, None), drive(480, 500, None)]),
            [(0, 300), (480, 500)]
        );
        assert_eq!(spans(vec![drive(0, 10, Some(false)), drive(20, 30, Some(true))]), [(0, 10), (20, 30)]);
    }

    #[test]
    fn a_score_counts_what_is_missing_and_what_is_invented() {
        let journey = |start_s: i64, end_s: i64| Journey {
            start_us: start_s * MICROSECONDS_A_SECOND,
            end_us: end_s * MICROSECONDS_A_SECOND,
        };
        let true_ones = BTreeMap::from([("a".to_string(), vec![journey(0, 1_000), journey(2_000, 3_000)])]);
        let found =
            BTreeMap::from([("a".to_string(), vec![journey(10, 980)]), ("b".to_string(), vec![journey(0, 1_000)])]);
        let score = Score::of(&true_ones, &found);
        assert_eq!((score.true_trips, score.found_trips, score.matched), (2, 2, 1));
        assert_eq!((score.precision, score.recall), (0.5, 0.5));
        assert_eq!((score.start_error_s, score.end_error_s), ([10.0, 10.0], [20.0, 20.0]));
        let moments = |at: &[(&str, i64)]| -> Moments {
            at.iter().map(|(device, second)| (device.to_string(), second * MICROSECONDS_A_SECOND)).collect()
        };
        let score = score.with_jumps(&found, &moments(&[("a", 500), ("a", 5_000)]), &moments(&[("a", 500), ("b", 7)]));
        assert_eq!((score.jumps, score.jumps_found), (2, 1));
        assert_eq!((score.clean_trips, score.clean_trips_flagged), (1, 1));
        let detours = BTreeMap::from([("a".to_string(), vec![journey(0, 1_000), journey(9_000, 9_900)])]);
        let flagged = found.clone();
        let score = score.with_detours(&found, &detours, &flagged);
        assert_eq!((score.detours, score.detours_found), (2, 1));
        assert_eq!((score.direct_trips, score.direct_trips_flagged), (1, 1));
    }
}
