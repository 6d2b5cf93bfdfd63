//! Alerts and groups as columns of batches.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use schemas::topics::timestamp;

use super::Subject;

/// An alert.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alert {
    /// Its identity.
    pub alert_id: String,
    /// Payment that alerts.
    pub payment_id: Option<String>,
    /// Card concerned, where known.
    pub token: Option<String>,
    /// Merchant.
    pub merchant_id: Option<String>,
    /// Card reader.
    pub reader_id: Option<String>,
    /// Reason code.
    pub reason: String,
    /// The group of its card.
    pub card_group: String,
    /// What the payment asks for, minor units of its currency.
    pub amount_minor: Option<i64>,
    /// That currency's code.
    pub currency: Option<String>,
    /// Time of the payment, microseconds UTC.
    pub at_us: i64,
    /// The log's own timestamp, microseconds UTC.
    pub ingest_us: i64,
    /// Topic, partition and offset that it came from.
    pub source: (String, i32, i64),
}

impl Alert {
    /// Reads rows of the view `alerts_current`, with `amount_minor` and `currency` of their payments.
    ///
    /// # Errors
    /// Fails where a column is missing or has another type.
    pub fn read(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError> {
        let [alerts, payments, tokens] =
            [texts(batch, "alert_id")?, texts(batch, "payment_id")?, texts(batch, "token")?];
        let [merchants, readers, reasons] =
            [texts(batch, "merchant_id")?, texts(batch, "reader_id")?, texts(batch, "reason")?];
        let [groups, currencies, topics] =
            [texts(batch, "group_id")?, texts(batch, "currency")?, texts(batch, "source_topic")?];
        let (at, ingested) = (times(batch, "event_time")?, times(batch, "ingest_time")?);
        let [amounts, partitions, offsets] =
            [numbers(batch, "amount_minor")?, numbers(batch, "source_partition")?, numbers(batch, "source_offset")?];
        let row = |row: usize| Self {
            alert_id: alerts.value(row).to_string(),
            payment_id: present(&payments, row),
            token: present(&tokens, row),
            merchant_id: present(&merchants, row),
            reader_id: present(&readers, row),
            reason: reasons.value(row).to_string(),
            card_group: groups.value(row).to_string(),
            amount_minor: amounts.is_valid(row).then(|| amounts.value(row)),
            currency: present(&currencies, row),
            at_us: at.value(row),
            ingest_us: ingested.value(row),
            source: (
                topics.value(row).to_string(),
                i32::try_from(partitions.value(row)).unwrap_or_default(),
                offsets.value(row),
            ),
        };
        Ok((0..batch.num_rows()).map(row).collect())
    }

    /// What it belongs to: its card's group where the card is known, and its reader.
    pub(super) fn subjects(&self) -> impl Iterator<Item = Subject> {
        let card_group = self.token.is_some().then(|| self.card_group.clone());
        subjects_of(card_group, self.merchant_id.clone(), self.reader_id.clone())
    }
}

/// The newest row about a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its identity.
    pub group_id: String,
    /// Number of the row.
    pub revision: i32,
    /// What its alerts have in common.
    pub subject: Subject,
    /// Alerts in it.
    pub alerts: i64,
    /// Times of the first and the newest of them, microseconds UTC.
    pub first_us: i64,
    /// See `first_us`.
    pub newest_us: i64,
    /// The newest alert.
    pub newest_alert_id: String,
    /// Sum of its payments, minor units.
    pub amount_minor: Option<i64>,
    /// What it says to people.
    pub sentence: String,
    /// Of how many alerts somebody was told.
    pub notified: i64,
    /// The log's own timestamp of the newest alert, microseconds UTC.
    pub ingest_us: i64,
    /// Topic, partition and offset of the newest alert.
    pub source: (String, i32, i64),
}

impl Written {
    /// Reads rows of the table `alert_groups`.
    ///
    /// # Errors
    /// Fails where a column is missing or has another type.
    pub fn read(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError> {
        let [groups, kinds, merchants] =
            [texts(batch, "group_id")?, texts(batch, "kind")?, texts(batch, "merchant_id")?];
        let [readers, newest, sentences] =
            [texts(batch, "reader_id")?, texts(batch, "newest_alert_id")?, texts(batch, "sentence")?];
        let topics = texts(batch, "source_topic")?;
        let [first, last, ingested] =
            [times(batch, "first_at")?, times(batch, "newest_at")?, times(batch, "ingest_time")?];
        let [revisions, partitions, offsets] =
            [numbers(batch, "revision")?, numbers(batch, "source_partition")?, numbers(batch, "source_offset")?];
        let [alerts, amounts, notified] =
            [numbers(batch, "alerts")?, numbers(batch, "amount_minor")?, numbers(batch, "notified")?];
        let small = |numbers: &Int64Array, row: usize| i32::try_from(numbers.value(row)).unwrap_or_default();
        let row = |row: usize| Self {
            group_id: groups.value(row).to_string(),
            revision: small(&revisions, row),
            subject: match kinds.value(row) {
                "card" => Subject::Card(groups.value(row).to_string()),
                _ => Subject::Reader(present(&merchants, row), readers.value(row).to_string()),
            },
            alerts: alerts.value(row),
            first_us: first.value(row),
            newest_us: last.value(row),
            newest_alert_id: newest.value(row).to_string(),
            amount_minor: amounts.is_valid(row).then(|| amounts.value(row)),
            sentence: sentences.value(row).to_string(),
            notified: notified.value(row),
            ingest_us: ingested.value(row),
            source: (topics.value(row).to_string(), small(&partitions, row), offsets.value(row)),
        };
        Ok((0..batch.num_rows()).map(row).collect())
    }
}

/// What each row belongs to, and its time.
pub(super) fn subjects(batches: &[RecordBatch]) -> Result<Vec<(Vec<Subject>, i64)>, ArrowError> {
    let mut found = Vec::new();
    for batch in batches {
        let [groups, merchants, readers] =
            [texts(batch, "group_id")?, texts(batch, "merchant_id")?, texts(batch, "reader_id")?];
        let (tokens, at) = (texts(batch, "token")?, times(batch, "event_time")?);
        found.extend((0..batch.num_rows()).map(|row| {
            let card_group = present(&groups, row).filter(|_| tokens.is_valid(row));
            let subjects = subjects_of(card_group, present(&merchants, row), present(&readers, row));
            (subjects.collect(), at.value(row))
        }));
    }
    Ok(found)
}

fn subjects_of(
    card_group: Option<String>,
    merchant_id: Option<String>,
    reader_id: Option<String>,
) -> impl Iterator<Item = Subject> {
    let reader = reader_id.map(|reader_id| Subject::Reader(merchant_id, reader_id));
    card_group.map(Subject::Card).into_iter().chain(reader)
}

fn named(batch: &RecordBatch, name: &str, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let found = batch.column_by_name(name);
    cast(found.ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")))?, data_type)
}

fn texts(batch: &RecordBatch, name: &str) -> Result<StringArray, ArrowError> {
    Ok(named(batch, name, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn times(batch: &RecordBatch, name: &str) -> Result<TimestampMicrosecondArray, ArrowError> {
    Ok(named(batch, name, &timestamp())?.as_primitive::<TimestampMicrosecondType>().clone())
}

fn numbers(batch: &RecordBatch, name: &str) -> Result<Int64Array, ArrowError> {
    Ok(named(batch, name, &DataType::Int64)?.as_primitive().clone())
}

fn present(texts: &StringArray, row: usize) -> Option<String> {
    texts.is_valid(row).then(|| texts.value(row).to_string())
}
