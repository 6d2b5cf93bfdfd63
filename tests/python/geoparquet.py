"""Reads GeoParquet files as tools for maps do: the file's own metadata says which column holds geometries.

Usage: geoparquet.py FILE...

Every geometry must be a valid one of the stated kind, longitude before latitude, and agree with the columns beside it.
Prints a line for each file; ends with 1 where something is wrong.
"""

import json
import sys

import pyarrow.parquet
import shapely

# How far a coordinate may be from the column beside it, degrees.
TOLERANCE_DEG = 1e-9


def ends(row):
    """Where a geometry begins and ends by the columns of its row."""
    if "start_lon" in row:
        return (row["start_lon"], row["start_lat"]), (row["end_lon"], row["end_lat"])
    return (row["lon"], row["lat"]), (row["lon"], row["lat"])


def is_near(one, other):
    return all(abs(a - b) <= TOLERANCE_DEG for a, b in zip(one, other))


def check(path):
    table = pyarrow.parquet.read_table(path)
    # PyArrow leaves the file's own metadata out of a schema that was stored beside it.
    geo = json.loads(pyarrow.parquet.read_metadata(path).metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    wrong = [] if geo["version"] == "1.1.0" and column["encoding"] == "WKB" else ["metadata"]
    for row in table.to_pylist():
        geometry = shapely.from_wkb(row[geo["primary_column"]])
        begin, end = ends(row)
        is_right = (
            geometry.geom_type in column["geometry_types"]
            and not geometry.is_empty
            and is_near(geometry.coords[0], begin)
            and is_near(geometry.coords[-1], end)
        )
        if not is_right:
            wrong.append(row)
    print(f"{path}: {table.num_rows} geometries, {len(wrong)} wrong")
    return not wrong and table.num_rows > 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(0 if all([check(path) for path in sys.argv[1:]]) else 1)
