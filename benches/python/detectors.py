"""Times the stop detection of scikit-mobility and of MovingPandas over some tracks.

detectors.py TRACKS METRES SECONDS ROUNDS: TRACKS is a CSV of track,time_us,lat,lon. Prints a JSON line for each library:
its name, how many stops it found, and the seconds of each round. The frames are made beforehand and are not timed.
MovingPandas gets one trajectory at a time, since it is slower than that with many in one collection.
It goes on in the environment of tests/python/trips_golden.py, which makes it where it is missing.
"""

import json
import os
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "python"))
from trips_golden import INSIDE, environment, patch_shapely


def timed(name, rounds, detect):
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        stops = sum(len(found) for found in detect())
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"name": name, "stops": stops, "seconds": seconds}), flush=True)


def main(path, metres, seconds, rounds):
    warnings.simplefilter("ignore")
    patch_shapely()
    import geopandas
    import movingpandas
    import pandas
    import skmob
    from skmob.preprocessing import detection

    rows = pandas.read_csv(path)
    rows["datetime"] = pandas.to_datetime(rows["time_us"], unit="us")
    frame = skmob.TrajDataFrame(rows[["track", "datetime", "lat", "lon"]], user_id="track", longitude="lon")
    stay = {"minutes_for_a_stop": seconds / 60, "spatial_radius_km": metres / 1e3}
    timed("skmob", rounds, lambda: [detection.stay_locations(frame, **stay)])

    places = geopandas.points_from_xy(rows["lon"], rows["lat"])
    frame = geopandas.GeoDataFrame(rows[["track", "datetime"]].set_index("datetime"), geometry=places, crs="epsg:4326")
    tracks = [movingpandas.Trajectory(track.copy(), name) for name, track in frame.groupby("track")]
    detectors = [movingpandas.TrajectoryStopDetector(track) for track in tracks]
    duration = timedelta(seconds=seconds)
    timed("movingpandas", rounds, lambda: [detector.get_stop_points(metres, duration) for detector in detectors])


if __name__ == "__main__":
    if INSIDE in os.environ:
        main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
    else:
        python = environment()
        os.execve(python, [python, "-B", *sys.argv], os.environ | {INSIDE: "1"})
