//! Control records: those that say nothing usable are dead letters, those that this process cannot follow stop it.

use schemas::ids::ContentHash;

use super::fakes::{FakeBundles, Record, control, factor};
use super::world::{Crash, World};
use crate::RunnerError;

/// Fails if `feed_control` asks for a bundle before it knows that the record is for a unit of this chain, or lets a
/// malformed one through.
#[test]
fn a_bad_control_record_is_a_dead_letter() {
    let hash = ContentHash::of(b"not published").to_hex();
    let records = [
        Record::Value(1),
        control(["", "bundle", "", &hash]),
        control(["trips", "bundle", "", &hash]),
        control(["first", "bundle", "", ""]),
        control(["first", "bundle", "", "xyz"]),
        control(["first", "", "", &hash]),
        control(["first", "colour", "v1", &hash]),
        control(["first", "token_key", "", "abcdef"]),
        control(["second", "key_set", "v1", ""]),
        Record::Value(2),
    ];
    for batch_size in [1, 3, 64] {
        let mut world = World::new(&records);
        world.run(Crash::Never, &[batch_size]).unwrap();
        let letters = world.tables.rows["dead_letters"].iter().filter(|(_, line)| line.contains("|bad_control|"));
        assert_eq!(letters.map(|(offset, _)| *offset).collect::<Vec<_>>(), (1..9).collect::<Vec<_>>());
        world.check_complete();
    }
}

/// Fails if a control record is handed to its unit before the records in front of it or after those behind it.
#[test]
fn a_control_record_comes_into_force_between_its_neighbours() {
    let records: Vec<Record> = [Record::Value(4), factor("first", "2"), Record::Value(4), factor("second", "5")]
        .into_iter()
        .chain([control(["first", "routing_key", "v1", "0011"]), Record::Value(4)])
        .collect();
    for batch_size in 1..=6 {
        let mut world = World::new(&records);
        world.run(Crash::Never, &[batch_size]).unwrap();
        world.check_complete();
    }
}

fn refused(world: &mut World) -> RunnerError {
    let error = world.run(Crash::Never, &[1]).unwrap_err();
    assert!(error.is_refusal(), "{error}");
    error
}

/// Fails if a bundle that is missing becomes a dead letter, or its bytes are not compared with the hash.
#[test]
fn a_bundle_that_cannot_be_loaded_stops_the_run_until_it_can() {
    let records = [Record::Value(1), Record::Value(2), Record::Value(3), factor("second", "5"), Record::Value(4)];
    let mut world = World::new(&records);
    let published = world.bundles.clone();

    world.bundles = FakeBundles::default();
    let error = refused(&mut world);
    let RunnerError::Bundle { offset, hash, reason } = &error else { panic!("{error}") };
    assert_eq!((offset.0, hash), (3, &ContentHash::of(b"5").to_hex()));
    assert_eq!(reason, "looked for in memory");

    world.bundles.0.insert(ContentHash::of(b"5").to_hex(), b"6".to_vec());
    let error = refused(&mut world);
    assert!(error.to_string().contains("another hash"), "{error}");

    world.bundles = published;
    world.run(Crash::Never, &[1]).unwrap();
    world.check_complete();
}

/// Fails if `is_refusal` passes over a bundle that a unit cannot read, or over one that a snapshot needs.
#[test]
fn a_bundle_that_a_unit_cannot_load_is_a_refusal() {
    let mut world = World::new(&[Record::Value(1), factor("first", "no number")]);
    world.bundles = FakeBundles::of(&["no number"]);
    assert!(matches!(refused(&mut world), RunnerError::Unit(_)));

    let mut world = World::new(&[factor("first", "2"), Record::Value(1)]);
    world.run(Crash::Never, &[1]).unwrap();
    world.bundles = FakeBundles::default();
    assert!(matches!(refused(&mut world), RunnerError::Unit(_)));
}
