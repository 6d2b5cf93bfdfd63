"""Computes durations of trips anew, from the trips as Polars reads them, and compares with what the lake says.

Usage: durations.py LAKE ZONES TILL

LAKE is the folder of the lake, ZONES the GeoJSON that `till job trip-durations` was given, TILL the path of the binary.
Zones are found by counting crossings of a ray, baselines by looking at every pair of trips, percentiles by Polars. Ends
with 0 where all agree, 1 where something differs (each difference is a line on standard error).

What this script computes is what the job says about a lake whose trips were all there when it ran once.
"""

import json
import statistics
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars

WINDOW = timedelta(days=28)
HOUR_TRIPS_MIN = 10
SHRINK_TRIPS = 10
STRAIGHT_M_MIN = 300
DETOUR_TRIPS_MIN = 20
# Largest relative difference of numbers: sums are added up in another order.
TOLERANCE = 1e-9
# Till's percentiles lie between two values by millionths of their distance.
PERCENTILE_S = 0.01
SHOWN_MAX = 10


def inside(ring, lon, lat):
    """Whether a ray to the east crosses the ring an odd number of times."""
    crossed = False
    for (x1, y1), (x2, y2) in zip(ring, ring[1:]):
        if (y1 > lat) != (y2 > lat) and lon < (x2 - x1) * (lat - y1) / (y2 - y1) + x1:
            crossed = not crossed
    return crossed


class Zones:
    """Zones that do not overlap, each one ring."""

    def __init__(self, path):
        features = json.loads(Path(path).read_text())["features"]
        self.rings = {
            feature["properties"]["name"]: feature["geometry"]["coordinates"][0] for feature in features
        }
        self.time_zones = {
            feature["properties"]["name"]: ZoneInfo(feature["properties"]["zone"]) for feature in features
        }

    def find(self, lat, lon):
        found = [name for name, ring in self.rings.items() if inside(ring, lon, lat)]
        return found[0] if found else "outside"

    def hour(self, zone, time):
        civil = time.astimezone(self.time_zones.get(zone, ZoneInfo("UTC")))
        return civil.weekday() * 24 + civil.hour


def median(values):
    return statistics.median(values) if values else None


def describe(trips, zones, vehicles):
    """Adds what depends on one trip alone."""
    for trip in trips:
        trip["vehicle"] = vehicles.get(trip["device_id"])
        trip["origin_zone"] = zones.find(trip["start_lat"], trip["start_lon"])
        trip["destination_zone"] = zones.find(trip["end_lat"], trip["end_lon"])
        trip["hour_of_week"] = zones.hour(trip["origin_zone"], trip["started_at"])
        trip["duration_s"] = (trip["ended_at"] - trip["started_at"]) / timedelta(seconds=1)
        says_something = trip["straight_m"] is not None and trip["straight_m"] >= STRAIGHT_M_MIN
        trip["line_m"] = trip["straight_m"] if says_something else None


def compare_with_earlier(trip, trips):
    """Adds what earlier trips say."""
    pair = (trip["origin_zone"], trip["destination_zone"])
    since = trip["started_at"] - WINDOW
    earlier = [other for other in trips if since <= other["ended_at"] < trip["started_at"]]
    of_pair = [other for other in earlier if (other["origin_zone"], other["destination_zone"]) == pair]
    alike = [other for other in of_pair if other["vehicle"] == trip["vehicle"]]
    of_hour = [other for other in alike if other["hour_of_week"] == trip["hour_of_week"]]
    group = of_hour if len(of_hour) >= HOUR_TRIPS_MIN else alike
    of_vehicle = [other for other in earlier if other["vehicle"] == trip["vehicle"]]
    speeds = [
        other["line_m"] / other["duration_s"] for other in of_vehicle if other["line_m"] and other["duration_s"] > 0
    ]
    model = trip["line_m"] / median(speeds) if trip["line_m"] and speeds else None
    usual = median([other["duration_s"] for other in group])
    if usual is None or model is None:
        expected = usual if model is None else model
    else:
        weight = len(group) / (len(group) + SHRINK_TRIPS)
        expected = weight * usual + (1 - weight) * model
    trip["expected_s"] = expected
    trip["expected_from"] = None if expected is None else len(group)
    trip["deviation_s"] = None if expected is None else trip["duration_s"] - expected
    path = median([other["path_m"] for other in of_pair]) if len(of_pair) >= DETOUR_TRIPS_MIN else trip["line_m"]
    trip["detour_ratio"] = trip["path_m"] / path if path else None


def differs(found, expected, tolerance):
    if isinstance(found, (int, float)) and isinstance(expected, (int, float)):
        return abs(found - expected) > tolerance * max(1.0, abs(expected))
    return found != expected


def compare_trips(trips, rows):
    columns = [
        "revision",
        "vehicle",
        "origin_zone",
        "destination_zone",
        "hour_of_week",
        "duration_s",
        "expected_s",
        "expected_from",
        "deviation_s",
        "detour_ratio",
    ]
    found = {row["trip_id"]: row for row in rows}
    if len(found) != len(rows) or found.keys() != {trip["trip_id"] for trip in trips}:
        return [f"{len(rows)} rows of {len(found)} trips, {len(trips)} trips in the table of trips"]
    return [
        f"{trip['trip_id']}: {column} is {found[trip['trip_id']][column]!r}, {trip[column]!r} is expected"
        for trip in trips
        for column in columns
        if differs(found[trip["trip_id"]][column], trip[column], TOLERANCE)
    ]


def compare_pairs(trips, till, lake):
    sql = "SELECT origin_zone, destination_zone, trips, p50_s, p90_s, p95_s FROM durations_by_zone_pair"
    output = subprocess.run(
        [till, "sql", "--lake", lake, "--format", "json", sql], check=True, capture_output=True, text=True
    ).stdout
    answer = [json.loads(line) for line in output.splitlines()]
    found = {(row["origin_zone"], row["destination_zone"]): row for row in answer}
    frame = polars.DataFrame([
        {name: trip[name] for name in ("origin_zone", "destination_zone", "duration_s")} for trip in trips
    ])
    duration = polars.col("duration_s")
    expected = frame.group_by("origin_zone", "destination_zone").agg(
        polars.len().alias("trips"),
        **{f"p{share}_s": duration.quantile(share / 100, interpolation="linear") for share in (50, 90, 95)},
    )
    if expected.height != len(found):
        return [f"{len(found)} pairs of zones, {expected.height} are expected"]
    return [
        f"{row['origin_zone']} to {row['destination_zone']}: {name} is {line[name]}, {row[name]} is expected"
        for row in expected.to_dicts()
        for line in [found[(row["origin_zone"], row["destination_zone"])]]
        for name in ("trips", "p50_s", "p90_s", "p95_s")
        if abs(line[name] - row[name]) > PERCENTILE_S
    ]


def main(lake, zones, till):
    trips = polars.scan_delta(f"{lake}/trips").sort("trip_id", "revision").collect()
    trips = trips.unique("trip_id", keep="last", maintain_order=True).drop("path").to_dicts()
    # The town assigns each device once and for all.
    couriers = polars.scan_delta(f"{lake}/couriers").drop_nulls("device_id").collect().to_dicts()
    describe(trips, Zones(zones), {courier["device_id"]: courier["vehicle"] for courier in couriers})
    for trip in trips:
        compare_with_earlier(trip, trips)
    rows = polars.scan_delta(f"{lake}/trip_durations").collect().to_dicts()
    differences = compare_trips(trips, rows) + compare_pairs(trips, till, lake)
    for difference in differences[:SHOWN_MAX]:
        print(difference, file=sys.stderr)
    print(f"{len(trips)} trips, {len(differences)} differences")
    return 1 if differences or not trips else 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
