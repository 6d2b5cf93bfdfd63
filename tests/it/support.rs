//! What the tests share: running the binary, reading tables back through `till sql`, and a demo that many only read.

mod demo;
mod shop;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub use demo::{Demo, SEED, one_day, two_days};
pub use shop::{Shop, at};

/// A command that has ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {:?}\nstdout: {}\nstderr: {}", self.code, self.stdout, self.stderr)
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the binary prints UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ended {
    /// The same, if it ended with this exit code.
    #[track_caller]
    pub fn with_exit(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Standard output as the one JSON document that it must be.
    #[track_caller]
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_str(&self.stdout);
        parsed.unwrap_or_else(|error| panic!("standard output is not one JSON document ({error}): {self}"))
    }

    /// Asserts that standard error says this, wherever its layout breaks lines.
    #[track_caller]
    pub fn complains(&self, text: &str) -> &Self {
        assert!(dense(&self.stderr).contains(&dense(text)), "{text:?} is not in: {self}");
        self
    }
}

fn dense(text: &str) -> String {
    text.chars().filter(|sign| !sign.is_whitespace() && *sign != '│').collect()
}

/// The binary with these arguments, away from any configuration of the machine.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_till"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TILL_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub fn till(arguments: &[&str]) -> Ended {
    command(arguments).output().unwrap().into()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have UTF-8 names")
}

/// Rows of an answer.
#[track_caller]
pub fn query(lake: &Path, sql: &str) -> Vec<Value> {
    let ended = till(&["sql", "--lake", text(lake), "--format", "json", sql]).with_exit(0);
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every row of every table that units write as a JSON line that starts with its table, sorted. What jobs compute from
/// them depends on when they ran.
#[track_caller]
pub fn all_rows(lake: &Path) -> Vec<String> {
    let tables = schemas::tables::of_units();
    let select = |name: &str| format!("SELECT '{name}' AS in_table, * FROM {name};");
    let script: String = tables.iter().map(|table| select(table.name)).collect();
    let ended = till(&["sql", "--lake", text(lake), "--format", "json", &script]).with_exit(0);
    let mut lines: Vec<String> = ended.stdout.lines().map(str::to_string).collect();
    lines.sort_unstable();
    lines
}

/// Asserts that two lakes hold the same rows, each of them once.
#[track_caller]
pub fn assert_same_rows(found: &[String], expected: &[String], which: &str) {
    if let Some(twice) = found.windows(2).find(|pair| pair[0] == pair[1]) {
        panic!("{which}: a row is there twice: {}", twice[0]);
    }
    let differs = found.iter().zip(expected).position(|(one, other)| one != other);
    let at = differs.unwrap_or(found.len().min(expected.len()));
    let shown = |rows: &[String]| rows.get(at).cloned().unwrap_or_else(|| "no further row".to_string());
    assert!(
        found == expected,
        "{which}: {} rows where {} are expected; of the sorted rows number {at} is\n{}\ninstead of\n{}",
        found.len(),
        expected.len(),
        shown(found),
        shown(expected)
    );
}

/// Rows of a table in [`all_rows`].
pub fn rows_of(rows: &[String], table: &str) -> usize {
    let start = format!("{{\"in_table\":\"{table}\",");
    rows.iter().filter(|row| row.starts_with(&start)).count()
}

/// Every file below a folder, sorted.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
}

/// Lines of an NDJSON file.
pub fn ndjson(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A recorded input.
pub fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}
