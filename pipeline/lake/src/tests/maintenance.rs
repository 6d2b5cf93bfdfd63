//! Compaction: the same rows and frontiers in fewer files, by one compactor at a time, beside appenders.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::Offset;
use schemas::tables::SOURCE_OFFSET;

use super::support::{APP, OTHER_APP, Place, all_of, append_to, letters, letters_spec, to};
use crate::compact::compact;
use crate::{KEEP_VERSIONS_S_MAX, KEEP_VERSIONS_S_MIN, LakeError, Maintenance, MaintenancePolicy};

fn maintain(place: &Place, policy: &MaintenancePolicy) -> Result<Maintenance, LakeError> {
    let done = place.lake().maintain(&letters_spec(), policy, place.present_us("dead_letters"))?;
    Ok(done.expect("the table exists"))
}

fn merging_from(files_min: usize) -> MaintenancePolicy {
    MaintenancePolicy { files_min, ..MaintenancePolicy::default() }
}

fn listed_files(place: &Place) -> Option<u64> {
    place.session().tables().iter().find(|listing| listing.name == "dead_letters").unwrap().files
}

/// Fails if `maintain` does not judge its policy before it starts.
#[test]
fn a_policy_outside_its_bounds_is_refused() {
    let place = Place::new();
    for i in 1..10 {
        append_to(&mut place.letters(), i).unwrap();
    }
    for keep_versions_s in [0, KEEP_VERSIONS_S_MIN - 1, KEEP_VERSIONS_S_MAX + 1, u64::MAX] {
        let error = maintain(&place, &MaintenancePolicy { keep_versions_s, ..merging_from(2) }).unwrap_err();
        assert!(matches!(error, LakeError::Policy { .. }), "{error}");
        assert!(error.to_string().contains(&keep_versions_s.to_string()), "{error}");
    }
    assert_eq!(place.letters().version(), 9, "nothing was done");
    for keep_versions_s in [KEEP_VERSIONS_S_MIN, KEEP_VERSIONS_S_MAX] {
        maintain(&place, &MaintenancePolicy { keep_versions_s, ..merging_from(2) }).unwrap();
    }
}

/// Fails if `maintain` creates what it is asked to keep in shape.
#[test]
fn a_table_that_does_not_exist_is_left_alone() {
    let place = Place::new();
    assert_eq!(place.lake().maintain(&letters_spec(), &MaintenancePolicy::default(), 0).unwrap(), None);
    assert!(!place.folder_of("dead_letters").exists());
}

/// Fails if compaction loses a column, a row or a frontier, or takes its own result for small files each time.
#[test]
fn compaction_keeps_rows_and_frontiers_in_fewer_files() {
    let place = Place::new();
    let mut table = place.letters();
    table.frontier(OTHER_APP).unwrap();
    table.append(&[], &[to(OTHER_APP, 77)]).unwrap();
    for end in (3..=24).step_by(3) {
        append_to(&mut table, end).unwrap();
    }
    let everything = "SELECT * FROM dead_letters ORDER BY source_offset";
    let before = place.query(everything);
    assert_eq!(listed_files(&place), Some(8));
    let too_few = maintain(&place, &merging_from(9)).unwrap();
    assert_eq!((too_few.files_merged, too_few.version), (0, 9), "below the number nothing is merged");

    let done = maintain(&place, &merging_from(8)).unwrap();
    assert_eq!((done.files_merged, done.files_written, done.rows_rewritten), (8, 1, 24));
    assert!(done.bytes_after > 0 && done.bytes_after < done.bytes_before, "{done:?}");
    assert_eq!((done.files_deleted, done.version), (0, 10), "the old files stay as long as old versions are kept");
    let changes = place.actions(10).into_iter().filter_map(|action| {
        let action = action.get("add").or(action.get("remove"))?;
        action["dataChange"].as_bool()
    });
    assert_eq!(changes.collect::<Vec<_>>(), [false; 9], "readers of changes see none");
    assert_eq!(place.query(everything), before);
    assert_eq!(listed_files(&place), Some(1));
    let again = maintain(&place, &merging_from(2)).unwrap();
    assert_eq!((again.files_merged, again.version), (0, 10));

    let mut reopened = place.letters();
    assert_eq!(reopened.frontier(APP).unwrap(), Some(Offset(24)));
    assert_eq!(reopened.frontier(OTHER_APP).unwrap(), Some(Offset(77)));
    append_to(&mut table, 25).unwrap();
    assert_eq!(place.stored(), all_of(0, 0..25), "a handle from before goes on");
}

/// Fails if `choose` does not sort: the files then follow each other by their random names.
#[test]
fn merged_rows_keep_the_order_of_the_log() {
    let place = Place::new();
    let mut table = place.letters();
    for end in 1..=12 {
        append_to(&mut table, end).unwrap();
    }
    let before = place.data_files("dead_letters");
    maintain(&place, &merging_from(2)).unwrap();
    let merged: Vec<_> = place.data_files("dead_letters").into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(merged.len(), 1);
    let file = File::open(place.folder_of("dead_letters").join(&merged[0])).unwrap();
    let mut offsets = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let column = batch.column_by_name(SOURCE_OFFSET).unwrap().as_primitive::<Int64Type>().clone();
        offsets.extend(column.values().iter().copied());
    }
    assert_eq!(offsets, (0..12).collect::<Vec<_>>());
}

/// Fails if `choose` passes over `small_file_bytes` or `files_max`.
#[test]
fn only_small_files_are_merged_and_only_so_many() {
    let place = Place::new();
    let mut table = place.letters();
    append_to(&mut table, 4_000).unwrap();
    let large = place.folder_of("dead_letters").join(&place.data_files("dead_letters")[0]).metadata().unwrap().len();
    for end in 4_001..4_007 {
        append_to(&mut table, end).unwrap();
    }
    let policy = MaintenancePolicy { small_file_bytes: large, files_max: 4, ..merging_from(2) };
    let done = maintain(&place, &policy).unwrap();
    assert_eq!((done.files_merged, done.rows_rewritten), (4, 4));
    assert_eq!(listed_files(&place), Some(4), "the large one, two left over and the merged one");
    assert_eq!(place.stored().len(), 4_006);
}

/// Fails without the `txn` of the compactor: both commits land and each row is there twice.
#[test]
fn the_second_of_two_compactors_is_refused() {
    let place = Place::new();
    let mut table = place.letters();
    for end in 1..=4 {
        append_to(&mut table, end).unwrap();
    }
    let folder = place.folder_of("dead_letters");
    let policy = merging_from(2);
    let (first, second) = (place.load("dead_letters", None), place.load("dead_letters", None));
    let merge = |delta| place.runtime.block_on(compact("dead_letters", &folder, delta, &policy, 0));
    assert_eq!(merge(&first).unwrap().unwrap().files_before, 4);
    let error = merge(&second).unwrap_err();
    assert!(matches!(&error, LakeError::Fenced { app_id, .. } if app_id == "compactor"), "{error}");
    assert_eq!(place.stored(), all_of(0, 0..4));

    append_to(&mut table, 5).unwrap();
    assert_eq!(maintain(&place, &policy).unwrap().files_merged, 2, "the next round takes over");
    assert_eq!(place.stored(), all_of(0, 0..5));
}

/// Fails if an append's commit disturbs a compaction or the other way round, or a compaction drops rows appended
/// after its snapshot.
#[test]
fn compaction_works_beside_an_appender() {
    const END: i64 = 60;
    let place = Place::new();
    let done = AtomicBool::new(false);
    let merged = thread::scope(|scope| {
        let appender = scope.spawn(|| {
            let mut table = place.letters();
            for end in 1..=END {
                append_to(&mut table, end).unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut merged = 0;
        while !done.load(Ordering::SeqCst) && !appender.is_finished() {
            if place.folder_of("dead_letters").join("_delta_log/00000000000000000001.json").exists() {
                merged += maintain(&place, &merging_from(2)).unwrap().files_merged;
            }
        }
        appender.join().unwrap();
        merged
    });
    assert!(merged > 0, "at least one round found small files");
    assert_eq!(place.stored(), all_of(0, 0..END));
    assert_eq!(place.letters().frontier(APP).unwrap(), Some(Offset(END)));
}

/// Fails if the rows read are not compared with what the log says of the file.
#[test]
fn a_file_that_lost_its_rows_stops_the_compaction() {
    let place = Place::new();
    let mut table = place.letters();
    append_to(&mut table, 3).unwrap();
    append_to(&mut table, 4).unwrap();
    let folder = place.folder_of("dead_letters");
    // The larger file takes the content of the smaller one.
    let path_of = |version| {
        place
            .actions(version)
            .iter()
            .find_map(|action| Some(folder.join(action.get("add")?["path"].as_str()?)))
            .unwrap()
    };
    std::fs::copy(path_of(2), path_of(1)).unwrap();
    let error = maintain(&place, &merging_from(2)).unwrap_err();
    assert!(matches!(error, LakeError::RowsChanged { expected: 4, read: 2, written: 2, .. }), "{error}");
    assert_eq!(place.letters().version(), 2, "nothing was committed");
    std::fs::write(path_of(1), "no Parquet").unwrap();
    let error = maintain(&place, &merging_from(2)).unwrap_err();
    assert!(matches!(error, LakeError::Parquet { .. }), "{error}");
    table.append(&[letters(0, 4..5)], &[to(APP, 5)]).unwrap();
}
