//! Several writers of one table: under one app id only one goes on, under different ones all do.

use std::sync::Barrier;
use std::thread;

use proptest::prelude::*;
use schemas::Offset;

use super::support::{APP, OTHER_APP, Place, all_of, append_to, letters, to};
use crate::{LakeError, Table};

const APPS: [&str; 2] = [APP, OTHER_APP];

fn fenced(result: Result<impl Sized, LakeError>) -> (Option<Offset>, Option<Offset>) {
    match result.map(|_| ()) {
        Err(LakeError::Fenced { expected, found, .. }) => (expected, found),
        other => panic!("must be fenced, and was {other:?}"),
    }
}

/// Fails if `conflict` does not know `ConcurrentTransaction`, or `append` tries again after it.
#[test]
fn the_second_of_two_handles_is_fenced() {
    let place = Place::new();
    let (mut first, mut second) = (place.letters(), place.letters());
    assert_eq!(second.frontier(APP).unwrap(), None);
    append_to(&mut first, 5).unwrap();
    for _ in 0..3 {
        assert_eq!(fenced(append_to(&mut second, 5)), (None, Some(Offset(5))), "also when it tries again");
    }
    append_to(&mut first, 8).unwrap();
    assert_eq!(place.stored(), all_of(0, 0..8));
}

/// Fails if `check_fence` is left out: Delta compares only the commits after the snapshot, and there are none.
#[test]
fn a_handle_that_was_refreshed_is_fenced_by_what_it_remembers() {
    let place = Place::new();
    let (mut first, mut second) = (place.letters(), place.letters());
    second.frontier(APP).unwrap();
    append_to(&mut first, 5).unwrap();
    place.runtime.block_on(second.reload()).unwrap();
    assert_eq!(fenced(append_to(&mut second, 7)), (None, Some(Offset(5))));
    assert_eq!(place.stored(), all_of(0, 0..5));
}

/// Fails if `commit_adds` does not set `unchecked` when others committed in between: the handle's own commit then
/// carries their commits into its snapshot, where Delta no longer compares them.
#[test]
fn a_commit_beside_others_does_not_hide_them() {
    let place = Place::new();
    let (mut first, mut second) = (place.letters(), place.letters());
    for app_id in APPS {
        second.frontier(app_id).unwrap();
    }
    append_to(&mut first, 5).unwrap();
    second.append(&[letters(1, 0..3)], &[to(OTHER_APP, 3)]).unwrap();
    assert_eq!(fenced(append_to(&mut second, 5)), (None, Some(Offset(5))));
    assert_eq!(place.stored(), [all_of(0, 0..5), all_of(1, 0..3)].concat());
}

/// Fails if a conflict under an app id counts as landed because both writers went to the same offset.
#[test]
fn the_same_frontier_set_by_another_is_a_conflict_all_the_same() {
    let place = Place::new();
    let (mut first, mut second) = (place.letters(), place.letters());
    second.frontier(APP).unwrap();
    append_to(&mut first, 5).unwrap();
    let mut third = place.letters();
    third.frontier(APP).unwrap();
    first.append(&[], &[to(APP, 5)]).unwrap();
    assert_eq!(fenced(third.append(&[letters(0, 5..6)], &[to(APP, 6)])), (Some(Offset(5)), Some(Offset(5))));
    assert_eq!(fenced(append_to(&mut second, 5)), (None, Some(Offset(5))));
    assert_eq!(place.stored(), all_of(0, 0..5));
}

/// What happens next to one of the handles.
#[derive(Debug, Clone)]
enum Step {
    /// It appends so many rows under an app id, from where it believes to stand.
    Append { handle: usize, app: usize, rows: i64 },
    /// It appends under both app ids in one commit.
    AppendBoth { handle: usize, rows: i64 },
    /// It loads the newest version, and keeps what it remembers.
    Refresh { handle: usize },
    /// Its process starts anew.
    Reopen { handle: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let handle = 0..3_usize;
    prop_oneof![
        6 => (handle.clone(), 0..2_usize, 0..3_i64).prop_map(|(handle, app, rows)| Step::Append { handle, app, rows }),
        2 => (handle.clone(), 1..3_i64).prop_map(|(handle, rows)| Step::AppendBoth { handle, rows }),
        2 => handle.clone().prop_map(|handle| Step::Refresh { handle }),
        1 => handle.prop_map(|handle| Step::Reopen { handle }),
    ]
}

fn open(place: &Place) -> Table {
    let mut table = place.letters();
    for app_id in APPS {
        table.frontier(app_id).unwrap();
    }
    table
}

/// Three writers that all believe to be the one, and the frontiers that the table really has.
struct Writers<'a> {
    place: &'a Place,
    handles: Vec<Table>,
    truth: [i64; 2],
}

impl Writers<'_> {
    fn append(&mut self, handle: usize, apps: &[usize], count: i64) {
        let known = APPS.map(|app_id| self.handles[handle].frontier(app_id).unwrap().unwrap_or_default().0);
        let batches: Vec<_> = apps.iter().map(|&app| letters(app as i32, known[app]..known[app] + count)).collect();
        let frontiers: Vec<_> = apps.iter().map(|&app| to(APPS[app], known[app] + count)).collect();
        match self.handles[handle].append(&batches, &frontiers) {
            Ok(committed) => {
                assert_eq!(committed.rows, count as u64 * apps.len() as u64);
                for &app in apps {
                    assert_eq!(known[app], self.truth[app], "only who stands at the frontier may go on");
                    self.truth[app] += count;
                }
            }
            Err(LakeError::Fenced { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Append { handle, app, rows } => self.append(handle, &[app], rows),
            Step::AppendBoth { handle, rows } => self.append(handle, &[0, 1], rows),
            Step::Refresh { handle } => self.place.runtime.block_on(self.handles[handle].reload()).unwrap(),
            Step::Reopen { handle } => self.handles[handle] = open(self.place),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Fails without either half of the fence, or if a fenced handle may go on after it tried again.
    #[test]
    fn rows_are_never_doubled_or_skipped_whatever_the_interleaving(
        steps in proptest::collection::vec(step(), 4..24)
    ) {
        let place = Place::new();
        let handles = (0..3).map(|_| open(&place)).collect();
        let mut writers = Writers { place: &place, handles, truth: [0, 0] };
        for step in &steps {
            writers.run(step);
        }
        let truth = writers.truth;
        prop_assert_eq!(place.stored(), [all_of(0, 0..truth[0]), all_of(1, 0..truth[1])].concat());
        let mut last = open(&place);
        for (app_id, end) in APPS.into_iter().zip(truth) {
            prop_assert_eq!(last.frontier(app_id).unwrap().unwrap_or_default(), Offset(end));
        }
    }
}

/// Fails without either half of the fence: writers then land the same rows.
#[test]
fn racing_runs_of_one_app_id_write_each_row_once() {
    const END: i64 = 24;
    let place = Place::new();
    let start = Barrier::new(3);
    let run = || {
        let mut table = place.letters();
        start.wait();
        loop {
            let from = table.frontier(APP).unwrap().unwrap_or_default().0;
            if from >= END {
                return;
            }
            match append_to(&mut table, (from + 3).min(END)) {
                Ok(()) => {}
                Err(LakeError::Fenced { .. }) => table = place.letters(),
                Err(error) => panic!("{error}"),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(run);
        }
    });
    assert_eq!(place.stored(), all_of(0, 0..END));
}

/// Fails if a commit of another app id counts as a conflict, or a version that another took ends an append.
#[test]
fn two_app_ids_beside_each_other_both_land_completely() {
    const END: i64 = 20;
    let place = Place::new();
    let start = Barrier::new(2);
    thread::scope(|scope| {
        for (partition, app_id) in APPS.into_iter().enumerate() {
            let (place, start) = (&place, &start);
            scope.spawn(move || {
                let mut table = place.letters();
                table.frontier(app_id).unwrap();
                start.wait();
                for offset in 0..END {
                    table.append(&[letters(partition as i32, offset..offset + 1)], &[to(app_id, offset + 1)]).unwrap();
                }
            });
        }
    });
    assert_eq!(place.letters().version(), 2 * END as u64);
    assert_eq!(place.stored(), [all_of(0, 0..END), all_of(1, 0..END)].concat());
}
