"""Asks scikit-mobility and MovingPandas for the stops of recorded and simulated tracks, and writes their answers down.

Usage: python3 tests/python/trips_golden.py [FOLDER]

That is all: the script makes itself a virtual environment of tests/python/requirements-trips.txt (Python 3.11, under
~/.cache/tillstream) and goes on in it. It writes FOLDER (default: tests/data/trips):

tracks.csv         the simulated tracks: track,time_us,lat,lon, every number exact
skmob.json         cases of scikit-mobility: track, parameters, and the stops as [start_us, end_us, lat, lon]
movingpandas.json  the same of MovingPandas
rectangles.json    sets of places as [lat, lon], each with the diagonal of its smallest rectangle as MovingPandas measures it

Same versions, same files, byte for byte, on Linux with x86-64 and glibc.
"""

import csv
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import warnings
from datetime import datetime, timedelta, timezone
from math import cos, pi, sin
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
REQUIREMENTS = HERE / "requirements-trips.txt"
# Set in the process that runs in the environment.
INSIDE = "TILL_TRIPS_ENVIRONMENT"
LIBRARIES = ["scikit-mobility", "movingpandas", "geographiclib", "geopandas", "geopy", "numpy", "pandas", "shapely"]

# Monday, 2026-03-02, 06:00 UTC.
START_US = 1_772_431_200_000_000
US_PER_S = 1_000_000
METRES_PER_DEGREE = 111_195.0


def environment():
    """The interpreter of the environment, which is made where it is missing; a half-made one never gets the name."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "tillstream" / f"venv-trips-{digest}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--requirement", REQUIREMENTS], check=True)
        (folder / "complete").touch()
    return python


def patch_shapely():
    """Gives Shapely 2 the name that it dropped and scikit-mobility imports, for functions that are not called here."""
    import shapely.ops

    shapely.ops.cascaded_union = shapely.ops.unary_union


def recorded():
    """The recorded tracks by name: lists of (time_us, lat, lon)."""
    tracks = {}
    for name in ("bus304", "liverpool14"):
        with open(DATA / f"{name}_pings.csv", newline="") as file:
            for row in csv.DictReader(file):
                track = name if name == "bus304" else f"{name}/{row['device_id']}"
                time = datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00"))
                time_us = (time - datetime.fromtimestamp(0, timezone.utc)) // timedelta(microseconds=1)
                tracks.setdefault(track, []).append((time_us, float(row["lat"]), float(row["lon"])))
    return tracks


class Walk:
    """A track that is made step by step, with noise from a seed of its own."""

    def __init__(self, seed, lat, lon, noise_m=0.0, digits=8):
        self.random = Random(seed)
        self.lat, self.lon = lat, lon
        self.noise_m = noise_m
        self.digits = digits
        self.time_us = START_US
        self.fixes = []

    def moved(self, north_m, east_m):
        degree_m = METRES_PER_DEGREE * cos(self.lat * pi / 180)
        lon = self.lon + east_m / degree_m
        return self.lat + north_m / METRES_PER_DEGREE, (lon + 180) % 360 - 180 if abs(lon) > 180 else lon

    def fix(self):
        lat, lon = self.moved(self.random.gauss(0, self.noise_m), self.random.gauss(0, self.noise_m))
        self.fixes.append((self.time_us, round(lat, self.digits), round(lon, self.digits)))

    def go(self, seconds, every_s, speed_mps=0.0, bearing_deg=0.0):
        for _ in range(round(seconds / every_s)):
            self.time_us += round(every_s * US_PER_S)
            step_m = speed_mps * every_s
            bearing = bearing_deg * pi / 180
            self.lat, self.lon = self.moved(step_m * cos(bearing), step_m * sin(bearing))
            self.fix()
        return self


def city(seed, lat, lon, noise_m, digits=8, every_s=5):
    """Drives of uneven length and bearing between stops of 5 s to 25 min."""
    walk = Walk(seed, lat, lon, noise_m, digits)
    walk.fix()
    for stop_s in (300, 45, 90, 20, 125, 10, 1300, 60, 5, 240):
        walk.go(stop_s, every_s)
        walk.go(walk.random.uniform(20, 120), every_s, walk.random.uniform(2, 15), walk.random.uniform(0, 360))
    return walk.fixes


def gaps():
    """Silence in a stop, silence that was driven through, silence that ends the track."""
    walk = Walk(5, 51.5, -0.12, 4.0)
    walk.fix()
    walk.go(600, 10).go(300, 10, 9.0, 70)
    for silence_s, speed_mps in ((3_000, 0.0), (1_800, 12.0), (700, 0.0), (7_200, 0.02)):
        walk.go(silence_s, silence_s, speed_mps, 30).go(400, 10).go(120, 10, 7.0, 200)
    walk.go(400, 10)
    walk.go(5_000, 5_000)
    return walk.fixes


def jumps():
    """A parked phone whose receiver throws single fixes far away."""
    walk = Walk(6, 40.75, -73.99, 6.0)
    walk.fix()
    for _ in range(12):
        walk.go(200, 10)
        north_m, east_m = walk.random.gauss(0, 400), walk.random.gauss(0, 400)
        back = walk.lat, walk.lon
        walk.lat, walk.lon = walk.moved(north_m, east_m)
        walk.go(10, 10)
        walk.lat, walk.lon = back
    return walk.fixes


def times(track, seconds):
    """The places of a track at other times, seconds from the start."""
    return [(START_US + round(s * US_PER_S), lat, lon) for s, (_, lat, lon) in zip(seconds, track)]


# Exactly as far from the first fix of the track `tie_radius` as the radius of its own case says.
TIE = [(52.0, -8.0), (52.0003, -8.0004), (52.0005, -8.0009)]


def simulated():
    """The simulated tracks by name."""
    city_1 = city(1, 52.66, -8.63, 4.0, digits=7)
    corner = [(START_US + index * 30 * US_PER_S, *TIE[place]) for index, place in enumerate([0, 1, 0, 1, 1, 2, 2, 2, 0])]
    still = [(START_US + index * 60 * US_PER_S, 48.1, 11.5) for index in range(31)]
    return {
        "city": city_1,
        "city_fine": city(2, 52.66, -8.63, 1.5, every_s=3),
        "city_grid": city(3, 53.41, -2.98, 8.0, digits=4),
        "city_north": city(4, 69.65, 18.96, 5.0, digits=6),
        "city_equator": city(7, 0.0003, 32.58, 5.0, digits=7),
        "antimeridian": city(8, -16.8, 179.9999, 5.0, every_s=8),
        "gaps": gaps(),
        "jumps": jumps(),
        "parked": Walk(9, 52.5, 13.4, 8.0).go(4_000, 10).fixes,
        "drift": drift(),
        "still": still,
        "tie_time": still[:21],
        "beyond_tie_time": times(still[:21], [60 * index for index in range(20)] + [1_200.000001]),
        "tie_radius": corner,
        "one": city_1[:1],
        "two": city_1[:2],
        "two_far": [city_1[0], (START_US + 3_600 * US_PER_S, 52.7, -8.6)],
        "same_times": times(city_1, [5 * (index // 3) for index in range(240)]),
        "all_one_time": times(city_1, [0] * 20),
        "shuffled": Random(10).sample(city_1, len(city_1)),
    }


def drift():
    """A slow walk of changing mind, in which every window is nearly a stop."""
    walk = Walk(11, 35.68, 139.76, 1.0)
    for _ in range(120):
        walk.go(30, 6, walk.random.uniform(0, 1.2), walk.random.uniform(0, 360))
    return walk.fixes


def skmob_cases(tie_km):
    """Parameters of the stay locations, and of filter and compression before them where they are given."""
    return [
        {},
        {"radius_km": 0.03, "minutes_for_a_stop": 0.5},
        {"radius_km": 0.05, "minutes_for_a_stop": 1.0},
        {"radius_km": tie_km, "minutes_for_a_stop": 1.0},
        {"radius_km": 0.0, "minutes_for_a_stop": 0.5},
        {"radius_km": 0.1, "minutes_for_a_stop": 5.0, "no_data_for_minutes": 10.0},
        {"radius_km": 0.05, "minutes_for_a_stop": 1.0, "min_speed_kmh": 3.0},
        {"radius_km": 0.2, "minutes_for_a_stop": 2.0, "min_speed_kmh": 0.5, "no_data_for_minutes": 5.0},
        {"radius_km": 0.05, "minutes_for_a_stop": 1.0, "filter_max_speed_kmh": 40.0},
        {"radius_km": 0.05, "minutes_for_a_stop": 1.0, "filter_max_speed_kmh": 150.0, "filter_loops": [5.0, 6, 0.25]},
        {"radius_km": 0.02, "minutes_for_a_stop": 0.4, "filter_max_speed_kmh": 500.0, "filter_loops": [0.5, 9, 0.9]},
        {"radius_km": 0.05, "minutes_for_a_stop": 1.0, "compress_radius_km": 0.02},
        {
            "radius_km": 0.06,
            "minutes_for_a_stop": 0.8,
            "no_data_for_minutes": 8.0,
            "min_speed_kmh": 2.0,
            "filter_max_speed_kmh": 90.0,
            "compress_radius_km": 0.005,
        },
    ]


# max_diameter_m, min_duration_s
MOVINGPANDAS_CASES = [(100.0, 60), (30.0, 20), (30.0, 60), (50.0, 120), (10.0, 10), (200.0, 300), (30.0, 0), (0.0, 5)]


def stop(start, end, lat, lon):
    """A stop as it is written down: the last digits of a median are those of one machine."""
    return [start.value // 1_000, end.value // 1_000, round(float(lat), 9), round(float(lon), 9)]


def skmob_stops(track, parameters):
    import pandas
    import skmob
    from skmob.preprocessing import compression, detection, filtering

    # With a user the library sorts by two columns, which keeps the order of rows of one time.
    frame = pandas.DataFrame(track, columns=["datetime", "lat", "lng"])
    frame["datetime"] = pandas.to_datetime(frame["datetime"], unit="us")
    frame["uid"] = 1
    frame = skmob.TrajDataFrame(frame)
    given = dict(parameters)
    if "filter_max_speed_kmh" in given:
        max_speed_kmh, loops = given.pop("filter_max_speed_kmh"), given.pop("filter_loops", None)
        names = dict(zip(("speed_kmh", "max_loop", "ratio_max"), loops or ()))
        frame = filtering.filter(frame, max_speed_kmh=max_speed_kmh, include_loops=loops is not None, **names)
    if "compress_radius_km" in given:
        frame = compression.compress(frame, spatial_radius_km=given.pop("compress_radius_km"))
    if "radius_km" in given:
        given["spatial_radius_km"] = given.pop("radius_km")
    found = detection.stay_locations(frame, **given)
    rows = zip(found["datetime"], found["leaving_datetime"], found["lat"], found["lng"])
    return [stop(*row) for row in rows]


def movingpandas_stops(track, max_diameter_m, min_duration_s):
    import geopandas
    import movingpandas
    import pandas

    if len(track) < 2:
        # The library refuses to make a trajectory of it.
        return []
    frame = pandas.DataFrame(track, columns=["time", "lat", "lon"])
    frame["time"] = pandas.to_datetime(frame["time"], unit="us")
    places = geopandas.points_from_xy(frame["lon"], frame["lat"])
    frame = geopandas.GeoDataFrame(frame[["time"]].set_index("time"), geometry=places, crs="epsg:4326")
    detector = movingpandas.TrajectoryStopDetector(movingpandas.Trajectory(frame, "track"))
    found = detector.get_stop_points(max_diameter_m, timedelta(seconds=min_duration_s))
    if len(found) == 0:
        return []
    rows = zip(found["start_time"], found["end_time"], found.geometry)
    return [stop(start, end, place.y, place.x) for start, end, place in rows]


def rectangles():
    """Sets of places of all shapes: triangles, grids, lines, one place several times, clouds of more than 50."""
    from movingpandas.geometry_utils import mrr_diagonal
    from shapely.geometry import MultiPoint

    random = Random(12)
    sets = []
    for index in range(240):
        count = (3, 3, 4, 5, 8, 20, 3, 60)[index % 8] if index % 40 < 38 else 2
        lat, lon = random.uniform(-75, 75), random.uniform(-179, 179)
        spread = 10 ** random.uniform(-6, -2)
        digits = (None, 7, 4, None, 6)[index % 5]
        places = [[random.gauss(lat, spread), random.gauss(lon, spread)] for _ in range(count)]
        if digits is not None:
            places = [[round(lat, digits), round(lon, digits)] for lat, lon in places]
        sets.append(places)
    sets.append([[1.5, 2.5]] * 5)
    sets.append([[1.0, 2.0], [1.0, 2.001], [1.001, 2.0], [1.001, 2.001]])
    sets.append([[50.0 + 0.001 * step, 8.0 + 0.001 * step] for step in range(6)])
    sets.append([[50.0, 8.0 + 0.001 * step] for step in range(6)])
    sets.append([[50.0 + 0.001 * step, 8.0] for step in range(6)])
    measured = ((mrr_diagonal(MultiPoint([(lon, lat) for lat, lon in places]), True), places) for places in sets)
    return [{"diagonal_m": round(diagonal, 7), "places": places} for diagonal, places in measured]


def write_json(path, versions, cases):
    """One case a line, so that a difference shows where it is."""
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path.write_text(f'{{"versions":{json.dumps(versions)},\n"cases":[\n{lines}\n]}}\n')


def main(folder):
    warnings.simplefilter("ignore")
    patch_shapely()
    import shapely
    from skmob.utils.gislib import getDistance

    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    versions["geos"] = ".".join(str(part) for part in shapely.geos_version)
    folder.mkdir(parents=True, exist_ok=True)
    made = simulated()
    with open(folder / "tracks.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["track", "time_us", "lat", "lon"])
        writer.writerows((name, time, repr(lat), repr(lon)) for name, track in made.items() for time, lat, lon in track)
    tracks = recorded() | made
    parameters = skmob_cases(getDistance(*TIE[:2]))
    write_json(
        folder / "skmob.json",
        versions,
        [
            {"track": name, "parameters": case, "stops": skmob_stops(track, case)}
            for name, track in tracks.items()
            for case in parameters
        ],
    )
    write_json(
        folder / "movingpandas.json",
        versions,
        [
            {
                "track": name,
                "parameters": {"max_diameter_m": diameter_m, "min_duration_s": duration_s},
                "stops": movingpandas_stops(track, diameter_m, duration_s),
            }
            for name, track in tracks.items()
            for diameter_m, duration_s in MOVINGPANDAS_CASES
        ],
    )
    write_json(folder / "rectangles.json", versions, rectangles())


if __name__ == "__main__":
    if INSIDE in os.environ:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "trips")
    else:
        python = environment()
        os.execve(python, [python, "-B", *sys.argv], os.environ | {INSIDE: "1"})
