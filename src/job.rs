//! `till job`: computes tables from the tables that units write. A job reads the lake as it stood at one moment, computes
//! the rows that its table lacks, and appends them in one commit that nobody else's can share, so that it may be run
//! again, killed, or started twice. What is computed is decided in the crates under `jobs/`.

mod durations;
mod payment_places;
mod promises;
mod shadow_decisions;

use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::TimestampMicrosecondType;
use clap::{Args, ValueEnum};
use lake::{Lake, Session};
use schemas::Offset;
use schemas::topics::timestamp;
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::config::{Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::faults::Faults;
use crate::output;
use crate::wiring::{job_lock, open_lake, start_runtime};

/// Time zone of clocks where zones name none.
const TIME_ZONE: &str = "UTC";

/// Compute tables from what the units wrote: how long trips took, where payments were paid, and what rules
/// in shadow would have said. A job adds the rows that
/// its table lacks; run it again whenever there is something new.
#[derive(Args)]
#[command(after_help = "Examples:\n  till job trip-durations --zones town/bundles/zones.geojson\n  \
    till job trip-durations --zones zones.geojson --promised promised.csv\n  \
    till sql \"SELECT * FROM durations_by_zone_pair ORDER BY trips DESC LIMIT 10\"\n  \
    till job payment-places\n  \
    till sql \"SELECT * FROM paid_where_by_courier WHERE before_arrival + no_courier_near > 0\"\n\n\
    A promise is about the trip of its device that ends nearest to it, at most two hours away, among those that start \
    at or after its time `from` where it has one. Rows that are there stay as they are: give zones and promises with \
    the first run.")]
pub struct JobArgs {
    /// Jobs to run [default: all].
    #[arg(value_enum, value_name = "NAME")]
    names: Vec<JobName>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: JobOptions,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
}

/// What jobs are told beside the lake.
#[derive(Args, Clone, Default)]
pub struct JobOptions {
    /// Zones: GeoJSON with the properties `name` and, if its clocks matter, `zone` (IANA) [default: everything is
    /// outside].
    #[arg(long, value_name = "FILE")]
    pub zones: Option<PathBuf>,
    /// IANA time zone of whatever lies in no zone, and of zones without one [default: UTC].
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// Promised times of arrival: CSV with the columns device, promised_at (RFC 3339) and, if wanted, from.
    #[arg(long, value_name = "FILE")]
    pub promised: Option<PathBuf>,
}

/// A job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum JobName {
    /// How long trips took against what earlier ones let expect: table trip_durations.
    TripDurations,
    /// Where couriers' payments were paid, by the stops and trips of their phones: table payment_places.
    PaymentPlaces,
    /// What rules and models in shadow would have said: table shadow_decisions.
    ShadowDecisions,
}

impl JobName {
    /// The table that it fills, whose name is also that of its frontier.
    const fn table(self) -> &'static str {
        match self {
            Self::TripDurations => "trip_durations",
            Self::PaymentPlaces => "payment_places",
            Self::ShadowDecisions => "shadow_decisions",
        }
    }

    fn compute(self, site: &Site<'_>, session: &Session) -> Result<Vec<RecordBatch>, Failure> {
        match self {
            Self::TripDurations => durations::compute(site, session),
            Self::PaymentPlaces => payment_places::compute(site, session),
            Self::ShadowDecisions => shadow_decisions::compute(site, session),
        }
    }
}

/// What a job works with.
struct Site<'a> {
    runtime: &'a Runtime,
    options: &'a JobOptions,
    /// State folder, where bundles lie.
    state: &'a Path,
}

impl Site<'_> {
    fn query(&self, session: &Session, sql: &str) -> Result<Vec<RecordBatch>, Failure> {
        Ok(self.runtime.block_on(session.collect(sql))?)
    }

    /// The times in the first column of an answer, nulls left out.
    fn times(&self, session: &Session, sql: &str) -> Result<Vec<i64>, Failure> {
        let mut times = Vec::new();
        for batch in self.query(session, sql)? {
            let column = cast(batch.column(0), &timestamp()).map_err(Failure::failed)?;
            times.extend(column.as_primitive::<TimestampMicrosecondType>().iter().flatten());
        }
        Ok(times)
    }

    fn time_zone(&self) -> &str {
        self.options.time_zone.as_deref().unwrap_or(TIME_ZONE)
    }
}

/// What a job did.
#[derive(Debug, Serialize)]
pub struct Done {
    table: &'static str,
    /// Rows that it added.
    rows: u64,
    /// Version of the table with them; nothing where there were none to add.
    version: Option<u64>,
}

/// Runs the command.
pub fn run(args: &JobArgs) -> Result<(), Failure> {
    let config = Config::resolve(&args.lake, &args.state)?;
    let mut names = args.names.clone();
    if names.is_empty() {
        names = JobName::value_variants().to_vec();
    }
    names.sort_unstable();
    names.dedup();
    let done = execute(&names, &config, &args.options)?;
    if args.json {
        return output::print_json(&done);
    }
    let mut table = output::table(["table", "rows added", "version"]);
    for Done { table: name, rows, version } in &done {
        table.add_row([*name, &rows.to_string(), &version.map_or("-".to_string(), |version| version.to_string())]);
    }
    output::print(&table.to_string())
}

/// Runs jobs one after the other.
pub fn execute(names: &[JobName], config: &Config, options: &JobOptions) -> Result<Vec<Done>, Failure> {
    config.require_lake()?;
    let runtime = start_runtime()?;
    let lake = Faults::from_environment()?.lake(open_lake(config, &runtime)?);
    let site = Site { runtime: &runtime, options, state: &config.state };
    names.iter().map(|name| run_one(*name, config, &lake, &site)).collect()
}

/// The frontier under which a job commits counts the rows that it has added: it moves with every commit that has rows,
/// and two jobs that saw the same table cannot both move it.
fn run_one(name: JobName, config: &Config, lake: &Lake, site: &Site<'_>) -> Result<Done, Failure> {
    let table_name = name.table();
    let _lock = job_lock(config, table_name)?;
    let spec = schemas::tables::by_name(table_name).expect("the tables of jobs are among all tables");
    // Before the session, so that whatever the session does not see cannot be committed over.
    let mut table = lake.table(&spec)?;
    let app_id = format!("job/{table_name}");
    let stands_at = table.frontier(&app_id)?.unwrap_or_default();
    let session = site.runtime.block_on(lake::open_session(&config.lake))?;
    let batches = name.compute(site, &session)?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if rows == 0 {
        return Ok(Done { table: table_name, rows: 0, version: None });
    }
    // Counts of rows stay far below what 64 bits hold.
    let committed = table.append(&batches, &[(app_id, Offset(stands_at.0 + rows as i64))])?;
    Ok(Done { table: table_name, rows: committed.rows, version: Some(committed.version) })
}
