//! Swipes far from the phone of whoever carries the reader: rows of the table `courier_alerts`.
//!
//! A swipe at time t is judged when the clock of the pings has passed t + 30 s, with the fixes whose `ingest_time` is at
//! most t + 30 s, whenever that is done: the phone's last fix at or before t must be at most 120 s old and pass cleaning,
//! else there is no position, which does not alert. Cleaning sees what the phone sent about the ten minutes before t and
//! until it is judged. Of fixes that come later the first, in the order of the log, with which the same question has
//! another answer takes the alert back.
//!
//! The clock is that of the phone's partition. Of a phone without a fix in that time the partition is not known: it has
//! no position once every clock has passed. Gateways' clocks differ by seconds, so another five pass first: rows then
//! depend neither on the moment of a run nor on what was judged before, but for the order in which they are added.
//!
//! It may depend on Arrow, `schemas`, cleaning, assignments and metres of this crate. It refuses clocks of its own, files
//! and the lake.

mod position;
mod rows;

use std::collections::{BTreeMap, HashMap};

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{Array, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use arrow::error::ArrowError;

use crate::carriers::{Carrier, Carriers};
use crate::clean::GAP_US;
use crate::columns::{column, texts, times};
use crate::metric::{Place, geodesic_m};
use crate::reorder::{BUFFERED_US_MAX, FUTURE_US_MAX};
use crate::sighting::Sighting;
use crate::units::SECOND_US;
use position::fix_before;

/// What has arrived so long after a swipe is known when it is judged, microseconds.
pub const KNOWN_US: i64 = 30 * SECOND_US;
/// The clock passes a moment by so much before what was known at it is final: gateways' clocks differ by seconds.
pub const GATEWAYS_US: i64 = 5 * SECOND_US;
/// Longest time from the fix that tells where the phone was to the swipe, microseconds.
pub const FIX_US_MAX: i64 = 120 * SECOND_US;
/// So long before and after a swipe fixes have a say in what cleaning keeps, microseconds: the longest gap of a track,
/// and the newest fix that may be known when it is judged.
pub const TRACK_US: [i64; 2] = [GAP_US, KNOWN_US + FUTURE_US_MAX];
/// So long after its swipe an alert may be taken back, microseconds: older fixes are of no more use.
pub const WITHDRAWN_US_MAX: i64 = BUFFERED_US_MAX + TRACK_US[1];
/// From here on a swipe is far, metres, unless something else is said: in the 120 s that a fix may be old nobody in a town
/// comes so far (60 km/h), with the errors of both positions.
pub const FAR_M: f64 = 2_000.0;

/// What is known, each as batches, in any order unless one is said. Columns are found by name; texts and times may be of any Arrow type that
/// casts to the table's.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Swipes of table `payments` with a place, in the order of their times; repeats left out.
    pub swipes: &'a [RecordBatch],
    /// Raised rows of table `courier_alerts` that may be taken back.
    pub raised: &'a [RecordBatch],
    /// Rows of table `couriers`.
    pub assignments: &'a [RecordBatch],
    /// Partitions of the pings with the largest time that was read from each, microseconds UTC.
    pub clocks: &'a BTreeMap<i32, i64>,
    /// From how far on a swipe alerts, metres.
    pub far_m: f64,
}

/// Place of a record in a log: topic, partition and offset.
pub type SourcePlace = (String, i32, i64);

/// Where a phone was at a swipe.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Phone {
    place: Place,
    fix_us: i64,
    distance_m: f64,
}

/// A row that is written.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    /// Row among the swipes.
    swipe: usize,
    /// Row of the assignment.
    carrier: Carrier,
    /// Where the phone was; of an alert that is taken back nothing if no position is left.
    phone: Option<Phone>,
    is_withdrawn: bool,
    known_us: i64,
}

/// Fixes of a phone by their place in the log.
type Track = BTreeMap<(i32, i64), Sighting>;

/// What became of a swipe.
enum Judged {
    /// Its clock has not passed yet.
    Waits,
    /// Near, or without a position.
    Silent,
    /// What is to be said.
    Says(Vec<Said>),
}

/// The swipes of one run, those of raised alerts behind the new ones.
pub struct CourierAlerts<'a> {
    clocks: &'a BTreeMap<i32, i64>,
    far_m: f64,
    batches: Vec<RecordBatch>,
    /// Rows from here on have alerted before.
    new_count: usize,
    payment_id: StringArray,
    at: TimestampMicrosecondArray,
    places: [Float64Array; 2],
    assigned: Carriers,
    carriers: Vec<Option<Carrier>>,
    /// Times of swipes beside each phone, in order.
    moments: HashMap<String, Vec<i64>>,
    tracks: HashMap<String, Track>,
}

impl<'a> CourierAlerts<'a> {
    /// Finds whose phone is beside each swipe.
    ///
    /// # Errors
    /// Fails where a column is missing or has another type.
    pub fn read(inputs: Inputs<'a>) -> Result<Self, ArrowError> {
        let Inputs { swipes, raised, assignments, clocks, far_m } = inputs;
        let batches = [swipes, raised].concat();
        let degrees = |name| Ok::<_, ArrowError>(column(&batches, name, &DataType::Float64)?.as_primitive().clone());
        let mut work = Self {
            clocks,
            far_m,
            new_count: swipes.iter().map(RecordBatch::num_rows).sum(),
            payment_id: texts(&batches, "payment_id")?,
            at: times(&batches, "event_time")?,
            places: [degrees("lat")?, degrees("lon")?],
            assigned: Carriers::read(assignments)?,
            carriers: Vec::new(),
            moments: HashMap::new(),
            tracks: HashMap::new(),
            batches,
        };
        let (readers, couriers) = (texts(&work.batches, "reader_id")?, texts(&work.batches, "courier_id")?);
        let beside = readers.iter().zip(&couriers).zip(work.at.values());
        work.carriers = beside.map(|((reader, courier), at_us)| work.assigned.find(reader, courier, *at_us)).collect();
        for (swipe, carrier) in work.carriers.iter().enumerate() {
            let Some(carrier) = *carrier else { continue };
            let device_id = work.assigned.device(carrier).to_string();
            work.moments.entry(device_id).or_default().push(work.at.value(swipe));
        }
        work.moments.values_mut().for_each(|moments| moments.sort_unstable());
        Ok(work)
    }

    /// Times from whose surroundings fixes are needed, [`TRACK_US`] before and after: microseconds UTC, in order.
    pub fn moments(&self) -> Vec<i64> {
        let mut moments: Vec<i64> = self.moments.values().flatten().copied().collect();
        moments.sort_unstable();
        moments
    }

    /// Shows rows of table `pings`, in any order; those of no swipe are passed over, and so is one that was shown before.
    ///
    /// # Errors
    /// Fails where a column is missing or has another type.
    pub fn look(&mut self, pings: &RecordBatch) -> Result<(), ArrowError> {
        let pings = std::slice::from_ref(pings);
        let (devices, at, received) =
            (texts(pings, "device_id")?, times(pings, "event_time")?, times(pings, "ingest_time")?);
        let number =
            |name| Ok::<_, ArrowError>(column(pings, name, &DataType::Float64)?.as_primitive::<Float64Type>().clone());
        let (lat, lon) = (number("lat")?, number("lon")?);
        let (accuracy, speed) = (number("accuracy_m")?, number("speed_mps")?);
        let partition = column(pings, "source_partition", &DataType::Int32)?.as_primitive::<Int32Type>().clone();
        let offset = column(pings, "source_offset", &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        let stated = |values: &Float64Array, row: usize| values.is_valid(row).then(|| values.value(row));
        for row in 0..devices.len() {
            let Some(moments) = self.moments.get(devices.value(row)) else { continue };
            let time_us = at.value(row);
            let first = moments.partition_point(|moment| moment.saturating_add(TRACK_US[1]) < time_us);
            let has_a_say = moments.get(first).is_some_and(|moment| moment.saturating_sub(TRACK_US[0]) <= time_us);
            let is_of_use = received.is_valid(row) && received.value(row).saturating_sub(time_us) <= BUFFERED_US_MAX;
            if !has_a_say || !is_of_use {
                continue;
            }
            let fix = Sighting {
                time_us,
                place: Place { lat: lat.value(row), lon: lon.value(row) },
                accuracy_m: stated(&accuracy, row),
                speed_mps: stated(&speed, row),
                hired: None,
                received_us: Some(received.value(row)),
            };
            let track = self.tracks.entry(devices.value(row).to_string()).or_default();
            track.insert((partition.value(row), offset.value(row)), fix.sound());
        }
        Ok(())
    }

    /// Rows that the table lacks, in the order in which they came to be known, numbered from `sequence` on; and the
    /// places of the swipes that wait for the clock.
    ///
    /// # Errors
    /// Fails where a column is missing or has another type.
    pub fn finish(&self, sequence: i64) -> Result<(RecordBatch, Vec<SourcePlace>), ArrowError> {
        let (mut said, mut waiting) = (Vec::new(), Vec::new());
        for (swipe, carrier) in self.carriers.iter().enumerate() {
            match carrier.map_or(Judged::Silent, |carrier| self.judge(swipe, carrier)) {
                Judged::Waits => waiting.push(swipe),
                Judged::Silent => {}
                Judged::Says(says) => said.extend(says),
            }
        }
        said.sort_by_key(|said| (said.known_us, self.payment_id.value(said.swipe).to_string(), said.is_withdrawn));
        // A payment alerts once, also where a swipe came again with other content.
        let mut first: HashMap<&str, usize> = HashMap::new();
        said.retain(|said| *first.entry(self.payment_id.value(said.swipe)).or_insert(said.swipe) == said.swipe);
        let topic = texts(&self.batches, "source_topic")?;
        let partition: Int32Array = column(&self.batches, "source_partition", &DataType::Int32)?.as_primitive().clone();
        let offset: Int64Array = column(&self.batches, "source_offset", &DataType::Int64)?.as_primitive().clone();
        let place = |swipe| (topic.value(swipe).to_string(), partition.value(swipe), offset.value(swipe));
        Ok((rows::batch(self, &said, sequence)?, waiting.into_iter().map(place).collect()))
    }

    fn place(&self, swipe: usize) -> Place {
        let [lat, lon] = &self.places;
        Place { lat: lat.value(swipe), lon: lon.value(swipe) }
    }

    fn judge(&self, swipe: usize, carrier: Carrier) -> Judged {
        let (at_us, has_alerted) = (self.at.value(swipe), swipe >= self.new_count);
        let known_us = at_us.saturating_add(KNOWN_US);
        let track = self.tracks.get(self.assigned.device(carrier));
        let near = |time_us: i64| (at_us - TRACK_US[0]..=at_us + TRACK_US[1]).contains(&time_us);
        let fixes = track.into_iter().flatten().filter(|(_, fix)| near(fix.time_us));
        let is_known = |fix: &Sighting| fix.received_us.is_some_and(|received_us| received_us <= known_us);
        let (known, late): (Vec<_>, Vec<_>) = fixes.partition(|(_, fix)| is_known(fix));
        let partition = known.iter().chain(&late).map(|((partition, _), _)| *partition).next();
        if !has_alerted && !self.has_passed(partition, known_us) {
            return Judged::Waits;
        }
        let mut known: Vec<Sighting> = known.into_iter().map(|(_, fix)| *fix).collect();
        let Some(phone) = self.far_phone(swipe, &known).ok() else { return Judged::Silent };
        let said = |phone, is_withdrawn, known_us| Said { swipe, carrier, phone, is_withdrawn, known_us };
        let mut says = if has_alerted { Vec::new() } else { vec![said(Some(phone), false, known_us)] };
        for (_, fix) in late {
            known.push(*fix);
            if let Err(phone) = self.far_phone(swipe, &known) {
                says.push(said(phone, true, fix.received_us.unwrap_or(known_us)));
                break;
            }
        }
        Judged::Says(says)
    }

    /// Whether all that was known at a moment has been read of a partition, or of every one where it is not known.
    fn has_passed(&self, partition: Option<i32>, known_us: i64) -> bool {
        let passed = |clock_us: &i64| *clock_us > known_us.saturating_add(GATEWAYS_US);
        match partition.and_then(|partition| self.clocks.get(&partition)) {
            Some(clock_us) => passed(clock_us),
            None => !self.clocks.is_empty() && self.clocks.values().all(passed),
        }
    }

    /// Where the phone was if that is far from the swipe; else where it was, if that is known.
    fn far_phone(&self, swipe: usize, known: &[Sighting]) -> Result<Phone, Option<Phone>> {
        let fix = fix_before(known, self.at.value(swipe)).ok_or(None)?;
        let distance_m = geodesic_m(fix.place, self.place(swipe));
        let phone = Phone { place: fix.place, fix_us: fix.time_us, distance_m };
        if distance_m >= self.far_m { Ok(phone) } else { Err(Some(phone)) }
    }
}

#[cfg(test)]
mod tests;
