//! The real decode over a town's log: it refuses what the truth says, and nothing else.

use decode::DecodeUnit;
use schemas::findings::Findings;
use schemas::unit::{Control, ControlChange, Input, Unit};
use schemas::{Offset, Partition};

use super::content::*;
use super::*;

/// Reasons that only the card's side finds.
const OF_THE_CARDS_SIDE: [&str; 3] = ["approved", "insufficient_funds", "stolen_card"];

/// Brings a control record of the log into force.
fn bring_into_force(town: &Written, unit: &mut DecodeUnit, record: &Value) {
    let hash = text(&record["control_hash"]);
    let change = match record["control_type"].as_str().unwrap() {
        "bundle" => ControlChange::Bundle {
            hash: ContentHash::from_hex(&hash).unwrap(),
            content: fs::read(town.input().join(format!("bundles/{hash}.json"))).unwrap(),
        },
        kind => ControlChange::Key { kind: kind.into(), id: text(&record["control_id"]), check_value: hash },
    };
    let received_at_us = instant(&record["received_at"]).as_microsecond();
    unit.control(&Control { offset: Offset(0), received_at_us, change }, &mut Vec::new()).unwrap();
}

/// First finding that refuses, for each swipe by the place of its line; retransmissions are left out.
fn refusals(town: &Written) -> BTreeMap<(String, u64), Option<Reason>> {
    let ring = KeyRing::from_json(&fs::read(town.input().join("keys/keys.json")).unwrap()).unwrap();
    let mut unit = DecodeUnit::new(ring);
    for record in &town.records()[..5] {
        if record["control_unit"] == "decode" {
            bring_into_force(town, &mut unit, record);
        }
    }
    let (places, rows) = rows_of_the_topic(town);
    let offsets = (0..rows.num_rows() as i64).collect();
    let mut outputs = Vec::new();
    unit.process(&Input { topic: "transactions", partition: Partition(0), offsets, rows }, &mut outputs).unwrap();
    let payments = outputs.iter().find(|output| output.name == "payments").unwrap();
    let column = |name: &str| payments.rows.column_by_name(name).unwrap();
    let (kinds, repeats, findings) =
        (column("kind").as_string::<i32>(), column("repeat").as_boolean(), column("findings").as_list::<i32>());
    let swipes = (0..payments.offsets.len()).filter(|row| kinds.value(*row) == "swipe" && !repeats.value(*row));
    let refusal = |row: usize| {
        let names = findings.value(row);
        let found = names.as_string::<i32>().iter().flatten().filter_map(Reason::from_name);
        found.collect::<Findings>().refusal()
    };
    swipes.map(|row| (places[payments.offsets[row] as usize].clone(), refusal(row))).collect()
}

/// Fails when the truth's model of key counters, of copies and of readers' owners is not decode's.
#[test]
fn decode_refuses_what_the_truth_says() {
    for (seed, days, merchants) in [(7, 3, 5), (8, 1, 40), (9, 2, 2)] {
        let town = Written::new(seed, days, merchants);
        let refusals = refusals(&town);
        let payments = town.truth("payments.ndjson");
        assert_eq!(refusals.len(), payments.len());
        let (mut replayed, mut accepted) = (0, 0);
        for payment in payments {
            let expected = text(&payment["expected_reason"]);
            let expected = Reason::from_name(&expected).filter(|_| !OF_THE_CARDS_SIDE.contains(&expected.as_str()));
            let place = (text(&payment["file"]), payment["row"].as_u64().unwrap());
            assert_eq!(refusals[&place], expected, "{payment}");
            if payment["scenario"] == "cloned_reader" {
                replayed += u32::from(expected == Some(Reason::ReplayedCounter));
                accepted += u32::from(expected.is_none());
            }
        }
        assert!(replayed >= 4 * days && replayed > accepted, "{replayed} {accepted}");
    }
}
