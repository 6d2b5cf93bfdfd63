"""Reads every table of a lake with Polars and with DuckDB and compares what they find with what `till sql` says.

Usage: readers.py LAKE TILL [LAKE_OF_TILL]

LAKE is the folder of the lake, TILL the path of the binary. LAKE_OF_TILL is another lake to ask `till sql` about: the
differences between the two must then be found. Ends with 0 where all agree, 1 where something differs (each difference
is a line on standard error), 2 where a table cannot be read.

Polars reads the Delta log itself; DuckDB reads the Parquet files that the Delta log names, by the Delta Kernel.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import deltalake
import duckdb
import polars
import pyarrow
import pyarrow.parquet

# Tables of up to so many rows are compared row by row too.
ROWS_COMPARED_MAX = 100_000
# Rows of one table that are shown where they differ.
SHOWN_MAX = 10

INTEGERS = ("int32", "int64")
FLOATS = ("double",)


class Till:
    """The lake as `till sql` shows it."""

    def __init__(self, binary, lake):
        self.binary = binary
        self.lake = lake

    def run(self, *arguments):
        command = [self.binary, "sql", "--lake", str(self.lake), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def tables(self):
        listed = [json.loads(line) for line in self.run("--format", "json", "\\d").splitlines()]
        return [row["name"] for row in listed if row["kind"] == "table"]

    def rows(self, table):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "answer.parquet"
            self.run("--output", str(path), f'SELECT * FROM "{table}"')
            return pyarrow.parquet.read_table(path)

    def aggregates(self, table, schema):
        measures = {"rows": "count(*)"}
        for field in schema:
            column, kind = f'"{field.name}"', kind_of(field)
            if kind == "time":
                column = f"CAST({column} AS BIGINT)"
            expressions = {
                "present": f"count({column})",
                "distinct": f"count(DISTINCT {column})",
                "min": f"min({column})",
                "max": f"max({column})",
                "sum": f"sum({column})",
                "true": f"sum(CASE WHEN {column} THEN 1 ELSE 0 END)",
                "elements": f"sum(array_length({column}))",
            }
            measures |= {f"{field.name} {name}": expressions[name] for name in measures_of(kind)}
        # Names of columns may be as long as they like, hence numbers.
        selected = ", ".join(f"{text} AS m{number}" for number, text in enumerate(measures.values()))
        answer = json.loads(self.run("--format", "json", f'SELECT {selected} FROM "{table}"'))
        return {name: answer[f"m{number}"] for number, name in enumerate(measures)}


class Polars:
    """The lake as Polars reads it."""

    name = "polars"

    def __init__(self, folder):
        self.frame = polars.scan_delta(str(folder))

    def rows(self):
        return self.frame.collect().to_arrow()

    def aggregates(self, schema):
        measures = {"rows": polars.len()}
        for field in schema:
            column, kind = polars.col(field.name), kind_of(field)
            if kind == "time":
                column = column.dt.epoch("us")
            expressions = {
                "present": column.count(),
                "distinct": column.drop_nulls().n_unique(),
                "min": column.min(),
                "max": column.max(),
                # Polars adds 32-bit numbers up to a 32-bit sum.
                "sum": column.cast(polars.Int64).sum() if kind == "integer" else None,
                "true": column.sum(),
                "elements": column.list.len().sum() if kind == "list" else None,
            }
            measures |= {f"{field.name} {name}": expressions[name] for name in measures_of(kind)}
        answer = self.frame.select(**measures).collect()
        return dict(zip(answer.columns, answer.row(0)))


class DuckDb:
    """The lake as DuckDB reads it."""

    name = "duckdb"

    def __init__(self, folder):
        files = deltalake.DeltaTable(str(folder)).file_uris()
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'")
        # A table without rows has no files, which DuckDB cannot be asked to read.
        self.relation = self.connection.read_parquet(files) if files else None

    def rows(self):
        return None if self.relation is None else self.relation.to_arrow_table()

    def aggregates(self, schema):
        if self.relation is None:
            return None
        measures = {"rows": "count(*)"}
        for field in schema:
            column, kind = f'"{field.name}"', kind_of(field)
            if kind == "time":
                column = f"epoch_us({column})"
            expressions = {
                "present": f"count({column})",
                "distinct": f"count(DISTINCT {column})",
                "min": f"min({column})",
                "max": f"max({column})",
                "sum": f"sum({column})",
                "true": f"count_if({column})",
                "elements": f"sum(len({column}))",
            }
            measures |= {f"{field.name} {name}": expressions[name] for name in measures_of(kind)}
        answer = self.relation.aggregate(", ".join(measures.values())).fetchall()[0]
        return dict(zip(measures, answer))


def kind_of(field):
    """Kind of a column by its Arrow type; one that nobody has thought of is an error."""
    if pyarrow.types.is_timestamp(field.type):
        return "time"
    if pyarrow.types.is_list(field.type) or pyarrow.types.is_large_list(field.type):
        return "list"
    for kind, names in (("integer", INTEGERS), ("float", FLOATS), ("boolean", ("bool",))):
        if str(field.type) in names:
            return kind
    if str(field.type) in ("string", "large_string", "string_view"):
        return "text"
    if str(field.type) in ("binary", "large_binary", "binary_view"):
        return "bytes"
    raise TypeError(f"column {field.name} has a type that this script does not compare: {field.type}")


def measures_of(kind):
    """What is compared of a column of this kind."""
    return {
        "time": ("present", "distinct", "min", "max"),
        "list": ("present", "elements"),
        "integer": ("present", "distinct", "min", "max", "sum"),
        "float": ("present", "distinct", "min", "max"),
        "boolean": ("present", "true"),
        "text": ("present", "distinct", "min", "max"),
        "bytes": ("present",),
    }[kind]


def sorted_rows(table, schema):
    """Rows as tuples in an order that depends on nothing but their content, in the columns and types of the schema."""
    columns = [table.column(field.name).cast(field.type).to_pylist() for field in schema]
    return sorted(zip(*columns), key=repr)


def compare(table, expected, found, reader):
    """Differences between two dictionaries, as texts."""
    # The sum of nothing is 0 for some and null for others.
    is_nothing = lambda name: name.endswith((" sum", " true")) and not (expected[name] or found.get(name))
    names = [name for name in expected if expected[name] != found.get(name) and not is_nothing(name)]
    differences = [f"{table}: {name} is {found.get(name)!r} for {reader}, {expected[name]!r} for till" for name in names]
    differences += [f"{table}: till has no {name}" for name in found if name not in expected]
    return differences


def compare_rows(table, expected, found, reader):
    """Differences between two lists of rows, as texts."""
    if expected == found:
        return []
    if len(expected) != len(found):
        return [f"{table}: {len(found)} rows for {reader}, {len(expected)} for till"]
    pairs = [(wanted, row) for wanted, row in zip(expected, found) if wanted != row]
    differences = [f"{table}: a row is {row!r} for {reader}, {wanted!r} for till" for wanted, row in pairs[:SHOWN_MAX]]
    return [f"{table}: {len(pairs)} rows differ for {reader}", *differences]


def check_table(till, table, folder):
    """Number of rows and differences of one table."""
    rows = till.rows(table)
    expected = till.aggregates(table, rows.schema)
    # The order of the columns counts too.
    columns = {"columns": rows.schema.names}
    wanted = sorted_rows(rows, rows.schema) if rows.num_rows <= ROWS_COMPARED_MAX else None
    differences = []
    for reader in (Polars(folder), DuckDb(folder)):
        found = reader.aggregates(rows.schema)
        if found is None:
            differences += compare(table, {"rows": expected["rows"]}, {"rows": 0}, reader.name)
            continue
        differences += compare(table, expected, found, reader.name)
        read = reader.rows()
        differences += compare(table, columns, {"columns": read.schema.names}, reader.name)
        if wanted is not None:
            differences += compare_rows(table, wanted, sorted_rows(read, rows.schema), reader.name)
    return rows.num_rows, differences


def main(lake, binary, lake_of_till=None):
    till = Till(binary, lake_of_till or lake)
    compared, wrong = 0, 0
    for table in till.tables():
        folder = Path(lake) / table
        if not (folder / "_delta_log").is_dir():
            (count,) = till.aggregates(table, pyarrow.schema([])).values()
            rows, differences = count, [f"{table}: {count} rows for till, no Delta table for others"] if count else []
        else:
            rows, differences = check_table(till, table, folder)
        compared += rows
        wrong += len(differences)
        for difference in differences:
            print(difference, file=sys.stderr)
        print(f"{table}: {rows} rows, {len(differences)} differences")
    if compared == 0:
        print("the lake has no rows: nothing was compared", file=sys.stderr)
        return 2
    return 1 if wrong else 0


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
