//! What stands in the files.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef, Schema, TimeUnit};

use super::*;

/// Seconds in which a phone sends a swipe, unless it is late.
const PROMPT_S: f64 = 1.0;

pub(super) fn instant(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

fn frame(record: &Value) -> Vec<u8> {
    hex::decode(record["frame"].as_str().unwrap()).unwrap()
}

/// Payments of the truth with their swipe's record.
pub(super) fn payments_with_records(town: &Written) -> Vec<(Value, Value)> {
    let lines: BTreeMap<(String, u64), String> =
        town.lines().into_iter().map(|(file, row, line)| ((file, row), line)).collect();
    let record = |payment: &Value| &lines[&(text(&payment["file"]), payment["row"].as_u64().unwrap())];
    let payments = town.truth("payments.ndjson").into_iter();
    payments.map(|payment| (serde_json::from_str(record(&payment)).unwrap(), payment)).map(|(a, b)| (b, a)).collect()
}

/// Fails when a frame is made under another key, counter or card than the truth says.
#[test]
fn every_frame_opens_to_its_card_unless_it_is_broken() {
    let town = Written::new(5, 1, 5);
    let ring = KeyRing::from_json(&fs::read(town.input().join("keys/keys.json")).unwrap()).unwrap();
    assert!(ring.is_demo());
    let token_key = ring.token_key("1").unwrap();
    let payments = payments_with_records(&town);
    assert!(payments.len() > 300, "{}", payments.len());
    for (payment, record) in &payments {
        match decode::open_frame(&ring, &frame(record)) {
            Ok(opened) => {
                assert_ne!(payment["meant"], "broken_frame");
                assert_eq!(payment["token"], opened.card.token(token_key).to_hex());
                assert_eq!(payment["ksn"], opened.ksn.to_hex());
                assert!(opened.card.is_valid());
                assert_eq!(payment["meant"] == "name_unknown", opened.name.is_none());
            }
            Err(error) => {
                assert_eq!(payment["meant"], "broken_frame", "{error}");
                assert_eq!(payment["expected_reason"], error.reason().name());
            }
        }
    }
}

/// Fails when two swipes of a reader, or of a day's copy, share a counter or STAN, or a counter runs backwards.
#[test]
fn readers_count_forward_and_leave_gaps() {
    let town = Written::new(5, 2, 3);
    let mut by_reader: BTreeMap<String, Vec<(jiff::Timestamp, u32, i64)>> = BTreeMap::new();
    for payment in town.truth("payments.ndjson") {
        let ksn = decode::dukpt::Ksn::from_hex(payment["ksn"].as_str().unwrap()).unwrap();
        ksn.check().unwrap();
        let swipe = (instant(&payment["swiped_at"]), ksn.counter(), payment["stan"].as_i64().unwrap() % 1_000_000);
        let copy = payment["scenario"].as_str().filter(|scenario| scenario.starts_with("cloned_reader"));
        let copy_of_day = copy.map_or("", |_| payment["file"].as_str().unwrap());
        by_reader.entry(format!("{} {copy_of_day}", text(&payment["reader_id"]))).or_default().push(swipe);
    }
    let mut gaps = 0;
    for swipes in by_reader.values_mut() {
        swipes.sort();
        for pair in swipes.windows(2) {
            assert!(pair[0].1 < pair[1].1);
            assert_eq!((pair[0].2 + 1) % 1_000_000, pair[1].2);
            gaps += u32::from(decode::dukpt::next_counter(pair[0].1) != Some(pair[1].1));
        }
    }
    assert!(gaps > 0);
}

#[test]
fn the_log_starts_with_controls_that_name_what_lies_in_the_folder() {
    let town = Written::new(5, 1, 2);
    let ring = KeyRing::from_json(&fs::read(town.input().join("keys/keys.json")).unwrap()).unwrap();
    let records = town.records();
    assert!(records[7..].iter().all(|record| record["kind"] != "control"));
    for record in &records[..7] {
        assert_eq!(record["received_at"], "2026-03-02T00:00:00.000000Z");
        let (control_type, hash) = (text(&record["control_type"]), text(&record["control_hash"]));
        if control_type == "bundle" || control_type == "rules" {
            let content = fs::read(town.input().join(format!("bundles/{hash}.json"))).unwrap();
            assert_eq!(ContentHash::of(&content).to_hex(), hash);
            match record["control_unit"].as_str().unwrap() {
                _ if control_type == "rules" => {
                    drop(serde_json::from_slice::<schemas::bundles::RulesBundle>(&content).unwrap())
                }
                "decode" => drop(serde_json::from_slice::<schemas::bundles::DecodeBundle>(&content).unwrap()),
                _ => drop(serde_json::from_slice::<schemas::bundles::AuthorizeBundle>(&content).unwrap()),
            }
        } else {
            assert_eq!(ring.check_value(&control_type, record["control_id"].as_str().unwrap()), Some(hash));
        }
    }
}

/// The topic's schema with `UTC` as an offset: arrow-json knows no names of zones.
fn json_schema() -> arrow::datatypes::SchemaRef {
    let offset = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let field = |field: &FieldRef| match field.data_type() {
        DataType::Timestamp(..) => Arc::new(field.as_ref().clone().with_data_type(offset.clone())),
        _ => field.clone(),
    };
    Arc::new(Schema::new(topics::transactions().fields().iter().map(field).collect::<Vec<_>>()))
}

/// Records that are not dead as a whole, as rows of the topic with the places of their lines.
pub(super) fn rows_of_the_topic(town: &Written) -> (Vec<(String, u64)>, RecordBatch) {
    let dead = town.dead_rows();
    let (mut places, mut text) = (Vec::new(), String::new());
    for (file, row, line) in town.lines() {
        if !dead.contains(&(file.clone(), row)) {
            text.push_str(&line);
            text.push('\n');
            places.push((file, row));
        }
    }
    let builder = arrow::json::ReaderBuilder::new(json_schema()).with_strict_mode(true).with_batch_size(places.len());
    let rows = builder.build(text.as_bytes()).unwrap().next().unwrap().unwrap();
    assert_eq!(rows.num_rows(), places.len());
    let in_utc = |(column, field): (&ArrayRef, &FieldRef)| arrow::compute::cast(column, field.data_type()).unwrap();
    let columns = rows.columns().iter().zip(topics::transactions().fields()).map(in_utc).collect();
    (places, RecordBatch::try_new(topics::transactions(), columns).unwrap())
}

/// Fails when a column has another name or form than the topic's schema.
#[test]
fn lines_that_are_not_broken_are_rows_of_the_topic_in_gateway_order() {
    let town = Written::new(5, 2, 3);
    assert!(town.dead_rows().len() >= 2 * records::BadLine::ALL.len());
    let (_, rows) = rows_of_the_topic(&town);
    let received = rows.column_by_name("received_at").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert!(received.values().is_sorted() && received.null_count() == 0);
}

#[test]
fn broken_lines_are_no_rows_or_say_nothing() {
    let town = Written::new(5, 1, 2);
    let dead = town.dead_rows();
    let kinds: BTreeSet<&str> = topics::kind::ALL.into();
    for (file, row, line) in town.lines() {
        if !dead.contains(&(file, row)) {
            continue;
        }
        let mut decoder = arrow::json::ReaderBuilder::new(json_schema()).build_decoder().unwrap();
        let parsed = decoder.decode(format!("{line}\n").as_bytes()).and_then(|_| decoder.flush());
        if let Ok(Some(batch)) = parsed {
            let kind = batch.column_by_name("kind").unwrap().as_string::<i32>();
            assert!(!kinds.contains(kind.value(0)), "{line}");
        }
    }
}

/// Fails when card data leaves the frames: a clear track or number anywhere in the input.
#[test]
fn no_card_of_the_truth_shows_in_the_input() {
    let town = Written::new(5, 1, 3);
    let cards = town.truth("cards.ndjson");
    assert!(cards.iter().any(|card| card["number"] == "4111111111111111"));
    let files = town.files();
    for (name, content) in files.iter().filter(|(name, _)| name.starts_with("input/")) {
        let haystack = String::from_utf8_lossy(content);
        for card in &cards {
            for field in ["number", "track1", "track2"] {
                assert!(!haystack.contains(card[field].as_str().unwrap()), "{field} in {name}");
            }
        }
        for card in cards.iter().filter(|card| card["meant"] != "no_name") {
            assert!(!haystack.contains(card["name"].as_str().unwrap()), "a name in {name}");
        }
    }
}

/// Plays the accounts from the log and the truth alone: fails when an approval exceeds what the card had, or a
/// refusal for want of money was none.
#[test]
fn expected_answers_follow_from_the_accounts() {
    const GRACE_US: i64 = 150_000_000;
    // Long enough for the poor to spend what they have.
    let town = Written::new(6, 12, 3);
    let cards = town.truth("cards.ndjson");
    let mut available: BTreeMap<String, i64> =
        cards.iter().map(|card| (text(&card["token"]), card["opening_minor"].as_i64().unwrap())).collect();
    let mut moves: Vec<(jiff::Timestamp, String, i64, Option<bool>)> = Vec::new();
    for payment in town.truth("payments.ndjson") {
        let (token, amount) = (text(&payment["token"]), payment["amount_minor"].as_i64().unwrap());
        let approved = payment["expected_response_code"] == "00";
        if approved || payment["expected_reason"] == "insufficient_funds" {
            moves.push((instant(&payment["received_at"]), token.clone(), -amount, Some(approved)));
        }
        let later = payment["later"].as_array().unwrap();
        for record in later {
            let back = match record["kind"].as_str().unwrap() {
                "withdraw" | "cancel" => amount,
                "refund" | "chargeback" => record["amount_minor"].as_i64().unwrap(),
                _ => continue,
            };
            moves.push((instant(&record["received_at"]), token.clone(), back, None));
        }
        if payment["meant"] == "forgot_signature" && approved {
            let answered = instant(&later[0]["received_at"]);
            moves.push((answered + jiff::Span::new().microseconds(GRACE_US), token, amount, None));
        }
    }
    moves.sort();
    let mut refused = 0;
    for (at, token, change, approved) in moves {
        let account = available.get_mut(&token).unwrap();
        match approved {
            Some(false) => {
                refused += 1;
                assert!(*account + change < 0, "{at} refused with {account}");
            }
            Some(true) | None => {
                *account += change;
                assert!(*account >= 0, "{at} approved with too little");
            }
        }
    }
    assert!(refused >= 3);
}

#[test]
fn later_records_stand_in_the_log_as_the_truth_says() {
    let town = Written::new(6, 2, 3);
    let about = |record: &Value| (text(&record["kind"]), text(&record["received_at"]), record["payment_id"].clone());
    let records = town.records();
    let log: BTreeSet<String> = records.iter().map(|record| format!("{:?}", about(record))).collect();
    let end = "2026-03-04T00:00:00.000000Z";
    for payment in town.truth("payments.ndjson") {
        for later in payment["later"].as_array().unwrap() {
            let (kind, received) = (text(&later["kind"]), text(&later["received_at"]));
            let id = if kind == "withdraw" { Value::Null } else { payment["payment_id"].clone() };
            let in_log = log.contains(&format!("{:?}", (kind, received.clone(), id)));
            assert_eq!(in_log, received.as_str() < end, "{later}");
        }
        let reason = text(&payment["expected_reason"]);
        let code = Reason::from_name(&reason).map_or("00", Reason::response_code);
        assert_eq!(payment["expected_response_code"], code);
    }
}

/// Fails when a share is lost on the way from the plan to the log.
#[test]
fn every_day_shows_every_way_and_the_shares_are_as_promised() {
    let town = Written::new(7, 2, 5);
    let mut by_day: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for payment in town.truth("payments.ndjson").into_iter().filter(|payment| payment["meant"] != "fraud") {
        *by_day.entry(text(&payment["file"])).or_default().entry(text(&payment["meant"])).or_default() += 1;
    }
    for (day, counts) in by_day {
        let total: usize = counts.values().sum();
        assert!(counts.len() >= 22, "{day} {counts:?}");
        let share = |meant: &str| counts[meant] as f64 / total as f64;
        assert!((0.02..0.04).contains(&share("forgot_signature")), "{day} {counts:?}");
        assert!(share("ordinary") > 0.8, "{day} {counts:?}");
    }
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut swipes: BTreeMap<(String, i64), usize> = BTreeMap::new();
    for record in town.records() {
        *kinds.entry(text(&record["kind"])).or_default() += 1;
        if record["kind"] == "swipe" {
            *swipes.entry((text(&record["reader_id"]), record["stan"].as_i64().unwrap())).or_default() += 1;
        }
    }
    assert_eq!(kinds["tick"], 2 * 8_640);
    for kind in topics::kind::ALL {
        assert!(kinds.contains_key(kind), "{kind} {kinds:?}");
    }
    assert!(swipes.values().filter(|count| **count == 2).count() >= 2, "no retransmissions");
}

pub(super) fn pings(town: &Written, day: &str) -> Vec<RecordBatch> {
    let file = fs::File::open(town.input().join(format!("pings/{day}.parquet"))).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

#[test]
fn pings_are_rows_of_the_topic_in_gateway_order_with_ticks_copies_and_defects() {
    let town = Written::new(7, 1, 5);
    let batches = pings(&town, "2026-03-02");
    let rows = arrow::compute::concat_batches(&topics::pings(), &batches).unwrap();
    let column = |name: &str| rows.column_by_name(name).unwrap();
    let received = column("received_at").as_primitive::<TimestampMicrosecondType>();
    assert!(received.values().is_sorted() && received.null_count() == 0);
    let ticks = column("kind").as_string::<i32>().iter().flatten().filter(|kind| *kind == "tick").count();
    assert_eq!(ticks, 24 * 60);
    assert_eq!(rows.num_rows(), town.summary.pings as usize + ticks);
    let (devices, times) =
        (column("device_id").as_string::<i32>(), column("time").as_primitive::<TimestampMicrosecondType>());
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let (mut copies, mut late) = (0, 0);
    for row in (0..rows.num_rows()).filter(|row| devices.is_valid(*row) && times.is_valid(*row)) {
        let (device, time) = (devices.value(row), times.value(row));
        copies += u32::from(!seen.insert((device, time)));
        late += u32::from(newest.get(device).is_some_and(|newest| *newest > time));
        newest.entry(device).and_modify(|newest| *newest = time.max(*newest)).or_insert(time);
    }
    assert!(copies > 5 && late > 5, "{copies} {late}");
    let lat = column("lat").as_primitive::<Float64Type>();
    let faults: Vec<Value> = town.truth("broken.ndjson").into_iter().filter(|row| row["expected"] == "fault").collect();
    let sorts: BTreeSet<String> = faults.iter().map(|fault| text(&fault["what"])).collect();
    assert_eq!(sorts.len(), fixes::Defect::ALL.len());
    for fault in faults {
        let row = fault["row"].as_u64().unwrap() as usize;
        match fault["what"].as_str().unwrap() {
            "latitude_out_of_range" => assert_eq!(lat.value(row), 999.0),
            "null_island" => assert_eq!(lat.value(row), 0.0),
            "position_missing" => assert!(lat.is_null(row)),
            "time_missing" => assert!(times.is_null(row)),
            _ => assert!(times.value(row) > received.value(row)),
        }
    }
}

/// Fails when a courier's payment is drawn apart from his way.
#[test]
fn couriers_are_paid_where_they_stop() {
    let town = Written::new(7, 2, 3);
    let mut stops: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for stop in town.truth("stops.ndjson") {
        stops.entry(text(&stop["device_id"])).or_default().push(stop);
    }
    let mut placed = 0;
    for payment in town.truth("payments.ndjson") {
        if payment["device_id"].is_null() || payment["meant"] == "fraud" {
            continue;
        }
        let swiped = text(&payment["swiped_at"]);
        let covers = |stop: &&Value| text(&stop["started_at"]) <= swiped && swiped < text(&stop["ended_at"]);
        let Some(stop) = stops[payment["device_id"].as_str().unwrap()].iter().find(covers) else {
            assert!(swiped.as_str() > "2026-03-03T23:", "{payment}");
            continue;
        };
        assert_eq!((&stop["lat"], &stop["lon"]), (&payment["lat"], &payment["lon"]));
        placed += 1;
        let delay_s = (instant(&payment["received_at"]) - instant(&payment["swiped_at"])).as_secs_f64();
        assert_eq!(delay_s > PROMPT_S, payment["meant"] == "late" || payment["meant"] == "withdrawn_early");
    }
    assert!(placed > 100, "{placed}");
    let fares = town.truth("fares.ndjson");
    assert!(fares.len() > 20);
    assert!(
        fares
            .iter()
            .all(|fare| fare["distance_m"].as_f64().unwrap() > 0.0 && fare["amount_minor"].as_i64() > Some(440))
    );
    assert!(town.truth("trips.ndjson").iter().any(|trip| trip["hired"] == true));
}

/// Fails when a detour is no longer than the street grid makes any way, or when a jump that the truth names is none.
#[test]
fn detours_are_long_and_jumps_are_far() {
    let town = Written::new(7, 3, 5);
    let mut rides: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for drive in town.truth("trips.ndjson").into_iter().filter(|drive| drive["detour"] == true) {
        assert_eq!(drive["hired"], true);
        rides.entry(text(&drive["device_id"])).or_default().push(drive);
    }
    let mut detours = 0;
    for legs in rides.values().flat_map(|drives| drives.chunks(2)) {
        let [out, back] = legs else { panic!("a detour has two legs: {legs:?}") };
        assert_eq!(out["ended_at"], back["started_at"]);
        let number = |leg: &Value, name: &str| leg[name].as_f64().unwrap();
        let (lat, lon) =
            (number(back, "end_lat") - number(out, "start_lat"), number(back, "end_lon") - number(out, "start_lon"));
        // Degrees at the town's latitude; see `metres_become_degrees`.
        let straight_m = (lat * 111_290.0).hypot(lon * 66_330.0);
        let way_m = number(out, "distance_m") + number(back, "distance_m");
        assert!(way_m > 1.8 * straight_m && straight_m > 700.0, "{way_m} {straight_m}");
        detours += 1;
    }
    assert!(detours >= 3, "{detours}");
    let jumps = town.truth("jumps.ndjson");
    assert!(jumps.len() > 10, "{}", jumps.len());
    assert!(jumps.iter().all(|jump| jump["jump_m"].as_f64().is_some_and(|jump_m| (300.0..1_500.0).contains(&jump_m))));
}
