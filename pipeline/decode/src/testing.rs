//! Rows and frames to feed the unit with, and rows read back as texts. Only published card numbers and keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use schemas::bundles::{Assignment, DecodeBundle, Merchant, NumberRange, Reader};
use schemas::ids::ContentHash;
use schemas::money::Currency;
use schemas::topics::{kind, transactions};
use schemas::unit::{BundleSource, Control, ControlChange, Input, Output, Unit, UnitError};
use schemas::{Offset, Partition};

use crate::DecodeUnit;
use crate::dukpt::{Ksn, TdesKey};
use crate::idtech::{FrameFormat, Stripe, build};
use crate::keys::{KeyRing, PUBLISHED_BASE_KEY, PUBLISHED_ID_TECH, PUBLISHED_X9_24};

/// Start of every test's time: 1 January 2027, 08:00 UTC.
pub(crate) const START_US: i64 = 1_798_790_400_000_000;
pub(crate) const SECOND_US: i64 = 1_000_000;
/// Every partition number that rows must carry.
const PARTITION: Partition = Partition(3);

/// A card as its stripe shows it.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) number: &'static str,
    /// Nothing where track 1 cannot be read.
    pub(crate) name: Option<&'static str>,
    /// YYMM and service code, either of which may be a separator.
    pub(crate) expiry: &'static str,
    pub(crate) service: &'static str,
}

pub(crate) const VISA: Card =
    Card { number: "4111111111111111", name: Some("DOE/JANE"), expiry: "2912", service: "101" };
pub(crate) const AMEX: Card =
    Card { number: "378282246310005", name: Some("ROE/RICHARD"), expiry: "3001", service: "201" };

/// A track with its printable LRC.
fn with_lrc(text: String, first: u8) -> String {
    let lrc = text.bytes().fold(0, |lrc, character| lrc ^ (character - first)) + first;
    format!("{text}{}", char::from(lrc))
}

impl Card {
    /// Tracks 1 and 2.
    pub(crate) fn tracks(&self) -> [Option<String>; 2] {
        let Self { number, expiry, service, .. } = self;
        let separated = |separator: &str| format!("{expiry}{service}1234").replace('=', separator);
        let first = self.name.map(|name| with_lrc(format!("%B{number}^{name}^{}?", separated("^")), b' '));
        [first, Some(with_lrc(format!(";{number}={}?", separated("=")), b'0'))]
    }
}

/// Key serial number of a device of the published key set.
pub(crate) fn ksn(device: u8, counter: u32) -> Ksn {
    Ksn::new([0x62, 0x99, 0x49, 0x01, 0, 0, device, 0, 0, 0]).with_counter(counter)
}

/// A frame of a device's reader.
pub(crate) fn frame_under(ksn: Ksn, card: &Card) -> Vec<u8> {
    let [track1, track2] = card.tracks();
    let stripe = Stripe { track1: track1.as_deref().map(str::as_bytes), track2: track2.as_deref().map(str::as_bytes) };
    build(FrameFormat::IdTechEnhanced, &TdesKey::new(PUBLISHED_BASE_KEY), ksn, stripe).unwrap()
}

/// A row of the transactions topic.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Row {
    pub(crate) kind: String,
    pub(crate) received_us: i64,
    pub(crate) merchant: Option<String>,
    pub(crate) reader: Option<String>,
    pub(crate) stan: Option<i32>,
    pub(crate) terminal_us: Option<i64>,
    pub(crate) amount: Option<i64>,
    pub(crate) currency: Option<String>,
    pub(crate) frame: Option<Vec<u8>>,
    pub(crate) courier: Option<String>,
    pub(crate) app_version: Option<String>,
    pub(crate) payment_id: Option<String>,
    pub(crate) signature: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) label_source: Option<String>,
    pub(crate) malformed: Option<String>,
}

impl Row {
    /// The same, received at another time, in seconds after the start.
    pub(crate) fn at(self, at_s: i64) -> Self {
        Self { received_us: START_US + at_s * SECOND_US, ..self }
    }
}

/// A swipe of 12.00 EUR at merchant M1's reader R1 (device 1).
pub(crate) fn swipe(at_s: i64, stan: i32, counter: u32) -> Row {
    swipe_of(at_s, stan, counter, &VISA)
}

pub(crate) fn swipe_of(at_s: i64, stan: i32, counter: u32, card: &Card) -> Row {
    Row {
        kind: kind::SWIPE.into(),
        merchant: Some("M1".into()),
        reader: Some("R1".into()),
        stan: Some(stan),
        terminal_us: Some(START_US + at_s * SECOND_US - 300),
        amount: Some(1_200),
        currency: Some("EUR".into()),
        frame: Some(frame_under(ksn(1, counter), card)),
        app_version: Some("2.4.0".into()),
        ..Row::default()
    }
    .at(at_s)
}

/// A record that says little more than its kind.
pub(crate) fn record(kind: &str, at_s: i64) -> Row {
    Row { kind: kind.into(), ..Row::default() }.at(at_s)
}

/// A withdraw of a swipe.
pub(crate) fn withdraw(at_s: i64, of: &Row) -> Row {
    let Row { merchant, reader, stan, .. } = of.clone();
    Row { merchant, reader, stan, ..record(kind::WITHDRAW, at_s) }
}

/// The rows as a batch of the transactions topic.
pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let texts =
        |text: fn(&Row) -> &Option<String>| Arc::new(rows.iter().map(text).collect::<StringArray>()) as ArrayRef;
    let times = |time: fn(&Row) -> Option<i64>| {
        Arc::new(rows.iter().map(time).collect::<TimestampMicrosecondArray>().with_timezone("UTC")) as ArrayRef
    };
    let schema = transactions();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "kind" => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.kind))),
        "received_at" => times(|row| Some(row.received_us)),
        "merchant_id" => texts(|row| &row.merchant),
        "reader_id" => texts(|row| &row.reader),
        "stan" => Arc::new(rows.iter().map(|row| row.stan).collect::<Int32Array>()),
        "terminal_time" => times(|row| row.terminal_us),
        "amount_minor" => Arc::new(rows.iter().map(|row| row.amount).collect::<Int64Array>()),
        "currency" => texts(|row| &row.currency),
        "frame" => Arc::new(rows.iter().map(|row| row.frame.as_deref()).collect::<BinaryArray>()),
        "courier_id" => texts(|row| &row.courier),
        "app_version" => texts(|row| &row.app_version),
        "payment_id" => texts(|row| &row.payment_id),
        "signature_sha256" => texts(|row| &row.signature),
        "label" => texts(|row| &row.label),
        "label_source" => texts(|row| &row.label_source),
        "malformed" => texts(|row| &row.malformed),
        _ => new_null_array(field.data_type(), rows.len()),
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

pub(crate) fn merchant(id: &str, zone: &str) -> Merchant {
    Merchant {
        id: id.into(),
        name: format!("Shop {id}"),
        trade: "cafe".into(),
        mcc: "5814".into(),
        zone: zone.into(),
        currency: Currency::EUR,
        active: true,
        payment_minor_max: 100_000,
        day_minor_max: 1_000_000,
        day_count_max: 1_000,
    }
}

pub(crate) fn reader(id: &str, merchant_id: &str) -> Reader {
    let (id, merchant_id, key_set) = (id.into(), merchant_id.into(), PUBLISHED_ID_TECH.into());
    Reader { id, merchant_id, key_set, active: true, counter_min: 0 }
}

pub(crate) fn assignment(courier: &str, merchant: &str, reader: &str, from_us: i64, to_us: Option<i64>) -> Assignment {
    Assignment {
        courier_id: courier.into(),
        merchant_id: merchant.into(),
        reader_id: Some(reader.into()),
        device_id: Some(format!("phone of {courier}")),
        vehicle: "bicycle".into(),
        valid_from_us: from_us,
        valid_to_us: to_us,
    }
}

/// Two merchants with a reader each; the second one's has a carrier.
pub(crate) fn bundle() -> DecodeBundle {
    let range =
        |digits: &str, scheme: &str| NumberRange { from: digits.into(), to: digits.into(), scheme: scheme.into() };
    DecodeBundle {
        merchants: vec![merchant("M1", "Europe/Dublin"), merchant("M2", "Asia/Tokyo")],
        readers: vec![reader("R1", "M1"), reader("R2", "M2")],
        assignments: vec![assignment("C2", "M2", "R2", 0, None)],
        placeholder_names: vec!["VALUED CUSTOMER".into()],
        decline_unknown_name: true,
        number_ranges: vec![range("4", "Visa"), range("37", "American Express")],
    }
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

pub(crate) fn to_json(bundle: &DecodeBundle) -> Vec<u8> {
    serde_json::to_vec(bundle).unwrap()
}

/// A ring with two token keys and a routing key beside the published base keys.
pub(crate) fn ring() -> KeyRing {
    let ring = KeyRing::published().with_token_key("1", [1; 32]).unwrap();
    ring.with_token_key("2", [2; 32]).unwrap().with_routing_key("1", [7; 32])
}

fn control(unit: &mut DecodeUnit, offset: i64, change: ControlChange) -> Result<Vec<Output>, UnitError> {
    let mut outputs = Vec::new();
    unit.control(&Control { offset: Offset(offset), received_at_us: START_US, change }, &mut outputs)?;
    Ok(outputs)
}

/// Brings a bundle into force; gives the rows that it fills the tables with.
pub(crate) fn publish(unit: &mut DecodeUnit, offset: i64, content: &[u8]) -> Result<Vec<Line>, UnitError> {
    let change = ControlChange::Bundle { hash: ContentHash::of(content), content: content.to_vec() };
    control(unit, offset, change).map(|outputs| lines_of(unit, &outputs))
}

/// Brings a key of [`ring`] into force.
pub(crate) fn enforce(unit: &mut DecodeUnit, kind: &str, id: &str) -> Result<(), UnitError> {
    let check_value = ring().check_value(kind, id).unwrap_or_default();
    let change = ControlChange::Key { kind: kind.into(), id: id.into(), check_value };
    control(unit, 0, change).map(drop)
}

/// A unit with every key but the second token key in force, and no bundle.
pub(crate) fn unit_with_keys() -> DecodeUnit {
    let mut unit = DecodeUnit::new(ring());
    for (kind, id) in
        [("key_set", PUBLISHED_ID_TECH), ("key_set", PUBLISHED_X9_24), ("token_key", "1"), ("routing_key", "1")]
    {
        enforce(&mut unit, kind, id).unwrap();
    }
    unit
}

/// A unit with keys and the changed [`bundle`] in force.
pub(crate) fn unit_with(change: impl FnOnce(&mut DecodeBundle)) -> DecodeUnit {
    let (mut unit, mut changed) = (unit_with_keys(), bundle());
    change(&mut changed);
    publish(&mut unit, 0, &to_json(&changed)).unwrap();
    unit
}

/// A written row: output, causing offset and columns as texts (empty where null).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) output: &'static str,
    pub(crate) offset: i64,
    pub(crate) columns: BTreeMap<String, String>,
}

impl Line {
    pub(crate) fn get(&self, column: &str) -> &str {
        &self.columns[column]
    }

    pub(crate) fn findings(&self) -> Vec<&str> {
        self.get("findings").trim_matches(['[', ']']).split(", ").filter(|finding| !finding.is_empty()).collect()
    }

    /// The columns without those that say when the record was received.
    pub(crate) fn timeless(&self) -> BTreeMap<String, String> {
        let mut columns = self.columns.clone();
        columns.retain(|name, _| !["repeat", "event_time", "ingest_time"].contains(&name.as_str()));
        columns
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

fn lines_of(unit: &DecodeUnit, outputs: &[Output]) -> Vec<Line> {
    let mut lines = Vec::new();
    for output in outputs {
        let spec = unit.outputs().into_iter().find(|spec| spec.name == output.name).unwrap();
        let schema = output.rows.schema();
        assert_eq!(schema, spec.schema);
        assert!(output.offsets.is_sorted() && output.offsets.len() == output.rows.num_rows());
        for (row, offset) in output.offsets.iter().enumerate() {
            let columns = schema.fields().iter().zip(output.rows.columns());
            let columns = columns.map(|(field, column)| (field.name().clone(), text(column, row))).collect();
            lines.push(Line { output: output.name, offset: *offset, columns });
        }
    }
    lines
}

/// What the unit writes for rows at offsets from `first`, in one batch.
pub(crate) fn feed(unit: &mut DecodeUnit, first: i64, rows: &[Row]) -> Vec<Line> {
    let offsets = (first..).take(rows.len()).collect();
    let input = Input { topic: "transactions", partition: PARTITION, offsets, rows: batch(rows) };
    let mut outputs: Vec<Output> = Vec::new();
    unit.process(&input, &mut outputs).unwrap();
    lines_of(unit, &outputs)
}

/// The rows of one output.
pub(crate) fn of<'a>(lines: &'a [Line], output: &str) -> Vec<&'a Line> {
    lines.iter().filter(|line| line.output == output).collect()
}

/// The payments row of one record.
pub(crate) fn payment(unit: &mut DecodeUnit, row: Row) -> Line {
    let lines = feed(unit, 0, &[row]);
    let payments = of(&lines, "payments");
    assert_eq!(payments.len(), 1, "{lines:?}");
    payments[0].clone()
}
