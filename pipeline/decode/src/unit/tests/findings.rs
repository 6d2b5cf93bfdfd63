//! A swipe with one thing wrong shows that finding; with more things wrong, all of them by priority.

use schemas::bundles::DecodeBundle;
use schemas::ids::{PaymentId, Route};
use schemas::money::Currency;

use crate::DecodeUnit;
use crate::idtech::tests::resealed;
use crate::keys::{KeyRing, KeySet, PUBLISHED_BASE_KEY, PUBLISHED_ID_TECH, PUBLISHED_X9_24};
use crate::testing::{
    Card, Line, Row, VISA, bundle, enforce, frame_under, ksn, payment, publish, ring, swipe, swipe_of, to_json,
    unit_with, unit_with_keys,
};

/// The row of a swipe of this card under the changed bundle.
fn seen(bundle: impl FnOnce(&mut DecodeBundle), card: &Card, row: impl FnOnce(&mut Row)) -> Line {
    let mut changed = swipe_of(0, 1, 1, card);
    row(&mut changed);
    payment(&mut unit_with(bundle), changed)
}

const NONE: [&str; 0] = [];

#[test]
fn fields_out_of_bounds_are_refused_and_left_out() {
    type Case = (&'static str, fn(&mut Row), &'static str, &'static str);
    let cases: [Case; 15] = [
        ("amount_minor", |row| row.amount = None, "", "format_error"),
        ("amount_minor", |row| row.amount = Some(0), "0", "invalid_amount"),
        ("amount_minor", |row| row.amount = Some(-5), "-5", "invalid_amount"),
        ("amount_minor", |row| row.amount = Some(1_000_000_000_000), "1000000000000", "invalid_amount"),
        ("currency", |row| row.currency = None, "", "format_error"),
        ("currency", |row| row.currency = Some("XXX".into()), "XXX", "format_error"),
        ("currency", |row| row.currency = Some("USD".into()), "USD", "currency_not_allowed"),
        ("stan", |row| row.stan = Some(1_000_000), "1000000", "format_error"),
        ("stan", |row| row.stan = Some(-1), "-1", "format_error"),
        ("ksn", |row| row.frame = None, "", "format_error"),
        ("ksn", |row| row.frame = Some(vec![2; 1_025]), "", "format_error"),
        ("courier_id", |row| row.courier = Some("a\u{7}".into()), "", "format_error"),
        ("courier_id", |row| row.courier = Some(String::new()), "", "format_error"),
        ("terminal_time", |row| row.terminal_us = Some(i64::MAX), "", "format_error"),
        ("currency", |row| row.malformed = Some("terminal_time".into()), "EUR", "format_error"),
    ];
    for (column, change, value, finding) in cases {
        let line = seen(|_| {}, &VISA, change);
        assert_eq!((line.get(column), line.findings()), (value, vec![finding]), "{column}");
        assert_eq!(line.get("payment_id").len(), 28);
    }
    let long = "x".repeat(65);
    let line = seen(|_| {}, &VISA, |row| row.app_version = Some(long.clone()));
    assert_eq!(line.findings(), ["format_error"]);
    let line = seen(|_| {}, &VISA, |row| (row.merchant, row.reader) = (Some(long.clone()), Some(long.clone())));
    assert_eq!(line.findings(), ["format_error", "unknown_merchant", "unknown_reader"]);
    assert_eq!((line.get("merchant_id"), line.get("reader_id")), ("", ""));
    let route = Route::of_card(&[7; 32], b"4111111111111111");
    assert_eq!(line.get("payment_id"), PaymentId::derive(route, &long, &ksn(1, 1).bytes(), 1).to_hex());
}

#[test]
fn the_edges_of_bounds_are_inside() {
    let edge = "x".repeat(64);
    let line = seen(
        |_| {},
        &VISA,
        |row| {
            (row.stan, row.amount, row.courier) = (Some(999_999), Some(100_000), Some(edge.clone()));
        },
    );
    assert_eq!((line.findings(), line.get("courier_id")), (vec![], edge.as_str()));
    let line = seen(|_| {}, &VISA, |row| (row.stan, row.amount, row.terminal_us) = (Some(0), Some(1), None));
    assert_eq!(line.findings(), NONE);
    let rich = |bundle: &mut DecodeBundle| {
        (bundle.merchants[0].payment_minor_max, bundle.merchants[0].day_minor_max) = (i64::MAX, i64::MAX);
    };
    assert_eq!(seen(rich, &VISA, |row| row.amount = Some(999_999_999_999)).findings(), NONE);
}

#[test]
fn merchants_and_readers_must_be_known_active_and_belong_together() {
    let line = seen(|_| {}, &VISA, |row| row.merchant = Some("M9".into()));
    assert_eq!(line.findings(), ["unknown_merchant", "reader_of_other_merchant"]);
    assert_eq!((line.get("mcc"), line.get("expired_at_authorization")), ("", ""));
    assert_eq!(line.get("token").len(), 32, "the frame opens all the same");
    assert_eq!(seen(|bundle| bundle.merchants[0].active = false, &VISA, |_| {}).findings(), ["inactive_merchant"]);
    assert_eq!(seen(|_| {}, &VISA, |row| row.reader = Some("R9".into())).findings(), ["unknown_reader"]);
    assert_eq!(seen(|_| {}, &VISA, |row| row.reader = Some("R2".into())).findings(), ["reader_of_other_merchant"]);
    assert_eq!(seen(|bundle| bundle.readers[0].active = false, &VISA, |_| {}).findings(), ["reader_blocked"]);
    let yen = |bundle: &mut DecodeBundle| bundle.merchants[0].currency = Currency::JPY;
    assert_eq!(seen(yen, &VISA, |_| {}).findings(), ["currency_not_allowed"]);
}

/// Fails when a frame is tried under a key set that is not in force, or not the reader's.
#[test]
fn a_frame_opens_only_under_the_key_set_that_is_in_force_and_the_readers() {
    let line = seen(|bundle| bundle.readers[0].key_set = PUBLISHED_X9_24.into(), &VISA, |_| {});
    assert_eq!(line.findings(), ["unknown_key_set"]);
    let route = Route::of_reader(&[7; 32], "R1");
    assert_eq!(line.get("payment_id"), PaymentId::derive(route, "R1", &ksn(1, 1).bytes(), 1).to_hex());
    assert_eq!((line.get("ksn"), line.get("token")), ("62994901000001000001", ""));

    // A longer prefix elsewhere in the ring does not take the reader's frames.
    let longer = KeySet::new("longer", "629949010000", PUBLISHED_BASE_KEY, true).unwrap();
    let mut unit = DecodeUnit::new(ring().with_key_set(longer).unwrap());
    for (kind, id) in [("token_key", "1"), ("routing_key", "1")] {
        enforce(&mut unit, kind, id).unwrap();
    }
    publish(&mut unit, 0, &to_json(&bundle())).unwrap();
    assert_eq!(payment(&mut unit, swipe(0, 1, 1)).findings(), ["unknown_key_set"], "in the ring, not in force");
    enforce(&mut unit, "key_set", PUBLISHED_ID_TECH).unwrap();
    assert_eq!(payment(&mut unit, swipe(0, 2, 2)).get("key_set"), PUBLISHED_ID_TECH);
}

#[test]
fn before_keys_and_bundle_are_in_force_every_swipe_is_refused() {
    let line = payment(&mut DecodeUnit::new(ring()), swipe(0, 1, 1));
    assert_eq!(line.findings(), ["unknown_merchant", "unknown_reader", "unknown_key_set"]);
    assert_eq!(&line.get("payment_id")[..4], "0000");
    let line = payment(&mut unit_with_keys(), swipe(0, 1, 1));
    assert_eq!(line.findings(), ["unknown_merchant", "unknown_reader"]);
    assert_eq!((line.get("token").len(), line.get("decode_bundle"), line.get("scheme")), (32, "", ""));
    for (lacks, token_length) in [("token_key", 0), ("routing_key", 32)] {
        let mut unit = DecodeUnit::new(ring());
        for (kind, id) in [("key_set", PUBLISHED_ID_TECH), ("token_key", "1"), ("routing_key", "1")] {
            if kind != lacks {
                enforce(&mut unit, kind, id).unwrap();
            }
        }
        publish(&mut unit, 0, &to_json(&bundle())).unwrap();
        let line = payment(&mut unit, swipe(0, 1, 1));
        assert_eq!((line.findings(), line.get("token").len()), (vec!["unknown_key_set"], token_length), "{lacks}");
        assert_eq!(line.get("payment_id").starts_with("0000"), lacks == "routing_key");
    }
}

#[test]
fn frames_that_do_not_open_say_why() {
    let with = |change: fn(&mut Vec<u8>)| {
        seen(|_| {}, &VISA, |row| row.frame = Some(resealed(row.frame.as_deref().unwrap(), change)))
    };
    let damaged = seen(|_| {}, &VISA, |row| row.frame.as_mut().unwrap()[20] ^= 1);
    assert_eq!((damaged.findings(), damaged.get("ksn")), (vec!["damaged_frame"], ""));
    let route = Route::of_reader(&[7; 32], "R1");
    assert_eq!(damaged.get("payment_id"), PaymentId::derive(route, "R1", &[], 1).to_hex());
    // Another byte of ciphertext, before two hashes and the KSN: the hash does not fit any more.
    let closed = with(|card_data| {
        let place = card_data.len() - 60;
        card_data[place] ^= 1;
    });
    assert_eq!((closed.findings(), closed.get("ksn")), (vec!["cannot_decrypt"], "62994901000001000001"));
    assert_eq!(closed.get("payment_id"), PaymentId::derive(route, "R1", &ksn(1, 1).bytes(), 1).to_hex());
    // The second character of the masked track 1.
    assert_eq!(with(|card_data| card_data[8] = b'5').findings(), ["tracks_disagree"]);
    let no_card = frame_under(ksn(1, 1), &Card { number: "4111111", ..VISA });
    assert_eq!(seen(|_| {}, &VISA, |row| row.frame = Some(no_card)).findings(), ["no_track"]);
    let zero = with(|card_data| *card_data.last_mut().unwrap() = 0);
    assert_eq!(zero.findings(), ["illegal_counter"]);
    let many_ones = with(|card_data| {
        let end = card_data.len();
        card_data[end - 2..].copy_from_slice(&[0x07, 0xFF]);
    });
    assert_eq!(many_ones.findings(), ["illegal_counter"]);
    for line in [damaged, closed, zero] {
        let columns = ["token", "last4", "scheme", "name_present", "chip_capable", "key_set"];
        assert_eq!(columns.map(|name| line.get(name)), [""; 6]);
    }
}

#[test]
fn cards_are_refused_by_number_name_and_service_code() {
    let check = |card: &Card, expected: &[&str]| {
        assert_eq!(seen(|_| {}, card, |_| {}).findings(), expected, "{card:?}");
    };
    let named = |name| Card { name, ..VISA };
    check(&Card { number: "4111111111111112", ..VISA }, &["invalid_card_number"]);
    check(&Card { number: "5105105105105100", ..VISA }, &["unknown_issuer"]);
    for nobody in [" /", "VALUED CUSTOMER", "VALUED/CUSTOMER", "   "] {
        check(&named(Some(nobody)), &["no_name_card"]);
    }
    check(&named(None), &["name_unknown"]);
    let lenient = seen(|bundle| bundle.decline_unknown_name = false, &named(None), |_| {});
    assert_eq!((lenient.findings(), lenient.get("name_present")), (vec![], "unknown"));
    assert_eq!(seen(|_| {}, &named(Some(" /")), |_| {}).get("name_present"), "absent");
    for service in ["100", "103", "104", "105", "120"] {
        check(&Card { service, ..VISA }, &["service_not_allowed"]);
    }
    for (service, flags) in [
        ("101", ["false", "false"]),
        ("102", ["false", "false"]),
        ("206", ["true", "false"]),
        ("621", ["true", "true"]),
        ("541", ["false", "true"]),
        ("=", ["", ""]),
    ] {
        let line = seen(|_| {}, &Card { service, ..VISA }, |_| {});
        assert_eq!([line.get("chip_capable"), line.get("online_only")], flags, "{service}");
        assert_eq!(line.findings(), NONE, "{service}");
    }
    let line = seen(|_| {}, &Card { expiry: "=", ..VISA }, |_| {});
    assert_eq!((line.findings(), line.get("expired_at_authorization")), (vec![], ""));
}

/// Fails when test cards pass outside a demo.
#[test]
fn test_cards_are_for_demos() {
    let test_card = Card { service: "901", ..VISA };
    assert_eq!(seen(|_| {}, &test_card, |_| {}).findings(), NONE);
    let published = KeySet::new(PUBLISHED_ID_TECH, "62994901", PUBLISHED_BASE_KEY, true).unwrap();
    let live = KeyRing::default().with_key_set(published).unwrap().with_token_key("1", [1; 32]).unwrap();
    let mut unit = DecodeUnit::new(live.with_routing_key("1", [7; 32]));
    for (kind, id) in [("key_set", PUBLISHED_ID_TECH), ("token_key", "1"), ("routing_key", "1")] {
        enforce(&mut unit, kind, id).unwrap();
    }
    publish(&mut unit, 0, &to_json(&bundle())).unwrap();
    assert_eq!(payment(&mut unit, swipe_of(0, 1, 1, &test_card)).findings(), ["service_not_allowed"]);
}

/// Fails when the month ends by UTC, or a day early: 31 January ends in Tokyo at 15:00 UTC, in Dublin at midnight.
#[test]
fn a_card_expires_with_its_month_in_the_merchants_zone() {
    let card = Card { expiry: "2701", ..VISA };
    let mut unit = unit_with(|_| {});
    let mut expired = |merchant: &str, reader: &str, received_at: &str, stan: i32| {
        let received_us = received_at.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let swipe = swipe_of(0, stan, stan as u32, &card);
        let row = Row { merchant: Some(merchant.into()), reader: Some(reader.into()), received_us, ..swipe };
        let line = payment(&mut unit, row);
        let is_expired = line.get("expired_at_authorization") == "true";
        assert_eq!(line.findings() == ["expired_card"], is_expired);
        is_expired
    };
    assert!(!expired("M2", "R2", "2027-01-31T14:59:59.999999Z", 1));
    assert!(expired("M2", "R2", "2027-01-31T15:00:00Z", 2));
    assert!(!expired("M1", "R1", "2027-01-31T23:59:59.999999Z", 3));
    assert!(expired("M1", "R1", "2027-02-01T00:00:00Z", 4));
}

/// Fails when a check returns at its first finding.
#[test]
fn every_finding_is_stored_highest_priority_first() {
    let card = Card { number: "5105105105105101", name: Some(" /"), expiry: "2601", service: "120" };
    let strict = |bundle: &mut DecodeBundle| {
        let merchant = &mut bundle.merchants[0];
        (merchant.active, merchant.payment_minor_max, merchant.day_minor_max) = (false, 1_199, 1_199);
        merchant.day_count_max = 0;
        (bundle.readers[0].active, bundle.readers[0].counter_min) = (false, 2);
    };
    let line = seen(strict, &card, |row| row.stan = Some(1_000_000));
    let expected = [
        "format_error",
        "inactive_merchant",
        "reader_blocked",
        "replayed_counter",
        "invalid_card_number",
        "unknown_issuer",
        "no_name_card",
        "service_not_allowed",
        "expired_card",
        "payment_limit",
        "merchant_day_amount",
        "merchant_day_count",
    ];
    assert_eq!(line.findings(), expected);
}
