//! The summary of a lake: what happened to the swipes, whether the money adds up, what could not be used, and what lies
//! where. Everything in it comes from SQL over the tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use lake::Session;
use schemas::money::{Currency, Money};
use schemas::reasons::Reason;
use serde::Serialize;

use crate::failure::Failure;
use crate::output;
use crate::score::{self, FraudScore, PlaceScore, Score};
use crate::wiring::start_runtime;

/// Width of the longest bar.
const BAR_WIDTH: i64 = 24;

const OUTCOMES: &str = "SELECT response_code, reason, CAST(sum(swipes) AS BIGINT) FROM outcomes \
    GROUP BY response_code, reason ORDER BY 3 DESC, 2";
const STATES: &str = "SELECT state, count(*) FROM payments_current GROUP BY state ORDER BY 2 DESC, 1";
const REPEATS: &str = "SELECT 'repeats', count(*) FROM payments WHERE kind = 'swipe' AND repeat";
const LETTERS: &str = "SELECT unit, reason, count(*) FROM dead_letters GROUP BY unit, reason ORDER BY 3 DESC, 1, 2";
const DEVICES: &str = "SELECT count(DISTINCT device_id) FROM vehicles";
const TRIPS: &str = "SELECT count(*), CAST(coalesce(sum(distance_m), 0) AS BIGINT) FROM trips_current";
const STOPS: &str = "SELECT count(*) FROM stops_current";
const FAULTS: &str = "SELECT reason, count(*) FROM ping_faults GROUP BY reason";
/// What the merchants' side asked for and the card's side approved, and where that money is now.
const MONEY: &str = "
    SELECT d.currency, a.approved,
           sum(d.held_minor), sum(d.captured_minor),
           -sum(CASE WHEN d.kind = 'reversal' THEN d.held_minor + d.captured_minor ELSE 0 END),
           -sum(CASE WHEN d.kind = 'refund' THEN d.captured_minor ELSE 0 END),
           -sum(CASE WHEN d.kind = 'chargeback' THEN d.captured_minor ELSE 0 END)
    FROM decisions d
    JOIN (
        SELECT p.currency, sum(p.amount_minor) AS approved
        FROM payments p
        JOIN decisions d ON d.payment_id = p.payment_id
        WHERE p.kind = 'swipe' AND NOT p.repeat AND d.kind = 'authorization' AND NOT d.repeat
              AND d.response_code = '00'
        GROUP BY p.currency
    ) a ON a.currency = d.currency
    GROUP BY d.currency, a.approved ORDER BY d.currency";

/// Pairs of zones with the most trips.
const DURATIONS: &str = "SELECT origin_zone, destination_zone, trips, \
    CAST(round(p50_s) AS BIGINT), CAST(round(p95_s) AS BIGINT) \
    FROM durations_by_zone_pair ORDER BY trips DESC, 1, 2 LIMIT 5";

const PLACES: &str = "SELECT place, count(*) FROM payment_places_current GROUP BY place ORDER BY 2 DESC, 1";

/// Where couriers were paid.
#[derive(Debug, Serialize)]
struct PaidWhere {
    /// Payments by kind of place.
    places: Vec<(String, i64)>,
    /// Beside the truth of a simulated town.
    score: Option<PlaceScore>,
}

/// Trips from one zone to another.
#[derive(Debug, Serialize)]
struct PairDurations {
    origin_zone: String,
    destination_zone: String,
    trips: i64,
    p50_s: i64,
    p95_s: i64,
}

/// Swipes with one answer.
#[derive(Debug, Serialize)]
struct Outcome {
    response_code: String,
    reason: String,
    swipes: i64,
}

/// Records that could not be used.
#[derive(Debug, Serialize)]
struct Letters {
    unit: String,
    reason: String,
    records: i64,
}

/// Where the money of one currency is, minor units.
#[derive(Debug, Serialize)]
struct MoneyBridge {
    currency: String,
    approved: i64,
    held: i64,
    owed_to_merchants: i64,
    reversed: i64,
    refunded: i64,
    charged_back: i64,
    /// Approved less all the rest; anything but 0 is an error of the program.
    difference: i64,
}

/// What devices did.
#[derive(Debug, Serialize)]
struct Roads {
    /// Devices of which a fix was kept.
    devices: i64,
    stops: i64,
    trips: i64,
    /// Without movement inside stops, metres.
    distance_m: i64,
    /// Fixes that were left out, by reason.
    faults: BTreeMap<String, i64>,
    /// Beside the truth of a simulated town.
    score: Option<Score>,
}

/// What lies in a table.
#[derive(Debug, Serialize)]
struct TableSize {
    table: &'static str,
    rows: u64,
    bytes: u64,
    files: u64,
}

/// The summary of a lake.
#[derive(Debug, Serialize)]
pub struct Summary {
    outcomes: Vec<Outcome>,
    states: BTreeMap<String, i64>,
    retransmissions: i64,
    money: Vec<MoneyBridge>,
    dead_letters: Vec<Letters>,
    roads: Roads,
    durations: Vec<PairDurations>,
    paid_where: PaidWhere,
    /// How frauds were found, beside the truth of a simulated town.
    frauds: Vec<FraudScore>,
    tables: Vec<TableSize>,
}

/// Sums a lake up, beside the truth about its town.
pub fn of(folder: &Path, truth: &Path) -> Result<Summary, Failure> {
    start_runtime()?.block_on(async {
        let session = lake::open_session(folder).await?;
        Summary::read(&session, truth).await
    })
}

impl Summary {
    async fn read(session: &Session, truth: &Path) -> Result<Self, Failure> {
        let outcomes = rows(session, OUTCOMES).await?;
        let states = rows(session, STATES).await?;
        let repeats = rows(session, REPEATS).await?;
        let money = rows(session, MONEY).await?;
        let letters = rows(session, LETTERS).await?;
        let durations = rows(session, DURATIONS).await?;
        let places = rows(session, PLACES).await?;
        let tables = session.tables().iter().filter_map(|listing| {
            let (rows, bytes, files) = (listing.rows?, listing.bytes?, listing.files?);
            Some(TableSize { table: listing.name, rows, bytes, files })
        });
        Ok(Self {
            outcomes: outcomes
                .into_iter()
                .map(|(texts, counts)| {
                    let [response_code, reason] = first(texts);
                    Outcome { response_code, reason, swipes: counts[0] }
                })
                .collect(),
            states: states.into_iter().map(|(texts, counts)| (texts.concat(), counts[0])).collect(),
            retransmissions: repeats.iter().map(|(_, counts)| counts[0]).sum(),
            money: money.into_iter().map(|(texts, amounts)| MoneyBridge::of(texts.concat(), &amounts)).collect(),
            dead_letters: letters
                .into_iter()
                .map(|(texts, counts)| {
                    let [unit, reason] = first(texts);
                    Letters { unit, reason, records: counts[0] }
                })
                .collect(),
            roads: Roads::read(session, truth).await?,
            durations: durations.into_iter().map(|(texts, numbers)| PairDurations::of(texts, &numbers)).collect(),
            paid_where: PaidWhere {
                places: places.into_iter().map(|(texts, counts)| (texts.concat(), counts[0])).collect(),
                score: score::of_places(session, truth).await?,
            },
            frauds: score::of_frauds(session, truth).await?,
            tables: tables.collect(),
        })
    }

    /// The summary as people read it. `dir` is the demo's folder.
    pub fn text(&self, dir: &Path) -> String {
        let mut text = String::new();
        self.swipes(&mut text);
        self.money(&mut text);
        self.letters(&mut text);
        self.roads(&mut text);
        self.durations(&mut text);
        self.paid_where(&mut text);
        self.frauds(&mut text);
        self.tables(&mut text, dir);
        text
    }

    fn swipes(&self, text: &mut String) {
        let swipes: i64 = self.outcomes.iter().map(|outcome| outcome.swipes).sum();
        let approved: i64 =
            self.outcomes.iter().filter(|outcome| outcome.response_code == "00").map(|outcome| outcome.swipes).sum();
        let refused = swipes - approved;
        line(text, format!("{swipes} swipes: {approved} approved, {refused} declined"));
        if self.retransmissions > 0 {
            line(text, format!("and {} retransmissions, each answered as before", self.retransmissions));
        }
        line(text, String::new());
        line(text, "What became of the approved payments".to_string());
        let states = self.states.iter().filter(|(state, _)| *state != "declined");
        let most = states.clone().map(|(_, count)| *count).max().unwrap_or_default();
        for (state, count) in states {
            line(text, format!("  {state:16} {count:>7}  {}", bar(*count, most)));
        }
        line(text, String::new());
        line(text, "Why the others were declined".to_string());
        let declined = self.outcomes.iter().filter(|outcome| outcome.response_code != "00");
        let most = declined.clone().map(|outcome| outcome.swipes).max().unwrap_or_default();
        for outcome in declined {
            let sentence = Reason::from_name(&outcome.reason).map_or("", Reason::sentence);
            let bar = bar(outcome.swipes, most);
            line(text, format!("  {} {:>7}  {bar:24}  {sentence}", outcome.response_code, outcome.swipes));
        }
        line(text, String::new());
    }

    fn money(&self, text: &mut String) {
        line(text, "Money in = money out".to_string());
        for bridge in &self.money {
            let amount = |minor| match Currency::from_code(&bridge.currency) {
                Some(currency) => Money { minor, currency }.to_string(),
                None => format!("{minor} {}", bridge.currency),
            };
            line(text, format!("  approved            {:>20}", amount(bridge.approved)));
            for (label, minor) in [
                ("owed to merchants", bridge.owed_to_merchants),
                ("still held", bridge.held),
                ("reversed", bridge.reversed),
                ("refunded", bridge.refunded),
                ("charged back", bridge.charged_back),
            ] {
                line(text, format!("    {label:18}{:>20}", amount(minor)));
            }
            let verdict = if bridge.difference == 0 { "it adds up" } else { "IT DOES NOT ADD UP: report this" };
            line(text, format!("  difference          {:>20}  {verdict}", amount(bridge.difference)));
        }
        line(text, String::new());
    }

    fn letters(&self, text: &mut String) {
        let records: i64 = self.dead_letters.iter().map(|letters| letters.records).sum();
        line(text, format!("Dead letters: {records} records that could not be used"));
        for letters in &self.dead_letters {
            line(text, format!("  {:>7}  {} ({})", letters.records, letters.reason, letters.unit));
        }
        line(text, String::new());
    }

    fn roads(&self, text: &mut String) {
        let Roads { devices, stops, trips, distance_m, faults, score } = &self.roads;
        let kilometres = distance_m / 1_000;
        line(text, format!("On the road: {devices} devices made {trips} trips of {kilometres} km and {stops} stops"));
        if let Some(Score { true_trips, matched, precision, recall, start_error_s, end_error_s, .. }) = score {
            let (precision, recall) = (precision * 100.0, recall * 100.0);
            line(
                text,
                format!(
                    "  {matched} are among the town's {true_trips} true ones: precision {precision:.1} %, recall {recall:.1} %"
                ),
            );
            let [start_s, end_s] =
                [start_error_s, end_error_s].map(|[median, p95]| format!("{median:.0} s ({p95:.0} s for 95 %)"));
            line(text, format!("  starts are off by {start_s} at the median, ends by {end_s}"));
        }
        if let Some(Score { jumps, jumps_found, clean_trips, clean_trips_flagged, .. }) = score {
            line(text, format!("  {jumps_found} of {jumps} jumps of receivers were left out as teleports"));
            line(text, format!("  of {clean_trips} trips without a jump {clean_trips_flagged} have a teleport"));
        }
        if let Some(Score { detours, detours_found, direct_trips, direct_trips_flagged, .. }) = score {
            line(text, format!("  {detours_found} of {detours} detours of taxis were noticed"));
            line(text, format!("  of {direct_trips} other trips {direct_trips_flagged} are said to be a detour"));
        }
        let left_out: i64 = faults.values().sum();
        line(text, format!("  {left_out} fixes were left out"));
        for (reason, fixes) in faults {
            line(text, format!("  {fixes:>7}  {reason}"));
        }
        line(text, String::new());
    }

    fn durations(&self, text: &mut String) {
        if self.durations.is_empty() {
            return;
        }
        line(text, "Durations between districts, the most travelled first".to_string());
        line(text, format!("  {:>38}  {:>6}  {:>6}", "trips", "p50", "p95"));
        for pair in &self.durations {
            let way = format!("{} to {}", pair.origin_zone, pair.destination_zone);
            let [p50, p95] = [pair.p50_s, pair.p95_s].map(|seconds| format!("{}:{:02}", seconds / 60, seconds % 60));
            line(text, format!("  {way:30}  {:>6}  {p50:>6}  {p95:>6}", pair.trips));
        }
        line(text, String::new());
    }

    fn paid_where(&self, text: &mut String) {
        let PaidWhere { places, score } = &self.paid_where;
        let payments: i64 = places.iter().map(|(_, payments)| payments).sum();
        if payments == 0 {
            return;
        }
        line(text, format!("Where {payments} payments of couriers were paid"));
        for (place, payments) in places {
            line(text, format!("  {payments:>7}  {place}"));
        }
        if let Some(PlaceScore { payments, unplaced, right, error_m: [median_m, p95_m] }) = score {
            let placed = payments - unplaced;
            line(
                text,
                format!(
                    "  {right} of {placed} places are within 40 m of the true one: off by {median_m:.0} m at the median, \
                     {p95_m:.0} m for 95 %"
                ),
            );
        }
        line(text, String::new());
    }

    fn frauds(&self, text: &mut String) {
        if self.frauds.is_empty() {
            return;
        }
        line(text, "Frauds by what they were".to_string());
        line(
            text,
            format!(
                "  {:28}  {:>6}  {:>6}  {:>6}  {:>9}  {:>9}  {:>6}",
                "", "there", "found", "hits", "of it", "precision", "recall"
            ),
        );
        let share = |part: usize, whole: usize| match whole {
            0 => "-".to_string(),
            whole => format!("{} %", part * 100 / whole),
        };
        for FraudScore { scenario, incidents, found, hits, right } in &self.frauds {
            let (precision, recall) = (share(*right, *hits), share(*found, *incidents));
            line(
                text,
                format!(
                    "  {scenario:28}  {incidents:>6}  {found:>6}  {hits:>6}  {right:>9}  {precision:>9}  {recall:>6}"
                ),
            );
        }
        line(text, String::new());
    }

    fn tables(&self, text: &mut String, dir: &Path) {
        let mut table = output::table(["table", "rows", "size", "files"]);
        for size in &self.tables {
            let size_text = format!("{} KiB", size.bytes.div_ceil(1024));
            table.add_row([size.table, &size.rows.to_string(), &size_text, &size.files.to_string()]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
        line(text, table.to_string());
        line(text, String::new());
        let lake = dir.join("lake");
        line(text, "Where to look next".to_string());
        for statement in [r"\d", "SELECT * FROM payments_current LIMIT 5", "SELECT sentence FROM alerts LIMIT 5"] {
            line(text, format!("  till sql --lake {} {}", lake.display(), quoted(statement)));
        }
        let days = format!("  till demo --dir {} --days 2", dir.display());
        line(text, format!("{days:60} the next day, appended"));
        line(text, format!("  {}: what is true about the town, for comparison", dir.join("truth").display()));
    }
}

impl Roads {
    async fn read(session: &Session, truth: &Path) -> Result<Self, Failure> {
        let count =
            |rows: &[(Vec<String>, Vec<i64>)], column: usize| rows.first().map_or(0, |(_, counts)| counts[column]);
        let trips = rows(session, TRIPS).await?;
        let faults = rows(session, FAULTS).await?;
        Ok(Self {
            devices: count(&rows(session, DEVICES).await?, 0),
            stops: count(&rows(session, STOPS).await?, 0),
            trips: count(&trips, 0),
            distance_m: count(&trips, 1),
            faults: faults.into_iter().map(|(texts, counts)| (texts.concat(), counts[0])).collect(),
            score: score::of(session, truth).await?,
        })
    }
}

impl PairDurations {
    fn of(texts: Vec<String>, numbers: &[i64]) -> Self {
        let [origin_zone, destination_zone] = first(texts);
        Self { origin_zone, destination_zone, trips: numbers[0], p50_s: numbers[1], p95_s: numbers[2] }
    }
}

impl MoneyBridge {
    fn of(currency: String, amounts: &[i64]) -> Self {
        let [approved, held, owed_to_merchants, reversed, refunded, charged_back] =
            [0, 1, 2, 3, 4, 5].map(|n| amounts[n]);
        let difference = approved - held - owed_to_merchants - reversed - refunded - charged_back;
        Self { currency, approved, held, owed_to_merchants, reversed, refunded, charged_back, difference }
    }
}

fn line(text: &mut String, line: String) {
    // Writing to a string never fails.
    let _ = writeln!(text, "{}", line.trim_end());
}

fn quoted(statement: &str) -> String {
    if statement.contains('\\') { format!("'{statement}'") } else { format!("\"{statement}\"") }
}

/// A bar in proportion to the largest; whatever is not nothing shows at least one mark.
fn bar(count: i64, most: i64) -> String {
    let width = (count * BAR_WIDTH).checked_div(most).unwrap_or_default();
    "▇".repeat(usize::try_from(width.max(i64::from(count > 0))).unwrap_or_default())
}

fn first(texts: Vec<String>) -> [String; 2] {
    let mut texts = texts.into_iter();
    [texts.next().unwrap_or_default(), texts.next().unwrap_or_default()]
}

/// Texts and numbers of each row of an answer, each in the order of its columns.
async fn rows(session: &Session, sql: &str) -> Result<Vec<(Vec<String>, Vec<i64>)>, Failure> {
    let batches = session.collect(sql).await?;
    let mut rows = Vec::new();
    for batch in &batches {
        append(batch, &mut rows).map_err(Failure::failed)?;
    }
    Ok(rows)
}

fn append(batch: &RecordBatch, rows: &mut Vec<(Vec<String>, Vec<i64>)>) -> Result<(), arrow::error::ArrowError> {
    let start = rows.len();
    rows.resize_with(start + batch.num_rows(), Default::default);
    for column in batch.columns() {
        if column.data_type().is_integer() {
            let numbers = cast(column, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>();
            for (row, number) in numbers.iter().enumerate() {
                rows[start + row].1.push(number.unwrap_or_default());
            }
        } else {
            let texts = cast(column, &DataType::Utf8)?;
            let texts = texts.as_string::<i32>();
            for row in 0..texts.len() {
                let text = if texts.is_valid(row) { texts.value(row) } else { "" };
                rows[start + row].0.push(text.to_string());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_sees_what_is_missing() {
        assert_eq!(MoneyBridge::of("EUR".into(), &[100, 10, 60, 20, 5, 5]).difference, 0);
        assert_eq!(MoneyBridge::of("EUR".into(), &[100, 10, 60, 20, 5, 4]).difference, 1);
    }

    #[test]
    fn bars_are_in_proportion_and_never_vanish() {
        let width = |count, most| bar(count, most).chars().count();
        assert_eq!((width(100, 100), width(50, 100), width(1, 1_000), width(0, 100)), (24, 12, 1, 0));
        assert_eq!(width(0, 0), 0);
    }
}
