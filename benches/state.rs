//! What authorize's state costs as it grows: `cargo bench -p tillstream --profile release --bench state --
//! --payments 10000000`.
//!
//! Payments of 180 days, the time for which they are kept, go through the real unit: nine in ten are approved and most
//! of those signed, so that the last day stands there in full and everything before in its short form. Then
//! snapshots are written as the runner does it and read again as at a start. The baseline of the same run is a plain hash
//! map from the same payment ids to 64 bytes each, serialized and read back by the same library: what a payment could
//! cost at least without indexes, amounts in order and checks. Nothing is asserted about time.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Field};
use authorize::AuthorizeUnit;
use frontier::{Found, Ledger, Plan, SnapshotHead, plan};
use runner::{RunnerError, Snapshot, SnapshotLabel, SnapshotStore, Snapshots, find_start};
use schemas::bundles::{AuthorizeBundle, CardAccount, Policy};
use schemas::ids::{CardToken, ContentHash, PaymentId, Route};
use schemas::money::Currency;
use schemas::reasons::Reason;
use schemas::topics::{kind, payments};
use schemas::unit::{BundleSource, Control, ControlChange, Input, Unit};
use schemas::{Offset, Partition};

/// Payments where none are given: enough to see that everything works.
const PAYMENTS: u64 = 100_000;
/// A card pays every other day, roughly.
const PAYMENTS_PER_CARD: u64 = 100;
const PAYMENTS_PER_MERCHANT: u64 = 2_000;
/// Swipes of a batch; with their signatures it has up to twice as many rows.
const BATCH_SWIPES: u64 = 4_096;
/// A signature comes after so many other swipes.
const SIGNED_AFTER: u64 = 8;
/// 1 January 2027, 00:00 UTC, and the time over which the payments are spread.
const START_US: i64 = 1_798_761_600_000_000;
const SPAN_US: i64 = 180 * 24 * 3_600 * 1_000_000;
const ISSUER_KEY: [u8; 32] = [3; 32];
/// The one output of the unit's frontier.
const GROUP: &str = "group";

type Failure = Box<dyn std::error::Error>;
/// The baseline's payments. Its value has two halves, since serde knows arrays up to 32.
type Plain = HashMap<PaymentId, [[u8; 32]; 2]>;

fn main() -> Result<(), Failure> {
    let count = argument("--payments")?.unwrap_or(PAYMENTS);
    let town = Town { count };
    println!("{count} payments of 180 days by {} cards, one partition\n", town.cards());
    // First, so that its memory goes back to the system as a whole before the unit's is counted.
    let plain = measure_plain(&town)?;
    let state = measure_state(&town)?;
    print_table(count, &plain, &state);
    Ok(())
}

/// The number after this flag.
fn argument(flag: &str) -> Result<Option<u64>, Failure> {
    let mut arguments = std::env::args().skip_while(|argument| argument != flag).skip(1);
    Ok(arguments.next().map(|number| number.parse()).transpose()?)
}

/// What is measured of both.
struct Measured {
    /// Growth of resident memory while it was filled, bytes.
    memory: u64,
    /// Size as it is stored, bytes.
    stored: u64,
    /// Time to make the stored bytes from it.
    save: Duration,
    /// Time to make it from the stored bytes.
    restore: Duration,
}

fn print_table(count: u64, plain: &Measured, state: &Measured) {
    let each = |bytes: u64| bytes as f64 / count as f64;
    println!("\n| | baseline | authorize | ratio |\n|---|---:|---:|---:|");
    let line = |name: &str, [plain, state]: [f64; 2]| {
        println!("| {name} | {plain:.2} | {state:.2} | {:.2} |", state / plain);
    };
    line("memory, bytes a payment", [plain, state].map(|measured| each(measured.memory)));
    line("stored, bytes a payment", [plain, state].map(|measured| each(measured.stored)));
    line("save, s", [plain, state].map(|measured| measured.save.as_secs_f64()));
    line("restore, s", [plain, state].map(|measured| measured.restore.as_secs_f64()));
}

fn measure_plain(town: &Town) -> Result<Measured, Failure> {
    let before = resident_bytes()?;
    let mut map = Plain::new();
    for number in 0..town.count {
        map.insert(town.payment_id(number), [town.token(number % town.cards()).0.repeat(2).as_slice().try_into()?; 2]);
    }
    let memory = resident_bytes()?.saturating_sub(before);
    let (save, bytes) = timed(|| postcard::to_stdvec(&map));
    let bytes = bytes?;
    drop(map);
    let (restore, map) = timed(|| postcard::from_bytes::<Plain>(&bytes));
    if map?.len() as u64 != town.count {
        return Err("the baseline lost payments".into());
    }
    Ok(Measured { memory, stored: bytes.len() as u64, save, restore })
}

fn measure_state(town: &Town) -> Result<Measured, Failure> {
    let bundle = Bundle(serde_json::to_vec(&town.bundle())?);
    let hash = ContentHash::of(&bundle.0);
    let before = resident_bytes()?;
    let mut unit = AuthorizeUnit::new();
    let change = ControlChange::Bundle { hash, content: bundle.0.clone() };
    unit.control(&Control { offset: Offset(0), received_at_us: START_US, change }, &mut Vec::new())?;
    let position = fill(town, &mut unit)?;
    let memory = resident_bytes()?.saturating_sub(before);
    let folder = tempfile::tempdir()?;
    let store = SnapshotStore::open(folder.path(), "bench")?;
    // Two snapshots are kept, and a start reads the labels of both.
    write(&store, snapshot_of(&unit, Offset(position.0 - 1), unit.save()?))?;
    let (save, state) = timed(|| unit.save());
    let state = state?;
    let stored = state.len() as u64;
    let snapshot = snapshot_of(&unit, position, state);
    let label = snapshot.label.clone();
    println!("pause between two batches (save): {}", seconds(save));
    let (write, written) = timed(|| write(&store, snapshot));
    println!("snapshot: {} MB written and synced in {}, beside the next batches", written? / 1_000_000, seconds(write));
    drop(unit);
    let restore = restart(folder.path(), &bundle, &label, stored)?;
    Ok(Measured { memory, stored, save, restore })
}

/// Feeds every payment; returns the next offset.
fn fill(town: &Town, unit: &mut AuthorizeUnit) -> Result<Offset, Failure> {
    let (mut offset, mut start, mut time) = (1, 0, Duration::ZERO);
    let (mut approved, mut captured) = (0_u64, 0_u64);
    while start < town.count {
        let end = (start + BATCH_SWIPES).min(town.count);
        let events = town.events(start, end);
        let rows = town.rows(&events)?;
        let offsets: Vec<i64> = (offset..).take(events.len()).collect();
        offset += events.len() as i64;
        let input = Input { topic: "payments", partition: Partition(0), offsets, rows };
        let mut outputs = Vec::new();
        let (took, done) = timed(|| unit.process(&input, &mut outputs));
        done?;
        time += took;
        let decisions = outputs.iter().find(|output| output.name == "decisions").ok_or("nothing was decided")?;
        let states: &StringArray = decisions.rows["state"].as_any().downcast_ref().ok_or("a state is no text")?;
        approved += states.iter().flatten().filter(|state| *state == "authorized").count() as u64;
        captured += states.iter().flatten().filter(|state| *state == "captured").count() as u64;
        start = end;
    }
    if approved < town.count * 8 / 10 || captured < town.count * 7 / 10 {
        return Err(format!("only {approved} payments were approved and {captured} signed").into());
    }
    println!(
        "filled: {approved} approved, {captured} signed, {:.0} records a second",
        offset as f64 / time.as_secs_f64()
    );
    Ok(Offset(offset))
}

fn snapshot_of(unit: &AuthorizeUnit, at: Offset, state: Vec<u8>) -> Snapshot {
    let label = SnapshotLabel {
        at,
        outputs: vec![GROUP.to_string()],
        partitions: 1,
        logic: BTreeMap::from([(unit.name().to_string(), unit.logic_version())]),
        identity: log::LogIdentity::default(),
        output_partitions: BTreeMap::new(),
    };
    Snapshot { label, states: vec![(unit.name().to_string(), state)] }
}

/// A start with these snapshots where the outputs have reached the S of this label.
fn start_at(label: &SnapshotLabel, snapshots: &[SnapshotHead]) -> Result<Plan, RunnerError> {
    Ok(plan(&Found {
        snapshots,
        outputs: &frontiers_at(label),
        log_start: Offset(0),
        log_partitions: label.partitions,
        output_partitions: &label.output_partitions,
        logic: &label.logic,
    })?)
}

fn frontiers_at(label: &SnapshotLabel) -> BTreeMap<String, Offset> {
    BTreeMap::from([(GROUP.to_string(), label.at)])
}

/// Writes as the runner does, by a permit for this S.
fn write(store: &SnapshotStore, snapshot: Snapshot) -> Result<u64, Failure> {
    let label = &snapshot.label;
    let ledger = Ledger::new(&start_at(label, &[])?, frontiers_at(label));
    Ok(store.write(ledger.permit(label.at)?, snapshot)?.wait()?)
}

/// A start from the newest snapshot; what was restored must be what was saved.
fn restart(folder: &Path, bundle: &Bundle, label: &SnapshotLabel, stored: u64) -> Result<Duration, Failure> {
    let store = SnapshotStore::open(folder, "bench")?;
    let (read, found) = timed(|| find_start(&store, &mut |heads| start_at(label, heads)));
    let snapshot = found?.1.ok_or("the snapshot is not there")?;
    let mut unit = AuthorizeUnit::new();
    let state = snapshot.state(unit.name()).ok_or("the snapshot has no state")?;
    let (restore, restored) = timed(|| unit.restore(state, bundle));
    restored?;
    if unit.save()? != *state || state.len() as u64 != stored {
        return Err("the state came back as another one".into());
    }
    black_box(unit);
    println!(
        "restart: read and checked in {}, restored in {}, {} in all",
        seconds(read),
        seconds(restore),
        seconds(read + restore)
    );
    Ok(restore)
}

/// How long it takes, and what it gives.
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed(), done)
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Memory of this process that lies in RAM (`VmRSS` in proc(5), in KiB there).
fn resident_bytes() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("the system names no resident memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
}

/// The one bundle in force.
struct Bundle(Vec<u8>);

impl BundleSource for Bundle {
    fn bundle(&self, _hash: ContentHash) -> Result<Vec<u8>, String> {
        Ok(self.0.clone())
    }
}

/// A record of the log: a swipe, or the signature of one.
struct Event {
    number: u64,
    is_signature: bool,
}

/// Payments by number; everything follows from it.
struct Town {
    count: u64,
}

impl Town {
    fn cards(&self) -> u64 {
        (self.count / PAYMENTS_PER_CARD).max(100)
    }

    fn token(&self, card: u64) -> CardToken {
        CardToken::derive(&ISSUER_KEY, &card.to_be_bytes())
    }

    fn card_of(&self, number: u64) -> u64 {
        mixed(number) % self.cards()
    }

    fn merchant_of(&self, number: u64) -> String {
        format!("M-{:05}", mixed(!number) % (self.count / PAYMENTS_PER_MERCHANT).max(10))
    }

    fn ksn(&self, number: u64) -> [u8; 10] {
        let mut ksn = [0xff; 10];
        ksn[2..].copy_from_slice(&number.to_be_bytes());
        ksn
    }

    fn payment_id(&self, number: u64) -> PaymentId {
        let route = Route(self.card_of(number) as u16);
        PaymentId::derive(route, &reader_of(&self.merchant_of(number)), &self.ksn(number), stan_of(number))
    }

    fn is_declined(&self, number: u64) -> bool {
        number % 10 == 3
    }

    /// One approval in twenty has no signature: its timer takes it back.
    fn is_signed(&self, number: u64) -> bool {
        !self.is_declined(number) && number % 20 != 7
    }

    /// Swipes from `start` to `end` in their order, with the signatures that fall between them.
    fn events(&self, start: u64, end: u64) -> Vec<Event> {
        let mut events = Vec::new();
        for number in start..end {
            events.push(Event { number, is_signature: false });
            let signed = number.checked_sub(SIGNED_AFTER).filter(|signed| self.is_signed(*signed));
            events.extend(signed.map(|number| Event { number, is_signature: true }));
        }
        events
    }

    fn time_us(&self, event: &Event) -> i64 {
        let swipes = event.number + if event.is_signature { SIGNED_AFTER } else { 0 };
        START_US + (i128::from(swipes) * i128::from(SPAN_US) / i128::from(self.count)) as i64
    }

    fn bundle(&self) -> AuthorizeBundle {
        let account = |card| CardAccount {
            token: self.token(card).to_hex(),
            issuer: "Bank".to_string(),
            currency: Currency::EUR,
            opening_minor: 1_000_000_000,
            open: true,
        };
        AuthorizeBundle { policy: Policy::default(), cards: (0..self.cards()).map(account).collect(), lists: vec![] }
    }

    /// The events as rows of the payments topic.
    fn rows(&self, events: &[Event]) -> Result<RecordBatch, Failure> {
        let texts = |text: &dyn Fn(&Event) -> Option<String>| -> ArrayRef {
            Arc::new(events.iter().map(text).collect::<StringArray>())
        };
        let of_swipe = |text: &dyn Fn(u64) -> String| texts(&|event| (!event.is_signature).then(|| text(event.number)));
        let times = || TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| self.time_us(event)));
        let amount = |event: &Event| (!event.is_signature).then(|| 100 + (mixed(event.number) % 9_900) as i64);
        let schema = payments();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                "kind" => {
                    texts(&|event| Some(if event.is_signature { kind::SIGNATURE } else { kind::SWIPE }.to_string()))
                }
                "payment_id" => texts(&|event| Some(self.payment_id(event.number).to_hex())),
                "repeat" => Arc::new(BooleanArray::from(vec![false; events.len()])),
                "merchant_id" => texts(&|event| Some(self.merchant_of(event.number))),
                "reader_id" => of_swipe(&|number| reader_of(&self.merchant_of(number))),
                "stan" => Arc::new(Int32Array::from_iter_values(events.iter().map(|event| stan_of(event.number)))),
                "ksn" => of_swipe(&|number| hex::encode(self.ksn(number))),
                "amount_minor" => Arc::new(events.iter().map(amount).collect::<Int64Array>()),
                "currency" => of_swipe(&|_| "EUR".to_string()),
                "token" => of_swipe(&|number| self.token(self.card_of(number)).to_hex()),
                "findings" => self.findings(events),
                "signature_sha256" => texts(&|event| event.is_signature.then(|| "5a".repeat(32))),
                "origin_partition" => Arc::new(Int32Array::from(vec![0; events.len()])),
                "event_time" | "ingest_time" => Arc::new(times().with_timezone("UTC")),
                _ => new_null_array(field.data_type(), events.len()),
            }
        });
        Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
    }

    fn findings(&self, events: &[Event]) -> ArrayRef {
        let element = Field::new("element", DataType::Utf8, false);
        let mut builder = ListBuilder::new(StringBuilder::new()).with_field(element);
        for event in events {
            if self.is_declined(event.number) && !event.is_signature {
                builder.values().append_value(Reason::ExpiredCard.name());
            }
            builder.append(true);
        }
        Arc::new(builder.finish())
    }
}

fn reader_of(merchant: &str) -> String {
    format!("R{}", &merchant[1..])
}

fn stan_of(number: u64) -> i32 {
    (number % 1_000_000) as i32
}

/// Numbers without a pattern, the same in every run (SplitMix64).
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ bits >> 31
}
