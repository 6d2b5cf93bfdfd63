//! What vacuum and log cleanup remove and keep, checkpoints, and a table's long life. Files age by moving the present.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use schemas::Offset;

use super::support::{APP, OTHER_APP, Place, all_of, append_to, letters, letters_spec, places, to};
use crate::{KEEP_VERSIONS_S_MAX, KEEP_VERSIONS_S_MIN, LakeError, Maintenance, MaintenancePolicy, disk};

const HOUR_US: i64 = 3_600 * 1_000_000;
const KEEP_US: i64 = KEEP_VERSIONS_S_MIN as i64 * 1_000_000;

/// Merges whatever there is, and keeps what is younger than a day.
fn policy() -> MaintenancePolicy {
    MaintenancePolicy { files_min: 2, keep_versions_s: KEEP_VERSIONS_S_MIN, ..MaintenancePolicy::default() }
}

fn maintain_at(place: &Place, now_us: i64) -> Maintenance {
    place.lake().maintain(&letters_spec(), &policy(), now_us).unwrap().unwrap()
}

/// Rows of an old version, read from its files.
fn rows_at(place: &Place, version: u64) -> usize {
    let delta = place.load("dead_letters", Some(version));
    place.runtime.block_on(async {
        let context = datafusion::prelude::SessionContext::new();
        let frame = context.read_table(delta.table_provider().await.unwrap()).unwrap();
        frame.collect().await.unwrap().iter().map(arrow::array::RecordBatch::num_rows).sum()
    })
}

fn set_age(path: &Path, now_us: i64, age_us: i64) {
    let time = UNIX_EPOCH + Duration::from_micros((now_us - age_us) as u64);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Fails if vacuum takes another retention than the policy's, or another present than the one given.
#[test]
fn merged_files_stay_as_long_as_the_policy_keeps_old_versions() {
    let place = Place::new();
    let mut table = place.letters();
    for end in 1..=3 {
        append_to(&mut table, end).unwrap();
    }
    let merged_us = place.present_us("dead_letters");
    assert_eq!(maintain_at(&place, merged_us).files_merged, 3);
    assert_eq!(place.data_files("dead_letters").len(), 4);

    let early = maintain_at(&place, merged_us + KEEP_US - HOUR_US);
    assert_eq!((early.files_deleted, early.log_files_deleted), (0, 0));
    assert_eq!(rows_at(&place, 3), 3, "the version before the merge can be read");

    let late = maintain_at(&place, merged_us + KEEP_US + HOUR_US);
    assert_eq!(late.files_deleted, 3);
    assert_eq!(place.data_files("dead_letters").len(), 1);
    assert_eq!(place.stored(), all_of(0, 0..3));
    append_to(&mut table, 4).unwrap();
    assert_eq!(place.stored(), all_of(0, 0..4));
}

/// Fails if vacuum runs in mode Lite, `delete_staged` passes over a folder or an age, or either takes what is young.
#[test]
fn files_that_no_version_names_are_removed_when_they_are_old() {
    let place = Place::new();
    append_to(&mut place.letters(), 2).unwrap();
    let folder = place.folder_of("dead_letters");
    let log = disk::log_folder(&folder);
    let now_us = place.present_us("dead_letters");
    let (old, young) = (KEEP_US + HOUR_US, KEEP_US - HOUR_US);
    let files = [
        (folder.join("part-orphan-old.parquet"), old, false),
        (folder.join("part-orphan-young.parquet"), young, true),
        (folder.join("part-upload-old.parquet#1"), old, false),
        (folder.join("part-upload-young.parquet#1"), young, true),
        (log.join("00000000000000000002.json#12"), old, false),
        (log.join("00000000000000000002.json#13"), young, true),
        (log.join("notes#x"), old, true),
        (log.join("#7"), old, true),
        (log.join("7#"), old, true),
    ];
    for (path, age_us, _) in &files {
        std::fs::write(path, "begun").unwrap();
        set_age(path, now_us, *age_us);
    }
    let done = maintain_at(&place, now_us);
    assert_eq!((done.files_deleted, done.staged_files_deleted), (1, 2));
    for (path, _, stays) in &files {
        assert_eq!(path.exists(), *stays, "{}", path.display());
    }
    assert_eq!(place.stored(), all_of(0, 0..2));
}

/// Fails if an orphan's age is not judged by the present that was given: a crashed upload of a day ago is then kept.
#[test]
fn a_crashed_upload_is_removed_a_day_later_and_a_running_one_is_not() {
    let place = Place::new();
    let hook = std::sync::Arc::new(|_: &str, point| assert_ne!(point, crate::CommitPoint::AfterUpload, "dies here"));
    let mut dying = place.lake().with_commit_hook(hook).table(&letters_spec()).unwrap();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| append_to(&mut dying, 2))).expect_err("the run dies");
    append_to(&mut place.letters(), 2).unwrap();
    assert_eq!(place.data_files("dead_letters").len(), 2);
    let now_us = place.present_us("dead_letters");
    assert_eq!(maintain_at(&place, now_us).files_deleted, 0);
    assert_eq!(maintain_at(&place, now_us + KEEP_US + HOUR_US).files_deleted, 1);
    assert_eq!(place.stored(), all_of(0, 0..2));
}

/// Fails if log cleanup cuts more than the checkpoint covers, or the checkpoint lacks frontiers.
#[test]
fn a_table_whose_log_was_cut_reads_and_goes_on() {
    let place = Place::new();
    let mut table = place.letters();
    table.frontier(OTHER_APP).unwrap();
    table.append(&[letters(1, 0..1)], &[to(OTHER_APP, 1)]).unwrap();
    for end in 1..=5 {
        append_to(&mut table, end).unwrap();
    }
    let done = maintain_at(&place, place.present_us("dead_letters") + KEEP_US + HOUR_US);
    assert!(done.log_files_deleted >= 6, "{done:?}");
    let log = place.log_files("dead_letters");
    assert!(!log.contains(&"00000000000000000000.json".to_string()), "{log:?}");
    assert!(log.iter().any(|name| name.contains("checkpoint")), "{log:?}");

    let mut reopened = place.letters();
    assert_eq!(reopened.version(), done.version);
    assert_eq!(reopened.frontier(APP).unwrap(), Some(Offset(5)));
    assert_eq!(reopened.frontier(OTHER_APP).unwrap(), Some(Offset(1)));
    append_to(&mut reopened, 6).unwrap();
    assert_eq!(place.stored(), [all_of(0, 0..6), all_of(1, 0..1)].concat());
}

/// Fails if a handle from before the cut writes its next version into the hole where nobody reads it, or is stopped
/// although nobody wrote in its name (let `conflict` call `InvalidVersion` `Unclear`).
#[test]
fn a_handle_from_before_the_cut_is_fenced_or_catches_up() {
    let place = Place::new();
    let (mut table, mut zombie, mut late) = (place.letters(), place.letters(), place.letters());
    zombie.frontier(APP).unwrap();
    late.frontier(OTHER_APP).unwrap();
    for end in 1..=5 {
        append_to(&mut table, end).unwrap();
    }
    maintain_at(&place, place.present_us("dead_letters") + KEEP_US + HOUR_US);
    let error = append_to(&mut zombie, 5).unwrap_err();
    assert!(matches!(error, LakeError::Fenced { expected: None, found: Some(Offset(5)), .. }), "{error}");
    late.append(&[letters(1, 0..2)], &[to(OTHER_APP, 2)]).unwrap();
    assert_eq!(place.stored(), [all_of(0, 0..5), all_of(1, 0..2)].concat());
}

/// Fails if maintenance that is asked twice, with an earlier present, or at the longest retention removes something.
#[test]
fn a_present_that_goes_back_removes_nothing() {
    let place = Place::new();
    let mut table = place.letters();
    for end in 1..=4 {
        append_to(&mut table, end).unwrap();
    }
    let now_us = place.present_us("dead_letters");
    maintain_at(&place, now_us);
    let earlier = maintain_at(&place, now_us - 2 * KEEP_US);
    let longest = MaintenancePolicy { keep_versions_s: KEEP_VERSIONS_S_MAX, ..policy() };
    let later_us = now_us + KEEP_VERSIONS_S_MAX as i64 * 1_000_000 - HOUR_US;
    let kept = place.lake().maintain(&letters_spec(), &longest, later_us).unwrap().unwrap();
    for done in [earlier, kept] {
        assert_eq!((done.files_deleted, done.log_files_deleted, done.files_merged), (0, 0, 0));
    }
    assert_eq!(rows_at(&place, 4), 4);
}

/// Fails if appends write no checkpoint of their own, or a checkpoint forgets frontiers.
#[test]
fn frontiers_survive_checkpoints_compaction_vacuum_and_cleanup() {
    const END: i64 = 115;
    let place = Place::new();
    let mut table = place.letters();
    table.frontier(OTHER_APP).unwrap();
    table.append(&[letters(1, 0..2)], &[to(OTHER_APP, 2)]).unwrap();
    for end in 1..=END {
        append_to(&mut table, end).unwrap();
        if end == 105 {
            let log = place.log_files("dead_letters");
            assert!(log.contains(&"00000000000000000099.checkpoint.parquet".to_string()), "{log:?}");
            assert!(log.contains(&"_last_checkpoint".to_string()));
            let done = maintain_at(&place, place.present_us("dead_letters"));
            assert_eq!((done.files_merged, done.files_deleted), (106, 0));
        }
        if end == 110 {
            let done = maintain_at(&place, place.present_us("dead_letters") + KEEP_US + HOUR_US);
            assert_eq!((done.files_merged, done.files_deleted), (6, 106), "what was merged just now stays a day");
            assert!(done.log_files_deleted > 100, "{done:?}");
        }
    }
    assert_eq!(place.stored(), [all_of(0, 0..END), all_of(1, 0..2)].concat());
    let mut reopened = place.letters();
    assert_eq!(reopened.frontier(APP).unwrap(), Some(Offset(END)));
    assert_eq!(reopened.frontier(OTHER_APP).unwrap(), Some(Offset(2)));
    let answer = place.query("SELECT source_partition, source_offset FROM dead_letters WHERE source_offset = 100");
    assert_eq!(places(&answer), [(0, 100)]);
}
