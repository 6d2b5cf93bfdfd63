//! What was found, for people.

use comfy_table::{CellAlignment, Table};
use trips::histogram::Histogram;
use trips::words;

use super::Account;
use super::read::by_count;
use crate::output;
use crate::sql::cells::printable;

/// Most rows of a table.
const ROWS_MAX: usize = 50;
/// Width of the longest bar, characters.
const BAR_WIDTH: usize = 24;

/// Tables of trips and stops, totals, what could not be used, and how long trips last.
pub fn text(account: &Account) -> String {
    let mut parts = vec![head(account)];
    let (trips, stops) = (account.trips().count(), account.stops().count());
    if trips > 0 {
        parts.push(format!("{}{}", trip_table(account), more(trips, "trips")));
    }
    if stops > 0 {
        parts.push(format!("{}{}", stop_table(account), more(stops, "stops")));
    }
    parts.push(totals(account));
    parts.extend(account.durations.as_ref().map(bars));
    parts.join("\n\n")
}

fn head(account: &Account) -> String {
    let Account { pings, chosen, fixes, devices, span_us, .. } = account;
    let parameters: Vec<String> = chosen
        .parameters
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let parameters = if parameters.is_empty() { String::new() } else { format!(" ({})", parameters.join(", ")) };
    format!(
        "{}: {} of {}, {} UTC; profile {}{parameters}",
        printable(pings),
        words::counted(*fixes, "fix", "fixes"),
        words::counted(devices.len() as u64, "device", "devices"),
        words::span(span_us.0, span_us.1),
        chosen.name,
    )
}

fn more(rows: usize, what: &str) -> String {
    match rows.saturating_sub(ROWS_MAX) {
        0 => String::new(),
        more => {
            format!("\nand {} more {what}; --out, --stops and --json have all of them", words::thousands(more as u64))
        }
    }
}

fn align_right(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn trip_table(account: &Account) -> String {
    let mut table =
        output::table(["device", "trip", "start (UTC)", "end (UTC)", "h:mm:ss", "distance", "±", "stops", "ended by"]);
    align_right(&mut table, &[1, 4, 5, 6, 7]);
    for (device, number, trip) in account.trips().take(ROWS_MAX) {
        table.add_row([
            printable(device),
            number.to_string(),
            words::time(trip.start_us),
            words::time(trip.end_us),
            words::duration(trip.end_us - trip.start_us),
            words::length(trip.distance_m.0),
            words::length(trip.distance_m.1),
            trip.stops.to_string(),
            trip.close.code().to_string(),
        ]);
    }
    table.to_string()
}

fn stop_table(account: &Account) -> String {
    let mut table = output::table(["device", "stop from (UTC)", "until (UTC)", "h:mm:ss", "lat", "lon", "fixes"]);
    align_right(&mut table, &[3, 4, 5, 6]);
    for (device, stop) in account.stops().take(ROWS_MAX) {
        table.add_row([
            printable(device),
            words::time(stop.start_us),
            words::time(stop.end_us),
            words::duration(stop.end_us - stop.start_us),
            format!("{:.6}", stop.place.lat),
            format!("{:.6}", stop.place.lon),
            words::thousands(stop.fixes.into()),
        ]);
    }
    table.to_string()
}

fn totals(account: &Account) -> String {
    let path_m: f64 = account.trips().map(|(_, _, trip)| trip.path_m.0).sum();
    let distance_m: f64 = account.trips().map(|(_, _, trip)| trip.distance_m.0).sum();
    let driven_us: i64 = account.trips().map(|(_, _, trip)| trip.end_us - trip.start_us).sum();
    let mut lines = vec![
        format!(
            "{} of {} (h:mm:ss), {}",
            words::counted(account.trips().count() as u64, "trip", "trips"),
            words::duration(driven_us),
            words::counted(account.stops().count() as u64, "stop", "stops"),
        ),
        format!(
            "path {}; the distance leaves out movement inside stops: {}",
            words::length(path_m),
            words::length(distance_m),
        ),
    ];
    let faults: u64 = account.faults.values().sum();
    lines.push(match faults {
        0 => "every fix was used".to_string(),
        _ => format!("left out: {} ({})", words::counted(faults, "fix", "fixes"), by_count(&account.faults)),
    });
    if account.other_rows > 0 {
        lines.push(format!(
            "{} of the log itself: ticks and control",
            words::counted(account.other_rows, "row", "rows")
        ));
    }
    if account.bad.all() > 0 {
        let all = words::counted(account.bad.all(), "row that is no ping", "rows that are no pings");
        lines.push(format!("{all}: {}", account.bad.text()));
        lines.extend(account.bad.first.iter().map(|line| format!("  {}", printable(line))));
        if account.bad.all() > account.bad.first.len() as u64 {
            lines.push("  ...".to_string());
        }
    }
    lines.join("\n")
}

/// A line a bin; whatever is not nothing shows at least one mark.
fn bars(histogram: &Histogram) -> String {
    let (unit, unit_us) = histogram.unit();
    let most = histogram.counts.iter().copied().max().unwrap_or_default().max(histogram.beyond).max(1);
    let border = |bin: usize| histogram.border_us(bin) / unit_us;
    let bins = histogram.counts.len();
    let named = (0..bins).map(|bin| (format!("{} to {}", border(bin), border(bin + 1)), histogram.counts[bin]));
    let beyond = (histogram.beyond > 0).then(|| (format!("{} and more", border(bins)), histogram.beyond));
    let rows: Vec<(String, usize)> = named.chain(beyond).collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let line = |(name, count): &(String, usize)| {
        let bar = "▇".repeat((count * BAR_WIDTH / most).max(usize::from(*count > 0)));
        format!("  {name:>width$}  {bar}{}{count}", if bar.is_empty() { "" } else { " " })
    };
    let lines = std::iter::once(format!("how long trips last, {unit}")).chain(rows.iter().map(line));
    lines.collect::<Vec<_>>().join("\n")
}
