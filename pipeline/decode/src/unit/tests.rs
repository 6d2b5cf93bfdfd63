//! One test for each rule: `findings` and `counts` have the checks, `memory` what is remembered, `laws` what holds for any
//! log.

mod counts;
mod findings;
mod laws;
mod memory;

use schemas::ids::{CardToken, ContentHash, PaymentId, Route};
use schemas::tables;
use schemas::topics::kind;
use schemas::unit::{Destination, Unit, UnitError};

use crate::DecodeUnit;
use crate::dukpt::Ksn;
use crate::keys::{KeyRing, PUBLISHED_ID_TECH};
use crate::testing::{
    AMEX, Row, Shelf, bundle, enforce, feed, ksn, of, payment, publish, record, ring, swipe, swipe_of, to_json,
    unit_with, unit_with_keys, withdraw,
};

#[test]
fn the_outputs_are_tables_of_the_lake_and_the_next_units_input() {
    let unit = DecodeUnit::new(ring());
    assert_eq!((unit.name(), unit.logic_version()), ("decode", 2));
    for output in unit.outputs() {
        let name = if output.destination == Destination::NextUnit { "payments" } else { output.name };
        assert_eq!(tables::by_name(name).unwrap().schema, tables::with_source(&output.schema));
    }
    assert!(!format!("{unit:?}").contains("0101"), "no key shows");
}

#[test]
fn a_swipe_becomes_a_payment_without_findings() {
    let mut unit = unit_with(|_| {});
    let row = Row { courier: Some("C9".into()), ..swipe_of(5, 77, 3, &AMEX) };
    let line = payment(&mut unit, row);
    let number = AMEX.number.as_bytes();
    let id = PaymentId::derive(Route::of_card(&[7; 32], number), "R1", &ksn(1, 3).bytes(), 77);
    let expected = [
        ("kind", "swipe"),
        ("payment_id", &id.to_hex()),
        ("repeat", "false"),
        ("merchant_id", "M1"),
        ("reader_id", "R1"),
        ("courier_id", "C9"),
        ("stan", "77"),
        ("ksn", "62994901000001000003"),
        ("amount_minor", "1200"),
        ("currency", "EUR"),
        ("mcc", "5814"),
        ("terminal_time", "2027-01-01T08:00:04.9997Z"),
        ("token", &CardToken::derive(&[1; 32], number).to_hex()),
        ("token_key_version", "1"),
        ("last4", "0005"),
        ("scheme", "American Express"),
        ("name_present", "present"),
        ("chip_capable", "true"),
        ("online_only", "false"),
        ("expired_at_authorization", "false"),
        ("findings", "[]"),
        ("signature_sha256", ""),
        ("label", ""),
        ("label_source", ""),
        ("decode_bundle", &ContentHash::of(&to_json(&bundle())).to_hex()),
        ("key_set", PUBLISHED_ID_TECH),
        ("origin_partition", "3"),
        ("event_time", "2027-01-01T08:00:05Z"),
        ("ingest_time", "2027-01-01T08:00:05Z"),
        ("lat", ""),
        ("lon", ""),
        ("windows", ""),
    ];
    assert_eq!(line.columns, expected.map(|(name, value)| (name.to_string(), value.to_string())).into());
}

#[test]
fn ticks_go_to_the_next_unit_only_and_order_stays() {
    let mut unit = unit_with(|_| {});
    let rows = [record(kind::TICK, 0), swipe(1, 1, 1), record(kind::TICK, 2), swipe(3, 2, 2)];
    let lines = feed(&mut unit, 10, &rows);
    let offsets = |output: &str| of(&lines, output).iter().map(|line| line.offset).collect::<Vec<_>>();
    assert_eq!(offsets("payments"), [11, 13]);
    assert_eq!(offsets("to_authorize"), [10, 11, 12, 13]);
    let tick = of(&lines, "to_authorize")[2];
    assert_eq!((tick.get("kind"), tick.get("event_time")), ("tick", "2027-01-01T08:00:02Z"));
    assert_eq!(of(&lines, "payments")[1].columns, of(&lines, "to_authorize")[3].columns);
    let lines = feed(&mut unit, 14, &[record(kind::TICK, 4)]);
    assert_eq!(lines.len(), 1, "no batch of the table is empty");
}

#[test]
fn a_missing_courier_is_who_carries_the_reader() {
    let mut unit = unit_with(|_| {});
    let row = |courier: Option<&str>, stan| Row {
        merchant: Some("M2".into()),
        reader: Some("R2".into()),
        courier: courier.map(Into::into),
        ..swipe(0, stan, stan as u32)
    };
    assert_eq!(payment(&mut unit, row(None, 1)).get("courier_id"), "C2");
    assert_eq!(payment(&mut unit, row(Some("C7"), 2)).get("courier_id"), "C7");
    let foreign = Row { reader: Some("R2".into()), ..swipe(0, 3, 3) };
    assert_eq!(payment(&mut unit, foreign).get("courier_id"), "", "another merchant's reader");
}

/// Fails when a later record loses a column, or a bad value stops it.
#[test]
fn later_records_are_passed_on_with_what_they_carry() {
    let mut unit = unit_with(|_| {});
    let id = "BEEF00112233445566778899aabb";
    for later in [kind::ANSWERED, kind::SIGNATURE, kind::REFUND, kind::CANCEL, kind::CHARGEBACK, kind::DISPOSITION] {
        let row = Row {
            payment_id: Some(id.into()),
            merchant: Some("M1".into()),
            reader: Some("R1".into()),
            stan: Some(-4),
            amount: Some(-7),
            currency: Some("XXX".into()),
            courier: Some("C1".into()),
            signature: Some("5a".repeat(32)),
            label: Some("fraud".into()),
            label_source: Some("x".repeat(65)),
            frame: Some(b"not looked at".to_vec()),
            ..record(later, 5)
        };
        let line = payment(&mut unit, row);
        let expected = [
            ("kind", later),
            ("payment_id", &id.to_lowercase()),
            ("merchant_id", "M1"),
            ("reader_id", "R1"),
            ("stan", "-4"),
            ("amount_minor", "-7"),
            ("currency", "XXX"),
            ("courier_id", "C1"),
            ("signature_sha256", &"5a".repeat(32)),
            ("label", "fraud"),
            ("label_source", ""),
            ("findings", "[format_error]"),
            ("mcc", "5814"),
            ("token", ""),
            ("key_set", ""),
            ("expired_at_authorization", ""),
        ];
        for (column, value) in expected {
            assert_eq!(line.get(column), value, "{later} {column}");
        }
    }
}

/// Fails when a bad record stops its batch, loses its reason, or shows its content.
#[test]
fn records_that_make_no_sense_are_dead_letters() {
    let mut unit = unit_with(|_| {});
    let later = |payment_id: Option<&str>| Row { payment_id: payment_id.map(Into::into), ..record(kind::REFUND, 1) };
    let rows = [
        Row { received_us: -1, ..swipe(0, 1, 1) },
        Row { received_us: 253_402_300_800_000_000, ..record(kind::TICK, 0) },
        record("loyalty", 0),
        record(kind::CONTROL, 0),
        Row { reader: None, malformed: Some("reader_id".into()), ..swipe(0, 1, 1) },
        Row { stan: None, merchant: None, ..swipe(0, 1, 1) },
        Row { malformed: Some("amount_minor,4111111111111111".into()), ..later(Some(&"ab".repeat(14))) },
        later(None),
        later(Some("xy")),
        Row { stan: None, ..withdraw(1, &swipe(0, 1, 1)) },
        swipe(2, 1, 1),
    ];
    let lines = feed(&mut unit, 0, &rows);
    let letters = of(&lines, "dead_letters");
    let seen: Vec<_> = letters.iter().map(|line| (line.offset, line.get("reason"), line.get("detail"))).collect();
    let no_id = "column payment_id is not 28 hexadecimal digits";
    let no_time = "column received_at is before 1970 or after the year 9999";
    let no_kind = "column kind names no kind that decode knows";
    assert_eq!(
        seen,
        [
            (0, "time_out_of_range", no_time),
            (1, "time_out_of_range", no_time),
            (2, "unknown_kind", no_kind),
            (3, "unknown_kind", no_kind),
            (4, "swipe_without_sender", "missing or unreadable: reader_id"),
            (5, "swipe_without_sender", "missing or unreadable: merchant_id, stan"),
            (6, "malformed", "unreadable: amount_minor"),
            (7, "no_payment_id", no_id),
            (8, "no_payment_id", no_id),
            (9, "withdraw_without_sender", "missing or unreadable: stan"),
        ]
    );
    assert!(letters.iter().all(|line| line.get("unit") == "decode"));
    assert_eq!((letters[0].get("event_time"), letters[0].get("ingest_time")), ("", ""));
    assert_eq!(letters[2].get("event_time"), "2027-01-01T08:00:00Z");
    assert_eq!(of(&lines, "payments").iter().map(|line| line.offset).collect::<Vec<_>>(), [10]);
}

#[test]
fn a_bundle_fills_three_tables() {
    let mut unit = unit_with_keys();
    let content = to_json(&bundle());
    let lines = publish(&mut unit, 42, &content).unwrap();
    let counts = ["merchants", "readers", "couriers"].map(|table| of(&lines, table).len());
    assert_eq!((counts, lines.len()), ([2, 2, 1], 5));
    let hash = ContentHash::of(&content).to_hex();
    for line in &lines {
        assert_eq!((line.offset, line.get("bundle")), (42, hash.as_str()));
        assert_eq!((line.get("event_time"), line.get("ingest_time")), ("2027-01-01T08:00:00Z", "2027-01-01T08:00:00Z"));
    }
    let merchant = of(&lines, "merchants")[1];
    let columns = ["merchant_id", "name", "trade", "mcc", "zone", "currency", "active"];
    assert_eq!(columns.map(|name| merchant.get(name)), ["M2", "Shop M2", "cafe", "5814", "Asia/Tokyo", "EUR", "true"]);
    let reader = of(&lines, "readers")[0];
    let columns = ["reader_id", "merchant_id", "key_set", "active"];
    assert_eq!(columns.map(|name| reader.get(name)), ["R1", "M1", PUBLISHED_ID_TECH, "true"]);
    let courier = of(&lines, "couriers")[0];
    let columns = ["courier_id", "merchant_id", "reader_id", "device_id", "vehicle", "valid_from", "valid_to"];
    let expected = ["C2", "M2", "R2", "phone of C2", "bicycle", "1970-01-01T00:00:00Z", ""];
    assert_eq!(columns.map(|name| courier.get(name)), expected);
    let empty = schemas::bundles::DecodeBundle::default();
    assert_eq!(publish(&mut unit, 43, &to_json(&empty)).unwrap(), []);
}

/// Fails when a token key that is only in the ring counts, or an older control record.
#[test]
fn the_newest_token_key_by_control_record_makes_the_tokens() {
    let mut unit = unit_with(|_| {});
    let token = |line: crate::testing::Line| (line.get("token").to_string(), line.get("token_key_version").to_string());
    let under = |key: u8, version: &str| (CardToken::derive(&[key; 32], b"4111111111111111").to_hex(), version.into());
    let first = payment(&mut unit, swipe(0, 1, 1));
    enforce(&mut unit, "token_key", "2").unwrap();
    let second = payment(&mut unit, swipe(1, 2, 2));
    assert_eq!(first.get("payment_id")[..4], second.get("payment_id")[..4], "the route stays");
    assert_eq!((token(first), token(second)), (under(1, "1"), under(2, "2")));
    enforce(&mut unit, "token_key", "1").unwrap();
    assert_eq!(token(payment(&mut unit, swipe(2, 3, 3))), under(1, "1"));
}

#[test]
fn keys_that_are_not_in_the_ring_stop_the_unit() {
    let mut unit = unit_with(|_| {});
    for (kind, id) in [("key_set", "nobody's"), ("token_key", "3"), ("routing_key", "2"), ("pin_key", "1")] {
        let error = enforce(&mut unit, kind, id).unwrap_err();
        assert!(matches!(error, UnitError::NotLoadable { .. }) && error.to_string().contains(id), "{error}");
    }
    let mut other = DecodeUnit::new(KeyRing::published().with_token_key("1", [9; 32]).unwrap());
    let error = enforce(&mut other, "token_key", "1").unwrap_err().to_string();
    assert!(error.contains("check value"), "{error}");
}

/// Fails when a ring with another routing key is taken: payments would change their partition.
#[test]
fn a_routing_key_never_rotates() {
    let saved = unit_with_keys().save().unwrap();
    for other in [ring().with_routing_key("1", [8; 32]), ring().with_routing_key("2", [7; 32])] {
        let error = DecodeUnit::new(other).restore(&saved, &Shelf(vec![])).unwrap_err();
        assert!(matches!(&error, UnitError::NotLoadable { what, .. } if what == "routing_key \"1\""), "{error}");
    }
}

#[test]
fn a_state_is_restored_only_with_what_it_names() {
    let mut unit = unit_with(|_| {});
    feed(&mut unit, 0, &[swipe(0, 1, 1)]);
    let saved = unit.save().unwrap();
    let shelf = Shelf(vec![to_json(&bundle())]);
    let restore = |ring: KeyRing, bytes: &[u8], shelf: &Shelf| {
        let mut unit = DecodeUnit::new(ring);
        unit.restore(bytes, shelf).map(|()| unit.save().unwrap())
    };
    assert_eq!(restore(ring(), &saved, &shelf).unwrap(), saved);
    let not_loadable = |result: Result<Vec<u8>, UnitError>| matches!(result, Err(UnitError::NotLoadable { .. }));
    assert!(not_loadable(restore(ring(), &saved, &Shelf(vec![]))), "no bundle");
    assert!(not_loadable(restore(KeyRing::published(), &saved, &shelf)), "no token key");
    struct Wrong;
    impl schemas::unit::BundleSource for Wrong {
        fn bundle(&self, _: ContentHash) -> Result<Vec<u8>, String> {
            Ok(to_json(&schemas::bundles::DecodeBundle::default()))
        }
    }
    assert!(matches!(DecodeUnit::new(ring()).restore(&saved, &Wrong), Err(UnitError::NotLoadable { .. })));
    let mut layout = saved.clone();
    layout[0] += 1;
    let longer = [&saved[..], &[0]].concat();
    for bytes in [&layout[..], &longer, &saved[..saved.len() - 1], &[]] {
        let mut unit = DecodeUnit::new(ring());
        assert!(matches!(unit.restore(bytes, &shelf), Err(UnitError::Snapshot { .. })));
        assert_eq!(unit.save().unwrap(), DecodeUnit::new(ring()).save().unwrap(), "nothing changed");
    }
}

/// The published frame has a card number that fails its check digit, on purpose.
#[test]
fn the_published_frame_is_opened_and_refused() {
    let mut unit = unit_with(|_| {});
    let row = Row { frame: Some(crate::idtech::tests::published_frame()), ..swipe(0, 1, 1) };
    let line = payment(&mut unit, row);
    assert_eq!(line.findings(), ["invalid_card_number", "expired_card"]);
    assert_eq!(line.get("token"), CardToken::derive(&[1; 32], b"4266841088889999").to_hex());
    assert_eq!((line.get("last4"), line.get("scheme"), line.get("name_present")), ("9999", "Visa", "present"));
    assert_eq!(line.get("ksn"), "62994901190000000001");
    let ksn = Ksn::from_hex(line.get("ksn")).unwrap();
    let route = Route::of_card(&[7; 32], b"4266841088889999");
    assert_eq!(line.get("payment_id"), PaymentId::derive(route, "R1", &ksn.bytes(), 1).to_hex());
}

#[test]
fn time_is_the_records_own_to_the_ends_of_the_calendar() {
    let mut unit = unit_with(|_| {});
    let last_us = 253_402_300_799_999_999;
    let lines = feed(&mut unit, 0, &[Row { received_us: 0, ..swipe(0, 1, 1) }]);
    assert_eq!(of(&lines, "payments")[0].get("event_time"), "1970-01-01T00:00:00Z");
    let mut outputs = Vec::new();
    let rows = crate::testing::batch(&[Row { received_us: last_us, ..swipe(0, 2, 2) }]);
    let input =
        schemas::unit::Input { topic: "transactions", partition: schemas::Partition(0), offsets: vec![1], rows };
    unit.process(&input, &mut outputs).unwrap();
    assert!(outputs.iter().any(|output| output.name == "payments" && output.rows.num_rows() == 1));
}
