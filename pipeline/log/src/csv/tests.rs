use super::*;
use crate::testing::{pings, read_file, rejects, transactions, values};

#[test]
fn recordings_come_through_with_their_own_column_names() {
    let content = "\u{feff}device_id,timestamp,lat,lon,bearing,trip_id\r\n\
                   4716,2026-01-26T15:57:02Z,53.44451,-2.925173,,1091\r\n\
                   4716,2026-01-26 15:57:24,53.445026,-2.923543,53,1091";
    let read = read_file("a.csv", content.as_bytes(), &pings());
    assert_eq!(rejects(&read), []);
    assert_eq!(values(&read, "device_id"), ["4716", "4716"]);
    assert_eq!(values(&read, "time"), ["1769443022000000", "1769443044000000"]);
    assert_eq!(values(&read, "lat"), ["53.44451", "53.445026"]);
    assert_eq!(values(&read, "lon"), ["-2.925173", "-2.923543"]);
    assert_eq!(values(&read, "bearing_deg"), ["-", "53"]);
    assert_eq!(values(&read, "kind"), ["-", "-"]);
}

#[test]
fn each_broken_record_is_rejected_alone() {
    let mut content = b"id,time,lat,lon,hired\n\
        t1,2026-01-26T15:57:02Z,53.4,-2.9,1\n\
        \n\
        t1,2026-01-26T15:57:02Z,53.4,-2.9\n\
        t1,2026-01-26T15:57:02Z,53.4,-2.9,1,2\n\
        t1,1769443022,53.4,-2.9,1\n\
        t1,2026-01-26T15:57:02Z,north,-2.9,1\n\
        t1,2026-01-26T15:57:02Z,inf,-2.9,1\n\
        t1\r,2026-01-26T15:57:02Z,53.4,-2.9,1\n\
        \"t\n\"\"2\"\"\",2026-01-26T15:57:02+01:00, 53.4 ,-2.9,FALSE\n\
        t"
    .to_vec();
    content.extend_from_slice(b"\xff,2026-01-26T15:57:02Z,53.4,-2.9,1\n\"t1,2026-01-26T15:57:02Z,53.4,-2.9,1\n");
    let read = read_file("a.csv", &content, &pings());
    assert_eq!(
        rejects(&read),
        [
            (1, reason::EMPTY_LINE, "a.csv, record 2: nothing on it"),
            (2, reason::WRONG_FIELD_COUNT, "a.csv, record 3: not 5 fields as in the header"),
            (3, reason::WRONG_FIELD_COUNT, "a.csv, record 4: not 5 fields as in the header"),
            (4, reason::BAD_VALUE, "a.csv, record 5: column time has a value that its type cannot hold"),
            (5, reason::BAD_VALUE, "a.csv, record 6: column lat has a value that its type cannot hold"),
            (6, reason::BAD_VALUE, "a.csv, record 7: column lat has a value that its type cannot hold"),
            (7, reason::WRONG_FIELD_COUNT, "a.csv, record 8: not 5 fields as in the header"),
            (9, reason::BAD_UTF8, "a.csv, record 10: not UTF-8"),
            (10, reason::UNCLOSED_QUOTE, "a.csv, record 11: a quote opens that does not close"),
        ]
    );
    assert_eq!(values(&read, "device_id"), ["t1", "t\n\"2\""]);
    assert_eq!(values(&read, "hired"), ["true", "false"]);
    assert_eq!(values(&read, "time"), ["1769443022000000", "1769439422000000"]);
}

#[test]
fn a_header_without_a_needed_column_rejects_each_record() {
    let read = read_file("a.csv", b"device,lat\nt1,1\nt2,2\n", &pings());
    let cause = "the header does not name time,lon";
    assert_eq!(
        rejects(&read),
        [
            (0, reason::MISSING_COLUMN, format!("a.csv, record 1: {cause}").as_str()),
            (1, reason::MISSING_COLUMN, format!("a.csv, record 2: {cause}").as_str()),
        ]
    );
}

#[test]
fn the_rules_of_required_and_malformed_columns_hold_too() {
    let content = "kind,received_at,amount_minor,frame\n\
                   swipe,2026-01-26T15:57:02Z,twelve,0g\n\
                   ,2026-01-26T15:57:02Z,12,0a\n\
                   swipe,2026-01-26T15:57:02Z,12,0a\n";
    let read = read_file("a.csv", content.as_bytes(), &transactions());
    assert_eq!(rejects(&read), [(1, reason::MISSING_COLUMN, "a.csv, record 2: column kind has no value")]);
    assert_eq!(values(&read, "malformed"), ["amount_minor,frame", "-"]);
    assert_eq!(values(&read, "amount_minor"), ["-", "12"]);
}

#[test]
fn files_without_records_are_empty() {
    for content in ["", "device_id,time,lat,lon\n", "device_id,time,lat,lon"] {
        assert!(read_file("a.csv", content.as_bytes(), &pings()).offsets.is_empty());
    }
}
