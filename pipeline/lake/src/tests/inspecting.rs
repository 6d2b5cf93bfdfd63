//! Looking at tables: what is found, and that looking leaves no trace.

use std::fs;

use schemas::Offset;

use super::support::{APP, OTHER_APP, Place, append_to, letters_spec};
use crate::LakeError;

fn app_ids() -> Vec<String> {
    [APP, OTHER_APP].map(str::to_string).to_vec()
}

/// Fails if `inspect` opens a table in the way of writers, who create it.
#[test]
fn a_table_that_does_not_exist_is_not_made() {
    let place = Place::new();
    assert_eq!(place.lake().inspect(&letters_spec(), &app_ids()).unwrap(), None);
    assert!(!place.folder_of("dead_letters").exists());
}

#[test]
fn frontiers_are_those_that_were_committed() {
    let place = Place::new();
    append_to(&mut place.letters(), 7).unwrap();
    let found = place.lake().inspect(&letters_spec(), &app_ids()).unwrap().unwrap();
    assert_eq!((found.version, found.files, found.damaged.len()), (1, 1, 0));
    assert_eq!(found.frontiers.into_iter().collect::<Vec<_>>(), [(APP.to_string(), Offset(7))]);
}

/// Fails if sizes are not compared, or only the first damage is told.
#[test]
fn missing_and_cut_files_are_named() {
    let place = Place::new();
    for end in 1..4 {
        append_to(&mut place.letters(), end).unwrap();
    }
    let folder = place.folder_of("dead_letters");
    let [first, second, _] = place.data_files("dead_letters").try_into().unwrap();
    fs::remove_file(folder.join(&first)).unwrap();
    let content = fs::read(folder.join(&second)).unwrap();
    fs::write(folder.join(&second), &content[1..]).unwrap();
    let found = place.lake().inspect(&letters_spec(), &[]).unwrap().unwrap();
    let [one, other] = found.damaged.try_into().unwrap();
    let (gone, cut) = if one.contains(&first) { (one, other) } else { (other, one) };
    assert!(gone.contains(&first) && gone.ends_with("is gone"), "{gone}");
    let sizes = format!("{} bytes instead of {}", content.len() - 1, content.len());
    assert!(cut.contains(&second) && cut.ends_with(&sizes), "{cut}");
}

#[test]
fn a_log_that_cannot_be_read_is_an_error() {
    let place = Place::new();
    append_to(&mut place.letters(), 1).unwrap();
    fs::remove_file(place.folder_of("dead_letters").join("_delta_log/00000000000000000000.json")).unwrap();
    let error = place.lake().inspect(&letters_spec(), &[]).unwrap_err();
    assert!(matches!(error, LakeError::Delta { .. }), "{error}");
}
