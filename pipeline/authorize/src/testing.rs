//! Rows to feed the unit with and rows read back as texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use schemas::bundles::{AuthorizeBundle, CardAccount, ListedCard, Policy};
use schemas::ids::{CardToken, ContentHash, PaymentId, Route};
use schemas::money::Currency;
use schemas::topics::{kind, payments};
use schemas::unit::{BundleSource, Control, ControlChange, Input, Output, Unit, UnitError};
use schemas::{Offset, Partition};

use crate::AuthorizeUnit;

/// Start of every test's time: 1 January 2027, 08:00 UTC, in seconds.
pub(crate) const START_S: i64 = 1_798_790_400;

/// A row of the payments topic. `at_ms` counts from [`START_S`].
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) kind: &'static str,
    pub(crate) payment_id: Option<String>,
    pub(crate) repeat: bool,
    pub(crate) merchant: &'static str,
    pub(crate) reader: String,
    pub(crate) stan: i32,
    pub(crate) ksn: Option<String>,
    pub(crate) amount_minor: Option<i64>,
    pub(crate) currency: &'static str,
    pub(crate) card: Option<u8>,
    pub(crate) chip: bool,
    pub(crate) findings: Vec<&'static str>,
    pub(crate) signed: bool,
    pub(crate) label: Option<&'static str>,
    pub(crate) origin: i32,
    pub(crate) at_ms: i64,
}

pub(crate) fn token(card: u8) -> CardToken {
    CardToken([card; 16])
}

/// A swipe of a card; reader and KSN follow from the STAN, so that each STAN is another payment.
pub(crate) fn swipe(at_s: i64, card: u8, amount_minor: i64, stan: i32) -> Row {
    let (reader, ksn) = ("R1".to_string(), format!("{stan:020x}"));
    let id = PaymentId::derive(Route(u16::from(card)), &reader, ksn.as_bytes(), stan);
    Row {
        kind: kind::SWIPE,
        payment_id: Some(id.to_hex()),
        repeat: false,
        merchant: "M017",
        reader,
        stan,
        ksn: Some(ksn),
        amount_minor: Some(amount_minor),
        currency: "EUR",
        card: Some(card),
        chip: false,
        findings: vec![],
        signed: false,
        label: None,
        origin: 0,
        at_ms: at_s * 1_000,
    }
}

/// A later record about a swipe, as decode passes it on.
pub(crate) fn later(kind: &'static str, at_s: i64, about: &Row) -> Row {
    let signed = kind == kind::SIGNATURE;
    let base = Row { kind, card: None, ksn: None, amount_minor: None, findings: vec![], ..about.clone() };
    Row { signed, repeat: false, chip: false, at_ms: at_s * 1_000, ..base }
}

pub(crate) fn tick(at_s: i64, origin: i32) -> Row {
    Row { payment_id: None, origin, ..later(kind::TICK, at_s, &swipe(0, 0, 0, 0)) }
}

fn times(rows: &[Row]) -> ArrayRef {
    let times = rows.iter().map(|row| START_S * 1_000_000 + row.at_ms * 1_000);
    Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
}

fn findings(rows: &[Row]) -> ArrayRef {
    let element = Field::new("element", DataType::Utf8, false);
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(element);
    for row in rows {
        row.findings.iter().for_each(|finding| builder.values().append_value(finding));
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// The rows as a batch of the payments topic.
pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let texts = |text: fn(&Row) -> Option<String>| Arc::new(rows.iter().map(text).collect::<StringArray>()) as ArrayRef;
    let schema = payments();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "kind" => texts(|row| Some(row.kind.into())),
        "payment_id" => texts(|row| row.payment_id.clone()),
        "repeat" => Arc::new(rows.iter().map(|row| Some(row.repeat)).collect::<BooleanArray>()),
        "merchant_id" => texts(|row| Some(row.merchant.into())),
        "reader_id" => texts(|row| Some(row.reader.clone())),
        "stan" => Arc::new(rows.iter().map(|row| Some(row.stan)).collect::<Int32Array>()),
        "ksn" => texts(|row| row.ksn.clone()),
        "amount_minor" => Arc::new(rows.iter().map(|row| row.amount_minor).collect::<Int64Array>()),
        "currency" => texts(|row| Some(row.currency.into())),
        "token" => texts(|row| row.card.map(|card| token(card).to_hex())),
        "chip_capable" => Arc::new(rows.iter().map(|row| Some(row.chip)).collect::<BooleanArray>()),
        "findings" => findings(rows),
        "signature_sha256" => texts(|row| row.signed.then(|| "5a".repeat(32))),
        "label" => texts(|row| row.label.map(Into::into)),
        "label_source" => texts(|row| row.label.map(|_| "analyst-1".into())),
        "origin_partition" => Arc::new(rows.iter().map(|row| Some(row.origin)).collect::<Int32Array>()),
        "event_time" | "ingest_time" => times(rows),
        _ => new_null_array(field.data_type(), rows.len()),
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

/// An account with this money.
pub(crate) fn account(card: u8, opening_minor: i64) -> CardAccount {
    let (token, issuer) = (token(card).to_hex(), "Demo Bank".to_string());
    CardAccount { token, issuer, currency: Currency::EUR, opening_minor, open: true }
}

/// A bundle's bytes.
pub(crate) fn bundle(policy: Policy, cards: Vec<CardAccount>, lists: Vec<ListedCard>) -> Vec<u8> {
    serde_json::to_vec(&AuthorizeBundle { policy, cards, lists }).unwrap()
}

/// Brings a bundle into force.
pub(crate) fn control(unit: &mut AuthorizeUnit, content: &[u8]) -> Result<(), UnitError> {
    let change = ControlChange::Bundle { hash: ContentHash::of(content), content: content.to_vec() };
    unit.control(&Control { offset: Offset(0), received_at_us: START_S * 1_000_000, change }, &mut Vec::new())
}

/// A unit in which cards 1 to 3 have 1000.00 EUR each, under this policy.
pub(crate) fn unit_with(policy: Policy) -> AuthorizeUnit {
    let mut unit = AuthorizeUnit::new();
    control(&mut unit, &bundle(policy, (1..=3).map(|card| account(card, 100_000)).collect(), vec![])).unwrap();
    unit
}

/// Bundles by hash, as the runner finds them.
#[derive(Debug, Default)]
pub(crate) struct Shelf(pub(crate) Vec<Vec<u8>>);

impl BundleSource for Shelf {
    fn bundle(&self, hash: ContentHash) -> Result<Vec<u8>, String> {
        let found = self.0.iter().find(|content| ContentHash::of(content) == hash);
        found.cloned().ok_or_else(|| "not on the shelf".into())
    }
}

/// A written row: output, causing offset and columns as texts (empty where null).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) output: &'static str,
    pub(crate) offset: i64,
    columns: BTreeMap<String, String>,
}

impl Line {
    pub(crate) fn get(&self, column: &str) -> &str {
        &self.columns[column]
    }

    pub(crate) fn number(&self, column: &str) -> i64 {
        self.get(column).parse().unwrap()
    }

    /// A time column, in milliseconds from [`START_S`].
    pub(crate) fn time_ms(&self, column: &str) -> Option<i64> {
        let text = Some(self.get(column)).filter(|text| !text.is_empty())?;
        Some(text.parse::<jiff::Timestamp>().unwrap().as_millisecond() - START_S * 1_000)
    }
}

/// A cell as text. Arrow prints times in a named zone only with its time zone database, hence the second case.
fn text(column: &ArrayRef, row: usize) -> String {
    match column.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) if times.is_valid(row) => jiff::Timestamp::from_microsecond(times.value(row)).unwrap().to_string(),
        Some(_) => String::new(),
        None => ArrayFormatter::try_new(column, &FormatOptions::default()).unwrap().value(row).to_string(),
    }
}

/// What the unit writes for rows at offsets from `first`, in one batch.
pub(crate) fn feed(unit: &mut AuthorizeUnit, first: i64, rows: &[Row]) -> Vec<Line> {
    let offsets = (first..).take(rows.len()).collect();
    let input = Input { topic: "payments", partition: Partition(0), offsets, rows: batch(rows) };
    let mut outputs: Vec<Output> = Vec::new();
    unit.process(&input, &mut outputs).unwrap();
    let mut lines = Vec::new();
    for output in &outputs {
        let spec = unit.outputs().into_iter().find(|spec| spec.name == output.name).unwrap();
        let schema = output.rows.schema();
        assert_eq!(schema, spec.schema);
        assert!(output.offsets.is_sorted());
        for (row, offset) in output.offsets.iter().enumerate() {
            let columns = schema.fields().iter().zip(output.rows.columns());
            let columns = columns.map(|(field, column)| (field.name().clone(), text(column, row))).collect();
            lines.push(Line { output: output.name, offset: *offset, columns });
        }
    }
    lines
}

/// The rows of one output.
pub(crate) fn of<'a>(lines: &'a [Line], output: &str) -> Vec<&'a Line> {
    lines.iter().filter(|line| line.output == output).collect()
}

/// The decisions as `kind state code reason held captured`, one a row.
pub(crate) fn short(lines: &[Line]) -> Vec<String> {
    let columns = ["kind", "state", "response_code", "reason", "held_minor", "captured_minor"];
    of(lines, "decisions").iter().map(|line| columns.map(|column| line.get(column)).join(" ")).collect()
}
