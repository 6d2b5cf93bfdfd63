//! Reading the payments rows: columns are found once for a batch, a record borrows from them.

use arrow::array::{
    Array, BooleanArray, Int32Array, Int64Array, ListArray, PrimitiveArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::ArrowPrimitiveType;
use schemas::findings::Findings;
use schemas::ids::{CardToken, PaymentId};
use schemas::judgement::Judgement;
use schemas::reasons::Reason;
use schemas::topics::kind;

use crate::error::Error;

/// Last microsecond of the year 9999: no later time can be printed.
const TIME_US_MAX: i64 = 253_402_300_799_999_999;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Swipe,
    Answered,
    Withdraw,
    Signature,
    Refund,
    Cancel,
    Chargeback,
    Disposition,
    Tick,
}

impl Kind {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            kind::SWIPE => Self::Swipe,
            kind::ANSWERED => Self::Answered,
            kind::WITHDRAW => Self::Withdraw,
            kind::SIGNATURE => Self::Signature,
            kind::REFUND => Self::Refund,
            kind::CANCEL => Self::Cancel,
            kind::CHARGEBACK => Self::Chargeback,
            kind::DISPOSITION => Self::Disposition,
            kind::TICK => Self::Tick,
            _ => return None,
        })
    }
}

/// One row of the payments topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) payment_id: Option<PaymentId>,
    pub(crate) repeat: bool,
    pub(crate) merchant_id: Option<&'a str>,
    pub(crate) reader_id: Option<&'a str>,
    pub(crate) courier_id: Option<&'a str>,
    pub(crate) stan: Option<i32>,
    pub(crate) ksn: Option<&'a str>,
    pub(crate) amount_minor: Option<i64>,
    pub(crate) currency: Option<&'a str>,
    pub(crate) token: Option<CardToken>,
    pub(crate) chip_capable: bool,
    /// Decode's findings; one that this program does not know counts as a format error.
    pub(crate) findings: Findings,
    pub(crate) signed: bool,
    pub(crate) label: Option<&'a str>,
    pub(crate) label_source: Option<&'a str>,
    pub(crate) decode_bundle: Option<&'a str>,
    /// Transactions partition whose clock counts.
    pub(crate) origin: u16,
    /// The pipeline's time of the record, microseconds UTC.
    pub(crate) received_at_us: i64,
    /// The log's own timestamp, microseconds UTC.
    pub(crate) ingest_time_us: i64,
    /// What the scorer says about it.
    pub(crate) judgement: Option<&'a Judgement>,
}

/// Why a row makes no sense: reason and detail of its dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Senseless {
    pub(crate) reason: &'static str,
    pub(crate) detail: &'static str,
}

/// The columns of a batch that authorize reads.
pub(crate) struct Columns<'a> {
    kind: &'a StringArray,
    payment_id: &'a StringArray,
    repeat: &'a BooleanArray,
    merchant_id: &'a StringArray,
    reader_id: &'a StringArray,
    courier_id: &'a StringArray,
    stan: &'a Int32Array,
    ksn: &'a StringArray,
    amount_minor: &'a Int64Array,
    currency: &'a StringArray,
    token: &'a StringArray,
    chip_capable: &'a BooleanArray,
    findings: &'a ListArray,
    finding_names: &'a StringArray,
    signature_sha256: &'a StringArray,
    label: &'a StringArray,
    label_source: &'a StringArray,
    decode_bundle: &'a StringArray,
    origin_partition: &'a Int32Array,
    event_time: &'a TimestampMicrosecondArray,
    ingest_time: &'a TimestampMicrosecondArray,
}

fn column<'a, A: Array + 'static>(rows: &'a RecordBatch, column: &'static str) -> Result<&'a A, Error> {
    rows.column_by_name(column).and_then(|array| array.as_any().downcast_ref()).ok_or(Error::Column { column })
}

fn text(array: &StringArray, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.value(row))
}

fn number<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    array.is_valid(row).then(|| array.value(row))
}

impl<'a> Columns<'a> {
    /// Finds the columns of a batch.
    pub(crate) fn of(rows: &'a RecordBatch) -> Result<Self, Error> {
        let findings: &ListArray = column(rows, "findings")?;
        Ok(Self {
            kind: column(rows, "kind")?,
            payment_id: column(rows, "payment_id")?,
            repeat: column(rows, "repeat")?,
            merchant_id: column(rows, "merchant_id")?,
            reader_id: column(rows, "reader_id")?,
            courier_id: column(rows, "courier_id")?,
            stan: column(rows, "stan")?,
            ksn: column(rows, "ksn")?,
            amount_minor: column(rows, "amount_minor")?,
            currency: column(rows, "currency")?,
            token: column(rows, "token")?,
            chip_capable: column(rows, "chip_capable")?,
            findings,
            finding_names: findings.values().as_any().downcast_ref().ok_or(Error::Column { column: "findings" })?,
            signature_sha256: column(rows, "signature_sha256")?,
            label: column(rows, "label")?,
            label_source: column(rows, "label_source")?,
            decode_bundle: column(rows, "decode_bundle")?,
            origin_partition: column(rows, "origin_partition")?,
            event_time: column(rows, "event_time")?,
            ingest_time: column(rows, "ingest_time")?,
        })
    }

    /// The record of a row, or why it makes no sense.
    pub(crate) fn record(&self, row: usize) -> Result<Record<'a>, Senseless> {
        let senseless = |reason, detail| Senseless { reason, detail };
        let received_at_us = self
            .event_time_us(row)
            .ok_or_else(|| senseless("time_out_of_range", "column event_time is before 1970 or after the year 9999"))?;
        let kind = text(self.kind, row)
            .and_then(Kind::from_name)
            .ok_or_else(|| senseless("unknown_kind", "column kind names no kind that authorize knows"))?;
        let origin = u16::try_from(self.origin_partition.value(row))
            .map_err(|_| senseless("unknown_origin", "column origin_partition is not between 0 and 65535"))?;
        let payment_id = text(self.payment_id, row)
            .map(|id| PaymentId::from_hex(id).ok_or(id))
            .transpose()
            .map_err(|_| senseless("unreadable_payment_id", "column payment_id is not 28 hexadecimal digits"))?;
        let token = text(self.token, row)
            .map(|token| CardToken::from_hex(token).ok_or(token))
            .transpose()
            .map_err(|_| senseless("unreadable_token", "column token is not 32 hexadecimal digits"))?;
        Ok(Record {
            kind,
            payment_id,
            repeat: self.repeat.value(row),
            merchant_id: text(self.merchant_id, row),
            reader_id: text(self.reader_id, row),
            courier_id: text(self.courier_id, row),
            stan: number(self.stan, row),
            ksn: text(self.ksn, row),
            amount_minor: number(self.amount_minor, row),
            currency: text(self.currency, row),
            token,
            chip_capable: self.chip_capable.is_valid(row) && self.chip_capable.value(row),
            findings: self.findings(row),
            signed: self.signature_sha256.is_valid(row),
            label: text(self.label, row),
            label_source: text(self.label_source, row),
            decode_bundle: text(self.decode_bundle, row),
            origin,
            received_at_us,
            ingest_time_us: self.ingest_time.value(row),
            judgement: None,
        })
    }

    /// The record's time, if it is one that can be printed.
    pub(crate) fn event_time_us(&self, row: usize) -> Option<i64> {
        number(self.event_time, row).filter(|time_us| (0..=TIME_US_MAX).contains(time_us))
    }

    /// The log's own timestamp.
    pub(crate) fn ingest_time_us(&self, row: usize) -> i64 {
        self.ingest_time.value(row)
    }

    fn findings(&self, row: usize) -> Findings {
        let bounds = self.findings.value_offsets();
        let mut findings = Findings::default();
        for place in bounds[row]..bounds[row + 1] {
            let name = self.finding_names.value(place as usize);
            findings.insert(Reason::from_name(name).unwrap_or(Reason::FormatError));
        }
        findings
    }
}
