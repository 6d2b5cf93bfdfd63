//! Tables that others read: Polars and DuckDB find in the files what `till sql` says.
//!
//! The comparison is tests/python/readers.py, run by the interpreter that `TILL_PYTHON` names, which must have what
//! tests/python/requirements.txt lists. Without that variable the tests say so and pass; `.ci/run` always sets it.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::support::{Ended, one_day, two_days};

/// Name of the variable with the interpreter.
const PYTHON: &str = "TILL_PYTHON";

/// Compares what Python reads in one lake with what the binary says about another, or the same.
fn compare(python: OsString, lake: &Path, lake_of_till: &Path) -> Ended {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/readers.py");
    let mut command = Command::new(python);
    command.arg("-B").arg(script).arg(lake).arg(env!("CARGO_BIN_EXE_till")).arg(lake_of_till);
    command.output().expect("TILL_PYTHON names an interpreter that starts").into()
}

/// The interpreter, or a word about its absence that the test runner does not hold back.
pub fn python(test: &str) -> Option<OsString> {
    let python = std::env::var_os(PYTHON);
    if python.is_none() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: {test} needs {PYTHON}, see tests/python/requirements.txt");
    }
    python
}

#[test]
fn polars_and_duckdb_read_what_till_reads() {
    let Some(python) = python("polars_and_duckdb_read_what_till_reads") else { return };
    let lake = one_day().lake();
    let ended = compare(python, &lake, &lake).with_exit(0);
    for table in schemas::tables::all() {
        assert!(ended.stdout.contains(&format!("{}: ", table.name)), "{} was not compared: {ended}", table.name);
    }
}

/// Fails when the script compares less than it says: the lake of two days must differ from that of one in its pings.
#[test]
fn a_lake_with_other_rows_is_found_to_differ() {
    let Some(python) = python("a_lake_with_other_rows_is_found_to_differ") else { return };
    let ended = compare(python, &one_day().lake(), &two_days().lake()).with_exit(1);
    for reader in ["polars", "duckdb"] {
        for what in ["pings: rows is", "payments: amount_minor sum is", "decisions: payment_id distinct is"] {
            let line = |line: &&str| line.starts_with(what) && line.contains(reader);
            assert!(ended.stderr.lines().any(|text| line(&text)), "{reader}, {what}: {ended}");
        }
    }
}
