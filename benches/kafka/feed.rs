//! Pings for the topic: phones that move along, each with a fix every five seconds.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use log::group::GroupError;
use log::kafka::{Feeder, RecordWriter, Settings};
use log::wire::Format;
use schemas::{placement, topics};

use crate::Failure;

/// The topic that is read.
pub const TOPIC: &str = "pings";
/// Its partitions.
pub const PARTITIONS: u16 = 4;
const DEVICES: u64 = 1_000;
const BATCH_ROWS: u64 = 8_192;
/// 2 March 2026, 08:00 UTC, and the time between two fixes of a phone.
const START_US: i64 = 1_772_438_400_000_000;
const STEP_US: i64 = 5_000_000;
const UPLOAD_US: i64 = 800_000;
/// Longest wait until the broker has everything.
const FLUSH: Duration = Duration::from_secs(120);

/// Puts so many pings on the topic; returns the bytes of their payloads.
pub fn feed(brokers: &str, format: Format, events: u64) -> Result<u64, Failure> {
    let settings = Settings { brokers: brokers.to_string(), ..Settings::default() };
    let feeder = Feeder::connect(&settings)?;
    let mut writer = RecordWriter::new(TOPIC, format)?;
    let mut bytes = 0;
    for start in (0..events).step_by(BATCH_ROWS as usize) {
        let rows = pings(start, (start + BATCH_ROWS).min(events))?;
        writer.write::<GroupError>(&rows, &mut |_, record| {
            bytes += record.payload.len() as u64;
            let partition = placement::of_key(record.key.unwrap_or_default(), PARTITIONS);
            feeder.send_record(TOPIC, partition, record)
        })?;
    }
    feeder.flush(FLUSH)?;
    Ok(bytes)
}

/// Fixes by number: those of all phones at one time come one after the other.
fn pings(start: u64, end: u64) -> Result<RecordBatch, Failure> {
    let numbers: Vec<u64> = (start..end).collect();
    let device = |number: u64| number % DEVICES;
    let step = |number: u64| number / DEVICES;
    let values = |value: &dyn Fn(u64) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(numbers.iter().map(|number| value(*number))))
    };
    let times = |later_us: i64| -> ArrayRef {
        let times = numbers.iter().map(|number| START_US + step(*number) as i64 * STEP_US + later_us);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let names = || StringArray::from_iter_values(numbers.iter().map(|number| format!("phone-{:04}", device(*number))));
    let schema = topics::pings();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "device_id" => Arc::new(names()) as ArrayRef,
        "time" => times(0),
        "received_at" => times(UPLOAD_US),
        // Degrees have six decimals, the rest one: as phones send them.
        "lat" => values(&|number| (53_300_000 + device(number) * 97 + step(number) * 31) as f64 / 1e6),
        "lon" => values(&|number| -((6_200_000 + device(number) * 71 + step(number) * 47) as f64) / 1e6),
        "accuracy_m" => values(&|number| (30 + number % 190) as f64 / 10.0),
        "speed_mps" => values(&|number| (number * 7 % 140) as f64 / 10.0),
        "bearing_deg" => values(&|number| (number * 13 % 3_600) as f64 / 10.0),
        _ => new_null_array(field.data_type(), numbers.len()),
    });
    Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
}
