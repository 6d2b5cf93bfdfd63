//! Snapshots: byte-equal for equal S, whole or not there, and never the only copy.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::Offset;

use super::fakes::{Record, factor};
use super::world::{Crash, INSTANCE, World};
use crate::{RunnerError, Settings, SnapshotLabel, StoredSnapshot};

fn log_of(count: i64) -> Vec<Record> {
    let mut records: Vec<Record> = (0..count).map(|value| Record::Value(value * 7 - 20)).collect();
    records[1] = factor("first", "2");
    records[2] = Record::Reject;
    records
}

/// Alters the last byte of the states, behind a label that stays as it was.
fn damage(world: &World, name: &str) {
    let path = world.snapshot_folder().join(name);
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 33;
    bytes[last] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn with_sum(mut content: Vec<u8>) -> Vec<u8> {
    let sum = <sha2::Sha256 as sha2::Digest>::digest(&content);
    content.extend_from_slice(&sum);
    content
}

fn name(at: i64) -> String {
    format!("{at:020}.snapshot")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Fails if a snapshot holds anything of the run that wrote it: a time, its batches, the order of a hash map.
    #[test]
    fn snapshots_are_byte_equal_for_equal_offsets(
        crash_at in 1..10_u32,
        batch_sizes in proptest::collection::vec(1..9_usize, 1..4),
    ) {
        let mut plain = World::new(&log_of(22));
        plain.run(Crash::Never, &[64]).unwrap();
        let mut crashed = World::new(&log_of(22));
        let _ = crashed.run(Crash::Poll(crash_at), &batch_sizes);
        crashed.run(Crash::Never, &batch_sizes).unwrap();
        prop_assert_eq!(plain.snapshot_bytes(), crashed.snapshot_bytes());
        prop_assert_eq!(plain.files(), [name(20), name(22)]);
    }
}

/// Fails if `write` does not remove old snapshots, or removes the one before the newest.
#[test]
fn the_two_newest_snapshots_are_kept() {
    let mut world = World::new(&log_of(13));
    world.run(Crash::Poll(12), &[1]).unwrap_err();
    assert_eq!(world.files(), [name(4), name(8)]);
    let report = world.run(Crash::Never, &[1]).unwrap();
    assert_eq!(report.loaded_snapshot, Some(Offset(8)));
    assert_eq!(world.files(), [name(12), name(13)]);
}

/// Fails if a damaged snapshot is loaded (drop the comparison of the digest), or stops the start although an older
/// one is left.
#[test]
fn a_damaged_newest_snapshot_falls_back_to_the_one_before() {
    let mut world = World::new(&log_of(13));
    world.run(Crash::Poll(12), &[1]).unwrap_err();
    damage(&world, &name(8));
    let report = world.run(Crash::Never, &[5]).unwrap();
    assert_eq!((report.loaded_snapshot, report.started_at), (Some(Offset(4)), Offset(4)));
    assert!(report.rows_suppressed > 0);
    world.check_complete();
}

/// Fails if a run without a readable snapshot starts at the log's first record and so forgets which logic wrote the
/// rows.
#[test]
fn only_damaged_snapshots_are_an_error() {
    let mut world = World::new(&log_of(13));
    world.run(Crash::Poll(12), &[1]).unwrap_err();
    for at in [4, 8] {
        damage(&world, &name(at));
    }
    let error = world.run(Crash::Never, &[5]).unwrap_err();
    let RunnerError::Snapshot { path, reason } = &error else { panic!("{error}") };
    assert!(path.ends_with(&name(8)), "{path}");
    assert_eq!(reason, "its checksum does not fit its content");
    assert!(!error.is_refusal());
    world.check();
}

/// Fails if `from_bytes` reads any of these.
#[test]
fn what_is_no_snapshot_is_named() {
    let mut world = World::new(&log_of(5));
    world.run(Crash::Never, &[5]).unwrap();
    let path = world.snapshot_folder().join(name(5));
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(world.snapshot_folder().join(name(4))).unwrap();
    let body = &whole[..whole.len() - 32];
    let mut later = body.to_vec();
    later[8] = 9;
    let cases = [
        (Vec::new(), "shorter than its checksum"),
        (whole[..whole.len() - 1].to_vec(), "its checksum does not fit its content"),
        (with_sum(b"something".to_vec()), "it is not a snapshot"),
        (with_sum(b"TILLSNAP\x01".to_vec()), "it is not a snapshot"),
        (with_sum(later), "it has format 9, this program reads up to 3"),
    ];
    for (bytes, expected) in cases {
        std::fs::write(&path, bytes).unwrap();
        let error = world.run(Crash::Never, &[5]).unwrap_err();
        let RunnerError::Snapshot { reason, .. } = &error else { panic!("{error}") };
        assert_eq!(reason, expected);
    }
    let cut = |length: usize| with_sum(body[..length].to_vec());
    let second = StoredSnapshot::from_bytes(whole.clone()).unwrap().state("second").unwrap().len();
    let cases = [
        (cut(body.len() - 3), "the state of second is cut short"),
        (cut(body.len() - second - 1), "the state of first is cut short"),
        (with_sum([body, b"more"].concat()), "4 bytes follow its states"),
        (cut(16), "its checksum does not fit its content"),
    ];
    for (bytes, expected) in cases {
        std::fs::write(&path, bytes).unwrap();
        let error = world.run(Crash::Never, &[5]).unwrap_err();
        let RunnerError::Snapshot { reason, .. } = &error else { panic!("{error}") };
        assert_eq!(reason, expected);
    }
    std::fs::write(&path, whole).unwrap();
    assert_eq!(world.run(Crash::Never, &[5]).unwrap().loaded_snapshot, Some(Offset(5)));
}

/// What formats 1 and 2 had between version and sum; format 1 ended before the counts.
#[derive(serde::Serialize)]
struct OldBody {
    at: Offset,
    outputs: Vec<String>,
    partitions: u32,
    logic: BTreeMap<String, u32>,
    identity: log::LogIdentity,
    states: Vec<(String, Vec<u8>)>,
}

/// A snapshot as an older program wrote it.
fn in_format(version: u8, stored: &StoredSnapshot, units: &[&str]) -> Vec<u8> {
    let SnapshotLabel { at, outputs, partitions, logic, identity, output_partitions } = stored.label.clone();
    let states = units.iter().map(|unit| ((*unit).to_string(), stored.state(unit).unwrap().to_vec())).collect();
    let mut bytes = [b"TILLSNAP".as_slice(), &[version, 0, 0, 0]].concat();
    let body = OldBody { at, outputs, partitions, logic, identity, states };
    bytes = postcard::to_extend(&body, bytes).unwrap();
    if version > 1 {
        bytes = postcard::to_extend(&output_partitions, bytes).unwrap();
    }
    with_sum(bytes)
}

/// Fails if a program forgets how older ones wrote: without counts of outputs (1), or without a label of its own (2).
#[test]
fn snapshots_of_older_formats_are_read() {
    for version in [1, 2] {
        let mut world = World::new(&log_of(5));
        world.run(Crash::Never, &[5]).unwrap();
        std::fs::remove_file(world.snapshot_folder().join(name(4))).unwrap();
        let path = world.snapshot_folder().join(name(5));
        let mut stored = StoredSnapshot::from_bytes(std::fs::read(&path).unwrap()).unwrap();
        stored.label.output_partitions.insert("payments".to_string(), 12);
        let old = in_format(version, &stored, &["first", "second"]);
        let read = StoredSnapshot::from_bytes(old.clone()).unwrap();
        assert_eq!(read.label.output_partitions.len(), usize::from(version) - 1);
        assert_eq!(SnapshotLabel::read_from(&mut old.as_slice()).unwrap().unwrap(), read.label);
        std::fs::write(&path, old).unwrap();
        let report = world.run(Crash::Never, &[5]).unwrap();
        assert_eq!((report.loaded_snapshot, report.started_at), (Some(Offset(5)), Offset(5)));
        world.records = log_of(9).into();
        world.run(Crash::Never, &[2]).unwrap();
        assert_eq!(std::fs::read(world.snapshot_folder().join(name(8))).unwrap()[8], 3, "it writes its own format");
        world.check_complete();
    }
}

/// Fails if `open` leaves it, or a start reads it.
#[test]
fn what_an_interrupted_write_left_is_removed() {
    let mut world = World::new(&log_of(9));
    world.run(Crash::Poll(6), &[1]).unwrap_err();
    let left = world.snapshot_folder().join(format!("{:020}.{INSTANCE}.tmp", 8));
    std::fs::write(&left, b"TILLSNAP half of it").unwrap();
    let report = world.run(Crash::Never, &[2]).unwrap();
    assert!(!left.exists());
    assert_eq!(report.loaded_snapshot, Some(Offset(4)));
    world.check_complete();
}

/// Fails if a graceful stop takes no snapshot: the next start then replays.
#[test]
fn a_stopped_run_leaves_nothing_to_replay() {
    let mut world = World::new(&log_of(13));
    world.settings = Settings { batch_rows_max: 64, commit_rows: 100, snapshot_rows: 100 };
    let stopped = world.run(Crash::Stop(3), &[2]).unwrap();
    assert_eq!(stopped.ended_at, Offset(6));
    assert_eq!(world.files(), [name(0), name(6)]);
    let report = world.run(Crash::Never, &[2]).unwrap();
    assert_eq!((report.loaded_snapshot, report.rows_suppressed), (Some(Offset(6)), 0));
    world.check_complete();
}

/// Fails if a run that was stopped in its replay commits or snapshots behind the tables.
#[test]
fn a_run_that_stops_while_it_replays_moves_nothing_back() {
    let mut world = World::new(&log_of(13));
    world.settings = Settings { batch_rows_max: 64, commit_rows: 10, snapshot_rows: 100 };
    world.run(Crash::Poll(11), &[1]).unwrap_err();
    assert_eq!(world.tables.frontiers["quiet"], Offset(10));
    let stopped = world.run(Crash::Stop(2), &[2]).unwrap();
    assert_eq!((stopped.ended_at, world.tables.frontiers["quiet"]), (Offset(4), Offset(10)));
    world.check();
    world.run(Crash::Never, &[3]).unwrap();
    world.check_complete();
}
