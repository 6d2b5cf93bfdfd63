//! The loop: plan the start, replay, read on, commit, take snapshots, stop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use frontier::{Found, Ledger};
use log::{LogError, LogIdentity, LogReader};
use schemas::Offset;
use schemas::unit::BundleSource;

use crate::buffer::TableBuffers;
use crate::snapshot::{Snapshot, SnapshotLabel, SnapshotStore, Snapshots, StoredSnapshot, find_start};
use crate::{Chain, RunnerError, Tables};

/// Bounds of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Largest number of records in one batch.
    pub batch_rows_max: usize,
    /// Tables are committed each time the position passes a multiple of this many records; it bounds the rows that
    /// wait in memory.
    pub commit_rows: i64,
    /// Snapshots are taken at multiples of this many records, and at a graceful stop.
    pub snapshot_rows: i64,
}

impl Default for Settings {
    /// Figures for a file run on a small machine: a commit costs tens of milliseconds, so it is made seldom.
    fn default() -> Self {
        Self { batch_rows_max: 8_192, commit_rows: 65_536, snapshot_rows: 65_536 }
    }
}

/// Where a run stands, for progress bars.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Next offset to read.
    pub position: Offset,
    /// Whether rows are being suppressed because the tables already have them.
    pub replaying: bool,
    /// Bytes read of the log, and bytes that it has; 0 of 0 where that is not known.
    pub bytes: (u64, u64),
}

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Snapshot from which the state was loaded, if any.
    pub loaded_snapshot: Option<Offset>,
    /// First offset read.
    pub started_at: Offset,
    /// Next offset to read at the end.
    pub ended_at: Offset,
    /// Rows written by table.
    pub rows_written: BTreeMap<&'static str, u64>,
    /// Rows of the replay that the tables had already.
    pub rows_suppressed: u64,
}

/// What a run reads from and writes to, besides the chain.
pub struct Surroundings<'a> {
    /// Tables of the lake.
    pub tables: &'a mut dyn Tables,
    /// This partition's snapshots.
    pub snapshots: &'a SnapshotStore,
    /// Bundles that control records name.
    pub bundles: &'a dyn BundleSource,
    /// Set from outside to stop after the batch at hand.
    pub stop: &'a AtomicBool,
}

/// Opens the log from its start, or at a snapshot's offset after checking the identity that the snapshot remembers.
pub type OpenLog<'a> = dyn FnMut(Option<(&LogIdentity, Offset)>) -> Result<Box<dyn LogReader>, LogError> + 'a;

/// Runs a chain from where its snapshots and tables stand to the end of the log (or until told to stop), and leaves
/// a snapshot at the last offset with every table committed up to it.
///
/// `batch_rows` chooses the size of each batch, which no result depends on.
pub fn run(
    chain: &mut Chain,
    surroundings: &mut Surroundings<'_>,
    settings: &Settings,
    open: &mut OpenLog<'_>,
    batch_rows: &mut dyn FnMut() -> usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, RunnerError> {
    let tables = chain.tables();
    let mut frontiers = BTreeMap::new();
    for (table, app_id) in &tables {
        let found = surroundings.tables.frontier(table, app_id)?;
        frontiers.insert((*table).to_string(), found.unwrap_or_default());
    }
    let (plan, snapshot) = choose_start(chain, surroundings.snapshots, &frontiers)?;
    if let Some(snapshot) = &snapshot {
        restore(chain, snapshot, surroundings.bundles)?;
    }
    let mut log = open(snapshot.as_ref().map(|snapshot| (&snapshot.label.identity, snapshot.label.at)))?;
    let mut report = Report { loaded_snapshot: plan.snapshot, started_at: plan.read_from, ..Report::default() };
    let ledger = Ledger::new(&plan, frontiers.clone());
    let mut buffers = TableBuffers::new(chain.topic(), chain.partition(), ledger);
    let replay_end = frontiers.values().copied().max().unwrap_or_default();
    let mut last_snapshot = plan.snapshot;
    let is_first = plan.snapshot.is_none() && replay_end == Offset(0);
    // With this its bytes, a copy of the state, are let go.
    let has_other_logic = snapshot.is_some_and(|snapshot| snapshot.label.logic != logic_of(chain));
    if is_first || has_other_logic {
        // It says which logic wrote the rows from here on, should this run die before it has written them all.
        take_snapshot(chain, log.as_ref(), surroundings.snapshots, &mut buffers)?;
        last_snapshot = Some(log.position());
    }

    while !surroundings.stop.load(Ordering::Relaxed) {
        let position = log.position();
        let room = rows_to(position, settings.commit_rows).min(rows_to(position, settings.snapshot_rows));
        let wanted = batch_rows().clamp(1, settings.batch_rows_max).min(room);
        let Some(batch) = log.poll(wanted)? else {
            buffers.ledger().check_end(position)?;
            break;
        };
        chain.feed(&batch, surroundings.bundles, &mut buffers)?;
        let reached = log.position();
        progress(Progress { position: reached, replaying: reached < replay_end, bytes: log.progress() });
        if reached.0 % settings.commit_rows == 0 || reached.0 % settings.snapshot_rows == 0 {
            commit(&tables, reached, surroundings.tables, &mut buffers)?;
        }
        if reached.0 % settings.snapshot_rows == 0 {
            take_snapshot(chain, log.as_ref(), surroundings.snapshots, &mut buffers)?;
            last_snapshot = Some(reached);
        }
    }

    report.ended_at = log.position();
    commit(&tables, report.ended_at, surroundings.tables, &mut buffers)?;
    let replayed_enough = report.ended_at >= replay_end;
    if last_snapshot != Some(report.ended_at) && report.ended_at > Offset(0) && replayed_enough {
        take_snapshot(chain, log.as_ref(), surroundings.snapshots, &mut buffers)?;
    }
    report.rows_written = buffers.rows_written().clone();
    report.rows_suppressed = buffers.rows_suppressed();
    Ok(report)
}

fn rows_to(position: Offset, step: i64) -> usize {
    usize::try_from(step - position.0.rem_euclid(step)).unwrap_or(usize::MAX)
}

pub(crate) fn logic_of(chain: &Chain) -> BTreeMap<String, u32> {
    chain.units().iter().map(|unit| (unit.name().to_string(), unit.logic_version())).collect()
}

fn choose_start(
    chain: &Chain,
    store: &SnapshotStore,
    frontiers: &BTreeMap<String, Offset>,
) -> Result<(frontier::Plan, Option<StoredSnapshot>), RunnerError> {
    let logic = logic_of(chain);
    find_start(store, &mut |heads| {
        Ok(frontier::plan(&Found {
            snapshots: heads,
            outputs: frontiers,
            log_start: Offset(0),
            log_partitions: 1,
            output_partitions: &BTreeMap::new(),
            logic: &logic,
        })?)
    })
}

pub(crate) fn restore(
    chain: &mut Chain,
    snapshot: &StoredSnapshot,
    bundles: &dyn BundleSource,
) -> Result<(), RunnerError> {
    for unit in chain.units_mut() {
        let state = snapshot.state(unit.name()).ok_or_else(|| RunnerError::Snapshot {
            path: format!("at offset {}", snapshot.label.at),
            reason: format!("it has no state for {}; it belongs to another chain", unit.name()),
        })?;
        unit.restore(state, bundles)?;
    }
    Ok(())
}

/// Commits every table that lags behind `next`, with rows or without: a table without new rows would otherwise pin
/// recovery at its last one.
fn commit(
    names: &BTreeMap<&'static str, String>,
    next: Offset,
    tables: &mut dyn Tables,
    buffers: &mut TableBuffers,
) -> Result<(), RunnerError> {
    for (table, app_id) in names {
        if buffers.ledger().frontier(table) < next {
            let rows = buffers.take(table)?;
            tables.commit(table, &rows, &[(app_id.clone(), next)])?;
            buffers.ledger().committed(table, next)?;
        }
    }
    Ok(())
}

fn take_snapshot(
    chain: &Chain,
    log: &dyn LogReader,
    store: &SnapshotStore,
    buffers: &mut TableBuffers,
) -> Result<(), RunnerError> {
    let at = log.position();
    let permit = buffers.ledger().permit(at)?;
    let mut states = Vec::new();
    for unit in chain.units() {
        states.push((unit.name().to_string(), unit.save()?));
    }
    let label = SnapshotLabel {
        at,
        outputs: chain.tables().keys().map(|table| (*table).to_string()).collect(),
        partitions: 1,
        logic: logic_of(chain),
        identity: log.identity(),
        output_partitions: BTreeMap::new(),
    };
    store.write(permit, Snapshot { label, states })?.wait()?;
    Ok(())
}
