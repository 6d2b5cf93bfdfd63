use proptest::prelude::*;
use schemas::topics::MALFORMED;

use super::*;
use crate::testing::{pings, read_file, rejects, swipe, transactions, values};

#[test]
fn each_type_is_read_from_its_json() {
    let line =
        swipe(r#""stan":17,"amount_minor":-1250,"frame":"0aFf","terminal_time":1772359200250000,"currency":"EUR""#);
    let read = read_file("a.ndjson", format!("{line}\r\n{line}").as_bytes(), &transactions());
    assert_eq!(rejects(&read), []);
    assert_eq!(read.offsets, [0, 1]);
    for (column, value) in [
        ("received_at", "1772359200250000"),
        ("terminal_time", "1772359200250000"),
        ("stan", "17"),
        ("amount_minor", "-1250"),
        ("frame", "0aff"),
        ("currency", "EUR"),
        ("merchant_id", "-"),
        (MALFORMED, "-"),
    ] {
        assert_eq!(values(&read, column), [value, value], "{column}");
    }
}

#[test]
fn each_broken_line_is_rejected_alone_and_says_where() {
    let good = swipe("");
    let lines: [(&[u8], &str); 11] = [
        (b"", reason::EMPTY_LINE),
        (b" \t\r", reason::EMPTY_LINE),
        (b"gateway restarted", reason::BAD_JSON),
        (b"{\"kind\":\"tick\",", reason::BAD_JSON),
        (b"{\"kind\":\"tick\"}{}", reason::BAD_JSON),
        (b"[{\"kind\":\"tick\"}]", reason::BAD_JSON),
        (b"null", reason::BAD_JSON),
        (b"{\"kind\":\"a\\ud800\"}", reason::BAD_JSON),
        (b"{\"kind\":\"\xff\"}", reason::BAD_UTF8),
        (b"{\"kind\":NaN}", reason::BAD_JSON),
        (b"{\"received_at\":\"2026-03-01T10:00:00Z\"}", reason::MISSING_COLUMN),
    ];
    let mut content = Vec::new();
    for (line, _) in lines {
        content.extend_from_slice(line);
        content.extend_from_slice(format!("\n{good}\n").as_bytes());
    }
    let read = read_file("a.ndjson", &content, &transactions());
    let found: Vec<_> = rejects(&read).into_iter().map(|(offset, reason, _)| (offset, reason)).collect();
    let expected: Vec<_> = (0..).step_by(2).zip(lines).map(|(offset, (_, reason))| (offset, reason)).collect();
    assert_eq!(found, expected);
    assert_eq!(read.offsets, (1..22).step_by(2).collect::<Vec<_>>());
    assert_eq!(read.rejects[2].detail, "a.ndjson, line 5: not exactly one JSON object");
    assert_eq!(read.rejects[10].detail, "a.ndjson, line 21: column kind has no value");
}

/// Fails if only the number of decoded objects in a chunk is compared with its number of lines: the first two lines
/// are one object together, and the third holds two.
#[test]
fn an_object_over_two_lines_does_not_hide_two_objects_on_one() {
    let content = format!("{{\"kind\":\"swipe\",\n\"stan\":1}}\n{0}{0}\n{0}\n", swipe(""));
    let read = read_file("a.ndjson", content.as_bytes(), &transactions());
    assert_eq!(rejects(&read).iter().map(|reject| reject.0).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(read.offsets, [3]);
}

#[test]
fn an_unreadable_optional_value_becomes_null_and_is_named() {
    let unreadable = [
        (r#""amount_minor":"twelve""#, "amount_minor"),
        (r#""amount_minor":12.5"#, "amount_minor"),
        (r#""amount_minor":12.0"#, "amount_minor"),
        (r#""amount_minor":9223372036854775808"#, "amount_minor"),
        (r#""amount_minor":1e400"#, "amount_minor"),
        (r#""amount_minor":true"#, "amount_minor"),
        (r#""amount_minor":"""#, "amount_minor"),
        (r#""amount_minor":[12]"#, "amount_minor"),
        (r#""stan":2147483648"#, "stan"),
        (r#""frame":"0af""#, "frame"),
        (r#""frame":"0g""#, "frame"),
        (r#""frame":12.5"#, "frame"),
        (r#""merchant_id":{"id":"M-1"}"#, "merchant_id"),
        (r#""merchant_id":["M-1"]"#, "merchant_id"),
        (r#""terminal_time":"yesterday""#, "terminal_time"),
        (r#""terminal_time":"2026-03-01""#, "terminal_time"),
        (r#""terminal_time":"2026-03-01T10:00:00 CET""#, "terminal_time"),
        (r#""terminal_time":1.5"#, "terminal_time"),
        (r#""terminal_time":9223372036854775808"#, "terminal_time"),
        (r#""frame":"x","merchant_id":[],"stan":"x""#, "merchant_id,stan,frame"),
    ];
    let content: String = unreadable.iter().map(|(members, _)| swipe(members) + "\n").collect();
    let read = read_file("a.ndjson", content.as_bytes(), &transactions());
    assert_eq!(rejects(&read), []);
    assert_eq!(values(&read, MALFORMED), unreadable.map(|(_, names)| names));
    for (row, (_, names)) in unreadable.iter().enumerate() {
        for name in names.split(',') {
            assert_eq!(values(&read, name)[row], "-", "{name} in row {row}");
        }
    }
}

#[test]
fn what_the_rules_forgive() {
    let members = r#""amount_minor":"12","stan":1,"stan":2,"merchant_id":7,"malformed":"stan","extra":{"a":[1]}"#;
    let read = read_file("a.ndjson", swipe(members).as_bytes(), &transactions());
    assert_eq!(values(&read, "amount_minor"), ["12"]);
    assert_eq!(values(&read, "stan"), ["2"], "the last of two values counts");
    assert_eq!(values(&read, "merchant_id"), ["7"]);
    assert_eq!(values(&read, MALFORMED), ["-"], "what the record says about itself is not taken over");
}

#[test]
fn an_unreadable_required_value_rejects_the_record() {
    let content = "{\"kind\":[],\"received_at\":\"2026-03-01T10:00:00Z\"}\n{\"kind\":\"tick\",\"received_at\":\"x\"}\n\
                   {\"kind\":\"tick\",\"received_at\":[1]}";
    let read = read_file("a.ndjson", content.as_bytes(), &transactions());
    let detail = |line, column| format!("a.ndjson, line {line}: column {column} has a value that its type cannot hold");
    assert_eq!(
        rejects(&read),
        [
            (0, reason::BAD_VALUE, detail(1, "kind").as_str()),
            (1, reason::BAD_VALUE, detail(2, "received_at").as_str()),
            (2, reason::BAD_VALUE, detail(3, "received_at").as_str()),
        ]
    );
}

#[test]
fn a_topic_without_the_malformed_column_rejects_unreadable_values() {
    let content = "{\"lat\":1e400}\n{\"lat\":\"NaN\"}\n{\"hired\":\"perhaps\"}\n{\"hired\":[true]}\n\
                   {\"lat\":95,\"hired\":false,\"time\":\"9999-12-31T23:59:59Z\"}";
    let read = read_file("a.ndjson", content.as_bytes(), &pings());
    let found: Vec<_> = rejects(&read).into_iter().map(|(offset, reason, _)| (offset, reason)).collect();
    assert_eq!(found, (0..4).map(|offset| (offset, reason::BAD_VALUE)).collect::<Vec<_>>());
    assert_eq!(values(&read, "lat"), ["95"], "what a value means is for the units to judge");
    assert_eq!(values(&read, "time"), ["253402300799000000"]);
}

#[test]
fn a_line_at_the_bound_is_read_and_one_above_is_skipped() {
    let padded = |bytes: usize| {
        let without = swipe(r#""extra":"""#).len();
        swipe(&format!(r#""extra":"{}""#, "x".repeat(bytes - without)))
    };
    let bound = crate::lines::RECORD_BYTES_MAX;
    let content = format!("{}\r\n{}\n{}\n", padded(bound), padded(bound + 1), padded(3 * bound));
    let read = read_file("a.ndjson", content.as_bytes(), &transactions());
    assert_eq!(read.offsets, [0]);
    let found: Vec<_> = rejects(&read).into_iter().map(|(offset, reason, _)| (offset, reason)).collect();
    assert_eq!(found, [(1, reason::LINE_TOO_LONG), (2, reason::LINE_TOO_LONG)]);
}

/// Overflows the stack if lists may reach the decoder's own complaints, which it writes by recursion.
#[test]
fn deep_nesting_costs_no_stack() {
    let depth = 500_000;
    let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let content = format!("{nested}\n{}\n{}\n", swipe(&format!("\"merchant_id\":{nested}")), swipe(""));
    let read = read_file("a.ndjson", content.as_bytes(), &transactions());
    assert_eq!(rejects(&read), [(0, reason::BAD_JSON, "a.ndjson, line 1: not exactly one JSON object")]);
    assert_eq!(values(&read, MALFORMED), ["merchant_id", "-"]);
}

#[test]
fn more_lines_than_a_chunk_holds_keep_their_order() {
    let line = |number: usize| match number % 700 {
        13 => "broken\n".to_string(),
        _ => swipe(&format!("\"stan\":{number}")) + "\n",
    };
    let content: String = (0..3_000).map(line).collect();
    let read = read_file("a.ndjson", content.as_bytes(), &transactions());
    assert_eq!(read.rejects.iter().map(|reject| reject.offset.0).collect::<Vec<_>>(), [13, 713, 1413, 2113, 2813]);
    let stans: Vec<String> = read.offsets.iter().map(i64::to_string).collect();
    assert_eq!(values(&read, "stan"), stans);
}

/// Lines of every sort that the rules know, and arbitrary bytes.
pub(crate) fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        swipe(""),
        swipe(r#""amount_minor":12,"stan":17"#),
        swipe(r#""amount_minor":"twelve""#),
        swipe(r#""merchant_id":{"a":[1]},"stan":[]"#),
        swipe(r#""merchant_id":"[{""#),
        swipe("") + &swipe(""),
        r#"{"kind":"tick"}"#.to_string(),
        r#"{"kind":"signature","received_at":"2026-"#.to_string(),
        r#","stan":1}"#.to_string(),
        "}".to_string(),
        "12".to_string(),
        String::new(),
    ];
    let bytes = prop::collection::vec(prop::sample::select(b"{}[]\",:\\u0d8e1-. tnk\xff\r".to_vec()), 0..12);
    prop_oneof![6 => prop::sample::select(known.to_vec()).prop_map(String::into_bytes), 1 => bytes]
}

proptest! {
    /// Fails if a broken line may take a neighbour with it, whichever lines stand beside it.
    #[test]
    fn a_line_reads_as_if_it_were_alone(lines in prop::collection::vec(any_line(), 1..40)) {
        let content = lines.join(&b'\n');
        // A file that ends in a line end has no empty line after it.
        let count = lines.len() - usize::from(lines.last().is_some_and(Vec::is_empty));
        let together = read_file("a.ndjson", &content, &transactions());
        prop_assert_eq!(together.offsets.len() + together.rejects.len(), count);
        for (line, offset) in lines[..count].iter().zip(0_i64..) {
            let alone = read_file("a.ndjson", &[line, &b"\n"[..]].concat(), &transactions());
            if let Ok(row) = together.offsets.binary_search(&offset) {
                prop_assert_eq!(together.rows.slice(row, 1), alone.rows);
            } else {
                let reject = together.rejects.iter().find(|reject| reject.offset.0 == offset).unwrap();
                prop_assert_eq!(reject.reason, alone.rejects[0].reason);
            }
        }
    }
}
