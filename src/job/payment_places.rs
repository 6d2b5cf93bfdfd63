//! Job payment-places: payments, assignments, stops, trips and vehicles from the lake, then the fixes around the moments
//! of which the place is asked, and the rows that `trips::payment_places` makes of them.

use arrow::array::RecordBatch;
use lake::{Session, moment};
use trips::payment_places::{ARRIVAL_US_MAX, FIX_US_MAX, Inputs, PaymentPlaces, REVISED_US};

use super::{Site, durations::ASSIGNMENTS};
use crate::failure::Failure;

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// Swipes beside which there is a phone, by anything that was ever said. Others are paid at counters.
const CARRIED: &str = "
    kind = 'swipe' AND NOT repeat AND payment_id IS NOT NULL
    AND (courier_id IS NOT NULL OR reader_id IN (SELECT reader_id FROM couriers WHERE device_id IS NOT NULL))";
const WRITTEN: &str = "SELECT payment_id, revision, stop_id, stop_revision, trip_id, trip_revision \
    FROM payment_places_current";

/// The rows that the table lacks.
pub(super) fn compute(site: &Site<'_>, session: &Session) -> Result<Vec<RecordBatch>, Failure> {
    let pending = format!(
        "SELECT min(p.event_time) FROM payments p LEFT ANTI JOIN payment_places w ON w.payment_id = p.payment_id
        WHERE {CARRIED}"
    );
    let pending_us = site.times(session, &pending)?.into_iter().next();
    let newest_us = site.times(session, "SELECT max(event_time) FROM payment_places")?.into_iter().next();
    let revised_us = newest_us.map(|newest_us| newest_us.saturating_sub(REVISED_US));
    let Some(since_us) = pending_us.into_iter().chain(revised_us).min() else { return Ok(Vec::new()) };
    let clock = site.times(session, "SELECT max(ingest_time) FROM pings")?;
    let since = moment(since_us);
    let near = moment(since_us.saturating_sub(ARRIVAL_US_MAX));
    let payments = site.query(
        session,
        &format!(
            "SELECT * FROM (
                SELECT payment_id, merchant_id, reader_id, courier_id, event_time, ingest_time, source_topic,
                       source_partition, source_offset, row_number() OVER (
                           PARTITION BY payment_id ORDER BY event_time, source_partition, source_offset
                       ) AS place
                FROM payments WHERE {CARRIED} AND event_time >= {since}
            )
            WHERE place = 1"
        ),
    )?;
    let stops = site.query(session, &format!("SELECT * FROM stops_current WHERE ended_at >= {near}"))?;
    let trips = format!(
        "SELECT trip_id, revision, device_id, started_at, ended_at FROM trips_current WHERE ended_at >= {near}"
    );
    let inputs = Inputs {
        payments: &payments,
        assignments: &site.query(session, ASSIGNMENTS)?,
        stops: &stops,
        trips: &site.query(session, &trips)?,
        vehicles: &site.query(session, "SELECT device_id, state, since, trip_started_at FROM vehicles_current")?,
        written: &site.query(session, WRITTEN)?,
        clock_us: clock.into_iter().next(),
    };
    let mut work = PaymentPlaces::read(inputs).map_err(Failure::failed)?;
    let mut days: Vec<i64> = work.moments().iter().map(|at_us| at_us.div_euclid(DAY_US)).collect();
    days.dedup();
    for day in days {
        let sql = fixes_sql(day * DAY_US - FIX_US_MAX, (day + 1) * DAY_US + FIX_US_MAX);
        let look = |fixes: &RecordBatch| work.look(fixes).map_err(Failure::failed);
        site.runtime.block_on(session.each(&sql, look))?;
    }
    let rows = work.rows().map_err(Failure::failed)?;
    Ok(if rows.num_rows() == 0 { Vec::new() } else { vec![rows] })
}

/// Fixes that cleaning has kept. A fix with a copy is kept: only the copy is a fault.
fn fixes_sql(from_us: i64, to_us: i64) -> String {
    let span = format!("event_time >= {} AND event_time <= {}", moment(from_us), moment(to_us));
    format!(
        "SELECT p.device_id, p.event_time, p.lat, p.lon
        FROM (SELECT device_id, event_time, lat, lon FROM pings WHERE {span}) p
        LEFT ANTI JOIN (
            SELECT device_id, event_time, lat, lon FROM ping_faults WHERE reason <> 'duplicate' AND {span}
        ) f ON f.device_id = p.device_id AND f.event_time = p.event_time AND f.lat = p.lat AND f.lon = p.lon"
    )
}
