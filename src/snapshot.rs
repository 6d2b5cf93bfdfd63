//! `till snapshot show`: what lies in the state folder, read only. It opens nothing for a run and removes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use clap::{Args, Subcommand};
use runner::{SnapshotLabel, StoredSnapshot};
use schemas::Partition;
use serde_json::{Value, json};

use crate::config::{Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::{clock, output};

/// Ending of the files that hold snapshots.
const SUFFIX: &str = "snapshot";
const MICROSECONDS_A_SECOND: i64 = 1_000_000;

/// Look at snapshots.
#[derive(Args)]
pub struct SnapshotArgs {
    #[command(subcommand)]
    command: SnapshotCommand,
}

#[derive(Subcommand)]
enum SnapshotCommand {
    /// Show each snapshot of the state folder: where it stands, what made it, and whether it is sound.
    Show(ShowArgs),
}

#[derive(Args)]
struct ShowArgs {
    /// Only the snapshots of this unit: decode, authorize or trips.
    unit: Option<String>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
}

/// A snapshot's file.
pub struct SnapshotFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Topic and partition that its folder is named after, where that can be read.
    pub source: Option<(String, Partition)>,
    /// Its size.
    pub bytes: u64,
    /// When it was written by the file system's clock, microseconds UTC.
    pub written_us: i64,
    /// What it says of itself, checked as a whole, or what is wrong with it.
    pub content: Result<SnapshotLabel, String>,
}

/// Every snapshot below the state folder, by folder and then by S.
pub fn list(state: &Path) -> Result<Vec<SnapshotFile>, Failure> {
    let root = state.join("snapshots");
    let mut files = Vec::new();
    for folder in entries(&root)? {
        if !folder.is_dir() {
            continue;
        }
        for path in entries(&folder)? {
            if path.extension().is_some_and(|extension| extension == SUFFIX)
                && let Some(file) = read(path, &folder)?
            {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// Paths in a folder, sorted; none where there is no folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed,
    };
    let paths = listed.and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>());
    let mut paths = paths.map_err(|error| Failure::failed(format!("cannot list {}: {error}", folder.display())))?;
    paths.sort();
    Ok(paths)
}

/// The file; nothing where a run has replaced it by a newer one in the meantime.
fn read(path: PathBuf, folder: &Path) -> Result<Option<SnapshotFile>, Failure> {
    let content = match fs::read(&path).and_then(|bytes| Ok((bytes, fs::metadata(&path)?.modified()?))) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::failed(format!("cannot read {}: {error}", path.display()))),
        Ok(content) => content,
    };
    let (bytes, modified) = content;
    let since_epoch = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Some(SnapshotFile {
        source: source_of(folder),
        bytes: bytes.len() as u64,
        written_us: i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX),
        // Without its states: the files of all partitions would not fit into memory.
        content: StoredSnapshot::from_bytes(bytes).map(|snapshot| snapshot.label),
        path,
    }))
}

/// Topic and partition of a folder named `TOPIC-PARTITION` (embedded runs) or `UNIT-TOPIC-PARTITION` (on brokers).
fn source_of(folder: &Path) -> Option<(String, Partition)> {
    let mut parts = folder.file_name()?.to_str()?.rsplit('-');
    let partition = Partition(parts.next()?.parse().ok()?);
    Some((parts.next()?.to_string(), partition))
}

/// Runs the command.
pub fn run(args: &SnapshotArgs) -> Result<(), Failure> {
    let SnapshotCommand::Show(args) = &args.command;
    let config = Config::resolve(&args.lake, &args.state)?;
    if !config.state.is_dir() {
        return Err(Failure::usage(format!("there is no state folder {}", config.state.display()))
            .with_help("name it with --state, or the lake that holds it with --lake"));
    }
    let mut files = list(&config.state)?;
    files.retain(|file| args.unit.as_deref().is_none_or(|unit| is_of(file, unit)));
    let now_us = clock::now_us();
    if args.json {
        let rows: Vec<Value> = files.iter().map(|file| as_json(file, now_us)).collect();
        return output::print_json(&rows);
    }
    print(&files, now_us)
}

/// Whether a snapshot is the unit's. Nobody knows whose a damaged one is, so it is everybody's.
fn is_of(file: &SnapshotFile, unit: &str) -> bool {
    file.content.as_ref().map_or(true, |snapshot| snapshot.logic.contains_key(unit))
}

fn as_json(file: &SnapshotFile, now_us: i64) -> Value {
    let snapshot = file.content.as_ref().ok();
    json!({
        "path": file.path,
        "topic": file.source.as_ref().map(|(topic, _)| topic),
        "partition": file.source.as_ref().map(|(_, partition)| partition.0),
        "at": snapshot.map(|snapshot| snapshot.at),
        "bytes": file.bytes,
        "age_s": age_s(file, now_us),
        "logic": snapshot.map(|snapshot| &snapshot.logic),
        "outputs": snapshot.map(|snapshot| &snapshot.outputs),
        "partitions": snapshot.map(|snapshot| snapshot.partitions),
        "output_partitions": snapshot.map(|snapshot| &snapshot.output_partitions),
        "damage": file.content.as_ref().err(),
    })
}

fn age_s(file: &SnapshotFile, now_us: i64) -> i64 {
    (now_us - file.written_us).max(0) / MICROSECONDS_A_SECOND
}

fn print(files: &[SnapshotFile], now_us: i64) -> Result<(), Failure> {
    let heads = ["unit", "topic", "partition", "S", "bytes", "age", "logic", "partitions of topics", "checksum"];
    let mut table = output::table(heads);
    for file in files {
        let (topic, partition) = file
            .source
            .as_ref()
            .map_or(("?", "?".to_string()), |(topic, partition)| (topic.as_str(), partition.to_string()));
        let (bytes, age) = (file.bytes.to_string(), age_text(age_s(file, now_us)));
        match &file.content {
            Ok(snapshot) => {
                let units: Vec<_> = snapshot.logic.keys().map(String::as_str).collect();
                let at = snapshot.at.to_string();
                let (logic, counts) = (listed(&snapshot.logic), counts_text(topic, snapshot));
                table.add_row([&units.join(", "), topic, &partition, &at, &bytes, &age, &logic, &counts, "sound"]);
            }
            Err(damage) => {
                let damage = format!("DAMAGED: {damage}");
                table.add_row(["?", topic, &partition, "?", &bytes, &age, "?", "?", &damage]);
            }
        }
    }
    output::print(&table.to_string())
}

fn counts_text(topic: &str, snapshot: &SnapshotLabel) -> String {
    let mut counts = BTreeMap::from([(topic.to_string(), snapshot.partitions)]);
    counts.extend(snapshot.output_partitions.iter().map(|(topic, count)| (topic.clone(), *count)));
    listed(&counts)
}

fn listed(numbers: &BTreeMap<String, u32>) -> String {
    numbers.iter().map(|(name, number)| format!("{name} {number}")).collect::<Vec<_>>().join(", ")
}

/// An age for people, in the largest unit that says something.
fn age_text(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_after_topic_and_partition() {
        let source = |name: &str| source_of(Path::new(name));
        assert_eq!(source("state/transactions-0"), Some(("transactions".to_string(), Partition(0))));
        assert_eq!(source("decode-transactions-17"), Some(("transactions".to_string(), Partition(17))));
        assert_eq!((source("payments"), source("payments-x")), (None, None));
    }

    #[test]
    fn ages_are_shown_in_the_unit_that_fits() {
        let cases = [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (172_800, "2 d")];
        for (seconds, text) in cases {
            assert_eq!(age_text(seconds), text);
        }
    }

    #[test]
    fn only_snapshots_are_listed_and_nothing_is_removed() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(list(state.path()).unwrap().len(), 0, "no folder of snapshots yet");
        let folder = state.path().join("snapshots/pings-3");
        fs::create_dir_all(&folder).unwrap();
        for name in ["00000000000000000007.snapshot", "00000000000000000007.1.tmp", "note"] {
            fs::write(folder.join(name), "no snapshot at all").unwrap();
        }
        let [file] = list(state.path()).unwrap().try_into().ok().unwrap();
        assert_eq!(file.source, Some(("pings".to_string(), Partition(3))));
        assert!(file.content.is_err() && file.bytes == 18);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    }
}
