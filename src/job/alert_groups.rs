//! Job alert-groups: alerts that are new, those that may belong together with them, the groups that are written, and the
//! rows that `fraud::alert_groups` makes of them.

use arrow::array::RecordBatch;
use fraud::alert_groups::{self, Alert, GROUP_US_MAX, QUIET_US_MAX, Written};
use lake::{Session, Table, moment};
use schemas::Offset;

use super::source_places::SourcePlaces;
use super::{Site, Work};
use crate::failure::Failure;

/// How far the job has read the table `courier_alerts`: numbers of its rows.
const COURIER_ALERTS: &str = "job/alert_groups/courier_alerts";

/// The rows that the table lacks.
pub(super) fn compute(site: &Site<'_>, session: &Session, table: &mut Table) -> Result<Work, Failure> {
    let partitions = "SELECT DISTINCT source_topic, source_partition FROM alerts";
    let places = SourcePlaces::read(site, session, table, "alerts", partitions)?;
    let seen = table.frontier(COURIER_ALERTS)?.unwrap_or_default().0;
    let new_sql = format!(
        "SELECT token, merchant_id, reader_id, group_id, event_time FROM alerts WHERE {}
        UNION ALL
        SELECT token, merchant_id, reader_id, group_id, event_time FROM courier_alerts WHERE sequence > {seen}",
        places.new_rows()
    );
    let new = site.query(session, &new_sql)?;
    let touched = alert_groups::touched(&new).map_err(Failure::failed)?;
    let Some(first_us) = touched.values().copied().min() else { return Ok(Work::default()) };
    let mut written = Vec::new();
    for batch in site.query(session, &written_sql(first_us))? {
        written.extend(Written::read(&batch).map_err(Failure::failed)?);
    }
    let since = alert_groups::since(&touched, &written);
    let start_us = since.values().copied().min().unwrap_or(first_us);
    let newest = site.times(session, "SELECT max(event_time) FROM alert_groups")?;
    let new_until = site.times(session, &format!("SELECT max(event_time) FROM ({new_sql})"))?;
    let until_us = newest.into_iter().chain(new_until).max().unwrap_or(first_us);
    let mut alerts = Vec::new();
    let take = |batch: &RecordBatch| {
        alerts.extend(Alert::read(batch).map_err(Failure::failed)?);
        Ok::<_, Failure>(())
    };
    site.runtime.block_on(session.each(&alerts_sql(start_us, until_us), take))?;
    let rows = alert_groups::alert_groups(&since, &alerts, &written).map_err(Failure::failed)?;
    let read = site.numbers(session, "SELECT max(sequence) FROM courier_alerts")?;
    let mut frontiers = places.frontiers(&[]);
    frontiers.push((COURIER_ALERTS.to_string(), Offset(read.into_iter().fold(seen, i64::max))));
    Ok(Work { batches: vec![rows], frontiers, is_worth_saving: true, goes_on: places.is_cut() })
}

/// The newest rows of groups that may take an alert from this time on, or were made of such.
fn written_sql(first_us: i64) -> String {
    format!(
        "SELECT * FROM (
            SELECT *, row_number() OVER (PARTITION BY group_id ORDER BY revision DESC) AS newest FROM alert_groups
            WHERE event_time >= {}
        )
        WHERE newest = 1",
        moment(first_us.saturating_sub(2 * (GROUP_US_MAX + QUIET_US_MAX)))
    )
}

/// Alerts that stand and are not snoozed, with what their payments ask for.
fn alerts_sql(from_us: i64, to_us: i64) -> String {
    let span = format!("event_time >= {} AND event_time <= {}", moment(from_us), moment(to_us));
    format!(
        "SELECT a.*, p.amount_minor, p.currency
        FROM (
            SELECT * FROM alerts_current
            WHERE state = 'raised' AND {span} AND alert_id NOT IN (SELECT alert_id FROM alerts_snoozed WHERE {span})
        ) a
        LEFT JOIN (
            SELECT payment_id, event_time, max(amount_minor) AS amount_minor, max(currency) AS currency
            FROM payments WHERE kind IN ('swipe', 'refund') AND {span} GROUP BY payment_id, event_time
        ) p ON p.payment_id = a.payment_id AND p.event_time = a.event_time"
    )
}
