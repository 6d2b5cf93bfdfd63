//! `till alerts snooze`: a cause of alerts of which somebody has heard enough, for a while. It is a row of the lake and not
//! a record of the log, since nothing is decided by it.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use clap::{Args, ValueEnum};
use jiff::{Span, SpanRelativeTo, Timestamp, Unit};
use lake::{Lake, Session, open_session};
use schemas::{Offset, tables};
use serde_json::{Value, json};

use super::{alerts_of, config_of};
use crate::config::{Config, LakeFlags};
use crate::failure::Failure;
use crate::lake_rows::{quoted, rows, text};
use crate::output;
use crate::wiring::{job_lock, open_lake, start_runtime};

/// Who adds rows to the table: how many there are is its frontier, so that two cannot add the same.
const APP_ID: &str = "alerts/snoozes";
/// The job that must not be at work meanwhile: it would take an alert for one that is not snoozed yet.
const JOB: &str = "alert_groups";
/// Between two looks whether the job has ended, and their number: a minute.
const NAP: Duration = Duration::from_millis(100);
const NAPS_MAX: u32 = 600;
/// A longer snooze is a rule that should not be there: a year, microseconds.
const LENGTH_US_MAX: f64 = 366.0 * 24.0 * 3600.0 * 1e6;

/// Of whose alerts it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Whose {
    /// The alert's card.
    Card,
    /// The alert's reader.
    Reader,
    /// The alert's merchant.
    Merchant,
}

#[derive(Args)]
pub(super) struct SnoozeArgs {
    /// Alert, or payment that alerts.
    #[arg(value_name = "ID")]
    id: String,
    /// How long, from the newest alert of the lake on: 90m, 12h, 7d. 0s ends what was said before.
    #[arg(long = "for", value_name = "TIME", default_value = "7d", value_parser = length_us)]
    length_us: i64,
    /// Of whose alerts it is said.
    #[arg(long, value_enum, default_value_t = Whose::Card)]
    of: Whose,
    /// Only what this rule raises [default: every rule that fired, or the reason where none did].
    #[arg(long = "rule", value_name = "NAME")]
    rules: Vec<String>,
    /// Who says so.
    #[arg(long, value_name = "NAME", default_value = "analyst")]
    by: String,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeFlags,
}

/// Microseconds of a text such as `7d`; a day has 24 hours.
fn length_us(said: &str) -> Result<i64, String> {
    let span: Span = said.parse().map_err(|_| "say how long as 90m, 12h or 7d".to_string())?;
    let length_us = span.total((Unit::Microsecond, SpanRelativeTo::days_are_24_hours()));
    let length_us = length_us.map_err(|error| error.to_string())?;
    if !(0.0..=LENGTH_US_MAX).contains(&length_us) {
        return Err("at least nothing and at most 366d".to_string());
    }
    Ok(length_us as i64)
}

/// Of what no more is heard.
struct Snooze<'a> {
    /// Rules, or a reason.
    causes: Vec<String>,
    token: Option<&'a str>,
    merchant_id: Option<&'a str>,
    reader_id: Option<&'a str>,
    since_us: i64,
    until_us: i64,
}

impl<'a> Snooze<'a> {
    /// Everything of whose alerts it is; what raised them, and from when on, comes later.
    fn of(whose: Whose, alert: &'a Value) -> Result<Self, Failure> {
        let named = |name: &str, is_meant: bool| alert[name].as_str().filter(|_| is_meant);
        let snooze = Self {
            causes: Vec::new(),
            token: named("token", whose == Whose::Card),
            merchant_id: named("merchant_id", whose != Whose::Card),
            reader_id: named("reader_id", whose == Whose::Reader),
            since_us: 0,
            until_us: 0,
        };
        let (subject, what) = match whose {
            Whose::Card => (snooze.token, "card"),
            Whose::Reader => (snooze.reader_id, "reader"),
            Whose::Merchant => (snooze.merchant_id, "merchant"),
        };
        if subject.is_some() {
            return Ok(snooze);
        }
        Err(Failure::usage(format!("the {what} of this alert is not known"))
            .with_help("say with --of whose alerts are meant: card, reader or merchant"))
    }

    fn subject(&self) -> String {
        let merchant = self.merchant_id.unwrap_or("an unnamed merchant");
        match (self.token, self.reader_id) {
            (Some(token), _) => format!("card {token}"),
            (None, Some(reader)) => format!("reader {reader} at {merchant}"),
            (None, None) => format!("merchant {merchant}"),
        }
    }
}

pub(super) fn run(args: &SnoozeArgs) -> Result<(), Failure> {
    let config = config_of(&args.lake)?;
    config.require_lake()?;
    let runtime = start_runtime()?;
    let lake = open_lake(&config, &runtime)?;
    let _lock = lock(&config)?;
    let (alert, causes, newest_us) = runtime.block_on(async {
        let session = open_session(&config.lake).await?;
        let alert = alerts_of(&session, &args.id).await?.swap_remove(0);
        let causes = causes(&session, &alert, &args.rules).await?;
        Ok::<_, Failure>((alert, causes, newest_us(&session).await?))
    })?;
    let since_us = newest_us.saturating_add(1);
    let until_us = since_us.saturating_add(args.length_us);
    let snooze = Snooze { causes, since_us, until_us, ..Snooze::of(args.of, &alert)? };
    add(&lake, &alert, &snooze, &args.by)?;
    let until = Timestamp::from_microsecond(until_us).map_err(Failure::failed)?.to_string();
    if args.json {
        let Snooze { causes, token, merchant_id, reader_id, .. } = &snooze;
        return output::print_json(&json!({ "causes": causes, "token": token, "merchant_id": merchant_id,
            "reader_id": reader_id, "snoozed_until": until }));
    }
    let (causes, subject) = (snooze.causes.join(", "), snooze.subject());
    output::print(&match args.length_us {
        0 => format!("{causes} of {subject} is heard of again"),
        _ => format!("{causes} of {subject} is not heard of until {until}"),
    })
}

/// Waits until the job is not at work, and keeps it from it.
fn lock(config: &Config) -> Result<File, Failure> {
    for _ in 0..NAPS_MAX {
        match job_lock(config, JOB) {
            Err(_) => std::thread::sleep(NAP),
            locked => return locked,
        }
    }
    job_lock(config, JOB)
}

/// Time of the newest alert: what is said holds of those behind it, whoever has seen which.
async fn newest_us(session: &Session) -> Result<i64, Failure> {
    let sql = "SELECT CAST(max(event_time) AS BIGINT) AS newest FROM alerts_current";
    Ok(rows(session, sql).await?.first().and_then(|row| row["newest"].as_i64()).unwrap_or_default())
}

/// What raised the alert, or of that the rules that somebody names.
async fn causes(session: &Session, alert: &Value, rules: &[String]) -> Result<Vec<String>, Failure> {
    let alert_id = quoted(text(alert, "alert_id"));
    let sql = format!("SELECT DISTINCT cause FROM alert_causes WHERE alert_id = {alert_id} ORDER BY cause");
    let found: Vec<String> =
        self::rows(session, &sql).await?.iter().map(|row| text(row, "cause").to_string()).collect();
    if found.is_empty() {
        return Err(Failure::usage("this alert was taken back: there is nothing to snooze"));
    }
    if let Some(other) = rules.iter().find(|rule| !found.contains(rule)) {
        return Err(Failure::usage(format!("{other} did not raise this alert"))
            .with_help(format!("what did: {}", found.join(", "))));
    }
    Ok(if rules.is_empty() { found } else { rules.to_vec() })
}

/// Adds a row for each cause in one commit.
fn add(lake: &Lake, alert: &Value, snooze: &Snooze<'_>, by: &str) -> Result<(), Failure> {
    let spec = tables::snoozes();
    let mut table = lake.table(&spec)?;
    let count = table.frontier(APP_ID)?.unwrap_or_default().0;
    let length = snooze.causes.len();
    // An alert has few causes.
    let end = count + length as i64;
    let texts = |text: Option<&str>| Arc::new(StringArray::from(vec![text; length])) as ArrayRef;
    let times = |us: i64| Arc::new(TimestampMicrosecondArray::from(vec![us; length]).with_timezone("UTC")) as ArrayRef;
    let numbers = |name: &str| vec![alert[name].as_i64().unwrap_or_default(); length];
    let columns = spec.schema.fields().iter().map(|field| match field.name().as_str() {
        "sequence" => Arc::new(Int64Array::from_iter_values(count + 1..=end)) as ArrayRef,
        "cause" => Arc::new(StringArray::from_iter_values(&snooze.causes)),
        "token" => texts(snooze.token),
        "merchant_id" => texts(snooze.merchant_id),
        "reader_id" => texts(snooze.reader_id),
        "snoozed_until" => times(snooze.until_us),
        "snoozed_by" => texts(Some(by)),
        "alert_id" | "source_topic" => texts(alert[field.name()].as_str()),
        "source_partition" => {
            Arc::new(numbers("source_partition").into_iter().map(|number| number as i32).collect::<Int32Array>())
        }
        "source_offset" => Arc::new(Int64Array::from(numbers("source_offset"))),
        _ => times(snooze.since_us),
    });
    let added = RecordBatch::try_new(spec.schema.clone(), columns.collect()).map_err(Failure::failed)?;
    table.append(&[added], &[(APP_ID.to_string(), Offset(end))])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_words_of_people() {
        let minutes = |said| length_us(said).map(|us| us / 60_000_000);
        assert_eq!(["90m", "1h", "7d", "0s", "1d 12h"].map(minutes), [90, 60, 7 * 24 * 60, 0, 36 * 60].map(Ok));
        assert!(["", "7", "-1d", "400d", "soon"].into_iter().all(|said| length_us(said).is_err()));
    }
}
