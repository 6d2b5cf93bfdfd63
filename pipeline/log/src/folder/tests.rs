use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use proptest::prelude::*;

use super::*;
use crate::testing::{
    Folder, avro_file, joined, parquet_file, pings, read_all, read_file, rejects, swipe, transactions,
};

/// A log over these lines of a.ndjson and b.ndjson, read up to an offset.
fn read_to(folder: &Folder, offset: usize) -> LogIdentity {
    let mut log = folder.open(transactions());
    if offset > 0 {
        log.poll(offset).unwrap();
    }
    assert_eq!(log.position().0, i64::try_from(offset).unwrap());
    log.identity()
}

fn lines(count: usize) -> Vec<u8> {
    (0..count).map(|number| swipe(&format!("\"stan\":{number}")) + "\n").collect::<String>().into_bytes()
}

fn two_files() -> Folder {
    Folder::new(&[("a.ndjson", &lines(3)), ("b.ndjson", &lines(3))])
}

#[test]
fn names_order_the_files_and_hidden_and_partial_ones_are_passed_over() {
    let folder = Folder::new(&[
        ("b.ndjson", &lines(1)),
        ("a.ndjson", b"broken\n"),
        (".c.ndjson", &lines(1)),
        ("d.ndjson.partial", &lines(1)),
    ]);
    let mut log = folder.open(transactions());
    let read = read_all(&mut log, 10, &transactions());
    assert_eq!(read.offsets, [1]);
    assert_eq!(rejects(&read)[0].0, 0);
    assert_eq!(
        log.identity().files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(),
        ["a.ndjson", "b.ndjson"]
    );
    let bytes = lines(1).len() as u64 + 7;
    assert_eq!(log.progress(), (bytes, bytes));
}

#[test]
fn what_is_not_an_input_file_is_named() {
    let folder = Folder::new(&[("a.ndjson", b""), ("b.json", b"")]);
    let error = FolderLog::open(&folder.path(), transactions(), None).err().unwrap();
    assert!(error.to_string().contains("b.json: not an input file (.ndjson, .avro, .parquet or .csv)"), "{error}");
    let missing = folder.path().join("nowhere");
    let error = FolderLog::open(&missing, transactions(), None).err().unwrap();
    assert!(error.to_string().contains("nowhere") && !error.is_refusal(), "{error}");
    folder.remove("b.json");
    std::fs::create_dir(folder.path().join("c.csv")).unwrap();
    assert!(matches!(FolderLog::open(&folder.path(), transactions(), None), Err(LogError::NotInput { .. })));
}

#[test]
fn an_empty_folder_is_an_empty_log() {
    let folder = Folder::new(&[("a.csv", b"")]);
    let mut log = folder.open(pings());
    assert!(log.poll(1).unwrap().is_none());
    assert_eq!(log.identity(), LogIdentity::default());
}

#[test]
fn a_log_goes_on_in_grown_and_new_files() {
    let folder = two_files();
    let identity = read_to(&folder, 5);
    folder.append("b.ndjson", &lines(2));
    folder.write("c.ndjson", &lines(1));
    let mut log = folder.resume(transactions(), &identity).unwrap();
    assert_eq!(log.position(), Offset(5));
    assert_eq!(log.identity(), identity);
    assert_eq!(read_all(&mut log, 10, &transactions()).offsets, [5, 6, 7, 8]);
    assert_eq!(log.identity(), read_to(&folder, 9));
}

#[test]
fn an_unread_part_may_change() {
    let folder = two_files();
    let identity = read_to(&folder, 2);
    folder.write("a.ndjson", &[&lines(2)[..], b"broken\n"].concat());
    folder.write("b.ndjson", b"");
    folder.write("aa.ndjson", &lines(1));
    let read = read_all(&mut folder.resume(transactions(), &identity).unwrap(), 10, &transactions());
    assert_eq!((rejects(&read)[0].0, read.offsets), (2, vec![3]));
}

/// Each way in which the input may differ from what was read: the change, and how the refusal begins.
#[test]
fn other_input_is_refused_by_the_files_name() {
    type Change = fn(&Folder);
    let changes: [(Change, &str); 7] = [
        (|folder| folder.remove("a.ndjson"), "input file a.ndjson was read before and is gone"),
        (|folder| folder.remove("b.ndjson"), "input file b.ndjson was read before and is gone"),
        (|folder| folder.write("a.ndjson", &lines(2)), "input file a.ndjson has "),
        (|folder| folder.write("b.ndjson", &lines(1)), "input file b.ndjson has "),
        (|folder| folder.append("a.ndjson", &lines(1)), "input file a.ndjson has grown, but records of later files"),
        (|folder| folder.write("ab.ndjson", &lines(1)), "new input file ab.ndjson is mis-sorted: b.ndjson was read"),
        (|folder| folder.write("0.csv", b""), "new input file 0.csv is mis-sorted"),
    ];
    let identity = read_to(&two_files(), 5);
    for (change, start) in changes {
        let folder = two_files();
        change(&folder);
        let error = folder.error(transactions(), &identity);
        assert!(error.is_refusal() && error.to_string().starts_with(start), "{error}");
    }
    for name in ["a.ndjson", "b.ndjson"] {
        let folder = two_files();
        let mut content = lines(3);
        content[7] ^= 1;
        folder.write(name, &content);
        let error = folder.error(transactions(), &identity);
        assert!(error.is_refusal(), "{error}");
        assert!(error.to_string().starts_with(&format!("input file {name} is not what was read")), "{error}");
    }
    let folder = two_files();
    let error = FolderLog::open(&folder.path(), transactions(), Some((&identity, Offset(4)))).err().unwrap();
    assert!(error.is_refusal() && error.to_string().contains("below 5"), "{error}");
}

/// Fails if the rest of a line that was read before its writer had finished it is taken for a line of its own.
#[test]
fn a_file_that_grew_inside_its_last_record_is_refused() {
    let line = swipe("");
    let quote = "device_id,time,lat,lon\n\"t1\n";
    let cases = [
        ("a.ndjson", line.as_str(), "\n", transactions()),
        ("a.ndjson", &line[..20], &line[20..], transactions()),
        ("a.csv", "device_id,time,lat,lon\nt1,,1,2", "5\n", pings()),
        ("a.csv", quote, "\",,1,2\n", pings()),
    ];
    for (name, content, more, schema) in cases {
        let folder = Folder::new(&[(name, content.as_bytes())]);
        let mut log = folder.open(schema.clone());
        read_all(&mut log, 10, &schema);
        let identity = log.identity();
        assert!(folder.resume(schema.clone(), &identity).is_ok());
        folder.append(name, more.as_bytes());
        let error = folder.error(schema, &identity);
        assert!(error.is_refusal() && error.to_string().contains("has grown, but its last record"), "{error}");
    }
}

#[test]
fn columnar_files_must_stay_as_they_are_even_where_they_were_not_read_yet() {
    let rows = fixes(5);
    for (name, content) in [("a.parquet", parquet_file(&rows)), ("a.avro", avro_file(&rows))] {
        let folder = Folder::new(&[(name, &content)]);
        let mut log = folder.open(pings());
        log.poll(4).unwrap();
        let identity = log.identity();
        let mut resumed = folder.resume(pings(), &identity).unwrap();
        assert_eq!(resumed.identity(), identity);
        assert_eq!(resumed.poll(10).unwrap().unwrap().rows, rows.slice(4, 1));
        folder.append(name, b"x");
        assert!(matches!(folder.error(pings(), &identity), LogError::Grown { file, .. } if file == name));
        let mut changed = content;
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        folder.write(name, &changed);
        assert!(matches!(folder.error(pings(), &identity), LogError::Changed { file, .. } if file == name));
    }
}

#[test]
fn an_identity_comes_back_from_where_it_is_stored() {
    let identity = read_to(&two_files(), 5);
    let stored = serde_json::to_string(&identity).unwrap();
    assert_eq!(serde_json::from_str::<LogIdentity>(&stored).unwrap(), identity);
    assert_eq!(identity.rows(), 5);
}

/// A poll ends early where its records would fill the memory; nothing is lost by that.
#[test]
fn records_of_extreme_length_end_a_poll_early() {
    let long = swipe(&format!("\"extra\":\"{}\"", "x".repeat(crate::lines::RECORD_BYTES_MAX - 100))) + "\n";
    let count = POLL_TEXT_BYTES_MAX / long.len() + 10;
    let folder = Folder::new(&[("a.ndjson", long.repeat(count).as_bytes())]);
    let mut log = folder.open(transactions());
    let first = log.poll(usize::MAX).unwrap().unwrap().offsets.len();
    assert!(first < count, "{first} of {count}");
    assert_eq!(first + log.poll(usize::MAX).unwrap().unwrap().offsets.len(), count);
}

/// Rows of the pings topic.
fn fixes(count: usize) -> RecordBatch {
    let line = |number: usize| {
        format!("{{\"device_id\":\"t{number}\",\"time\":{number},\"lat\":53.5,\"lon\":{number},\"hired\":true}}\n")
    };
    read_file("a.ndjson", (0..count).map(line).collect::<String>().as_bytes(), &pings()).rows
}

/// One input file of any format, with good and broken records.
fn any_file() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let ndjson = prop::sample::select(vec![
        "{\"device_id\":\"a\",\"lat\":1}\n",
        "{\"device_id\":\"b\",\"time\":5}\r\n",
        "{\"device_id\":\"c\",\"lat\":\"north\"}\n",
        "{\"device_id\":[\"d\"]}\n",
        "broken\n",
        "{\"device_id\":\"e\",\n",
        "\n",
    ]);
    let csv = prop::sample::select(vec![
        "a,2026-03-01T10:00:00Z,1,2\n",
        "\"b\nb\",2026-03-01T10:00:00Z,1,2\r\n",
        "c,,,\n",
        "d,yesterday,1,2\n",
        "e,1\n",
        "\n",
    ]);
    let cut = any::<bool>();
    let text = |header: &'static str, records: Vec<&'static str>, cut: bool| {
        let mut content = format!("{header}{}", records.concat()).into_bytes();
        if cut {
            content.pop();
        }
        content
    };
    prop_oneof![
        (prop::collection::vec(ndjson, 0..12), cut).prop_map(move |(lines, cut)| ("ndjson", text("", lines, cut))),
        (prop::collection::vec(csv, 0..12), cut)
            .prop_map(move |(records, cut)| ("csv", text("id,time,lat,lon\n", records, cut))),
        (0..8_usize).prop_map(|count| ("parquet", parquet_file(&fixes(count)))),
        (0..8_usize).prop_map(|count| ("avro", avro_file(&fixes(count)))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Fails if what is read, or the identity at any offset, depends on where polls or runs ended; for example if
    /// empty files at the end of what was read stay in the identity.
    #[test]
    fn polls_and_restarts_change_nothing(
        files in prop::collection::vec(any_file(), 0..5),
        polls in prop::collection::vec((1..9_usize, any::<bool>()), 1..20),
    ) {
        let folder = Folder::new(&[]);
        for (number, (ending, content)) in files.iter().enumerate() {
            folder.write(&format!("{number}.{ending}"), content);
        }
        let schema = pings();
        let expected = read_all(&mut folder.open(schema.clone()), usize::MAX, &schema);
        let mut one_by_one = folder.open(schema.clone());
        let mut identities = BTreeMap::from([(Offset(0), one_by_one.identity())]);
        while one_by_one.poll(1).unwrap().is_some() {
            identities.insert(one_by_one.position(), one_by_one.identity());
        }
        let end = one_by_one.position().0;

        let mut log = folder.open(schema.clone());
        let mut batches = Vec::new();
        for (rows_max, restarts) in polls.iter().cycle() {
            let start = log.position();
            let Some(batch) = log.poll(*rows_max).unwrap() else { break };
            batches.push(batch);
            let reached = log.position();
            prop_assert_eq!(reached.0, end.min(start.0 + i64::try_from(*rows_max).unwrap()), "a poll is exact");
            prop_assert_eq!(&log.identity(), &identities[&reached]);
            if *restarts {
                log = folder.resume(schema.clone(), &identities[&reached]).unwrap();
                prop_assert_eq!(&log.identity(), &identities[&reached]);
            }
        }
        prop_assert_eq!(log.position().0, end);
        prop_assert_eq!(joined(batches, &schema), expected);
    }
}

/// Fails when a file alone is read otherwise than in its folder, or when its neighbours are read too.
#[test]
fn one_file_alone_is_a_log() {
    let csv = "device,time,lat,lon\na,2026-03-01T10:00:00Z,53,-6\na,never,53,-6\na,2026-03-01T10:00:01Z,53,-6\n";
    let folder = Folder::new(&[("a.csv", csv.as_bytes()), ("b.csv", csv.as_bytes()), ("c.CSV", csv.as_bytes())]);
    for name in ["a.csv", "c.CSV"] {
        let mut log = FolderLog::of_file(&folder.path().join(name), pings()).unwrap();
        let read = read_all(&mut log, 2, &pings());
        assert_eq!((read.rows.num_rows(), read.rejects.len()), (2, 1));
        assert_eq!(
            read.rejects[0].detail,
            format!("{name}, record 2: column time has a value that its type cannot hold")
        );
        assert_eq!(log.place_of(Offset(2)), format!("{name}, record 3"));
        assert_eq!(log.progress(), (csv.len() as u64, csv.len() as u64));
    }
    let mut both = folder.open(pings());
    while both.poll(10).unwrap().is_some() {}
    assert_eq!(
        [2, 3, 5].map(|offset| both.place_of(Offset(offset))),
        ["a.csv, record 3", "b.csv, record 1", "b.csv, record 3"]
    );
}

/// Rejecting record by record would say the same a million times, and not which columns there are.
#[test]
fn a_file_alone_without_the_columns_of_its_topic_is_refused_with_those_it_has() {
    let folder =
        Folder::new(&[("a.csv", b"imei,when\n1,2\n"), ("b.csv", "x".repeat(1_000).as_bytes()), ("c.xlsx", b"")]);
    let error = |name: &str| FolderLog::of_file(&folder.path().join(name), pings()).err().unwrap().to_string();
    let expected = "input file a.csv: the header does not name device_id,time,lat,lon; its columns are imei,when; name \
        those that are needed device_id (or device, vehicle_id, id), ";
    assert!(error("a.csv").starts_with(expected), "{}", error("a.csv"));
    assert!(error("b.csv").contains(&format!("its columns are {}...;", "x".repeat(300))));
    assert!(error("c.xlsx").contains("not an input file") && error("d.csv").contains("d.csv"));
    assert!(matches!(FolderLog::of_file(&folder.path(), pings()), Err(LogError::NotInput { .. })));
    let rows = RecordBatch::try_from_iter([("lat", Arc::new(StringArray::from(vec!["53"])) as _)]).unwrap();
    folder.write("e.parquet", &parquet_file(&rows));
    assert!(error("e.parquet").contains("the file has no column device_id,time,lon; its columns are lat;"));
}
