//! Checks of snapshots: each can be read, and none is ahead of what it remembers as committed (I-2).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lake::Lake;
use runner::SnapshotLabel;
use schemas::{Offset, Partition};

use super::Finding;
use super::brokers::Brokers;
use crate::snapshot::{SnapshotFile, list};

const CHECK: &str = "snapshots";
/// The output of a snapshot in a Kafka run: everything that the unit's transactions wrote.
const GROUP: &str = "group";

/// An output of a snapshot, and under which name it keeps its frontier: the app ids in a table, or unit, topic and
/// partition of a group.
type Key = (String, String);

/// Each snapshot below the state folder can be read and is not ahead of its outputs, as far as lake and brokers are
/// there to be asked.
pub fn snapshots(state: &Path, lake: Option<&Lake>, brokers: Option<&Brokers>) -> Vec<Finding> {
    let files = match list(state) {
        Ok(files) => files,
        Err(failure) => {
            let fix = "give the state folder to the user who runs the units";
            return vec![Finding::error(CHECK, state.display(), failure, fix)];
        }
    };
    let mut findings: Vec<Finding> = files.iter().filter_map(unreadable).collect();
    let sound: Vec<Sound<'_>> = files.iter().filter_map(Sound::of).collect();
    let mut frontiers = BTreeMap::new();
    let found = [
        lake.map(|lake| of_tables(lake, &sound, &mut frontiers)),
        brokers.map(|brokers| of_groups(brokers, &sound, &mut frontiers)),
    ];
    for error in found.into_iter().flatten().filter_map(Result::err) {
        let problem = format!("what snapshots remember as committed cannot be looked up: {error}");
        findings.push(Finding::warning(CHECK, state.display(), problem, "see to that first, then ask again"));
    }
    findings.extend(sound.iter().flat_map(|snapshot| snapshot.ahead_of(&frontiers)));
    findings
}

fn unreadable(file: &SnapshotFile) -> Option<Finding> {
    let subject = file.path.display();
    if let Err(damage) = &file.content {
        let fix = "delete it if its folder holds another one that is sound; else restore it from a backup";
        return Some(Finding::error(CHECK, subject, format!("it cannot be read: {damage}"), fix));
    }
    file.source.is_none().then(|| {
        let fix = "move its folder out of the state folder; no run looks there";
        Finding::warning(CHECK, subject, "its folder is named after no topic and partition", fix)
    })
}

/// A snapshot that can be read, and whose place is known.
struct Sound<'a> {
    file: &'a SnapshotFile,
    content: &'a SnapshotLabel,
    topic: &'a str,
    partition: Partition,
}

impl<'a> Sound<'a> {
    fn of(file: &'a SnapshotFile) -> Option<Self> {
        let (topic, partition) = file.source.as_ref()?;
        Some(Self { file, content: file.content.as_ref().ok()?, topic, partition: *partition })
    }

    /// Under which names an output may keep its frontier: that of each unit of the chain.
    fn keys(&self, output: &str) -> impl Iterator<Item = Key> {
        let name = |unit| (output.to_string(), format!("{unit}/{}/{}", self.topic, self.partition));
        self.content.logic.keys().map(name)
    }

    /// Outputs that stand below S. One that is not among the frontiers could not be looked at.
    fn ahead_of(&self, frontiers: &BTreeMap<Key, Option<Offset>>) -> Vec<Finding> {
        let at = self.content.at;
        let behind = self.content.outputs.iter().filter_map(|output| {
            let stands_at = self.keys(output).filter_map(|key| frontiers.get(&key)).max()?.unwrap_or_default();
            (stands_at < at).then(|| {
                let what = if output == GROUP { "the group's offset" } else { output.as_str() };
                let problem = format!("it stands at offset {at}, and {what}, which had reached that, at {stands_at}");
                let fix = format!("restore {what}; a start is refused, since rows would be missing for ever");
                Finding::error(CHECK, self.file.path.display(), problem, fix)
            })
        });
        behind.collect()
    }
}

/// Asks each table once for all app ids that a snapshot may need.
fn of_tables(
    lake: &Lake,
    snapshots: &[Sound<'_>],
    frontiers: &mut BTreeMap<Key, Option<Offset>>,
) -> Result<(), String> {
    for spec in schemas::tables::all() {
        let remembered =
            snapshots.iter().filter(|snapshot| snapshot.content.outputs.iter().any(|one| one == spec.name));
        let app_ids: BTreeSet<String> =
            remembered.flat_map(|snapshot| snapshot.keys(spec.name)).map(|(_, app_id)| app_id).collect();
        if app_ids.is_empty() {
            continue;
        }
        let app_ids: Vec<String> = app_ids.into_iter().collect();
        let found = lake.inspect(&spec, &app_ids).map_err(|error| error.to_string())?;
        let found = found.map(|table| table.frontiers).unwrap_or_default();
        frontiers.extend(app_ids.into_iter().map(|app_id| {
            let stands_at = found.get(&app_id).copied();
            ((spec.name.to_string(), app_id), stands_at)
        }));
    }
    Ok(())
}

/// Asks each group once for all partitions that have a snapshot.
fn of_groups(
    brokers: &Brokers,
    snapshots: &[Sound<'_>],
    frontiers: &mut BTreeMap<Key, Option<Offset>>,
) -> Result<(), String> {
    let mut partitions: BTreeMap<&str, BTreeSet<(&str, Partition)>> = BTreeMap::new();
    for snapshot in snapshots.iter().filter(|snapshot| snapshot.content.outputs.iter().any(|output| output == GROUP)) {
        for unit in snapshot.content.logic.keys() {
            partitions.entry(unit).or_default().insert((snapshot.topic, snapshot.partition));
        }
    }
    for (unit, places) in partitions {
        let places: Vec<_> = places.into_iter().collect();
        let offsets =
            brokers.admin.committed(&brokers.settings.group(unit), &places).map_err(|error| error.to_string())?;
        for ((topic, partition), offset) in places.into_iter().zip(offsets) {
            frontiers.insert((GROUP.to_string(), format!("{unit}/{topic}/{partition}")), offset);
        }
    }
    Ok(())
}
