use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMicrosecondArray, new_null_array};
use schemas::topics;

use super::*;

type Row<'a> = (Option<&'a str>, Option<&'a str>, Option<i64>, f64, Option<f64>);

/// Kind, device, time, latitude and accuracy of each row.
fn rows(rows: &[Row<'_>]) -> RecordBatch {
    let schema = topics::pings();
    let column = |name: &str| -> Option<ArrayRef> {
        Some(match name {
            "kind" => Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>()),
            "device_id" => Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>()),
            "time" => {
                Arc::new(rows.iter().map(|row| row.2).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
            }
            "lat" | "lon" => Arc::new(rows.iter().map(|row| Some(row.3)).collect::<Float64Array>()),
            "accuracy_m" => Arc::new(rows.iter().map(|row| row.4).collect::<Float64Array>()),
            _ => return None,
        })
    };
    let columns = schema
        .fields()
        .iter()
        .map(|field| column(field.name()).unwrap_or_else(|| new_null_array(field.data_type(), rows.len())));
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

fn taken(batches: &[&[Row<'_>]]) -> (Recording, Vec<(usize, &'static str)>) {
    let (mut recording, mut bad) = (Recording::default(), Vec::new());
    for batch in batches {
        recording.add(&rows(batch), |row, reason, _| bad.push((row, reason))).unwrap();
    }
    (recording, bad)
}

/// Fails when devices are sorted, fixes of one are put in order of time, or a rare value slips to another fix.
#[test]
fn fixes_come_back_by_device_in_their_order() {
    let (b, a) = (Some("b"), Some("a"));
    let (recording, bad) = taken(&[
        &[(None, b, Some(5), 1.0, None), (None, a, Some(4), 2.0, Some(7.0))],
        &[(Some("ping"), b, Some(3), 3.0, None), (None, a, Some(9), 4.0, None), (None, b, Some(8), 5.0, Some(6.0))],
    ]);
    assert_eq!((recording.fixes(), bad), (5, vec![]));
    let tracks = recording.by_device();
    assert_eq!(tracks.devices(), ["b", "a"]);
    let track = |device: usize| {
        let fixes = tracks.track(device).map(|fix| (fix.time_us, fix.place.lat, fix.accuracy_m));
        fixes.collect::<Vec<_>>()
    };
    assert_eq!(track(0), [(5, 1.0, None), (3, 3.0, None), (8, 5.0, Some(6.0))]);
    assert_eq!(track(1), [(4, 2.0, Some(7.0)), (9, 4.0, None)]);
    assert_eq!((tracks.fixes(), tracks.span_us()), (5, Some((3, 9))));
}

#[test]
fn what_is_no_fix_is_told_and_ticks_are_counted_apart() {
    let (recording, bad) = taken(&[&[
        (Some("tick"), None, None, 1.0, None),
        (Some("control"), None, None, 1.0, None),
        (None, None, Some(1), 1.0, None),
        (None, Some("a"), None, 1.0, None),
        (None, Some("a"), Some(1), 91.0, None),
        (Some("tock"), Some("a"), Some(1), 1.0, None),
    ]]);
    let expected = [(2, "device_missing"), (3, "time_missing"), (4, "latitude_out_of_range"), (5, "unknown_kind")];
    assert_eq!(bad, expected);
    assert_eq!((recording.fixes(), recording.other_rows()), (0, 2));
    let tracks = recording.by_device();
    assert!(tracks.devices().is_empty() && tracks.span_us().is_none());
}
