//! Reading the transactions rows: columns are found once for a batch, a record borrows from them.
//!
//! A record that makes no sense has no [`Record`] but the reason of its dead letter; a swipe whose merchant, reader
//! and STAN can be read always has one, since a phone waits for its answer.

use std::borrow::Cow;

use arrow::array::{
    Array, BinaryArray, Float64Array, Int32Array, Int64Array, PrimitiveArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::ArrowPrimitiveType;
use schemas::findings::Findings;
use schemas::ids::PaymentId;
use schemas::reasons::Reason;
use schemas::topics::{MALFORMED, kind, transactions};
use schemas::unit::UnitError;

use crate::error::internal;

/// Last microsecond of the year 9999: no later time can be printed.
pub(crate) const TIME_US_MAX: i64 = 253_402_300_799_999_999;
/// Longest identifier, label or version in a record, bytes: SHA-256 in hexadecimal is the longest text of the topic.
const TEXT_BYTES_MAX: usize = 64;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Swipe,
    Withdraw,
    Tick,
    /// Answered, signature, refund, cancel, chargeback, disposition: decode passes them on.
    Later(&'static str),
}

impl Kind {
    fn from_name(name: &str) -> Option<Self> {
        const LATER: [&str; 6] =
            [kind::ANSWERED, kind::SIGNATURE, kind::REFUND, kind::CANCEL, kind::CHARGEBACK, kind::DISPOSITION];
        match name {
            kind::SWIPE => Some(Self::Swipe),
            kind::WITHDRAW => Some(Self::Withdraw),
            kind::TICK => Some(Self::Tick),
            _ => LATER.into_iter().find(|later| *later == name).map(Self::Later),
        }
    }

    /// Name as rows carry it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Swipe => kind::SWIPE,
            Self::Withdraw => kind::WITHDRAW,
            Self::Tick => kind::TICK,
            Self::Later(name) => name,
        }
    }
}

/// Whose swipe it is and its number there, as the record says it, however long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) merchant_id: &'a str,
    pub(crate) reader_id: &'a str,
    pub(crate) stan: i32,
}

/// One row of the transactions topic. Texts are printable and within bounds; one that is not is missing here.
/// No `Debug`: the frame is sensitive.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    /// The gateway's time, microseconds UTC: 1970 to 9999.
    pub(crate) received_at_us: i64,
    /// Always there in a swipe and a withdraw.
    pub(crate) sender: Option<Sender<'a>>,
    /// Later records only: always there, except in a withdraw.
    pub(crate) payment_id: Option<PaymentId>,
    pub(crate) merchant_id: Option<&'a str>,
    pub(crate) reader_id: Option<&'a str>,
    pub(crate) courier_id: Option<&'a str>,
    pub(crate) app_version: Option<&'a str>,
    pub(crate) stan: Option<i32>,
    pub(crate) terminal_time_us: Option<i64>,
    pub(crate) amount_minor: Option<i64>,
    pub(crate) currency: Option<&'a str>,
    pub(crate) frame: Option<&'a [u8]>,
    pub(crate) signature_sha256: Option<&'a str>,
    pub(crate) label: Option<&'a str>,
    pub(crate) label_source: Option<&'a str>,
    /// Where the phone was: latitude and longitude, WGS84 degrees; missing where they cannot be.
    pub(crate) place: Option<(f64, f64)>,
    /// Columns that the log's reader could not read.
    pub(crate) malformed: Option<&'a str>,
    /// A format error where a text is out of bounds or a column malformed.
    pub(crate) findings: Findings,
}

/// Why a row makes no sense: reason and detail of its dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Senseless {
    pub(crate) reason: &'static str,
    pub(crate) detail: Cow<'static, str>,
}

/// Whether a text is 1 to [`TEXT_BYTES_MAX`] printable ASCII characters.
pub(crate) fn is_printable(text: &str) -> bool {
    (1..=TEXT_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// The columns of a batch that decode reads.
pub(crate) struct Columns<'a> {
    kind: &'a StringArray,
    received_at: &'a TimestampMicrosecondArray,
    merchant_id: &'a StringArray,
    reader_id: &'a StringArray,
    stan: &'a Int32Array,
    terminal_time: &'a TimestampMicrosecondArray,
    amount_minor: &'a Int64Array,
    currency: &'a StringArray,
    frame: &'a BinaryArray,
    courier_id: &'a StringArray,
    app_version: &'a StringArray,
    payment_id: &'a StringArray,
    signature_sha256: &'a StringArray,
    label: &'a StringArray,
    label_source: &'a StringArray,
    lat: &'a Float64Array,
    lon: &'a Float64Array,
    malformed: &'a StringArray,
}

fn column<'a, A: Array + 'static>(rows: &'a RecordBatch, name: &str) -> Result<&'a A, UnitError> {
    rows.column_by_name(name).and_then(|array| array.as_any().downcast_ref()).ok_or_else(|| {
        internal(format!(
            "column {name} of the transactions rows is missing or of another type; hand over rows in the topic's schema"
        ))
    })
}

fn text(array: &StringArray, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.value(row))
}

fn number<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    array.is_valid(row).then(|| array.value(row))
}

fn is_time(time_us: &i64) -> bool {
    (0..=TIME_US_MAX).contains(time_us)
}

impl<'a> Columns<'a> {
    /// Finds the columns of a batch.
    pub(crate) fn of(rows: &'a RecordBatch) -> Result<Self, UnitError> {
        Ok(Self {
            kind: column(rows, "kind")?,
            received_at: column(rows, "received_at")?,
            merchant_id: column(rows, "merchant_id")?,
            reader_id: column(rows, "reader_id")?,
            stan: column(rows, "stan")?,
            terminal_time: column(rows, "terminal_time")?,
            amount_minor: column(rows, "amount_minor")?,
            currency: column(rows, "currency")?,
            frame: column(rows, "frame")?,
            courier_id: column(rows, "courier_id")?,
            app_version: column(rows, "app_version")?,
            payment_id: column(rows, "payment_id")?,
            signature_sha256: column(rows, "signature_sha256")?,
            label: column(rows, "label")?,
            label_source: column(rows, "label_source")?,
            lat: column(rows, "lat")?,
            lon: column(rows, "lon")?,
            malformed: column(rows, MALFORMED)?,
        })
    }

    /// The record's time, if it is one that can be printed.
    pub(crate) fn received_at_us(&self, row: usize) -> Option<i64> {
        number(self.received_at, row).filter(is_time)
    }

    /// The record of a row, or why it makes no sense.
    pub(crate) fn record(&self, row: usize) -> Result<Record<'a>, Senseless> {
        let senseless = |reason, detail: &'static str| Senseless { reason, detail: detail.into() };
        let received_at_us = self.received_at_us(row).ok_or_else(|| {
            senseless("time_out_of_range", "column received_at is before 1970 or after the year 9999")
        })?;
        let kind = text(self.kind, row)
            .and_then(Kind::from_name)
            .ok_or_else(|| senseless("unknown_kind", "column kind names no kind that decode knows"))?;
        let malformed = text(self.malformed, row).filter(|names| !names.is_empty());
        let sender = self.sender(row);
        match (kind, malformed) {
            (Kind::Swipe, _) if sender.is_none() => return Err(self.without_sender(row, "swipe_without_sender")),
            (Kind::Swipe, _) | (_, None) => {}
            (_, Some(names)) => return Err(malformed_columns(names)),
        }
        if kind == Kind::Withdraw && sender.is_none() {
            return Err(self.without_sender(row, "withdraw_without_sender"));
        }
        let payment_id = matches!(kind, Kind::Later(_)).then(|| {
            text(self.payment_id, row)
                .and_then(PaymentId::from_hex)
                .ok_or_else(|| senseless("no_payment_id", "column payment_id is not 28 hexadecimal digits"))
        });
        let payment_id = payment_id.transpose()?;
        let mut record = Record {
            kind,
            received_at_us,
            sender,
            payment_id,
            stan: number(self.stan, row),
            terminal_time_us: number(self.terminal_time, row).filter(is_time),
            amount_minor: number(self.amount_minor, row),
            place: self.place(row).filter(|_| kind == Kind::Swipe),
            malformed,
            ..Record::of(kind, received_at_us)
        };
        let has_strange_time = self.terminal_time.is_valid(row) && record.terminal_time_us.is_none();
        record.findings.insert_if(malformed.is_some() || has_strange_time, Reason::FormatError);
        self.read_texts(row, &mut record);
        Ok(record)
    }

    /// What is no place on earth is no reason to refuse a payment.
    fn place(&self, row: usize) -> Option<(f64, f64)> {
        let (lat, lon) = (number(self.lat, row)?, number(self.lon, row)?);
        ((-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon)).then_some((lat, lon))
    }

    fn sender(&self, row: usize) -> Option<Sender<'a>> {
        Some(Sender {
            merchant_id: text(self.merchant_id, row)?,
            reader_id: text(self.reader_id, row)?,
            stan: number(self.stan, row)?,
        })
    }

    fn read_texts(&self, row: usize, record: &mut Record<'a>) {
        let findings = &mut record.findings;
        let mut bounded = |array: &'a StringArray| {
            let value = text(array, row)?;
            findings.insert_if(!is_printable(value), Reason::FormatError);
            is_printable(value).then_some(value)
        };
        record.merchant_id = bounded(self.merchant_id);
        record.reader_id = bounded(self.reader_id);
        record.courier_id = bounded(self.courier_id);
        record.currency = bounded(self.currency);
        if record.kind == Kind::Swipe {
            record.app_version = bounded(self.app_version);
            record.frame = self.frame.is_valid(row).then(|| self.frame.value(row));
        } else {
            record.signature_sha256 = bounded(self.signature_sha256);
            record.label = bounded(self.label);
            record.label_source = bounded(self.label_source);
        }
    }

    fn without_sender(&self, row: usize, reason: &'static str) -> Senseless {
        let missing = [
            ("merchant_id", self.merchant_id.is_null(row)),
            ("reader_id", self.reader_id.is_null(row)),
            ("stan", self.stan.is_null(row)),
        ];
        let names: Vec<&str> =
            missing.into_iter().filter(|(_, is_missing)| *is_missing).map(|(name, _)| name).collect();
        Senseless { reason, detail: format!("missing or unreadable: {}", names.join(", ")).into() }
    }
}

impl Record<'_> {
    /// A record that says nothing but its kind and time.
    fn of(kind: Kind, received_at_us: i64) -> Self {
        Self {
            kind,
            received_at_us,
            sender: None,
            payment_id: None,
            merchant_id: None,
            reader_id: None,
            courier_id: None,
            app_version: None,
            stan: None,
            terminal_time_us: None,
            amount_minor: None,
            currency: None,
            frame: None,
            signature_sha256: None,
            label: None,
            label_source: None,
            place: None,
            malformed: None,
            findings: Findings::default(),
        }
    }
}

/// Names only columns of the topic, whatever the text says.
fn malformed_columns(names: &str) -> Senseless {
    let schema = transactions();
    let is_malformed = |name: &&String| names.split(',').any(|malformed| malformed.trim() == name.as_str());
    let known: Vec<&str> =
        schema.fields().iter().map(|field| field.name()).filter(is_malformed).map(String::as_str).collect();
    Senseless { reason: "malformed", detail: format!("unreadable: {}", known.join(", ")).into() }
}
