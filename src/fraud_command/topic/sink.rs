//! Where rows, dead letters and states go: two tables with the offsets in their commits, and snapshots behind them.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use frontier::{Ledger, Plan};
use lake::Table;
use log::LogIdentity;
use log::group::Bounds;
use runner::{Snapshot, SnapshotLabel, SnapshotStore, Snapshots, StoredSnapshot, find_start};
use schemas::tables::SOURCE_OFFSET;
use schemas::{Offset, Partition};

use super::lane::Portion;
use crate::failure::Failure;

/// Version of what windows keep and say; a state of another one is not gone on with.
const LOGIC: u32 = 1;
/// Name of the unit in snapshots and app ids.
const UNIT: &str = "features";
/// Parts of a saved state.
const WINDOWS: &str = "windows";
const INPUT: &str = "input";
/// One process at a time works on a table: the offsets in its commits fence another one off.
const INSTANCE: &str = "1";

/// A partition's side of the tables.
struct Place {
    app_id: String,
    ledger: Ledger,
    store: SnapshotStore,
    next: Offset,
    /// A state that waits for its rows to be committed.
    state: Option<(Offset, Vec<u8>)>,
}

/// Both tables with the partitions that fill them.
pub struct Sink {
    rows: Table,
    letters: Table,
    places: Vec<Place>,
    partitions: u32,
    identity: String,
    waiting_rows: Vec<RecordBatch>,
    waiting_letters: Vec<RecordBatch>,
    /// Rows committed by this run.
    committed_rows: u64,
    committed_letters: u64,
}

/// Where a partition goes on, and the saved windows there.
pub struct Start {
    pub at: Offset,
    pub windows: Option<Vec<u8>>,
}

impl Sink {
    /// A sink of these tables for a topic with so many partitions. `identity` tells inputs apart.
    pub fn new(rows: Table, letters: Table, partitions: u32, identity: String) -> Self {
        Self {
            rows,
            letters,
            places: Vec::new(),
            partitions,
            identity,
            waiting_rows: Vec::new(),
            waiting_letters: Vec::new(),
            committed_rows: 0,
            committed_letters: 0,
        }
    }

    /// Adds the next partition: plans its start by the tables and its snapshots, or refuses.
    pub fn open(&mut self, topic: &str, partition: Partition, bounds: Bounds, state: &Path) -> Result<Start, Failure> {
        let table = self.rows.name();
        let app_id = format!("{UNIT}/{table}/{topic}/{partition}");
        let store = SnapshotStore::open(&state.join(format!("{UNIT}/{table}/{topic}/{partition}")), INSTANCE)?;
        let mut frontiers = BTreeMap::new();
        for output in [&mut self.rows, &mut self.letters] {
            frontiers.insert(output.name().to_string(), output.frontier(&app_id)?.unwrap_or_default());
        }
        let logic = logic();
        let partitions = self.partitions;
        let (plan, snapshot) = find_start(&store, &mut |heads| -> Result<Plan, runner::RunnerError> {
            Ok(frontier::plan(&frontier::Found {
                snapshots: heads,
                outputs: &frontiers,
                log_start: bounds.start,
                log_partitions: partitions,
                output_partitions: &BTreeMap::new(),
                logic: &logic,
            })?)
        })?;
        let ledger = Ledger::new(&plan, frontiers);
        ledger.check_end(bounds.end).map_err(runner::RunnerError::from)?;
        let windows = snapshot.as_ref().map(|snapshot| self.saved_windows(snapshot)).transpose()?;
        self.places.push(Place { app_id, ledger, store, next: plan.read_from, state: None });
        Ok(Start { at: plan.read_from, windows })
    }

    fn saved_windows(&self, snapshot: &StoredSnapshot) -> Result<Vec<u8>, Failure> {
        if snapshot.state(INPUT) != Some(self.identity.as_bytes()) {
            return Err(Failure::refused("the table was filled with other --fields, --decimals or another --format")
                .with_help("say them as before, or give a new --out and --state"));
        }
        let windows = snapshot.state(WINDOWS).map(<[u8]>::to_vec);
        windows.ok_or_else(|| Failure::failed("the snapshot holds no windows; restore the state folder"))
    }

    /// Writes the state of a partition's start down, so that later starts know what fills the table.
    pub fn pin(&mut self, lane: usize, windows: Vec<u8>) -> Result<(), Failure> {
        let at = self.places[lane].next;
        self.snapshot(lane, at, windows)
    }

    /// Takes what became of records; what the tables have already is left out (I-1).
    pub fn take(&mut self, portion: Portion) {
        let Portion { lane, next, rows, letters, state } = portion;
        let place = &mut self.places[lane];
        let missing = |table: &Table, rows: RecordBatch| {
            let offsets = rows.column_by_name(SOURCE_OFFSET).map(|column| column.as_primitive::<Int64Type>().clone());
            let known = offsets.map_or(0, |offsets| place.ledger.suppress(table.name(), offsets.values()));
            rows.slice(known, rows.num_rows() - known)
        };
        self.waiting_rows.push(missing(&self.rows, rows));
        self.waiting_letters.push(missing(&self.letters, letters));
        place.next = next;
        if let Some(state) = state {
            place.state = Some((next, state));
        }
    }

    /// Rows that wait.
    pub fn waiting(&self) -> usize {
        self.waiting_rows.iter().chain(&self.waiting_letters).map(RecordBatch::num_rows).sum()
    }

    /// Commits what waits with the offsets below which everything was read, then writes the states behind it (I-2).
    pub fn commit(&mut self) -> Result<(), Failure> {
        let has_state = self.places.iter().any(|place| place.state.is_some());
        let waiting = std::mem::take(&mut self.waiting_rows);
        self.committed_rows += append(&mut self.rows, &waiting, &mut self.places)?;
        let waiting = std::mem::take(&mut self.waiting_letters);
        // Without letters the table's offsets matter to snapshots alone.
        if has_state || waiting.iter().any(|letters| letters.num_rows() > 0) {
            self.committed_letters += append(&mut self.letters, &waiting, &mut self.places)?;
        }
        for lane in 0..self.places.len() {
            if let Some((at, windows)) = self.places[lane].state.take() {
                self.snapshot(lane, at, windows)?;
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, lane: usize, at: Offset, windows: Vec<u8>) -> Result<(), Failure> {
        let place = &self.places[lane];
        let permit = place.ledger.permit(at).map_err(runner::RunnerError::from)?;
        let label = SnapshotLabel {
            at,
            outputs: [&self.rows, &self.letters].map(|table| table.name().to_string()).to_vec(),
            partitions: self.partitions,
            logic: logic(),
            identity: LogIdentity::default(),
            output_partitions: BTreeMap::new(),
        };
        let states = vec![(WINDOWS.to_string(), windows), (INPUT.to_string(), self.identity.clone().into_bytes())];
        place.store.write(permit, Snapshot { label, states })?.wait()?;
        Ok(())
    }

    /// Rows and dead letters that this run has committed.
    pub fn committed(&self) -> (u64, u64) {
        (self.committed_rows, self.committed_letters)
    }
}

/// One commit: rows and the offset of each partition that has moved.
fn append(table: &mut Table, rows: &[RecordBatch], places: &mut [Place]) -> Result<u64, Failure> {
    let name = table.name();
    let moved: Vec<&mut Place> = places.iter_mut().filter(|place| place.next > place.ledger.frontier(name)).collect();
    if moved.is_empty() {
        return Ok(0);
    }
    let frontiers: Vec<(String, Offset)> = moved.iter().map(|place| (place.app_id.clone(), place.next)).collect();
    let committed = table.append(rows, &frontiers)?;
    for place in moved {
        place.ledger.committed(name, place.next).map_err(runner::RunnerError::from)?;
    }
    Ok(committed.rows)
}

fn logic() -> BTreeMap<String, u32> {
    BTreeMap::from([(UNIT.to_string(), LOGIC)])
}
