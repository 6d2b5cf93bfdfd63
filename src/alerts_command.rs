//! `till alerts`: the risk team's desk. What alerted, why, and what somebody says of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::json::ArrayWriter;
use clap::{Args, Subcommand, ValueEnum};
use lake::{Session, open_session};
use schemas::money::{Currency, Money};
use serde_json::{Value, json};

use crate::append::Place;
use crate::config::{Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::feedback::{self, Verdict};
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
    WHERE a.state = 'raised'
    GROUP BY a.group_id";
/// The same of readers, as the job has grouped them.
const READER_GROUPS: &str = "
    SELECT g.group_id, g.alerts, g.payments, g.newest_at, array_to_string(g.reasons, ', ') AS reasons, g.sentence,
           g.newest_alert_id AS alert_id, g.merchant_id, g.reader_id, g.cards, g.amount_minor, g.currency, g.first_at,
           count(DISTINCT l.payment_id) AS labelled
    FROM alert_groups_current g
    LEFT JOIN alerts_current a
         ON a.reader_id = g.reader_id AND coalesce(a.merchant_id, '') = coalesce(g.merchant_id, '')
         AND a.event_time BETWEEN g.first_at AND g.newest_at
    LEFT JOIN labels l ON l.payment_id = a.payment_id
    WHERE g.kind = 'reader'
    GROUP BY g.group_id, g.alerts, g.payments, g.newest_at, g.reasons, g.sentence, g.newest_alert_id, g.merchant_id,
             g.reader_id, g.cards, g.amount_minor, g.currency, g.first_at";

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
    /// Those too of which somebody has said something.
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
        AlertsCommand::Confirm(args) => say(args, "fraud"),
        AlertsCommand::Dismiss(args) => say(args, "legitimate"),
    }
}

fn config_of(lake: &LakeFlags) -> Result<Config, Failure> {
    Config::resolve(lake, &StateFlags::default())
}

/// Rows as JSON objects.
fn documents(batches: &[RecordBatch]) -> Result<Vec<Value>, Failure> {
    let mut writer = ArrayWriter::new(Vec::new());
    for batch in batches {
        writer.write(batch).map_err(Failure::failed)?;
    }
    writer.finish().map_err(Failure::failed)?;
    let text = writer.into_inner();
    if text.is_empty() { Ok(Vec::new()) } else { serde_json::from_slice(&text).map_err(Failure::failed) }
}

pub async fn rows(session: &Session, sql: &str) -> Result<Vec<Value>, Failure> {
    documents(&session.collect(sql).await?)
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_default()
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let config = config_of(&args.lake)?;
    let open = if args.all { "" } else { " HAVING count(DISTINCT l.payment_id) = 0" };
    let groups = match args.by {
        GroupedBy::Card => GROUPS,
        GroupedBy::Reader => READER_GROUPS,
    };
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

/// A literal of SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
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
    let (alerts, decisions, timeline, places, labels) = start_runtime()?.block_on(async {
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
        Ok::<_, Failure>((
            alerts,
            rows(&session, &decisions).await?,
            rows(&session, &timeline).await?,
            rows(&session, &places).await?,
            rows(&session, &labels).await?,
        ))
    })?;
    if args.json {
        let document = json!({ "alerts": alerts, "decisions": decisions, "timeline": timeline, "places": places, "labels": labels });
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
    let mut seen: Option<BTreeSet<String>> = None;
    while !stop.load(Ordering::Relaxed) {
        let alerts = runtime.block_on(async {
            let session = open_session(&config.lake).await?;
            rows(&session, "SELECT * FROM alerts_current ORDER BY event_time, alert_id").await
        })?;
        let is_first = seen.is_none();
        let known = seen.get_or_insert_default();
        for alert in alerts {
            if known.insert([text(&alert, "alert_id"), text(&alert, "state")].concat()) && !is_first {
                let line = format!(
                    "{}  {}  {}",
                    text(&alert, "event_time"),
                    text(&alert, "alert_id"),
                    text(&alert, "sentence")
                );
                output::print(&if args.json { alert.to_string() } else { line })?;
            }
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
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
