//! Writing the outputs of records: payments, of which ticks go to the next unit only, and dead letters.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBuilder, Float64Builder, Int32Array, Int32Builder, Int64Builder, ListBuilder,
    RecordBatch, StringArray, StringBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use schemas::findings::Findings;
use schemas::ids::PaymentId;
use schemas::topics::{self, kind};
use schemas::unit::{Destination, Output, OutputSpec, UnitError};
use schemas::{Partition, tables};

use crate::bundle_rows::{COURIERS, MERCHANTS, READERS};
use crate::checks::{NamePresence, Seen};
use crate::columns::{Kind, Record, Senseless};
use crate::dukpt::Ksn;
use crate::error::{UNIT, internal};
use crate::windows::MerchantWindows;

const PAYMENTS: &str = "payments";
const TO_AUTHORIZE: &str = "to_authorize";
const DEAD_LETTERS: &str = "dead_letters";

/// What decode may write.
pub(crate) fn outputs() -> Vec<OutputSpec> {
    let to = |destination, name, schema| OutputSpec { name, schema, destination };
    vec![
        to(Destination::Table, PAYMENTS, topics::payments()),
        to(Destination::NextUnit, TO_AUTHORIZE, topics::payments()),
        to(Destination::Table, DEAD_LETTERS, topics::dead_letters()),
        to(Destination::Table, MERCHANTS, tables::merchant_rows()),
        to(Destination::Table, READERS, tables::reader_rows()),
        to(Destination::Table, COURIERS, tables::courier_rows()),
    ]
}

pub(crate) fn times() -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::new().with_timezone("UTC")
}

/// Rows of an output as one batch.
pub(crate) fn output(
    name: &'static str,
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
    offsets: Vec<i64>,
) -> Result<Output, UnitError> {
    let rows = RecordBatch::try_new(schema, columns)
        .map_err(|error| internal(format!("rows of output {name} do not fit their schema: {error}")))?;
    Ok(Output { name, offsets, rows })
}

/// Appends the bytes as hexadecimal digits without a heap allocation.
fn append_hex<const BYTES: usize, const DIGITS: usize>(builder: &mut StringBuilder, bytes: Option<[u8; BYTES]>) {
    const { assert!(DIGITS == 2 * BYTES, "two digits for each byte") };
    let mut digits = [0; DIGITS];
    let text = bytes.and_then(|bytes| {
        hex::encode_to_slice(bytes, &mut digits).ok()?;
        std::str::from_utf8(&digits).ok()
    });
    builder.append_option(text);
}

/// Appends a key serial number, in upper case as readers print it.
fn append_ksn(builder: &mut StringBuilder, ksn: Option<Ksn>) {
    let mut digits = [0; 2 * Ksn::LENGTH];
    let text = ksn.and_then(|ksn| {
        hex::encode_to_slice(ksn.bytes(), &mut digits).ok()?;
        digits.make_ascii_uppercase();
        std::str::from_utf8(&digits).ok()
    });
    builder.append_option(text);
}

struct PaymentColumns {
    kind: StringBuilder,
    payment_id: StringBuilder,
    repeat: BooleanBuilder,
    merchant_id: StringBuilder,
    reader_id: StringBuilder,
    courier_id: StringBuilder,
    stan: Int32Builder,
    ksn: StringBuilder,
    amount_minor: Int64Builder,
    currency: StringBuilder,
    mcc: StringBuilder,
    terminal_time: TimestampMicrosecondBuilder,
    token: StringBuilder,
    token_key_version: StringBuilder,
    last4: StringBuilder,
    scheme: StringBuilder,
    name_present: StringBuilder,
    chip_capable: BooleanBuilder,
    online_only: BooleanBuilder,
    expired: BooleanBuilder,
    findings: ListBuilder<StringBuilder>,
    signature_sha256: StringBuilder,
    label: StringBuilder,
    label_source: StringBuilder,
    decode_bundle: StringBuilder,
    key_set: StringBuilder,
    lat: Float64Builder,
    lon: Float64Builder,
    received_at: TimestampMicrosecondBuilder,
}

impl Default for PaymentColumns {
    fn default() -> Self {
        Self {
            kind: StringBuilder::new(),
            payment_id: StringBuilder::new(),
            repeat: BooleanBuilder::new(),
            merchant_id: StringBuilder::new(),
            reader_id: StringBuilder::new(),
            courier_id: StringBuilder::new(),
            stan: Int32Builder::new(),
            ksn: StringBuilder::new(),
            amount_minor: Int64Builder::new(),
            currency: StringBuilder::new(),
            mcc: StringBuilder::new(),
            terminal_time: times(),
            token: StringBuilder::new(),
            token_key_version: StringBuilder::new(),
            last4: StringBuilder::new(),
            scheme: StringBuilder::new(),
            name_present: StringBuilder::new(),
            chip_capable: BooleanBuilder::new(),
            online_only: BooleanBuilder::new(),
            expired: BooleanBuilder::new(),
            findings: topics::text_lists(),
            signature_sha256: StringBuilder::new(),
            label: StringBuilder::new(),
            label_source: StringBuilder::new(),
            decode_bundle: StringBuilder::new(),
            key_set: StringBuilder::new(),
            lat: Float64Builder::new(),
            lon: Float64Builder::new(),
            received_at: times(),
        }
    }
}

impl PaymentColumns {
    /// What the record itself says. A tick says when it was.
    fn push_record(&mut self, record: &Record<'_>, repeat: bool) {
        let said = (record.kind != Kind::Tick).then_some(record);
        self.kind.append_value(record.kind.name());
        self.repeat.append_value(repeat);
        self.merchant_id.append_option(said.and_then(|record| record.merchant_id));
        self.reader_id.append_option(said.and_then(|record| record.reader_id));
        self.stan.append_option(said.and_then(|record| record.stan));
        self.amount_minor.append_option(said.and_then(|record| record.amount_minor));
        self.currency.append_option(said.and_then(|record| record.currency));
        self.terminal_time.append_option(said.and_then(|record| record.terminal_time_us));
        self.signature_sha256.append_option(said.and_then(|record| record.signature_sha256));
        self.label.append_option(said.and_then(|record| record.label));
        self.label_source.append_option(said.and_then(|record| record.label_source));
        let (lat, lon) = said.and_then(|record| record.place).unzip();
        self.lat.append_option(lat);
        self.lon.append_option(lon);
        self.received_at.append_value(record.received_at_us);
    }

    /// What the checks of a swipe saw.
    fn push_seen(&mut self, seen: &Seen<'_>) {
        append_ksn(&mut self.ksn, seen.ksn);
        append_hex::<16, 32>(&mut self.token, seen.token.map(|token| token.0));
        self.token_key_version.append_option(seen.token_key_version);
        self.last4.append_option(seen.last4.as_ref().and_then(|last4| std::str::from_utf8(last4).ok()));
        self.scheme.append_option(seen.scheme);
        self.name_present.append_option(seen.name.map(NamePresence::name));
        self.chip_capable.append_option(seen.chip_capable);
        self.online_only.append_option(seen.online_only);
        self.expired.append_option(seen.expired);
        self.key_set.append_option(seen.key_set);
    }

    fn push_nothing_seen(&mut self) {
        for builder in [
            &mut self.ksn,
            &mut self.token,
            &mut self.token_key_version,
            &mut self.last4,
            &mut self.scheme,
            &mut self.name_present,
            &mut self.key_set,
        ] {
            builder.append_null();
        }
        for builder in [&mut self.chip_capable, &mut self.online_only, &mut self.expired] {
            builder.append_null();
        }
    }

    /// Identity, findings and what the bundle adds.
    fn push_found(&mut self, found: &Found<'_>) {
        append_hex::<14, 28>(&mut self.payment_id, found.payment_id.map(|id| id.0));
        self.courier_id.append_option(found.courier_id);
        self.mcc.append_option(found.mcc);
        self.decode_bundle.append_option(found.decode_bundle);
        for finding in found.findings.iter() {
            self.findings.values().append_value(finding.name());
        }
        self.findings.append(true);
    }

    /// In the order of [`topics::payments`].
    fn into_arrays(mut self, partition: Partition) -> Vec<ArrayRef> {
        let received_at: ArrayRef = Arc::new(self.received_at.finish());
        vec![
            Arc::new(self.kind.finish()),
            Arc::new(self.payment_id.finish()),
            Arc::new(self.repeat.finish()),
            Arc::new(self.merchant_id.finish()),
            Arc::new(self.reader_id.finish()),
            Arc::new(self.courier_id.finish()),
            Arc::new(self.stan.finish()),
            Arc::new(self.ksn.finish()),
            Arc::new(self.amount_minor.finish()),
            Arc::new(self.currency.finish()),
            Arc::new(self.mcc.finish()),
            Arc::new(self.terminal_time.finish()),
            Arc::new(self.token.finish()),
            Arc::new(self.token_key_version.finish()),
            Arc::new(self.last4.finish()),
            Arc::new(self.scheme.finish()),
            Arc::new(self.name_present.finish()),
            Arc::new(self.chip_capable.finish()),
            Arc::new(self.online_only.finish()),
            Arc::new(self.expired.finish()),
            Arc::new(self.findings.finish()),
            Arc::new(self.signature_sha256.finish()),
            Arc::new(self.label.finish()),
            Arc::new(self.label_source.finish()),
            Arc::new(self.decode_bundle.finish()),
            Arc::new(self.key_set.finish()),
            Arc::new(Int32Array::from_value(partition.0, received_at.len())),
            received_at.clone(),
            received_at.clone(),
            Arc::new(self.lat.finish()),
            Arc::new(self.lon.finish()),
            new_null_array(&topics::text_list(), received_at.len()),
        ]
    }
}

/// What a row says about any record beside the record's own columns.
#[derive(Default)]
pub(crate) struct Found<'a> {
    pub(crate) payment_id: Option<PaymentId>,
    pub(crate) courier_id: Option<&'a str>,
    pub(crate) mcc: Option<&'a str>,
    pub(crate) findings: Findings,
    pub(crate) decode_bundle: Option<&'a str>,
}

/// The rows of one batch.
#[derive(Default)]
pub(crate) struct Rows {
    offset: i64,
    payment_offsets: Vec<i64>,
    payments: PaymentColumns,
    letter_offsets: Vec<i64>,
    letter_reasons: Vec<&'static str>,
    letter_details: StringBuilder,
    letter_times: Vec<Option<i64>>,
}

impl Rows {
    /// The row that follows is caused by the record at this offset.
    pub(crate) fn at(&mut self, offset: i64) {
        self.offset = offset;
    }

    /// A swipe, or the same once more.
    pub(crate) fn swipe(&mut self, record: &Record<'_>, repeat: bool, seen: &Seen<'_>) {
        self.payment_offsets.push(self.offset);
        self.payments.push_record(record, repeat);
        self.payments.push_seen(seen);
        self.payments.push_found(&Found {
            payment_id: Some(seen.payment_id),
            courier_id: record.courier_id.or(seen.courier_id),
            mcc: seen.mcc,
            findings: seen.findings,
            decode_bundle: seen.decode_bundle,
        });
    }

    /// Any other record.
    pub(crate) fn other(&mut self, record: &Record<'_>, found: &Found<'_>) {
        self.payment_offsets.push(self.offset);
        self.payments.push_record(record, false);
        self.payments.push_nothing_seen();
        self.payments.push_found(found);
    }

    /// A record that makes no sense, with its time if that can be printed.
    pub(crate) fn dead_letter(&mut self, why: &Senseless, received_at_us: Option<i64>) {
        self.letter_offsets.push(self.offset);
        self.letter_reasons.push(why.reason);
        self.letter_details.append_value(&why.detail);
        self.letter_times.push(received_at_us);
    }

    /// Appends one output for each kind of row that there is.
    /// The windows' values go with the payments.
    pub(crate) fn finish(
        self,
        partition: Partition,
        windows: Option<&mut (dyn MerchantWindows + 'static)>,
        outputs: &mut Vec<Output>,
    ) -> Result<(), UnitError> {
        let Self {
            payment_offsets, payments, letter_offsets, letter_reasons, mut letter_details, letter_times, ..
        } = self;
        if !payment_offsets.is_empty() {
            let columns = payments.into_arrays(partition);
            let mut all = output(TO_AUTHORIZE, topics::payments(), columns, payment_offsets)?;
            if let Some(windows) = windows {
                let values = windows.values(&all.rows).map_err(internal)?;
                all.rows = with_column(&all.rows, "windows", values)?;
            }
            outputs.extend(without_ticks(&all)?);
            outputs.push(all);
        }
        if !letter_offsets.is_empty() {
            let mut received_at = times();
            letter_times.into_iter().for_each(|time_us| received_at.append_option(time_us));
            let received_at: ArrayRef = Arc::new(received_at.finish());
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(letter_reasons.iter().map(|_| UNIT))),
                Arc::new(StringArray::from_iter_values(letter_reasons)),
                Arc::new(letter_details.finish()),
                received_at.clone(),
                received_at,
            ];
            outputs.push(output(DEAD_LETTERS, topics::dead_letters(), columns, letter_offsets)?);
        }
        Ok(())
    }
}

/// The rows with another column of this name.
fn with_column(rows: &RecordBatch, name: &str, column: ArrayRef) -> Result<RecordBatch, UnitError> {
    let misfit = |error| internal(format!("column {name} does not fit its schema: {error}"));
    let place = rows.schema().index_of(name).map_err(misfit)?;
    let mut columns = rows.columns().to_vec();
    columns[place] = column;
    RecordBatch::try_new(rows.schema(), columns).map_err(misfit)
}

/// The table's rows; nothing where there are only ticks.
fn without_ticks(all: &Output) -> Result<Option<Output>, UnitError> {
    let kinds: &StringArray = all
        .rows
        .column(0)
        .as_any()
        .downcast_ref()
        .ok_or_else(|| internal("the first column of the payments rows is not their kind"))?;
    let is_payment: BooleanArray = kinds.iter().map(|name| Some(name != Some(kind::TICK))).collect();
    if is_payment.false_count() == 0 {
        return Ok(Some(Output { name: PAYMENTS, ..all.clone() }));
    }
    let kept = all.offsets.iter().zip(is_payment.values()).filter(|(_, kept)| *kept);
    let offsets: Vec<i64> = kept.map(|(offset, _)| *offset).collect();
    if offsets.is_empty() {
        return Ok(None);
    }
    let rows = filter_record_batch(&all.rows, &is_payment)
        .map_err(|error| internal(format!("rows of output {PAYMENTS} cannot be chosen: {error}")))?;
    Ok(Some(Output { name: PAYMENTS, offsets, rows }))
}
