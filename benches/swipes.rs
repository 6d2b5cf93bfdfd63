//! How many swipes a second one core opens: `cargo bench -p tillstream --profile release --bench swipes`.
//!
//! Three ways over the same frames, in one run. The baseline is a plain loop over the cipher and hash crates that does
//! by hand what no reading of a frame can do without: the swipe's key from the published base key (DUKPT), CBC
//! decryption of both tracks, their SHA-1 hashes, the token (HMAC-SHA-256). `open_frame` besides takes the frame apart,
//! checks every byte and reads the tracks, but makes no token. `DecodeUnit` does all of it on Arrow batches, with
//! route and payment id, guards, limits and memory, and writes the rows. Nothing is asserted about time.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use decode::dukpt::{Ksn, TdesKey, next_counter};
use decode::idtech::{FrameFormat, Stripe, build};
use decode::keys::{KeyRing, PUBLISHED_BASE_KEY, PUBLISHED_ID_TECH};
use decode::{DecodeUnit, open_frame};
use des::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use des::{Des, TdesEde2};
use hmac::{Hmac, Mac};
use schemas::bundles::{DecodeBundle, Merchant, NumberRange, Reader};
use schemas::ids::{CardToken, ContentHash};
use schemas::money::Currency;
use schemas::topics::{kind, transactions};
use schemas::unit::{Control, ControlChange, Input, Unit};
use schemas::{Offset, Partition};
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// Readers, each of which is another device.
const READERS: u8 = 64;
/// Swipes of each reader.
const SWIPES_PER_READER: usize = 256;
/// Between the first counters of two readers, so that counters have as many one-bits as those of readers in use.
const COUNTER_STEP: u32 = 0x6F5;
/// Records of a batch.
const BATCH_ROWS: usize = 4_096;
/// Rounds in which each way is timed once, one after the other; odd, so that the median is one of them.
const ROUNDS: usize = 9;
/// 1 January 2027, 08:00 UTC, and the time between two swipes.
const START_US: i64 = 1_798_790_400_000_000;
const STEP_US: i64 = 10_000;
/// Published test card numbers.
const CARDS: [&str; 3] = ["4111111111111111", "378282246310005", "4124939999999990"];
const TOKEN_KEY: [u8; 32] = [1; 32];
const ROUTING_KEY: [u8; 32] = [7; 32];
/// Masks of X9.24-1:2009 annex A: derivation, and data encryption of a request.
const DERIVATION_MASK: u128 = 0xC0C0_C0C0_0000_0000_C0C0_C0C0_0000_0000;
const DATA_REQUEST_MASK: u128 = 0x0000_0000_00FF_0000_0000_0000_00FF_0000;
const COUNTER_MASK: u64 = 0x1F_FFFF;
const BLOCK: usize = 8;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let frames = frames()?;
    let batches = batches(&frames)?;
    let ring = Arc::new(ring()?);
    let bundle = serde_json::to_vec(&bundle())?;
    check(&frames, &batches, &ring, &bundle)?;
    let mut seconds = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let mut units = vec![unit(&ring, &bundle)?];
        for way in 0..seconds.len() {
            // Each way is first, second and last in a third of the rounds.
            let way = (way + round) % seconds.len();
            let time = match way {
                0 => timed(|| frames.iter().filter_map(|frame| black_box(open_by_hand(black_box(frame)))).count()),
                1 => timed(|| {
                    frames.iter().filter_map(|frame| black_box(open_frame(&ring, black_box(frame))).ok()).count()
                }),
                _ => {
                    let mut unit = units.pop().ok_or("the unit of this round has been used")?;
                    timed(|| batches.iter().filter_map(|input| black_box(process(&mut unit, input)).ok()).count())
                }
            };
            seconds[way].push(time.as_secs_f64());
        }
    }
    print_table(frames.len(), &seconds)
}

fn print_table(swipes: usize, seconds: &[Vec<f64>; 3]) -> Result<(), Failure> {
    println!(
        "{swipes} swipes of {READERS} readers in batches of {BATCH_ROWS}, {} cores, of which one works; median of \
         {ROUNDS} rounds\n",
        std::thread::available_parallelism()?
    );
    println!("| way | swipes a second | share of the baseline |\n|---|---:|---:|");
    let names = ["baseline: the cryptography by hand", "open_frame", "DecodeUnit"];
    for (name, way) in names.into_iter().zip(seconds) {
        let shares: Vec<f64> = seconds[0].iter().zip(way).map(|(baseline, way)| baseline / way).collect();
        println!("| {name} | {:.0} | {:.2} |", swipes as f64 / median(way), median(&shares));
    }
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// How long the work takes; what it counts is not looked at, but must be found out.
fn timed(work: impl FnOnce() -> usize) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

/// The three ways open every frame, or their times say nothing.
fn check(frames: &[Vec<u8>], batches: &[Input], ring: &Arc<KeyRing>, bundle: &[u8]) -> Result<(), Failure> {
    for (swipe, frame) in frames.iter().enumerate() {
        let expected = CardToken::derive(&TOKEN_KEY, CARDS[swipe % CARDS.len()].as_bytes());
        let opened = open_frame(ring, frame)?;
        if open_by_hand(frame) != Some(expected.0) || opened.card.token(&TOKEN_KEY) != expected {
            return Err(format!("swipe {swipe} opens to another card").into());
        }
    }
    let mut unit = unit(ring, bundle)?;
    let mut rows = 0;
    for input in batches {
        let payments = process(&mut unit, input)?;
        let column = |name: &str| payments.column_by_name(name).ok_or(format!("payments have no column {name}"));
        if column("token")?.null_count() > 0 || !column("findings")?.as_list::<i32>().values().is_empty() {
            return Err("the unit did not open every swipe without findings".into());
        }
        rows += payments.num_rows();
    }
    if rows == frames.len() { Ok(()) } else { Err(format!("{rows} rows for {} swipes", frames.len()).into()) }
}

/// Frames of every reader in turn.
fn frames() -> Result<Vec<Vec<u8>>, Failure> {
    let base_key = TdesKey::new(PUBLISHED_BASE_KEY);
    let mut counters: Vec<u32> = (0..READERS).map(|reader| 1 + u32::from(reader) * COUNTER_STEP).collect();
    let mut frames = Vec::new();
    for _ in 0..SWIPES_PER_READER {
        for reader in 0..READERS {
            let counter = &mut counters[usize::from(reader)];
            *counter = next_counter(*counter).ok_or("a reader has no counter left")?;
            let ksn = Ksn::new([0x62, 0x99, 0x49, 0x01, 0, 0, reader, 0, 0, 0]).with_counter(*counter);
            let number = CARDS[frames.len() % CARDS.len()];
            let track1 = format!("%B{number}^DOE/JANE^29121011234?");
            let track2 = format!(";{number}=29121011234?");
            let stripe = Stripe { track1: Some(track1.as_bytes()), track2: Some(track2.as_bytes()) };
            frames.push(build(FrameFormat::IdTechEnhanced, &base_key, ksn, stripe).ok_or("a track is too long")?);
        }
    }
    Ok(frames)
}

/// The swipes as records of the transactions topic.
fn batches(frames: &[Vec<u8>]) -> Result<Vec<Input>, Failure> {
    let schema = transactions();
    let mut batches = Vec::new();
    for (number, frames) in frames.chunks(BATCH_ROWS).enumerate() {
        let first = number * BATCH_ROWS;
        let offsets: Vec<i64> = (first as i64..).take(frames.len()).collect();
        let texts =
            |text: &dyn Fn(i64) -> String| Arc::new(StringArray::from_iter_values(offsets.iter().map(|at| text(*at))));
        let times = offsets.iter().map(|offset| Some(START_US + offset * STEP_US));
        let times = Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"));
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                "kind" => texts(&|_| kind::SWIPE.to_string()),
                "received_at" | "terminal_time" => times.clone(),
                "merchant_id" => texts(&|_| "M-1".to_string()),
                "reader_id" => texts(&|offset| reader_id((offset % i64::from(READERS)) as u8)),
                "stan" => Arc::new(Int32Array::from_iter_values(offsets.iter().map(|offset| *offset as i32))),
                "amount_minor" => Arc::new(Int64Array::from_iter_values(offsets.iter().map(|_| 1_200))),
                "currency" => texts(&|_| "EUR".to_string()),
                "frame" => Arc::new(BinaryArray::from_iter_values(frames)),
                _ => new_null_array(field.data_type(), frames.len()),
            }
        });
        let rows = RecordBatch::try_new(schema.clone(), columns.collect())?;
        batches.push(Input { topic: "transactions", partition: Partition(0), offsets, rows });
    }
    Ok(batches)
}

fn reader_id(reader: u8) -> String {
    format!("R-{reader:02}")
}

fn ring() -> Result<KeyRing, Failure> {
    Ok(KeyRing::published().with_token_key("1", TOKEN_KEY)?.with_routing_key("1", ROUTING_KEY))
}

/// One merchant without effective limits, who has every reader.
fn bundle() -> DecodeBundle {
    let merchant = Merchant {
        id: "M-1".to_string(),
        name: "Corner Shop".to_string(),
        trade: "grocery".to_string(),
        mcc: "5411".to_string(),
        zone: "Europe/Dublin".to_string(),
        currency: Currency::EUR,
        active: true,
        payment_minor_max: 1_000_000,
        day_minor_max: i64::MAX,
        day_count_max: u32::MAX,
    };
    let reader = |reader: u8| Reader {
        id: reader_id(reader),
        merchant_id: merchant.id.clone(),
        key_set: PUBLISHED_ID_TECH.to_string(),
        active: true,
        counter_min: 0,
    };
    let range = |(digits, scheme): (&str, &str)| NumberRange {
        from: digits.to_string(),
        to: digits.to_string(),
        scheme: scheme.to_string(),
    };
    DecodeBundle {
        readers: (0..READERS).map(reader).collect(),
        number_ranges: [("4", "Visa"), ("37", "American Express")].map(range).to_vec(),
        merchants: vec![merchant],
        ..DecodeBundle::default()
    }
}

/// A unit that has seen no swipe, with keys and bundle in force.
fn unit(ring: &Arc<KeyRing>, bundle: &[u8]) -> Result<DecodeUnit, Failure> {
    let mut unit = DecodeUnit::new(ring.clone());
    let mut changes = vec![ControlChange::Bundle { hash: ContentHash::of(bundle), content: bundle.to_vec() }];
    for (kind, id) in [("key_set", PUBLISHED_ID_TECH), ("token_key", "1"), ("routing_key", "1")] {
        let check_value = ring.check_value(kind, id).ok_or("the ring has no such key")?;
        changes.push(ControlChange::Key { kind: kind.to_string(), id: id.to_string(), check_value });
    }
    for change in changes {
        unit.control(&Control { offset: Offset(0), received_at_us: START_US, change }, &mut Vec::new())?;
    }
    Ok(unit)
}

/// The payments rows of one batch.
fn process(unit: &mut DecodeUnit, input: &Input) -> Result<RecordBatch, Failure> {
    let mut outputs = Vec::new();
    unit.process(input, &mut outputs)?;
    let payments = outputs.into_iter().find(|output| output.name == "payments");
    Ok(payments.ok_or("the unit wrote no payments")?.rows)
}

/// The baseline: the token of the card in an enhanced frame with both tracks, whose hashes must fit.
fn open_by_hand(frame: &[u8]) -> Option<[u8; 16]> {
    // After three bytes of envelope: type, status, three lengths, two bytes of flags, both masked tracks.
    let lengths = [usize::from(*frame.get(5)?), usize::from(*frame.get(6)?)];
    let closed = lengths.map(|length| length.next_multiple_of(BLOCK));
    let rest = frame.get(10 + lengths[0] + lengths[1]..)?;
    let (tracks, rest) = rest.split_at_checked(closed[0] + closed[1])?;
    let (hashes, ksn) = rest.split_at_checked(2 * 20)?;
    let cipher = TdesEde2::new(&swipe_key(ksn.first_chunk()?).to_be_bytes().into());
    let (first, second) = tracks.split_at(closed[0]);
    let mut clear = [[0; 80]; 2];
    for (number, track) in [first, second].into_iter().enumerate() {
        let mut previous = 0;
        for (block, clear) in track.as_chunks::<BLOCK>().0.iter().zip(clear[number].as_chunks_mut::<BLOCK>().0) {
            let mut opened = (*block).into();
            cipher.decrypt_block(&mut opened);
            *clear = (u64::from_be_bytes(opened.into()) ^ previous).to_be_bytes();
            previous = u64::from_be_bytes(*block);
        }
        let hash = Sha1::digest(&clear[number][..lengths[number]]);
        if hash.as_slice() != &hashes[20 * number..20 * number + 20] {
            return None;
        }
    }
    let number = clear[1][1..].split(|character| *character == b'=').next()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&TOKEN_KEY).ok()?;
    mac.update(number);
    mac.finalize().into_bytes().first_chunk().copied()
}

/// Key of a swipe from the published base key (X9.24-1:2009 annex A).
fn swipe_key(ksn: &[u8; 10]) -> u128 {
    let base_key = u128::from_be_bytes(PUBLISHED_BASE_KEY);
    let serial = ksn[2..].iter().fold(0, |serial, byte| serial << 8 | u64::from(*byte));
    let device = (ksn[..8].iter().fold(0, |serial, byte| serial << 8 | u64::from(*byte))) & !(COUNTER_MASK >> 16);
    let mut key = join(triple(base_key, device), triple(base_key ^ DERIVATION_MASK, device));
    let mut register = serial & !COUNTER_MASK;
    for bit in (0..21).rev().map(|place| 1_u64 << place).filter(|bit| serial & bit != 0) {
        register |= bit;
        key = join(one_way(key ^ DERIVATION_MASK, register), one_way(key, register));
    }
    let variant = key ^ DATA_REQUEST_MASK;
    join(triple(variant, (variant >> 64) as u64), triple(variant, variant as u64))
}

fn join(left: u64, right: u64) -> u128 {
    u128::from(left) << 64 | u128::from(right)
}

fn triple(key: u128, block: u64) -> u64 {
    let mut block = block.to_be_bytes().into();
    TdesEde2::new(&key.to_be_bytes().into()).encrypt_block(&mut block);
    u64::from_be_bytes(block.into())
}

fn one_way(key: u128, register: u64) -> u64 {
    let mut block = (register ^ key as u64).to_be_bytes().into();
    Des::new(&((key >> 64) as u64).to_be_bytes().into()).encrypt_block(&mut block);
    u64::from_be_bytes(block.into()) ^ key as u64
}
