//! Job courier-alerts: swipes that are new, raised alerts of whose phones new fixes came, the fixes around both, and the
//! rows that `trips::courier_alerts` makes of them.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, TimestampMicrosecondType};
use lake::{Session, Table, moment};
use schemas::topics::timestamp;
use trips::courier_alerts::{CourierAlerts, FAR_M, Inputs, TRACK_US};

use super::source_places::SourcePlaces;
use super::{Site, Work, durations::ASSIGNMENTS};
use crate::failure::Failure;

const DAY_US: i64 = 24 * 3600 * 1_000_000;
const COLUMNS: &str = "payment_id, token, merchant_id, reader_id, courier_id, amount_minor, currency, lat, lon, event_time, \
    ingest_time, source_topic, source_partition, source_offset";

/// The rows that the table lacks. `stands_at` is how many it has.
pub(super) fn compute(site: &Site<'_>, session: &Session, table: &mut Table, stands_at: i64) -> Result<Work, Failure> {
    let far_m = site.options.far_m.unwrap_or(FAR_M);
    if !far_m.is_finite() || far_m <= 0.0 {
        return Err(Failure::usage(format!("{far_m} m is no distance from which on a swipe is far")));
    }
    let assignments = site.query(session, ASSIGNMENTS)?;
    // The unit commits table by table: payments may be there before those who take them.
    if assignments.iter().all(|batch| batch.num_rows() == 0) {
        return Ok(Work::default());
    }
    let clocks = clocks(site, session)?;
    let swipes = "SELECT DISTINCT source_topic, source_partition FROM payments";
    let swipes = SourcePlaces::read(site, session, table, "payments", swipes)?;
    let pings =
        SourcePlaces::read(site, session, table, "pings", "SELECT source_topic, source_partition FROM ping_clocks")?;
    let new = site.query(session, &new_sql(&swipes))?;
    let raised = site.query(session, &raised_sql(&pings))?;
    let inputs = Inputs { swipes: &new, raised: &raised, assignments: &assignments, clocks: &clocks, far_m };
    let mut work = CourierAlerts::read(inputs).map_err(Failure::failed)?;
    // Pings are many, so they are read day by day, and of each only what lies around swipes.
    let mut days: BTreeMap<i64, [i64; 2]> = BTreeMap::new();
    for at_us in work.moments() {
        let [first_us, last_us] = days.entry(at_us.div_euclid(DAY_US)).or_insert([at_us, at_us]);
        (*first_us, *last_us) = (at_us.min(*first_us), at_us.max(*last_us));
    }
    for [first_us, last_us] in days.into_values() {
        let sql = fixes_sql(first_us.saturating_sub(TRACK_US[0]), last_us.saturating_add(TRACK_US[1]));
        let look = |fixes: &RecordBatch| work.look(fixes).map_err(Failure::failed);
        site.runtime.block_on(session.each(&sql, look))?;
    }
    let (rows, waiting) = work.finish(stands_at.saturating_add(1)).map_err(Failure::failed)?;
    let (read, pings_read) = (swipes.frontiers(&waiting), pings.frontiers(&[]));
    Ok(Work {
        batches: vec![rows],
        is_worth_saving: swipes.is_worth_saving(&read) || pings.is_worth_saving(&pings_read),
        frontiers: [read, pings_read].concat(),
        // Where swipes wait, the rest has to wait too.
        goes_on: (swipes.is_cut() && waiting.is_empty()) || pings.is_cut(),
    })
}

/// How far the pings have been read, by partition.
fn clocks(site: &Site<'_>, session: &Session) -> Result<BTreeMap<i32, i64>, Failure> {
    let mut clocks = BTreeMap::new();
    for batch in site.query(session, "SELECT source_partition, clock FROM ping_clocks")? {
        let partitions = cast(batch.column(0), &DataType::Int32).map_err(Failure::failed)?;
        let times = cast(batch.column(1), &timestamp()).map_err(Failure::failed)?;
        let partitions = partitions.as_primitive::<Int32Type>().values().iter().copied();
        clocks.extend(partitions.zip(times.as_primitive::<TimestampMicrosecondType>().values().iter().copied()));
    }
    Ok(clocks)
}

/// New swipes with a place, beside which there may be a phone.
fn new_sql(places: &SourcePlaces) -> String {
    format!(
        "SELECT {COLUMNS} FROM payments p
        LEFT ANTI JOIN courier_alerts a ON a.payment_id = p.payment_id
        WHERE kind = 'swipe' AND NOT repeat AND payment_id IS NOT NULL AND lat IS NOT NULL AND lon IS NOT NULL
              AND (courier_id IS NOT NULL OR reader_id IN (SELECT reader_id FROM couriers WHERE device_id IS NOT NULL))
              AND {}
        ORDER BY event_time, source_partition, source_offset",
        places.new_rows()
    )
}

/// Alerts that stand, of whose phones fixes about that time came since.
fn raised_sql(places: &SourcePlaces) -> String {
    let [before_us, after_us] = TRACK_US;
    format!(
        "SELECT {COLUMNS} FROM (SELECT * FROM courier_alerts_current WHERE state = 'raised') a
        LEFT SEMI JOIN (SELECT device_id, event_time AS fixed_at FROM pings WHERE {}) f
             ON f.device_id = a.device_id
             AND CAST(f.fixed_at AS BIGINT) >= CAST(a.event_time AS BIGINT) - {before_us}
             AND CAST(f.fixed_at AS BIGINT) <= CAST(a.event_time AS BIGINT) + {after_us}",
        places.new_rows()
    )
}

fn fixes_sql(from_us: i64, to_us: i64) -> String {
    format!(
        "SELECT device_id, event_time, lat, lon, accuracy_m, speed_mps, ingest_time, source_partition, source_offset
        FROM pings WHERE event_time >= {} AND event_time <= {} AND ingest_time IS NOT NULL",
        moment(from_us),
        moment(to_us)
    )
}
