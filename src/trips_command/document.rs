//! Trips and stops as JSON: the document of `--json`, and features of GeoJSON (RFC 7946).

use jiff::Timestamp;
use schemas::ids::MovementId;
use serde::Serialize;
use serde_json::{Value, json};
use trips::{Gap, Place, StopEnded, TripEnded};

use super::Account;

const US_PER_S: f64 = 1e6;

/// Lengths to the millimetre: what lies below is noise of the sum.
fn rounded(length_m: f64) -> f64 {
    (length_m * 1e3).round() / 1e3
}

/// RFC 3339 in UTC; nothing for what no calendar has.
fn time(time_us: i64) -> Option<String> {
    Timestamp::from_microsecond(time_us).ok().map(|time| time.to_string())
}

fn duration_s(from_us: i64, until_us: i64) -> f64 {
    (until_us - from_us) as f64 / US_PER_S
}

#[derive(Serialize)]
struct ShownGap {
    duration_s: f64,
    straight_m: f64,
}

impl ShownGap {
    fn of(gap: &Gap) -> Self {
        Self { duration_s: duration_s(0, gap.lasted_us), straight_m: rounded(gap.way_m) }
    }
}

/// A trip, under the names of the table where it has them.
#[derive(Serialize)]
struct ShownTrip<'a> {
    trip_id: String,
    device_id: &'a str,
    number: usize,
    started_at: Option<String>,
    ended_at: Option<String>,
    duration_s: f64,
    start_lat: f64,
    start_lon: f64,
    end_lat: f64,
    end_lon: f64,
    path_m: f64,
    path_error_m: f64,
    distance_m: f64,
    distance_error_m: f64,
    straight_m: f64,
    idle_s: f64,
    stops: u32,
    fixes: u32,
    speed_mps_max: f64,
    close_reason: &'static str,
    hired: Option<bool>,
    gap_before: Option<ShownGap>,
    gap_inside: Option<ShownGap>,
}

impl<'a> ShownTrip<'a> {
    fn of(device_id: &'a str, number: usize, trip: &TripEnded) -> Self {
        Self {
            trip_id: MovementId::of_trip(device_id, trip.start_us).to_hex(),
            device_id,
            number,
            started_at: time(trip.start_us),
            ended_at: time(trip.end_us),
            duration_s: duration_s(trip.start_us, trip.end_us),
            start_lat: trip.start.lat,
            start_lon: trip.start.lon,
            end_lat: trip.end.lat,
            end_lon: trip.end.lon,
            path_m: rounded(trip.path_m.0),
            path_error_m: rounded(trip.path_m.1),
            distance_m: rounded(trip.distance_m.0),
            distance_error_m: rounded(trip.distance_m.1),
            straight_m: rounded(trip.line_m),
            idle_s: duration_s(0, trip.idle_us),
            stops: trip.stops,
            fixes: trip.fixes,
            speed_mps_max: rounded(trip.speed_mps_max),
            close_reason: trip.close.code(),
            hired: trip.hired,
            gap_before: trip.gap.as_ref().map(ShownGap::of),
            gap_inside: trip.inner_gap.as_ref().map(ShownGap::of),
        }
    }
}

/// A stop, under the names of the table.
#[derive(Serialize)]
struct ShownStop<'a> {
    stop_id: String,
    device_id: &'a str,
    started_at: Option<String>,
    ended_at: Option<String>,
    duration_s: f64,
    lat: f64,
    lon: f64,
    fixes: u32,
    trip_id: Option<String>,
    hired: Option<bool>,
}

impl<'a> ShownStop<'a> {
    fn of(device_id: &'a str, stop: &StopEnded) -> Self {
        Self {
            stop_id: MovementId::of_stop(device_id, stop.start_us).to_hex(),
            device_id,
            started_at: time(stop.start_us),
            ended_at: time(stop.end_us),
            duration_s: duration_s(stop.start_us, stop.end_us),
            lat: stop.place.lat,
            lon: stop.place.lon,
            fixes: stop.fixes,
            trip_id: stop.trip_us.map(|start_us| MovementId::of_trip(device_id, start_us).to_hex()),
            hired: stop.hired,
        }
    }
}

/// The document of `--json`.
pub fn of(account: &Account) -> Value {
    let trips: Vec<_> = account.trips().map(|(device, number, trip)| ShownTrip::of(device, number, trip)).collect();
    let stops: Vec<_> = account.stops().map(|(device, stop)| ShownStop::of(device, stop)).collect();
    let bins = account.durations.iter().flat_map(|histogram| {
        let end = histogram.counts.len();
        let bin = |bin: usize| {
            let (from_us, until_us) = (histogram.border_us(bin), histogram.border_us(bin + 1));
            json!({
                "from_s": duration_s(0, from_us),
                "until_s": duration_s(0, until_us),
                "trips": histogram.counts[bin],
            })
        };
        let beyond =
            || json!({ "from_s": duration_s(0, histogram.border_us(end)), "until_s": null, "trips": histogram.beyond });
        (0..end).map(bin).chain((histogram.beyond > 0).then(beyond)).collect::<Vec<_>>()
    });
    let bins: Vec<Value> = bins.collect();
    json!({
        "pings": account.pings,
        "profile": account.chosen.name,
        "parameters": account.chosen.parameters,
        "rows": account.rows,
        "other_rows": account.other_rows,
        "fixes": account.fixes,
        "devices": account.devices.len(),
        "first_fix": time(account.span_us.0),
        "last_fix": time(account.span_us.1),
        "trips": trips,
        "stops": stops,
        "durations": bins,
        "faults": account.faults,
        "bad_rows": account.bad.counts,
        "bad_rows_first": account.bad.first,
    })
}

/// A feature of a trip: its path as a line, cut where it crosses the antimeridian.
pub fn trip_feature(device_id: &str, number: usize, trip: &TripEnded) -> Value {
    let mut lines = cut(&trip.line);
    let geometry = match lines.len() {
        0 | 1 => json!({ "type": "LineString", "coordinates": lines.pop().unwrap_or_default() }),
        _ => json!({ "type": "MultiLineString", "coordinates": lines }),
    };
    feature("trip", geometry, &ShownTrip::of(device_id, number, trip))
}

/// A feature of a stop: its place as a point.
pub fn stop_feature(device_id: &str, stop: &StopEnded) -> Value {
    let geometry = json!({ "type": "Point", "coordinates": [stop.place.lon, stop.place.lat] });
    feature("stop", geometry, &ShownStop::of(device_id, stop))
}

fn feature(kind: &str, geometry: Value, shown: &impl Serialize) -> Value {
    let mut properties = json!({ "kind": kind });
    if let (Value::Object(properties), Ok(Value::Object(more))) = (&mut properties, serde_json::to_value(shown)) {
        properties.extend(more);
    }
    json!({ "type": "Feature", "geometry": geometry, "properties": properties })
}

/// Positions, longitude first; a line ends at 180 degrees and goes on from the other side (RFC 7946, 3.1.9), and has at
/// least two positions.
fn cut(line: &[Place]) -> Vec<Vec<[f64; 2]>> {
    let mut lines: Vec<Vec<[f64; 2]>> = vec![Vec::new()];
    let mut last: Option<&Place> = None;
    for place in line {
        if let Some(last) = last.replace(place)
            && (place.lon - last.lon).abs() > 180.0
        {
            let side = 180.0_f64.copysign(last.lon);
            let (before, after) = ((side - last.lon).abs(), (side + place.lon).abs());
            let share = if before + after > 0.0 { before / (before + after) } else { 0.0 };
            let lat = last.lat + (place.lat - last.lat) * share;
            lines.iter_mut().last().into_iter().for_each(|line| line.push([side, lat]));
            lines.push(vec![[-side, lat]]);
        }
        lines.iter_mut().last().into_iter().for_each(|line| line.push([place.lon, place.lat]));
    }
    for line in &mut lines {
        if let [only] = line.as_slice() {
            line.push(*only);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when the line runs around the Earth.
    #[test]
    fn a_line_is_cut_at_the_antimeridian() {
        let place = |lon: f64, lat: f64| Place { lat, lon };
        assert_eq!(cut(&[place(1.0, 2.0)]), [[[1.0, 2.0], [1.0, 2.0]]]);
        let lines = cut(&[place(178.0, 0.0), place(179.0, 1.0), place(-178.0, 4.0), place(-177.0, 4.0)]);
        assert_eq!(
            lines,
            [vec![[178.0, 0.0], [179.0, 1.0], [180.0, 2.0]], vec![[-180.0, 2.0], [-178.0, 4.0], [-177.0, 4.0]]]
        );
        let back = cut(&[place(-179.0, 0.0), place(179.0, 0.0)]);
        assert_eq!(back, [[[-179.0, 0.0], [-180.0, 0.0]], [[180.0, 0.0], [179.0, 0.0]]]);
    }
}
