//! Which snapshot a start takes, compared with the rules over all of them; what damage does to labels and states.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use frontier::{Found, Ledger, Plan, SnapshotHead, SnapshotPermit, plan};
use proptest::prelude::*;
use schemas::Offset;
use tempfile::TempDir;

use super::{Snapshot, SnapshotLabel, SnapshotStore, Snapshots, StoredSnapshot, Unfit, Writing, find_start};
use crate::RunnerError;

/// Outputs that a snapshot may remember.
const NAMES: [&str; 3] = ["a", "b", "c"];

fn label(at: i64, outputs: &[&str]) -> SnapshotLabel {
    SnapshotLabel {
        at: Offset(at),
        outputs: outputs.iter().map(|output| (*output).to_string()).collect(),
        partitions: 1,
        logic: BTreeMap::from([("decode".to_string(), 1)]),
        identity: log::LogIdentity::default(),
        output_partitions: BTreeMap::from([("payments".to_string(), 12)]),
    }
}

fn snapshot(label: SnapshotLabel) -> Snapshot {
    let states = [("decode", 300), ("authorize", 0), ("trips", 40)];
    let states = states.map(|(unit, length)| (unit.to_string(), vec![label.at.0 as u8; length]));
    Snapshot { label, states: states.into() }
}

fn stored(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert_eq!(snapshot.write_to(&mut bytes).unwrap(), bytes.len() as u64);
    bytes
}

/// What a start finds besides the snapshots.
#[derive(Debug)]
struct Around {
    outputs: BTreeMap<String, Offset>,
    log_start: Offset,
    version: u32,
    partitions: u32,
}

impl Around {
    fn plan(&self, heads: &[SnapshotHead]) -> Result<Plan, RunnerError> {
        Ok(plan(&Found {
            snapshots: heads,
            outputs: &self.outputs,
            log_start: self.log_start,
            log_partitions: self.partitions,
            output_partitions: &BTreeMap::new(),
            logic: &BTreeMap::from([("decode".to_string(), self.version)]),
        })?)
    }
}

/// A store that notes what is loaded as a whole.
struct Counting {
    store: SnapshotStore,
    loaded: RefCell<Vec<i64>>,
}

impl Snapshots for Counting {
    fn labels(&self) -> Result<Vec<Result<SnapshotLabel, Unfit>>, RunnerError> {
        self.store.labels()
    }

    fn load(&self, at: Offset) -> Result<Result<StoredSnapshot, Unfit>, RunnerError> {
        self.loaded.borrow_mut().push(at.0);
        self.store.load(at)
    }

    fn write(&self, permit: SnapshotPermit, snapshot: Snapshot) -> Result<Box<dyn Writing>, RunnerError> {
        self.store.write(permit, snapshot)
    }
}

fn path(folder: &TempDir, at: Offset) -> PathBuf {
    folder.path().join(format!("{:020}.snapshot", at.0))
}

/// A folder with these snapshots. Nothing is synced: hundreds of folders are made.
fn folder(labels: &[SnapshotLabel]) -> (TempDir, Counting) {
    let folder = TempDir::new().unwrap();
    let store = SnapshotStore::open(folder.path(), "one").unwrap();
    for label in labels {
        std::fs::write(path(&folder, label.at), stored(&snapshot(label.clone()))).unwrap();
    }
    (folder, Counting { store, loaded: RefCell::default() })
}

/// Where a file is altered: in its label, or in its states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    None,
    Label,
    States,
}

fn damage(folder: &TempDir, at: Offset, damage: Damage) {
    let path = path(folder, at);
    let mut bytes = std::fs::read(&path).unwrap();
    let place = match damage {
        Damage::None => return,
        Damage::Label => 24,
        Damage::States => bytes.len() - 33,
    };
    bytes[place] ^= 1;
    std::fs::write(&path, bytes).unwrap();
}

fn around() -> impl Strategy<Value = Around> {
    let frontiers = prop::collection::vec(0_i64..30, 1..4);
    (frontiers, 0_i64..12, 1_u32..3, prop::sample::select(vec![1, 1, 1, 2])).prop_map(
        |(frontiers, log_start, version, partitions)| Around {
            outputs: NAMES.iter().zip(frontiers).map(|(name, at)| ((*name).to_string(), Offset(at))).collect(),
            log_start: Offset(log_start),
            version,
            partitions,
        },
    )
}

/// Up to two labels, oldest first, each with the outputs that it remembers and its damage.
fn kept() -> impl Strategy<Value = Vec<(SnapshotLabel, Damage)>> {
    let damages = prop::sample::select(vec![Damage::None, Damage::None, Damage::Label, Damage::States]);
    let one = (0_i64..30, prop::sample::subsequence(NAMES.to_vec(), 0..=2), damages);
    prop::collection::vec(one, 0..3).prop_map(|mut ones| {
        ones.sort_by_key(|(at, ..)| *at);
        ones.dedup_by_key(|(at, ..)| *at);
        ones.into_iter().map(|(at, outputs, damage)| (label(at, &outputs), damage)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// The choice is that of the rules over every snapshot, and only its states are read. Fails if a start that has
    /// found the newest one sound asks the rules about it alone.
    #[test]
    fn a_start_is_that_of_all_snapshots_and_loads_one(kept in kept(), around in around()) {
        let labels: Vec<SnapshotLabel> = kept.into_iter().map(|(label, _)| label).collect();
        let (_folder, store) = folder(&labels);
        let heads: Vec<SnapshotHead> = labels.iter().map(SnapshotLabel::head).collect();
        let found = find_start(&store, &mut |heads| around.plan(heads));
        match (found, around.plan(&heads)) {
            (Ok((plan, snapshot)), Ok(expected)) => {
                prop_assert_eq!(plan, expected);
                prop_assert_eq!(snapshot.map(|snapshot| snapshot.label.at), plan.snapshot);
                let loaded: Vec<i64> = plan.snapshot.into_iter().map(|at| at.0).collect();
                prop_assert_eq!(store.loaded.take(), loaded);
            }
            (Err(error), Err(expected)) => {
                prop_assert_eq!(error.to_string(), expected.to_string());
                prop_assert_eq!(store.loaded.take(), Vec::<i64>::new());
            }
            (found, expected) => prop_assert!(false, "{found:?} is not {expected:?}"),
        }
    }

    /// A start never goes on from damaged states, and damage never leads to another start than the sound snapshots do:
    /// at worst to none. Fails if a damaged label or state is not passed over, or if damage makes the log's first
    /// record the start although other logic may have written the rows.
    #[test]
    fn a_damaged_snapshot_changes_no_start(kept in kept(), around in around()) {
        let labels: Vec<SnapshotLabel> = kept.iter().map(|(label, _)| label.clone()).collect();
        let (folder, store) = folder(&labels);
        kept.iter().for_each(|(label, kind)| damage(&folder, label.at, *kind));
        let sound = kept.iter().filter(|(_, damage)| *damage == Damage::None);
        let sound: Vec<SnapshotHead> = sound.map(|(label, _)| label.head()).collect();
        let found = find_start(&store, &mut |heads| around.plan(heads));
        let of_sound = around.plan(&sound);
        if let Ok((plan, snapshot)) = &found {
            prop_assert_eq!(of_sound.as_ref().ok(), Some(plan));
            let has_label = kept.iter().any(|(_, damage)| *damage != Damage::Label);
            prop_assert!(kept.is_empty() || has_label, "it knows of no snapshot, where there are some");
            let expected = snapshot.as_ref().map(|found| self::snapshot(found.label.clone()).states);
            for (unit, state) in expected.into_iter().flatten() {
                prop_assert_eq!(snapshot.as_ref().unwrap().state(&unit), Some(state.as_slice()));
            }
        } else if kept.iter().all(|(_, damage)| *damage == Damage::None) {
            prop_assert!(of_sound.is_err());
        }
    }
}

/// Fails if a sum leaves out a byte, or a length is believed before it is checked.
#[test]
fn no_altered_or_shortened_snapshot_is_read() {
    let whole = snapshot(label(7, &["a"]));
    let bytes = stored(&whole);
    let read = StoredSnapshot::from_bytes(bytes.clone()).unwrap();
    assert_eq!(read.label, whole.label);
    assert!(whole.states.iter().all(|(unit, state)| read.state(unit) == Some(state.as_slice())));
    assert_eq!(read.state("lake"), None);
    let states: usize = whole.states.iter().map(|(_, state)| state.len()).sum();
    let label_end = bytes.len() - states - 32;
    for place in 0..bytes.len() {
        let cut = &bytes[..place];
        StoredSnapshot::from_bytes(cut.to_vec()).unwrap_err();
        assert_eq!(SnapshotLabel::read_from(&mut &cut[..]).unwrap().is_ok(), place >= label_end, "{place}");
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[place] ^= 1 << bit;
            StoredSnapshot::from_bytes(altered.clone()).unwrap_err();
            let label = SnapshotLabel::read_from(&mut altered.as_slice()).unwrap();
            assert_eq!(label.is_ok(), place >= label_end, "{place}");
        }
    }
}

/// Fails if a file is believed to be the snapshot of another S: the start would look for it in vain.
#[test]
fn a_file_under_another_name_is_damaged() {
    let (folder, store) = folder(&[label(7, &[])]);
    let other = path(&folder, Offset(8));
    std::fs::rename(path(&folder, Offset(7)), &other).unwrap();
    let around = Around {
        outputs: BTreeMap::from([("a".to_string(), Offset(9))]),
        log_start: Offset(0),
        version: 1,
        partitions: 1,
    };
    let error = find_start(&store, &mut |heads| around.plan(heads)).unwrap_err();
    let RunnerError::Snapshot { path: named, reason } = &error else { panic!("{error}") };
    assert_eq!(*named, other.display().to_string());
    assert_eq!(reason, "it is that of offset 7, but its name says another");
}

/// A partition whose snapshots another process replaces whenever one of them is to be loaded, so often.
struct Moving {
    newest: Cell<i64>,
    moves_left: Cell<u32>,
}

impl Snapshots for Moving {
    fn labels(&self) -> Result<Vec<Result<SnapshotLabel, Unfit>>, RunnerError> {
        Ok(vec![Err(Unfit::Gone), Ok(label(self.newest.get(), &["a"]))])
    }

    fn load(&self, at: Offset) -> Result<Result<StoredSnapshot, Unfit>, RunnerError> {
        if let Some(left) = self.moves_left.get().checked_sub(1) {
            self.moves_left.set(left);
            self.newest.set(self.newest.get() + 10);
        }
        let is_there = at.0 == self.newest.get();
        let read = || StoredSnapshot::from_bytes(stored(&snapshot(label(at.0, &["a"])))).unwrap();
        Ok(is_there.then(read).ok_or(Unfit::Gone))
    }

    fn write(&self, _permit: SnapshotPermit, _snapshot: Snapshot) -> Result<Box<dyn Writing>, RunnerError> {
        unreachable!("a start writes nothing")
    }
}

/// Fails if a start plans by what was committed before the snapshots that it finds, starts at the log's first record
/// since its choice was removed, or looks for it without an end.
#[test]
fn a_start_plans_anew_where_others_replace_its_choice() {
    let find = |moves| {
        let store = Moving { newest: Cell::new(10), moves_left: Cell::new(moves) };
        let mut planned_with = BTreeSet::new();
        let found = find_start(&store, &mut |heads| {
            // What is committed when it is asked for: exactly what the newest snapshot needs.
            let outputs = BTreeMap::from([("a".to_string(), Offset(store.newest.get()))]);
            planned_with.insert(outputs["a"]);
            Around { outputs, log_start: Offset(5), version: 1, partitions: 1 }.plan(heads)
        });
        (found.map(|(plan, _)| plan.snapshot.unwrap().0).map_err(|error| error.to_string()), planned_with.len())
    };
    assert_eq!(find(0), (Ok(10), 1));
    assert_eq!(find(3), (Ok(40), 4));
    let (found, plans) = find(1_000);
    assert_eq!(plans, 8);
    assert!(found.unwrap_err().contains("8 that were chosen"));
}

/// Fails if `open` removes what is not its own, or leaves what is.
#[test]
fn an_instance_clears_what_it_left_itself() {
    let folder = TempDir::new().unwrap();
    let [store, other] = ["1", "p-1"].map(|instance| SnapshotStore::open(folder.path(), instance).unwrap());
    let left = [store.temporary_path(Offset(7)), store.temporary_path(Offset(8))];
    let stays = [other.temporary_path(Offset(7)), path(&folder, Offset(7)), folder.path().join("note.tmp")];
    left.iter().chain(&stays).for_each(|path| std::fs::write(path, b"half of it").unwrap());
    SnapshotStore::open(folder.path(), "1").unwrap();
    assert_eq!(left.map(|path| path.exists()), [false; 2]);
    assert!(stays.iter().all(|path| path.exists()), "{stays:?}");
}

/// Fails if a process that takes the partition over clears what another is just writing that does not know yet that it
/// lost it: that one's rename then finds no file.
#[test]
fn a_folder_that_others_open_takes_every_snapshot() {
    let folder = TempDir::new().unwrap();
    let store = SnapshotStore::open(folder.path(), "one").unwrap();
    let around = |at| Around {
        outputs: BTreeMap::from([("a".to_string(), Offset(at))]),
        log_start: Offset(0),
        version: 1,
        partitions: 1,
    };
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                SnapshotStore::open(folder.path(), "other").unwrap();
            }
        });
        let written = (1..30).map(|at| {
            let ledger = Ledger::new(&around(at).plan(&[]).unwrap(), around(at).outputs);
            let writing = store.write(ledger.permit(Offset(at)).unwrap(), snapshot(label(at, &["a"]))).unwrap();
            writing.wait().map_err(|error| error.to_string())
        });
        let written: Vec<_> = written.collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(written.iter().all(Result::is_ok), "{written:?}");
    });
    assert_eq!(store.labels().unwrap().into_iter().map(|label| label.unwrap().at.0).collect::<Vec<_>>(), [28, 29]);
}
