//! `till alerts`: the risk team's desk. What alerted, why, and what somebody says of it.

mod snooze;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use lake::{Session, open_session};
use schemas::money::{Currency, Money};
use schemas::topics::label::{FRAUD, LEGITIMATE};
use serde_json::{Value, json};

use self::snooze::SnoozeArgs;
use crate::append::Place;
use crate::config::{Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::feedback::{self, Verdict};
use crate::lake_rows::{quoted, rows, text};
use crate::output;
use crate::wiring::{start_runtime, stop_on_interrupt};

/// Longest sentence of a table's cell, characters.
const SENTENCE_MAX: usize = 70;
/// Between two looks for new alerts.
const PAUSE: Duration = Duration::from_secs(1);
/// How long before and after a payment its card's timeline reaches.
const TIMELINE: &str = "INTERVAL '1 day'";

/// Groups of alerts, newest first, with what was said of their payments.
const GROUPS: &str = "
    SELECT a.group_id, count(*) AS alerts, count(DISTINCT a.payment_id) AS payments, max(a.event_time) AS newest_at,
           array_to_string(array_sort(array_agg(DISTINCT a.reason)), ', ') AS reasons,
           last_value(a.sentence ORDER BY a.group_number) AS sentence, last_value(a.alert_id ORDER BY a.group_number) AS alert_id,
           count(DISTINCT l.payment_id) AS labelled
    FROM alerts_current a LEFT JOIN labels l ON l.payment_id = a.payment_id
    WHERE a.state = 'raised' AND :shown
    GROUP BY a.group_id";
/// The same of readers, as the job has grouped them.
const READER_GROUPS: &str = "
    SELECT g.group_id, g.alerts, g.payments, g.newest_at, array_to_string(g.reasons, ', ') AS reasons, g.sentence,
           g.newest_alert_id AS alert_id, g.merchant_id, g.reader_id, g.cards, g.amount_minor, g.currency, g.first_at,
           count(DISTINCT l.payment_id) AS labelled
    FROM alert_groups_current g
    JOIN alerts_current a
         ON a.reader_id = g.reader_id AND coalesce(a.merchant_id, '') = coalesce(g.merchant_id, '')
         AND a.event_time BETWEEN g.first_at AND g.newest_at AND a.state = 'raised'
    LEFT JOIN labels l ON l.payment_id = a.payment_id
    WHERE g.kind = 'reader' AND :shown
    GROUP BY g.group_id, g.alerts, g.payments, g.newest_at, g.reasons, g.sentence, g.newest_alert_id, g.merchant_id,
             g.reader_id, g.cards, g.amount_minor, g.currency, g.first_at";

/// Holds of alerts of which somebody wants to hear.
const NOT_SNOOZED: &str = "a.alert_id NOT IN (SELECT alert_id FROM alerts_snoozed)";

/// What alerted, why, and what somebody says of it.
#[derive(Args)]
pub struct AlertsArgs {
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Subcommand)]
enum AlertsCommand {
    /// Groups of alerts that wait for a word, newest first.
    List(ListArgs),
    /// One alert: its payment, what was seen, and what its card did around it.
    Show(ShowArgs),
    /// Follow new alerts until Ctrl-C.
    Watch(WatchArgs),
    /// Say that an alert's payment is fraud.
    Confirm(VerdictArgs),
    /// Say that an alert's payment is legitimate.
    Dismiss(VerdictArgs),
    /// Hear no more for a while of what raised an alert, about its card, its reader or its merchant. Nothing is decided
    /// otherwise, and the alerts stay in their tables.
    Snooze(SnoozeArgs),
}

/// What the alerts of a group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GroupedBy {
    /// The card.
    Card,
    /// The reader, as `till job alert-groups` found them.
    Reader,
}

#[derive(Args)]
struct ListArgs {
    /// What the alerts of a group have in common.
    #[arg(long, value_enum, default_value_t = GroupedBy::Card)]
    by: GroupedBy,
    /// Those too of which somebody has said something, and those that are snoozed.
    #[arg(long)]
    all: bool,
    /// Most groups.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeFlags,
}

#[derive(Args)]
struct ShowArgs {
    /// Alert or payment.
    #[arg(value_name = "ID")]
    id: String,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeFlags,
}

#[derive(Args)]
struct WatchArgs {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeFlags,
}

#[derive(Args)]
struct VerdictArgs {
    /// Alerts or payments.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Who says so.
    #[arg(long, value_name = "NAME", default_value = "analyst")]
    by: String,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub fn run(args: &AlertsArgs) -> Result<(), Failure> {
    match &args.command {
        AlertsCommand::List(args) => list(args),
        AlertsCommand::Show(args) => show(args),
        AlertsCommand::Watch(args) => watch(args),
        AlertsCommand::Confirm(args) => say(args, FRAUD),
        AlertsCommand::Dismiss(args) => say(args, LEGITIMATE),
        AlertsCommand::Snooze(args) => snooze::run(args),
    }
}

fn config_of(lake: &LakeFlags) -> Result<Config, Failure> {
    Config::resolve(lake, &StateFlags::default())
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let config = config_of(&args.lake)?;
    let open = if args.all { "" } else { " HAVING count(DISTINCT l.payment_id) = 0" };
    let groups = match args.by {
        GroupedBy::Card => GROUPS,
        GroupedBy::Reader => READER_GROUPS,
    };
    let groups = groups.replace(":shown", if args.all { "true" } else { NOT_SNOOZED });
    let sql = format!("{groups}{open} ORDER BY newest_at DESC, group_id LIMIT {}", args.limit);
    let groups = start_runtime()?.block_on(async { rows(&open_session(&config.lake).await?, &sql).await })?;
    if args.json {
        return output::print_json(&groups);
    }
    let mut table = output::table(["newest", "alerts", "reasons", "what happened", "alert"]);
    for group in &groups {
        let sentence: String = text(group, "sentence").chars().take(SENTENCE_MAX).collect();
        let newest = text(group, "newest_at").get(..19).unwrap_or_default();
        table.add_row([
            newest,
            &group["alerts"].to_string(),
            text(group, "reasons"),
            &sentence,
            text(group, "alert_id"),
        ]);
    }
    output::print(&table.to_string())
}

/// The alerts of an identity: of an alert one, of a payment all of its.
async fn alerts_of(session: &Session, id: &str) -> Result<Vec<Value>, Failure> {
    let id = quoted(id);
    let sql = format!(
        "SELECT * FROM alerts_current WHERE alert_id = {id} OR payment_id = {id} ORDER BY event_time, alert_id"
    );
    let found = rows(session, &sql).await?;
    if found.is_empty() {
        return Err(Failure::usage(format!("there is no alert or payment {id} with an alert"))
            .with_help("`till alerts list --all` shows their identities"));
    }
    Ok(found)
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    let config = config_of(&args.lake)?;
    let (alerts, decisions, timeline, places, labels, snoozed) = start_runtime()?.block_on(async {
        let session = open_session(&config.lake).await?;
        let alerts = alerts_of(&session, &args.id).await?;
        let (payment, token) = (quoted(text(&alerts[0], "payment_id")), quoted(text(&alerts[0], "token")));
        let at = quoted(text(&alerts[0], "event_time"));
        let decisions =
            format!("SELECT * FROM decisions WHERE payment_id = {payment} AND NOT repeat ORDER BY event_time");
        let timeline = format!(
            "SELECT event_time, kind, merchant_id, reader_id, amount_minor, currency, state, reason FROM decisions \
             WHERE token = {token} AND NOT repeat AND kind IN ('authorization', 'refund') \
             AND event_time BETWEEN TIMESTAMP {at} - {TIMELINE} AND TIMESTAMP {at} + {TIMELINE} ORDER BY event_time"
        );
        let places = format!("SELECT place, lat, lon FROM payment_places_current WHERE payment_id = {payment}");
        let labels = format!(
            "SELECT label, label_source, event_time FROM labels WHERE payment_id = {payment} ORDER BY known_at"
        );
        let snoozed = snoozed_of(&session, &alerts).await?;
        Ok::<_, Failure>((
            alerts,
            rows(&session, &decisions).await?,
            rows(&session, &timeline).await?,
            rows(&session, &places).await?,
            rows(&session, &labels).await?,
            snoozed,
        ))
    })?;
    if args.json {
        let document = json!({ "alerts": alerts, "decisions": decisions, "timeline": timeline, "places": places, "labels": labels, "snoozed": snoozed });
        return output::print_json(&document);
    }
    let mut said = Vec::new();
    for alert in &alerts {
        let (at, sentence) = (text(alert, "event_time"), text(alert, "sentence"));
        let number = &alert["group_number"];
        said.push(match text(alert, "state") {
            "withdrawn" => format!("{at}  {sentence}"),
            _ => format!("{at}  {sentence} (number {number} of its group)"),
        });
    }
    for decision in &decisions {
        for (title, column) in [("fired", "fired_rules"), ("seen", "features"), ("made the score", "contributions")] {
            let values = decision[column].as_array().into_iter().flatten();
            said.extend(values.map(|value| format!("  {title}: {}", value.as_str().unwrap_or_default())));
        }
        if let Some(score) = decision["score"].as_f64() {
            said.push(format!("  score: {score:.4}"));
        }
    }
    said.extend(places.iter().map(|place| format!("  paid {}", text(place, "place"))));
    said.extend(
        labels.iter().map(|label| format!("  said to be {} by {}", text(label, "label"), text(label, "label_source"))),
    );
    said.extend(snoozed.iter().map(|row| format!("  snoozed: such alerts until {}", text(row, "snoozed_until"))));
    let mut table = output::table(["card's day around it", "kind", "merchant", "reader", "amount", "state", "reason"]);
    for row in &timeline {
        let money = |minor| Some(Money { minor, currency: Currency::from_code(text(row, "currency"))? }.to_string());
        let amount = row["amount_minor"].as_i64().and_then(money).unwrap_or_default();
        let cells = ["event_time", "kind", "merchant_id", "reader_id"].map(|name| text(row, name));
        table.add_row([cells[0], cells[1], cells[2], cells[3], &amount, text(row, "state"), text(row, "reason")]);
    }
    said.push(table.to_string());
    output::print(&said.join("\n"))
}

fn watch(args: &WatchArgs) -> Result<(), Failure> {
    let config = config_of(&args.lake)?;
    let runtime = start_runtime()?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(&runtime, stop.clone());
    let mut places = runtime.block_on(async { Places::of(&open_session(&config.lake).await?).await })?;
    while !stop.load(Ordering::Relaxed) {
        let alerts = runtime.block_on(async { places.go_on(&open_session(&config.lake).await?).await })?;
        for alert in alerts {
            let [at, id, sentence] = ["event_time", "alert_id", "sentence"].map(|name| text(&alert, name));
            output::print(&if args.json { alert.to_string() } else { format!("{at}  {id}  {sentence}") })?;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Which of these alerts are snoozed, and until when.
async fn snoozed_of(session: &Session, alerts: &[Value]) -> Result<Vec<Value>, Failure> {
    if alerts.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = alerts.iter().map(|alert| quoted(text(alert, "alert_id"))).collect();
    let sql = format!("SELECT alert_id, snoozed_until FROM alerts_snoozed WHERE alert_id IN ({})", ids.join(", "));
    rows(session, &sql).await
}

/// How far alerts were read: the newest offset of each topic and partition. A partition's rows come in the order of its
/// offsets, those of one record together.
#[derive(Default)]
struct Places {
    alerts: BTreeMap<(String, i64), i64>,
    /// Newest row of courier_alerts, whose rows are numbered.
    sequence: i64,
}

impl Places {
    /// Behind everything that is there.
    async fn of(session: &Session) -> Result<Self, Failure> {
        let sql = "SELECT source_topic, source_partition, max(source_offset) AS source_offset FROM alerts \
                   GROUP BY source_topic, source_partition";
        let mut places = Self::default();
        rows(session, sql).await?.iter().for_each(|row| places.pass(row));
        let newest = rows(session, "SELECT max(sequence) AS newest FROM courier_alerts").await?;
        places.sequence = newest.first().and_then(|row| row["newest"].as_i64()).unwrap_or_default();
        Ok(places)
    }

    fn pass(&mut self, row: &Value) {
        let number = |name: &str| row[name].as_i64().unwrap_or_default();
        let place = (text(row, "source_topic").to_string(), number("source_partition"));
        let offset = self.alerts.entry(place).or_insert(i64::MIN);
        *offset = number("source_offset").max(*offset);
    }

    /// The alerts behind these places, which move past them.
    async fn go_on(&mut self, session: &Session) -> Result<Vec<Value>, Failure> {
        let alerts = rows(session, &self.sql()).await?;
        alerts.iter().for_each(|alert| self.pass(alert));
        let sql = format!("SELECT * FROM courier_alerts WHERE sequence > {} ORDER BY sequence", self.sequence);
        let of_couriers = rows(session, &sql).await?;
        let newest = of_couriers.iter().filter_map(|alert| alert["sequence"].as_i64()).max();
        self.sequence = newest.unwrap_or(self.sequence);
        let mut alerts: Vec<Value> = alerts.into_iter().chain(of_couriers).collect();
        let snoozed = snoozed_of(session, &alerts).await?;
        let snoozed: BTreeSet<&str> = snoozed.iter().map(|row| text(row, "alert_id")).collect();
        alerts.retain(|alert| !snoozed.contains(text(alert, "alert_id")));
        Ok(alerts)
    }

    fn sql(&self) -> String {
        let read = self.alerts.iter().map(|((topic, partition), offset)| {
            format!("source_topic = {} AND source_partition = {partition} AND source_offset <= {offset}", quoted(topic))
        });
        let conditions: Vec<String> = read.map(|read| format!("NOT ({read})")).collect();
        let behind = if conditions.is_empty() { String::new() } else { format!("WHERE {} ", conditions.join(" AND ")) };
        format!("SELECT * FROM alerts {behind}ORDER BY event_time, alert_id")
    }
}

fn say(args: &VerdictArgs, label: &'static str) -> Result<(), Failure> {
    let config = args.place.config()?;
    let verdicts = start_runtime()?.block_on(async {
        let session = open_session(&config.lake).await?;
        let mut verdicts: Vec<Verdict> = Vec::new();
        for id in &args.ids {
            let alert = alerts_of(&session, id).await?.swap_remove(0);
            verdicts.push(Verdict {
                payment_id: text(&alert, "payment_id").to_string(),
                merchant_id: text(&alert, "merchant_id").to_string(),
                label: label.to_string(),
                source: args.by.clone(),
            });
        }
        Ok::<_, Failure>(verdicts)
    })?;
    let place = feedback::send(&verdicts, args.place.input.as_deref(), &config)?;
    if args.json {
        return output::print_json(&json!({ "verdicts": verdicts, "sent": place }));
    }
    output::print(&format!("{} payments are said to be {label}: {place}", verdicts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if an alert is shown twice, or one behind another partition's place is left out.
    #[test]
    fn what_was_shown_is_passed_partition_by_partition() {
        let mut places = Places::default();
        assert_eq!(places.sql(), "SELECT * FROM alerts ORDER BY event_time, alert_id");
        for (partition, offset) in [(0, 7), (1, 3), (0, 5)] {
            places.pass(&json!({ "source_topic": "payments", "source_partition": partition, "source_offset": offset }));
        }
        assert_eq!(
            places.sql(),
            "SELECT * FROM alerts \
             WHERE NOT (source_topic = 'payments' AND source_partition = 0 AND source_offset <= 7) \
             AND NOT (source_topic = 'payments' AND source_partition = 1 AND source_offset <= 3) \
             ORDER BY event_time, alert_id"
        );
    }
}
