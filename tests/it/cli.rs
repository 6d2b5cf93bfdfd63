//! The command line as scripts see it: exit codes, what goes to which stream, and what errors say to do next.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Ended, command, one_day, query, recorded, text, till};

fn sql(more: &[&str]) -> Ended {
    till(&[&["sql", "--lake", text(&one_day().lake())], more].concat())
}

#[test]
fn sql_refuses_to_write() {
    for statement in
        ["DROP TABLE payments", "INSERT INTO payments SELECT * FROM payments", "SET x = 1", "CREATE VIEW v AS SELECT 1"]
    {
        let ended = sql(&[statement]).with_exit(2);
        assert_eq!(ended.stdout, "", "{statement}");
        assert!(!ended.stderr.is_empty(), "{statement}");
    }
    assert_eq!(query(&one_day().lake(), "SELECT count(*) > 0 AS there FROM payments")[0]["there"], true);
}

#[test]
fn sql_names_the_nearest_table_and_column() {
    sql(&["SELECT * FROM payment"]).with_exit(2).complains("no table payment").complains("did you mean payments?");
    sql(&["SELECT amount FROM nowhere"]).with_exit(2).complains("no table nowhere");
    sql(&["SELECT amount_mino FROM payments"]).with_exit(2).complains("did you mean amount_minor?");
    sql(&["SELECT 1; SELEC 2"]).with_exit(2).complains("statement 2 (line 1)");
    till(&["sql", "--lake", "no-such-lake", "SELECT 1"]).with_exit(2).complains("till demo");
}

#[test]
fn sql_runs_a_script_on_standard_input() {
    let mut child = command(&["sql", "--lake", text(&one_day().lake()), "--format", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = b"SELECT 1 AS one; -- a comment; with a semicolon\nSELECT 'a;b' AS text;";
    child.stdin.take().unwrap().write_all(script).unwrap();
    let ended = Ended::from(child.wait_with_output().unwrap()).with_exit(0);
    assert_eq!(ended.stdout, "one\n1\n\ntext\na;b\n");
}

#[test]
fn sql_writes_files_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answer.parquet");
    let ended = sql(&["--output", text(&path), "SELECT payment_id, findings FROM payments"]).with_exit(0);
    assert_eq!(ended.stdout, "");
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).unwrap());
    let rows = reader.unwrap().metadata().file_metadata().num_rows();
    assert_eq!(query(&one_day().lake(), "SELECT count(*) AS rows FROM payments")[0]["rows"], rows);
    let answer = fs::read(&path).unwrap();
    sql(&["--output", text(&path), "SELECT 1 / (stan - stan) FROM payments WHERE kind = 'swipe'"]).with_exit(1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a failed answer leaves nothing behind");
    assert!(fs::read(&path).unwrap() == answer, "a failed answer leaves the old one alone");
}

#[test]
fn a_description_lists_every_column_with_its_meaning() {
    let ended = sql(&["--format", "json", r"\d payments_current"]).with_exit(0);
    let columns: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(columns.len() > 15 && ended.stdout.contains("last four digits of the card number"), "{ended}");
    sql(&[r"\d payment_current"]).with_exit(2).complains("did you mean payments_current?");
}

/// Anything else on standard output would break whoever reads the document.
#[test]
fn json_is_one_document_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (town, lake, demo) = (folder.path().join("town"), folder.path().join("lake"), folder.path().join("demo"));
    let small = ["--seed", "3", "--merchants", "1", "--days", "1"];
    let simulated = till(&[&["simulate", "--out", text(&town), "--json"], &small[..]].concat()).with_exit(0).json();
    assert_eq!((&simulated["days"], &simulated["days_written"]), (&1.into(), &1.into()));
    let run = till(&["run", "--input", text(&town), "--lake", text(&lake), "--json"]).with_exit(0).json();
    assert_eq!((&run["stopped"], &run["instance"]), (&false.into(), &"1".into()));
    assert!(run["logs"][0]["rows_written"]["payments"].as_u64().unwrap() > 0, "{run}");
    let summary = till(&[&["demo", "--dir", text(&demo), "--json"], &small[..]].concat()).with_exit(0).json();
    assert!(summary["outcomes"].as_array().unwrap().iter().any(|outcome| outcome["response_code"] == "00"));
    let maintained = till(&["maintain", "--lake", text(&lake), "--json"]).with_exit(0).json();
    assert!(maintained.as_array().unwrap().iter().any(|row| row["table"] == "payments"), "{maintained}");
    let jobs = till(&["job", "--lake", text(&lake), "--json"]).with_exit(0).json();
    assert!(jobs.as_array().unwrap().iter().any(|job| job["table"] == "trip_durations"), "{jobs}");
    let config = till(&["config", "explain", "--json"]).with_exit(0).json();
    assert!(
        config.as_array().unwrap().iter().any(|row| row["key"] == "lake" && row["origin"] == "default"),
        "{config}"
    );
    let frame = recorded("idtech_frame.hex");
    let frames = till(&["decode", "--json", text(&frame)]).with_exit(0).json();
    assert_eq!(frames[0]["card"]["last4"], "9999");
}

#[test]
fn decode_shows_the_published_frame() {
    let frame = recorded("idtech_frame.hex");
    let ended = till(&["decode", text(&frame)]).with_exit(0);
    for part in ["ID TECH, original format", "62994901190000000001", "9999", "published test key"] {
        assert!(ended.stdout.contains(part), "{part}: {ended}");
    }
    assert_eq!(ended.stderr, "");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.hex");
    let digits = fs::read_to_string(&frame).unwrap().replacen("027D", "027E", 1);
    fs::write(&path, digits).unwrap();
    let ended = till(&["decode", text(&path)]).with_exit(1);
    assert!(ended.stdout.contains("damaged_frame"), "{ended}");
    ended.complains("1 of 1 frames did not open");
    till(&["decode", "no-such-file"]).with_exit(2).complains("no-such-file");
}

#[test]
fn config_explain_says_where_each_value_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    fs::write(&file, "[run]\ncommit_rows = 77\n").unwrap();
    let mut explain = command(&["config", "explain", "--json", "--lake", "here", "--config", text(&file)]);
    let values = Ended::from(explain.env("TILL_RUN_SNAPSHOT_ROWS", "88").output().unwrap()).with_exit(0).json();
    let row = |key: &str| values.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    assert_eq!((&row("lake")["value"], &row("lake")["origin"]["flag"]), (&"here".into(), &"--lake".into()));
    assert_eq!(row("run.commit_rows")["value"], "77");
    assert_eq!(row("run.commit_rows")["origin"]["file"], text(&file));
    assert_eq!(row("run.snapshot_rows")["value"], "88");
    assert_eq!(row("run.snapshot_rows")["origin"]["environment"], "TILL_RUN_SNAPSHOT_ROWS");
    assert_eq!(row("run.batch_rows_max")["origin"], "default");
    let shown = till(&["config", "explain"]).with_exit(0).stdout;
    assert!(shown.contains("folder of the Delta tables") && shown.contains("default"), "{shown}");
    fs::write(&file, "lakes = \"x\"").unwrap();
    till(&["config", "explain", "--config", text(&file)]).with_exit(2).complains("there is no key lakes");
}

#[test]
fn wrong_usage_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (nothing, lake) = (folder.path().join("nothing"), folder.path().join("lake"));
    till(&["run"]).with_exit(2).complains("--input");
    let run = till(&["run", "--input", text(&nothing), "--lake", text(&lake)]).with_exit(2);
    run.complains("has neither transactions/ nor pings/").complains("till simulate --out DIR");
    assert_eq!(run.stdout, "");
    assert!(!lake.exists(), "a refused run leaves nothing behind");
    till(&[]).with_exit(2).complains("till demo");
    till(&["simulate", "--out", text(&nothing), "--days", "0"]).with_exit(2).complains("days");
    let bad = command(&["config", "explain"]).env("TILL_RUN_COMMIT_ROWS", "many").output().unwrap();
    Ended::from(bad).with_exit(2).complains("run.commit_rows").complains("TILL_RUN_COMMIT_ROWS");
}

#[test]
fn completions_are_for_the_shell() {
    let ended = till(&["completions", "bash"]).with_exit(0);
    assert!(ended.stdout.contains("complete -F _till") && ended.stdout.contains("simulate"), "{ended}");
    till(&["completions", "no-shell"]).with_exit(2);
}

/// A reader that has seen enough, as `head` does after its first lines.
#[test]
fn a_reader_that_goes_away_in_the_middle_is_no_failure() {
    let mut child = command(&["sql", "--lake", text(&one_day().lake()), "--format", "csv", "SELECT * FROM pings"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("device_id,"), "{first}");
    let ended = Ended::from(child.wait_with_output().unwrap()).with_exit(0);
    assert_eq!(ended.stderr, "");
}

/// Runs a command whose standard output nobody reads, from the start.
fn unread(arguments: &[&str]) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = Ended::from(command(arguments).stdout(writer).output().unwrap()).with_exit(0);
    assert_eq!(ended.stderr, "", "{arguments:?}");
}

#[test]
fn a_reader_that_was_never_there_is_no_failure() {
    let lake = one_day().lake();
    unread(&["sql", "--lake", text(&lake), "SELECT * FROM outcomes"]);
    unread(&["sql", "--lake", text(&lake), r"\d"]);
    unread(&["config", "explain", "--json"]);
    unread(&["decode", text(&recorded("idtech_frame.hex"))]);
    unread(&["--help"]);
}

/// Fails while the completions are written by a call that panics where it cannot write.
#[test]
fn completions_that_nobody_reads_are_no_failure() {
    unread(&["completions", "bash"]);
}
