//! Job trip-durations: trips, assignments and strange fixes from the lake, zones and promises from files, and the rows
//! that `trips::durations` makes of them.

use std::fmt::Write as _;
use std::path::Path;

use arrow::array::RecordBatch;
use lake::{Session, moment};
use trips::durations::{Inputs, Mark, WINDOW_US, trip_durations};
use trips::zones::Zones;

use super::{Site, promises};
use crate::failure::Failure;

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// The newest revision of each trip, with what a row keeps of it.
const NEWEST: &str = "
    newest AS (
        SELECT * FROM (
            SELECT trip_id, revision, device_id, started_at, ended_at, start_lat, start_lon, end_lat, end_lon, path_m,
                   distance_m, straight_m, idle_s, stops, fixes, close_reason, hired, event_time, ingest_time,
                   source_topic, source_partition, source_offset,
                   row_number() OVER (PARTITION BY trip_id ORDER BY revision DESC) AS newest
            FROM trips
        )
        WHERE newest = 1
    )";
/// Times at which trips without a row start and end.
const PENDING: &str = "
    pending AS (
        SELECT n.started_at, n.ended_at
        FROM newest n LEFT ANTI JOIN trip_durations d ON d.trip_id = n.trip_id AND d.revision = n.revision
    )";
pub(super) const ASSIGNMENTS: &str = "SELECT device_id, reader_id, courier_id, merchant_id, vehicle, valid_from, valid_to, event_time, \
    source_partition, source_offset FROM couriers";

/// Largest difference of two steps that counts as none, degrees: what rounding to seven decimals does to them.
const SAME_STEP_DEG: f64 = 2e-7;
/// Shortest step that is compared with the one before, degrees: some ten metres, since short steps of coarse coordinates
/// are often equal.
const STEP_DEG_MIN: f64 = 1e-4;

/// The rows that the table lacks.
pub(super) fn compute(site: &Site<'_>, session: &Session) -> Result<Vec<RecordBatch>, Failure> {
    let zones = zones(site.options.zones.as_deref(), site.time_zone())?;
    let promises = site.options.promised.as_deref().map(promises::read).transpose()?;
    let first = site.times(session, &format!("WITH {NEWEST}, {PENDING} SELECT min(started_at) FROM pending"))?;
    let Some(first_us) = first.into_iter().next() else { return Ok(Vec::new()) };
    let since_us = first_us.saturating_sub(WINDOW_US);
    let trips = site.query(session, &trips_sql(since_us))?;
    let marks = marks(site, session, first_us)?;
    let assignments = site.query(session, ASSIGNMENTS)?;
    let inputs = Inputs { trips: &trips, assignments: &assignments, marks: &marks, promises: promises.as_slice() };
    Ok(vec![trip_durations(&inputs, &zones).map_err(Failure::failed)?])
}

fn zones(file: Option<&Path>, time_zone: &str) -> Result<Zones, Failure> {
    let Some(path) = file else { return Zones::none(time_zone).map_err(Failure::usage) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read the zones {}: {error}", path.display())))?;
    Zones::from_geojson(&text, time_zone).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Trips that ended since a moment, and whether they have a row.
fn trips_sql(since_us: i64) -> String {
    format!(
        "WITH {NEWEST}
        SELECT n.*, d.trip_id IS NOT NULL AS is_written
        FROM newest n
        LEFT JOIN (SELECT trip_id, revision FROM trip_durations) d
             ON d.trip_id = n.trip_id AND d.revision = n.revision
        WHERE n.ended_at >= {}",
        moment(since_us)
    )
}

/// Strange fixes at the times of trips without a row. Pings are many, so they are looked at day by day.
fn marks(site: &Site<'_>, session: &Session, first_us: i64) -> Result<Vec<RecordBatch>, Failure> {
    let teleports = format!(
        "SELECT device_id, event_time, '{}' AS kind FROM ping_faults WHERE reason = 'teleport' AND event_time >= {}",
        Mark::Teleport.name(),
        moment(first_us)
    );
    let mut marks = site.query(session, &teleports)?;
    let days = format!(
        "WITH {NEWEST}, {PENDING}
        SELECT DISTINCT date_trunc('day', at) AS day
        FROM (SELECT started_at AS at FROM pending UNION ALL SELECT ended_at AS at FROM pending)
        ORDER BY day"
    );
    for day_us in site.times(session, &days)? {
        marks.extend(site.query(session, &pings_sql(day_us, day_us + DAY_US))?);
    }
    Ok(marks)
}

/// Fixes from one moment to another, exclusive, that are another device's too, or that have no noise.
fn pings_sql(from_us: i64, to_us: i64) -> String {
    let (from, to) = (moment(from_us), moment(to_us));
    let mut steps = String::new();
    for (name, column) in [("north", "lat"), ("east", "lon")] {
        // Writing to a string never fails.
        let _ = write!(
            steps,
            "{column} - lag({column}) OVER track AS {name}, \
             lag({column}) OVER track - lag({column}, 2) OVER track AS {name}_before, "
        );
    }
    format!(
        "WITH fixes AS (
            SELECT device_id, event_time, lat, lon, accuracy_m FROM pings
            WHERE event_time >= {from} AND event_time < {to}
        ), shared AS (
            SELECT event_time, lat, lon FROM fixes
            GROUP BY event_time, lat, lon HAVING min(device_id) <> max(device_id)
        ), steps AS (
            SELECT device_id, event_time, {steps} accuracy_m, lag(accuracy_m) OVER track AS accuracy_before
            FROM fixes WINDOW track AS (PARTITION BY device_id ORDER BY event_time)
        )
        SELECT f.device_id, f.event_time, '{copied}' AS kind
        FROM fixes f JOIN shared s ON s.event_time = f.event_time AND s.lat = f.lat AND s.lon = f.lon
        UNION ALL
        SELECT device_id, event_time, '{smooth}' AS kind FROM steps
        WHERE abs(north) + abs(east) >= {STEP_DEG_MIN} AND accuracy_m = accuracy_before
              AND abs(north - north_before) <= {SAME_STEP_DEG} AND abs(east - east_before) <= {SAME_STEP_DEG}",
        copied = Mark::Copied.name(),
        smooth = Mark::Smooth.name(),
    )
}
