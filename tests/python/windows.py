"""Computes the handbook's windows anew by pandas, from whole cents, and compares with what the binary wrote.

Usage: windows.py FEATURES

FEATURES is a Parquet file of `till fraud features` in the order of time, with the windows of tests/it/fraud/windows.txt.
A window with a delay is the difference of two that end with the transaction, as the handbook computes it. Sums are of
whole numbers below 2^53, so that floats hold them exactly, and cells are compared as they are, without a tolerance. Ends
with 0 where all agree, 1 where something differs. One line a window on standard output: cells and how many differ.
"""

import sys

import pandas

DAYS = (1, 7, 30)
DELAY_DAYS = 7


def rolling(rows, key, column, days):
    """Sum over the days that end with each row of a key, itself and those before it, open at its beginning."""
    sums = rows.groupby(key).rolling(f"{days}D", on="event_time", closed="right")[column].sum()
    # Sums come by key, of each in the order of the rows.
    return pandas.Series(sums.to_numpy(), index=rows.sort_values(key, kind="stable").index).sort_index()


def twins(rows):
    """Count and mean of each window by its name."""
    rows = rows.assign(one=1.0, is_fraud=rows["fraud"].astype("float64"), cents=rows["amount_minor"].astype("float64"))
    for days in DAYS:
        count = rolling(rows, "customer_id", "one", days)
        yield f"customer_count_{days}d", count
        yield f"customer_mean_{days}d", rolling(rows, "customer_id", "cents", days) / count
        count, frauds = (
            rolling(rows, "terminal_id", column, days + DELAY_DAYS)
            - rolling(rows, "terminal_id", column, DELAY_DAYS)
            for column in ("one", "is_fraud")
        )
        yield f"terminal_count_{days}d", count
        yield f"terminal_mean_{days}d", (frauds / count).where(count > 0)


def main(path):
    rows = pandas.read_parquet(path)
    differing = 0
    for name, twin in twins(rows):
        ours = rows[name].astype("float64")
        differ = int(((ours != twin) & ~(ours.isna() & twin.isna())).sum())
        print(f"{name}: {len(rows)} cells, {differ} differ")
        differing += differ
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
